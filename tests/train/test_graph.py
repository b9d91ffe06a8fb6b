"""CUDA graphs, as far as a CPU can hold them: what is recorded, what a replay must find and leave, and when none is used.

No GPU has run these tests. The stand-in for CUDA calls the work again where a graph would be replayed, from the same
places, and writes gradients where the recording left them, as a graph does.
"""

from collections.abc import Callable, Iterable
from functools import partial
from itertools import chain
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from ablate.config.schema import Config
from ablate.data.cache import Images
from ablate.run import measure
from ablate.train import graph, inputs, loop
from ablate.train.checkpoint import Checkpoints
from ablate.train.frozen import View
from ablate.train.graph import NoRoomForGraphs, NotRecovered, Replayed
from ablate.train.inputs import Batch, Inputs, Pixels, StoredFeatures, in_advance, windows
from ablate.train.loop import Epoch, Split, Training, train, train_epoch
from ablate.train.model import on_cpu, weights_sha256
from tests.given import TINY, config_of, some_images

CPU = torch.device("cpu")
LEVELS = [
    (), ("optimizer=sgd", "trainer.clip_norm=1", "trainer.ema=0.9"), ("augment=mixup_cutmix",), ("batch_size.micro=12",),
    ("head=mlp256", "trainer.precision=bf16"), ("backbone.freeze=stages:2", "scheduler=one_cycle"),
]  # fmt: skip


class StandIn:
    """Records work as CUDA would, without its speed: `error` is added to what a replay gives."""

    def __init__(self, networks: list[Training], error: float = 0.0) -> None:
        self.networks, self.error, self.recorded, self.replayed = networks, error, 0, 0

    def record(
        self, work: Callable[[], Tensor | None], pool: Any, _: Any
    ) -> tuple[Callable[[], None], Tensor | None, Any]:
        self.recorded += 1
        (training,) = self.networks
        parameters = [p for p in training.network.parameters() if p.requires_grad]
        assigns = all(p.grad is None for p in parameters)
        state = training.accumulate._state()
        output = work()  # CUDA would not compute yet
        places = [p.grad for p in parameters]
        training.accumulate._put_back(state)
        for parameter, place in zip(parameters, places, strict=True):
            parameter.grad = place

        def replay() -> None:
            self.replayed += 1
            if assigns:
                for parameter in parameters:
                    parameter.grad = None
            again = work()
            for parameter, place in zip(parameters, places, strict=True):
                if assigns and place is not None:
                    place.copy_(parameter.grad + self.error)
                    parameter.grad = place
            if output is not None and again is not None:
                output.copy_(again + self.error)

        return replay, output, pool


def trained(words: tuple[str, ...], images: Images) -> tuple[str, list[Epoch]]:
    epochs: list[Epoch] = []
    config = config_of(*TINY, "batch_size=b32", "trainer.epochs=2", *words)
    return weights_sha256(on_cpu(train(config, images, CPU, epochs.append))), epochs


@pytest.fixture
def with_graphs(monkeypatch: pytest.MonkeyPatch) -> Callable[..., StandIn]:
    def use(error: float = 0.0) -> StandIn:
        networks: list[Training] = []
        stand_in = StandIn(networks, error)
        whole = Training.__init__

        def begin(self: Training, *rest: Any) -> None:
            whole(self, *rest)
            networks[:] = [self]

        monkeypatch.setattr(Training, "__init__", begin)
        monkeypatch.setattr(loop, "why_not", lambda *_, **__: "")
        monkeypatch.setattr(graph, "record", stand_in.record)
        return stand_in

    return use


@pytest.mark.parametrize("words", LEVELS, ids=" ".join)
def test_replayed_steps_leave_the_same_bits(words: tuple[str, ...], with_graphs: Callable[..., StandIn]) -> None:
    images = some_images()
    expected, _ = trained(words, images)
    cuda = with_graphs()
    found, epochs = trained(words, images)
    assert found == expected
    assert cuda.recorded >= 1
    assert cuda.replayed > cuda.recorded
    assert epochs[-1].graphs == "used"


@pytest.mark.parametrize("words", LEVELS[:2], ids=" ".join)
def test_a_graph_that_gives_other_bits_is_not_used(words: tuple[str, ...], with_graphs: Callable[..., StandIn]) -> None:
    images = some_images()
    expected, _ = trained(words, images)
    cuda = with_graphs(error=1e-6)
    found, epochs = trained(words, images)
    assert found == expected
    assert epochs[-1].graphs == "its graph gives other bits"
    assert cuda.replayed <= 2  # of the step, and of the prediction


def test_what_cannot_be_recorded_is_trained_without(
    with_graphs: Callable[..., StandIn], monkeypatch: pytest.MonkeyPatch
) -> None:
    images = some_images()
    expected, _ = trained((), images)
    with_graphs()

    def fails(*_: object) -> None:
        raise RuntimeError("operation not permitted\nwhen stream is capturing")

    monkeypatch.setattr(graph, "record", fails)
    found, epochs = trained((), images)
    assert found == expected
    assert epochs[-1].graphs == "it cannot be recorded: operation not permitted when stream is capturing"


def test_lack_of_memory_beside_graphs_is_told_apart(
    with_graphs: Callable[..., StandIn], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The twin: without a graph it is plain lack of memory, which takes a rung."""

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(loop, "evaluate_part", full)
    with pytest.raises(torch.OutOfMemoryError):
        trained((), some_images())
    with_graphs()
    with pytest.raises(NoRoomForGraphs):
        trained((), some_images())


def test_where_cuda_is_lost_the_way_out_is_named() -> None:
    calls = []

    def work(x: Tensor) -> Tensor:
        calls.append(x)
        if len(calls) > 3:
            raise RuntimeError("invalidated")
        return x + 1

    replayed = Replayed(work, "")
    for _ in range(graph.WARM):
        replayed(torch.zeros(2))
    with pytest.raises(NotRecovered, match=r"trainer\.graph=false"):
        replayed(torch.zeros(2))


@pytest.mark.parametrize(("epochs", "steady"), [(measure.ON_CUDA[0], True), (measure.ON_CUDA[0] - 1, False)])
def test_what_a_run_costs_is_measured_when_all_is_recorded(
    epochs: int, steady: bool, with_graphs: Callable[..., StandIn], monkeypatch: pytest.MonkeyPatch
) -> None:
    cuda, recorded = with_graphs(), []

    def watched(config: Config, images: Images, device: torch.device, on_epoch: Callable[[Epoch], None]) -> Any:
        return train(config, images, device, lambda epoch: (recorded.append(cuda.recorded), on_epoch(epoch)))

    monkeypatch.setattr(measure, "train", watched)
    monkeypatch.setattr(measure, "ELSEWHERE", (epochs, 3))
    measure.measure(config_of(*TINY, "batch_size=b32"))
    assert 0 < len(recorded) == epochs
    assert (recorded[-1] == recorded[-2]) is steady


def test_where_there_is_no_cuda_nothing_is_recorded() -> None:
    config = config_of(*TINY)
    network = torch.nn.Linear(2, 2)
    reason = lambda device="cuda", wanted=True, compiled=False, deterministic=True: graph.why_not(  # noqa: E731
        network, torch.device(device), wanted=wanted, compiled=compiled, deterministic=deterministic
    )
    assert (reason(), reason("cpu")) == ("", "there are none on cpu")
    assert reason(wanted=False) == "trainer.graph=false"
    assert reason(compiled=True) == "trainer.compile=true"
    network.relative_position_bias_table = torch.nn.Parameter(torch.zeros(1))
    assert "table of positions" in reason()
    assert reason(deterministic=False) == ""
    assert config.trainer.graph


def test_nothing_that_a_graph_knows_by_its_address_moves() -> None:
    """Parameters, buffers, the optimizer's state and the sums: a replay would change what nothing reads any more."""
    images = some_images(600)
    config = config_of(*TINY, "batch_size=b32", "trainer.epochs=2", "optimizer=adam", "trainer.ema=0.9")
    training = Training(config, images, Split.of(config, images), CPU, lambda: None)

    def places() -> dict[str, int]:
        tensors = dict(training.network.named_parameters()) | dict(training.network.named_buffers())
        tensors |= {"loss": training.loss_sum, "correct": training.correct}
        assert training.averaged is not None
        tensors |= {f"averaged {name}": value for name, value in training.averaged.module.named_parameters()}
        for number, state in enumerate(training.optimizer.state.values()):
            tensors |= {f"{number} {name}": value for name, value in state.items() if isinstance(value, Tensor)}
        return {name: value.data_ptr() for name, value in tensors.items()}

    train_epoch(training, Split.of(config, images), Checkpoints())
    before = places()
    training.begin_epoch()
    train_epoch(training, Split.of(config, images), Checkpoints())
    assert training.step_number >= 10
    assert places() == before


def inputs_of(*words: str) -> Inputs:
    images = some_images()
    config = config_of(*TINY, "batch_size=b32", *words)
    made = Training(config, images, Split.of(config, images), CPU, lambda: None).inputs
    made.start(1)
    return made


ORDER = torch.randperm(160, generator=torch.Generator().manual_seed(0))


def test_batches_come_in_order_and_whole() -> None:
    made = list(in_advance(given := inputs_of(), ORDER, 32, 12))
    assert [[len(chunk.y) for chunk in chunks] for chunks in made] == [[12, 12, 8]] * 5
    assert torch.equal(made[0][0].x, given.batch(ORDER[:12]).x)


def stored() -> Inputs:
    views: dict[View, Tensor] = {
        "train": torch.rand(300, 8),
        "train_flipped": torch.rand(300, 8),
        "test": torch.rand(9, 8),
    }
    return StoredFeatures(cast(Pixels, inputs_of("augment=flip")), views)


@pytest.mark.parametrize(
    "made",
    [partial(inputs_of, "augment=strong"), partial(inputs_of, "augment=color"), stored],
    ids=["strong", "color", "stored"],
)
def test_batches_that_are_made_together_are_the_same(
    made: Callable[[], Inputs], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU. The twin: other draws are seen."""
    given = made()
    monkeypatch.setattr(inputs, "WINDOW", 65 * given.image_bytes)
    together = list(windows(given, ORDER, 32, 12))
    assert [len(window) for window in together] == [2, 2, 1]

    def values(steps: Iterable[list[Batch]]) -> list[Tensor]:
        return [value for chunks in steps for chunk in chunks for value in vars(chunk).values() if value is not None]

    alone = values(in_advance(given, ORDER, 32, 12))
    assert all(map(torch.equal, values(chain(*together)), alone))
    given.start(2)
    assert not all(map(torch.equal, values(chain(*windows(given, ORDER, 32, 12))), alone))

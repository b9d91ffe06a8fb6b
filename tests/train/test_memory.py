"""Too little memory: the optimizer sees the same batch, or the record says that it did not fit."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ablate.records.files import read_json
from ablate.records.record import State
from ablate.run import attempt, lifecycle
from ablate.train import augment
from ablate.train.graph import NoRoomForGraphs
from ablate.train.loop import train
from ablate.train.micro_batch import descend, images_at_once, is_out_of_memory
from ablate.train.model import Classifier, on_cpu, weights_sha256
from tests.given import TINY, config_of, planned, python, some_images

CPU = torch.device("cpu")
LIMIT = 16  # images that "fit"
CELL = ("batch_size=b64", "trainer.epochs=2", "trainer.tensorboard=false")


def out_of_memory() -> None:
    """As the CPU's allocator says it."""
    raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")


def execute(root: Path, *overrides: str) -> tuple[State, dict[str, Any]]:
    one = planned(root, *CELL, *overrides)
    state = lifecycle.execute(one, some_images())
    return state, read_json(one.folder().record)


@pytest.fixture(params=["augmentation", "forward", "backward", "step", "evaluation"])
def scarce(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory that runs out at one place, when more than LIMIT images are in the network."""
    seen = [0]

    def instead(owner: object, name: str, action: Callable[..., None]) -> None:
        original = getattr(owner, name)

        def replacement(*arguments: Any, **options: Any) -> Any:
            action(*arguments)
            return original(*arguments, **options)

        monkeypatch.setattr(owner, name, replacement)

    def enters(model: Classifier, images: torch.Tensor) -> None:
        seen[0] = len(images)
        place = "forward" if model.training else "evaluation"
        if len(images) > LIMIT and request.param == place:
            out_of_memory()

    def at(place: str) -> Callable[..., None]:
        return lambda *_: out_of_memory() if seen[0] > LIMIT and request.param == place else None

    def augments(images: torch.Tensor, *_: object) -> None:
        if len(images) > LIMIT and request.param == "augmentation":
            out_of_memory()

    instead(Classifier, "forward", enters)
    instead(torch.Tensor, "backward", at("backward"))
    instead(torch.optim.Adam, "step", at("step"))
    instead(augment, "apply", augments)


@pytest.mark.fault(12)
@pytest.mark.slow
@pytest.mark.usefixtures("scarce")
def test_wherever_memory_runs_out_the_run_starts_again_with_half(tmp_path: Path) -> None:
    """And ends like one that was told the number from the start."""
    state, entry = execute(tmp_path)
    assert state == State.DONE
    assert entry["batch"] == {"size": 64, "micro": LIMIT}
    assert entry["deviations"] == ["batches of 64 were trained as micro-batches of 16, which BatchNorm sees"]
    assert entry["epochs_done"] == 2
    told_state, told = execute(tmp_path / "told", f"batch_size.micro={LIMIT}")
    assert told_state == State.DONE
    assert told["weights_sha256"] == entry["weights_sha256"]
    assert told["metrics"] == entry["metrics"]


@pytest.mark.usefixtures("scarce")
@pytest.mark.parametrize("micro", ["never", "32"])
def test_a_number_that_was_asked_for_is_kept_and_out_of_memory_is_the_outcome(tmp_path: Path, micro: str) -> None:
    state, entry = execute(tmp_path, f"batch_size.micro={micro}")
    assert state == State.OOM
    assert entry["metrics"] == {}
    assert "DefaultCPUAllocator" in entry["error"]["message"]


@pytest.mark.slow
def test_all_seeds_of_a_cell_are_on_one_rung_and_other_cells_on_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        attempt,
        "train",
        lambda *arguments: out_of_memory() if images_at_once(arguments[0].batch_size) > LIMIT else train(*arguments),
    )
    execute(tmp_path, "seed=0")
    monkeypatch.setattr(attempt, "train", lambda *_: out_of_memory())
    assert execute(tmp_path, "seed=2")[1]["batch"]["micro"] == 2  # where it was given up, and nobody's example
    monkeypatch.setattr(attempt, "train", train)
    assert execute(tmp_path, "seed=1")[1]["batch"]["micro"] == LIMIT
    assert execute(tmp_path, "seed=1", "optimizer=sgd")[1]["batch"]["micro"] == 64
    assert execute(tmp_path, "seed=1", "optimizer=sgd")[1]["deviations"] == []


def test_the_last_rung_is_two_images_and_other_errors_are_no_lack_of_memory() -> None:
    tried: list[int] = []

    def attempt(micro: int) -> None:
        tried.append(micro)
        out_of_memory()

    with pytest.raises(RuntimeError, match="DefaultCPUAllocator"):
        descend(config_of("batch_size.size=24").batch_size, 24, attempt, not_called)
    assert tried == [24, 12, 6, 3]
    with pytest.raises(ZeroDivisionError):
        descend(config_of().batch_size, 64, lambda _: 1 / 0, not_called)


def not_called() -> None:
    pytest.fail("no graph was in use")


def test_where_graphs_hold_memory_the_same_rung_is_tried_without_them() -> None:
    tried: list[tuple[int, bool]] = []
    graphs = [True]

    def attempt(micro: int) -> int:
        tried.append((micro, graphs[0]))
        if graphs[0]:
            raise NoRoomForGraphs
        if micro > 16:
            out_of_memory()
        return micro

    assert descend(config_of("batch_size.size=24").batch_size, 24, attempt, lambda: graphs.__setitem__(0, False)) == 12
    assert tried == [(24, True), (24, False), (12, False)]


@pytest.mark.fault(81)
@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (MemoryError(), True),
        (RuntimeError("could not create a primitive"), True),  # as oneDNN says it, seen under a real limit
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("could not create a primitive descriptor for a convolution"), False),
        (RuntimeError("shapes do not match"), False),
        (ValueError("DefaultCPUAllocator"), False),
    ],
)
def test_lack_of_memory_is_known_in_all_its_words(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) == expected


def test_a_lower_rung_holds_nothing_of_the_one_above() -> None:
    """The failed attempt's tensors must be gone, or halving would not help."""
    import weakref

    class Big:
        pass

    kept: list[weakref.ref[Big]] = []

    def attempt(micro: int) -> bool:
        if micro == 64:
            big = Big()
            kept.append(weakref.ref(big))
            out_of_memory()
        return kept[0]() is None

    assert descend(config_of().batch_size, 64, attempt, not_called)


def weights(micro: int | None, *overrides: str) -> dict[str, torch.Tensor]:
    at_once = () if micro is None else (f"batch_size.micro={micro}",)
    words = ("optimizer=sgd", "batch_size=b32", "trainer.epochs=1", "augment=flip", *at_once, *overrides)
    return on_cpu(train(config_of(*words), some_images(test=20), CPU, lambda _: None))


NO_BATCHNORM = ("backbone=timm", "backbone.name=test_convnext", "optimizer.lr=0.01")


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [(), ("augment=mixup_cutmix",), ("trainer.label_smoothing=0.2",), ("augment=strong",), ("head=mlp512",)],
)
@pytest.mark.parametrize("micro", [16, 12])
def test_accumulated_gradients_are_the_whole_batchs(overrides: tuple[str, ...], micro: int) -> None:
    """To rounding, in a network without BatchNorm; 12 does not divide 32, so that shares differ."""
    whole, parts = weights(None, *NO_BATCHNORM, *overrides), weights(micro, *NO_BATCHNORM, *overrides)
    for name, tensor in whole.items():
        torch.testing.assert_close(parts[name], tensor, rtol=1e-3, atol=1e-4, msg=name)


def test_with_batchnorm_they_are_not(tmp_path: Path) -> None:
    whole, parts = weights(None, *TINY), weights(16, *TINY)
    assert max(float((parts[name] - tensor).abs().max()) for name, tensor in whole.items()) > 0.01


def test_the_whole_batch_at_once_is_as_if_there_were_no_micro_batches() -> None:
    assert weights_sha256(weights(32, *TINY)) == weights_sha256(weights(None, *TINY))


PROGRAM = """
import json, re, resource, sys
import torch, timm
from pathlib import Path
from tests.given import planned, some_images
from ablate.run import lifecycle
torch.set_num_threads(1)
one = planned(Path("."), "batch_size=b256", "data.resolution=160", "trainer.epochs=1", "trainer.tensorboard=false", *sys.argv[1:])
images = some_images(train=300, test=20)
used = int(re.search(r"VmSize:\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024
resource.setrlimit(resource.RLIMIT_AS, (used + 850 * 2**20,) * 2)
lifecycle.execute(one, images)
record = one.folder().read()
print(json.dumps({"size": record.batch.size, "micro": record.batch.micro, "state": record.state}))
"""


@pytest.mark.fault(13)
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="reads the memory in use from /proc")
@pytest.mark.slow
def test_a_real_limit_on_memory_is_met_by_micro_batches_or_is_the_outcome(tmp_path: Path) -> None:
    def state(*overrides: str) -> dict[str, Any]:
        done = python("-c", PROGRAM, *overrides, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return result

    never = state("batch_size.micro=never")
    assert never["state"] == "OOM"
    auto = state()
    assert auto["state"] == "DONE"
    assert 2 <= auto["micro"] < auto["size"] == 256

"""On a real GPU: `make test-gpu`. Graphs give the bits of the steps that they stand for, at every level of every axis."""

import json
from itertools import chain
from pathlib import Path

import pytest
import torch

from ablate.config.compose import config_folder
from ablate.train.graph import own_stream
from ablate.train.inputs import in_advance, windows
from ablate.train.loop import Epoch, Split, Training, train
from ablate.train.model import on_cpu, weights_sha256
from tests.given import TINY, config_of, execute, python, some_images

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no NVIDIA GPU here"),
]
CUDA = torch.device("cuda")
LEVELS = [
    f"{axis}={path.stem}"
    for axis in ("optimizer", "head", "augment", "weight_decay", "scheduler")
    for path in sorted((config_folder() / axis).glob("*.yaml"))
]


def trained(*words: str) -> tuple[str, Epoch]:
    epochs: list[Epoch] = []
    config = config_of(*TINY, "batch_size=b32", "trainer.epochs=2", *words)
    return weights_sha256(on_cpu(train(config, some_images(), torch.device("cuda"), epochs.append))), epochs[-1]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_every_level_gives_the_same_bits_with_graphs_and_without(level: str, precision: str) -> None:
    words = (level, f"trainer.precision={precision}")
    with_graphs, epoch = trained(*words)
    without, plain = trained(*words, "trainer.graph=false")
    assert with_graphs == without
    assert (epoch.graphs, plain.graphs) == ("used", "trainer.graph=false")
    assert torch.equal(epoch.test.logits, plain.test.logits)


@pytest.mark.parametrize(
    "words",
    [
        ("batch_size.micro=12",), ("trainer.ema=0.9", "trainer.clip_norm=1"), ("trainer.precision=fp16",),
        ("backbone.freeze=stages:2",), ("trainer.channels_last=false",), ("trainer.deterministic=false",),
    ],
    ids=" ".join,
)  # fmt: skip
def test_so_do_other_settings(words: tuple[str, ...]) -> None:
    assert trained(*words)[0] == trained(*words, "trainer.graph=false")[0]


def started(*words: str) -> Training:
    config, images = config_of(*TINY, "batch_size=b32", *words), some_images()
    training = Training(config, images, Split.of(config, images), CUDA, lambda: None)
    training.inputs.start(1)
    training.model.train()
    return training


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_no_step_waits_for_the_device(optimizer: str, precision: str) -> None:
    """The twin: what waits raises."""
    words = (f"optimizer={optimizer}", f"trainer.precision={precision}", "augment=mixup_cutmix", "scheduler=cosine")
    with own_stream(CUDA):
        training = started(*words, "trainer.ema=0.9", "trainer.clip_norm=1")
        made = list(in_advance(training.inputs, torch.arange(256), 32, 32))
        for chunks in made[:5]:  # the third is recorded
            training.step(chunks)
        torch.cuda.set_sync_debug_mode("error")
        try:
            training.step(made[5])
            with pytest.raises(RuntimeError, match="synchroniz"):
                training.loss_sum.item()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert training.graphs == "used"


@pytest.mark.parametrize("level", [level for level in LEVELS if level.startswith("augment=")])
def test_batches_that_are_made_together_are_the_same(level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = started(level).inputs
    monkeypatch.setattr("ablate.train.inputs.WINDOW", 65 * given.image_bytes)
    alone = [given.batch(index) for index in torch.arange(160).split(32)]
    together = [batch for (batch,) in chain(*windows(given, torch.arange(160), 32, 32))]
    for one, other in zip(alone, together, strict=True):
        for name, value in vars(one).items():
            assert value is None or torch.equal(value, getattr(other, name)), name


def test_evaluation_is_replayed_in_one_shape_and_leaves_the_training_graph_as_it_is() -> None:
    """The holdout and the end of the test set fill no batch of evaluation."""
    words = ("trainer.epochs=6", "batch_size.size=64")
    images = some_images(test=330)
    found = []
    for more in ((), ("trainer.graph=false",)):
        config = config_of(*TINY, *words, *more)
        found.append(weights_sha256(on_cpu(train(config, images, torch.device("cuda"), lambda _: None))))
        torch.cuda.empty_cache()
    assert found[0] == found[1]


def test_data_that_do_not_fit_are_streamed_to_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    held = trained("augment=flip_crop")[0]
    monkeypatch.setattr("ablate.train.inputs.HELD_SHARE", 0.0)
    assert trained("augment=flip_crop")[0] == held


def test_lack_of_memory_takes_a_rung_and_no_graph_decides_it(tmp_path: Path) -> None:
    """All but a little of the memory is held by something else."""
    free, _ = torch.cuda.mem_get_info()
    torch.cuda.set_per_process_memory_fraction(1.0)
    taken = torch.empty(free - (1 << 30), dtype=torch.uint8, device="cuda")
    try:
        state, _, entry = execute(tmp_path, "trainer.device=cuda", "data.resolution=224", "batch_size.size=256")
    finally:
        del taken
        torch.cuda.empty_cache()
    assert state in ("DONE", "OOM")
    assert entry["batch"]["micro"] < 256


def test_a_run_is_reproduced_to_the_bit(tmp_path: Path) -> None:
    words = (*TINY, "batch_size=b32", "trainer.epochs=2", "trainer.device=cuda", "study.name=main")
    done = python("-m", "ablate", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (run,) = (tmp_path / "outputs" / "main").glob("*-s0-*")
    entry = json.loads((run / "record.json").read_text())
    assert entry["graphs"] == "used"
    assert "trainer.precision=" in entry["command"]
    again = python("-m", "ablate", "reproduce", str(run), cwd=tmp_path)
    assert again.returncode == 0, again.stdout + again.stderr

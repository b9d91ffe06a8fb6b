"""One run's life: whatever goes wrong in it is a result, and says what it was."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.tensorboard import FileWriter, SummaryWriter

from ablate.config.schema import Config
from ablate.records.record import State
from ablate.records.run_folder import RunFolder
from ablate.run import attempt, lifecycle
from ablate.train.graph import NoRoomForGraphs
from ablate.train.loop import Diverged
from tests.given import execute, planned, some_images


def test_a_finished_run_leaves_the_whole_record(tmp_path: Path) -> None:
    state, folder, entry = execute(tmp_path)
    assert state == entry["state"] == "DONE"
    assert entry["levels"]["optimizer"] == "adam"
    assert entry["levels"]["backbone.name"] == "test_resnet"
    assert 0 <= entry["metrics"]["test_accuracy"] <= 1
    assert entry["error"] is None
    assert entry["epochs_done"] == 2
    assert entry["environment"]["packages"]["torch"] == torch.__version__.partition("+")[0]
    assert [row["epoch"] for row in folder.read_metrics()] == [1, 2]
    with np.load(folder.predictions) as predictions:
        accuracy = (predictions["logits"].argmax(1) == predictions["labels"]).mean()
        assert predictions["logits"].dtype == np.float16
    assert accuracy == pytest.approx(entry["metrics"]["test_accuracy"], abs=0.02)
    for epoch in (1, 2):
        counts = np.loadtxt(folder.confusion / f"epoch_{epoch:04d}.csv", delimiter=",")
        assert counts.shape == (10, 10)
        assert counts.sum() == 100
    assert folder.events()
    assert "epoch 2/2" in folder.log.read_text()
    assert folder.weights.exists()
    assert not [p for p in folder.path.rglob("*") if p.name.endswith(".tmp")]


class Panic(BaseException):
    """As Rust code raises it, seen from safetensors when memory had run out."""


@pytest.mark.fault(81)
@pytest.mark.parametrize(
    ("error", "state", "message"),
    [
        (RuntimeError("broken"), "FAILED", "broken"),
        (ValueError("bad weights"), "FAILED", "bad weights"),
        (SystemExit(3), "FAILED", "the run exited with 3"),
        (Panic("PyObject pointer is null"), "FAILED", "PyObject pointer is null"),
        (Diverged("the training loss is nan in epoch 1"), "DIVERGED", "nan in epoch 1"),
        (torch.OutOfMemoryError("CUDA out of memory"), "OOM", "CUDA out of memory"),
        (MemoryError(), "OOM", "MemoryError"),
        (torch.OutOfMemoryError(""), "OOM", "OutOfMemoryError"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "OOM", "DefaultCPUAllocator"),
    ],
)
def test_how_a_run_ends_is_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, state: str, message: str
) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(attempt, "train", fails)
    ended, folder, entry = execute(tmp_path)
    assert ended == entry["state"] == state
    assert message in entry["error"]["message"]
    assert "Traceback" in entry["error"]["traceback"]
    assert "Traceback" in folder.log.read_text()
    assert entry["ended"] is not None


def test_an_interrupted_run_says_so_and_the_interrupt_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(attempt, "train", stopped)
    one = planned(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        lifecycle.execute(one, some_images())
    assert one.folder().read().state == "INTERRUPTED"


@pytest.mark.slow
def test_a_real_allocation_that_cannot_be_had_is_out_of_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt, "train", lambda *_: torch.empty(2**60))
    assert execute(tmp_path)[0] == State.OOM


def test_an_operation_without_a_deterministic_form_is_named_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def puts(*_: object) -> None:
        torch.zeros(3).put_(torch.tensor([1]), torch.tensor([1.0]))
        raise RuntimeError("it went through")

    monkeypatch.setattr(attempt, "train", puts)
    message = execute(tmp_path)[2]["error"]["message"]
    assert message.startswith("put_ has no deterministic form on this device; trainer.deterministic=false trains it")
    assert execute(tmp_path / "free", "trainer.deterministic=false")[2]["error"]["message"] == "it went through"


def test_a_second_attempt_starts_from_a_clean_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    execute(tmp_path)
    monkeypatch.setattr(attempt, "train", lambda *_: 1 / 0)
    state, folder, entry = execute(tmp_path)
    assert state == State.FAILED
    assert entry["metrics"] == {}
    assert folder.read_metrics() == []
    assert not folder.predictions.exists()
    assert not folder.weights.exists()


@pytest.mark.fault(9)
@pytest.mark.parametrize(
    ("owner", "broken"), [(SummaryWriter, "add_scalar"), (FileWriter, "add_summary"), (SummaryWriter, "close")]
)
def test_tensorboard_may_fail_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, broken: str
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(owner, broken, full)
    state, folder, _ = execute(tmp_path)
    assert state == State.DONE
    assert len(folder.read_metrics()) == 2
    assert folder.log.read_text().count("TensorBoard is off") == 1


@pytest.mark.parametrize(("keep", "kept"), [("none", 0), ("best", 1), ("all", 3)])
@pytest.mark.slow
def test_weights_are_kept_as_asked(tmp_path: Path, keep: str, kept: int) -> None:
    folders = [execute(tmp_path, f"trainer.keep_weights={keep}", f"seed={seed}")[1] for seed in range(3)]
    with_weights = [f for f in folders if f.weights.exists()]
    assert len(with_weights) == kept
    if keep == "best":
        best: Callable[[RunFolder], float] = lambda f: f.read().metrics["holdout_accuracy"]  # noqa: E731
        assert best(with_weights[0]) == max(best(f) for f in folders)


def test_the_recorded_configuration_can_be_used_from_another_folder(tmp_path: Path) -> None:
    one = planned(tmp_path, "data.cache=relative")
    assert lifecycle.portable(one.composed).data.cache == str(Path("relative").absolute())
    assert one.config.data.cache == "relative"


@pytest.mark.parametrize("fits", [True, False])
def test_why_a_run_on_a_gpu_has_no_graphs_is_recorded(
    fits: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a GPU, as far as a CPU can be taken for one: that they were given up is not that they were not wanted."""
    described, trains, wanted = attempt.environment.describe, attempt.train, []

    def train(config: Config, *rest: Any) -> Any:
        wanted.append(config.trainer.graph)
        if not fits and len(wanted) == 1:
            raise NoRoomForGraphs
        return trains(config, *rest)

    monkeypatch.setattr(attempt.environment, "describe", lambda *given: described(*given) | {"device": "cuda:0"})
    monkeypatch.setattr(attempt, "train", train)
    _, _, entry = execute(tmp_path, "trainer.epochs=1")
    assert wanted == ([True] if fits else [True, False])
    assert entry["graphs"] == ("there are none on cpu" if fits else "memory ran out with them")

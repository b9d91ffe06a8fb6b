"""A run that was stopped goes on to the bits that an undisturbed one gives, and every piece of state is needed for it."""

import math
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from ablate.config.schema import Config
from ablate.data.cache import Images
from ablate.data.datasets import load
from ablate.records.files import read_json
from ablate.records.run_folder import TIMINGS
from ablate.run import environment
from ablate.system.signals import Interrupted, Stop
from ablate.train import checkpoint
from ablate.train.checkpoint import Checkpoints, Saved
from ablate.train.loop import Epoch, train
from ablate.train.model import on_cpu, weights_sha256
from tests.given import ROOT, TINY, config_of, some_images
from tests.train.training import LEVELS, MORE

CPU = torch.device("cpu")
Rows = list[dict[str, float]]
Place = tuple[int, int]  # an epoch and how many of its steps are done


class StopsAt(Checkpoints):
    """A signal comes when training is at a place; with `evaluating`, in the evaluation that follows it."""

    def __init__(self, path: Path, place: Place | None, evaluating: bool = False, saved: Saved | None = None) -> None:
        super().__init__(path, None, Stop(), saved=saved)
        self.place, self.evaluating, self.seen = place, evaluating, False

    def between_steps(self, state: Callable[[], Saved]) -> None:
        here = state()
        if (here["epoch"], here["step"]) == self.place:
            if self.seen or not self.evaluating:
                self.stop.received = signal.SIGTERM
            self.seen = True
        super().between_steps(state)


def images(count: int) -> Images:
    return some_images(train=count, test=50)


def config_with(words: tuple[str, ...], micro: int | None) -> Config:
    return config_of(*words, *([] if micro is None else [f"batch_size.micro={micro}"]))


def run(
    words: tuple[str, ...], count: int, checkpoints: Checkpoints | None = None, micro: int | None = None
) -> tuple[str, Rows, list[str]]:
    """The final weights' hash, every epoch's metrics but the timings, and its digest."""
    epochs: list[Epoch] = []
    network = train(config_with(words, micro), images(count), CPU, epochs.append, checkpoints)
    rows = [{k: v for k, v in epoch.row.items() if k not in TIMINGS} for epoch in epochs]
    return weights_sha256(on_cpu(network)), rows, [epoch.digest for epoch in epochs]


def resumed(
    path: Path, words: tuple[str, ...], count: int, place: Place, micro: int | None = None, evaluating: bool = False,
    spoil: Callable[[Saved], None] = lambda _: None,
) -> tuple[str, Rows, list[str]]:  # fmt: skip
    """The same after a stop at a place, with the state that was saved there, which `spoil` may change."""
    before: list[Epoch] = []
    with pytest.raises(Interrupted, match="SIGTERM"):
        train(
            config_with(words, micro),
            images(count),
            CPU,
            before.append,
            StopsAt(path, place, evaluating),
        )
    saved = checkpoint.load(path)
    assert saved is not None
    assert (saved["epoch"], saved["step"]) == place
    spoil(saved)
    weights, rows, digests = run(words, count, StopsAt(path, None, saved=saved), micro)
    first = [{k: v for k, v in epoch.row.items() if k not in TIMINGS} for epoch in before]
    return weights, first + rows, [epoch.digest for epoch in before] + digests


def words_of(level: str) -> tuple[tuple[str, ...], int]:
    """The settings of a short training with a level, and how many images give it three steps in an epoch."""
    words = (*TINY, "trainer.epochs=2", *(() if level.startswith("batch") else ("batch_size=b32",)), level)
    return words, max(120, math.ceil(3 * config_of(*words).batch_size.size / 0.9) + 3)


LARGE = ("batch_size=b256", "batch_size=b512", "batch_size=b1024")  # a number like the others, and thousands of images


@pytest.mark.slow
@pytest.mark.parametrize("level", [level for level in (*LEVELS, *MORE) if level not in LARGE])
def test_every_level_of_every_axis_goes_on_in_the_middle_of_an_epoch(level: str, tmp_path: Path) -> None:
    words, count = words_of(level)
    assert resumed(tmp_path / "c.pt", words, count, place=(2, 1)) == run(words, count)


@pytest.mark.slow
@pytest.mark.parametrize(("place", "evaluating"), [((1, 0), False), ((2, 0), False), ((1, 3), False), ((2, 3), True)])
def test_at_every_kind_of_place(place: Place, evaluating: bool, tmp_path: Path) -> None:
    """Before anything, between epochs, before an evaluation and in it."""
    words, count = words_of("scheduler=one_cycle")
    assert resumed(tmp_path / "c.pt", words, count, place, evaluating=evaluating) == run(words, count)


def test_with_micro_batches_too(tmp_path: Path) -> None:
    words, count = words_of("head=mlp512x2")
    assert resumed(tmp_path / "c.pt", words, count, (2, 2), micro=12) == run(words, count, micro=12)


# -- leave out a piece, and the bits differ ---------------------------------------------------


def fresh(words: tuple[str, ...], part: str) -> Callable[[Saved], None]:
    """Put a part back to what it is before the first step."""

    def spoil(saved: Saved) -> None:
        start: dict[str, Any] = {}

        class Peek(Checkpoints):
            def between_steps(self, state: Callable[[], Saved]) -> None:
                start.update(state())
                raise Interrupted(signal.SIGTERM)

        with pytest.raises(Interrupted):
            run(words, 120, Peek())
        saved[part] = start[part]

    return spoil


def without_norms_statistics(saved: Saved) -> None:
    for name, tensor in saved["network"].items():
        if "running_mean" in name:
            tensor.zero_()
        elif "running_var" in name:
            tensor.fill_(1)


# Its holdout loss stays where it is, so that the schedule acts in every epoch but the best, the first.
PLATEAU = (
    *TINY,
    "batch_size=b32",
    "trainer.epochs=4",
    "scheduler=plateau_eager",
    "optimizer=sgd",
    "optimizer.lr=1e-6",
    "backbone.freeze=true",
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("piece", "words", "place"),
    [
        ("network", words_of("optimizer=sgd")[0], (2, 1)),
        ("norms", words_of("optimizer=sgd")[0], (2, 1)),
        ("optimizer", words_of("optimizer=sgd")[0], (2, 1)),
        ("optimizer", words_of("optimizer=adam")[0], (2, 1)),
        ("schedule", words_of("scheduler=cosine")[0], (2, 1)),
        ("schedule", PLATEAU, (3, 0)),  # which epoch was the best, and how many have passed since
        ("scaler", words_of("trainer.precision=fp16")[0], (2, 1)),
        ("averaged", words_of("trainer.ema=0.9")[0], (2, 1)),
        ("epoch", words_of("optimizer=sgd")[0], (2, 1)),
        ("step", words_of("optimizer=sgd")[0], (2, 1)),
        ("loss_sum", words_of("optimizer=sgd")[0], (2, 1)),
        ("correct", words_of("optimizer=sgd")[0], (2, 1)),
        ("digest", words_of("optimizer=sgd")[0], (2, 1)),
        ("lr", words_of("scheduler=one_cycle")[0], (2, 3)),
    ],
)  # fmt: skip
def test_without_a_piece_of_the_state_the_result_differs(
    piece: str, words: tuple[str, ...], place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Else the scale stays what it is in so few steps.
    monkeypatch.setattr(torch.amp, "GradScaler", partial(torch.amp.GradScaler, growth_interval=1))
    undisturbed = run(words, 120)
    path = tmp_path / "c.pt"
    assert resumed(path, words, 120, place) == undisturbed
    spoil = without_norms_statistics if piece == "norms" else fresh(words, piece)
    assert resumed(path, words, 120, place, spoil=spoil) != undisturbed


# -- the file ---------------------------------------------------------------------------------


@pytest.mark.fault(41)
def test_a_damaged_checkpoint_is_never_gone_on_from(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "checkpoint.pt"
    checkpoint.write(path, {"weights": torch.arange(100), "rows": [{"epoch": 1}]})
    whole = path.read_bytes()
    assert torch.equal(checkpoint.load(path)["weights"], torch.arange(100))  # type: ignore[index]
    for position in range(0, len(whole), max(1, len(whole) // 50)):
        spoilt = bytearray(whole)
        spoilt[position] ^= 1
        path.write_bytes(spoilt)
        assert checkpoint.load(path) is None
        path.write_bytes(whole[:position])
        assert checkpoint.load(path) is None
    assert "is damaged: its checksum does not fit" in caplog.text
    assert checkpoint.load(tmp_path / "none") is None


@pytest.mark.fault(44)
def test_a_payload_in_a_checkpoint_is_not_executed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "executed"),)

    path = tmp_path / "checkpoint.pt"
    checkpoint.write(path, {"payload": Payload()})
    assert checkpoint.load(path) is None
    assert not (tmp_path / "executed").exists()
    assert "holds more than tensors and plain types" in caplog.text
    pickle.loads(pickle.dumps(Payload()))  # the twin: it would have worked
    assert (tmp_path / "executed").exists()


def test_a_state_of_another_format_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint.write(tmp_path / "c.pt", {})
    monkeypatch.setattr(checkpoint, "FORMAT", checkpoint.FORMAT + 1)
    assert checkpoint.load(tmp_path / "c.pt") is None


def test_how_often_a_state_is_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now[0])
    written: list[float] = []
    monkeypatch.setattr(checkpoint, "write", lambda *_: written.append(now[0]))

    def saves(every: int, time: str) -> list[float]:
        now[0], settings = 0.0, config_of(f"trainer.checkpoint_every={every}", f"trainer.checkpoint_time={time}")
        checkpoints = Checkpoints(tmp_path, settings.trainer)
        written.clear()
        for epoch in range(1, 7):  # of 8 seconds, in four steps
            for _ in range(4):
                now[0] += 2
                checkpoints.between_steps(dict)
            checkpoints.after_epoch(epoch, dict)
        return list(written)

    assert saves(1, "null") == [16, 32, 48]  # not twice in ten seconds
    assert saves(3, "null") == [24, 48]
    assert saves(100, "15s") == [16, 32, 48]  # at the next step
    assert saves(1, "0") == [
        2,
        4,
        6,
        8,
        8,
        10,
        12,
        14,
        16,
        16,
        *range(18, 26, 2),
        24,
        *range(26, 34, 2),
        32,
        *range(34, 42, 2),
        40,
        *range(42, 50, 2),
        48,
    ]


# -- signals ----------------------------------------------------------------------------------


@pytest.fixture
def long_run(image_folder: Callable[..., Path]) -> tuple[str, ...]:
    """A run of many short epochs, in which a signal comes between any two of them."""
    folder = f"data.path={image_folder(train=40, val=10)}"
    return (
        *TINY,
        "batch_size=b32",
        "trainer.epochs=60",
        "optimizer=sgd",
        "trainer.tensorboard=false",
        "data=folder",
        folder,
        "data.size=32",
    )


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "ablate", *words], cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def wait_for_epochs(folder: Path, number: int, child: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 300
    while not any(p.read_text().count("\n") > number for p in folder.glob("outputs/runs/*/metrics.csv")):
        assert child.poll() is None, child.stdout.read()  # type: ignore[union-attr]
        assert time.monotonic() < deadline
        time.sleep(0.01)


def the_record(folder: Path) -> tuple[Path, dict[str, Any]]:
    import json

    (path,) = folder.glob("outputs/runs/*/record.json")
    return path.parent, json.loads(path.read_text())


@pytest.mark.fault(4, 5)
@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGUSR1", "SIGUSR2"])
def test_a_signal_saves_and_the_same_command_goes_on(name: str, long_run: tuple[str, ...], tmp_path: Path) -> None:
    number = signal.Signals[name]
    child = start(tmp_path, *long_run)
    wait_for_epochs(tmp_path, 2, child)
    for _ in range(3):  # more of them, while it saves, change nothing
        child.send_signal(number)
        time.sleep(0.005)
    output, _ = child.communicate(timeout=300)
    assert child.returncode == 128 + number, output
    assert "Traceback" not in output
    folder, entry = the_record(tmp_path)
    assert entry["state"] == "INTERRUPTED"
    assert entry["error"]["message"] == f"stopped by {name}"
    assert (folder / "checkpoint.pt").exists()
    again = start(tmp_path, *long_run)
    output, _ = again.communicate(timeout=300)
    assert again.returncode == 0, output
    folder, entry = the_record(tmp_path)
    assert entry["state"] == "DONE"
    assert not (folder / "checkpoint.pt").exists()
    (place,) = entry["resumed"]
    assert place["differences"] == []
    assert place["epoch"] > 2
    epochs: list[Epoch] = []
    config = config_of(*long_run)
    undisturbed = train(config, load(config.data), CPU, epochs.append)
    assert entry["weights_sha256"] == weights_sha256(on_cpu(undisturbed))
    assert entry["epoch_digests"] == [epoch.digest for epoch in epochs]
    assert [float(line.split(",")[0]) for line in (folder / "metrics.csv").read_text().splitlines()[1:]] == list(
        range(1, 61)
    )


REQUEUES = """
import signal, sys
from ablate.commands.cli import main
def requeue(number, frame):  # as submitit's handler does: it submits the job again and exits
    print("requeued by", signal.Signals(number).name, flush=True)
    sys.exit(7)
signal.signal(signal.SIGUSR2, requeue)
sys.argv[0] = "ablate"
main()
"""


@pytest.mark.slow
def test_the_handler_that_was_there_is_called_after_the_state_is_safe(
    long_run: tuple[str, ...], tmp_path: Path
) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", REQUEUES, *long_run], cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    wait_for_epochs(tmp_path, 1, child)
    child.send_signal(signal.SIGUSR2)
    output, _ = child.communicate(timeout=300)
    assert child.returncode == 7, output
    assert "requeued by SIGUSR2" in output
    folder, entry = the_record(tmp_path)
    assert entry["state"] == "INTERRUPTED"
    assert checkpoint.load(folder / "checkpoint.pt") is not None


def test_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)]
    with Stop() as stop:
        os.kill(os.getpid(), signal.SIGUSR1)
        assert stop.received == signal.SIGUSR1
        with pytest.raises(Interrupted):
            stop.check()
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)] == before


# -- around the training ----------------------------------------------------------------------


def test_going_on_elsewhere_is_a_deviation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ablate.run import attempt, lifecycle
    from tests.given import planned

    one = planned(tmp_path, "trainer.checkpoint_time=0")
    original = attempt.train

    def stopped(*arguments: Any) -> None:
        arguments[4].stop.received = signal.SIGTERM
        original(*arguments)

    monkeypatch.setattr(attempt, "train", stopped)
    with pytest.raises(Interrupted):
        lifecycle.execute(one, some_images(train=100, test=20))
    monkeypatch.setattr(attempt, "train", original)
    monkeypatch.setattr(environment, "PACKAGES", ("torch",))
    assert lifecycle.execute(one, some_images(train=100, test=20)) == "DONE"
    entry = read_json(one.folder().record)
    assert entry["resumed"][0]["differences"][0].startswith("packages hydra-core: ")
    assert entry["deviations"][0].startswith("resumed in epoch 1 in another environment: packages hydra-core: ")


@pytest.mark.fault(48)
def test_a_run_that_another_process_trains_is_left_to_it(tmp_path: Path) -> None:
    from filelock import FileLock

    from ablate.records.lock import Held
    from ablate.run import lifecycle
    from tests.given import planned

    one = planned(tmp_path)
    one.folder().path.mkdir(parents=True)
    with FileLock(one.folder().lock), pytest.raises(Held, match="is being trained by another process"):
        lifecycle.execute(one, some_images(train=100, test=20))
    assert not one.folder().record.exists()


def test_a_run_that_another_process_has_just_trained_is_not_trained_again(tmp_path: Path) -> None:
    from ablate.run import lifecycle
    from ablate.run.outcome import is_settled
    from tests.given import planned

    one = planned(tmp_path, "trainer.epochs=1")
    images = some_images(train=100, test=20)
    assert lifecycle.execute(one, images) == "DONE"
    before = one.folder().record.read_bytes()
    assert lifecycle.execute(one, images, lambda: is_settled(one)) == "DONE"
    assert one.folder().record.read_bytes() == before
    assert lifecycle.execute(one, images) == "DONE"  # the twin
    assert one.folder().record.read_bytes() != before
    again = planned(tmp_path, "trainer.epochs=1", "force=true")
    assert not is_settled(again)
    assert is_settled(again, before={})  # by another sweep since this one began

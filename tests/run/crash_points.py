"""Every place where a run touches the disk, failing or killing the process once; then the run is started again.

    python -m tests.run.crash_points [--every N] [--naive]

Each open, write, half-written write, fsync, rename and removal of a run that saves its state after every step is a
point. At each, three things happen in turn: the call raises "no space left", the process ends before the call, and
(for writes) the process ends with half of the bytes written. The run that follows has to end with the weights,
the digests and the metrics (all columns but the two timings) of an undisturbed run. `--naive` is the negative
control: the same points against a writer that most programs have, which replaces files in place and appends rows.
Prints one line of JSON. Needs fork, as on Linux and macOS.
"""

import argparse
import errno
import io
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ablate.records import files, run_folder
from ablate.run import lifecycle
from ablate.train import checkpoint
from tests.given import planned, some_images

KILLED = 9
MODES = ("fails", "kills", "kills half-way")
SETTINGS = ("trainer.checkpoint_time=0", "trainer.tensorboard=false", "optimizer=sgd", "trainer.keep_weights=all")


class Faults:
    """Counts the calls that touch the disk, and at one of them does what `mode` says."""

    def __init__(self, at: int | None, mode: str) -> None:
        self.at, self.mode, self.count = at, mode, 0
        self.writes: list[int] = []  # which of the points are writes

    def point(self, half: Callable[[], None] | None = None) -> None:
        here = self.count
        self.count += 1
        if half is not None:
            self.writes.append(here)
        if here != self.at:
            return
        if self.mode == "fails":
            raise OSError(errno.ENOSPC, "No space left on device")
        if self.mode == "kills half-way" and half is not None:
            half()
        os._exit(KILLED)

    def install(self) -> None:
        for owner, name in ((tempfile, "mkstemp"), (os, "fsync"), (os, "replace"), (Path, "unlink"), (Path, "mkdir")):
            self._before(owner, name)
        fdopen = os.fdopen
        os.fdopen = lambda *a, **k: Watched(fdopen(*a, **k), self)  # type: ignore[assignment]

    def _before(self, owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def instead(*arguments: Any, **options: Any) -> Any:
            self.point()
            return original(*arguments, **options)

        setattr(owner, name, instead)


class Watched:
    """A file whose writes are points."""

    def __init__(self, file: Any, faults: Faults) -> None:
        self.file, self.faults = file, faults

    def write(self, content: bytes) -> int:
        def half() -> None:
            self.file.write(content[: len(content) // 2])
            self.file.flush()

        self.faults.point(half)
        return int(self.file.write(content))

    def __enter__(self) -> "Watched":
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


def write_naively() -> None:
    """What is done where nobody thought of it: files replaced in place, rows appended, states trusted."""

    def write_in_place(path: Path, *parts: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), "wb") as file:
            for part in parts:
                file.write(part)

    def append_row(folder: run_folder.RunFolder, rows: list[dict[str, float]]) -> None:
        known = folder.metrics.read_text() if folder.metrics.exists() else ",".join(run_folder.METRIC_COLUMNS) + "\n"
        row = ",".join(str(rows[-1][name]) for name in run_folder.METRIC_COLUMNS)
        write_in_place(folder.metrics, f"{known}{row}\n".encode())

    def trust(path: Path) -> Any:
        if path.exists():
            return torch.load(io.BytesIO(path.read_bytes()[checkpoint.HEADER :]), weights_only=True)
        return None

    files.write_bytes = write_in_place  # type: ignore[assignment]
    run_folder.RunFolder.write_metrics = append_row  # type: ignore[assignment, method-assign]
    checkpoint.load = trust


def in_child(work: Callable[[], None]) -> int:
    """Run in a forked process, silently; return how it ended: 0, 1 for an exception, or KILLED."""
    child = os.fork()
    if child == 0:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def outcome(root: Path) -> tuple[Any, ...] | None:
    """What has to be the same; None when the run has not come to its end."""
    folder = planned(root, *SETTINGS).folder()
    try:
        record, rows = folder.read(), folder.read_metrics()
        if record.state != "DONE" or folder.checkpoint.exists() or not folder.predictions.exists():
            return None
    except ValueError:
        return None
    metrics = [tuple(v for k, v in row.items() if k not in run_folder.TIMINGS) for row in rows]
    matrices = sorted((path.name, path.read_text()) for path in folder.confusion.iterdir())
    left = list(folder.path.rglob("*.tmp"))
    return record.weights_sha256, record.epoch_digests, record.metrics, metrics, matrices, left


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="try only every so many points")
    parser.add_argument("--naive", action="store_true", help="the negative control")
    options = parser.parse_args()
    torch.set_num_threads(1)
    images = some_images(train=80, test=20)  # two steps in an epoch
    if options.naive:
        write_naively()
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)

        def execute(name: str, faults: Faults | None = None) -> int:
            def work() -> None:
                one = planned(root / name, *SETTINGS)
                if faults is not None:
                    faults.install()
                state = lifecycle.execute(one, images)
                if faults is not None:
                    (root / f"{name}.count").write_text(json.dumps([faults.count, faults.writes]))
                assert state == "DONE"

            return in_child(work)

        assert execute("undisturbed", Faults(None, "")) == 0
        expected = outcome(root / "undisturbed")
        assert expected is not None
        count, writes = json.loads((root / "undisturbed.count").read_text())
        tried, ended, wrong = 0, dict.fromkeys(MODES, 0), []
        for point in range(0, count, options.every):
            for mode in MODES:
                if mode == "kills half-way" and point not in writes:
                    continue
                name = f"{point}-{mode.replace(' ', '-')}"
                first = execute(name, Faults(point, mode))
                ended[mode] += first != 0
                execute(name)
                tried += 1
                if outcome(root / name) != expected:
                    wrong.append(name)
    print(json.dumps({"points": count, "tried": tried, "same": tried - len(wrong), "disturbed": ended, "wrong": wrong}))


if __name__ == "__main__":
    main()

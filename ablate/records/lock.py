"""Which process trains a run: a lock that ends with the process that holds it, and the holder's name."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from ablate.records import files
from ablate.records.run_folder import RunFolder
from ablate.system.progress import beat

# Somebody who only asks whether the lock is held takes it for a moment.
PATIENCE = 1.0  # seconds


@dataclass(frozen=True)
class Holder:
    """The process that trains a run, as it named itself."""

    pid: int
    host: str
    since: str

    def __str__(self) -> str:
        where = "" if self.host == socket.gethostname() else f" on {self.host}"
        return f"process {self.pid}{where} since {self.since}"


class Held(Exception):
    """Another living process trains the run."""


@contextmanager
def hold(folder: RunFolder) -> Iterator[None]:
    """Hold a run's lock, naming this process as the holder. Raises Held when another process has it."""
    folder.path.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.lock)
    try:
        lock.acquire(timeout=PATIENCE, poll_interval=0.02)
    except Timeout:
        raise Held(f"{folder.path.name} is being trained by {_named(folder) or 'another process'}") from None
    try:
        files.write_json(folder.holder, asdict(Holder(os.getpid(), socket.gethostname(), files.now())))
        yield
    finally:
        lock.release()


def holder(folder: RunFolder) -> Holder | None:
    """The living process that trains a run; None when none does, also where the last one died with its name on it."""
    if not folder.lock.exists():
        return None
    try:
        with FileLock(folder.lock, timeout=0):
            return None
    except Timeout:
        return _named(folder) or Holder(0, "?", "?")
    except OSError:
        return None  # in a study that may only be read, no process that this one could ask trains


@contextmanager
def turn(path: Path) -> Iterator[None]:
    """Hold a lock over something that one process makes and others wait for; waiting is no stall."""
    lock = FileLock(path)
    while True:
        try:
            lock.acquire(timeout=1.0)
            break
        except Timeout:
            beat()
    try:
        yield
    finally:
        lock.release()


def _named(folder: RunFolder) -> Holder | None:
    try:
        entry = files.read_json(folder.holder)
        return Holder(int(entry["pid"]), str(entry["host"]), str(entry["since"]))
    except (ValueError, KeyError, TypeError):
        return None

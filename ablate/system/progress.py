"""How far a process is: a bar in a terminal, events for a launcher that watches, a few lines elsewhere.

A launcher that watches takes silence for a stall, so whatever takes long reports how far it is or calls beat().
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

EVERY = 0.25  # seconds between two events of one kind, so that steps of a millisecond do not wait for a pipe
PATIENCE = 3.0  # seconds that a reader waits for a first sign of life

_watcher: "Watcher | None" = None


class Watcher:
    """The launcher's end of a pipe, as a run writes to it: one JSON object per line, none when it is full."""

    def __init__(self, handle: int) -> None:
        os.set_blocking(handle, False)
        self.handle = handle
        self.last = 0.0

    def send(self, **event: Any) -> None:
        self.last = time.monotonic()
        with suppress(OSError):  # the launcher does not read it now: progress is not worth a run
            # Whole or not at all, as it is shorter than PIPE_BUF.
            os.write(self.handle, (json.dumps(event) + "\n").encode())

    def send_sometimes(self, **event: Any) -> None:
        if time.monotonic() - self.last >= EVERY:
            self.send(**event)


def watched_by(handle: int) -> None:
    """From now on, send the progress of this process into a pipe."""
    global _watcher
    _watcher = Watcher(handle)


def send(**event: Any) -> None:
    """Send a launcher something about the run, if one watches."""
    if _watcher is not None:
        _watcher.send(**event)


def beat() -> None:
    """Say that the process is alive, if a launcher watches. Costs next to nothing."""
    if _watcher is not None:
        _watcher.send_sometimes()


class Silence:
    """When to say how far things are, outside a terminal: after three seconds without a word, and each further time
    after twice as long, so that a log of many hours stays short."""

    def __init__(self) -> None:
        self.last = time.monotonic()
        self.patience = PATIENCE

    def broken(self) -> None:
        """Something has been said."""
        self.last = time.monotonic()

    def is_over(self) -> bool:
        """Whether it is time for a line, which the caller then says."""
        if time.monotonic() - self.last < self.patience:
            return False
        self.patience *= 2
        self.broken()
        return True


@contextmanager
def progress_bar(description: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
    """Yield a function that moves the bar on by a count, or what stands for a bar."""
    if _watcher is not None:
        yield _events(_watcher, description, total, unit)
    elif sys.stderr.isatty():
        with _bar(description, total, unit) as advance:
            yield advance
    else:
        yield _lines(description, total, unit)


def _lines(description: str, total: int, unit: str) -> Callable[[int], None]:
    done, silence = 0, Silence()

    def advance(count: int) -> None:
        nonlocal done
        done += count
        if silence.is_over():
            print(f"{description}: {done}/{total} {unit}", file=sys.stderr, flush=True)

    return advance


def _events(watcher: Watcher, description: str, total: int, unit: str) -> Callable[[int], None]:
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        watcher.send_sometimes(stage=description, done=done, total=total, unit=unit)

    watcher.send(stage=description, done=0, total=total, unit=unit)
    return advance


@contextmanager
def _bar(description: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(description, total=total)
        yield lambda count: bar.advance(task, count)

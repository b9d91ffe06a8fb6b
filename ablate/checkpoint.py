"""The state of an unfinished run: one file, replaced at once and checked before it is used.

It begins with the SHA-256 of what follows, which holds tensors and plain types only: all that training changes,
the position in the epoch, and the metrics of the epochs before. Randomness has no state that would have to be kept.
"""

import hashlib
import io
import logging
import pickle
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ablate import record
from ablate.config import TrainerConfig
from ablate.interrupt import Stop

log = logging.getLogger("ablate")
State = dict[str, Any]

FORMAT = 1  # raised when a state written before could not be gone on from
HEADER = 65  # the hash in hexadecimal digits and a line feed
# A run of seconds is not spent on saving: killed, it loses no more than this.
SPACING = 10.0  # seconds


def write(path: Path, state: State) -> None:
    """Replace the checkpoint; until that is safe on disk the one before it stays. Raises OSError naming the file."""
    content = io.BytesIO()
    torch.save(state | {"format": FORMAT}, content)
    digest = hashlib.sha256(content.getbuffer()).hexdigest()
    record.write_bytes(path, f"{digest}\n".encode(), content.getbuffer())


def read(path: Path) -> State | None:
    """The state on the CPU; None, said in the log, when there is none that can be trusted."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        log.warning("%s cannot be read (%s); starting from the beginning", path, error.strerror)
        return None
    if hashlib.sha256(content[HEADER:]).hexdigest().encode() != content[: HEADER - 1]:
        log.warning("%s is damaged: its checksum does not fit; starting from the beginning", path)
        return None
    try:
        state: State = torch.load(io.BytesIO(content[HEADER:]), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        reason = str(error).splitlines()[0]
        log.warning("%s holds more than tensors and plain types (%s); starting from the beginning", path, reason)
        return None
    if state.get("format") != FORMAT:
        log.warning("%s was written by another version; starting from the beginning", path)
        return None
    return state


class Checkpoints:
    """When the state of a training is saved; without a path, never.

    `beside` gives what the caller wants to find again next to the state. `saved` is the state to go on from.
    """

    def __init__(
        self,
        path: Path | None = None,
        trainer: TrainerConfig | None = None,
        stop: Stop | None = None,
        beside: Callable[[], State] = dict,
        saved: State | None = None,
    ) -> None:
        self.path = path
        self.stop = stop or Stop()
        self.beside = beside
        self.saved = saved
        self.every = trainer.checkpoint_every if trainer else 1
        minutes = trainer.checkpoint_minutes if trainer else None
        self.longest = float("inf") if minutes is None else 60 * minutes
        self.last = time.monotonic()

    def between_steps(self, state: Callable[[], State]) -> None:
        """Save when it is time to. Raises Interrupted, after saving, when a signal asks to stop."""
        self._save_if(self._since_last() >= self.longest, state)

    def after_epoch(self, epoch: int, state: Callable[[], State]) -> None:
        """Save after every so many epochs, unless that was done a moment ago. Raises as between_steps."""
        self._save_if(epoch % self.every == 0 and self._since_last() >= min(SPACING, self.longest), state)

    def _since_last(self) -> float:
        return time.monotonic() - self.last

    def _save_if(self, due: bool, state: Callable[[], State]) -> None:
        stop = self.stop.received is not None  # read once: a signal that comes now is for the next step
        if self.path is not None and (due or stop):
            write(self.path, state() | self.beside())
            self.last = time.monotonic()
        if stop:
            self.stop.check()

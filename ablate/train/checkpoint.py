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

from ablate.config.schema import TrainerConfig
from ablate.records import files
from ablate.system.signals import Stop

log = logging.getLogger("ablate")
Saved = dict[str, Any]  # the state of a training, and what its caller keeps next to it

FORMAT = 1  # raised when a state written before could not be resumed
HEADER = 65  # the hash in hexadecimal digits and a line feed
# A run of seconds is not spent on saving: killed, it loses no more than this.
SPACING = 10.0  # seconds


def write(path: Path, state: Saved) -> None:
    """Replace the checkpoint; until that is safe on disk the one before it stays. Raises OSError naming the file."""
    content = io.BytesIO()
    torch.save(state | {"format": FORMAT}, content)
    digest = hashlib.sha256(content.getbuffer()).hexdigest()
    files.write_bytes(path, f"{digest}\n".encode(), content.getbuffer())


def load(path: Path) -> Saved | None:
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
        state: Saved = torch.load(io.BytesIO(content[HEADER:]), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        reason = str(error).splitlines()[0]
        log.warning("%s holds more than tensors and plain types (%s); starting from the beginning", path, reason)
        return None
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        log.warning("%s was written by another version; starting from the beginning", path)
        return None
    return state


class Checkpoints:
    """When the state of a training is saved; without a path, never.

    `extra` returns what the caller wants to be saved with the state. `saved` is the state to resume from.
    """

    def __init__(
        self,
        path: Path | None = None,
        trainer: TrainerConfig | None = None,
        stop: Stop | None = None,
        extra: Callable[[], Saved] = dict,
        saved: Saved | None = None,
    ) -> None:
        self.path = path
        self.stop = stop or Stop()
        self.extra = extra
        self.saved = saved
        self.every = trainer.checkpoint_every if trainer else 1
        seconds = trainer.checkpoint_time if trainer else None
        self.longest = float("inf") if seconds is None else seconds
        self.last = time.monotonic()

    def between_steps(self, state: Callable[[], Saved]) -> None:
        """Save when it is time to. Raises Interrupted, after saving, when a signal asks to stop."""
        self._save_if(self._since_last() >= self.longest, state)

    def after_epoch(self, epoch: int, state: Callable[[], Saved]) -> None:
        """Save after every checkpoint_every epochs, unless that was done a moment ago. Raises as between_steps."""
        self._save_if(epoch % self.every == 0 and self._since_last() >= min(SPACING, self.longest), state)

    def _since_last(self) -> float:
        return time.monotonic() - self.last

    def _save_if(self, due: bool, state: Callable[[], Saved]) -> None:
        stop = self.stop.received is not None  # read once: a signal that comes now is for the next step
        if self.path is not None and (due or stop):
            write(self.path, state() | self.extra())
            self.last = time.monotonic()
        if stop:
            self.stop.check()

"""A run's record: what record.json holds, as types."""

import dataclasses
import enum
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ablate.records import files
from ablate.records.files import Finite

FORMAT = 1  # raised with each change of the layout; `UPGRADES` then brings older files up to date
UPGRADES: files.Upgrades = {}


class State(enum.StrEnum):
    RUNNING = "RUNNING"
    DONE = "DONE"
    FAILED = "FAILED"
    OOM = "OOM"
    DIVERGED = "DIVERGED"
    INTERRUPTED = "INTERRUPTED"

    def is_outcome(self) -> bool:
        """True when training the same run again would only repeat it."""
        return self in (State.DONE, State.OOM, State.DIVERGED)


@dataclass(frozen=True)
class Problem:
    """Why a run did not finish."""

    type: str
    message: str
    traceback: str = ""


@dataclass(frozen=True)
class DataSet:
    """What a run was trained and tested on; `train_images` include the holdout."""

    name: str
    fingerprint: str
    classes: list[str]
    train_images: int
    test_images: int

    def in_words(self) -> str:
        """One line for people."""
        return (
            f"{self.name}: {self.train_images} training images (holdout included), {self.test_images} test images, "
            f"{len(self.classes)} classes, fingerprint {self.fingerprint[:12]}"
        )


@dataclass(frozen=True)
class BatchSize:
    """Images that the optimizer saw in one step, and images that were in the network at once."""

    size: int
    micro: int


@dataclass
class Record:
    """Everything about one run but its weights and predictions.

    Accuracies are fractions, losses nats, `seconds` those of all attempts together. What a run has not reached, or what
    an older version did not write, is None or empty.
    """

    state: State
    signature: str
    levels: dict[str, str]  # {axis: level}, of every group and every single setting that was named
    seed: int
    metrics: dict[str, int | Finite]
    study: str = ""
    started: str | None = None
    ended: str | None = None
    seconds: Finite | None = None
    epochs: int | None = None
    epochs_done: int = 0
    weights_sha256: str | None = None
    initial_weights_sha256: str | None = None
    epoch_digests: list[str] = field(default_factory=list)  # hashes of the weights up to each epoch, chained
    peak_memory_bytes: int | None = None
    error: Problem | None = None
    command: str = ""
    identity: dict[str, Any] = field(default_factory=dict)  # everything that is hashed into the signature
    environment: dict[str, Any] = field(default_factory=dict)
    resumed: list[dict[str, Any]] = field(default_factory=list)  # when, where in the training, and what differed
    deviations: list[str] = field(default_factory=list)
    data: DataSet | None = None
    batch: BatchSize | None = None
    format: int = FORMAT

    @property
    def message(self) -> str:
        """What went wrong, in a sentence; "" where nothing did."""
        return self.error.message if self.error is not None else ""

    @property
    def seconds_per_epoch(self) -> float | None:
        return self.seconds / max(1, self.epochs_done) if self.seconds else None


def read(path: Path) -> Record:
    """Read record.json. Raises ValueError when it is missing, broken, newer than this version or not a record."""
    return files.read_typed(path, Record, FORMAT, UPGRADES)


def write(path: Path, record: Record) -> None:
    """Replace record.json. Raises OSError."""
    files.write_json(path, dataclasses.asdict(record))

"""A run's record: what record.json holds, as types."""

import dataclasses
import enum
import json
from collections.abc import Mapping
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
class Reading:
    """What was found where a data set's files lie, and what became of it: used + left out is all that lies there."""

    since: int = 1  # the first rules that give the same pixels: the highest of all files
    formats: dict[str, int] = field(default_factory=dict)  # {format: files used}
    left_out: dict[str, int] = field(default_factory=dict)  # {reason: files}
    examples: dict[str, list[str]] = field(default_factory=dict)  # {reason: some of those}
    sides: list[int] = field(default_factory=list)  # pixels: the shortest and the longest side of any picture
    leaked: int = 0  # test images whose file is a training image's too
    two_labels: int = 0  # files that stand under more than one label
    notes: list[str] = field(default_factory=list)  # what else a reader of results has to know

    def in_words(self) -> str:
        """The formats used, and what is left out by reason."""
        used = ", ".join(f"{count} {kind}" for kind, count in _most_first(self.formats))
        if not self.left_out:
            return used
        reasons = ", ".join(f"{count} {reason}" for reason, count in _most_first(self.left_out))
        count = sum(self.left_out.values())
        return f"{used}; left out {count} {'file' if count == 1 else 'files'}: {reasons}"

    def warnings(self) -> list[str]:
        """What a reader of results has to know of the data. Plain text."""
        found = []
        if self.leaked:
            are = "image is" if self.leaked == 1 else "images are"
            found.append(f"{self.leaked} test {are} also in the training set (identical files)")
        if self.two_labels:
            have = "picture has" if self.two_labels == 1 else "pictures have"
            found.append(f"{self.two_labels} {have} more than one label")
        return [*found, *self.notes]


def _most_first(counts: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


@dataclass(frozen=True)
class DataSet:
    """What a run was trained and tested on; `train_images` include the holdout."""

    name: str  # as in data=NAME
    fingerprint: str  # a hash of all images and labels
    classes: list[str]  # in the order of their labels
    train_images: int  # the holdout included
    test_images: int  # how many
    holdout_images: int | None = None  # of the training images
    rules: int = 1  # by which picture files were listed and decoded; version 0.1 wrote none, and had the first
    reading: Reading | None = None  # of a data set that lies in picture files

    @property
    def epoch_images(self) -> int | None:
        """The training images without the holdout; None where the record does not say."""
        return None if self.holdout_images is None else self.train_images - self.holdout_images

    def in_words(self) -> str:
        """One line for people."""
        held = "holdout included" if self.holdout_images is None else f"{self.holdout_images} of them the holdout"
        files = "" if self.reading is None else f" ({self.reading.in_words()})"
        return (
            f"{self.name}: {self.train_images} training images ({held}), {self.test_images} test images, "
            f"{len(self.classes)} classes{files}, fingerprint {self.fingerprint[:12]}"
        )


@dataclass(frozen=True)
class BatchSize:
    """Images that the optimizer saw in one step, and images that were in the network at once."""

    size: int  # per step of the optimizer
    micro: int  # in the network at once


@dataclass
class Record:
    """Everything about one run but its weights and predictions.

    Accuracies are fractions, losses nats, `seconds` those of all attempts together. What a run has not reached, or what
    an older version did not write, is None or empty.
    """

    state: State  # RUNNING, DONE, FAILED, OOM, DIVERGED or INTERRUPTED
    signature: str  # the hash that names the experiment
    levels: dict[str, str]  # {axis: level}, of every group and every single setting that was named
    seed: int  # as planned
    metrics: dict[str, int | Finite]  # final results, {metric: value}
    study: str = ""  # name of the study
    started: str | None = None  # UTC, ISO 8601
    ended: str | None = None  # UTC, ISO 8601
    seconds: Finite | None = None  # of all attempts together
    epochs: int | None = None  # planned; of a budget in steps, the last may be partial
    epochs_done: int = 0  # finished
    updates: int | None = None  # steps of the optimizer in those
    images_seen: int | None = None  # training images in those, each as often as it was seen
    learning_rate: Finite | None = None  # of the head, the highest that the schedule reaches, scaled to the batch size
    weights_sha256: str | None = None  # of the final weights
    initial_weights_sha256: str | None = None  # of the weights before the first step
    epoch_digests: list[str] = field(default_factory=list)  # hashes of the weights up to each epoch, chained
    peak_memory_bytes: int | None = None  # of the device, or of the process on a CPU
    parameters: int | None = None  # of the network, frozen ones too
    multiply_adds: int | None = None  # of one image, forwards
    error: Problem | None = None  # why it did not finish: type, message and traceback
    command: str = ""  # the command line that trained it
    identity: dict[str, Any] = field(default_factory=dict)  # everything that is hashed into the signature
    environment: dict[str, Any] = field(default_factory=dict)  # machine, device, threads, versions, code
    resumed: list[dict[str, Any]] = field(default_factory=list)  # when, where in the training, and what differed
    deviations: list[str] = field(default_factory=list)  # from what was asked for, as micro-batches
    graphs: str = ""  # on a GPU, whether steps were replayed as CUDA graphs: "used", or why not
    reused_from: dict[str, str] | None = None  # the folder of another study's run that this is a copy of, and when
    data: DataSet | None = None  # what it was trained and tested on
    batch: BatchSize | None = None  # images per step, and in the network at once
    format: int = FORMAT  # of this file

    def has_result(self) -> bool:
        """Whether it is DONE, with the figures that make that a result."""
        return self.state == State.DONE and {"test_accuracy", "holdout_accuracy"} <= self.metrics.keys()

    @property
    def message(self) -> str:
        """What went wrong, in a sentence; "" where nothing did."""
        return self.error.message if self.error is not None else ""

    @property
    def passes(self) -> float:
        """Epochs done, of a partial one its share."""
        images = None if self.data is None else self.data.epoch_images
        if self.updates is None or not images or self.batch is None:
            return self.epochs_done
        return self.updates / max(1, images // self.batch.size)

    @property
    def seconds_per_epoch(self) -> float | None:
        return self.seconds / (self.passes or 1) if self.seconds else None


def experiment(identity: Mapping[str, Any]) -> dict[str, str]:
    """Everything of an identity but the seed as JSON, {"numerics": "1", "optimizer.lr": "0.05"}: runs that have it in
    common are repetitions of one experiment."""
    found: dict[str, str] = {}
    for group, share in identity.items():
        if isinstance(share, Mapping):
            found |= {f"{group}.{name}": json.dumps(value, sort_keys=True) for name, value in share.items()}
        elif group != "seed":
            found[group] = json.dumps(share)
    return found


def read(path: Path) -> Record:
    """Read record.json. Raises ValueError when it is missing, broken, newer than this version or not a record."""
    found = files.read_typed(path, Record, FORMAT, UPGRADES)
    for name, value in found.metrics.items():
        if name.endswith("accuracy") and not 0 <= value <= 1:
            raise ValueError(f"{path}: {name} is {str(value)[:20]}, and an accuracy is a fraction from 0 to 1")
    return found


def write(path: Path, record: Record) -> None:
    """Replace record.json. Raises OSError."""
    files.write_json(path, dataclasses.asdict(record))

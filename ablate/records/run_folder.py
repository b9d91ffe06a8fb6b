"""The folders of a study: where the files of a run are, and how a run is found."""

import csv
import io
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from ablate.records import record
from ablate.records.files import write_bytes
from ablate.records.record import Record

METRIC_COLUMNS = (
    "epoch", "train_loss", "train_accuracy", "holdout_loss", "holdout_accuracy",
    "test_loss", "test_accuracy", "lr", "images_per_second", "seconds",
)  # fmt: skip
STEPS = "steps"  # one more column, which files of earlier versions lack: the updates of each epoch
LISTING_SETTLED = 2_000_000_000  # nanoseconds; file systems date changes by clocks that tick up to once a second
SIGNED = re.compile(r"-[0-9a-f]{12}$")  # how a run's folder ends
TIMINGS = ("images_per_second", "seconds")  # the two columns that no two runs share


class RunFolder:
    """One place that spells the paths of a run's record."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.record = path / "record.json"
        self.metrics = path / "metrics.csv"
        self.predictions = path / "predictions.npz"
        self.samples = path / "samples.npz"  # some test images, to be shown
        self.confusion = path / "confusion"
        self.tensorboard = path / "tensorboard"  # of versions before 0.2; now TensorBoard's files lie in `path`
        self.weights = path / "model.safetensors"
        self.log = path / "run.log"
        self.checkpoint = path / "checkpoint.pt"  # only while unfinished
        self.diff = path / "code.diff"  # only when the code was not what its commit says
        self.lock = path / ".lock"  # held while the run is trained; the system lets go of a dead process's
        self.holder = path / ".holder"  # who held it last
        self.job = path / ".job"  # the cluster's job that it was last given to

    def events(self) -> list[Path]:
        """TensorBoard's files, which lie in the run's folder itself, so that it shows the run by that name."""
        return sorted(self.path.glob("events.out.tfevents.*"))

    def read(self) -> Record:
        """The record. Raises ValueError when it is missing, broken, newer than this version or not a record."""
        return record.read(self.record)

    def confusion_of(self, epoch: int) -> Path:
        """The counts after an epoch."""
        return self.confusion / f"epoch_{epoch:04d}.csv"

    def read_metrics(self) -> list[dict[str, float]]:
        """One dict per epoch, of METRIC_COLUMNS. Raises ValueError when a row is cut off or not made of numbers."""
        try:
            with open(self.metrics, newline="") as file:
                rows = list(csv.DictReader(file))
            return [{c: float(row[c]) for c in METRIC_COLUMNS} for row in rows]
        except FileNotFoundError:
            return []
        except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
            raise ValueError(f"{self.metrics} cannot be read: {error}") from None

    def write_metrics(self, rows: Iterable[Mapping[str, float]]) -> None:
        """Replace metrics.csv by these rows, whose steps are left empty where a row does not say them."""
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, (*METRIC_COLUMNS, STEPS), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_bytes(self.metrics, text.getvalue().encode())


def study_folder(root: str | Path, name: str) -> Path:
    """Where a study lies."""
    return Path(root).expanduser() / name


def studies(root: Path) -> list[Path]:
    """The folders of all studies under a root, the one that changed last first."""
    return sorted((path.parent for path in root.glob("*/study.json")), key=last_change, reverse=True)


def last_change(study: Path) -> float:
    """When a study's plan or a record of it was last written, in seconds since the epoch."""
    return max(path.stat().st_mtime for path in (study / "study.json", *study.glob("*/record.json")))


def latest_study(root: Path) -> Path:
    """The study under `root` that changed last. Raises ValueError when there is none."""
    if not (found := studies(root)):
        raise ValueError(f"no study in {root}; name a study's folder")
    return found[0]


def find_run(study: Path, signature: str) -> RunFolder | None:
    """The folder of a run, found by its signature: the label before it is decoration."""
    try:
        changed = study.stat().st_mtime_ns
    except OSError:
        return None
    # A clock's tick may hide a change that follows another at once, so a young listing is not kept.
    listing = _listing if time.time_ns() - changed > LISTING_SETTLED else _listing.__wrapped__
    name = listing(study, changed).get(signature)
    return RunFolder(study / name) if name is not None else None


@lru_cache(maxsize=4)
def _listing(study: Path, changed: int) -> dict[str, str]:  # noqa: ARG001  a key of the cache
    """{signature: name of the first folder that ends in it} of a study, as it was when it last changed; of a run whose
    folder somebody renamed, by its record."""
    named, renamed = {}, {}
    for name in sorted(os.listdir(study), reverse=True):
        if SIGNED.search(name):
            named[name.rpartition("-")[2]] = name
        elif (study / name / "record.json").is_file():
            with suppress(ValueError):
                renamed[record.read(study / name / "record.json").signature] = name
    return renamed | named


def run_folders(study: Path) -> list[RunFolder]:
    """Every folder of a study that holds a record, by name."""
    return [RunFolder(p) for p in sorted(study.iterdir()) if p.is_dir() and (p / "record.json").exists()]


def records(study: Path) -> Iterator[tuple[RunFolder, Record]]:
    """Every record of a study that can be read; the report names the others."""
    for folder in run_folders(study) if study.is_dir() else ():
        try:
            yield folder, folder.read()
        except ValueError:
            continue

"""The files that one run leaves behind: where they are, how they are written and read. No torch.

A file either holds what was written or what it held before: everything goes through a temporary
file, fsync and rename. Readers never trust a file: what cannot be read raises ValueError with its name.
"""

import csv
import enum
import io
import json
import math
import os
import tempfile
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

METRIC_COLUMNS = (
    "epoch", "train_loss", "train_accuracy", "holdout_loss", "holdout_accuracy",
    "test_loss", "test_accuracy", "lr", "images_per_second", "seconds",
)  # fmt: skip
LISTING_SETTLED = 2_000_000_000  # nanoseconds; file systems date changes by clocks that tick up to once a second
TIMINGS = ("images_per_second", "seconds")  # the two columns that no two runs share


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


class RunFolder:
    """One place that spells the paths of a run's record."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.record = path / "record.json"
        self.metrics = path / "metrics.csv"
        self.predictions = path / "predictions.npz"
        self.confusion = path / "confusion"
        self.tensorboard = path / "tensorboard"
        self.weights = path / "model.safetensors"
        self.log = path / "run.log"
        self.checkpoint = path / "checkpoint.pt"  # only while unfinished
        self.diff = path / "code.diff"  # only when the code was not what its commit says
        self.lock = path / ".lock"  # held while the run is trained; the system lets go of a dead process's
        self.holder = path / ".holder"  # who held it last
        self.job = path / ".job"  # the cluster's job that it was last given to

    def read(self) -> dict[str, Any]:
        """The record. Raises ValueError when it is missing, broken or not a record."""
        record = read_json(self.record)
        missing = [k for k in ("state", "signature", "levels", "seed", "metrics") if k not in record]
        if missing:
            raise ValueError(f"{self.record} is not a run's record: it lacks {', '.join(missing)}")
        if record["state"] not in set(State):
            raise ValueError(f"{self.record} holds the unknown state {record['state']!r}")
        return record

    def read_metrics(self) -> list[dict[str, float]]:
        """One dict per epoch. Raises ValueError when a row is cut off or not made of numbers."""
        try:
            with open(self.metrics, newline="") as file:
                rows = list(csv.DictReader(file))
            return [{c: float(row[c]) for c in METRIC_COLUMNS} for row in rows]
        except FileNotFoundError:
            return []
        except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
            raise ValueError(f"{self.metrics} cannot be read: {error}") from None

    def write_metrics(self, rows: Iterable[Mapping[str, float]]) -> None:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, METRIC_COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_bytes(self.metrics, text.getvalue().encode())


def study_folder(root: str | Path, name: str) -> Path:
    return Path(root).expanduser() / name


def latest_study(root: Path) -> Path:
    """The study under `root` that changed last. Raises ValueError when there is none."""

    def last_change(study: Path) -> float:
        return max(p.stat().st_mtime for p in (study / "study.json", *study.glob("*/record.json")))

    studies = [p.parent for p in root.glob("*/study.json")]
    if not studies:
        raise ValueError(f"no study in {root}; name its folder")
    return max(studies, key=last_change)


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
    """{signature: name of the first folder that ends in it} of a study, as it was when it last changed."""
    names = sorted((name for name in os.listdir(study) if "-" in name), reverse=True)
    return {name.rpartition("-")[2]: name for name in names}


def run_folders(study: Path) -> list[RunFolder]:
    """Every folder of a study that holds or may come to hold a record, by name."""
    return [RunFolder(p) for p in sorted(study.iterdir()) if p.is_dir() and (p / "record.json").exists()]


def now() -> str:
    """The time in UTC, to the second, as ISO 8601 text."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def write_bytes(path: Path, *parts: bytes | memoryview) -> None:
    """Replace a file's content at once and for good, or leave it as it was. Raises OSError naming file and size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-", suffix=".tmp")
        with os.fdopen(handle, "wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
        sync_folder(path.parent)
    except BaseException as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError):
            size = sum(len(part) for part in parts)
            raise OSError(error.errno, f"{error.strerror or error} (writing {size} bytes)", str(path)) from error
        raise


def sync_folder(folder: Path) -> None:
    """Make renames in a folder last through a power cut, where the system has a way to."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _umask() -> int:
    # There is no way to read it without setting it; mkstemp makes files that only their owner reads.
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def write_json(path: Path, value: Any) -> None:
    """Write strict JSON: a number that is not finite becomes null, never a bare NaN."""
    write_bytes(path, (json.dumps(_finite(value), indent=2, allow_nan=False) + "\n").encode())


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return value


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object. Raises ValueError, naming the file, for anything else."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path} does not hold a JSON object")
    return value

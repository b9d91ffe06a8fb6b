"""What the report needs of every run, kept in one file so that a study of thousands is not read anew each time.

STUDY_DIR/index.jsonl: a line that names the format, one for each distinct environment and experiment, one for each run
with the times and sizes of the files it was read from. It is never the source of truth: a run whose files look
different is read again, an index that cannot be read is made anew, and it may be deleted at any time.
"""

import dataclasses
import hashlib
import hmac
import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablate.records import files
from ablate.records.record import Record, State, experiment
from ablate.records.run_folder import LISTING_SETTLED, METRIC_COLUMNS, RunFolder

NAME = "index.jsonl"
FORMAT = 7
Stamp = tuple[int, int, int, int]  # mtime in ns and size of record.json and metrics.csv; 0 and -1 without a file


@dataclass(frozen=True)
class IndexedRun:
    """One run: what the report needs of its record, and its epochs as rows of METRIC_COLUMNS."""

    folder: str  # its name in the study
    signature: str
    state: State
    metrics: dict[str, float]
    seconds: float | None
    weights_sha256: str | None
    epochs: int | None
    epochs_done: int
    updates: int | None  # of the optimizer, in the epochs that are done
    images_seen: int | None  # in these
    command: str
    error: str
    deviations: str
    data: str  # in words
    data_warnings: list[str]  # what a reader of results has to know of the data
    epoch_images: int | None  # training images without the holdout
    test_images: int | None
    classes: int | None
    parameters: int | None
    multiply_adds: int | None
    reused_from: str  # the folder of another study's run that this is a copy of, or ""
    experiment: dict[str, str]  # everything that is hashed but the seed
    environment: dict[str, Any]
    rows: list[list[float]]
    damage: str  # why metrics.csv cannot be read, or ""


def runs(study: Path) -> tuple[list[IndexedRun], list[str]]:
    """Every run of a study by folder name, and a sentence for each record that cannot be read."""
    known = _read(study)
    found: list[IndexedRun] = []
    stamps: list[Stamp] = []
    set_aside = []
    fresh = 0
    for name, stamp in _stamps(study):
        of_old = known.get(name)
        if of_old is not None and of_old[0] == stamp:
            run = of_old[1]
        else:
            try:
                run = _load(RunFolder(study / name))
            except ValueError as error:
                set_aside.append(str(error))
                continue
            fresh += 1
        found.append(run)
        stamps.append(stamp)
    if fresh or len(found) != len(known):
        _write(study, found, stamps)
    return found, set_aside


def _stamps(study: Path) -> Iterator[tuple[str, Stamp]]:
    """(name, stamp) of each folder that holds a record."""
    with os.scandir(study) as listing:
        names = sorted(entry.name for entry in listing if entry.is_dir())
    for name in names:
        folder = RunFolder(study / name)
        try:
            of_record = os.stat(folder.record)
        except OSError:
            continue
        try:
            of_metrics = os.stat(folder.metrics)
            yield name, (of_record.st_mtime_ns, of_record.st_size, of_metrics.st_mtime_ns, of_metrics.st_size)
        except OSError:
            yield name, (of_record.st_mtime_ns, of_record.st_size, 0, -1)


def _load(folder: RunFolder) -> IndexedRun:
    record = folder.read()
    rows: list[list[float]] = []
    damage = ""
    try:
        rows = [list(row.values()) for row in folder.read_metrics()]
        damage = _cut_short(folder, record, len(rows))
    except ValueError as error:
        damage = str(error)
    return IndexedRun(
        folder=folder.path.name,
        signature=record.signature,
        state=record.state,
        metrics=record.metrics,
        seconds=record.seconds,
        weights_sha256=record.weights_sha256,
        epochs=record.epochs,
        epochs_done=record.epochs_done,
        updates=record.updates,
        images_seen=record.images_seen,
        command=record.command,
        error=record.message,
        deviations="; ".join(record.deviations),
        data=record.data.in_words() if record.data is not None else "",
        data_warnings=record.data.reading.warnings() if record.data is not None and record.data.reading else [],
        epoch_images=record.data.epoch_images if record.data is not None else None,
        test_images=record.data.test_images if record.data is not None else None,
        classes=len(record.data.classes) if record.data is not None else None,
        parameters=record.parameters,
        multiply_adds=record.multiply_adds,
        reused_from=(record.reused_from or {}).get("folder", ""),
        experiment=experiment(record.identity),
        environment=record.environment,
        rows=rows,
        damage=damage,
    )


def _cut_short(folder: RunFolder, record: Record, rows: int) -> str:
    """Why metrics.csv is not whole, by the epochs on record and its last line feed; "" where it is."""
    if record.state != State.DONE or not record.epochs_done:
        return ""
    if rows != record.epochs_done:
        return f"{folder.metrics} has {rows} epochs, and the record {record.epochs_done}"
    with open(folder.metrics, "rb") as file:
        file.seek(-1, os.SEEK_END)
        return "" if file.read() == b"\n" else f"{folder.metrics} ends within a line"


def _read(study: Path) -> dict[str, tuple[Stamp, IndexedRun]]:
    """{folder: (stamp, run)}; nothing where the index is missing, damaged, or of another format."""
    known = {}
    environments: list[dict[str, Any]] = []
    experiments: list[dict[str, str]] = []
    try:
        with open(study / NAME, encoding="utf-8") as file:
            head, rest = json.loads(file.readline()), file.read()
            if head.get("format") != FORMAT or not hmac.compare_digest(str(head.get("mac")), _mac(rest)):
                return {}
            for line in rest.splitlines():
                value = json.loads(line)
                if "environment" in value:
                    environments.append(value["environment"])
                    continue
                if "experiment" in value:
                    experiments.append(value["experiment"])
                    continue
                entry = value["run"]
                name = entry["folder"]
                if os.path.basename(name) != name or any(len(row) != len(METRIC_COLUMNS) for row in entry["rows"]):
                    return {}
                entry |= {"environment": environments[entry["environment"]], "state": State(entry["state"])}
                entry |= {"experiment": experiments[entry["experiment"]]}
                first, second, third, fourth = map(int, value["stamp"])
                known[name] = (first, second, third, fourth), IndexedRun(**entry)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}
    return known


def _write(study: Path, found: list[IndexedRun], stamps: list[Stamp]) -> None:
    """Replace the index; a study that cannot be written to has none."""
    numbers: dict[str, int] = {}
    kinds: dict[str, int] = {}
    lines = []
    # A clock's tick may hide a change that follows another at once, so what is young is not kept.
    young = time.time_ns() - LISTING_SETTLED
    for run, stamp in zip(found, stamps, strict=True):
        if max(stamp[0], stamp[2]) > young:
            continue
        number = numbers.setdefault(json.dumps(run.environment), len(numbers))
        kind = kinds.setdefault(json.dumps(run.experiment), len(kinds))
        entry = {field.name: getattr(run, field.name) for field in dataclasses.fields(run)}
        entry |= {"environment": number, "experiment": kind}
        lines.append(json.dumps({"stamp": stamp, "run": entry}))
    shared = [f'{{"environment": {text}}}' for text in numbers] + [f'{{"experiment": {text}}}' for text in kinds]
    rest = "".join(f"{line}\n" for line in shared + lines)
    with suppress(OSError):  # read-only: the next report reads every run again
        head = json.dumps({"format": FORMAT, "mac": _mac(rest)})
        files.write_bytes(study / NAME, f"{head}\n{rest}".encode())


def _mac(text: str) -> str:
    """What only this user can make of a text: an index that anyone else wrote, with a study that was received say, is
    never believed. Raises OSError where a key can be neither read nor made."""
    path = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "ablate" / "index.key"
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        key = os.urandom(32)
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError), open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(key)
        key = path.read_bytes()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()

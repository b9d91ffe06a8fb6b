"""What the report needs of every run, kept in one file so that a study of thousands is not read anew each time.

STUDY_DIR/index.jsonl: a line that names the format, one for each distinct environment, one for each run with the
times and sizes of the files it was read from. It is never the source of truth: a run whose files look different is
read again, an index that cannot be read is made anew, and it may be deleted at any time.
"""

import dataclasses
import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablate.records import files
from ablate.records.record import State
from ablate.records.run_folder import LISTING_SETTLED, METRIC_COLUMNS, RunFolder

NAME = "index.jsonl"
FORMAT = 3
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
    command: str
    error: str
    deviations: str
    data: str  # in words
    data_warnings: list[str]  # what a reader of results has to know of the data
    epoch_images: int | None  # training images without the holdout
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
        command=record.command,
        error=record.message,
        deviations="; ".join(record.deviations),
        data=record.data.in_words() if record.data is not None else "",
        data_warnings=record.data.reading.warnings() if record.data is not None and record.data.reading else [],
        epoch_images=record.data.epoch_images if record.data is not None else None,
        environment=record.environment,
        rows=rows,
        damage=damage,
    )


def _read(study: Path) -> dict[str, tuple[Stamp, IndexedRun]]:
    """{folder: (stamp, run)}; nothing where the index is missing, damaged, or of another format."""
    known = {}
    environments: list[dict[str, Any]] = []
    try:
        with open(study / NAME, encoding="utf-8") as file:
            if json.loads(file.readline()) != {"format": FORMAT}:
                return {}
            for line in file:
                value = json.loads(line)
                if "environment" in value:
                    environments.append(value["environment"])
                    continue
                entry = value["run"]
                name = entry["folder"]
                if os.path.basename(name) != name or any(len(row) != len(METRIC_COLUMNS) for row in entry["rows"]):
                    return {}
                entry |= {"environment": environments[entry["environment"]], "state": State(entry["state"])}
                first, second, third, fourth = map(int, value["stamp"])
                known[name] = (first, second, third, fourth), IndexedRun(**entry)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}
    return known


def _write(study: Path, found: list[IndexedRun], stamps: list[Stamp]) -> None:
    """Replace the index; a study that cannot be written to has none."""
    numbers: dict[str, int] = {}
    lines = []
    # A clock's tick may hide a change that follows another at once, so what is young is not kept.
    young = time.time_ns() - LISTING_SETTLED
    for run, stamp in zip(found, stamps, strict=True):
        if max(stamp[0], stamp[2]) > young:
            continue
        number = numbers.setdefault(json.dumps(run.environment), len(numbers))
        entry = {field.name: getattr(run, field.name) for field in dataclasses.fields(run)} | {"environment": number}
        lines.append(json.dumps({"stamp": stamp, "run": entry}))
    head = [json.dumps({"format": FORMAT}), *(f'{{"environment": {text}}}' for text in numbers)]
    with suppress(OSError):  # read-only: the next report reads every run again
        files.write_bytes(study / NAME, ("\n".join(head + lines) + "\n").encode())

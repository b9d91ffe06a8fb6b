"""What the report needs of every run, kept in one file so that a study of thousands is not read anew each time.

STUDY_DIR/index.jsonl: a line that names the version, one for each distinct environment, one for each run with the
times and sizes of the files it was read from. It is never the source of truth: a run whose files look different is
read again, an index that cannot be read is made anew, and it may be deleted at any time.
"""

import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablate import record
from ablate.record import LISTING_SETTLED, METRIC_COLUMNS, RunFolder

NAME = "index.jsonl"
VERSION = 1
Stamp = tuple[int, int, int, int]  # mtime in ns and size of record.json and metrics.csv; 0 and -1 without a file


@dataclass(frozen=True)
class Found:
    """One run: what the report needs of its record, and its epochs as rows of METRIC_COLUMNS."""

    place: RunFolder
    entry: dict[str, Any]  # signature, state, …; environment as in the record, data as one sentence
    rows: list[list[float]]
    damage: str  # why metrics.csv cannot be read, or ""


def runs(study: Path) -> tuple[list[Found], list[str]]:
    """Every run of a study by folder name, and a sentence for each record that cannot be read."""
    known = _read(study)
    found: list[Found] = []
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
        try:
            of_record = os.stat(study / name / "record.json")
        except OSError:
            continue
        try:
            of_metrics = os.stat(study / name / "metrics.csv")
            yield name, (of_record.st_mtime_ns, of_record.st_size, of_metrics.st_mtime_ns, of_metrics.st_size)
        except OSError:
            yield name, (of_record.st_mtime_ns, of_record.st_size, 0, -1)


def _load(place: RunFolder) -> Found:
    entry = place.read()
    try:
        slim = {
            **{name: entry.get(name) for name in ("signature", "state", "seconds", "weights_sha256", "epochs")},
            "command": str(entry.get("command", "")),
            "epochs_done": int(entry.get("epochs_done", 0)),
            "error": str((entry.get("error") or {}).get("message", "")),
            "deviations": "; ".join(map(str, entry.get("deviations", []))),
            "metrics": dict(entry["metrics"]),
            "environment": dict(entry.get("environment") or {}),
            "data": _describe(entry["data"]) if entry.get("data") else "",
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{place.record} is not a run's record: {error!r}") from None
    try:
        rows = [list(row.values()) for row in place.read_metrics()]
    except ValueError as error:
        return Found(place, slim, [], str(error))
    return Found(place, slim, rows, "")


def _describe(data: dict[str, Any]) -> str:
    return (
        f"{data['name']}: {data['train_images']} training images (holdout included), "
        f"{data['test_images']} test images, {len(data['classes'])} classes, fingerprint {data['fingerprint'][:12]}"
    )


def _read(study: Path) -> dict[str, tuple[Stamp, Found]]:
    """{folder: (stamp, run)}; nothing where the index is missing, damaged, or of another version."""
    known = {}
    environments: list[dict[str, Any]] = []
    try:
        with open(study / NAME, encoding="utf-8") as file:
            if json.loads(file.readline()) != {"index": VERSION}:
                return {}
            for line in file:
                value = json.loads(line)
                if "environment" in value:
                    environments.append(value["environment"])
                    continue
                name, entry = value["folder"], value["entry"]
                if os.path.basename(name) != name or any(len(row) != len(METRIC_COLUMNS) for row in value["rows"]):
                    return {}
                entry["environment"] = environments[entry["environment"]]
                first, second, third, fourth = map(int, value["stamp"])
                run = Found(RunFolder(study / name), entry, value["rows"], value["damage"])
                known[name] = (first, second, third, fourth), run
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}
    return known


def _write(study: Path, found: list[Found], stamps: list[Stamp]) -> None:
    """Replace the index; a study that cannot be written to has none."""
    numbers: dict[str, int] = {}
    lines = []
    # A clock's tick may hide a change that follows another at once, so what is young is not kept.
    young = time.time_ns() - LISTING_SETTLED
    for run, stamp in zip(found, stamps, strict=True):
        if max(stamp[0], stamp[2]) > young:
            continue
        environment = json.dumps(run.entry["environment"])
        number = numbers.setdefault(environment, len(numbers))
        value = {
            "folder": run.place.path.name,
            "stamp": stamp,
            "damage": run.damage,
            "entry": run.entry | {"environment": number},
            "rows": run.rows,
        }
        lines.append(json.dumps(value))
    head = [json.dumps({"index": VERSION}), *(f'{{"environment": {text}}}' for text in numbers)]
    with suppress(OSError):  # read-only: the next report reads every run again
        record.write_bytes(study / NAME, ("\n".join(head + lines) + "\n").encode())

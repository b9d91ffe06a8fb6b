"""`ablate ls`: all studies under a root, the most recently changed first. Reads files only."""

import argparse
import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ablate.records import files, run_folder, study_plan
from ablate.records.record import Record, experiment
from ablate.system.terminal import visible

WIDEST = 48  # characters of a cell in a terminal


@dataclass(frozen=True)
class Listed:
    """One study. `best` has the best mean holdout accuracy of all combinations, `best_accuracy` is its mean test
    accuracy, a fraction."""

    study: str
    folder: str
    axes: dict[str, list[str]]
    finished: int
    planned: int
    best: dict[str, str] | None
    best_accuracy: float | None
    changed: str  # UTC, ISO 8601


def look(folder: Path) -> Listed:
    """What there is to say of a study in a line. Raises ValueError when its plan cannot be read."""
    plan = study_plan.read(folder)
    done = {record.signature: record for _, record in run_folder.records(folder) if record.has_result()}
    planned = {signature for cell in plan.cells for signature in cell.runs.values()}
    planned |= plan.tuning.signatures() if plan.tuning is not None else set()
    best, accuracy, highest = None, None, float("-inf")
    for cell in plan.cells:
        records = [done[signature] for signature in cell.runs.values() if signature in done]
        if len({json.dumps(experiment(record.identity)) for record in records}) > 1 and not cell.own_signatures:
            continue  # not repetitions of one experiment, so that a mean would mean nothing
        if plan.is_list:
            continue
        if records and (holdout := _mean(records, "holdout_accuracy")) > highest:
            highest, accuracy = holdout, _mean(records, "test_accuracy")
            best = {axis: cell.levels[axis] for axis in plan.axes if cell.levels[axis] != study_plan.NOT_READ}
    changed = datetime.fromtimestamp(run_folder.last_change(folder), UTC).isoformat(timespec="seconds")
    return Listed(plan.name, str(folder), plan.axes, len(planned & done.keys()), len(planned), best, accuracy, changed)


def _mean(records: Sequence[Record], metric: str) -> float:
    return sum(record.metrics[metric] for record in records) / len(records)


def lines(found: Sequence[Listed]) -> list[str]:
    """A table for a terminal."""
    rows: list[tuple[str, ...]] = [
        ("study", "finished", "best test %", "best combination (by holdout)", "axes", "last change (UTC)")
    ]
    for one in found:
        best = ", ".join((one.best or {}).values()) or ("the only combination" if one.best is not None else "–")
        accuracy = "–" if one.best_accuracy is None else f"{100 * one.best_accuracy:.1f}"
        axes = " x ".join(f"{axis} ({len(levels)})" for axis, levels in one.axes.items()) or "–"
        cells = (one.folder, f"{one.finished} of {one.planned}", accuracy, best, axes, one.changed[:16])
        rows.append(tuple(cell if len(cell) <= WIDEST else f"{cell[: WIDEST - 1]}…" for cell in cells))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def main(arguments: Sequence[str]) -> int:
    """Print all studies. Returns 0. Raises ValueError where there is none."""
    parser = argparse.ArgumentParser(
        prog="ablate ls", description="List all studies, the most recently changed first. Reads files only."
    )
    parser.add_argument(
        "root",
        type=Path,
        nargs="?",
        default=Path("outputs"),
        help="the folder that holds the studies (default: outputs)",
    )
    parser.add_argument("--json", action="store_true", help="print the same as JSON")
    options = parser.parse_intermixed_args(arguments)
    found, damaged = [], []
    for folder in run_folder.studies(options.root):
        try:
            found.append(look(folder))
        except ValueError as error:
            damaged.append(str(error))
    if not found and not damaged:
        raise ValueError(f"no study in {options.root}; name the folder that holds studies")
    if options.json:
        facts = {"format": 1, "studies": [dataclasses.asdict(one) for one in found], "damaged": damaged}
        print(json.dumps(files.finite(facts), indent=2))
    else:
        print("\n".join(map(visible, [*lines(found), *(f"cannot be read: {sentence}" for sentence in damaged)])))
    return 0

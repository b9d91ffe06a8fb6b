"""Studies on disk that nobody trained, and the reports written of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ablate.records.files import write_json
from ablate.records.run_folder import METRIC_COLUMNS, RunFolder
from ablate.report import write
from ablate.report.analysis import analyse
from ablate.report.study import gather


def make(
    folder: Path,
    runs: list[tuple[dict[str, str], int, str, float]],
    classes: Sequence[str] = ("cat", "dog"),
    **more: Any,
) -> Path:
    """A study from (levels, seed, state, test accuracy); the holdout's is a hundredth higher.

    A run that is DONE has confusion counts after its two epochs; `more` goes into the plan.
    """
    cells: list[dict[str, Any]] = []
    axes: dict[str, list[str]] = {}
    for number, (levels, seed, state, accuracy) in enumerate(runs):
        signature = f"{number:012x}"
        cell = next((c for c in cells if c["levels"] == levels), None)
        if cell is None:
            cell = {"levels": levels, "runs": {}}
            cells.append(cell)
        cell["runs"][str(seed)] = signature
        for axis, level in levels.items():
            if level not in axes.setdefault(axis, []):
                axes[axis].append(level)
        if state == "missing":
            continue
        place = RunFolder(folder / f"run-s{seed}-{signature}")
        metrics = dict.fromkeys(("test_accuracy", "best_holdout_test_accuracy"), accuracy)
        entry = {"state": state, "signature": signature, "levels": levels, "seed": seed, "epochs_done": 2,
                 "command": "python -m ablate x", "weights_sha256": signature, "seconds": 60.0,
                 "metrics": metrics | {"holdout_accuracy": min(1.0, accuracy + 0.01)} if state == "DONE" else {},
                 "error": None if state == "DONE" else {"message": f"it {state}", "type": "X", "traceback": ""},
                 "epochs": 2,
                 "data": {"name": "embedded", "train_images": 9, "test_images": 1000, "classes": classes, "fingerprint": "f"}}  # fmt: skip
        write_json(place.record, entry)
        if state == "DONE":
            write_counts(place, 1, counts(len(classes), accuracy / 2))
            write_counts(place, 2, counts(len(classes), accuracy))
        place.write_metrics([dict.fromkeys(METRIC_COLUMNS, accuracy) | {"epoch": e} for e in (1, 2)])
    plan = {"name": folder.name, "design": "grid", "metric": "test_accuracy", "cells": cells, "amendments": [],
            "axes": {a: ls for a, ls in axes.items() if len(ls) > 1}, "seeds": sorted({r[1] for r in runs})}  # fmt: skip
    write_json(folder / "study.json", plan | more)
    return folder


def counts(classes: int, accuracy: float) -> list[list[int]]:
    """1000 images over the classes; what is wrong is taken for the next class, the last for the first."""
    rows = []
    for true in range(classes):
        images = 1000 // classes + (true < 1000 % classes)
        row = [0] * classes
        row[true] = round(accuracy * images)
        row[(true + 1) % classes] += images - row[true]
        rows.append(row)
    return rows


def write_counts(place: RunFolder, epoch: int, rows: list[list[int]]) -> None:
    place.confusion.mkdir(exist_ok=True)
    (place.confusion / f"epoch_{epoch:04d}.csv").write_text("".join(",".join(map(str, row)) + "\n" for row in rows))


def written(study: gather.StudyData) -> Path:
    """Write a study's report, and return the path of its Markdown."""
    return write.write(analyse(study))


def section(path: Path, title: str) -> str:
    """One section of a report; "Axis NAME" is that axis's share of the section on levels."""
    if title.startswith("Axis "):
        return section(path, "Levels of each axis").split(f"**{title[5:]}**")[1].split("\n**")[0]
    return path.read_text().split(f"\n## {title}\n")[1].split("\n## ")[0]


def cell(a: str, b: str) -> dict[str, str]:
    return {"alpha": a, "beta": b}


GRID = [
    (cell("x", "1"), 0, "DONE", 0.50), (cell("x", "1"), 1, "DONE", 0.54),
    (cell("x", "2"), 0, "DONE", 0.60), (cell("x", "2"), 1, "DONE", 0.60),
    (cell("y", "1"), 0, "DONE", 0.70), (cell("y", "1"), 1, "FAILED", 0.0),
    (cell("y", "2"), 0, "DONE", 0.80), (cell("y", "2"), 1, "missing", 0.0),
]  # fmt: skip

HOSTILE = ["<script>alert(1)</script>", "a|b\n| c", "`x` $y$ [l](http://e)", "=cmd()", "\u2028**bold**"]


def answers(path: Path) -> list[str]:
    """The rows of the section's table, as they stand in the Markdown."""
    return [line for line in section(path, "Questions").splitlines() if line.startswith("| ") and "---" not in line][1:]

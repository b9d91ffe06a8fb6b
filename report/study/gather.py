"""Read a study's folder into tables: one row per planned run, one row per epoch."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ablate.records import study_plan
from ablate.records.lock import holder
from ablate.records.record import State
from ablate.records.run_folder import METRIC_COLUMNS, RunFolder
from ablate.records.study_plan import Cell, StudyPlan
from ablate.report.study import index
from ablate.report.study.index import IndexedRun

MISSING = "not trained"


@dataclass
class StudyData:
    """A study as it lies on disk.

    runs: one row per planned run, with its axes as columns, `cell` (its combination's number), `seed`,
    `signature`, `state`, `folder`, `error`, `command` and the final metrics (fractions).
    epochs: the rows of every run's metrics.csv, with its `signature`.
    """

    folder: Path
    plan: StudyPlan
    runs: pd.DataFrame
    epochs: pd.DataFrame
    set_aside: list[str] = field(default_factory=list)  # what could not be read, one sentence each
    strays: list[str] = field(default_factory=list)  # finished or not, but in no plan
    environments: list[dict[str, Any]] = field(default_factory=list)
    data: list[str] = field(default_factory=list)  # what was trained on, once per distinct data set
    data_warnings: list[str] = field(default_factory=list)  # what a reader of results has to know of it
    epochs_planned: list[int] = field(default_factory=list)

    @property
    def axes(self) -> dict[str, list[str]]:
        """{axis: its levels}."""
        return self.plan.axes

    @property
    def finished(self) -> pd.DataFrame:
        """The planned runs that are DONE."""
        return self.runs[self.runs["state"] == State.DONE]

    @property
    def around_the_baseline(self) -> bool:
        """Whether each axis was varied alone."""
        return self.plan.design == "one_at_a_time"


def load(folder: Path) -> StudyData:
    """Read a study, finished or not. Raises ValueError when the folder holds none."""
    plan = study_plan.read(folder)
    found, set_aside = index.runs(folder)
    by_signature = {run.signature: run for run in found}
    rows = []
    for number, (levels, runs) in enumerate(_places(folder, plan.cells), start=1):
        of_axes = {axis: levels[axis] for axis in plan.axes}
        for seed, signature in runs.items():
            run = _row(folder, by_signature.get(signature))
            rows.append({"cell": number, **of_axes, "seed": seed, "signature": signature, **run})
    planned = {row["signature"] for row in rows}
    ours = [run for signature, run in by_signature.items() if signature in planned]
    return StudyData(
        folder=folder,
        plan=plan,
        runs=pd.DataFrame(rows),
        epochs=_epochs(ours),
        set_aside=set_aside + [run.damage for run in ours if run.damage],
        strays=sorted(run.folder for signature, run in by_signature.items() if signature not in planned),
        environments=_distinct(run.environment for run in ours),
        data=sorted({run.data for run in ours} - {""}),
        data_warnings=list(dict.fromkeys(warning for run in ours for warning in run.data_warnings)),
        epochs_planned=sorted({run.epochs for run in ours if run.epochs is not None}),
    )


def _epochs(runs: Sequence[IndexedRun]) -> pd.DataFrame:
    """The rows of every metrics.csv, one after the other, with the signature."""
    table = np.array([row for run in runs for row in run.rows], dtype=np.float64).reshape(-1, len(METRIC_COLUMNS))
    epochs = pd.DataFrame(table, columns=list(METRIC_COLUMNS))
    epochs.insert(0, "signature", [run.signature for run in runs for _ in run.rows])
    return epochs


def _places(folder: Path, cells: Iterable[Cell]) -> list[tuple[dict[str, str], dict[int, str]]]:
    """(levels, {seed: signature}) of each combination; cells that name the same one in other words are one.

    Raises ValueError when a place has two runs: they could only be shown by averaging over what was never named.
    """
    places: dict[tuple[tuple[str, str], ...], tuple[dict[str, str], dict[int, str]]] = {}
    for cell in cells:
        levels, runs = places.setdefault(tuple(sorted(cell.levels.items())), (cell.levels, {}))
        for seed, signature in cell.runs.items():
            if runs.setdefault(seed, signature) != signature:
                raise ValueError(f"{folder / 'study.json'} is damaged: two different runs have the levels {levels}")
    return list(places.values())


def _row(study: Path, run: IndexedRun | None) -> dict[str, Any]:
    if run is None:
        return {"state": MISSING, "folder": "", "error": "", "command": "", "epochs_done": 0, "deviations": "",
                "commit": ""}  # fmt: skip
    state, error = run.state, run.error
    if state == State.RUNNING and holder(RunFolder(study / run.folder)) is None:
        state, error = State.INTERRUPTED, "its process has died; the same command resumes it"
    return {
        "state": state,
        "folder": run.folder,
        "error": error,
        "command": run.command,
        "epochs_done": run.epochs_done,
        "deviations": run.deviations,
        "commit": (run.environment.get("code") or {}).get("commit") or "",
        "epoch_images": run.epoch_images,
        "seconds": run.seconds,
        "weights_sha256": run.weights_sha256,
        **run.metrics,
    }


def _distinct(values: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    distinct: list[dict[str, Any]] = []
    for value in values:
        if value and value not in distinct:
            distinct.append(value)
    return distinct

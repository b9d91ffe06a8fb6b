"""Read a study's folder into tables: one row per planned run, one row per epoch."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ablate import record
from ablate.lock import holder
from ablate.record import METRIC_COLUMNS, State

from . import index
from .index import Found

MISSING = "not trained"


@dataclass
class Study:
    """A study as it lies on disk.

    runs: one row per planned run, with its axes as columns, `cell` (its combination's number), `seed`,
    `signature`, `state`, `folder`, `error`, `command` and the final metrics (fractions).
    epochs: the rows of every run's metrics.csv, with its `signature`.
    """

    folder: Path
    plan: dict[str, Any]
    runs: pd.DataFrame
    epochs: pd.DataFrame
    set_aside: list[str] = field(default_factory=list)  # what could not be read, one sentence each
    strays: list[str] = field(default_factory=list)  # finished or not, but in no plan
    environments: list[dict[str, Any]] = field(default_factory=list)
    data: list[str] = field(default_factory=list)  # what was trained on, once per distinct data set
    epochs_planned: list[int] = field(default_factory=list)

    @property
    def axes(self) -> dict[str, list[str]]:
        axes: dict[str, list[str]] = self.plan.get("axes", {})
        return axes

    @property
    def finished(self) -> pd.DataFrame:
        return self.runs[self.runs["state"] == State.DONE]


def latest_study(root: Path) -> Path:
    """The study under `root` that changed last. Raises ValueError when there is none."""
    studies = [p.parent for p in root.glob("*/study.json")]
    if not studies:
        raise ValueError(f"no study in {root}; name one: python -m report STUDY_DIR")
    return max(studies, key=_last_change)


def _last_change(study: Path) -> float:
    return max(p.stat().st_mtime for p in (study / "study.json", *study.glob("*/record.json")))


def load(folder: Path) -> Study:
    """Read a study, finished or not. Raises ValueError when the folder holds none."""
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder")
    if not (folder / "study.json").exists():
        raise ValueError(f"{folder} holds no study.json; a study is a folder that `python -m ablate` made")
    plan = record.read_json(folder / "study.json")
    found, set_aside = index.runs(folder)
    records = {run.entry["signature"]: run for run in found}
    rows = []
    axes = plan.get("axes", {})
    for number, (levels, runs) in enumerate(_places(folder, plan["cells"]), start=1):
        of_axes = {axis: levels[axis] for axis in axes}
        for seed, signature in runs.items():
            run = _row(records.get(signature))
            rows.append({"cell": number, **of_axes, "seed": int(seed), "signature": signature, **run})
    planned = {row["signature"] for row in rows}
    ours = [run for signature, run in records.items() if signature in planned]
    return Study(
        folder=folder,
        plan=plan,
        runs=pd.DataFrame(rows),
        epochs=_epochs(ours),
        set_aside=set_aside + [run.damage for run in ours if run.damage],
        strays=sorted(run.place.path.name for signature, run in records.items() if signature not in planned),
        environments=_distinct(run.entry["environment"] for run in ours),
        data=sorted({run.entry["data"] for run in ours} - {""}),
        epochs_planned=sorted({run.entry["epochs"] for run in ours} - {None}),
    )


def _epochs(runs: Sequence[Found]) -> pd.DataFrame:
    """The rows of every metrics.csv, one after the other, with the signature."""
    table = np.array([row for run in runs for row in run.rows], dtype=np.float64).reshape(-1, len(METRIC_COLUMNS))
    epochs = pd.DataFrame(table, columns=list(METRIC_COLUMNS))
    epochs.insert(0, "signature", [run.entry["signature"] for run in runs for _ in run.rows])
    return epochs


def _places(folder: Path, cells: Iterable[dict[str, Any]]) -> list[tuple[dict[str, str], dict[str, str]]]:
    """(levels, {seed: signature}) of each combination; cells that name the same one in other words are one.

    Raises ValueError when a place has two runs: they could only be shown by averaging over what nobody named.
    """
    places: dict[tuple[tuple[str, str], ...], tuple[dict[str, str], dict[str, str]]] = {}
    for cell in cells:
        levels, runs = places.setdefault(tuple(sorted(cell["levels"].items())), (cell["levels"], {}))
        for seed, signature in cell["runs"].items():
            if runs.setdefault(seed, signature) != signature:
                raise ValueError(f"{folder / 'study.json'} is damaged: two different runs have the levels {levels}")
    return list(places.values())


def _row(run: Found | None) -> dict[str, Any]:
    if run is None:
        return {"state": MISSING, "folder": "", "error": "", "command": "", "epochs_done": 0, "deviations": "",
                "commit": ""}  # fmt: skip
    entry = run.entry
    state, error = entry["state"], entry["error"]
    if state == State.RUNNING and holder(run.place) is None:
        state, error = State.INTERRUPTED, "its process is gone; the same command goes on with it"
    return {
        "state": state,
        "folder": run.place.path.name,
        "error": error,
        "command": entry["command"],
        "epochs_done": entry["epochs_done"],
        "deviations": entry["deviations"],
        "commit": (entry["environment"].get("code") or {}).get("commit") or "",
        "seconds": entry["seconds"],
        "weights_sha256": entry["weights_sha256"],
        **entry["metrics"],
    }


def _distinct(values: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    distinct: list[dict[str, Any]] = []
    for value in values:
        if value and value not in distinct:
            distinct.append(value)
    return distinct

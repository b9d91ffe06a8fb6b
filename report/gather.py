"""Read a study's folder into tables: one row per planned run, one row per epoch."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from ablate import record
from ablate.lock import holder
from ablate.record import RunFolder

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
        return self.runs[self.runs["state"] == record.State.DONE]


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
    records, set_aside = _read_records(record.run_folders(folder))
    rows, epochs = [], []
    axes = plan.get("axes", {})
    for number, (levels, runs) in enumerate(_places(folder, plan["cells"]), start=1):
        for seed, signature in runs.items():
            place, entry = records.get(signature, (None, None))
            of_axes = {axis: levels[axis] for axis in axes}
            rows.append({"cell": number, **of_axes, "seed": int(seed), "signature": signature, **_row(place, entry)})
    for signature in dict.fromkeys(row["signature"] for row in rows):
        place, _ = records.get(signature, (None, None))
        if place is not None:
            try:
                epochs += [{"signature": signature, **row} for row in place.read_metrics()]
            except ValueError as error:
                set_aside.append(str(error))
    planned = {row["signature"] for row in rows}
    return Study(
        folder=folder,
        plan=plan,
        runs=pd.DataFrame(rows),
        epochs=pd.DataFrame(epochs, columns=["signature", *record.METRIC_COLUMNS]),
        set_aside=set_aside,
        strays=sorted(place.path.name for s, (place, _) in records.items() if s not in planned),
        environments=_distinct(entry.get("environment", {}) for s, (_, entry) in records.items() if s in planned),
        data=sorted({_describe_data(entry) for s, (_, entry) in records.items() if s in planned and "data" in entry}),
        epochs_planned=sorted({e["epochs"] for s, (_, e) in records.items() if s in planned and "epochs" in e}),
    )


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


def _read_records(folders: Iterable[RunFolder]) -> tuple[dict[str, tuple[RunFolder, dict[str, Any]]], list[str]]:
    """{signature: (folder, record)}, and a sentence for each record that cannot be read."""
    records, set_aside = {}, []
    for place in folders:
        try:
            entry = place.read()
        except ValueError as error:
            set_aside.append(str(error))
            continue
        records[entry["signature"]] = (place, entry)
    return records, set_aside


def _row(place: RunFolder | None, entry: dict[str, Any] | None) -> dict[str, Any]:
    if place is None or entry is None:
        return {"state": MISSING, "folder": "", "error": "", "command": "", "epochs_done": 0, "deviations": ""}
    state, error = entry["state"], (entry.get("error") or {}).get("message", "")
    if state == record.State.RUNNING and holder(place) is None:
        state, error = record.State.INTERRUPTED, "its process is gone; the same command goes on with it"
    return {
        "state": state,
        "folder": place.path.name,
        "error": error,
        "command": entry.get("command", ""),
        "epochs_done": entry.get("epochs_done", 0),
        "deviations": "; ".join(entry.get("deviations", [])),
        "seconds": entry.get("seconds"),
        "weights_sha256": entry.get("weights_sha256"),
        **entry["metrics"],
    }


def _describe_data(entry: dict[str, Any]) -> str:
    data = entry["data"]
    return (
        f"{data['name']}: {data['train_images']} training images (holdout included), "
        f"{data['test_images']} test images, {len(data['classes'])} classes, fingerprint {data['fingerprint'][:12]}"
    )


def _distinct(values: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    distinct: list[dict[str, Any]] = []
    for value in values:
        if value and value not in distinct:
            distinct.append(value)
    return distinct

"""Read a study's folder into tables: one row per planned run, one row per epoch."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
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
MIXED = "MIXED"  # finished, but not the same experiment as the other seeds of its combination


@dataclass
class StudyData:
    """A study as it lies on disk.

    runs: one row per planned run, with its axes as columns, `cell` (its combination's number), `seed`,
    `signature`, `state`, `folder`, `error`, `command` and the final metrics (fractions).
    epochs: the rows of every run's metrics.csv, with its `signature`.
    trials: one row per tuning run, of which none is compared: the axes, the tuned keys, and the rest as in `runs`.
    """

    folder: Path
    plan: StudyPlan
    runs: pd.DataFrame
    epochs: pd.DataFrame
    from_report: str = ".."  # the study's folder, as seen from the report's
    set_aside: list[str] = field(default_factory=list)  # what could not be read, one sentence each
    strays: list[str] = field(default_factory=list)  # finished or not, but in no plan
    environments: list[dict[str, Any]] = field(default_factory=list)
    data: list[str] = field(default_factory=list)  # what was trained on, once per distinct data set
    mixed: list[str] = field(default_factory=list)  # combinations of several experiments, and in what those differ
    confounded: list[str] = field(default_factory=list)  # what differs between runs and is no axis
    reused: dict[str, int] = field(default_factory=dict)  # {another study's folder: runs that are copied from it}
    data_warnings: list[str] = field(default_factory=list)  # what a reader of results has to know of it
    epochs_planned: list[int] = field(default_factory=list)
    trials: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def axes(self) -> dict[str, list[str]]:
        """{axis: its levels}."""
        return self.plan.axes

    @property
    def finished(self) -> pd.DataFrame:
        """The planned runs that are DONE."""
        return self.runs[self.runs["state"] == State.DONE]

    @property
    def chosen(self) -> dict[int, dict[str, str]]:
        """{combination's number: the values chosen for its tuned keys}."""
        return {number: cell.tuned for number, cell in enumerate(self.plan.cells, start=1) if cell.tuned}

    @property
    def around_the_baseline(self) -> bool:
        """Whether each axis was varied alone."""
        return self.plan.design == "one_at_a_time"


def _in_order(levels: list[str], numbers: Mapping[str, float] | None) -> list[str]:
    """Levels that are numbers by their size: b64, b128, b256."""
    return sorted(levels, key=numbers.__getitem__) if numbers else levels


def load(folder: Path) -> StudyData:
    """Read a study, finished or not. Raises ValueError when the folder holds none."""
    plan = study_plan.read(folder)
    plan.axes = {axis: _in_order(levels, plan.numbers(axis)) for axis, levels in plan.axes.items()}
    found, set_aside = index.runs(folder)
    empty = [run for run in found if run.state == State.DONE and "test_accuracy" not in run.metrics]
    set_aside += [f"{folder / run.folder / 'record.json'} is DONE and holds no test_accuracy" for run in empty]
    by_signature, copies = _once_each([run for run in found if run not in empty])
    rows = []
    every = [(cell.levels, cell.runs) for cell in plan.cells]
    confirms = {tuple(sorted(cell.levels.items())): cell.confirms for cell in plan.cells}
    for number, (levels, runs) in enumerate(every if plan.is_list else _places(folder, plan.cells), start=1):
        of_axes = {axis: levels[axis] for axis in plan.axes}
        for seed, signature in runs.items():
            run = _row(folder, by_signature.get(signature))
            checks = confirms[tuple(sorted(levels.items()))]
            rows.append({"cell": number, **of_axes, "seed": seed, "signature": signature, "confirms": checks, **run})
    mixed = _set_mixed_apart(plan, rows, by_signature)
    trials = _trials(folder, plan, by_signature)
    compared = {row["signature"] for row in rows}
    planned = compared | {row["signature"] for row in trials}
    ours = [run for signature, run in by_signature.items() if signature in compared]
    both = [run for signature, run in by_signature.items() if signature in planned]
    return StudyData(
        folder=folder,
        plan=plan,
        runs=pd.DataFrame(rows) if rows else _no_runs(folder, plan),
        epochs=_epochs(ours),
        set_aside=set_aside + copies + [run.damage for run in both if run.damage],
        strays=sorted(run.folder for signature, run in by_signature.items() if signature not in planned),
        environments=_distinct(run.environment for run in ours),
        data=sorted({run.data for run in ours} - {""}),
        reused=dict(Counter(str(Path(run.reused_from).parent) for run in both if run.reused_from)),
        mixed=mixed,
        confounded=[] if plan.is_list else _confounded(plan, rows, by_signature),
        data_warnings=list(dict.fromkeys(warning for run in ours for warning in run.data_warnings)),
        epochs_planned=sorted({run.epochs for run in ours if run.epochs is not None}),
        trials=pd.DataFrame(trials),
    )


def _trials(folder: Path, plan: StudyPlan, runs: Mapping[str, IndexedRun]) -> list[dict[str, Any]]:
    """A row per tuning run of each combination."""
    rows = []
    for number, cell in enumerate(plan.cells, start=1) if plan.tuning is not None else ():
        for trial in plan.tuning.of(cell) if plan.tuning is not None else ():
            values = {key: trial.values.get(key, "") for key in plan.tuning.space} if plan.tuning is not None else {}
            of_axes = {axis: cell.levels[axis] for axis in plan.axes}
            rows += [
                {"cell": number, **of_axes, **values, "seed": seed, "signature": signature,
                 **_row(folder, runs.get(signature))}
                for seed, signature in trial.runs.items()
            ]  # fmt: skip
    return rows


def _no_runs(folder: Path, plan: StudyPlan) -> pd.DataFrame:
    """The table of a study whose combinations await their tuned values: its columns, without a row."""
    columns = ("cell", *plan.axes, "seed", "signature", "confirms", *_row(folder, None))
    return pd.DataFrame({column: pd.Series(dtype=object) for column in columns})


def _once_each(runs: Sequence[IndexedRun]) -> tuple[dict[str, IndexedRun], list[str]]:
    """{signature: its run}, and a sentence on each folder that has another's signature.

    A copy counts once. Where two folders of one signature have different results neither counts: nothing says which is
    the run's.
    """
    folders: dict[str, list[IndexedRun]] = {}
    for run in runs:
        folders.setdefault(run.signature, []).append(run)
    found, copies = {}, []
    for signature, several in folders.items():
        first, *others = sorted(several, key=lambda run: (not run.folder.endswith(signature), run.folder))
        different = [run.folder for run in others if _result(run) != _result(first)]
        if different:
            names = ", ".join([first.folder, *different])
            copies.append(f"{names} have one signature and different results; none of them counts")
            continue
        found[signature] = first
        copies += [f"{run.folder} is a copy of {first.folder}, which counts once" for run in others]
    return found, copies


def _result(run: IndexedRun) -> tuple[Any, ...]:
    return run.state, run.metrics, run.weights_sha256


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
        "test_images": run.test_images,
        "classes": run.classes,
        "parameters": run.parameters,
        "multiply_adds": run.multiply_adds,
        "seconds": run.seconds,
        "weights_sha256": run.weights_sha256,
        **run.metrics,
    }


def _set_mixed_apart(plan: StudyPlan, rows: list[dict[str, Any]], runs: Mapping[str, IndexedRun]) -> list[str]:
    """Take the runs of combinations that hold several experiments out of all that is averaged, and name them.

    A run that serves a combination in place of an equivalent one is of another experiment by design.
    """
    of_cell: dict[int, list[dict[str, Any]]] = {}
    for row in _as_themselves(plan, rows, runs):
        of_cell.setdefault(row["cell"], []).append(row)
    found = []
    for members in of_cell.values():
        experiments = [runs[row["signature"]].experiment for row in members]
        apart = _differing(experiments)
        if not apart:
            continue
        levels = ", ".join(f"{axis}={members[0][axis]}" for axis in plan.axes)
        values = "; ".join(f"{key} {_by_seed(key, members, experiments)}" for key in apart)
        found.append(f"{levels or 'the one combination'}: {values}")
        for row in members:
            if row["state"] == State.DONE:
                row["state"], row["error"] = (
                    MIXED,
                    f"not the same experiment as the other seeds: they differ in {', '.join(apart)}",
                )
    return found


def _by_seed(key: str, rows: Sequence[dict[str, Any]], experiments: Sequence[dict[str, str]]) -> str:
    """The values of something, each with its seeds."""
    seeds: dict[str, list[str]] = {}
    for row, each in zip(rows, experiments, strict=True):
        seeds.setdefault(_short(each.get(key)), []).append(str(row["seed"]))
    return " and ".join(
        f"{value} ({'seed' if len(those) == 1 else 'seeds'} {', '.join(those)})" for value, those in seeds.items()
    )


def _confounded(plan: StudyPlan, rows: list[dict[str, Any]], runs: Mapping[str, IndexedRun]) -> list[str]:
    """What is hashed, differs between runs, and is not decided by the levels of the axes of its own group."""
    known = [(row, runs[row["signature"]].experiment) for row in _as_themselves(plan, rows, runs)]
    found = []
    for key in _differing([each for _, each in known]):
        if plan.tuning is not None and plan.tuning.is_of(key):
            continue  # of each combination's own choosing
        group = key.partition(".")[0]
        axes = [axis for axis in plan.axes if axis.partition(".")[0] == group]
        values: dict[tuple[str, ...], set[str | None]] = {}
        for row, each in known:
            values.setdefault(tuple(row[axis] for axis in axes), set()).add(each.get(key))
        if any(len(of_levels) > 1 for of_levels in values.values()):
            found.append(key)
    return found


def _as_themselves(plan: StudyPlan, rows: list[dict[str, Any]], runs: Mapping[str, IndexedRun]) -> list[dict[str, Any]]:
    """The rows of runs that say what they are, without those that serve a combination in place of an equivalent one."""
    served = {signature for cell in plan.cells for seed, signature in cell.runs.items() if seed in cell.own_signatures}
    return [row for row in rows if row["signature"] in runs and runs[row["signature"]].experiment
            and row["signature"] not in served]  # fmt: skip


def _differing(experiments: Sequence[dict[str, str]]) -> list[str]:
    """What is not the same in all."""
    keys = dict.fromkeys(key for each in experiments for key in each)
    return [key for key in keys if len({each.get(key) for each in experiments}) > 1]


def _short(value: str | None) -> str:
    return "none" if value is None else value.strip('"')[:12]


def _distinct(values: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    distinct: list[dict[str, Any]] = []
    for value in values:
        if value and value not in distinct:
            distinct.append(value)
    return distinct

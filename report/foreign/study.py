"""A table of runs as the study that the report is about."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ablate.records.metrics import METRICS, SCORES, Metric, smallest_difference
from ablate.records.study_plan import RUNS, Cell, StudyPlan
from ablate.report.foreign import columns, read
from ablate.report.foreign.columns import Roles, Said, levels_of, numbers_of
from ablate.report.foreign.read import Found
from ablate.report.foreign.words import Quantity, quantity, snake
from ablate.report.study.gather import Origin, StudyData

STATES = {
    **dict.fromkeys(("finished", "complete", "completed", "done", "success", "succeeded", "terminated", "ok"), "DONE"),
    **dict.fromkeys(("failed", "fail", "crashed", "error"), "FAILED"),
    **dict.fromkeys(("killed", "preempted", "preempting", "pruned", "running", "scheduled", "pending", "waiting",
                     "stopped", "cancelled", "canceled", "interrupted", "timeout"), "INTERRUPTED"),
    "oom": "OOM", "diverged": "DIVERGED", "nan": "DIVERGED",
}  # fmt: skip
NUMBERED = "runs of one combination are numbered in their order"
KNOWN = ("accuracy", "loss", *SCORES)  # metrics of records, by what follows the part


def load(path: Path, said: Said, delta: float | None = None) -> StudyData:
    """Read runs that others trained. Raises ValueError for what cannot be read, and where a role cannot be guessed."""
    found = read.found(path)
    roles = columns.roles(found, said)
    kind = _as(roles.metric, "holdout" if _is_holdout(roles) else "test")
    notes = [*found.notes]
    results = {kind: _values(found, roles.metric, notes)}
    if roles.holdout is not None:
        results[f"holdout_{kind.partition('_')[2]}"] = _values(found, roles.holdout, notes)
    _declare(kind, roles)
    name = path.resolve().name
    name += "/" if name == RUNS else ""  # which is the name of a list, of which nothing is compared
    plan = StudyPlan(name, metric=kind, delta=smallest_difference(kind, delta, "--delta N"))
    runs = _once_each(found, roles, _runs(found, roles, results, notes), notes)
    _plan(plan, found, roles, runs)
    epochs = {v for c in roles.constant if snake(c).endswith("epochs") if (v := found.rows[c].iloc[0]).isdigit()}
    return StudyData(
        folder=path if path.is_dir() else path.parent,
        plan=plan,
        runs=runs,
        epochs=pd.DataFrame(columns=["signature", "epoch"]),
        confounded=[*roles.differ, *(c for axis, of in roles.along.items() for c in of if not columns.inside(c, axis))],
        data_warnings=_cautions(kind, roles),
        epochs_planned=sorted(map(int, epochs)),
        origin=Origin(path, found.kind, _account(roles, plan), roles.along, tuple(notes)),
    )


# -- metrics ----------------------------------------------------------------------------------


def _kind(column: str) -> Quantity:
    kind = quantity(column, surely=True)
    assert kind is not None
    return kind


def _is_holdout(roles: Roles) -> bool:
    """Whether the metric itself is one of a validation set, and nothing else says what is tested on."""
    return roles.holdout is None and _kind(roles.metric).part == "holdout"


def _as(column: str, part: str) -> str:
    """A column by the name that records have for it, or one like these."""
    return f"{part}_{_kind(column).what}"


def _declare(metric: str, roles: Roles) -> None:
    """Let a table's own metric be judged by: METRICS holds those of our own records only."""
    kind = _kind(roles.metric)
    if kind.what in KNOWN:
        return
    for name, column in ((metric, roles.metric), (f"holdout_{kind.what}", roles.holdout)):
        if column is not None and kind.is_share:
            METRICS[name] = Metric(column, less_is_better=kind.less_is_better, of_weights=False)
        elif column is not None:
            METRICS[name] = Metric(column, column, 1.0, kind.less_is_better, digits=3, of_weights=False)


def _values(found: Found, column: str, notes: list[str]) -> pd.Series:
    """A column's numbers; shares of images as fractions. Raises ValueError for values that cannot be any."""
    text = found.rows[column]
    values = numbers_of(text)
    if values is None:
        raise ValueError(f"{found.path}: {column} holds text, and a metric is a number in each row")
    known = values.dropna()
    if known.empty:
        raise ValueError(f"{found.path}: no run has a {column}; say another metric with --metric COLUMN")
    if not _kind(column).is_share:
        return values
    for value, meaning in ((known.min(), "is below 0"), (known.max(), "is above 100 %")):
        if value < 0 or value > 100:
            row = found.names[int((values == value).to_numpy().argmax())]
            raise ValueError(
                f"{found.path}: {column} of {row} is {value:g}, which {meaning}; a share lies from 0 to 100 %"
            )
    if known.max() <= 1 and not text.str.endswith("%").any():
        notes.append(f"{column} is read as fractions (all values are {known.max():g} or less)")
        return values
    above, below = known[known > 1], known[(known <= 1) & (known > 0)]
    # A run at 1 % has learnt nothing; as a fraction it would be better than all others.
    best = above.max() + 0.2 * (100 - above.max())
    alike = below[(100 * below >= 0.8 * above.min()) & (100 * below <= best)]
    if len(alike):
        row, other = found.names[int(alike.index[0])], found.names[int(above.index[0])]
        raise ValueError(
            f"{found.path}: {column} holds {alike.iloc[0]:g} in {row} and {above.iloc[0]:g} in {other}, fractions and "
            "percentages in one column; write all of them as fractions, from 0 to 1"
        )
    notes.append(f"{column} is read as percentages (values up to {known.max():g})")
    return values / 100


def _cautions(metric: str, roles: Roles) -> list[str]:
    """What limits every number of the report."""
    are = "differs" if len(roles.differ) == 1 else "differ"
    found = [f"{_some(roles.differ, 4)} {are} between runs, and no axis decides it"] if roles.differ else []
    if metric.startswith("holdout"):
        found.append(f"{roles.metric} both chooses the best combination and measures it, so that its figure flatters")
    if _kind(roles.metric).best:
        found.append(f"{roles.metric} is, by its name, the best of each run's epochs, chosen on the images measured")
    return found


# -- runs -------------------------------------------------------------------------------------


def _runs(found: Found, roles: Roles, results: dict[str, pd.Series], notes: list[str]) -> pd.DataFrame:
    """A row per row of the table, as gather makes them of records."""
    levels = {axis: levels_of(found.rows[axis]).tolist() for axis in roles.axes}
    seeds = _seeds(found, roles, levels, notes)
    seconds = numbers_of(found.rows[roles.seconds]) if roles.seconds else None
    values = next(iter(results.values()))
    rows = []
    for number, name in enumerate(found.names):
        state, error = _state(found, roles, number, values.iloc[number])
        row: dict[str, Any] = {axis: of_axis[number] for axis, of_axis in levels.items()}
        row |= {"seed": seeds[number], "signature": f"{number:012x}", "confirms": "", "state": state, "folder": ""}
        row |= {"error": error, "command": "", "epochs_done": 0, "deviations": "", "commit": "", "name": name}
        row |= {"seconds": math.nan if seconds is None else seconds.iloc[number], "weights_sha256": None}
        row |= {key: of_all.iloc[number] if state == "DONE" else math.nan for key, of_all in results.items()}
        rows.append(row)
    return pd.DataFrame(rows)


def _seeds(found: Found, roles: Roles, levels: dict[str, list[str]], notes: list[str]) -> list[int]:
    """The seed of each row; where no column has one, runs of one combination are numbered in their order."""
    if roles.seeds:
        text = [tuple(found.rows[c].iloc[number] for c in roles.seeds) for number in range(len(found.rows))]
        if all(len(one) == 1 and one[0].removesuffix(".0").isdigit() for one in text):
            seeds = [int(one[0].removesuffix(".0")) for one in text]
            if len(set(seeds)) > 1 or not _repeats(levels):
                return seeds
            notes.append(f"{roles.seeds[0]} is {seeds[0]} in every row, so that {NUMBERED}")
        else:
            places = {one: number for number, one in enumerate(dict.fromkeys(text))}
            notes.append(f"each value of {' and '.join(roles.seeds)} is a seed, numbered in the order of the rows")
            return [places[one] for one in text]
    else:
        notes.append(f"no column holds a seed, so that {NUMBERED}")
    counts: dict[tuple[str, ...], int] = {}
    seeds = []
    for cell in _cells(levels, len(found.rows)):
        seeds.append(counts.get(cell, 0))
        counts[cell] = seeds[-1] + 1
    return seeds


def _cells(levels: dict[str, list[str]], rows: int) -> list[tuple[str, ...]]:
    return list(zip(*levels.values(), strict=True)) if levels else [()] * rows


def _repeats(levels: dict[str, list[str]]) -> bool:
    cells = _cells(levels, 2)
    return len(set(cells)) < len(cells)


def _state(found: Found, roles: Roles, number: int, value: float) -> tuple[str, str]:
    """How a run ended, and why it has no result."""
    text = found.rows[roles.state].iloc[number] if roles.state else ""
    state = STATES.get(text.lower(), "DONE")
    if state != "DONE":
        return state, f"its {roles.state} is {text}"
    if pd.notna(value):
        return state, ""
    held = found.rows[roles.metric].iloc[number]
    return ("DIVERGED", f"its {roles.metric} is {held}") if held else ("FAILED", f"it has no {roles.metric}")


def _once_each(found: Found, roles: Roles, runs: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """One run per combination and seed. Raises ValueError where two finished ones differ in their results."""
    keep = []
    for levels, same in runs.groupby([*roles.axes, "seed"], sort=False):
        done = same[same["state"] == "DONE"]
        chosen = (done if len(done) else same).index
        rows = found.rows.loc[chosen]
        if len(done) > 1 and len(rows[[roles.metric, *roles.differ]].drop_duplicates()) > 1:
            first, second = (found.names[int(i)] for i in chosen[:2])
            where = ", ".join(f"{a}={v}" for a, v in zip([*roles.axes, "seed"], levels, strict=True))
            apart = [c for c in (*roles.differ, *roles.unread) if rows[c].iloc[:2].nunique() > 1 and c != roles.metric]
            differ = f" (they differ in {', '.join(apart[:4])})" if apart else ""
            raise ValueError(
                f"{found.path}: {first} and {second} have the same {where}{differ}; delete one, or say with "
                "--axes what was varied"
            )
        keep.append(int(chosen[-1]))
    if left := len(runs) - len(keep):
        notes.append(f"{left} {'row repeats' if left == 1 else 'rows repeat'} a run that is counted once")
    return runs.loc[sorted(keep)].reset_index(drop=True)


# -- the plan ---------------------------------------------------------------------------------


def _plan(plan: StudyPlan, found: Found, roles: Roles, runs: pd.DataFrame) -> None:
    """Fill in combinations, axes, design and baseline, and number the runs' combinations."""
    numbers: dict[tuple[str, ...], int] = {}
    cells = _cells({axis: runs[axis].tolist() for axis in roles.axes}, len(runs))
    for row, cell in zip(runs.itertuples(), cells, strict=True):
        if cell not in numbers:
            numbers[cell] = len(numbers) + 1
            of_table = found.rows.loc[int(str(row.signature), 16)]
            settings = {c: str(of_table[c]) for c in (*roles.axes, *(c for of in roles.along.values() for c in of))}
            plan.cells.append(Cell(dict(zip(roles.axes, cell, strict=True)), {}, settings=settings))
        plan.cells[numbers[cell] - 1].runs[int(str(row.seed))] = str(row.signature)
    runs.insert(0, "cell", [numbers[cell] for cell in cells])
    plan.constants = {c: str(found.rows[c].iloc[0]) for c in roles.constant}
    plan.seeds = sorted(runs["seed"].unique().tolist())
    plan.axes = {axis: list(dict.fromkeys(runs[axis])) for axis in roles.axes}
    plan.axes = {axis: _in_order(levels) for axis, levels in plan.axes.items() if len(levels) > 1}
    baseline = _baseline(plan.axes, list(numbers))
    if baseline is not None:
        plan.design, plan.baseline = "one_at_a_time", baseline


def _in_order(levels: list[str]) -> list[str]:
    """Levels that are numbers by their size, others as they came."""
    try:
        return sorted(levels, key=float)
    except ValueError:
        return levels


def _baseline(axes: dict[str, list[str]], cells: Sequence[tuple[str, ...]]) -> dict[str, str] | None:
    """The combination from which each other one differs on one axis; None for a grid, or where there is none."""
    if len(axes) < 2 or len(cells) == math.prod(map(len, axes.values())):
        return None
    if len(cells) != 1 + sum(len(levels) - 1 for levels in axes.values()):
        return None
    for cell in cells:
        if all(sum(a != b for a, b in zip(cell, other, strict=True)) <= 1 for other in cells):
            return dict(zip(axes, cell, strict=True))
    return None


# -- in words ---------------------------------------------------------------------------------


def _account(roles: Roles, plan: StudyPlan) -> dict[str, str]:
    """What each column was taken for, and the option that says otherwise."""
    levels = (f"{axis} ({', '.join(of[:6])}{', …' if len(of) > 6 else ''})" for axis, of in plan.axes.items())
    seeds = f"{', '.join(roles.seeds)} ({', '.join(map(str, plan.seeds[:8]))}{', …' if len(plan.seeds) > 8 else ''})"
    along = (f"{', '.join(of)} with {axis}" for axis, of in roles.along.items())
    account = {
        "axes": ", ".join(levels) or "none: no setting differs between runs",
        "seed": seeds if roles.seeds else "none",
        "metric": roles.metric,
        "holdout metric": roles.holdout
        or ("the same" if plan.metric.startswith("holdout") else "none: no combination is called the best"),
        "time": roles.seconds or "",
        "constant": _some(roles.constant),
        "differ with an axis": "; ".join(along),
        "differ, and are no axes": _some(roles.differ),
        "not used": _some(roles.unread),
    }
    return {name: text for name, text in account.items() if text}


def _some(names: Sequence[str], most: int = 12) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"

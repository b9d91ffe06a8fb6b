"""What was tried to choose each combination's tuned values: scores on the holdout, the choice, and edges of the search.

Scores only: which difference is real is judged in stats, from the runs that were trained with the chosen values.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

import pandas as pd

from ablate.records.metrics import METRICS
from ablate.records.study_plan import Cell, Trial
from ablate.report.study import tables
from ablate.report.study.gather import StudyData

ROUND = (1, 2, 3, 5)  # a value to try next is one of these, times a power of ten
FEWEST = 3  # numbers of which one can lie within the search
MULTIPLE = re.compile(r"x([\d.+-]+(?:e[+-]?\d+)?)", re.IGNORECASE)


@dataclass(frozen=True)
class Tried:
    """One trial: its values, and its score by the metric of the choice, in the record's unit, over tuning seeds."""

    values: dict[str, str]
    score: float | None  # mean of the runs with a result; None without one
    sd: float | None
    runs: int
    finished: int
    ended: int  # finished, or with another outcome that training again would repeat
    chosen: bool


@dataclass(frozen=True)
class Searched:
    """The trials of one combination. edges: {key: the value to try next, as it is typed} of each key whose chosen value
    is the smallest or the largest that was tried."""

    name: str
    levels: dict[str, str]
    chosen: dict[str, str]
    trials: tuple[Tried, ...]
    edges: dict[str, str]

    @property
    def failed(self) -> bool:
        """Whether every trial has ended and none with a result, so that nothing can be chosen or compared."""
        return all(trial.ended == trial.runs and not trial.finished for trial in self.trials)


def searched(study: StudyData) -> list[Searched]:
    """Every combination of a tuned study with what was tried in it, in the plan's order; [] of any other."""
    plan = study.plan
    if plan.tuning is None:
        return []
    found = []
    for cell in plan.cells:
        trials = [_tried(study, trial, cell) for trial in plan.tuning.of(cell)]
        if trials:
            levels = {axis: cell.levels[axis] for axis in plan.axes}
            edges = {key: beyond for key in cell.tuned if (beyond := _beyond(plan.tuning.space[key], key, trials))}
            name = tables.label(study, pd.Series(levels, dtype=object))
            found.append(Searched(name, levels, cell.tuned, tuple(trials), edges))
    return found


def _tried(study: StudyData, trial: Trial, cell: Cell) -> Tried:
    assert study.plan.tuning is not None
    trials = study.trials
    rows = trials[trials["signature"].isin(list(trial.runs.values()))]
    metric = ranked_by(study)
    scores = [float(v) for v in rows[metric] if not pd.isna(v)] if metric in rows else []
    return Tried(
        values=trial.values,
        score=fmean(scores) if scores else None,
        sd=stdev(scores) if len(scores) > 1 else None,
        runs=len(trial.runs),
        finished=len(scores),
        ended=int(rows["state"].isin(["DONE", "OOM", "DIVERGED", "FAILED"]).sum()) if len(rows) else 0,
        chosen=bool(cell.tuned) and trial.values == cell.tuned,
    )


def ranked_by(study: StudyData) -> str:
    """The metric of the holdout by which the values were chosen."""
    return study.plan.tuning.metric if study.plan.tuning is not None else "holdout_accuracy"


def in_words(study: StudyData) -> str:
    """`optimizer.lr tuned per combination (4 trials each)`; "" of a study that is not tuned."""
    tuning = study.plan.tuning
    if tuning is None:
        return ""
    keys = " and ".join(tuning.space)
    counts = [len(one.trials) for one in searched(study)]
    if not counts:
        return f"{keys} tuned per combination"
    trials = f"{counts[0]} trials each" if len(set(counts)) == 1 else f"{min(counts)} to {max(counts)} trials each"
    return f"{keys} tuned per combination ({trials})"


def number_of(text: str) -> float | None:
    """A value that is a number; None of any other."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _beyond(typed: Sequence[str], key: str, trials: Sequence[Tried]) -> str:
    """What to try next of a key whose chosen value lies at an end of those tried; "" where it lies between them."""
    chosen = next((trial.values.get(key) for trial in trials if trial.chosen), None)
    values = {number_of(trial.values[key]) for trial in trials if key in trial.values}
    if chosen is None or None in values or len(values) < FEWEST:
        return ""
    ordered = sorted(value for value in values if value is not None)
    best = number_of(chosen)
    if best not in (ordered[0], ordered[-1]):
        return ""
    multiples = [MULTIPLE.fullmatch(text) for text in typed]
    if all(multiples) and len(multiples) == len(ordered):
        ordered = sorted(float(match[1]) for match in multiples if match)
        prefix = "x"
    else:
        prefix = ""
    before, last = (
        (ordered[-2], ordered[-1]) if best == max(v for v in values if v is not None) else (ordered[1], ordered[0])
    )
    return f"{prefix}{_round(last * last / before):g}" if min(before, last) > 0 else ""


def _round(value: float) -> float:
    """The nearest round number, by ratio: 9 is 10, 0.033 is 0.03."""
    power = math.floor(math.log10(value))
    near = [float(f"{digit}e{power + more}") for more in (0, 1) for digit in ROUND]
    return min(near, key=lambda each: abs(math.log(each / value)))


def table(study: StudyData) -> pd.DataFrame:
    """One row per tuning run: the axes, the tuned keys, seed, signature, state, chosen, and its final metrics."""
    trials = study.trials.copy()
    if trials.empty:
        return trials
    tuning = study.plan.tuning
    chosen = {
        signature
        for cell in study.plan.cells
        for trial in (tuning.of(cell) if tuning is not None and cell.tuned else ())
        if trial.values == cell.tuned
        for signature in trial.runs.values()
    }
    trials.insert(list(trials.columns).index("state") + 1, "chosen", trials["signature"].isin(list(chosen)))
    return trials


def trials_by_level(study: StudyData, axis: str) -> Mapping[str, float]:
    """{level: mean number of trials per combination}; {} of a study that is not tuned."""
    counts: dict[str, list[int]] = {}
    if (tuning := study.plan.tuning) is not None:
        for cell in study.plan.cells:
            counts.setdefault(cell.levels[axis], []).append(len(tuning.of(cell)))
    return {level: fmean(numbers) for level, numbers in counts.items()}


def unit(metric: str) -> str:
    """The unit of a score on the holdout, for an axis of a figure."""
    return "%" if METRICS[metric].unit == "points" else METRICS[metric].unit

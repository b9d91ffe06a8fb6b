"""From runs to the numbers of the report, as plain tables.

Means and spreads only: which difference is real is judged in stats.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import pandas as pd

from ablate.records.metrics import METRICS, on_the_holdout
from ablate.records.study_plan import NOT_READ
from ablate.report.study.compared import above, axis_of, shared
from ablate.report.study.gather import StudyData

GENERIC = ("name", "size", "value")  # keys that say less than the group that they are in
BARE = re.compile(r"[+-]?[\d.]+(e[+-]?\d+)?|true|false", re.IGNORECASE)  # says nothing without its axis
SHOWN = ("test_accuracy", "holdout_accuracy", "best_holdout_test_accuracy")  # of every combination


def ranked_by(finished: pd.DataFrame, metric: str) -> str | None:
    """The metric by which combinations are ranked in a study that is judged by `metric`: its own on the holdout, or the
    holdout's accuracy where not every run has that. None for runs without a holdout, of which others trained some."""
    own = on_the_holdout(metric)
    if own in finished and finished[own].notna().all():
        return own
    known = [name for name in ("holdout_accuracy", own, metric) if name in finished and name.startswith("holdout_")]
    return known[0] if known else None


def result_of(finished: pd.DataFrame, metric: str) -> str:
    """The metric in which a combination's result is given: test accuracy, or the study's own where runs lack that."""
    return "test_accuracy" if "test_accuracy" in finished else metric


def leaderboard(study: StudyData) -> pd.DataFrame:
    """One row per combination with a finished run, the best by the holdout first.

    Ranked by the holdout, so that nothing is chosen on the test set; in the plan's order without one. Columns: cell,
    the axes, n (finished seeds), planned, and for each metric that runs have, also the study's own, its mean and its
    standard deviation over seeds (`_mean`, `_sd`; missing for a single seed).
    """
    finished = study.finished
    if finished.empty:
        return pd.DataFrame()
    groups = finished.groupby("cell")
    table = groups[list(study.axes)].first() if study.axes else pd.DataFrame(index=groups.size().index)
    table["n"], table["planned"] = groups.size(), study.runs.groupby("cell")["seed"].nunique()
    table["seconds"] = groups["seconds"].mean()
    for name in ("parameters", "multiply_adds"):
        if name in finished:
            table[name] = groups[name].first()
    if len(study.epochs):
        speeds = study.epochs.groupby("signature")["images_per_second"].median()
        table["images_per_second"] = finished["signature"].map(speeds).groupby(finished["cell"]).mean()
    first = ranked_by(finished, study.plan.metric)
    for metric in dict.fromkeys([*SHOWN, study.plan.metric]) | dict.fromkeys([first] if first else []):
        if metric not in finished:  # of runs that others trained
            continue
        table[f"{metric}_mean"], table[f"{metric}_sd"] = groups[metric].mean(), groups[metric].std(ddof=1)
    table = table.reset_index()
    if first is None:
        return table
    ascending = METRICS[first].less_is_better
    return table.sort_values(f"{first}_mean", ascending=ascending, kind="stable", ignore_index=True)


@dataclass
class AxisTable:
    """An axis's levels over the combinations that finished at every one of them.

    levels: columns level, finished, planned, mean, sd (over seeds, of the seed's mean over the
    matched combinations; missing for one seed).
    """

    axis: str
    levels: pd.DataFrame
    matched: int  # combinations of the other axes and a seed that finished at every level
    left_out: int  # combinations planned at every level that did not finish at every one
    seeds: int  # distinct seeds among the matched
    copies: list[tuple[str, str]]  # pairs of levels that gave the same weights in every matched place


def axis_table(study: StudyData, axis: str, metric: str) -> AxisTable:
    """Compare an axis's levels like with like: never over what happens to have finished."""
    levels = list(next(one.levels for one in study.comparisons if one.name == axis))
    values = side_by_side(study, axis, metric, levels)
    # Not every design plans every level everywhere: one at a time, only the baseline's place has them all.
    planned = study.runs.groupby([*places_of(study, axis), axis]).size().unstack(axis).reindex(columns=levels).dropna()
    matched = values.dropna()
    by_seed = matched.groupby(level="seed").mean()
    copies = _copies(study, axis, levels, matched.index) if len(matched) else []
    return AxisTable(
        axis=axis,
        levels=pd.DataFrame(
            {
                "level": levels,
                "finished": [int((study.finished[axis] == level).sum()) for level in levels],
                "planned": [int((study.runs[axis] == level).sum()) for level in levels],
                "mean": matched.mean().reindex(levels).to_list(),
                "sd": by_seed.std(ddof=1).reindex(levels).to_list(),
            }
        ),
        matched=len(matched),
        left_out=len(planned) - len(matched),
        seeds=len(by_seed),
        copies=copies,
    )


def places_of(study: StudyData, axis: str) -> list[str]:
    """The columns by which runs are matched to compare an axis: the other axes, without those nested in its levels, and
    the seed."""
    own = axis_of(axis)
    return [a for a in study.axes if a != own and own not in above(a, study.plan.nested)] + ["seed"]


def nested_in(study: StudyData, axis: str) -> list[str]:
    """The axes that are nested in the levels of a comparison's axis, the outermost first."""
    depth = {a: len(above(a, study.plan.nested)) for a in study.axes if axis_of(axis) in above(a, study.plan.nested)}
    return sorted(depth, key=depth.__getitem__)


def runs_of(study: StudyData, axis: str, levels: Sequence[str]) -> pd.DataFrame:
    """The planned runs by which some levels of an axis are compared, as in stats.layout: where all have the same nested
    in them, if one of them has nothing else."""
    nested, runs = nested_in(study, axis), study.runs[study.runs[axis].isin(levels)]
    if not nested:
        return runs
    at = pd.Series(list(zip(*(runs[a] for a in nested), strict=True)), index=runs.index, dtype=object)
    same = shared([set(of_level) for _, of_level in at.groupby(runs[axis])])
    return runs if same is None else runs[at.isin(same)]


def side_by_side(study: StudyData, axis: str, metric: str, levels: Sequence[str]) -> pd.DataFrame:
    """A metric with a row per place (combination of the other axes, seed) and a column per level of an axis.

    A level is the mean over the axes that are nested in it, each of their levels counting the same, the innermost
    first; it is missing where a run of it has not finished.
    """
    columns, nested = [*places_of(study, axis), axis], nested_in(study, axis)
    runs = runs_of(study, axis, levels)
    done = runs[runs["state"] == "DONE"]
    # One run per place; gather has refused a plan with two.
    values = done.set_index([*columns, *nested])[metric]
    if nested:
        while nested:
            nested.pop()
            values = values.groupby(level=[*columns, *nested]).mean()
        planned, finished = (of.groupby(columns).size() for of in (runs, done))
        whole = planned.index[planned.eq(finished.reindex(planned.index, fill_value=0))]
        values = values[values.index.isin(whole)]
    return values.unstack(axis).reindex(columns=list(levels))


def _copies(study: StudyData, axis: str, levels: Sequence[str], places: pd.Index) -> list[tuple[str, str]]:
    """Pairs of levels with the same weights in all of some places."""
    rows = study.finished.dropna(subset=[axis, "weights_sha256"]).groupby([*places_of(study, axis), axis])
    weights = rows["weights_sha256"].agg(lambda of_place: " ".join(sorted(of_place))).unstack(axis)
    weights = weights.reindex(index=places, columns=list(levels))
    return [(a, b) for a, b in combinations(levels, 2) if (weights[a] == weights[b]).all()]


@dataclass
class Curve:
    """One combination over epochs: a line per seed and their mean, of one metric."""

    label: str
    seeds: list[pd.Series]  # index: epoch
    mean: pd.Series
    chosen: int | None  # the epoch with the best holdout score: the median over finished seeds


def curves(study: StudyData, metric: str, cells: Sequence[int]) -> list[Curve]:
    """The curves of some combinations; an unfinished run's are drawn as far as they go."""
    drawn = []
    for cell in cells:
        runs = study.runs[study.runs["cell"] == cell]
        seeds = []
        for signature in runs["signature"]:
            rows = study.epochs[study.epochs["signature"] == signature]
            if len(rows):
                seeds.append(rows.set_index("epoch")[metric])
        if seeds:
            mean = pd.concat(seeds, axis=1).mean(axis=1)
            best = runs["best_holdout_epoch"].dropna() if "best_holdout_epoch" in runs else runs["seed"].head(0)
            chosen = int(best.median()) if len(best) else None
            drawn.append(Curve(label(study, runs.iloc[0]), seeds, mean, chosen))
    return drawn


def label(study: StudyData, row: pd.Series) -> str:
    """A combination by the levels that vary in the study; one at a time, by those that differ from the baseline."""
    if study.plan.is_list:
        return str(row["folder"] or row["signature"])
    if study.around_the_baseline:
        baseline = study.plan.baseline
        different = [axis for axis in _read(study, row) if row[axis] != baseline.get(axis)]
        return ", ".join(f"{axis_name(axis)}={row[axis]}" for axis in different) or "the baseline"
    return ", ".join(among_others(study, axis, row[axis]) for axis in _read(study, row)) or "the only combination"


def _read(study: StudyData, row: pd.Series) -> list[str]:
    """The axes that a combination reads."""
    return [axis for axis in study.axes if row[axis] != NOT_READ]


def level_of(row: pd.Series, axis: str) -> str:
    """A combination's level in a table."""
    return "–" if row[axis] == NOT_READ else str(row[axis])


def in_a_sentence(study: StudyData, row: pd.Series) -> str:
    """A combination as it is called away from a list of others: the baseline with augment=none."""
    name = label(study, row)
    return f"the baseline with {name}" if "=" in name and study.around_the_baseline else name


def axis_name(axis: str) -> str:
    """An axis by the word that says most: lr of optimizer.lr, batch_size of batch_size.size.

    lr+weight_decay of settings that move together, and lr in optimizer=sgd of a nested one.
    """
    own = axis_of(axis)
    return "+".join(map(_key_name, own.split("+"))) + axis.removeprefix(own)


def _key_name(key: str) -> str:
    group, _, last = key.rpartition(".")
    return group.rpartition(".")[2] if group and last in GENERIC else last


def level_name(axis: str, level: str) -> str:
    """A level away from its axis: sgd speaks for itself, a bare value needs its key, lr=0.05."""
    axis = axis_of(axis)
    return f"{axis_name(axis)}={level}" if "." in axis else str(level)


def among_others(study: StudyData, axis: str, level: str) -> str:
    """A level next to those of other axes: in a table of others, levels are bare values too."""
    bare = study.origin is not None and BARE.fullmatch(level) is not None
    return f"{axis_name(axis)}={level}" if bare else level_name(axis, level)


def cells_to_draw(study: StudyData, limit: int) -> list[int]:
    """The combinations worth a colour: the best by the holdout first, then those without a finished run."""
    ranked = leaderboard(study)
    first = [] if ranked.empty else [int(cell) for cell in ranked["cell"]]
    rest = [int(cell) for cell in study.runs["cell"].unique() if cell not in first]
    return (first + rest)[:limit]


def unfinished(study: StudyData) -> pd.DataFrame:
    """The planned runs that are not DONE, in the order of the plan."""
    return study.runs[study.runs["state"] != "DONE"]

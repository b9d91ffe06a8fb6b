"""From runs to the numbers of the report, as plain tables.

Means and spreads only: which difference is real is judged in stats.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import pandas as pd

from ablate.records.metrics import METRICS, on_the_holdout
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
    levels = study.axes[axis]
    others = [a for a in study.axes if a != axis] + ["seed"]
    # One run per place; gather has refused a plan with two.
    values = study.finished.set_index([*others, axis])[metric].unstack(axis).reindex(columns=levels)
    # Not every design plans every level everywhere: one at a time, only the baseline's place has them all.
    planned = study.runs.set_index([*others, axis])["state"].unstack(axis).reindex(columns=levels).dropna()
    matched = values.dropna()
    by_seed = matched.groupby(level="seed").mean()
    weights = study.finished.set_index([*others, axis])["weights_sha256"].unstack(axis).reindex(matched.index)
    copies = [(a, b) for a, b in combinations(levels, 2) if len(matched) and (weights[a] == weights[b]).all()]
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
        different = [axis for axis in study.axes if row[axis] != baseline.get(axis)]
        return ", ".join(f"{axis_name(axis)}={row[axis]}" for axis in different) or "the baseline"
    return ", ".join(among_others(study, axis, row[axis]) for axis in study.axes) or "the only combination"


def in_a_sentence(study: StudyData, row: pd.Series) -> str:
    """A combination as it is called away from a list of others: the baseline with augment=none."""
    name = label(study, row)
    return f"the baseline with {name}" if "=" in name and study.around_the_baseline else name


def axis_name(axis: str) -> str:
    """An axis by the word that says most: lr of optimizer.lr, batch_size of batch_size.size."""
    group, _, last = axis.rpartition(".")
    return group.rpartition(".")[2] if group and last in GENERIC else last


def level_name(axis: str, level: str) -> str:
    """A level away from its axis: sgd speaks for itself, a bare value needs its key, lr=0.05."""
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

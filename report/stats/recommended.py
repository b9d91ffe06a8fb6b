"""The recommended combination, and what each axis does there: people choose near it, not on average."""

from math import sqrt

import numpy as np
import pandas as pd
from scipy.stats import t

from ablate.records.metrics import METRICS
from ablate.records.study_plan import StudyPlan
from ablate.report.stats import linear
from ablate.report.stats.noise import Measured
from ablate.report.stats.verdicts import AtBest, Noise, Rates, judge
from ablate.report.study import tables


def recommended(runs: pd.DataFrame, plan: StudyPlan) -> dict[str, str] | None:
    """{axis: level} of the best combination by the holdout, as the leaderboard has it; None without one."""
    done = runs[runs["state"] == "DONE"]
    metric = tables.ranked_by(done, plan.metric)
    if metric is None or metric not in done or done[metric].isna().all() or not plan.axes:
        return None
    means = done.groupby("cell", sort=True)[metric].mean()
    best = means.idxmin() if METRICS[metric].less_is_better else means.idxmax()
    first = done[done["cell"] == best].iloc[0]
    return {axis: str(first[axis]) for axis in plan.axes}


def at_best(
    study: Measured, axis: int, noise: Noise | None, best: dict[str, str] | None, rates: Rates
) -> tuple[AtBest, ...]:
    """The levels of an axis at the recommended combination, where both ran; () where that is all that was compared.

    Nor is there any of an axis with others nested in its levels, which no two levels share.
    """
    layout = study.layout
    if best is None or noise is None or study.prepared.model is None or layout.below[axis]:
        return ()
    if not any(axis in pair for pair in linear.pairs(layout)):
        return ()
    place = layout.codes_of(best)
    if place is None or place[axis] < 0:
        return ()
    at: dict[tuple[int, ...], dict[int, int]] = {levels: {} for levels in layout.levels}
    for row, (levels, seed) in enumerate(zip(layout.levels, layout.seeds, strict=True)):
        at[levels][seed] = row
    others = [(*place[:axis], level, *place[axis + 1 :]) for level in range(len(layout.names[axis]))]
    found = []
    for other in others:
        both = sorted(at.get(place, {}).keys() & at.get(other, {}).keys())
        if other == place or not both:
            continue
        weights = np.zeros(len(study.y))
        for seed in both:
            weights[at[place][seed]], weights[at[other][seed]] = 1 / len(both), -1 / len(both)
        variance = linear.variance_of(layout, weights)
        if variance < 1e-12:
            continue
        estimate = linear.without_rounding(float(weights @ study.y), study.y)
        tail = rates.rate / (2 * max(1, len(layout.names[axis]) - 1))  # Bonferroni, against the one level
        se = noise.sd * sqrt(variance)
        half, tight = float(t.isf(tail, noise.df)) * se, float(t.isf(rates.rate, noise.df)) * se
        verdict = judge(estimate - half, estimate + half, rates.delta, (estimate - tight, estimate + tight))
        names = layout.names[axis]
        found.append(
            AtBest(names[place[axis]], names[other[axis]], estimate, estimate - half, estimate + half, verdict)
        )
    return tuple(found)

"""A run that is unlike its combination and its seed: named, and the answers given with and without it."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import t

from ablate.records.study_plan import StudyPlan
from ablate.report.stats import linear
from ablate.report.stats.effects import estimate_effects
from ablate.report.stats.layout import Floats, Layout, layout_of
from ablate.report.stats.verdicts import AxisEffect

LEVEL = 0.001  # over all runs of the study; by chance one in a thousand studies has such a run


@dataclass(frozen=True)
class Outlier:
    """The run with the largest externally studentised residual of combinations and seeds (Cook and Weisberg, Residuals
    and Influence in Regression, 1982), where that is beyond LEVEL by Bonferroni over the runs.

    value and expected: in the metric's unit. without: what each axis would be judged as if it had not been trained.
    """

    folder: str
    seed: int
    value: float
    expected: float
    without: tuple[AxisEffect, ...]


@dataclass(frozen=True, eq=False)
class Residuals:
    """Of each run (n): its externally studentised residual without the sign, and what its combination and seed would
    predict without it; and the degrees of freedom of the former's t."""

    size: Floats
    predicted: Floats
    df: float


def studentised_residuals(layout: Layout, y: Floats) -> Residuals | None:
    """Of combinations and seeds; None where seeds cannot tell."""
    if layout.number_of_seeds < 2:
        return None
    term = linear.replication(layout)
    if term.df < 2:
        return None
    centred = y - y.mean()
    within = centred - linear.cell_means(layout.cells, centred)
    residual = within - term.basis @ (term.basis.T @ within)
    leverage = 1 / np.bincount(layout.cells)[layout.cells] + np.square(term.basis).sum(axis=1)
    left = 1 - np.minimum(leverage, 1 - linear.TOLERANCE)
    squares = float(residual @ residual)
    if squares / term.df <= linear.rounding(y):
        return None
    rest = np.maximum(squares - np.square(residual) / left, 1e-12 * squares)
    size = np.where(leverage < 1 - 1e-6, np.abs(residual) * np.sqrt((term.df - 1) / (rest * left)), 0.0)
    return Residuals(size, y - residual / left, term.df - 1)


def outlier(runs: pd.DataFrame, plan: StudyPlan) -> Outlier | None:
    """The run that stands out most, from gather's table; None where none does or seeds cannot tell."""
    layout, y = layout_of(runs, plan.axes, plan.metric, plan.nested)
    found = studentised_residuals(layout, y)
    if found is None:
        return None
    worst = int(found.size.argmax())
    if 2 * len(y) * t.sf(found.size[worst], found.df) >= LEVEL:
        return None
    finished = runs[(runs["state"] == "DONE") & np.isfinite(runs[plan.metric].to_numpy(dtype=np.float64))]
    row = finished.iloc[worst]
    states = runs["state"].where(runs["signature"] != row["signature"], "SET APART")
    without = estimate_effects(runs.assign(state=states), plan, p_values=False)
    expected = float(found.predicted[worst])
    return Outlier(str(row.get("folder", "")), int(row["seed"]), float(y[worst]), expected, without.axes)

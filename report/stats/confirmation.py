"""Whether a fraction predicts combinations that it does not hold: the recommended one and the baseline."""

from collections.abc import Mapping
from dataclasses import replace
from math import sqrt

import numpy as np
import pandas as pd
from scipy.stats import t

from ablate.records.study_plan import StudyPlan
from ablate.report.stats import linear
from ablate.report.stats.layout import Floats, Layout, layout_of
from ablate.report.stats.noise import Measured
from ablate.report.stats.verdicts import Confirmation, LackOfFit

LEVEL = 0.05  # over all combinations that are checked


def confirmations(
    study: Measured, fit: LackOfFit | None, checks: pd.DataFrame, plan: StudyPlan
) -> tuple[Confirmation, ...]:
    """Each checked combination as the fitted terms predict it, with the prediction interval, and as it was measured.

    The interval is that of a mean over as many new runs (Draper and Smith, Applied Regression Analysis, 1998, 3.1); its
    error is all that the terms leave, or what they leave beyond replication where that is too much for the terms.
    """
    layout, prepared, y = study.layout, study.prepared, study.y
    if prepared.model is None or prepared.unfitted is None or checks.empty:
        return ()
    cells = [of_cell for _, of_cell in checks.groupby("cell", sort=True)]
    kinds = [str(of_cell["confirms"].iloc[0]) for of_cell in cells]
    sd, df = sqrt(prepared.unfitted.mean_square(y)), prepared.unfitted.df
    if fit is not None and fit.fails:
        sd, df = fit.sd, fit.df[0]
    found = []
    for kind, of_cell in zip(kinds, cells, strict=True):
        _, measured = layout_of(of_cell, plan.axes, plan.metric)
        if not len(measured):
            continue
        levels = {axis: str(of_cell[axis].iloc[0]) for axis in plan.axes}
        row = _row(layout, prepared.terms, levels, prepared.model.shape[1])
        weights = None if row is None else linear.weights_of(prepared.model, row)[0]
        if weights is None:
            continue
        predicted, mean = float(weights @ y), float(measured.mean())
        error = sd * sqrt(linear.variance_of(layout, weights) + 1 / len(measured))
        half = float(t.isf(LEVEL / 2 / len(kinds), df)) * error
        found.append(Confirmation(kind, tuple(levels.items()), len(measured), predicted,
                                  predicted - half, predicted + half, mean, abs(mean - predicted) <= half))  # fmt: skip
    return tuple(found)


def _row(layout: Layout, terms: tuple[linear.Pair, ...], levels: Mapping[str, str], width: int) -> Floats | None:
    """(1, p): the model's row of a combination, averaged over seeds; None for a level that no run of it has."""
    codes = layout.codes_of(levels)
    if codes is None:
        return None
    row = np.zeros((1, width))
    columns, _ = linear.factorial(replace(layout, levels=(codes,), seeds=(0,), units=(0,)), terms)
    row[:, : columns.shape[1]] = columns
    return row

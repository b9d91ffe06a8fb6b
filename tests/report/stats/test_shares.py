"""Shares of variance: the sums of squares of the analysis of variance."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from statsmodels.stats.anova import anova_lm

from tests.report.stats.tables import AROUND, CELLS, FOUR, HALF, ONE, THREE, frame, judged, noisy


def test_in_a_grid_they_are_those_of_statsmodels_and_add_up_to_one() -> None:
    runs = frame(THREE, 3, noisy())
    found = {share.of: share.share for share in judged(runs, THREE, {}).shares}
    y = runs.assign(y=100 * runs["test_accuracy"])
    table = anova_lm(smf.ols("y ~ (C(a) + C(b) + C(c)) ** 2 + C(seed)", y).fit())
    total = table["sum_sq"].sum()
    for axis in "abc":
        assert found[axis] == pytest.approx(table.loc[f"C({axis})", "sum_sq"] / total)
    pairs = [name for name in table.index if ":" in name]
    assert found["interactions of two axes"] == pytest.approx(table.loc[pairs, "sum_sq"].sum() / total)
    assert found["seeds"] == pytest.approx(table.loc["C(seed)", "sum_sq"] / total)
    assert found["the rest"] == pytest.approx(table.loc["Residual", "sum_sq"] / total)
    assert sum(found.values()) == pytest.approx(1)


def test_what_decides_has_most_of_it() -> None:
    def points(r: pd.DataFrame) -> np.ndarray:
        return np.asarray(80 + 5.0 * (r["a"] == "+") + 0.1 * np.random.default_rng(0).standard_normal(len(r)))

    found = {s.of: s.share for s in judged(frame(FOUR, 3, points, HALF), FOUR, {"design": "fractional"}).shares}
    assert found["a"] > 0.99
    assert "interactions of two axes" not in found  # a half fraction of four axes separates none
    assert judged(frame(AROUND, 3, noisy(), CELLS), AROUND, ONE).shares == ()
    assert judged(frame(THREE, 3, lambda r: 80.0 + 0 * r["seed"]), THREE, {}).shares == ()

"""Combinations that scatter more over seeds than the rest: found, and judged by their own noise."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ablate.report.stats import contrasts
from ablate.report.stats.layout import layout_of
from ablate.report.stats.noise import OF_CELLS
from ablate.report.stats.scatter import Scatter, scatter
from tests.report.stats.tables import AROUND, CELLS, ONE, between, frame, judged, of


def around(spread: float, seeds: int = 5, number: int = 3) -> pd.DataFrame:
    """Four combinations around a baseline, of which the second scatters `spread` times as much as the others."""
    draw = np.random.default_rng(number)
    return frame(AROUND, seeds, lambda r: 80 + 0.1 * np.where(r["cell"] == 2, spread, 1.0)
                 * draw.standard_normal(len(r)), CELLS)  # fmt: skip


def scattered(runs: pd.DataFrame, blocked: bool = True) -> Scatter:
    layout, y = layout_of(runs, AROUND, "test_accuracy")
    error = contrasts.around(layout, ((0, 0), (0, 0)), blocked).noise
    assert error is not None
    found = scatter(layout, error, y)
    assert found is not None
    return found


def test_the_variance_of_a_difference_is_welchs() -> None:
    runs = around(8.0)
    of_cells = [100 * group["test_accuracy"].to_numpy() for _, group in runs.groupby("cell")]
    found = scattered(runs, blocked=False)
    assert found.variances == pytest.approx([values.var(ddof=1) for values in of_cells])
    weights = np.select([runs["cell"] == 2, runs["cell"] == 1], [0.2, -0.2], 0.0)
    welch = stats.ttest_ind(of_cells[1], of_cells[0], equal_var=False)
    square = found.of(weights)
    assert square.df == pytest.approx(welch.df)
    estimate = of_cells[1].mean() - of_cells[0].mean()
    assert estimate / np.sqrt(square.value * np.square(weights).sum()) == pytest.approx(welch.statistic)


def test_a_combination_that_scatters_more_widens_what_rests_on_it_and_nothing_else() -> None:
    assert scattered(around(8.0)).uneven
    assert not scattered(around(1.0)).uneven
    found = judged(around(8.0), AROUND, ONE)
    alpha, beta = of(found, "alpha"), of(found, "beta")  # the second combination is alpha's y
    assert alpha.noise is not None and beta.noise is not None and found.noise is not None
    assert alpha.noise.sd > 1.2 * found.noise.sd
    assert beta.noise.sd <= found.noise.sd
    even = judged(around(1.0), AROUND, ONE)
    assert OF_CELLS not in {effect.noise.source for effect in even.axes if effect.noise is not None}
    assert between(even, "alpha", "y", "x").se == pytest.approx(even.noise.sd * np.sqrt(2 / 5) if even.noise else 0)


def test_equal_variances_are_called_uneven_as_rarely_as_promised() -> None:
    even = [scattered(frame(AROUND, 3, lambda r, d=d: 80 + np.random.default_rng(d).standard_normal(len(r)), CELLS))
            for d in range(1000)]  # fmt: skip
    assert np.mean([found.uneven for found in even]) == pytest.approx(0.05, abs=0.02)


def test_noise_that_differs_between_combinations_is_rarely_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    def claims() -> float:
        found = [judged(around(8.0, 5, draw), AROUND, ONE, p_values=False) for draw in range(150)]
        return float(np.mean([any((c.low or 0) > 0 or (c.high or 0) < 0 for e in one.axes for c in e.contrasts)
                              for one in found]))  # fmt: skip

    assert claims() <= 0.06
    monkeypatch.setattr("ablate.report.stats.scatter.LEVEL", 0.0)
    assert claims() > 0.06

"""The analysis against R: lm, anova, emmeans, p.adjust and rstudent, by values that reference/make.R wrote."""

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ablate.report.checks.outliers import studentised_residuals
from ablate.report.stats import simultaneous
from ablate.report.stats.layout import layout_of
from tests.report.stats.tables import THREE, between, judged, of, plan_of

REFERENCE = Path(__file__).parent / "reference"
VALUES: dict[str, Any] = json.loads((REFERENCE / "values.json").read_text())
# Nine digits; emmeans' Tukey integrates to six.
CLOSE, INTEGRATED = 1e-9, 2e-5


def runs() -> pd.DataFrame:
    table = pd.read_csv(REFERENCE / "grid.csv", dtype={"a": str, "b": str, "c": str})
    cells = table.groupby(["a", "b", "c"], sort=False).ngroup() + 1
    names = [f"{cell:06x}{seed:06x}" for cell, seed in zip(cells, table["seed"], strict=True)]
    return table.assign(cell=cells, state="DONE", signature=names, weights_sha256=names, test_accuracy=table["y"] / 100)


@pytest.mark.parametrize("axis", ["a", "b", "c"])
def test_estimates_errors_and_tukeys_intervals_are_those_of_emmeans(axis: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ablate.report.stats.noise.POOLED", 0.0)  # R's fit has one error term
    monkeypatch.setattr("ablate.report.stats.noise.OWN", 0.0)
    found = judged(runs(), THREE, {})
    expected = VALUES["grid"][axis]
    names = [
        f"{axis}{x} - {axis}{y}" if x.isdecimal() else f"{x} - {y}" for x, y in combinations(sorted(THREE[axis]), 2)
    ]
    assert expected["contrast"] == names
    for i, (level, other) in enumerate(combinations(sorted(THREE[axis]), 2)):
        c = between(found, axis, level, other)
        assert c.estimate == pytest.approx(expected["estimate"][i], rel=CLOSE)
        assert c.se == pytest.approx(expected["se"][i], rel=CLOSE)
        assert (c.low, c.high) == pytest.approx((expected["low"][i], expected["high"][i]), rel=INTEGRATED)
        assert c.p == pytest.approx(expected["p"][i], abs=INTEGRATED)
        noise = of(found, axis).noise
        assert noise is not None and noise.df == expected["df"][i]


def test_interactions_and_shares_are_those_of_anova() -> None:
    found, table = judged(runs(), THREE, {}), VALUES["anova"]
    for i, p in zip(
        found.interactions,
        simultaneous.holm([table["p"][table["term"].index(t)] for t in ("a:b", "a:c", "b:c")]),
        strict=True,
    ):
        at = table["term"].index(":".join(i.axes))
        assert i.f == pytest.approx(table["f"][at], rel=CLOSE)
        assert i.p == pytest.approx(p, rel=CLOSE)
    total = sum(table["ss"])
    for share in found.shares[:3]:
        assert share.share == pytest.approx(table["ss"][table["term"].index(share.of)] / total, rel=CLOSE)


def test_lack_of_fit_and_estimates_over_gaps_are_those_of_nested_lm() -> None:
    some = runs()
    gone = ((some["a"] == "w") & (some["b"] == "1") & (some["c"] == "p")) | (
        (some["a"] == "x") & (some["b"] == "2") & (some["c"] == "q")
    )
    some.loc[gone, "state"] = "FAILED"
    found, expected = judged(some, THREE, {}), VALUES["gaps"]
    assert found.lack_of_fit is not None
    assert found.lack_of_fit.f == pytest.approx(expected["f"][0], rel=CLOSE)
    assert found.lack_of_fit.df == tuple(expected["df"])
    assert found.lack_of_fit.p == pytest.approx(expected["p"][0], rel=CLOSE)
    for i, (level, other) in enumerate(combinations(sorted(THREE["a"]), 2)):
        assert between(found, "a", level, other).estimate == pytest.approx(expected["a"]["estimate"][i], rel=CLOSE)


def test_holm_and_studentised_residuals_are_those_of_r() -> None:
    assert simultaneous.holm([0.012, 0.04, 0.03, 0.005, 0.5]) == pytest.approx(VALUES["holm"], rel=CLOSE)
    layout, y = layout_of(runs(), plan_of(THREE).axes, "test_accuracy")
    largest = studentised_residuals(layout, y)
    assert largest is not None
    assert largest.size.max() == pytest.approx(VALUES["studentised"][0], rel=CLOSE)

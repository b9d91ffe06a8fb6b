"""Made-up results as tables, and what is estimated from them."""

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from ablate.design import fraction
from ablate.records.study_plan import Amendment, StudyPlan
from ablate.report.stats.effects import estimate_effects
from ablate.report.stats.verdicts import AxisEffect, Contrast, Effects

Axes = Mapping[str, Sequence[str]]

TWO: Axes = {"alpha": ["x", "y"], "beta": ["1", "2"]}

THREE: Axes = {"a": ["w", "x", "y", "z"], "b": ["1", "2", "3"], "c": ["p", "q", "r"]}


def frame(axes: Axes, seeds: int, points: Callable[[pd.DataFrame], Any], cells: Sequence[Any] = ()) -> pd.DataFrame:
    """gather's table of a study in which all finished; `points` gives each run's accuracy in percentage points."""
    rows = [
        {"cell": cell, **dict(zip(axes, levels, strict=True)), "seed": seed, "state": "DONE",
         "signature": f"{cell:06x}{seed:06x}", "weights_sha256": f"{cell}-{seed}"}
        for cell, levels in enumerate(cells or product(*axes.values()), start=1) for seed in range(seeds)
    ]  # fmt: skip
    runs = pd.DataFrame(rows)
    runs["test_accuracy"] = np.asarray(points(runs), dtype=float) / 100
    return runs


def plan_of(axes: Mapping[str, Sequence[str]], **more: Any) -> StudyPlan:
    """A plan with these axes and, as study.json has them, whatever else."""
    amendments = [Amendment(**one) for one in more.pop("amendments", [])]
    return StudyPlan("s", axes={axis: list(levels) for axis, levels in axes.items()}, amendments=amendments, **more)


def judged(
    runs: pd.DataFrame, axes: Mapping[str, Sequence[str]], plan: Mapping[str, Any], p_values: bool = True
) -> Effects:
    return estimate_effects(runs, plan_of(axes, **plan), p_values)


def noisy(seed: int = 0, sd: float = 0.3) -> Callable[[pd.DataFrame], Any]:
    """Seeds, an effect of the first axis's levels that depends on the second's, and noise."""

    def points(runs: pd.DataFrame) -> Any:
        draw = np.random.default_rng(seed)
        codes = [pd.factorize(runs[c])[0] for c in runs.columns[1 : runs.columns.get_loc("seed")]]
        truth = 80 + 0.5 * codes[0] - 0.2 * codes[0] * codes[-1]
        return truth + draw.standard_normal(99)[runs["seed"]] + sd * draw.standard_normal(len(runs))

    return points


def of(found: Effects, axis: str) -> AxisEffect:
    return next(effect for effect in found.axes if effect.axis == axis)


def between(found: Effects, axis: str, level: str, other: str) -> Contrast:
    return next(c for c in of(found, axis).contrasts if (c.level, c.other) == (level, other))


AROUND: Axes = {"alpha": ["x", "y", "z"], "beta": ["1", "2"]}

CELLS = [("x", "1"), ("y", "1"), ("z", "1"), ("x", "2")]

ONE = {"design": "one_at_a_time", "baseline": {"alpha": "x", "beta": "1"}}

FOUR: Axes = {name: ["-", "+"] for name in "abcd"}

HALF = [cell for cell in product("-+", repeat=4) if cell.count("-") % 2 == 0]  # I = abcd

THIRD = [(a, b, "+" if a == b else "-") for a, b in product("-+", repeat=2)]  # c = ab: main effects aliased

PARTLY: Axes = {"a": ["1", "2", "3"], "b": ["1", "2", "3"], "c": ["1", "2"], "d": ["1", "2"]}


def fraction_of(axes: Axes, cells: int) -> list[tuple[str, ...]]:
    rows = fraction.choose([len(levels) for levels in axes.values()], [], lambda _: True, cells)
    return [tuple(levels[i] for levels, i in zip(axes.values(), row, strict=True)) for row in rows]


def copied(runs: pd.DataFrame) -> pd.DataFrame:
    """Each run at r is the one at q: same weights, same accuracy."""
    runs = runs.copy()
    source = (runs["c"] == "q").to_numpy()
    for column in ("test_accuracy", "weights_sha256"):
        runs.loc[(runs["c"] == "r").to_numpy(), column] = runs.loc[source, column].to_numpy()
    return runs

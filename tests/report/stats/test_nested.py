"""Axes that are nested in the levels of others, and cumulative studies: against emmeans, by hand and by simulation."""

import json
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ablate.records.study_plan import NOT_READ
from ablate.report.stats.verdicts import Effects, Verdict
from tests.report.stats.tables import Axes, between, frame, judged, of

REFERENCE = Path(__file__).parent / "reference"
VALUES: dict[str, Any] = json.loads((REFERENCE / "values.json").read_text())
RATES = [("adam", "1e-3"), ("adam", "3e-3"), ("sgd", "0.05"), ("sgd", "0.1"), ("sgd", "0.2")]
NESTED: Axes = {
    "optimizer": ["adam", "sgd"],
    "optimizer.lr": ["1e-3", "3e-3", "0.05", "0.1", "0.2"],
    "augment": ["none", "flip"],
    "head": ["a", "b", "c"],
}
CELLS = [(*rate, *rest) for rate in RATES for rest in product(NESTED["augment"], NESTED["head"])]
PLAN: dict[str, Any] = {"nested": {"optimizer.lr": ["optimizer"]}, "delta": 0.3}
IN_ADAM, IN_SGD = "optimizer.lr in optimizer=adam", "optimizer.lr in optimizer=sgd"
MOMENTUM: Axes = {"optimizer": ["adam", "sgd"], "optimizer.momentum": ["0.8", "0.9"], "head": ["a", "b"]}
OF_MOMENTUM = {"nested": {"optimizer.momentum": ["optimizer"]}, "delta": 0.3}
READ = [("adam", NOT_READ), ("sgd", "0.8"), ("sgd", "0.9")]


def measured(seed: int = 0, noise: float = 0.3, **gains: float) -> Any:
    """Points of runs: 80, what each named level gains, an effect of the seed, and noise."""

    def points(runs: pd.DataFrame) -> Any:
        draw = np.random.default_rng(seed)
        levels = runs.drop(columns=["cell", "seed", "state", "signature", "weights_sha256"])
        gain = sum(size * (levels == name).any(axis=1) for name, size in gains.items())
        return 80 + gain + draw.standard_normal(99)[runs["seed"]] + noise * draw.standard_normal(len(runs))

    return points


def study(seeds: int = 3, seed: int = 0, noise: float = 0.3, **gains: float) -> pd.DataFrame:
    return frame(NESTED, seeds, measured(seed, noise, **gains), CELLS)


def names(found: Effects) -> list[str]:
    return [effect.axis for effect in found.axes]


def test_estimates_and_errors_are_those_of_emmeans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ablate.report.stats.noise.POOLED", 0.0)  # R's fit has one error term
    monkeypatch.setattr("ablate.report.stats.noise.OWN", 0.0)
    monkeypatch.setattr("ablate.report.stats.scatter.LEVEL", 0.0)
    monkeypatch.setattr("ablate.report.stats.interactions.OWN", 0.0)
    table = pd.read_csv(REFERENCE / "nested.csv")
    found = judged(study().assign(test_accuracy=table["y"] / 100), NESTED, PLAN)
    ours = {"rate in adam": IN_ADAM, "rate in sgd": IN_SGD}
    expected = VALUES["nested"]
    assert len(expected["axis"]) == sum(len(effect.contrasts) for effect in found.axes)
    for i, axis in enumerate(expected["axis"]):
        effect = of(found, ours.get(axis, axis))
        level, other = (name.strip("()").removeprefix("r") for name in expected["contrast"][i].split(" - "))
        c = next(c for c in effect.contrasts if {c.level, c.other} == {level, other})
        assert c.estimate == pytest.approx(expected["estimate"][i] * (1 if c.level == level else -1), rel=1e-9)
        assert c.se == pytest.approx(expected["se"][i], rel=1e-9)
        assert effect.noise is not None
        assert effect.noise.df == expected["df"][i]
    pairs = VALUES["nested_interactions"]
    for i, first in enumerate(pairs["first"]):
        one = next(one for one in found.interactions if one.axes == (ours.get(first, first), pairs["second"][i]))
        assert one.f == pytest.approx(pairs["f"][i], rel=1e-9)
        assert one.df == (pairs["df1"][i], pairs["df2"][i])


def test_a_nested_axis_is_compared_within_each_level_of_its_parent() -> None:
    found = judged(study(), NESTED, PLAN)
    assert names(found) == ["optimizer", IN_ADAM, IN_SGD, "augment", "head"]
    assert of(found, IN_SGD).levels == ["0.05", "0.1", "0.2"]
    assert of(found, "optimizer").over == ("optimizer.lr",)
    # No rate of one optimizer is compared with one of the other, and the two do not interact.
    assert not [i for i in found.interactions if "optimizer.lr" in i.axes[0] and "optimizer" in i.axes[1]]
    assert ("optimizer", IN_SGD) not in {i.axes for i in found.interactions}
    assert (IN_SGD, "augment") in {i.axes for i in found.interactions}
    assert found.confidence == pytest.approx(1 - 0.04 / 5)  # five comparisons are judged, together
    plain = judged(study(), {a: NESTED[a] for a in ("optimizer", "augment", "head")} | {"optimizer.lr": ["x"]}, {})
    assert not of(plain, "optimizer").over


def test_the_parent_is_the_mean_over_its_nested_levels_which_count_the_same() -> None:
    runs = study()
    points = 100 * runs.groupby(["optimizer", "optimizer.lr"])["test_accuracy"].mean()
    c = between(judged(runs, NESTED, PLAN), "optimizer", "adam", "sgd")
    assert c.estimate == pytest.approx(points["adam"].mean() - points["sgd"].mean())
    # 2 rates of 6 combinations and 3 seeds each, against 3.
    assert c.variance == pytest.approx(1 / (2 * 18) + 1 / (3 * 18))
    assert (c.pairs, c.places, c.seeds) == (18, 6, 3)


@pytest.mark.slow
@pytest.mark.parametrize("gains", [{}, {"sgd": 1.0, "0.1": 0.5, "flip": 0.4}], ids=["null", "mixed"])
def test_claims_are_false_and_intervals_miss_no_more_often_than_promised(gains: dict[str, float]) -> None:
    # 1,000 studies give .03; 300 more than .08 in one of a thousand tests.
    truth = 100 * study(1, noise=0.0, **gains)["test_accuracy"].to_numpy()
    first = study(3)
    false = missed = intervals = 0
    truths = first.assign(test_accuracy=np.repeat(truth, 3) / 100)
    expected = judged(truths, NESTED, PLAN, p_values=False)
    real = {(e.axis, c.level, c.other): c.estimate for e in expected.axes for c in e.contrasts}
    draw = np.random.default_rng(1)
    for _ in range(300):
        y = np.repeat(truth, 3) + draw.standard_normal(3)[first["seed"]] + 0.3 * draw.standard_normal(len(first))
        found = judged(first.assign(test_accuracy=y / 100), NESTED, PLAN, p_values=False)
        wrong = any(i.worth_a_mention for i in found.interactions)
        for effect in found.axes:
            for c in effect.contrasts:
                value = real[effect.axis, c.level, c.other]
                assert value is not None and c.low is not None and c.high is not None
                outside = not c.low <= value <= c.high
                intervals, missed = intervals + 1, missed + outside
                wrong |= outside or (c.verdict == Verdict.NEGLIGIBLE and abs(value) > 0.3 + 1e-9)
        false += wrong
    assert false / 300 < 0.08
    assert missed / intervals < 0.02


def test_a_setting_that_a_level_does_not_read_is_compared_in_the_one_that_does() -> None:
    cells = [(*read, head) for read in READ for head in "ab"]
    found = judged(frame(MOMENTUM, 3, measured(), cells), MOMENTUM, OF_MOMENTUM)
    assert names(found) == ["optimizer", "optimizer.momentum in optimizer=sgd", "head"]
    assert [c.pairs for c in of(found, "head").contrasts] == [9]  # adam, and sgd with each momentum


def test_one_at_a_time_a_nested_axis_is_compared_at_the_baseline_of_the_rest() -> None:
    cells = [*((*read, "a") for read in READ), ("adam", NOT_READ, "b")]
    plan = OF_MOMENTUM | {"design": "one_at_a_time", "baseline": {"optimizer": "adam", "head": "a"}}
    runs = frame(MOMENTUM, 3, measured(), cells)
    found = judged(runs, MOMENTUM, plan)
    assert found.design == "one_at_a_time"
    mean = 100 * runs.groupby("cell")["test_accuracy"].mean()
    assert between(found, "optimizer", "sgd", "adam").estimate == pytest.approx((mean[2] + mean[3]) / 2 - mean[1])
    assert between(found, "optimizer.momentum in optimizer=sgd", "0.8", "0.9").estimate == pytest.approx(
        mean[2] - mean[3]
    )
    assert not found.around(of(found, "optimizer.momentum in optimizer=sgd"))  # the baseline has no momentum
    assert found.around(of(found, "head"))


def test_a_fraction_holds_every_nested_level() -> None:
    cells = [(*read, head) for read, head in zip([*READ, *READ], "abbaab", strict=True)]
    found = judged(frame(MOMENTUM, 3, measured(), cells), MOMENTUM, OF_MOMENTUM | {"design": "fractional"})
    assert found.design == "fractional"
    assert between(found, "optimizer", "adam", "sgd").estimate is not None
    assert between(found, "optimizer.momentum in optimizer=sgd", "0.8", "0.9").estimate is not None


LOST = {
    "runs": lambda runs: runs.index.isin([0, 1, 2, 30, 40, 50]),
    "a nested level": lambda runs: runs["optimizer.lr"] == "0.2",
    "a parent's level": lambda runs: runs["optimizer"] == "sgd",
    "all but one nested level": lambda runs: runs["optimizer.lr"].isin(["0.05", "0.1"]),
    "half of a level": lambda runs: (runs["optimizer.lr"] == "0.1") & (runs["augment"] == "flip"),
    "everything": lambda runs: runs["seed"] >= 0,
}


@pytest.mark.parametrize("what", LOST)
@pytest.mark.parametrize("seeds", [1, 3])
def test_lost_runs_never_shift_an_average(what: str, seeds: int) -> None:
    """Without noise, whatever is estimated is the truth: of what finished, and never over what happens to be there."""
    runs = study(seeds, noise=0.0, sgd=1.0, flip=0.4, **{"0.1": 0.5, "1e-3": 0.2})
    found = judged(runs.assign(state=runs["state"].mask(LOST[what](runs), "FAILED")), NESTED, PLAN)
    rates = {"adam": [0.2, 0.0], "sgd": [0.0, 0.5, 0.0]}
    if what == "a nested level":
        rates["sgd"] = [0.0, 0.5]
    if what == "all but one nested level":
        rates["sgd"] = [0.0]
    truth = {"adam": np.mean(rates["adam"]), "sgd": 1 + np.mean(rates["sgd"]), "flip": 0.4, "0.1": 0.5, "1e-3": 0.2}
    for effect in found.axes:
        for c in effect.contrasts:
            if c.estimate is not None:
                gap = truth.get(c.level, 0.0) - truth.get(c.other, 0.0)
                assert c.estimate == pytest.approx(gap, abs=1e-9), (effect.axis, c.level, c.other)
    if what == "a nested level":
        assert of(found, IN_SGD).unfinished == ("0.2",)


def test_levels_of_two_parents_and_chains_are_found_where_they_are() -> None:
    axes: Axes = {"lr": ["1", "2", "3"], "optimizer": ["adam", "sgd"], "size": ["s", "l"], "decay": ["x", "y"]}
    cells = [
        (lr, o, s, d)
        for o, s in product(["adam", "sgd"], "sl")
        for lr in {"adams": "12", "adaml": "1", "sgds": "23", "sgdl": "123"}[o + s]
        for d in ("xy" if (o, lr) == ("sgd", "2") else [NOT_READ])
    ]
    nested = {"lr": ["optimizer", "size"], "decay": ["lr"]}
    runs = frame(axes, 3, measured(), cells)
    found = judged(runs, axes, {"nested": nested})
    assert names(found) == [
        "lr in optimizer=adam, size=s", "lr in optimizer=sgd, size=s", "lr in optimizer=sgd, size=l", "optimizer", "size",
        "decay in optimizer=sgd, size=s, lr=2", "decay in optimizer=sgd, size=l, lr=2",
    ]  # fmt: skip
    mean = 100 * runs.groupby(["optimizer", "size", "lr", "decay"])["test_accuracy"].mean()
    for names_of_rest in ("decay", "lr", "size"):
        mean = mean.groupby([level for level in mean.index.names if level != names_of_rest]).mean()
    assert between(found, "optimizer", "adam", "sgd").estimate == pytest.approx(mean["adam"] - mean["sgd"])


STEPS: Axes = {"augment": ["none", "flip"], "head": ["a", "b", "c"], "ema": ["off", "on"]}
ADDED: Sequence[tuple[str, ...]] = [
    ("none", "a", "off"), ("flip", "a", "off"), ("flip", "b", "off"), ("flip", "c", "off"), ("flip", "c", "on"),
]  # fmt: skip
CUMULATIVE: dict[str, Any] = {"design": "cumulative", "baseline": {"augment": "none", "head": "a", "ema": "off"}}


def test_each_step_is_compared_with_what_was_there_before() -> None:
    runs = frame(STEPS, 3, measured(), ADDED)
    found = judged(runs, STEPS, CUMULATIVE)
    mean = 100 * runs.groupby("cell")["test_accuracy"].mean()
    steps = [(e.axis, c.level, c.other, c.estimate) for e in found.axes for c in e.contrasts]
    assert [step[:3] for step in steps] == [
        ("augment", "flip", "none"), ("head", "b", "a"), ("head", "c", "a"), ("ema", "on", "off"),
    ]  # fmt: skip
    gaps = [mean[2] - mean[1], mean[3] - mean[2], mean[4] - mean[2], mean[5] - mean[4]]
    assert [step[3] for step in steps] == pytest.approx(gaps)
    assert of(found, "ema").after == (("augment", "flip"), ("head", "c"))
    assert found.noise is not None
    assert found.noise.df == 8  # 5 combinations, 3 seeds as blocks
    assert found.confidence == pytest.approx(1 - 0.05 / 3)
    assert names(found.decisive_first()) == list(STEPS)  # in the order in which they were added
    # Twin: a combination that is no step of it makes it a grid with gaps.
    assert judged(frame(STEPS, 3, measured(), [*ADDED, ("none", "a", "on")]), STEPS, CUMULATIVE).design == "grid"


WITH_ONE: Axes = {"net": ["a", "b"], "rate": ["1", "2", "3"], "head": ["p", "q"], "size": ["s", "l"]}

IN_NET = {axis: ["net"] for axis in ("rate", "head", "size")}


def test_where_a_level_has_nothing_nested_of_its_own_both_are_compared_at_the_same() -> None:
    """rate, head and size are swept in a alone, and b has one of their combinations."""
    cells = [*(("a", *rest) for rest in product(*list(WITH_ONE.values())[1:])), ("b", "2", "p", "s")]
    runs = frame(WITH_ONE, 3, measured(), cells)
    found = judged(runs, WITH_ONE, {"nested": IN_NET})
    at = 100 * runs.groupby(["net", "rate", "head", "size"])["test_accuracy"].mean()
    c = between(found, "net", "a", "b")
    assert c.estimate == pytest.approx(at["a", "2", "p", "s"] - at["b", "2", "p", "s"])
    assert c.variance == pytest.approx(2 / 3)  # by those runs, not by main effects and interactions of two axes
    assert (of(found, "net").over, of(found, "net").same) == ((), ("rate", "head", "size"))
    # Twin: with a rate that a does not have, each level is the mean over its own.
    cells[-1] = ("b", "4", "p", "s")
    axes = {**WITH_ONE, "rate": ["1", "2", "3", "4"]}
    other = judged(frame(axes, 3, measured(), cells), axes, {"nested": IN_NET})
    assert of(other, "net").over == ("rate", "head", "size")

"""What would settle a question: checked against the studies that it speaks of."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from ablate.design.power import ASSUMED_SD
from ablate.report.stats.settle import detectable, settlement
from ablate.report.stats.verdicts import Effects, Verdict, judge
from tests.report.stats.tables import AROUND, CELLS, ONE, TWO, between, frame, judged, of


def study(seeds: int, truth: float = 0.0, draw: int = 0, sd: float = 0.3) -> Effects:
    def points(runs: pd.DataFrame) -> Any:
        return 80 + truth * (runs["alpha"] == "y") + sd * np.random.default_rng(draw).standard_normal(len(runs))

    return judged(frame(TWO, seeds, points), TWO, {"delta": 0.3})


def test_the_detectable_effect_is_detected_four_times_in_five() -> None:
    """At the noise's true size, over simulated studies."""
    found = study(4)
    effect, noise = of(found, "alpha"), found.noise
    assert noise is not None
    size = 0.3 / noise.sd * (detectable(found, effect, effect.contrasts[0]) or 0)
    seen = [between(study(4, size, draw), "alpha", "x", "y") for draw in range(400)]
    share = np.mean([c.high is not None and c.high < 0 for c in seen])
    assert 0.72 < share < 0.88


def around(seeds: int, truth: float, draw: int, looks: int = 1) -> Effects:
    """One at a time, so that the error term is the same for any number of seeds."""

    def points(runs: pd.DataFrame) -> Any:
        return 80 + truth * (runs["beta"] == "2") + 0.3 * np.random.default_rng(draw).standard_normal(len(runs))

    amendments = [{"runs_added": 4, "after_a_report": number > 0} for number in range(looks)]
    return judged(frame(AROUND, seeds, points, CELLS), AROUND, ONE | {"delta": 0.3, "amendments": amendments})


@pytest.mark.parametrize("truth", [0.0, 0.15, 0.5])
def test_with_the_seeds_that_it_asks_for_a_question_is_settled(truth: float) -> None:
    """At the same difference and noise, judged as a second look; one seed fewer is not enough."""
    found = next(s for s in (around(2, truth, draw) for draw in range(99)) if of(s, "beta").verdict == "inconclusive")
    answer = settlement(found, of(found, "beta"))
    assert answer is not None and answer.seeds is not None and found.noise is not None
    gap = between(found, "beta", "2", "1").estimate
    assert gap is not None
    verdicts = {}
    for seeds in (answer.seeds - 1, answer.seeds):
        more = around(seeds, truth, draw=1, looks=2)
        contrast = between(more, "beta", "2", "1")
        assert contrast.high is not None and contrast.low is not None and more.noise is not None
        half = (contrast.high - contrast.low) / 2 * found.noise.sd / more.noise.sd
        verdicts[seeds] = judge(gap - half, gap + half, 0.3)
    assert verdicts[answer.seeds] != Verdict.INCONCLUSIVE
    assert verdicts[answer.seeds - 1] == Verdict.INCONCLUSIVE
    assert answer.runs == (answer.seeds - 2) * 4


def test_a_settled_axis_needs_nothing() -> None:
    found = study(5, truth=5.0)
    assert settlement(found, of(found, "alpha")) is None


def test_without_any_estimate_of_noise_the_usual_one_is_assumed_and_said_to_be() -> None:
    found = judged(frame(AROUND, 1, lambda r: 80 + 0.0 * r["seed"], CELLS), AROUND, ONE)
    answer = settlement(found, of(found, "alpha"))
    assert answer is not None
    assert answer.assumed
    assert answer.sd == ASSUMED_SD
    assert answer.detectable is None
    assert answer.seeds is not None and 5 < answer.seeds < 40
    assert answer.runs == (answer.seeds - 1) * 4


def test_what_no_study_can_settle_is_not_promised() -> None:
    """Levels alike on average, and 30 points from run to run."""
    found = judged(frame(TWO, 2, lambda _: [50, 110, 110, 50, 110, 50, 50, 110]), TWO, {})
    answer = settlement(found, of(found, "alpha"))
    assert answer is not None
    assert answer.detectable is not None and answer.detectable > 50
    assert answer.seeds is None
    assert answer.runs is None


def test_more_seeds_are_not_asked_for_where_the_seed_has_no_effect() -> None:
    found = judged(frame(TWO, 3, lambda r: 80.0 + (r["alpha"] == "y")), TWO, {})
    assert settlement(found, of(found, "alpha")) is None


def test_a_second_seed_brings_the_degrees_of_freedom_that_one_lacks() -> None:
    """Of eight combinations one seed leaves a single degree of freedom, a second brings seven."""
    axes = {"alpha": ["x", "y"], "beta": ["1", "2"], "gamma": ["l", "r"]}

    def points(runs: pd.DataFrame) -> Any:
        return 80 + 1.5 * (runs["alpha"] == "y") + 0.3 * np.random.default_rng(3).standard_normal(len(runs))

    found = judged(frame(axes, 1, points), axes, {})
    effect = of(found, "alpha")
    assert found.noise is not None and found.noise.df == 1
    assert effect.verdict == Verdict.INCONCLUSIVE
    answer = settlement(found, effect)
    assert answer is not None
    assert answer.seeds == 2
    assert of(judged(frame(axes, 2, points), axes, {}), "alpha").verdict == Verdict.MATTERS

"""What would settle a question: checked against the studies that it speaks of."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from test_effects import AROUND, CELLS, ONE, TWO, between, frame, of

from report.effects import Effects, Verdict, analyse
from report.settle import ASSUMED_SD, detectable, settlement


def study(seeds: int, truth: float = 0.0, draw: int = 0, sd: float = 0.3) -> Effects:
    def points(runs: pd.DataFrame) -> Any:
        return 80 + truth * (runs["alpha"] == "y") + sd * np.random.default_rng(draw).standard_normal(len(runs))

    return analyse(frame(TWO, seeds, points), TWO, {"delta": 0.3})


def test_the_detectable_effect_is_detected_four_times_in_five() -> None:
    """At the noise's true size, over simulated studies."""
    found = study(4)
    effect, noise = of(found, "alpha"), found.noise
    assert noise is not None
    size = 0.3 / noise.sd * (detectable(found, effect, effect.contrasts[0]) or 0)
    seen = [between(study(4, size, draw), "alpha", "x", "y") for draw in range(400)]
    share = np.mean([c.high is not None and c.high < 0 for c in seen])
    assert 0.72 < share < 0.88


def test_with_the_seeds_that_it_asks_for_a_question_is_settled() -> None:
    """At the same noise: whatever the truth, the interval is at most delta wide; one seed fewer is not enough."""
    found = study(3)
    effect = of(found, "alpha")
    assert effect.verdict == Verdict.INCONCLUSIVE
    answer = settlement(found, effect)
    assert answer is not None and answer.seeds is not None and found.noise is not None
    widths = {}
    for seeds in (answer.seeds - 1, answer.seeds):
        more = study(seeds, draw=1)
        contrast = between(more, "alpha", "x", "y")
        assert contrast.high is not None and contrast.low is not None and more.noise is not None
        widths[seeds] = (contrast.high - contrast.low) * found.noise.sd / more.noise.sd
    assert widths[answer.seeds] <= 0.3 * 1.02
    assert widths[answer.seeds - 1] > 0.3 * 0.98
    assert answer.runs == (answer.seeds - 3) * 4


def test_a_settled_axis_needs_nothing() -> None:
    found = study(5, truth=5.0)
    assert settlement(found, of(found, "alpha")) is None


def test_without_any_estimate_of_noise_the_usual_one_is_assumed_and_said_to_be() -> None:
    found = analyse(frame(AROUND, 1, lambda r: 80 + 0.0 * r["seed"], CELLS), AROUND, ONE)
    answer = settlement(found, of(found, "alpha"))
    assert answer is not None
    assert answer.assumed
    assert answer.sd == ASSUMED_SD
    assert answer.detectable is None
    assert answer.seeds is not None and 20 < answer.seeds < 80
    assert answer.runs == (answer.seeds - 1) * 4


@pytest.mark.parametrize("sd", [30.0])
def test_what_no_study_can_settle_is_not_promised(sd: float) -> None:
    found = study(2, sd=sd)
    answer = settlement(found, of(found, "alpha"))
    assert answer is not None
    assert answer.seeds is None
    assert answer.runs is None

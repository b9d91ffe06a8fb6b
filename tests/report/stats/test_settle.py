"""What would settle a question: checked against the studies that it speaks of."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from ablate.design.power import ASSUMED_SD
from ablate.report.stats.settle import detectable, settlement
from ablate.report.stats.verdicts import Effects, Verdict
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
    size = 0.3 / noise.sd * (detectable(effect, effect.contrasts[0]) or 0)
    seen = [between(study(4, size, draw), "alpha", "x", "y") for draw in range(400)]
    share = np.mean([c.high is not None and c.high < 0 for c in seen])
    assert 0.69 < share < 0.88  # a little is lost where chance has one combination scatter more than the rest


def around(seeds: int, truth: float, draw: int, looks: int = 1) -> Effects:
    """One at a time; a study with more seeds holds those with fewer."""
    noise = 0.3 * np.random.default_rng(draw).standard_normal((1001, 4))

    def points(runs: pd.DataFrame) -> Any:
        return 80 + truth * (runs["beta"] == "2") + noise[runs["seed"], runs["cell"] - 1]

    amendments = [{"runs_added": 4, "after_a_report": number > 0} for number in range(looks)]
    more = ONE | {"delta": 0.3, "amendments": amendments}
    return judged(frame(AROUND, seeds, points, CELLS), AROUND, more, p_values=False)


@pytest.mark.parametrize("truth", [0.0, 0.2, 0.5])
def test_with_the_seeds_that_it_asks_for_four_of_five_questions_are_settled(truth: float) -> None:
    """Of studies that were left open by two seeds, each with as many more as it was told, judged as a second look."""
    settled = []
    for draw in range(30):
        found = around(2, truth, draw)
        if of(found, "beta").verdict != "inconclusive":
            continue
        answer = settlement(found, of(found, "beta"))
        assert answer is not None and answer.seeds is not None
        assert answer.runs == (answer.seeds - 2) * 4
        if answer.seeds > 120:  # which takes a second to judge
            continue
        settled.append(of(around(answer.seeds, truth, draw, looks=2), "beta").verdict != "inconclusive")
    assert len(settled) > 12
    assert np.mean(settled) > 0.55  # .78 and more of them, in several hundred studies


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
    assert answer.seeds is not None and 5 < answer.seeds < 80
    assert answer.runs == (answer.seeds - 1) * 4


def test_what_no_study_can_settle_is_not_promised() -> None:
    """Levels alike on average, and 40 points from run to run."""
    found = judged(frame(TWO, 2, lambda _: [20, 100, 100, 20, 100, 20, 20, 100]), TWO, {})
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
    assert answer.seeds == 3  # not the dozens that a single degree of freedom would take
    assert of(judged(frame(axes, 3, points), axes, {}), "alpha").verdict == Verdict.MATTERS

"""The report's verdicts on studies whose effects are known: the benchmark, in a reduced form with loose bounds.

The bounds are some four standard errors from what `python -m benchmarks.verdicts` finds with 2,000 studies of each kind.
"""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from ablate.report.stats.effects import estimate_effects
from ablate.report.stats.verdicts import Verdict
from ablate.report.study import gather
from benchmarks.simulation import naive
from benchmarks.simulation.rates import looked, measure, rates_of
from benchmarks.simulation.scenarios import (
    AROUND,
    GRID,
    HALF,
    MIXED,
    MIXED_AROUND,
    MODERATE,
    NULL,
    SIXTEENTH,
    Scenario,
    write,
)
from benchmarks.verdicts import scenarios, through_files

STUDIES = 150


@pytest.mark.parametrize("noise", ["iid", "heteroscedastic", "t3"])
def test_a_grid_in_which_nothing_matters_is_not_said_to_matter(noise: str) -> None:
    rates = measure(Scenario("null", 3, NULL, noise), STUDIES)
    assert rates["interval.covered"] == pytest.approx(0.95, abs=0.03)
    assert rates["study.any false claim"] < 0.12
    assert rates["study.false interaction"] < 0.05
    assert abs(rates["interval.error"]) < 0.02


def test_what_is_there_is_found_and_plain_tables_do_worse() -> None:
    rates = measure(Scenario("mixed", 3, MIXED), STUDIES, beside=True)
    assert rates["interval.covered"] == pytest.approx(0.95, abs=0.03)
    assert rates["study.all covered"] > 0.89
    assert rates["small of 2.found"] > 0.88
    assert rates["small.called negligible"] < 0.03
    assert rates["claim.wrong sign"] < 0.005
    assert rates["bootstrap.interval.covered"] < 0.85
    assert rates["bigger mean wins.study.any false claim"] > 0.99
    assert rates["Welch.small.found"] < 0.1


def test_noise_in_one_axis_decides_on_that_axis() -> None:
    rates = measure(Scenario("noisy", 3, NULL, "one axis"), STUDIES)
    assert rates["noisy.own covered"] == pytest.approx(0.95, abs=0.05)
    assert rates["noisy.covered"] == pytest.approx(0.95, abs=0.05)
    assert rates["study.any false claim"] < 0.08


def test_without_the_ladder_noise_in_one_axis_would_be_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ablate.report.stats.noise.OWN", 0.0)
    rates = measure(Scenario("noisy", 3, NULL, "one axis"), STUDIES)
    assert rates["noisy.covered"] < 0.85
    assert rates["study.any false claim"] > 0.12


def test_copies_that_were_counted_twice_would_cover_too_little() -> None:
    rates = measure(Scenario("copies", 3, MIXED, copies=True), STUDIES)
    assert rates["interval.covered"] == pytest.approx(0.95, abs=0.03)
    assert rates["counted twice: interval.covered"] < rates["interval.covered"] - 0.01


@pytest.mark.slow
@pytest.mark.parametrize("gaps", ["missing", "diverged"])
def test_gaps_bias_nothing(gaps: str) -> None:
    rates = measure(Scenario("gaps", 3, MIXED, gaps=gaps), STUDIES)
    assert rates["interval.covered"] == pytest.approx(0.95, abs=0.03)
    assert abs(rates["interval.error"]) < 0.02


@pytest.mark.slow
@pytest.mark.parametrize("more", [{}, {"baseline_seeds": 7}])
def test_one_at_a_time_holds_its_promises_too(more: dict[str, int]) -> None:
    rates = measure(Scenario("one", 3, MIXED_AROUND, "iid", "one_at_a_time", AROUND, **more), STUDIES)
    assert rates["interval.covered"] > 0.92
    assert rates["study.all covered"] > 0.89


def test_a_fraction_holds_its_promises_too() -> None:
    rates = measure(Scenario("half", 3, MIXED, "iid", "fractional", HALF), STUDIES)
    assert rates["interval.covered"] == pytest.approx(0.95, abs=0.04)
    assert rates["study.all covered"] > 0.88


def test_interactions_that_a_test_misses_are_not_claimed_as_an_axis(monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = Scenario("few", 3, MODERATE, "iid", "fractional", SIXTEENTH, wanted=10)
    assert measure(scenario, STUDIES)["study.unhedged false claim"] <= 0.03
    monkeypatch.setattr("ablate.report.stats.noise._unseen", lambda *_: 0.0)
    assert measure(scenario, STUDIES)["study.unhedged false claim"] > 0.06


def test_noise_in_one_axis_widens_what_is_said_of_another_in_half_of_the_studies_at_most() -> None:
    def widths(noise: str) -> NDArray[np.float64]:
        scenario = Scenario("noisy", 3, NULL, noise)
        found = [estimate_effects(runs, scenario.plan, p_values=False).axes[0] for runs in scenario.draws(60)]
        return np.array([(c.high or 0.0) - (c.low or 0.0) for effect in found for c in effect.contrasts])

    # Next to the noise in one axis, runs have a third of the usual one.
    assert np.mean(widths("one axis") < 0.5 * np.median(widths("iid"))) > 0.35


def test_one_seed_at_a_time_never_tells() -> None:
    rates = measure(Scenario("one", 1, MIXED_AROUND, "iid", "one_at_a_time", AROUND), 20)
    assert rates["contrast.cannot tell"] == 1


@pytest.mark.slow
def test_looking_until_something_is_found_finds_too_much_unless_the_report_knows() -> None:
    rates = rates_of(looked(Scenario("looks", 9), STUDIES // 2, (3, 5, 7, 9)))
    assert rates["study.naive"] > rates["study.at the last alone"] + 0.02
    assert rates["study.corrected"] < rates["study.naive"]
    assert rates["study.corrected"] <= rates["study.at the first look"] + 0.03


@pytest.mark.parametrize("scenario", scenarios()[::18], ids=lambda s: s.name)
def test_records_on_disk_say_the_same_as_the_drawn_table(scenario: Scenario) -> None:
    assert through_files(scenario, command=False)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", scenarios()[2::5], ids=lambda s: s.name)
def test_the_command_line_says_the_same_as_the_drawn_table(scenario: Scenario) -> None:
    assert through_files(scenario)


def test_records_that_differ_from_the_drawn_table_would_be_noticed(tmp_path: Path) -> None:
    scenario = Scenario("mixed", 3, MIXED)
    first, second = scenario.draws(2)
    study = gather.load(write(scenario, first, tmp_path))
    assert estimate_effects(study.runs, study.plan) != estimate_effects(second, scenario.plan)


def test_a_true_effect_in_a_draw_is_the_size_that_it_was_given() -> None:
    """The harness itself: without noise, the analysis finds the truth that is compared with."""
    scenario = Scenario("mixed", 3, MIXED)
    runs = scenario.template.assign(test_accuracy=scenario.means / 100)
    for effect in estimate_effects(runs, scenario.plan).axes:
        for c in effect.contrasts:
            assert c.estimate == pytest.approx(scenario.difference(effect.axis, c.level, c.other))
            assert c.verdict == Verdict.CANNOT_TELL


def test_the_plain_welch_test_is_scipys() -> None:
    runs = next(Scenario("welch", 5, MIXED).draws(1))
    claims = naive.welch(runs, GRID)
    for axis, levels in GRID.items():
        for a, b in combinations(levels, 2):
            groups = [100 * runs["test_accuracy"][runs[axis] == level] for level in (a, b)]
            assert ((axis, a, b) in claims) == (stats.ttest_ind(*groups, equal_var=False).pvalue < 0.05)
    assert claims

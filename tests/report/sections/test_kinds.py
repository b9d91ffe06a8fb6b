"""Kinds of studies whose answers once said more than the data do: title, sentence, verdict and figure read together."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ablate.records import record
from ablate.records.files import write_json
from ablate.report.answers import sentences
from ablate.report.answers.sentences import Facts, Told
from ablate.report.caveats import caveats_of
from ablate.report.checks import chance
from ablate.report.checks.new_images import OnImages
from ablate.report.checks.outliers import outlier
from ablate.report.checks.robustness import Robustness
from ablate.report.sections.in_full import MARKS, forest
from ablate.report.stats.ranking import ranking
from ablate.report.stats.settle import settlement
from ablate.report.stats.verdicts import Effects, Verdict
from ablate.report.study import gather, tables
from ablate.report.study.gather import StudyData
from benchmarks.simulation.scenarios import (
    CROSSOVER,
    CUBE,
    GRID,
    MIXED,
    NULL,
    REAL,
    SEVEN,
    SMALL_GRID,
    THREE_WAY,
    Scenario,
)
from tests.report.made_up import make
from tests.report.stats.tables import FOUR, THIRD, Axes, fraction_of, frame, judged, noisy, of, plan_of

NOTHING = Robustness(
    failures=[], outlier=None, unlearnt={}, resolution=0.0, with_chance=[], chance=0.0, images=[], why=""
)


def told(found: Effects, robustness: Robustness = NOTHING) -> dict[str, Told]:
    answers = {one.axis: one for one in sentences.told(Facts(found, {}, {}, robustness))}
    agree(found, answers)
    return answers


def agree(found: Effects, answers: Mapping[str, Told]) -> None:
    """Title, sentence, verdict and figure: none claims what another does not."""
    drawn = {(e.axis, c.level, c.other): MARKS[c.verdict] for e in found.axes for c in found.shown(e)}
    for effect in found.axes:
        title, text = answers[effect.axis].title, answers[effect.axis].text
        claims = effect.verdict in sentences.CLAIMS
        assert (" matters" in title or " makes a real" in title) == claims
        assert ("depends on" in title) == (effect.verdict == Verdict.DEPENDS)
        assert ("is better than" in text) == (effect.average in sentences.CLAIMS)
        headline = effect.headline
        if headline is not None and headline.estimate is not None:
            either = {(headline.level, headline.other), (headline.other, headline.level)}
            assert [drawn[effect.axis, *pair] for pair in either if (effect.axis, *pair) in drawn] == [
                MARKS[effect.average]
            ]
        if claims and headline is not None:
            better = headline.level if (headline.estimate or 0) > 0 else headline.other
            assert text.startswith(f"{better} is better than ")
    if drawn:
        assert forest(found) is not None


# -- interactions -----------------------------------------------------------------------------


def crossing(size: float = 1.0) -> pd.DataFrame:
    return frame(SMALL_GRID, 3, lambda r: 80 + size * ((r["a"] == "1") == (r["b"] == "1"))
                 + 0.1 * np.random.default_rng(0).standard_normal(len(r)))  # fmt: skip


def test_an_axis_whose_best_level_turns_over_depends_whatever_its_average_is() -> None:
    found = judged(crossing(), SMALL_GRID, {"delta": 0.4})
    answers = told(found)
    assert of(found, "b").average in (Verdict.NEGLIGIBLE, Verdict.SMALL, Verdict.REAL)
    assert {of(found, axis).verdict for axis in "ab"} == {"depends"}
    assert answers["b"].title == "b depends on a"
    assert "negligible" not in answers["b"].title
    assert of(found, "b").depends_on == ("a",)
    # Its twin: without the crossover the same axis is negligible.
    alone = judged(crossing(0.0), SMALL_GRID, {"delta": 0.4})
    assert told(alone)["b"].title == "b makes a negligible difference"


@pytest.mark.parametrize("noise", ["iid", "heteroscedastic", "t3", "one axis", "neighbours", "by cell"])
@pytest.mark.parametrize("axes", [SMALL_GRID, GRID], ids=["3x2x2", "2x2x3x3"])
def test_a_crossover_is_never_called_negligible_whatever_the_noise(axes: Axes, noise: str) -> None:
    """Also where its own noise decides, and leaves it open."""
    for runs in Scenario("crossover", 3, CROSSOVER, noise, axes=axes).draws(12):
        found = judged(runs, axes, {"delta": 0.25}, p_values=False)
        for axis in "ab":
            assert of(found, axis).verdict not in (Verdict.NEGLIGIBLE, Verdict.SMALL)
            assert "negligible" not in told(found)[axis].title


def test_an_interaction_that_may_be_noise_leaves_its_axes_open() -> None:
    """Where neighbouring combinations are alike, what two axes do together has a large noise of its own."""
    every = [judged(runs, GRID, {"delta": 0.25}, p_values=False)
             for runs in Scenario("crossover", 3, CROSSOVER, "neighbours", axes=GRID).draws(20)]  # fmt: skip
    found = next(one for one in every if of(one, "b").may_depend_on)
    assert (of(found, "b").average, of(found, "b").verdict) == (Verdict.NEGLIGIBLE, Verdict.INCONCLUSIVE)
    one = told(found)["b"]
    assert one.title == "b: inconclusive"
    assert one.text.startswith("On average ")
    assert "Whether its effect depends on a is open: that may be 0.25 points or more, or noise." in one.text
    assert settlement(found, of(found, "b")) is None
    plain = [judged(runs, GRID, {"delta": 0.25}, p_values=False) for runs in Scenario("none", 3, NULL).draws(20)]
    assert any(of(one, "b").verdict == Verdict.NEGLIGIBLE for one in plain)


def test_what_is_said_on_average_and_at_the_recommended_combination_may_not_contradict() -> None:
    """Where most combinations hardly learn, the level that is better there is worse where people choose."""
    axes: Axes = {"a": ["x", "y"], "b": [str(n) for n in range(5)]}
    draw = np.random.default_rng(0)

    def points(r: pd.DataFrame) -> Any:
        at_best = r["b"] == "0"
        return 20 + 60 * at_best + (r["a"] == "y") * np.where(at_best, -3.0, 2.0) + 0.1 * draw.standard_normal(len(r))

    runs = frame(axes, 4, points)
    runs["holdout_accuracy"] = runs["test_accuracy"]
    found = judged(runs, axes, {})
    effect = of(found, "a")
    assert dict(found.recommended) == {"a": "x", "b": "0"}
    assert effect.average == Verdict.MATTERS
    (best,) = effect.at_best
    assert (best.level, best.other) == ("x", "y")
    assert best.low > 0  # x is ahead there, y on average
    assert effect.verdict == Verdict.DEPENDS
    text = told(found)["a"].text
    assert text.startswith("On average y is better than x by ")
    assert "At the recommended combination x is 3.0" in text and "above y" in text


# -- fractions --------------------------------------------------------------------------------


def test_an_effect_that_may_be_an_interaction_is_called_by_both_names() -> None:
    axes: Axes = {name: ["-", "+"] for name in "abc"}
    runs = frame(axes, 5, lambda r: 80 + 2.0 * (r["a"] == r["b"])
                 + 0.2 * np.random.default_rng(1).standard_normal(len(r)), THIRD)  # fmt: skip
    found = judged(runs, axes, {"design": "fractional"})
    one = told(found)["c"]
    assert one.title == "c or a × b matters"
    assert "(4 combinations of a fraction, 5 seeds; " in one.text
    assert "0 matched pairs" not in one.text
    assert told(judged(frame(FOUR, 2, noisy()), FOUR, {}))["a"].title.startswith("a ")


def test_where_a_fraction_cannot_test_for_interactions_what_is_partly_one_says_so() -> None:
    def title(cells: Sequence[Any], design: str) -> str:
        found = judged(frame(FOUR, 3, lambda r: 80 + 3.0 * (r["a"] == "+")
                             + 0.1 * np.random.default_rng(0).standard_normal(len(r)), cells), FOUR, {"design": design})  # fmt: skip
        return told(found)["a"].title

    # As many combinations as there are effects, so that nothing is left.
    assert title([*fraction_of(FOUR, 5)], "fractional") == "a matters, and what differs may be due to interactions"
    assert title((), "grid") == "a matters"


def real_fraction(seed: int = 0) -> tuple[Scenario, pd.DataFrame]:
    scenario = Scenario("real", 3, REAL, "real", "fractional", SEVEN)
    return scenario, next(scenario.draws(1, seed))


def test_a_fraction_that_lacks_fit_rests_on_what_it_lacks_and_says_so() -> None:
    lacking = 0
    for seed in range(6):
        scenario, runs = real_fraction(seed)
        found = judged(runs, scenario.axes, {"design": "fractional"})
        assert found.lack_of_fit is not None
        if not found.lack_of_fit.fails:
            continue
        lacking += 1
        for effect in found.axes:
            assert effect.noise is not None
            assert effect.noise.sd == found.lack_of_fit.sd
            assert effect.noise.df == found.lack_of_fit.df[0]
        for one in told(found).values():
            assert one.title.endswith("what differs may be due to interactions")
            assert "lack of fit, p " in one.text
    assert lacking >= 3
    additive = Scenario("additive", 3, {("a", "1"): 0.3}, "iid", "fractional", SEVEN)
    plain = [judged(runs, SEVEN, {"design": "fractional"}) for runs in additive.draws(6)]
    assert sum(found.lack_of_fit is not None and found.lack_of_fit.fails for found in plain) <= 1


def checked(shift: float) -> Effects:
    """An additive fraction of eight, with the best and the first combination trained besides, one of them `shift` off."""
    cells = [c for c in product("-+", repeat=4) if c.count("+") % 2]
    more = [("+", "+", "+", "+"), ("-", "-", "-", "-")]
    runs = frame(FOUR, 3, lambda r: 80 + 2.0 * (r["a"] == "+") + 1.0 * (r["b"] == "+")
                 + 0.2 * np.random.default_rng(0).standard_normal(len(r)), [*cells, *more])  # fmt: skip
    runs["confirms"] = runs["cell"].map({9: "recommended", 10: "baseline"}).fillna("")
    runs.loc[runs["confirms"] == "recommended", "test_accuracy"] += shift / 100
    return judged(runs, FOUR, {"design": "fractional"})


def test_what_a_fraction_predicts_is_compared_with_what_was_measured() -> None:
    found = checked(0.0)
    recommended, baseline = found.confirmations
    assert (recommended.kind, baseline.kind) == ("recommended", "baseline")
    assert recommended.predicted == pytest.approx(83, abs=0.4)
    assert recommended.low < recommended.measured < recommended.high
    assert "which the interval holds" in sentences.confirmation(found, recommended)
    assert "interactions" not in told(found)["a"].title
    assert found.combinations == 8  # those that check are no part of the fraction
    failed = checked(-6.0)
    assert not failed.confirmations[0].holds
    assert "do not add up there" in sentences.confirmation(failed, failed.confirmations[0])
    assert {one.title.endswith("may be due to interactions") for one in told(failed).values()} == {True}
    assert of(failed, "a").contrasts == of(found, "a").contrasts


# -- missing combinations and runs ------------------------------------------------------------


@pytest.mark.parametrize(("axes", "gaps", "why"), [(CUBE, "one cell", "too few are left to test")])
def test_where_nobody_can_tell_whether_three_axes_interact_no_verdict_is_given(axes: Axes, gaps: str, why: str) -> None:
    scenario = Scenario("missing", 3, THREE_WAY, axes=axes, gaps=gaps)
    found = judged(next(scenario.draws(1)), axes, {})
    assert {effect.verdict for effect in found.axes} == {Verdict.CANNOT_TELL}
    for one in told(found).values():
        assert one.title.endswith(": cannot tell")
        assert why in one.text
    assert found.interactions == ()
    whole = judged(next(Scenario("whole", 3, {("a", "1"): 3.0}, axes=axes).draws(1)), axes, {})
    assert told(whole)["a"].title == "a matters"


def test_gaps_in_what_does_not_add_up_take_the_verdicts_and_gaps_in_what_does_do_not() -> None:
    axes: Axes = {name: ["0", "1", "2"] for name in "abc"}
    for size, told_apart in ((4.0, False), (0.0, True)):
        runs = frame(axes, 3, lambda r, size=size: 80 + 3.0 * (r["a"] == "1")
                     + size * ((r["a"] == "0") & (r["b"] == "0") & (r["c"] == "0"))
                     + 0.1 * np.random.default_rng(0).standard_normal(len(r)))  # fmt: skip
        runs.loc[runs["cell"].isin([9, 14]), "state"] = "FAILED"
        found = judged(runs, axes, {})
        assert found.lack_of_fit is not None
        assert found.lack_of_fit.fails != told_apart
        assert (of(found, "a").verdict == Verdict.MATTERS) == told_apart
        assert ("lack of fit" in told(found)["a"].text) != told_apart


def test_a_run_that_collapsed_is_named_and_the_answer_given_with_and_without_it() -> None:
    scenario = Scenario("collapsed", 3, MIXED, gaps="collapsed")
    runs = next(scenario.draws(1))
    runs["folder"] = [f"run-{i}" for i in range(len(runs))]
    found = outlier(runs, scenario.plan)
    assert found is not None
    assert found.folder == runs["folder"][runs["collapsed"]].iloc[0]
    assert found.value == pytest.approx(10)
    assert found.expected == pytest.approx(80, abs=5)
    effects = judged(runs, scenario.axes, {"delta": 0.25})
    assert of(effects, "d").average == Verdict.INCONCLUSIVE  # three points, under the noise that one run brings
    text = told(effects, replace(NOTHING, outlier=found))["d"].text
    assert f"The run {found.folder} stands out (10.00 where its combination and seed lead one to expect " in text
    assert "without it: matters, 2 − " in text
    assert outlier(next(Scenario("none", 3, MIXED).draws(1)), scenario.plan) is None


# -- test images ------------------------------------------------------------------------------


def learnt(accuracy: Sequence[float], images: int = 36, classes: int = 3) -> pd.DataFrame:
    axes: Axes = {"a": ["x", "y"]}
    runs = frame(axes, 3, lambda _: [100 * a for a in accuracy])
    return runs.assign(test_images=images, classes=classes)


def test_where_nothing_was_learnt_no_axis_matters_without_that_word() -> None:
    guesses = learnt([0.26, 0.27, 0.28, 0.41, 0.42, 0.40])
    plan = plan_of({"a": ["x", "y"]})
    assert chance.unlearnt(guesses, plan) == {"a": ["x", "y"]}
    assert chance.unlearnt(learnt([0.26, 0.27, 0.28, 0.91, 0.92, 0.90]), plan) == {"a": ["x"]}
    assert chance.unlearnt(learnt([0.26, 0.27, 0.28, 0.41, 0.42, 0.40], images=3600), plan) == {"a": ["x"]}
    found = judged(guesses, {"a": ["x", "y"]}, {})
    assert of(found, "a").verdict == Verdict.MATTERS
    known = replace(NOTHING, unlearnt={"a": ["x", "y"]}, resolution=chance.resolution(guesses))
    one = told(found, known)["a"]
    assert one.title == "a matters, but nothing was learnt at x and y"
    assert "one test image is 2.8 points, more than 0.3 points" in one.text


def test_what_holds_for_these_images_alone_says_so_in_the_title() -> None:
    found = judged(frame({"a": ["x", "y"]}, 5, lambda r: 80 + 1.0 * (r["a"] == "y") + 0.05 * r["seed"]
                         + 0.05 * np.random.default_rng(0).standard_normal(len(r))), {"a": ["x", "y"]}, {})  # fmt: skip
    assert told(found)["a"].title == "a matters"
    wide = OnImages("a", "x", "y", 1000, 1.1, -3.4, 1.2, 5, 2)
    one = told(found, replace(NOTHING, images=[wide]))["a"]
    assert one.title == "a matters on these 1,000 images"
    assert "for new ones the interval is −1.20 to 3.40." in one.text
    narrow = replace(wide, low=-1.4, high=-0.5)
    assert told(found, replace(NOTHING, images=[narrow]))["a"].title == "a matters"


# -- records and settings ---------------------------------------------------------------------


def test_an_accuracy_in_percent_is_refused(tmp_path: Any) -> None:
    path = tmp_path / "record.json"
    content = {"state": "DONE", "signature": "a", "levels": {}, "seed": 0, "metrics": {"test_accuracy": 80.4}}
    write_json(path, content)
    with pytest.raises(ValueError, match=r"test_accuracy is 80\.4, and an accuracy is a fraction from 0 to 1"):
        record.read(path)
    write_json(path, content | {"metrics": {"test_accuracy": 0.804, "test_loss": 80.4}})
    assert record.read(path).metrics["test_accuracy"] == 0.804


def study_of(tmp_path: Any, settings: Mapping[str, Mapping[str, str]], states: str = "DD") -> StudyData:
    runs = [({"head": level}, seed, {"D": "DONE", "X": "DIVERGED"}[states[i]], 0.5)
            for i, level in enumerate(settings) for seed in (0, 1)]  # fmt: skip
    study = gather.load(make(tmp_path, runs))
    for one in study.plan.cells:
        one.settings = {f"head.{name}": value for name, value in settings[one.levels["head"]].items()}
    return study


def test_levels_that_differ_in_two_things_are_named(tmp_path: Any) -> None:
    deep = {"hidden": "[512, 512]", "activation": "relu", "dropout": "0.2"}
    plain = {"hidden": "[512]", "activation": "relu", "dropout": "0"}
    caveats = caveats_of(study_of(tmp_path / "a", {"mlp512": plain, "mlp512x2": deep}))
    assert caveats["head"] == [
        "mlp512 and mlp512x2 differ in dropout and hidden, so that nothing says which of these it is"
    ]
    same = caveats_of(study_of(tmp_path / "b", {"mlp512": plain, "mlp512x2_plain": deep | {"dropout": "0"}}))
    assert "head" not in same
    # What a level does not read is no difference of its own.
    linear = {"hidden": "[]", "activation": "null", "dropout": "0"}
    assert "head" not in caveats_of(study_of(tmp_path / "c", {"linear": linear, "mlp512": plain}))


def test_survivors_are_said_to_flatter(tmp_path: Any) -> None:
    plain = {"hidden": "[512]", "activation": "relu", "dropout": "0"}
    caveats = caveats_of(study_of(tmp_path / "a", {"one": plain, "two": plain}, "DX"))
    assert "the runs that did not diverge flatter two, where others did" in caveats["head"]


# -- the leaderboard --------------------------------------------------------------------------


@pytest.mark.parametrize("seeds", [2, 3])
def test_the_interval_of_a_mean_covers_what_the_recipe_reaches(seeds: int) -> None:
    """A seed moves all combinations alike, so that many of them say no more of it than one."""
    scenario = Scenario("board", seeds, NULL)
    covered, narrow = [], []
    for runs in scenario.draws(120):
        accuracy = runs["test_accuracy"]
        runs = runs.assign(holdout_accuracy=accuracy, best_holdout_test_accuracy=accuracy, seconds=1.0)
        study = StudyData(folder=None, plan=scenario.plan, runs=runs, epochs=pd.DataFrame())  # type: ignore[arg-type]
        board = tables.leaderboard(study)
        found = ranking(study, board)
        assert found is not None
        off = (board["test_accuracy_mean"] - 0.8).abs()
        covered.append((off <= found.half(seeds)).mean())
        # As if the residuals of all combinations spoke of the seeds too.
        within = runs.groupby("cell")["test_accuracy"].var().mean() ** 0.5
        narrow.append((off <= 2 * within / seeds**0.5).mean())
    assert np.mean(covered) == pytest.approx(0.95, abs=0.045)
    assert np.mean(narrow) < np.mean(covered)

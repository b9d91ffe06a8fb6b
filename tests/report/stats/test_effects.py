"""The analysis: against statsmodels' nested least squares, scipy's own tests, textbook tables and hand examples."""

from collections.abc import Callable, Sequence
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import linalg, stats
from statsmodels.stats.anova import anova_lm

from ablate.design import combinations
from ablate.report.analysis import judged_by
from ablate.report.stats import contrasts, effects, simultaneous
from ablate.report.stats.verdicts import Alias, Contrast, Verdict, judge
from ablate.report.study.gather import StudyData
from tests.report.stats.tables import (
    AROUND,
    CELLS,
    FOUR,
    HALF,
    ONE,
    PARTLY,
    THIRD,
    THREE,
    TWO,
    Axes,
    between,
    copied,
    fraction_of,
    frame,
    judged,
    noisy,
    of,
    plan_of,
)

# The reference's models name more columns than they need, as `y ~ C(cell) + C(seed) + C(seed):C(a)` does.
pytestmark = pytest.mark.filterwarnings("ignore:The design matrix is rank-deficient")


# -- a grid, by hand and by statsmodels -------------------------------------------------------


def test_a_small_grid_by_hand() -> None:
    """2 x 2, 3 seeds: 4 degrees of freedom are too few, so the pooled residual stands in, and it is named."""
    points = [80.0, 81.5, 81.5, 80.5, 81.0, 83.0, 82.0, 82.0, 85.0, 82.5, 83.0, 84.0]
    found = judged(frame(TWO, 3, lambda _: points), TWO, {"delta": 0.3})
    contrast = between(found, "alpha", "x", "y")
    assert contrast.estimate == pytest.approx(-11 / 6)  # (80 + 81.5 + 81.5 + 80.5 + 81 + 83 - 498.5) / 6
    table = np.array(points).reshape(4, 3)
    left = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0) + table.mean()
    sd = np.sqrt(np.square(left).sum() / 6)
    assert found.noise is not None
    assert (found.noise.source, found.noise.df, found.noise.df_per_seed) == ("replication over seeds", 6, 3)
    assert found.noise.sd == pytest.approx(sd)
    assert contrast.se == pytest.approx(sd * np.sqrt(2 / 6))
    half = stats.t.ppf(1 - 0.04 / 2 / 2, 6) * sd * np.sqrt(2 / 6)  # two axes; their interaction has the rest of .05
    assert contrast.high == pytest.approx(-11 / 6 + half)
    assert (contrast.pairs, contrast.places, contrast.seeds) == (6, 2, 3)


def nested(runs: pd.DataFrame, base: str, more: str) -> tuple[float, float]:
    """The mean square and degrees of freedom that `more` adds to `base`, by statsmodels."""
    small, large = (smf.ols(f"y ~ {m}", runs).fit() for m in (base, f"{base} + {more}"))
    df = small.df_resid - large.df_resid
    return (small.ssr - large.ssr) / df, df


def ladder(y: pd.DataFrame, axis: str, axes: Sequence[str]) -> tuple[str, float, float]:
    """Which error term decides on an axis, its mean square and its degrees of freedom, by statsmodels."""
    cells = "C(cell) + C(seed)"
    whole = smf.ols(f"y ~ {cells}", y).fit()

    def against_the_rest(
        square: float, df: float, of_whole: float = whole.ssr, df_whole: float = whole.df_resid
    ) -> float:
        return float(stats.f.sf(square / ((of_whole - square * df) / (df_whole - df)), df, df_whole - df))

    own = {a: nested(y, cells, f"C(seed):C({a})") for a in axes}
    noisy = [a for a in axes if against_the_rest(*own[a]) < 0.05 / len(axes)]
    if axis in noisy:
        return "seed by this axis", *own[axis]
    pooled, pooled_df = nested(y, cells, " + ".join(f"C(seed):C({a})" for a in axes))
    found = ("replication over seeds", whole.mse_resid, whole.df_resid)
    if pooled_df >= 6 and against_the_rest(pooled, pooled_df) < 0.25:
        found = ("seed by axis", pooled, pooled_df)
    square, df = own[axis]
    if not noisy or df < 2:
        return found
    rest, rest_df = whole.ssr - pooled * pooled_df, whole.df_resid - pooled_df
    if stats.f.sf(square / (rest / rest_df), df, rest_df) < 0.5:
        return max(("seed by this axis", square, df), found, key=lambda one: one[1])
    # What seeds do to the others is no error of this one.
    left, left_df = (whole.ssr - sum(own[a][0] * own[a][1] for a in noisy),
                     whole.df_resid - sum(own[a][1] for a in noisy))  # fmt: skip
    return "replication over seeds", left / left_df, left_df


def uneven(extra: float, of_axis: str) -> Callable[[pd.DataFrame], Any]:
    """Noise, and more of it that seeds bring to the levels of one axis."""

    def points(runs: pd.DataFrame) -> Any:
        own = extra * np.random.default_rng(5).standard_normal((9, 9))
        return noisy()(runs) + own[pd.factorize(runs[of_axis])[0], runs["seed"]]

    return points


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize(
    ("points", "source"),
    [
        (noisy(), None),  # by chance, as the ladder has it
        (uneven(0.8, "a"), "seed by this axis"),
        (uneven(0.8, "b"), None),  # b's own noise averages out of a, if it is b's alone
    ],
    ids=["even", "on this axis", "on another"],
)
def test_a_grid_is_judged_as_nested_least_squares_does(
    points: Callable[[pd.DataFrame], Any], source: str | None, seeds: int
) -> None:
    runs = frame(THREE, seeds, points)
    found = judged(runs, THREE, {})
    y = runs.assign(y=100 * runs["test_accuracy"])
    assert found.noise is not None
    assert found.noise.df == smf.ols("y ~ C(cell) + C(seed)", y).fit().df_resid == (seeds - 1) * 35
    own, own_df = nested(y, "C(cell) + C(seed)", "C(seed):C(a)")
    effect = of(found, "a")
    assert effect.own_noise is not None
    assert effect.own_noise.df == pytest.approx(own_df)
    assert effect.own_noise.sd**2 == pytest.approx(own)
    name, square, df = ladder(y, "a", "abc")
    assert effect.noise is not None
    assert effect.noise.source == name
    assert source in (None, name)
    assert effect.noise.df == pytest.approx(df)
    assert effect.noise.sd**2 == pytest.approx(square)
    contrast = between(found, "a", "w", "z")
    means = y.groupby("a")["y"].mean()
    assert contrast.estimate == pytest.approx(means["w"] - means["z"])
    assert contrast.se == pytest.approx(np.sqrt(square * 2 / 9 / seeds))
    value = stats.studentized_range.ppf(1 - 0.04 / 3, 4, df) / np.sqrt(2)
    assert contrast.high == pytest.approx(means["w"] - means["z"] + value * contrast.se)
    tight = stats.t.ppf(1 - 0.04 / 3, df)  # one-sided, and not for the number of pairs, as all must pass
    assert contrast.tight_low == pytest.approx(contrast.estimate - tight * contrast.se)
    assert contrast.p == pytest.approx(
        stats.studentized_range.sf(abs(contrast.estimate) / contrast.se * np.sqrt(2), 4, df), abs=1e-9
    )


def test_with_one_seed_a_grid_rests_on_its_higher_interactions() -> None:
    runs = frame(THREE, 1, noisy())
    found = judged(runs, THREE, {})
    fit = smf.ols("y ~ (C(a) + C(b) + C(c)) ** 2", runs.assign(y=100 * runs["test_accuracy"])).fit()
    assert found.assumes_two_way
    assert found.noise is not None
    assert found.noise.df == fit.df_resid == 12
    assert found.noise.sd**2 == pytest.approx(fit.mse_resid)
    assert found.noise.df_per_seed == 0


@pytest.mark.parametrize("axes", [TWO, {"a": ["x", "y"]}])
def test_with_one_seed_and_nothing_left_over_nothing_can_be_told(axes: Axes) -> None:
    found = judged(frame(axes, 1, noisy()), axes, {})
    assert found.reason == "one seed gives no estimate of training noise"
    for effect in found.axes:
        assert effect.verdict == Verdict.CANNOT_TELL
        assert effect.contrasts[0].low is None
        assert effect.contrasts[0].estimate is not None


def test_gaps_are_bridged_by_the_model_and_not_by_what_happens_to_be_there() -> None:
    """Most of the runs at one pair of levels diverged; the truth is additive and without noise but the seeds'."""
    runs = frame(THREE, 3, lambda r: 80 + (r["a"] == "w") * 3.0 + (r["b"] == "1") * 5.0 + r["seed"])
    gone = (runs["a"] == "w") & (runs["b"] == "1") & ((runs["seed"] > 0) | (runs["c"] == "p"))
    runs.loc[gone, "state"] = "DIVERGED"
    found = judged(runs, THREE, {})
    contrast = between(found, "a", "w", "z")
    assert contrast.estimate == pytest.approx(3.0)
    assert not contrast.common_only
    assert found.assumes_two_way
    done = runs[~gone]
    raw = 100 * done.groupby("a")["test_accuracy"].mean()
    assert abs(raw["w"] - raw["z"] - 3) > 0.5  # what the mean of what is there would have said


def test_gaps_have_the_errors_of_statsmodels() -> None:
    runs = frame(THREE, 3, noisy())
    runs.loc[np.random.default_rng(1).random(len(runs)) < 0.2, "state"] = "FAILED"
    found = judged(runs, THREE, {})
    y = runs[runs["state"] == "DONE"].assign(y=100 * runs["test_accuracy"])
    square = ladder(y, "a", "abc")[1]
    fit = smf.ols("y ~ C(a, Sum) + C(b, Sum) + C(c, Sum) + C(a, Sum):C(b, Sum) + C(a, Sum):C(c, Sum)"
                  " + C(b, Sum):C(c, Sum) + C(seed, Sum)", y).fit()  # fmt: skip
    effect = {name: fit.params[f"C(a, Sum)[S.{name}]"] for name in "wxy"}
    contrast = between(found, "a", "w", "x")
    assert contrast.estimate == pytest.approx(effect["w"] - effect["x"])
    row = np.array([{"C(a, Sum)[S.w]": 1, "C(a, Sum)[S.x]": -1}.get(name, 0) for name in fit.params.index])
    assert contrast.se == pytest.approx(np.sqrt(square * (row @ fit.normalized_cov_params @ row)))
    # Whether the model carries them is asked first: the combinations beyond it, against replication.
    cells = smf.ols("y ~ C(cell) + C(seed)", y).fit()
    beyond = (fit.ssr - cells.ssr) / (fit.df_resid - cells.df_resid)
    assert found.lack_of_fit is not None
    assert found.lack_of_fit.f == pytest.approx(beyond / cells.mse_resid)
    assert found.lack_of_fit.df == pytest.approx((fit.df_resid - cells.df_resid, cells.df_resid))
    assert found.lack_of_fit.sd == pytest.approx(np.sqrt(beyond))


def test_where_the_model_does_not_reach_the_common_combinations_are_compared_and_it_is_said() -> None:
    """y never finished with 2, so its average over beta is nobody's to know."""
    axes: Axes = {"alpha": ["x", "y"], "beta": ["1", "2", "3"]}
    runs = frame(axes, 3, lambda r: 80 + 2.0 * (r["alpha"] == "y") + 7 * (r["beta"] == "2") + r["seed"])
    runs.loc[(runs["alpha"] == "y") & (runs["beta"] == "2"), "state"] = "OOM"
    found = judged(runs, axes, {})
    contrast = between(found, "alpha", "x", "y")
    assert contrast.common_only
    assert contrast.estimate == pytest.approx(-2)
    assert (contrast.places, contrast.pairs) == (2, 6)
    assert between(found, "beta", "1", "2").places == 1
    assert not between(found, "beta", "1", "3").common_only


def test_levels_that_never_finished_are_named_and_the_rest_compared() -> None:
    runs = frame(THREE, 2, noisy())
    runs.loc[runs["a"] == "x", "state"] = "OOM"
    effect = of(judged(runs, THREE, {}), "a")
    assert effect.unfinished == ("x",)
    assert len(effect.contrasts) == 3


# -- one at a time ----------------------------------------------------------------------------


def test_one_at_a_time_is_a_blocked_analysis_around_the_baseline() -> None:
    runs = frame(AROUND, 4, noisy(), CELLS)
    found = judged(runs, AROUND, ONE)
    y = runs.assign(y=100 * runs["test_accuracy"])
    fit = smf.ols("y ~ C(cell) + C(seed)", y).fit()
    assert found.noise is not None
    assert found.noise.df == fit.df_resid == 3 * 3
    assert found.noise.sd**2 == pytest.approx(fit.mse_resid)
    contrast = between(found, "alpha", "y", "x")
    assert contrast.estimate == pytest.approx(fit.params["C(cell)[T.2]"])
    assert contrast.se == pytest.approx(found.noise.sd * np.sqrt(2 / 4))
    assert found.baseline == (("alpha", "x"), ("beta", "1"))
    own = smf.ols("y ~ C(cell) + C(seed)", y[y["beta"] == "1"]).fit()
    effect = of(found, "alpha")
    assert effect.own_noise is not None
    assert effect.own_noise.sd**2 == pytest.approx(own.mse_resid)
    assert [(c.level, c.other) for c in of(found, "beta").contrasts] == [("2", "1")]
    assert effect.critical == pytest.approx(simultaneous.dunnett(0.975, np.array([[1, 0.5], [0.5, 1]]), 9))
    assert not found.interactions


def test_a_baseline_with_seeds_of_its_own_is_judged_unblocked_as_scipys_dunnett_does() -> None:
    axes: Axes = {"alpha": ["x", "y", "z"]}
    runs = frame(axes, 6, noisy(3))
    runs = runs[(runs["alpha"] == "x") | (runs["seed"] < 4)].reset_index(drop=True)
    found = judged(runs, axes, ONE)
    groups = [100 * runs.loc[runs["alpha"] == level, "test_accuracy"].to_numpy() for level in "xyz"]
    theirs = stats.dunnett(*groups[1:], control=groups[0], rng=np.random.default_rng(0))
    interval = theirs.confidence_interval(0.95)
    for i, level in enumerate("yz"):
        ours = between(found, "alpha", level, "x")
        assert ours.low == pytest.approx(interval.low[i], abs=0.02)
        assert ours.high == pytest.approx(interval.high[i], abs=0.02)
        assert ours.p == pytest.approx(theirs.pvalue[i], abs=0.003)


def test_the_baseline_is_found_where_the_plan_does_not_name_it() -> None:
    """As for values of a single setting; of several candidates the first planned."""
    axes: Axes = {"optimizer.lr": ["0.1", "0.2", "0.3"]}
    found = judged(frame(axes, 3, noisy()), axes, {"design": "one_at_a_time", "baseline": {"alpha": "x"}})
    assert found.baseline == (("optimizer.lr", "0.1"),)
    found = judged(frame(AROUND, 3, noisy(), CELLS[::-1]), AROUND, {"design": "one_at_a_time"})
    assert found.baseline == (("alpha", "x"), ("beta", "1"))


def test_around_two_baselines_the_common_combinations_are_compared() -> None:
    cells = [*CELLS, ("y", "2")]
    axes: Axes = {"alpha": ["x", "y", "z"], "beta": ["1", "2"]}
    found = judged(frame(axes, 3, noisy(), cells), axes, ONE)
    assert found.design == "grid"
    assert between(found, "alpha", "x", "y").places == 2


@pytest.mark.parametrize("seeds", [1, 3])
def test_one_at_a_time_without_replication_tells_nothing(seeds: int) -> None:
    runs = frame(AROUND, seeds, noisy(), CELLS)
    runs.loc[runs["seed"] > 0, "state"] = "FAILED"
    found = judged(runs, AROUND, ONE)
    assert found.noise is None
    assert found.reason.startswith("one seed")
    assert {e.verdict for e in found.axes} == {Verdict.CANNOT_TELL}


def test_without_the_baseline_nothing_is_compared() -> None:
    runs = frame(AROUND, 3, noisy(), CELLS)
    runs.loc[runs["cell"] == 1, "state"] = "OOM"
    found = judged(runs, AROUND, ONE)
    assert {e.verdict for e in found.axes} == {Verdict.CANNOT_TELL}
    assert all(c.estimate is None for e in found.axes for c in e.contrasts)


# -- a fraction -------------------------------------------------------------------------------


def test_a_half_fraction_takes_main_effects_and_leaves_what_it_cannot_separate() -> None:
    runs = frame(FOUR, 3, noisy(), HALF)
    found = judged(runs, FOUR, {"design": "fractional"})
    y = runs.assign(y=100 * runs["test_accuracy"])
    fit = smf.ols("y ~ C(cell) + C(seed)", y).fit()
    assert found.noise is not None
    assert found.noise.df == fit.df_resid == 14
    assert found.noise.sd**2 == pytest.approx(fit.mse_resid)
    assert found.interactions == ()  # ab = cd, and so on
    means = y.groupby("a")["y"].mean()
    assert between(found, "a", "-", "+").estimate == pytest.approx(means["-"] - means["+"])
    assert all(e.aliases == () for e in found.axes)  # resolution IV


def test_aliased_effects_are_named() -> None:
    axes: Axes = {name: ["-", "+"] for name in "abc"}
    found = judged(frame(axes, 2, noisy(), THIRD), axes, {"design": "fractional"})
    assert of(found, "c").aliases == (Alias(("a", "b"), 1.0, None),)
    assert of(found, "a").aliases == (Alias(("b", "c"), 1.0, None),)


def test_what_a_plan_says_of_aliases_is_what_the_runs_show() -> None:
    """Of a fraction by the planner, in which nothing but main effects can be told."""
    cells = fraction_of(PARTLY, 9)
    plan = combinations.aliasing([dict(zip(PARTLY, cell, strict=True)) for cell in cells], PARTLY)
    runs = frame(PARTLY, 2, noisy(), cells)
    found = judged(runs, PARTLY, {"design": "fractional", "aliases": plan})
    assert not found.interactions
    told = {e.axis: {f"{a.axes[0]} x {a.axes[1]}": a.share for a in e.aliases} for e in found.axes}
    planned = {
        axis: {} if terms == "clear" else {k: v for k, v in terms.items() if v >= 0.005} for axis, terms in plan.items()
    }
    assert told == planned
    assert any(0 < share < 1 for terms in told.values() for share in terms.values())
    assert all(alias.planned == alias.share for e in found.axes for alias in e.aliases)


def test_aliases_that_runs_which_did_not_finish_bring_are_more_than_planned() -> None:
    axes = {name: FOUR[name] for name in "abcd"}
    plan = dict.fromkeys(axes, "clear")  # resolution IV
    runs = frame(axes, 2, noisy(), HALF)
    assert all(e.aliases == () for e in judged(runs, axes, {"design": "fractional", "aliases": plan}).axes)
    runs.loc[runs["cell"] == 2, "state"] = "DIVERGED"
    found = judged(runs, axes, {"design": "fractional", "aliases": plan})
    assert not found.complete
    assert any(a.share > 0 and a.planned == 0 for e in found.axes for a in e.aliases)


def test_a_fraction_to_which_other_sweeps_added_is_a_fraction_still() -> None:
    """As a grid with gaps it would have two-way terms that nothing determines, and so no estimate."""
    runs = frame(FOUR, 3, noisy(), [*HALF, tuple("---+")])
    found = judged(runs, FOUR, {"design": "mixed", "aliases": dict.fromkeys(FOUR, "clear")})
    assert found.design == "fractional"
    assert all(not c.common_only and c.estimate is not None for e in found.axes for c in e.contrasts)


def test_a_fraction_of_one_seed_needs_six_degrees_of_freedom() -> None:
    assert judged(frame(FOUR, 1, noisy(), HALF), FOUR, {"design": "fractional"}).noise is None
    six: Axes = {name: ["-", "+"] for name in "abcdef"}
    cells = [(*c, "+" if c[:3].count("-") % 2 else "-", "+" if c[1:].count("-") % 2 else "-")
             for c in product("-+", repeat=4)]  # fmt: skip
    found = judged(frame(six, 1, noisy(), cells), six, {"design": "fractional"})
    assert found.noise is not None
    assert found.noise.df == 9


def test_a_two_way_term_that_is_separable_is_in_the_model() -> None:
    """A grid of a and b, and c aliased with neither: all terms of a whole grid are separable."""
    axes: Axes = {name: ["-", "+"] for name in "abc"}
    found = judged(frame(axes, 3, noisy()), axes, {"design": "fractional"})
    assert [i.axes for i in found.interactions] == [("a", "b"), ("a", "c"), ("b", "c")]


# -- noise that is not there, and runs that are one -------------------------------------------


def test_without_variance_over_seeds_nothing_is_claimed_and_no_p_is_zero() -> None:
    found = judged(frame(THREE, 3, lambda r: 80 + (r["a"] == "w") * 3.0), THREE, {})
    assert found.noise is None
    assert "the seed had no effect" in found.reason
    assert of(found, "a").verdict == Verdict.CANNOT_TELL
    assert of(found, "a").p is None
    assert between(found, "a", "w", "x").estimate == pytest.approx(3)


def test_a_run_is_no_pair_with_itself() -> None:
    """x and y are one run at 1, as where one serves both; so three of the six pairs are none."""
    runs = frame(TWO, 3, noisy())
    here = runs["beta"] == "1"
    for column in ("signature", "weights_sha256", "test_accuracy"):
        runs.loc[here & (runs["alpha"] == "y"), column] = runs.loc[here & (runs["alpha"] == "x"), column].to_numpy()
    found = judged(runs, TWO, {})
    contrast = between(found, "alpha", "x", "y")
    assert (contrast.pairs, contrast.copies) == (3, False)
    assert found.combinations == 3  # experiments that one more seed would have to train


def test_copies_count_once() -> None:
    """As if the level had never been there, in the axes beside it and in its own."""
    runs = copied(frame(THREE, 3, noisy()))
    found = judged(runs, THREE, {})
    # Levels p and q, where q stands for two thirds of the combinations.
    less = runs[runs["c"] != "r"]
    y = less.assign(y=100 * less["test_accuracy"])
    fit = smf.ols("y ~ C(cell) + C(seed)", y).fit()
    square, df = fit.mse_resid, fit.df_resid
    assert found.noise is not None
    assert found.noise.df == pytest.approx(df, rel=0.12)  # q weighs double in the mean square
    twice = judged(runs.assign(weights_sha256=[str(i) for i in range(len(runs))]), THREE, {})
    assert twice.noise is not None
    assert twice.noise.df == 70  # what counting each place would claim
    assert found.noise.sd == pytest.approx(np.sqrt(square), rel=0.15)
    contrast = between(found, "c", "q", "r")
    assert (contrast.copies, contrast.estimate, contrast.low, contrast.high) == (True, 0, 0, 0)
    assert contrast.verdict == Verdict.NEGLIGIBLE
    # Two distinct levels are left: an ordinary t.
    effect = of(found, "c")
    assert effect.noise is not None
    assert effect.critical == pytest.approx(stats.t.ppf(1 - 0.04 / 6, effect.noise.df))


def test_an_axis_of_copies_leaves_the_others_exactly_as_if_it_were_not_there() -> None:
    two: Axes = {"a": THREE["a"], "b": THREE["b"]}
    inner = frame(two, 3, noisy())
    axes: Axes = {**two, "c": ["p", "q"]}
    runs = pd.concat([inner.assign(c=level) for level in "pq"], ignore_index=True)
    ours, alone = judged(runs, axes, {}), judged(inner, two, {})
    for axis in "ab":
        for mine, theirs in zip(of(ours, axis).contrasts, of(alone, axis).contrasts, strict=True):
            assert mine.estimate == pytest.approx(theirs.estimate)
            assert (mine.low, mine.high) == (pytest.approx(theirs.low), pytest.approx(theirs.high))
            assert mine.tight_low == pytest.approx(theirs.tight_low)
    assert of(ours, "c").verdict == Verdict.NEGLIGIBLE
    assert ours.confidence == alone.confidence  # an axis that cannot be wrong takes no share of the error rate
    assert [i.p for i in ours.interactions if i.axes == ("a", "b")] == pytest.approx([alone.interactions[0].p])
    distinct = runs.assign(weights_sha256=[str(i) for i in range(len(runs))])
    assert between(judged(distinct, axes, {}), "a", "w", "x").se < between(ours, "a", "w", "x").se


# -- many comparisons -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("contrasts", "df", "value"), [(1, 10, 2.23), (2, 10, 2.57), (3, 10, 2.76), (4, 20, 2.65), (2, 20, 2.38)]
)
def test_dunnetts_critical_values_are_those_of_his_table(contrasts: int, df: int, value: float) -> None:
    correlation = np.full((contrasts, contrasts), 0.5) + 0.5 * np.eye(contrasts)
    assert simultaneous.dunnett(0.95, correlation, df) == pytest.approx(value, abs=0.012)


@pytest.mark.parametrize(("levels", "df", "q"), [(2, 10, 3.15), (3, 10, 3.88), (4, 20, 3.96), (5, 60, 3.98)])
def test_tukeys_critical_values_are_those_of_the_table(levels: int, df: int, q: float) -> None:
    assert simultaneous.tukey(0.95, levels, df) * np.sqrt(2) == pytest.approx(q, abs=0.006)
    assert simultaneous.tukey_p(q / np.sqrt(2), levels, df) == pytest.approx(0.05, abs=0.001)


def test_tukeys_intervals_and_p_are_scipys() -> None:
    groups = np.random.default_rng(0).standard_normal((4, 6)) + np.array([[0], [0], [0.5], [2]])
    theirs = stats.tukey_hsd(*groups)
    se = np.sqrt(groups.var(axis=1, ddof=1).mean() * 2 / 6)
    gap = groups[0].mean() - groups[3].mean()
    assert theirs.confidence_interval(0.95).high[0, 3] == pytest.approx(gap + simultaneous.tukey(0.95, 4, 20) * se)
    assert theirs.pvalue[0, 3] == pytest.approx(simultaneous.tukey_p(abs(gap) / se, 4, 20), abs=1e-8)


@pytest.mark.parametrize("statistic", [9.0, 30.0, 500.0])
def test_no_p_is_ever_zero(statistic: float) -> None:
    correlation = np.full((3, 3), 0.5) + 0.5 * np.eye(3)
    assert 0 < simultaneous.dunnett_p(statistic, correlation, 8) < 0.001
    assert 0 < simultaneous.tukey_p(statistic, 4, 8) < 0.001


def test_dunnetts_p_is_one_curve_across_the_seam_of_its_two_sources() -> None:
    correlation = np.full((3, 3), 0.5) + 0.5 * np.eye(3)
    values = [simultaneous.dunnett_p(s, correlation, 10) for s in np.linspace(0, 9, 60)]
    assert values[0] == pytest.approx(1)
    assert all(a >= b * 0.95 for a, b in pairwise(values))


def test_holm_by_hand() -> None:
    assert simultaneous.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert simultaneous.holm([]) == []


def test_the_error_rate_is_shared_by_the_axes() -> None:
    assert judged(frame(THREE, 3, noisy()), THREE, {}).confidence == pytest.approx(1 - 0.04 / 3)
    one = {"a": THREE["a"]}
    assert judged(frame(one, 3, noisy()), one, {}).confidence == pytest.approx(0.95)  # nothing to share it with
    found = judged(frame(THREE, 3, noisy()), THREE, {})
    assert [e.p_holm for e in found.axes] == pytest.approx(simultaneous.holm([e.p or 0 for e in found.axes]))


# -- verdicts ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.31, 0.9, "matters"), (-0.9, -0.31, "matters"),
        (0.01, 0.31, "real, size unclear"), (-0.31, -0.01, "real, size unclear"), (0.3, 0.9, "real, size unclear"),
        (0.01, 0.3, "real but negligible"), (-0.3, -0.01, "real but negligible"),
        (-0.3, 0.3, "negligible"), (0.0, 0.2, "negligible"),
        (-0.31, 0.1, "inconclusive"), (-0.1, 0.31, "inconclusive"), (-5, 5, "inconclusive"),
    ],
)  # fmt: skip
def test_a_verdict_is_what_the_interval_says(low: float, high: float, verdict: str) -> None:
    assert judge(low, high, 0.3) == verdict


def test_an_axis_is_as_its_strongest_contrast_and_negligible_only_if_all_are() -> None:
    def verdict(*of_contrasts: Verdict) -> Verdict:
        blank = Contrast("a", "b", 0, 1, 0, 0, 0, 0, 0, 1, Verdict.NEGLIGIBLE, 1, 1, 1, False, False)
        return effects._strongest([effects.replace(blank, verdict=v) for v in of_contrasts])

    assert verdict(Verdict.NEGLIGIBLE, Verdict.INCONCLUSIVE, Verdict.MATTERS) == Verdict.MATTERS
    assert verdict(Verdict.NEGLIGIBLE, Verdict.INCONCLUSIVE, Verdict.SMALL) == Verdict.INCONCLUSIVE
    assert verdict(Verdict.NEGLIGIBLE, Verdict.SMALL) == Verdict.SMALL
    assert verdict(Verdict.NEGLIGIBLE, Verdict.CANNOT_TELL) == Verdict.CANNOT_TELL  # what nobody compared may matter
    assert verdict(Verdict.REAL, Verdict.CANNOT_TELL) == Verdict.REAL
    assert verdict(Verdict.NEGLIGIBLE, Verdict.NEGLIGIBLE) == Verdict.NEGLIGIBLE
    assert verdict() == Verdict.CANNOT_TELL


def test_delta_decides_the_verdict() -> None:
    runs = frame(THREE, 5, lambda r: noisy(sd=0.05)(r) * 0 + 80 + 1.0 * (r["a"] == "w") + 0.05 * noisy()(r))
    assert of(judged(runs, THREE, {"delta": 0.3}), "a").verdict == Verdict.MATTERS
    assert of(judged(runs, THREE, {"delta": 3.0}), "a").verdict == Verdict.SMALL


# -- interactions -----------------------------------------------------------------------------


def test_interactions_are_the_f_tests_of_statsmodels() -> None:
    runs = frame(THREE, 3, noisy())
    found = judged(runs, THREE, {"delta": 0.25})
    y = runs.assign(y=100 * runs["test_accuracy"])
    table = anova_lm(smf.ols("y ~ C(a)*C(b)*C(c) + C(seed)", y).fit())
    p = []
    for i, name in zip(found.interactions, ("C(a):C(b)", "C(a):C(c)", "C(b):C(c)"), strict=True):
        assert i.f == pytest.approx(table.loc[name, "F"])
        assert i.df == pytest.approx((table.loc[name, "df"], table.loc["Residual", "df"]))
        p.append(table.loc[name, "PR(>F)"])
    assert [i.p for i in found.interactions] == pytest.approx(simultaneous.holm(p), abs=1e-12)
    with_c = found.interactions[1]
    means = y.groupby(["a", "c"])["y"].mean().unstack()
    apart = means.sub(means.mean(axis=1), axis=0) - means.mean(axis=0) + means.to_numpy().mean()
    assert with_c.residual == pytest.approx(np.abs(apart.to_numpy()).max())
    assert np.array(with_c.means) == pytest.approx(means.to_numpy() - means.to_numpy().mean())
    assert with_c.worth_a_mention


@pytest.mark.parametrize(("size", "delta", "spoken"), [(2.0, 0.3, True), (2.0, 9.0, False), (0.0, 0.3, False)])
def test_an_interaction_is_spoken_of_only_if_sure_and_large(size: float, delta: float, spoken: bool) -> None:
    """It lifts y over x at q by `size`, on top of a gap that no flip can close."""
    axes: Axes = {"a": ["x", "y"], "b": ["1", "2"], "c": ["p", "q"]}
    runs = frame(axes, 3, lambda r: 70 + 5.0 * (r["a"] == "y") + 5.0 * (r["c"] == "q") + 4.0 * (r["b"] == "2")
                 + size * ((r["a"] == "y") & (r["c"] == "q"))
                 + 0.05 * np.random.default_rng(2).standard_normal(len(r)))  # fmt: skip
    found = {i.axes: i for i in judged(runs, axes, {"delta": delta}).interactions}
    assert found[("a", "c")].residual == pytest.approx(size / 4, abs=0.03)
    assert found[("a", "c")].worth_a_mention == spoken


@pytest.mark.parametrize(("delta", "spoken"), [(0.3, True), (0.6, False)])
def test_a_flip_of_the_best_level_is_spoken_of_if_it_costs_delta(delta: float, spoken: bool) -> None:
    """x is better by half a point at p, y at q: a residual of a quarter, and half a point lost by choosing either."""
    axes: Axes = {"a": ["x", "y"], "b": ["1", "2"], "c": ["p", "q"]}
    runs = frame(axes, 3, lambda r: 70 + 0.5 * ((r["a"] == "y") == (r["c"] == "q"))
                 + 0.01 * np.random.default_rng(2).standard_normal(len(r)))  # fmt: skip
    found = {i.axes: i for i in judged(runs, axes, {"delta": delta}).interactions}
    assert found[("a", "c")].flip == pytest.approx(0.5, abs=0.02)
    assert found[("a", "c")].residual == pytest.approx(0.125 * 2, abs=0.02)
    assert found[("a", "c")].worth_a_mention == spoken
    assert found[("a", "b")].flip < 0.02
    assert not found[("a", "b")].worth_a_mention


# -- other metrics ----------------------------------------------------------------------------


def test_a_loss_is_in_its_own_unit_and_less_of_it_is_better() -> None:
    """The best a flips with c: at the cost of half a nat by the loss, of which the lower one is the better."""
    axes: Axes = {"a": ["x", "y"], "b": ["1", "2"], "c": ["p", "q"]}
    runs = frame(axes, 3, lambda r: 0.0 * r["seed"])
    draw = np.random.default_rng(2)
    runs["test_loss"] = 2 + 0.5 * ((runs["a"] == "y") & (runs["c"] == "q")) + 0.001 * draw.standard_normal(len(runs))
    found = judged(runs, axes, {"metric": "test_loss", "delta": 0.1})
    assert between(found, "a", "x", "y").estimate == pytest.approx(-0.25, abs=0.01)
    flips = {i.axes: i.flip for i in found.interactions}
    assert flips["a", "c"] < 0.01  # x is the best throughout; by the highest loss it would be lost at q
    with pytest.raises(ValueError, match="say how large a difference"):
        judged(runs, axes, {"metric": "test_loss"})
    with pytest.raises(ValueError, match="there is no metric 'speed'"):
        judged(runs, axes, {"metric": "speed"})


def test_copies_share_their_accuracy_but_not_their_seconds() -> None:
    runs = copied(frame(THREE, 3, noisy()))
    runs["seconds"] = 60 + np.random.default_rng(0).standard_normal(len(runs))
    timed = judged(runs, THREE, {"metric": "seconds", "delta": 1.0})
    assert not between(timed, "c", "q", "r").copies
    assert timed.noise is not None
    assert timed.noise.df == 70
    assert between(judged(runs, THREE, {}), "c", "q", "r").copies


def test_a_metric_chosen_afterwards_needs_a_delta_in_its_own_unit() -> None:
    study = StudyData(Path(), plan_of({}, delta=0.5), pd.DataFrame(), pd.DataFrame())
    assert judged_by(study, None, None).plan.delta == 0.5
    assert judged_by(study, "holdout_accuracy", None).plan.delta == 0.5
    with pytest.raises(ValueError, match="test_loss is in nats"):
        judged_by(study, "test_loss", None)
    plan = judged_by(study, "test_loss", 0.02).plan
    assert (plan.metric, plan.delta) == ("test_loss", 0.02)


# -- looking early ----------------------------------------------------------------------------


def amended(*after_a_report: bool, **more: Any) -> dict[str, Any]:
    return {"amendments": [{"runs_added": 4, "after_a_report": after, **more} for after in after_a_report]}


def test_who_looks_again_has_less_to_claim_with() -> None:
    runs = frame(THREE, 3, noisy())
    once, twice = (judged(runs, THREE, amended(*looks)) for looks in ((False, False), (False, True)))
    assert (once.looks, once.confidence) == (1, pytest.approx(1 - 0.04 / 3))
    assert (twice.looks, twice.confidence) == (2, pytest.approx(1 - 0.004 / 3))
    assert (of(twice, "a").critical or 0) > (of(once, "a").critical or 0)


def test_all_looks_together_stay_below_six_percent_by_bonferroni() -> None:
    assert sum(effects.error_rate(look) for look in range(1, 60)) <= 0.06


def test_a_look_that_could_claim_nothing_is_no_look() -> None:
    assert plan_of({}, design="one_at_a_time", **amended(False, True, seeds=1)).looks == 1
    assert plan_of({}, design="grid", **amended(False, True, seeds=1)).looks == 2
    assert plan_of({}, design="one_at_a_time", **amended(False, True, seeds=2)).looks == 2


# -- damaged and half-done tables -------------------------------------------------------------


def test_a_metric_that_is_missing_or_not_finite_is_left_out() -> None:
    runs = frame(THREE, 3, noisy())
    runs.loc[3, "test_accuracy"] = np.nan
    runs.loc[4, "test_accuracy"] = np.inf
    runs.loc[[3, 4], "weights_sha256"] = None
    assert judged(runs, THREE, {}).noise is not None
    assert judged(runs.drop(columns="test_accuracy"), THREE, {}).reason == "no run has finished yet"


def test_one_run_or_none_is_no_comparison() -> None:
    for keep in (0, 1):
        runs = frame(TWO, 2, noisy())
        runs.loc[runs.index[keep:], "state"] = "FAILED"
        found = judged(runs, TWO, {})
        assert {e.verdict for e in found.axes} == {Verdict.CANNOT_TELL}


def test_a_study_in_progress_is_analysed_as_far_as_it_has_come() -> None:
    """Whatever number of runs has finished: never an exception, never an interval from nothing."""
    runs = frame(THREE, 2, noisy()).sort_values("seed", kind="stable").reset_index(drop=True)
    for finished in range(0, len(runs), 5):
        now = runs.assign(state=["DONE" if i < finished else "RUNNING" for i in range(len(runs))])
        found = judged(now, THREE, {}, p_values=False)
        for c in (c for e in found.axes for c in e.contrasts):
            assert (c.low is None) == (c.high is None)
            assert c.low is None or c.copies or c.low < c.high


def test_where_lapacks_faster_method_fails_the_slower_one_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not converge for a rare matrix, as that of 23 combinations of 7 axes with 48 seeds."""
    runs = frame(TWO, 3, noisy())
    before, svd = judged(runs, TWO, {}), linalg.svd

    def failing(matrix: Any, **options: Any) -> Any:
        if options.get("lapack_driver") != "gesvd":
            raise linalg.LinAlgError("SVD did not converge")
        return svd(matrix, **options)

    contrasts.factorial.cache_clear()
    monkeypatch.setattr(linalg, "svd", failing)
    after = judged(runs, TWO, {})
    assert [e.verdict for e in after.axes] == [e.verdict for e in before.axes]
    assert between(after, "alpha", "x", "y").high == pytest.approx(between(before, "alpha", "x", "y").high)

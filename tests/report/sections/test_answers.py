"""The headline answers as sentences: right words for each verdict, and no claim that the interval does not carry."""

import csv
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ablate.report.answers import sentences
from ablate.report.answers.sentences import Facts
from ablate.report.sections.in_full import MARKS, forest
from ablate.report.stats.effects import estimate_effects
from ablate.report.stats.settle import settlement
from ablate.report.stats.verdicts import AxisEffect, Effects, Verdict, judge
from ablate.report.study import gather
from benchmarks.simulation.scenarios import MIXED, NULL, Scenario
from tests.report.made_up import GRID, HOSTILE, cell, make, section, written
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
    copied,
    fraction_of,
    frame,
    judged,
    noisy,
    of,
)


def told(low: float | None, high: float | None, delta: float = 0.3, **more: Any) -> str:
    """The answer about an axis of two levels, x minus y, from its interval."""
    found = judged(frame(TWO, 3, noisy()), TWO, {"delta": delta})
    effect = of(found, "alpha")
    if low is not None and high is not None:
        contrast = replace(effect.contrasts[0], low=low, high=high, tight_low=low, tight_high=high,
                           estimate=(low + high) / 2, verdict=judge(low, high, delta))  # fmt: skip
    else:
        contrast = replace(effect.contrasts[0], low=None, high=None, se=None, verdict=Verdict.CANNOT_TELL)
        found = replace(found, noise=None, reason="one seed gives no estimate of training noise", seeds=1)
    effect = replace(effect, contrasts=(contrast,), average=contrast.verdict, verdict=contrast.verdict,
                     at_best=(), **more)  # fmt: skip
    facts = Facts(found, {}, {})
    return f"{sentences.title(facts, effect)}. {sentences.answer(facts, effect)}"


@pytest.mark.parametrize(
    ("low", "high", "sentence"),
    [
        (0.5, 1.5, "alpha matters. x is better than y by 1.00 points (95 % interval 0.50 to 1.50), which is more "
                   "than 0.3 points, the smallest difference worth caring about. (6 matched pairs, 3 seeds; averaged over the other axis.)"),
        (-1.5, -0.5, "alpha matters. y is better than x by 1.00 points (95 % interval 0.50 to 1.50), which is more "
                     "than 0.3 points, the smallest difference worth caring about. (6 matched pairs, 3 seeds; averaged over the other axis.)"),
        (0.1, 0.9, "alpha makes a real difference of unclear size. x is better than y by 0.50 points (95 % interval "
                   "0.10 to 0.90). Whether the difference exceeds 0.3 points is not settled. (6 matched pairs, 3 seeds; averaged over the other axis.)"),
        (-0.2, -0.1, "alpha makes a real but negligible difference. y is better than x by 0.15 points (95 % interval "
                     "0.10 to 0.20), which is no more than 0.3 points, the smallest difference worth caring about. (6 matched pairs, 3 seeds; averaged over "
                     "the other axis.)"),
        (-0.1, 0.2, "alpha makes a negligible difference. x is 0.05 points above y (equivalence tests, within −0.10 to 0.20): any "
                    "difference is at most 0.3 points. (6 matched pairs, 3 seeds; averaged over the other axis.)"),
        (-0.5, 1.5, "alpha: inconclusive. x is 0.50 points above y (95 % interval −0.50 to 1.50). This study cannot "
                    "separate that from noise. (6 matched pairs, 3 seeds; averaged over the other axis.)"),
    ],
)  # fmt: skip
def test_each_verdict_has_its_sentence(low: float, high: float, sentence: str) -> None:
    assert told(low, high) == sentence


def test_without_an_interval_the_sentence_says_why_and_claims_nothing() -> None:
    text = told(None, None)
    assert text.startswith("alpha: cannot tell. ")
    assert "but one seed gives no estimate of training noise." in text
    assert "better" not in text
    assert "interval" not in text


def test_a_bound_that_excludes_zero_never_looks_like_zero() -> None:
    assert "interval 0.002 to 0.20)" in told(0.002, 0.2)
    assert "within −0.003 to 0.20)" in told(-0.003, 0.2)
    found = judged(frame(TWO, 3, noisy()), TWO, {})
    assert sentences.number(found, 0.0) == "0.00"


def answers_of(found: Effects) -> list[str]:
    settled = {effect.axis: settlement(found, effect) for effect in found.axes}
    return [told.text for told in sentences.told(Facts(found, settled, {}))]


CLAIM = re.compile(r"(\S+) is better than (\S+) by (\S+) points \(95 % interval (\S+) to (\S+)\)")


def check(text: str, effects: Effects, effect: AxisEffect) -> None:
    """The one claim that a sentence may make is one that some contrast's interval carries."""
    claims = CLAIM.findall(text)
    assert len(claims) == text.count("better") <= 1
    assert bool(claims) == (effect.average in (Verdict.MATTERS, Verdict.REAL, Verdict.SMALL))
    for better, worse, *_ in claims:
        carried = {
            **{(c.level, c.other): (c.low, c.high) for c in effect.contrasts},
            **{(c.other, c.level): (-c.high, -c.low) for c in effect.contrasts if c.low is not None and c.high is not None},
        }  # fmt: skip
        low, high = carried[better, worse]
        assert low is not None and high is not None and low > 0
        assert (", which is more than" in text) == (low > effects.delta)
        assert "is no more than" not in text or high <= effects.delta
    assert not re.search(r"\b1 (seeds|runs|matched pairs|combinations|more runs)\b", text)
    assert not re.search(r"\b(0|[2-9]|\d\d+) (seed|run|matched pair|combination|more run)\b", text)
    assert "nan" not in text and "None" not in text and "  " not in text


@pytest.mark.parametrize("truth", [NULL, MIXED], ids=["null", "mixed"])
@pytest.mark.parametrize("seeds", [1, 2, 3, 5])
@pytest.mark.parametrize("gaps", ["", "missing", "diverged"])
def test_no_sentence_claims_what_no_interval_carries(truth: Any, seeds: int, gaps: str) -> None:
    for runs in Scenario("sentences", seeds, truth, gaps=gaps).draws(4):
        scenario = Scenario("sentences", seeds, truth, gaps=gaps)
        found = estimate_effects(runs, scenario.plan, p_values=False)
        for effect, text in zip(found.axes, answers_of(found), strict=True):
            check(text, found, effect)


def test_a_sentence_that_claims_too_much_would_be_noticed() -> None:
    scenario = Scenario("sentences", 3, NULL)
    found = estimate_effects(next(scenario.draws(1)), scenario.plan)
    with pytest.raises(AssertionError):
        check("1 is better than 0 by 0.30 points (95 % interval 0.10 to 0.50).", found, found.axes[0])


def only(axes: Mapping[str, Sequence[str]], runs: pd.DataFrame, axis: str, **plan: Any) -> str:
    found = judged(runs, axes, plan)
    return dict(zip(axes, answers_of(found), strict=True))[axis]


def test_one_at_a_time_speaks_of_the_baseline_and_names_what_is_not_told_apart() -> None:
    runs = frame(AROUND, 5, lambda r: 80 + 3.0 * (r["alpha"] == "y") + 0.1 * noisy()(r), CELLS)
    text = only(AROUND, runs, "alpha", **ONE)
    assert text.startswith("y is better than x by ")
    assert "(5 matched pairs, 5 seeds; around the baseline.)" in text
    draw = np.random.default_rng(0)
    low = frame(AROUND, 5, lambda r: 80 - 3.0 * (r["alpha"] == "y") + 0.2 * draw.standard_normal(len(r)), CELLS)
    assert "Not separated from x, the baseline: z." in only(AROUND, low, "alpha", **ONE)
    # Where y is the best, z was compared with x and with nothing else.
    high = frame(AROUND, 5, lambda r: 80 + 3.0 * (r["alpha"] == "y") + 0.2 * draw.standard_normal(len(r)), CELLS)
    text = only(AROUND, high, "alpha", **ONE)
    assert "Not separated from x, the baseline: z." in text
    assert "the best" not in text


def test_variants_near_the_baseline_are_not_said_to_be_near_each_other() -> None:
    """y is 0.25 points above x, z as much below: each within 0.3 of x, and yet 0.5 apart."""
    runs = frame(
        AROUND, 9, lambda r: 80 + 0.25 * (r["alpha"] == "y") - 0.25 * (r["alpha"] == "z") + 0.01 * noisy()(r), CELLS
    )
    found = judged(runs, AROUND, ONE)
    negligible = replace(of(found, "alpha"), average=Verdict.NEGLIGIBLE, verdict=Verdict.NEGLIGIBLE, contrasts=tuple(
        replace(c, low=-0.4, high=0.4, tight_low=-0.3, tight_high=0.3, verdict=Verdict.NEGLIGIBLE) for c in of(found, "alpha").contrasts))  # fmt: skip
    text = sentences.answer(Facts(found, {}, {}), negligible)
    assert "no difference from x exceeds 0.3 points" in text
    assert "between two levels" not in text


def test_levels_that_share_no_combination_are_named_and_nothing_is_said_of_their_difference() -> None:
    """x was trained at 1 and 2, y at 3 and 4, z everywhere: x and z, y and z are alike, x and y never met."""
    axes = {"alpha": ["x", "y", "z"], "beta": ["1", "2", "3", "4"]}
    runs = frame(
        axes, 9, lambda r: 80 + 0.01 * noisy()(r) * 0 + 0.02 * np.random.default_rng(0).standard_normal(len(r))
    )
    runs.loc[(runs["alpha"] == "x") & runs["beta"].isin(["3", "4"]), "state"] = "OOM"
    runs.loc[(runs["alpha"] == "y") & runs["beta"].isin(["1", "2"]), "state"] = "OOM"
    found = judged(runs, axes, {})
    assert of(found, "alpha").verdict == Verdict.CANNOT_TELL
    text = only(axes, runs, "alpha")
    assert text.startswith("Not comparable, as no combination finished at both levels: x and y; no other")
    assert "between two levels" not in text


def test_a_loss_is_better_where_it_is_lower() -> None:
    runs = frame(TWO, 5, lambda r: 0.0 * r["seed"])
    draw = np.random.default_rng(0)
    runs["test_loss"] = 1 + 0.5 * (runs["alpha"] == "y") + 0.01 * draw.standard_normal(len(runs))
    plan: dict[str, Any] = {"metric": "test_loss", "delta": 0.02}
    text = only(TWO, runs, "alpha", **plan)
    assert re.match(
        r"x is better than y by 0\.\d{3} nats \(95 % interval 0\.\d{3} to 0\.\d{3}\), which is more than 0\.02 nats",
        text,
    ), text
    runs["test_loss"] = 1 + draw.standard_normal(len(runs))
    assert re.search(r"is \d\.\d{3} nats above", only(TWO, runs, "beta", **plan))
    many = {"a": ["1", "2", "3"]}
    found = judged(frame(many, 3, lambda _: [80, 81, 80.5, 84, 85, 86, 70, 71, 72]), many, {})
    assert (of(found, "a").best(), of(found, "a").best(less_is_better=True)) == ("2", "3")


def test_one_seed_says_what_it_cannot_know_and_what_would_settle_it() -> None:
    runs = frame(AROUND, 1, lambda r: 80 + 0.5 * (r["beta"] == "2"), CELLS)
    text = only(AROUND, runs, "beta", **ONE)
    assert text.startswith("2 is 0.50 points above 1, but one seed gives no estimate of training noise.")
    assert "(1 matched pair, 1 seed; around the baseline.)" in text
    assert "a true difference of 0.3 points with the wrong sign in 24 % of cases" in text
    assert re.search(
        r"With \d+ seeds in all \(\d+ more runs\), at a noise of 0.3 points, it would be settled in 80 % ", text
    )


def test_gaps_and_common_combinations_are_in_the_sentence() -> None:
    axes = {"alpha": ["x", "y"], "beta": ["1", "2", "3"]}
    runs = frame(axes, 3, noisy())
    runs.loc[(runs["alpha"] == "y") & (runs["beta"] == "2"), "state"] = "OOM"
    assert "only over the 2 combinations of the other axes that finished at both levels" in only(axes, runs, "alpha")
    runs = frame(THREE, 3, noisy())
    assert "no three axes" not in only(THREE, runs, "a")
    runs.loc[0, "state"] = "FAILED"
    assert "assuming that no three axes interact" in only(THREE, runs, "a")
    runs.loc[runs["a"] == "x", "state"] = "FAILED"
    assert "Not compared, as no run has finished there: x." in only(THREE, runs, "a")


def test_copies_are_one_experiment_by_several_names() -> None:
    axes = {"a": THREE["a"], "c": ["p", "q"]}
    runs = pd.concat([frame({"a": THREE["a"]}, 3, noisy()).assign(c=c) for c in "pq"], ignore_index=True)
    found = judged(runs, axes, {})
    assert sentences.title(Facts(found, {}, {}), of(found, "c")) == "c made no difference"
    assert only(axes, runs, "c").startswith("p and q gave the same weights to the bit")
    # Two of three levels: the axis has an answer all the same.
    found = judged(copied(frame(THREE, 3, noisy())), THREE, {})
    assert sentences.title(Facts(found, {}, {}), of(found, "c")) != "c made no difference"


def test_aliases_are_in_the_sentence() -> None:
    axes = {name: FOUR[name] for name in "abc"}
    assert "This design cannot separate c from a × b." in only(axes, frame(axes, 2, noisy(), THIRD), "c", design="fractional")  # fmt: skip
    assert "×" not in only(FOUR, frame(FOUR, 2, noisy(), HALF), "a", design="fractional")
    runs = frame(PARTLY, 2, noisy(), fraction_of(PARTLY, 9))
    found = judged(runs, PARTLY, {"design": "fractional"})
    effect = next(e for e in found.axes if e.aliases and e.aliases[0].share < 0.9)
    a, b = effect.aliases[0].axes
    assert f"cannot fully separate {effect.axis} from {a} × {b} ({effect.aliases[0].share:g} of it)" in only(PARTLY, runs, effect.axis, design="fractional")  # fmt: skip
    runs = frame(FOUR, 2, noisy(), HALF)
    runs.loc[runs["cell"] == 2, "state"] = "DIVERGED"
    clear = {"aliases": dict.fromkeys(FOUR, "clear")}
    assert "less than planned, as not every run finished." in only(FOUR, runs, "a", design="fractional", **clear)


def test_an_axis_that_seeds_move_more_than_others_is_named_with_its_own_interval() -> None:
    def points(runs: pd.DataFrame) -> Any:
        draw = np.random.default_rng(4)
        own = draw.standard_normal((4, 9))[pd.factorize(runs["a"])[0], runs["seed"]]
        return 80 + own + 0.02 * draw.standard_normal(len(runs))

    axes = {name: THREE[name] for name in "abc"}
    runs = frame(axes, 9, points)
    assert "Seeds scatter this axis more than the rest, so its interval rests on its own noise" in only(axes, runs, "a")
    assert "Seeds scatter" not in only(axes, runs, "b")
    assert "Seeds scatter" not in only(axes, frame(axes, 9, noisy()), "a")


def test_interactions_are_told_and_pointed_to() -> None:
    axes = {"a": ["x", "y"], "b": ["1", "2"], "c": ["p", "q"]}
    runs = frame(axes, 3, lambda r: 70 + 2.0 * ((r["a"] == "y") == (r["c"] == "q")) + 0.05 * noisy()(r))
    found = judged(runs, axes, {})
    assert "Its effect depends on c: see below." in answers_of(found)[0]
    facts = Facts(found, {}, {})
    assert [sentences.title(facts, e) for e in found.axes][::2] == ["a depends on c", "c depends on a"]
    assert [e.verdict for e in found.axes][::2] == ["depends", "depends"]
    assert "depends" not in answers_of(found)[1]
    sentence = next(sentences.interaction(found, i) for i in found.interactions if i.worth_a_mention)
    assert re.fullmatch(
        r"a and c interact \(p (?:= 0\.\d+|< 0\.001)\): the best a depends on c: x at p, y at q\.", sentence
    ), sentence
    lifted = frame(axes, 3, lambda r: 70 + 5.0 * (r["a"] == "y") + 5.0 * (r["c"] == "q") + 0.05 * noisy()(r)
                   + 4.0 * ((r["a"] == "y") & (r["c"] == "q")))  # fmt: skip
    found = judged(lifted, axes, {})
    sentence = next(sentences.interaction(found, i) for i in found.interactions if i.axes == ("a", "c"))
    assert "y is best at every c; its lead varies by up to " in sentence


# -- in the report ----------------------------------------------------------------------------


def runs_of_a_grid(size: float = 0.02, seeds: int = 3) -> list[Any]:
    draw = np.random.default_rng(0)
    return [(cell(a, b), s, "DONE", 0.8 + size * (a == "y") + 0.003 * draw.standard_normal())
            for s in range(seeds) for a in "xy" for b in "123"]  # fmt: skip


@pytest.mark.usefixtures("no_figures")
def test_the_answers_open_the_report_and_stand_in_every_file(tmp_path: Path) -> None:
    path = written(gather.load(make(tmp_path, runs_of_a_grid())))
    titles = [line for line in path.read_text().splitlines() if line.startswith("## ")]
    assert titles[0] == "## Answers"
    assert "## Methods and limits" in titles
    assert titles[1] == "## Each answer in full"
    assert "| alpha | **matters** | y | " in section(path, "Answers")
    text = section(path, "Each answer in full")
    assert "<summary>alpha matters</summary>\n\ny is better than x by " in text
    assert "The intervals of all 2 axes and the tests of interactions hold at once with 95 % confidence" in text
    assert "(figures/effects.png)" in text
    results = json.loads((path.parent / "results.json").read_text(), parse_constant=lambda name: pytest.fail(name))
    assert results["axes"][0]["verdict"] == "matters"
    assert results["answers"]["alpha"].startswith("alpha matters. y is better than x by ")
    with open(path.parent / "tables" / "effects.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(r["axis"], r["level"], r["other"]) for r in rows] == [
        ("alpha", "y", "x"), ("beta", "2", "1"), ("beta", "3", "1"), ("beta", "2", "3"),
    ]  # fmt: skip
    # Of text, figure, CSV and JSON each has the better level first.
    assert float(rows[0]["low"]) == results["axes"][0]["contrasts"][0]["low"] == results["rows"][0]["low"] > 0.3


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize("states", [("DONE", "FAILED"), ("FAILED", "FAILED")])
def test_a_study_that_cannot_tell_says_so_and_is_reported(tmp_path: Path, states: tuple[str, str]) -> None:
    runs = [(cell(a, b), 0, states[a == "y"], 0.5) for a in "xy" for b in "12"]
    path = written(gather.load(make(tmp_path, runs)))
    text = section(path, "Each answer in full")
    assert "No difference is claimed: " in text
    assert "| alpha | **cannot tell** | any | " in section(path, "Answers")
    assert "is better than" not in text.replace("is better than guessing", "")
    assert "alpha: cannot tell" in text
    assert "No intervals: " in section(path, "Methods and limits")


@pytest.mark.usefixtures("no_figures")
def test_a_study_without_axes_is_answered_by_its_accuracy(tmp_path: Path) -> None:
    path = written(gather.load(make(tmp_path, GRID[:1])))
    text = section(path, "Answers")
    # Wilson's interval of 500 of 1,000.
    assert "50.0 % test accuracy (95 % interval 46.9 to 53.1 for other test images, 1 seed)" in text
    assert "one combination says nothing about choices" in text
    assert "## Each answer in full" not in path.read_text()


@pytest.mark.usefixtures("no_figures")
def test_hostile_names_are_inert_in_the_answers(tmp_path: Path) -> None:
    runs = [({"$\\frac{$": level, HOSTILE[0]: other}, s, "DONE", 0.5 + i / 10 + s / 1000 * i)
            for i, level in enumerate(HOSTILE) for other in ("1", "2") for s in (0, 1)]  # fmt: skip
    path = written(gather.load(make(tmp_path, runs)))
    for title in ("Answers", "Each answer in full", "Methods and limits"):
        text = section(path, title)
        for markup in ("<script>", "](http", "**bold**", "\u2028"):
            assert markup not in text


@pytest.mark.usefixtures("no_figures")
def test_the_methods_name_the_error_term_and_what_would_settle_what_is_open(tmp_path: Path) -> None:
    path = written(gather.load(make(tmp_path, runs_of_a_grid(0.001), delta=0.3)))
    text = section(path, "Methods and limits")
    assert "Noise: the residuals of combinations and seeds, pooled over the study" in text
    assert "with 10 degrees of freedom" in text
    assert "Tukey's for all pairs of levels, at 98 % within each axis" in text
    cells = r"inconclusive \| inconclusive \| 0\.\d{3} \| \d\.\d{3} \| replication over seeds: \d\.\d\d \(10\) \| \d\.\d\d \| \d+"
    assert re.search(rf"\| alpha \| {cells} \|", text), text


# -- the figure -------------------------------------------------------------------------------


def test_the_forest_draws_each_interval_where_it_is() -> None:
    found = judged(frame(THREE, 3, noisy()), THREE, {})
    axes = forest(found).axes[0]  # type: ignore[union-attr]
    ends = {tuple(np.asarray(line.get_xdata(), dtype=float)) for line in axes.lines}
    contrasts = [c for effect in found.axes for c in effect.contrasts]
    for c in (c for effect in found.axes for c in found.oriented(effect)):
        assert {(c.low, c.high), (c.estimate,)} <= ends
        assert (c.estimate or 0.0) >= 0
        assert ((c.tight_low, c.tight_high) in ends) == (c.verdict == Verdict.NEGLIGIBLE)
    assert len(axes.get_yticks()) == len(contrasts)
    assert axes.patches[0].get_x() == pytest.approx(-0.3)  # type: ignore[attr-defined]
    assert axes.get_xlim()[0] < min(c.low for e in found.axes for c in found.oriented(e) if c.low is not None)


def test_of_many_levels_those_are_drawn_that_concern_the_best() -> None:
    many = {"a": [str(n) for n in range(9)], "b": ["1", "2"]}
    found = judged(frame(many, 3, lambda r: 80 + 3.0 * (r["a"] == "4") + 0.1 * noisy()(r)), many, {})
    shown = found.shown(of(found, "a"))
    assert len(shown) == 8
    assert all("4" in (c.level, c.other) for c in shown)


def test_without_intervals_the_estimates_are_drawn_alone() -> None:
    found = judged(frame(AROUND, 1, noisy(), CELLS), AROUND, ONE)
    axes = forest(found).axes[0]  # type: ignore[union-attr]
    assert sum(len(np.asarray(line.get_xdata())) == 1 for line in axes.lines) == 3
    nothing = replace(found, axes=tuple(replace(e, contrasts=()) for e in found.axes))
    assert forest(nothing) is None


def test_every_verdict_has_a_colour_and_a_shape_of_its_own() -> None:
    assert set(MARKS) == set(Verdict)
    assert len({marker for _, marker in MARKS.values()}) == len(Verdict)

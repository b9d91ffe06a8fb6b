"""Which choices matter, by how much and how sure: from a table of runs to plain values."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import sqrt
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t

from ablate.design.power import OF_INTERACTIONS
from ablate.records.metrics import METRICS
from ablate.records.study_plan import StudyPlan
from ablate.report.stats import contrasts, linear, simultaneous
from ablate.report.stats.confirmation import confirmations
from ablate.report.stats.contrasts import Comparison, Prepared
from ablate.report.stats.interactions import Interaction, Judged, interactions
from ablate.report.stats.layout import Layout, layout_of
from ablate.report.stats.likely import likely_interactions
from ablate.report.stats.noise import (
    Measured,
    beyond_the_runs,
    complete,
    deciding,
    lack_of_fit,
    left_in_gaps,
    noise_of,
)
from ablate.report.stats.recommended import at_best, recommended
from ablate.report.stats.shares import shares
from ablate.report.stats.simultaneous import Family
from ablate.report.stats.verdicts import (
    Alias,
    AxisEffect,
    Contrast,
    Effects,
    LackOfFit,
    Noise,
    Rates,
    Verdict,
    judge,
)
from ablate.report.study.references import references

ERROR_RATE = 0.05  # of a false claim, over all axes together
LATER = 0.01  # the same for all later looks together


def error_rate(looks: int) -> float:
    """The rate of false claims that this look may have, over all axes.

    Repeated looks inflate the error rate. The first look, which may be the last, has the whole rate; all later ones
    share a hundredth, each half of the one before, so that by Bonferroni's bound any number of looks stays below
    ERROR_RATE + LATER.
    """
    return ERROR_RATE if looks == 1 else LATER / 2 ** (looks - 1)


def estimate_effects(runs: pd.DataFrame, plan: StudyPlan, p_values: bool = True) -> Effects:
    """The effects of a study's axes on its metric, from gather's table of planned runs.

    `p_values` take long to compute and can be left out; no verdict rests on them. Raises ValueError for an unknown
    metric.
    """
    metric, delta = plan.metric, plan.smallest
    checks = runs[runs["confirms"] != ""] if "confirms" in runs else runs[:0]
    runs = runs.drop(index=checks.index)
    layout, y = layout_of(runs, plan.axes, metric, plan.nested)
    design, prepared, around = _prepare(layout, runs, plan)
    noise, reason = noise_of(prepared.noise, layout, y) if prepared else (None, "no run has finished yet")
    judged = [any(c.variance for c in of_axis) for of_axis in prepared.comparisons] if prepared else []
    rate = error_rate(plan.looks)
    shared = prepared is not None and noise is not None and bool(prepared.terms)
    axes_rate = rate * (1 - OF_INTERACTIONS) if shared else rate
    rates = Rates(axes_rate / max(1, sum(judged)), max(1, sum(judged)), delta, p_values)
    best = recommended(runs, plan)
    study = Measured(layout, prepared, y) if prepared is not None else None
    fit = _fit(study) if study is not None and noise is not None else None
    decides = (
        deciding(study, noise, rates.axes) if study is not None and noise is not None else [None] * len(layout.axes)
    )
    baseline = next(iter(around.values()), {})
    found = []
    for number, compared in enumerate(layout.compared):
        unfinished = tuple(name for name in compared.levels if name not in layout.names[number])
        below = tuple(dict.fromkeys(layout.compared[nested].axis for nested in layout.below[number]))
        same, over = (below, ()) if below and layout.is_matched(number) else ((), below)
        if study is None:
            nothing = Verdict.CANNOT_TELL
            found.append(AxisEffect(compared.name, (), nothing, nothing, None, None, None, None, None, unfinished, (),
                                    within=compared.within, over=over, same=same))  # fmt: skip
            continue
        effect = _axis_effect(study, number, decides[number], fit, rates)
        aliases = _aliases(layout.axes, study.prepared.aliases[number], (plan.aliases or {}).get(compared.axis))
        at = at_best(study, number, decides[number], best, rates)
        after = tuple((a, b) for a, b in around.get(compared.axis, {}).items() if b != baseline[a])
        found.append(replace(effect, unfinished=unfinished, aliases=aliases, at_best=at, within=compared.within,
                             over=over, same=same, after=after))  # fmt: skip
    two: tuple[Interaction, ...] = ()
    if study is not None and not any(effect.reason for effect in found):  # which holds for pairs of axes too
        of_pairs = Judged(delta, METRICS[metric].less_is_better, rate * OF_INTERACTIONS, left_in_gaps(study, fit))
        two = interactions(layout, study.prepared, y, of_pairs)
    return Effects(
        metric=metric,
        delta=delta,
        design=design,
        family=prepared.family if prepared else "tukey",
        complete=bool((runs["state"] == "DONE").all()),
        looks=plan.looks,
        error_rate=rate,
        axes_rate=axes_rate,
        confidence=1 - rates.rate,
        seeds=layout.number_of_seeds,
        combinations=layout.number_of_experiments,
        noise=noise,
        reason=reason,
        assumes_two_way=prepared is not None and prepared.assumes_two_way,
        lack_of_fit=fit,
        baseline=tuple(baseline.items()),
        recommended=tuple((best or {}).items()),
        axes=tuple(_depending(effect, two) for effect in _with_holm(found)),
        interactions=two,
        shares=shares(layout, study.prepared, y) if study is not None else (),
        confirmations=confirmations(study, fit, checks, plan) if study is not None else (),
    )


def _fit(study: Measured) -> LackOfFit | None:
    """Whether the fitted terms carry what rests on them; None where nothing does, or that cannot be tested."""
    fit = None if complete(study.prepared, study.layout) else lack_of_fit(study.prepared, study.y)
    return replace(fit, likely=likely_interactions(study)) if fit is not None and fit.fails else fit


def _axis_effect(study: Measured, axis: int, noise: Noise | None, fit: LackOfFit | None, rates: Rates) -> AxisEffect:
    """The contrasts of an axis, averaged over the others, and what they say together."""
    own, _ = noise_of(study.prepared.per_axis[axis], study.layout, study.y)
    by, untold = beyond_the_runs(study, axis, fit, noise)
    of_axis, value = _contrasts(study, axis, by, rates)
    p = min((c.p for c in of_axis if c.p is not None), default=None)
    average = _strongest(of_axis)
    return AxisEffect(
        study.layout.axes[axis], of_axis, average, average, p, None, value, by, own, (), (), reason=untold
    )


def _depending(effect: AxisEffect, found: Sequence[Interaction]) -> AxisEffect:
    """The axis as one that depends on others, where it does: by an interaction, or as the two readings contradict.

    One that may depend on another by as much as delta is not negligible, even where noise alone may do that.
    """
    ours = [i for i in found if effect.axis in i.axes]
    on = tuple(name for i in ours if i.worth_a_mention for name in i.axes if name != effect.axis)
    if on or _contradicts(effect):
        return replace(effect, verdict=Verdict.DEPENDS, depends_on=on)
    may = tuple(name for i in ours if i.large for name in i.axes if name != effect.axis)
    if may and effect.average in (Verdict.NEGLIGIBLE, Verdict.SMALL) and not effect.all_copies:
        return replace(effect, verdict=Verdict.INCONCLUSIVE, may_depend_on=may)
    return effect


def _contradicts(effect: AxisEffect) -> bool:
    """Whether a difference is claimed with another sign, or with the opposite weight, at the recommended combination.

    An interval at one combination is wider than the average's, so that it is open where the average is not says
    nothing against it.
    """
    averages = {(c.level, c.other): c for c in effect.contrasts}
    for best in effect.at_best:
        c = averages.get((best.level, best.other))
        sign = 1.0
        if c is None:
            c, sign = averages.get((best.other, best.level)), -1.0
        if c is None or c.estimate is None:
            continue
        claimed = {Verdict.MATTERS, Verdict.REAL, Verdict.SMALL}
        if {c.verdict, best.verdict} <= claimed and sign * c.estimate * best.estimate < 0:
            return True
        if {c.verdict, best.verdict} in ({Verdict.MATTERS, Verdict.NEGLIGIBLE}, {Verdict.MATTERS, Verdict.SMALL}):
            return True
    return False


def _aliases(axes: Sequence[str], found: Sequence[tuple[tuple[int, int], float]], planned: Any) -> tuple[Alias, ...]:
    """By name, each with what the plan says of it ("clear", or {"a x b": share}), where it says anything."""
    said = planned if isinstance(planned, Mapping) else {}
    aliases = []
    for (a, b), share in found:
        of_plan = None if planned is None else float(said.get(f"{axes[a]} x {axes[b]}", 0.0))
        aliases.append(Alias((axes[a], axes[b]), share, of_plan))
    return tuple(aliases)


def _prepare(
    layout: Layout, runs: pd.DataFrame, plan: StudyPlan
) -> tuple[str, Prepared | None, dict[str, dict[str, str]]]:
    """How the study is analysed, with what, and {axis: the combination that it was varied around}."""
    planned = list(dict.fromkeys(zip(*(runs[axis].tolist() for axis in plan.axes), strict=True)))
    around = references(plan, [dict(zip(plan.axes, levels, strict=True)) for levels in planned])
    if not around:  # sweeps around several baselines leave gaps of a grid
        prepared = contrasts.factorial(layout, plan.is_fraction) if layout.levels else None
        return "fractional" if plan.is_fraction else "grid", prepared, {}
    if not layout.levels:
        return plan.design, None, around
    baseline = next(iter(around.values()))
    of_baseline = np.logical_and.reduce([runs[axis].to_numpy() == level for axis, level in baseline.items()])
    alone = set(runs["seed"][of_baseline]) - set(runs["seed"][~of_baseline])
    outermost = [layout.compared[axes[0]].axis for axes in layout.factors]
    return (
        plan.design,
        contrasts.around(layout, tuple(layout.at(around[axis]) for axis in outermost), not alone),
        around,
    )


def _contrasts(
    study: Measured, axis: int, noise: Noise | None, rates: Rates
) -> tuple[tuple[Contrast, ...], float | None]:
    """The contrasts of an axis, judged by its noise, and their critical value."""
    layout, prepared, y = study.layout, study.prepared, study.y
    comparisons = prepared.comparisons[axis]
    family = _family(layout, prepared.family, comparisons)
    value = family.critical(1 - rates.rate, noise.df) if noise and family.size else None
    names = layout.names[axis]
    found = []
    for c in comparisons:
        estimate = None if c.weights is None else linear.without_rounding(float(c.weights @ y), y)
        copies = c.weights is not None and c.variance == 0
        se = low = high = tight_low = tight_high = p = None
        verdict = Verdict.CANNOT_TELL
        if copies:
            estimate, se, low, high, tight_low, tight_high = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
            verdict = Verdict.NEGLIGIBLE
        elif estimate is not None and noise is not None and value is not None:
            se = noise.sd * sqrt(c.variance)
            low, high = estimate - value * se, estimate + value * se
            tight = float(t.isf(rates.rate, noise.df)) * se
            tight_low, tight_high = estimate - tight, estimate + tight
            p = family.p(abs(estimate) / se, noise.df) if rates.p_values else None
            verdict = judge(low, high, rates.delta, (tight_low, tight_high))
        found.append(
            Contrast(names[c.level], names[c.other], estimate, c.variance, se, low, high, tight_low, tight_high, p,
                     verdict, c.pairs, c.places, c.seeds, c.common_only, copies)
        )  # fmt: skip
    return tuple(found), value


def _family(layout: Layout, kind: str, comparisons: Sequence[Comparison]) -> Family:
    """The contrasts of an axis that vary; levels that are copies of each other are one."""
    varying = [layout.of_units.T @ c.weights for c in comparisons if c.variance and c.weights is not None]
    levels = {c.level for c in comparisons} | {c.other for c in comparisons}
    twins = {max(c.level, c.other) for c in comparisons if c.weights is not None and not c.variance}
    # Levels with others nested in them need not be compared over the same means in all pairs.
    if not varying or (kind == "tukey" and not layout.below[comparisons[0].axis]):
        return Family(len(varying), max(2, len(levels - twins)), None)
    return Family(len(varying), 0, np.corrcoef(np.array(varying)).reshape(len(varying), -1))


def _strongest(contrasts: Sequence[Contrast]) -> Verdict:
    """The axis's verdict: one difference that matters is enough, all must be known to be negligible to be called so."""
    return min((c.verdict for c in contrasts), key=list(Verdict).index, default=Verdict.CANNOT_TELL)


def _with_holm(found: Sequence[AxisEffect]) -> tuple[AxisEffect, ...]:
    tested = [effect.p for effect in found if effect.p is not None]
    adjusted = iter(simultaneous.holm(tested))
    return tuple(replace(e, p_holm=None if e.p is None else next(adjusted)) for e in found)


def table(effects: Effects) -> pd.DataFrame:
    """One row per contrast, in the metric's unit."""
    columns = ["axis", *(field.name for field in dataclasses.fields(Contrast))]
    rows = [{"axis": e.axis, **dataclasses.asdict(c)} for e in effects.axes for c in effects.oriented(e)]
    return pd.DataFrame(rows, columns=columns)

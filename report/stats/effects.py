"""Which choices matter, by how much and how sure: from a table of runs to plain values."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from typing import Any

import numpy as np
import pandas as pd

from ablate.records.metrics import METRICS
from ablate.records.study_plan import StudyPlan
from ablate.report.stats import contrasts, linear, simultaneous
from ablate.report.stats.contrasts import Comparison, Prepared
from ablate.report.stats.interactions import interactions
from ablate.report.stats.layout import Floats, Layout, layout_of
from ablate.report.stats.linear import ErrorTerm
from ablate.report.stats.simultaneous import Family
from ablate.report.stats.verdicts import Alias, AxisEffect, Contrast, Effects, Noise, Verdict, judge

ERROR_RATE = 0.05  # of a false claim, over all axes together
LATER = 0.01  # the same for all later looks together
NO_EFFECT_OF_SEED = "the seed had no effect on any difference, so nothing says how much of one is noise"


def error_rate(looks: int) -> float:
    """The rate of false claims that this look may have, over all axes.

    Repeated looks inflate the error rate. The first look, which may be the last, has the whole rate; all later ones
    share a hundredth, each half of the one before, so that by Bonferroni's bound any number of looks stays below
    ERROR_RATE + LATER.
    """
    return ERROR_RATE if looks == 1 else LATER / 2 ** (looks - 1)


ROUNDING = 1e-9  # as a share of the largest value; 64-bit sums of thousands of runs are better than that


def estimate_effects(runs: pd.DataFrame, plan: StudyPlan, p_values: bool = True) -> Effects:
    """The effects of a study's axes on its metric, from gather's table of planned runs.

    `p_values` take long to compute and can be left out; no verdict rests on them. Raises ValueError for an unknown
    metric.
    """
    metric, delta, axes = plan.metric, plan.smallest, plan.axes
    layout, y = layout_of(runs, axes, metric)
    design, prepared, baseline = _prepare(layout, runs, plan)
    noise, reason = _noise(prepared.error, layout, y) if prepared else (None, "no run has finished yet")
    judged = [any(c.variance for c in of_axis) for of_axis in prepared.comparisons] if prepared else []
    looks = plan.looks
    family = Families(noise, 1 - error_rate(looks) / max(1, sum(judged)), delta, p_values)
    found = []
    for number, (axis, levels) in enumerate(axes.items()):
        unfinished = tuple(name for name in levels if name not in layout.names[number])
        if prepared is None:
            found.append(AxisEffect(axis, (), Verdict.CANNOT_TELL, None, None, None, None, unfinished, ()))
            continue
        own, _ = _noise(prepared.per_axis[number], layout, y)
        of_axis, value = _contrasts(Measured(layout, prepared, y), number, own, family)
        p = min((c.p for c in of_axis if c.p is not None), default=None)
        aliases = _aliases(layout.axes, prepared.aliases[number], (plan.aliases or {}).get(axis))
        found.append(AxisEffect(axis, of_axis, _strongest(of_axis), p, None, value, own, unfinished, aliases))
    return Effects(
        metric=metric,
        delta=delta,
        design=design,
        family=prepared.family if prepared else "tukey",
        complete=bool((runs["state"] == "DONE").all()),
        looks=looks,
        error_rate=error_rate(looks),
        confidence=family.confidence,
        seeds=layout.number_of_seeds,
        combinations=layout.number_of_experiments,
        noise=noise,
        reason=reason,
        assumes_two_way=prepared is not None and prepared.assumes_two_way,
        baseline=tuple((axis, level) for axis, level in zip(axes, baseline or (), strict=False)),
        axes=_with_holm(found),
        interactions=interactions(layout, prepared, y, delta, METRICS[metric].less_is_better) if prepared else (),
    )


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
) -> tuple[str, Prepared | None, tuple[str, ...] | None]:
    """How the study is analysed, with what, and around which levels (one at a time only)."""
    if plan.design == "one_at_a_time":
        planned = list(zip(*(runs[axis].tolist() for axis in plan.axes), strict=True))
        baseline = contrasts.baseline_of(planned, tuple(plan.baseline.get(axis) for axis in plan.axes))
        if baseline is not None:
            of_baseline = [cell == baseline for cell in planned]
            alone = set(runs["seed"][of_baseline]) - set(runs["seed"][[not own for own in of_baseline]])
            codes = tuple(
                names.index(level) if level in names else -1
                for level, names in zip(baseline, layout.names, strict=True)
            )
            prepared = contrasts.one_at_a_time(layout, codes, not alone) if layout.levels else None
            return plan.design, prepared, baseline
    # Sweeps around several baselines leave gaps of a grid.
    prepared = contrasts.factorial(layout, plan.is_fraction) if layout.levels else None
    return "fractional" if plan.is_fraction else "grid", prepared, None


def _noise(term: ErrorTerm | None, layout: Layout, y: Floats) -> tuple[Noise | None, str]:
    """The noise by an error term; None and why, where there is no term or nothing varied."""
    if term is None:
        if layout.number_of_seeds < 2:
            return None, "one seed gives no estimate of training noise"
        return None, "too few runs have finished to estimate training noise"
    square = term.mean_square(y)
    if square <= linear.rounding(y):
        return None, NO_EFFECT_OF_SEED
    more = term.df / (layout.number_of_seeds - 1) if layout.number_of_seeds > 1 else 0.0
    return Noise(term.name, sqrt(square), term.df, more), ""


@dataclass(frozen=True)
class Measured:
    """The layout of the finished runs, what can be estimated from it, and what they measured (n)."""

    layout: Layout
    prepared: Prepared
    y: Floats


@dataclass(frozen=True)
class Families:
    """How the contrasts of every axis are judged: by which noise, how confidently, against which delta."""

    noise: Noise | None
    confidence: float  # of the simultaneous intervals within an axis
    delta: float
    p_values: bool


def _contrasts(
    measured: Measured, axis: int, own: Noise | None, families: Families
) -> tuple[tuple[Contrast, ...], float | None]:
    """The contrasts of an axis, and their critical value; `own` is the noise of this axis alone."""
    layout, prepared, noise = measured.layout, measured.prepared, families.noise
    comparisons = prepared.comparisons[axis]
    family = _family(layout, prepared.family, comparisons)
    value = family.critical(families.confidence, noise.df) if noise and family.size else None
    own_value = family.critical(families.confidence, own.df) if own and family.size else None
    names = layout.names[axis]
    found = []
    for c in comparisons:
        estimate = None if c.weights is None else _without_rounding(float(c.weights @ measured.y), measured.y)
        copies = c.weights is not None and c.variance == 0
        se = low = high = own_low = own_high = p = None
        if copies:
            estimate, se, low, high = 0.0, 0.0, 0.0, 0.0
        elif estimate is not None and noise is not None and value is not None:
            se = noise.sd * sqrt(c.variance)
            low, high = estimate - value * se, estimate + value * se
            p = family.p(abs(estimate) / se, noise.df) if families.p_values else None
            if own is not None and own_value is not None:
                half = own_value * own.sd * sqrt(c.variance)
                own_low, own_high = estimate - half, estimate + half
        verdict = Verdict.CANNOT_TELL if low is None or high is None else judge(low, high, families.delta)
        found.append(
            Contrast(names[c.level], names[c.other], estimate, c.variance, se, low, high, own_low, own_high, p, verdict,
                     c.pairs, c.places, c.seeds, c.common_only, copies)
        )  # fmt: skip
    return tuple(found), value


def _without_rounding(estimate: float, y: Floats) -> float:
    """An estimate, or 0 where sums of the same numbers in another order would differ by as much."""
    return 0.0 if abs(estimate) < ROUNDING * max(1.0, float(np.abs(y).max(initial=0.0))) else estimate


def _family(layout: Layout, kind: str, comparisons: Sequence[Comparison]) -> Family:
    """The contrasts of an axis that vary; levels that are copies of each other are one."""
    varying = [layout.of_units.T @ c.weights for c in comparisons if c.variance and c.weights is not None]
    levels = {c.level for c in comparisons} | {c.other for c in comparisons}
    twins = {max(c.level, c.other) for c in comparisons if c.weights is not None and not c.variance}
    if kind == "tukey" or not varying:
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
    rows = [{"axis": e.axis, **dataclasses.asdict(c)} for e in effects.axes for c in e.contrasts]
    return pd.DataFrame(rows, columns=columns)

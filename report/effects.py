"""Which choices matter, by how much and how sure: info tuples from a table of runs, drawn and told elsewhere."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from math import sqrt
from typing import Any

import numpy as np
import pandas as pd

from . import critical, designs
from .critical import Family
from .designs import Comparison, Prepared
from .interactions import Interaction, interactions
from .layout import Floats, Layout, layout_of
from .linear import ErrorTerm

ERROR_RATE = 0.05  # over all axes together
NOTHING = 1e-12  # squared points: no variance
NO_EFFECT_OF_SEED = "the seed had no effect on any run, so nothing says how much of a difference is noise"


class Verdict(StrEnum):
    """What an interval says of a difference and delta, strongest first."""

    MATTERS = "matters"
    REAL = "real, size unclear"
    INCONCLUSIVE = "inconclusive"
    SMALL = "real but negligible"
    NEGLIGIBLE = "negligible"
    CANNOT_TELL = "cannot tell"


@dataclass(frozen=True)
class Noise:
    """What the intervals rest on: one run's standard deviation in points, its degrees of freedom, and their source."""

    source: str
    sd: float
    df: float
    df_per_seed: float  # how many degrees of freedom one more seed brings; 0 where seeds bring none


@dataclass(frozen=True)
class Contrast:
    """`level` minus `other`, in points. low and high are simultaneous over the axis's contrasts and the axes.

    Without an estimate of the noise, se, low, high and p are None; without common runs, the estimate too.
    """

    level: str
    other: str
    estimate: float | None
    variance: float  # of the estimate, in units of one run's
    se: float | None
    low: float | None
    high: float | None
    own_low: float | None  # the same with the axis's own seed noise: the sensitivity interval
    own_high: float | None
    p: float | None  # adjusted over the axis's contrasts
    verdict: Verdict
    pairs: int
    places: int
    seeds: int
    common_only: bool
    copies: bool  # the levels gave the same weights wherever both finished


@dataclass(frozen=True)
class AxisEffect:
    """One axis: its contrasts, and the strongest thing that they say."""

    axis: str
    contrasts: tuple[Contrast, ...]
    verdict: Verdict
    p: float | None  # the smallest adjusted p
    p_holm: float | None  # the same, adjusted over axes
    critical: float | None  # of |t|, for the simultaneous intervals
    own_noise: Noise | None
    unfinished: tuple[str, ...]  # levels without a finished run
    aliases: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Effects:
    """A study's answers. `reason` says why there are no intervals, where there are none."""

    metric: str
    delta: float
    design: str  # grid, one_at_a_time or fractional: how it was analysed
    family: str  # tukey or dunnett
    level: float  # of the simultaneous intervals within an axis
    seeds: int
    combinations: int
    noise: Noise | None
    reason: str
    assumes_two_way: bool
    baseline: tuple[tuple[str, str], ...]  # (axis, level), one at a time only
    axes: tuple[AxisEffect, ...]
    interactions: tuple[Interaction, ...]


def judge(low: float, high: float, delta: float) -> Verdict:
    """The verdict on a difference from its simultaneous interval, in points."""
    if low > delta or high < -delta:
        return Verdict.MATTERS
    inside = low >= -delta and high <= delta
    if low > 0 or high < 0:
        return Verdict.SMALL if inside else Verdict.REAL
    return Verdict.NEGLIGIBLE if inside else Verdict.INCONCLUSIVE


def analyse(
    runs: pd.DataFrame, axes: Mapping[str, Sequence[str]], plan: Mapping[str, Any], p_values: bool = True
) -> Effects:
    """The effects of a study's axes on its metric, from gather's table of planned runs.

    `plan` is study.json: metric, delta (points), design, baseline. `p_values` are slow to come by and can be left
    out; no verdict rests on them.
    """
    metric, delta = plan.get("metric", "test_accuracy"), float(plan.get("delta", 0.3))
    layout, y = layout_of(runs, axes, metric)
    design, prepared, baseline = _prepare(layout, runs, axes, plan)
    noise, reason = _noise(prepared.error, layout, y) if prepared else (None, "no run has finished yet")
    judged = [any(c.variance for c in of_axis) for of_axis in prepared.comparisons] if prepared else []
    level = 1 - ERROR_RATE / max(1, sum(judged))
    found = []
    for number, (axis, levels) in enumerate(axes.items()):
        unfinished = tuple(name for name in levels if name not in layout.names[number])
        if prepared is None:
            found.append(AxisEffect(axis, (), Verdict.CANNOT_TELL, None, None, None, None, unfinished, ()))
            continue
        own, _ = _noise(prepared.per_axis[number], layout, y)
        contrasts, value = _contrasts(layout, prepared, number, y, noise, own, level, delta, p_values)
        p = min((c.p for c in contrasts if c.p is not None), default=None)
        aliases = tuple((layout.axes[a], layout.axes[b]) for a, b in prepared.aliases[number])
        found.append(AxisEffect(axis, contrasts, _strongest(contrasts), p, None, value, own, unfinished, aliases))
    return Effects(
        metric=metric,
        delta=delta,
        design=design,
        family=prepared.family if prepared else "tukey",
        level=level,
        seeds=layout.number_of_seeds,
        combinations=layout.number_of_cells,
        noise=noise,
        reason=reason,
        assumes_two_way=prepared is not None and prepared.assumes_two_way,
        baseline=tuple((axis, level) for axis, level in zip(axes, baseline or (), strict=False)),
        axes=_with_holm(found),
        interactions=interactions(layout, prepared, y, delta) if prepared else (),
    )


def _prepare(
    layout: Layout, runs: pd.DataFrame, axes: Mapping[str, Sequence[str]], plan: Mapping[str, Any]
) -> tuple[str, Prepared | None, tuple[str, ...] | None]:
    """How the study is analysed, with what, and around which levels (one at a time only)."""
    design = str(plan.get("design", "grid"))
    baseline: tuple[str, ...] | None = None
    if design == "one_at_a_time":
        planned = list(zip(*(runs[axis].tolist() for axis in axes), strict=True))
        preferred = tuple(plan.get("baseline", {}).get(axis) for axis in axes)
        baseline = designs.baseline_of(planned, preferred)
        if baseline is not None:
            of_baseline = [cell == baseline for cell in planned]
            alone = set(runs["seed"][of_baseline]) - set(runs["seed"][[not own for own in of_baseline]])
            codes = tuple(
                names.index(level) if level in names else -1
                for level, names in zip(baseline, layout.names, strict=True)
            )
            prepared = designs.one_at_a_time(layout, codes, not alone) if layout.levels else None
            return design, prepared, baseline
    whole = design in ("grid", "mixed", "one_at_a_time")  # sweeps around several baselines leave gaps of a grid
    prepared = designs.factorial(layout, not whole) if layout.levels else None
    return "grid" if whole else "fractional", prepared, None


def _noise(term: ErrorTerm | None, layout: Layout, y: Floats) -> tuple[Noise | None, str]:
    """The noise by an error term; None and why, where there is no term or nothing varied."""
    if term is None:
        if layout.number_of_seeds < 2:
            return None, "one seed gives no estimate of training noise"
        return None, "too few runs have finished to estimate training noise"
    square = term.mean_square(y)
    if square < NOTHING:
        return None, NO_EFFECT_OF_SEED
    more = term.df / (layout.number_of_seeds - 1) if layout.number_of_seeds > 1 else 0.0
    return Noise(term.name, sqrt(square), term.df, more), ""


def _contrasts(
    layout: Layout,
    prepared: Prepared,
    axis: int,
    y: Floats,
    noise: Noise | None,
    own: Noise | None,
    level: float,
    delta: float,
    p_values: bool,
) -> tuple[tuple[Contrast, ...], float | None]:
    """The contrasts of an axis, and their critical value."""
    comparisons = prepared.comparisons[axis]
    family = _family(layout, prepared.family, comparisons)
    value = family.critical(level, noise.df) if noise and family.size else None
    own_value = family.critical(level, own.df) if own and family.size else None
    names = layout.names[axis]
    found = []
    for c in comparisons:
        estimate = None if c.weights is None else float(c.weights @ y)
        copies = c.weights is not None and c.variance == 0
        se = low = high = own_low = own_high = p = None
        if copies:
            estimate, se, low, high = 0.0, 0.0, 0.0, 0.0
        elif estimate is not None and noise is not None and value is not None:
            se = noise.sd * sqrt(c.variance)
            low, high = estimate - value * se, estimate + value * se
            p = family.p(abs(estimate) / se, noise.df) if p_values else None
            if own is not None and own_value is not None:
                half = own_value * own.sd * sqrt(c.variance)
                own_low, own_high = estimate - half, estimate + half
        verdict = Verdict.CANNOT_TELL if low is None or high is None else judge(low, high, delta)
        found.append(
            Contrast(names[c.level], names[c.other], estimate, c.variance, se, low, high, own_low, own_high, p, verdict,
                     c.pairs, c.places, c.seeds, c.common_only, copies)
        )  # fmt: skip
    return tuple(found), value


def _family(layout: Layout, kind: str, comparisons: Sequence[Comparison]) -> Family:
    """The contrasts of an axis that vary; levels that are copies of each other are one."""
    varying = [layout.of_units.T @ c.weights for c in comparisons if c.variance]
    levels = {c.level for c in comparisons} | {c.other for c in comparisons}
    twins = {max(c.level, c.other) for c in comparisons if c.weights is not None and not c.variance}
    if kind == "tukey" or not varying:
        return Family(len(varying), max(2, len(levels - twins)), None)
    return Family(len(varying), 0, np.corrcoef(np.array(varying)).reshape(len(varying), -1))


def _strongest(contrasts: Sequence[Contrast]) -> Verdict:
    """The axis's verdict: one difference that matters is enough, all must be negligible to be called so."""
    return min((c.verdict for c in contrasts), key=list(Verdict).index, default=Verdict.CANNOT_TELL)


def _with_holm(found: Sequence[AxisEffect]) -> tuple[AxisEffect, ...]:
    tested = [effect.p for effect in found if effect.p is not None]
    adjusted = iter(critical.holm(tested))
    return tuple(replace(e, p_holm=None if e.p is None else next(adjusted)) for e in found)

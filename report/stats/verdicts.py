"""What the analysis of a study says, as plain values: verdicts, noise, contrasts, axes."""

from dataclasses import dataclass
from enum import StrEnum

from ablate.report.stats.interactions import Interaction

ALL_PAIRS = 6  # up to this many, an axis's contrasts are all drawn


class Verdict(StrEnum):
    """What an interval says of a difference and delta.

    In the order in which contrasts decide for their axis: one that is open keeps it from being called negligible.
    """

    MATTERS = "matters"
    REAL = "real, size unclear"
    INCONCLUSIVE = "inconclusive"
    CANNOT_TELL = "cannot tell"
    SMALL = "real but negligible"
    NEGLIGIBLE = "negligible"


@dataclass(frozen=True)
class Noise:
    """What the intervals rest on: one run's standard deviation, its degrees of freedom, and their source."""

    source: str
    sd: float
    df: float
    df_per_seed: float  # how many degrees of freedom one more seed brings; 0 where seeds bring none


@dataclass(frozen=True)
class Contrast:
    """`level` minus `other`, in the metric's unit.

    low and high are simultaneous over the axis's contrasts and the axes.
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
    pairs: int  # of distinct runs that differ in nothing else
    places: int
    seeds: int
    common_only: bool
    copies: bool  # the levels gave the same weights wherever both finished


@dataclass(frozen=True)
class Alias:
    """An interaction of two axes that would be taken for an axis's effect: 1 is all of it."""

    axes: tuple[str, str]
    share: float
    planned: float | None  # as study.json has it; None where it says nothing of aliases


@dataclass(frozen=True)
class AxisEffect:
    """One axis: its contrasts, and what they say together."""

    axis: str
    contrasts: tuple[Contrast, ...]
    verdict: Verdict
    p: float | None  # the smallest adjusted p
    p_holm: float | None  # the same, adjusted over axes
    critical: float | None  # of |t|, for the simultaneous intervals
    own_noise: Noise | None
    unfinished: tuple[str, ...]  # levels without a finished run
    aliases: tuple[Alias, ...]

    @property
    def levels(self) -> list[str]:
        """The levels that finished, in the plan's order (one at a time: variants, then the baseline)."""
        return list(dict.fromkeys([*(c.level for c in self.contrasts), *(c.other for c in self.contrasts)]))

    @property
    def headline(self) -> Contrast | None:
        """The contrast that represents the axis: of those with its verdict, the largest difference."""
        with_estimate = [c for c in self.contrasts if c.verdict == self.verdict and c.estimate is not None]
        return max(with_estimate, key=lambda c: (not c.copies, abs(c.estimate or 0)), default=None)

    @property
    def all_copies(self) -> bool:
        """Whether every level gave the same weights wherever both of two finished."""
        return bool(self.contrasts) and all(c.copies for c in self.contrasts)

    def best(self, less_is_better: bool = False) -> str:
        """The level with the best mean; one at a time, this may be the baseline."""
        others = {c.other for c in self.contrasts}
        lead = dict.fromkeys(self.levels, 0.0)
        for c in self.contrasts:
            lead[c.level] += c.estimate or 0
            lead[c.other] -= 0 if len(others) == 1 else c.estimate or 0  # one other: all are relative to it
        return min(lead, key=lambda level: lead[level]) if less_is_better else max(lead, key=lambda level: lead[level])

    def shown(self, less_is_better: bool = False) -> list[Contrast]:
        """The contrasts worth drawing: all of four levels, those with the best level of more."""
        known = [c for c in self.contrasts if c.estimate is not None]
        if len(known) <= ALL_PAIRS:
            return known
        best = self.best(less_is_better)
        return [c for c in known if best in (c.level, c.other)]


@dataclass(frozen=True)
class Effects:
    """A study's answers. `reason` says why there are no intervals, where there are none."""

    metric: str  # a key of METRICS
    delta: float  # in its unit
    design: str  # grid, one_at_a_time or fractional: how it was analysed
    family: str  # tukey or dunnett
    complete: bool  # whether every planned run finished
    looks: int  # how often results were judged, this time included, with runs added in between
    error_rate: float  # of all axes together, at this look
    confidence: float  # of the simultaneous intervals within an axis
    seeds: int
    combinations: int  # that are experiments of their own
    noise: Noise | None
    reason: str
    assumes_two_way: bool
    baseline: tuple[tuple[str, str], ...]  # (axis, level), one at a time only
    axes: tuple[AxisEffect, ...]
    interactions: tuple[Interaction, ...]


def judge(low: float, high: float, delta: float) -> Verdict:
    """The verdict on a difference from its simultaneous interval."""
    if low > delta or high < -delta:
        return Verdict.MATTERS
    inside = low >= -delta and high <= delta
    if low > 0 or high < 0:
        return Verdict.SMALL if inside else Verdict.REAL
    return Verdict.NEGLIGIBLE if inside else Verdict.INCONCLUSIVE

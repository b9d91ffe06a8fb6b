"""What the analysis of a study says, as plain values: verdicts, noise, contrasts, axes."""

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from ablate.records.metrics import METRICS
from ablate.report.stats.interactions import Interaction
from ablate.report.stats.shares import Share

ALL_PAIRS = 6  # up to this many, an axis's contrasts are all drawn
WHOLE = 0.95  # of an interaction, from which on it cannot be separated from an axis's effect


class Verdict(StrEnum):
    """What an interval says of a difference and delta.

    In the order in which contrasts decide for their axis: one that is open keeps it from being called negligible.
    DEPENDS is of axes alone: the average says too little.
    """

    DEPENDS = "depends"
    MATTERS = "matters"
    REAL = "real, size unclear"
    INCONCLUSIVE = "inconclusive"
    CANNOT_TELL = "cannot tell"
    SMALL = "real but negligible"
    NEGLIGIBLE = "negligible"


# From what a reader can act on to what says nothing.
DECISIVE = (Verdict.MATTERS, Verdict.DEPENDS, Verdict.REAL, Verdict.SMALL, Verdict.NEGLIGIBLE, Verdict.INCONCLUSIVE,
            Verdict.CANNOT_TELL)  # fmt: skip


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
    tight_low: float | None  # the interval of the equivalence test: negligible is what lies within delta by it
    tight_high: float | None
    p: float | None  # adjusted over the axis's contrasts
    verdict: Verdict
    pairs: int  # of distinct runs that differ in nothing else
    places: int
    seeds: int
    common_only: bool
    copies: bool  # the levels gave the same weights wherever both finished

    def turned(self) -> "Contrast":
        """The same difference, as `other` minus `level`."""
        estimate, low, high, tight_low, tight_high = (
            None if value is None else -value
            for value in (self.estimate, self.high, self.low, self.tight_high, self.tight_low)
        )
        return replace(self, level=self.other, other=self.level, estimate=estimate, low=low, high=high,
                       tight_low=tight_low, tight_high=tight_high)  # fmt: skip


@dataclass(frozen=True)
class Alias:
    """An interaction of two axes that would be taken for an axis's effect: 1 is all of it."""

    axes: tuple[str, str]
    share: float
    planned: float | None  # as study.json has it; None where it says nothing of aliases


@dataclass(frozen=True)
class AtBest:
    """A level against the recommended combination's own, all other axes as there. In the metric's unit."""

    level: str  # the recommended combination's
    other: str
    estimate: float
    low: float
    high: float
    verdict: Verdict


@dataclass(frozen=True)
class LackOfFit:
    """The F-test of the combinations beyond the fitted terms, against replication over seeds (Searle, Linear Models,
    1971, 3.7). sd: of a run, as what the terms leave has it, in the metric's unit."""

    f: float
    df: tuple[float, float]
    p: float
    sd: float
    likely: tuple[tuple[str, str], ...] = ()  # the interactions that would explain most of it, the likeliest first

    @property
    def fails(self) -> bool:
        return self.p < 0.05


@dataclass(frozen=True)
class Confirmation:
    """A combination that a fraction does not hold: predicted, with the prediction interval, and measured."""

    kind: str  # recommended, baseline
    levels: tuple[tuple[str, str], ...]  # (axis, level)
    seeds: int
    predicted: float
    low: float
    high: float
    measured: float
    holds: bool


@dataclass(frozen=True)
class AxisEffect:
    """One axis: its contrasts, and what they say together.

    average: of its contrasts, averaged over the other axes. verdict: the same, unless the axis depends on others
    (`depends_on`) or says something else at the recommended combination.
    """

    axis: str
    contrasts: tuple[Contrast, ...]
    average: Verdict
    verdict: Verdict
    p: float | None  # the smallest adjusted p
    p_holm: float | None  # the same, adjusted over axes
    critical: float | None  # of |t|, for the simultaneous intervals
    noise: Noise | None  # what its intervals rest on
    own_noise: Noise | None  # of the seeds on this axis alone
    unfinished: tuple[str, ...]  # levels without a finished run
    aliases: tuple[Alias, ...]
    depends_on: tuple[str, ...] = ()
    may_depend_on: tuple[str, ...] = ()  # by delta or more, which keeps it from being called negligible
    at_best: tuple[AtBest, ...] = ()
    reason: str = ""  # why there are no intervals here, where there are elsewhere
    within: tuple[tuple[str, str], ...] = ()  # (axis, level) of what a nested axis is nested in
    over: tuple[str, ...] = ()  # axes that are nested in its levels, over which each of these is a mean
    same: tuple[str, ...] = ()  # axes that are nested in its levels, and the same where these are compared
    after: tuple[tuple[str, str], ...] = ()  # (axis, level) of what a cumulative study had added before it

    @property
    def levels(self) -> list[str]:
        """The levels that finished, in the plan's order (one at a time: variants, then the baseline)."""
        return list(dict.fromkeys([*(c.level for c in self.contrasts), *(c.other for c in self.contrasts)]))

    @property
    def headline(self) -> Contrast | None:
        """The contrast that represents the axis: of those with its average verdict, the largest difference."""
        with_estimate = [c for c in self.contrasts if c.verdict == self.average and c.estimate is not None]
        return max(with_estimate, key=lambda c: (not c.copies, abs(c.estimate or 0)), default=None)

    @property
    def whole_aliases(self) -> list[Alias]:
        """The interactions that would look exactly as the axis's effect does."""
        return [alias for alias in self.aliases if alias.share >= WHOLE]

    @property
    def all_copies(self) -> bool:
        """Whether every level gave the same weights wherever both of two finished."""
        return bool(self.contrasts) and all(c.copies for c in self.contrasts)

    @property
    def centre(self) -> str | None:
        """The level with which alone all others are compared: the baseline, or the one other of two."""
        others = {c.other for c in self.contrasts}
        return others.pop() if len(others) == 1 else None

    def standing(self, less_is_better: bool = False) -> list[str]:
        """The levels, the best mean first; one at a time, this may be the baseline."""
        lead = dict.fromkeys(self.levels, 0.0)
        for c in self.contrasts:
            lead[c.level] += c.estimate or 0
            lead[c.other] -= 0 if self.centre else c.estimate or 0
        return sorted(lead, key=lambda level: lead[level], reverse=not less_is_better)

    def offsets(self) -> dict[str, float]:
        """{level: its estimated effect, in the metric's unit, such that they sum to zero}; {} where one is unknown."""
        if not self.contrasts or any(c.estimate is None for c in self.contrasts):
            return {}
        levels = self.levels
        rows = [[(level == c.level) - (level == c.other) for level in levels] for c in self.contrasts]
        estimates = [c.estimate for c in self.contrasts]
        found = np.linalg.lstsq(np.array(rows, dtype=float), np.array(estimates, dtype=float), rcond=None)[0]
        return dict(zip(levels, (found - found.mean()).tolist(), strict=True))

    def best(self, less_is_better: bool = False) -> str:
        """The level with the best mean."""
        return self.standing(less_is_better)[0]

    def oriented(self, less_is_better: bool, around_a_baseline: bool) -> tuple[Contrast, ...]:
        """The contrasts as the better level minus the other one; around a baseline, as the variant minus it."""
        if around_a_baseline:
            return self.contrasts
        place = {level: number for number, level in enumerate(self.standing(less_is_better))}
        return tuple(c if place[c.level] < place[c.other] else c.turned() for c in self.contrasts)


@dataclass(frozen=True)
class Effects:
    """A study's answers. `reason` says why there are no intervals, where there are none."""

    metric: str  # a key of METRICS
    delta: float  # in its unit
    design: str  # grid, one_at_a_time, cumulative or fractional: how it was analysed
    family: str  # tukey or dunnett
    complete: bool  # whether every planned run finished
    looks: int  # how often results were judged, this time included, with runs added in between
    error_rate: float  # of all axes and interactions together, at this look
    axes_rate: float  # the axes' share of it
    confidence: float  # of the simultaneous intervals within an axis
    seeds: int
    combinations: int  # that are experiments of their own
    noise: Noise | None  # of a run, by replication or by what the model leaves
    reason: str
    assumes_two_way: bool
    lack_of_fit: LackOfFit | None  # where combinations are missing and seeds can tell
    baseline: tuple[tuple[str, str], ...]  # (axis, level), where axes were varied around it
    recommended: tuple[tuple[str, str], ...]  # (axis, level): the best combination by the holdout
    axes: tuple[AxisEffect, ...]
    interactions: tuple[Interaction, ...]
    confirmations: tuple[Confirmation, ...] = ()
    shares: tuple[Share, ...] = ()

    def oriented(self, effect: AxisEffect) -> tuple[Contrast, ...]:
        """An axis's contrasts in the direction that text, figures and files share."""
        return effect.oriented(METRICS[self.metric].less_is_better, self.around(effect))

    def around(self, effect: AxisEffect) -> bool:
        """Whether an axis's levels are compared with one of them alone, around which they were varied.

        A nested axis that the baseline does not read has its levels compared with each other.
        """
        baseline = dict(self.baseline)
        return self.family == "dunnett" and all(baseline.get(axis) == level for axis, level in effect.within)

    def shown(self, effect: AxisEffect) -> list[Contrast]:
        """The contrasts worth drawing: all of four levels, those with the best level of more."""
        known = [c for c in self.oriented(effect) if c.estimate is not None]
        if len(known) <= ALL_PAIRS:
            return known
        best = effect.best(METRICS[self.metric].less_is_better)
        return [c for c in known if best in (c.level, c.other)]

    def decisive_first(self) -> "Effects":
        """The same with its axes in the order of a report: what is known first, and of that the largest; of a
        cumulative study, as they were added."""

        def place(effect: AxisEffect) -> tuple[int, float]:
            gap = max((abs(c.estimate or 0.0) for c in effect.contrasts), default=0.0)
            return DECISIVE.index(effect.verdict), -gap

        if self.design == "cumulative":
            return self
        return replace(self, axes=tuple(sorted(self.axes, key=place)))

    def as_reported(self) -> "Effects":
        """The same as files have it: the most decisive axis first, each contrast in the direction of the text."""
        axes = (replace(effect, contrasts=self.oriented(effect)) for effect in self.axes)
        return replace(self, axes=tuple(axes)).decisive_first()

    @property
    def lacks_fit(self) -> bool:
        """Whether a fraction's own runs show that its terms are not enough."""
        return self.design == "fractional" and self.lack_of_fit is not None and self.lack_of_fit.fails

    @property
    def terms_fail(self) -> bool:
        """Whether a fraction's terms are known not to be enough, by its own runs or by those that check it."""
        return self.lacks_fit or not all(one.holds for one in self.confirmations)

    def may_be_interactions(self, effect: AxisEffect) -> bool:
        """Whether an axis's effect may be that of interactions: as a fraction's runs show, or as they cannot show it.

        An axis that is confounded with the whole of an interaction is called by both names instead.
        """
        untested = self.design == "fractional" and self.seeds > 1 and self.lack_of_fit is None
        partly = bool(effect.aliases) and not effect.whole_aliases
        return self.terms_fail or (untested and partly)


@dataclass(frozen=True)
class Rates:
    """How the contrasts of every axis are judged: one axis's share of the error rate, against which delta."""

    rate: float
    axes: int  # that are judged
    delta: float
    p_values: bool


def judge(low: float, high: float, delta: float, tight: tuple[float, float] | None = None) -> Verdict:
    """The verdict on a difference from its simultaneous interval, and from the equivalence test's, where there is one.

    That it is not zero is claimed of any one of an axis's differences; that it is negligible only of all of them, and
    a claim of all needs no adjustment for their number (intersection-union: Berger, Technometrics 24, 1982).
    """
    if low > delta or high < -delta:
        return Verdict.MATTERS
    least, most = tight or (low, high)
    inside = least >= -delta and most <= delta
    if low > 0 or high < 0:
        return Verdict.SMALL if inside else Verdict.REAL
    return Verdict.NEGLIGIBLE if inside else Verdict.INCONCLUSIVE

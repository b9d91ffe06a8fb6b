"""What would settle an open question: the difference that could have been detected, and how many seeds it takes."""

from bisect import bisect_left
from dataclasses import dataclass
from math import sqrt

from scipy.special import ndtr
from scipy.stats import chi2, t

from ablate.design.power import ASSUMED_SD, POWER, detectable_distance
from ablate.records.metrics import METRICS
from ablate.report.stats.effects import error_rate
from ablate.report.stats.noise import INTERACTIONS_LEFT, NO_EFFECT_OF_SEED
from ablate.report.stats.verdicts import AxisEffect, Contrast, Effects, Verdict

MANY = 1000
SIZES = (0.25, 0.5, 0.75)  # quantiles of the size that the noise may have


@dataclass(frozen=True)
class Settlement:
    """For the largest open difference of an axis, the one in its answer.

    detectable: the smallest true difference that 80 % of such studies would detect; None where the noise is
    unknown. seeds: in all, with which the interval will exclude zero or lie within delta in 80 % of cases, by the
    level of one more look; None if that takes more than 1,000. sd: of one run, as estimated or (assumed) not. In the
    metric's unit.
    """

    axis: str
    detectable: float | None
    seeds: int | None
    runs: int | None  # how many runs more that is
    sd: float
    assumed: bool
    by_seeds: bool = True  # False: what is open is due to interactions, of which more seeds say nothing


def settlement(effects: Effects, effect: AxisEffect) -> Settlement | None:
    """What would settle an axis without a conclusion; None for one that is settled."""
    if effect.verdict not in (Verdict.INCONCLUSIVE, Verdict.CANNOT_TELL) or not effects.seeds or effect.reason:
        return None  # settled, or not by seeds
    if effect.average not in (Verdict.INCONCLUSIVE, Verdict.CANNOT_TELL):
        return None  # what is open is an interaction
    if effects.reason == NO_EFFECT_OF_SEED:
        return None  # more of what has no effect says nothing more
    if effects.noise is None and METRICS[effects.metric].unit != "points":
        return None  # no noise is usual there
    still_open = [c for c in effect.contrasts if c.verdict == effect.average and c.variance]
    if not still_open:
        return None
    contrast = max(still_open, key=lambda c: abs(c.estimate or 0))
    noise = effect.noise
    by_seeds = noise is None or noise.source != INTERACTIONS_LEFT
    seeds = seeds_needed(effects, effect, contrast) if by_seeds else None
    return Settlement(
        axis=effect.axis,
        detectable=detectable(effect, contrast),
        seeds=seeds,
        runs=None if seeds is None else (seeds - effects.seeds) * effects.combinations,
        sd=noise.sd if noise else ASSUMED_SD,
        assumed=noise is None,
        by_seeds=by_seeds,
    )


def detectable(effect: AxisEffect, contrast: Contrast) -> float | None:
    """The minimum detectable effect."""
    if effect.noise is None or effect.critical is None or contrast.se is None:
        return None
    return detectable_distance(effect.critical, effect.noise.df) * contrast.se


def seeds_needed(effects: Effects, effect: AxisEffect, contrast: Contrast) -> int | None:
    """The number of seeds in all with which the interval will exclude zero or lie within delta in POWER of cases.

    What the difference will be with more seeds is predicted from what was seen, from what is usual (most choices differ
    by about delta), and from all sizes of the noise that its estimate leaves open (Spiegelhalter et al., Bayesian
    Approaches to Clinical Trials, 2004, 6.5). As if what was seen were the truth, half would still be open.
    """
    noise, now, seen = effect.noise, max(1, effects.seeds), abs(contrast.estimate or 0)
    replicated = float(max(1, effects.combinations - 1))  # by a second seed, where one says nothing of the noise
    later = error_rate(effects.looks + 1) / effects.error_rate  # of the next look
    if noise is None or effect.critical is None:
        sds, per_seed = [ASSUMED_SD], replicated
        rate = effects.axes_rate / len(effects.axes)
        tail = rate / len(effect.contrasts) / 2  # Bonferroni, as no interval was made
    else:
        sds, per_seed = (
            [noise.sd * sqrt(noise.df / chi2.ppf(q, noise.df)) for q in SIZES],
            noise.df_per_seed or replicated,
        )
        # One contrast's share of the error rate, which hardly changes with the degrees of freedom.
        rate, tail = 1 - effects.confidence, float(t.sf(effect.critical, noise.df))
    ones = [sd * sqrt(contrast.variance * now) for sd in sds]  # the standard error with one seed

    def chance(seeds: int) -> float:
        """That so many seeds will do."""
        beyond, within = (float(t.isf(of * later, per_seed * (seeds - 1))) / sqrt(seeds) for of in (tail, rate))
        chances = [
            _concluded(*_predicted(seen, one, max(seen, effects.delta), (now, seeds)), beyond * one,
                       max(0.0, effects.delta - within * one))
            for one in ones
        ]  # fmt: skip
        return sum(chances) / len(chances)

    candidates = range(max(2, now + 1), MANY + 1)
    first = bisect_left(candidates, True, key=lambda seeds: chance(seeds) >= POWER)  # more seeds are never worse
    return candidates[first] if first < len(candidates) else None


def _predicted(seen: float, one: float, prior: float, seeds: tuple[int, int]) -> tuple[float, float]:
    """(mean, sd) of a difference with more seeds; seeds: now, and then. `one`: its standard error with one seed."""
    now, then = seeds
    new = (then - now) / then
    variance = 1 / (now / one**2 + 1 / prior**2)
    mean = seen * variance * now / one**2
    return (1 - new) * seen + new * mean, new * sqrt(variance + one**2 / (then - now))


def _concluded(gap: float, sd: float, beyond: float, within: float) -> float:
    """The chance that a difference around `gap` ends up further from zero than `beyond`, or nearer than `within`."""
    within = min(within, beyond)
    up, down, left, right = ndtr([(gap - beyond) / sd, (-beyond - gap) / sd, (-within - gap) / sd, (within - gap) / sd])
    return float(up + down + right - left)

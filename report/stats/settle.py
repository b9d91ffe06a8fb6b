"""What would settle an open question: the difference that could have been detected, and how many seeds it takes."""

from dataclasses import dataclass
from math import sqrt

from scipy.stats import t

from ablate.design.power import ASSUMED_SD, detectable_distance
from ablate.records.metrics import METRICS
from ablate.report.stats.effects import NO_EFFECT_OF_SEED, error_rate
from ablate.report.stats.verdicts import AxisEffect, Contrast, Effects, Verdict

MANY = 1000


@dataclass(frozen=True)
class Settlement:
    """For the largest open difference of an axis, the one in its answer.

    detectable: the smallest true difference that 80 % of such studies would detect; None where the noise is
    unknown. seeds: in all, with which the interval would exclude zero or lie within delta, if difference and noise
    stay as they are and the level is that of one more look; None if that takes more than 1,000. sd: of one run, as
    estimated or (assumed) not. In the metric's unit.
    """

    axis: str
    detectable: float | None
    seeds: int | None
    runs: int | None  # how many runs more that is
    sd: float
    assumed: bool


def settlement(effects: Effects, effect: AxisEffect) -> Settlement | None:
    """What would settle an axis without a conclusion; None for one that is settled."""
    if effect.verdict not in (Verdict.INCONCLUSIVE, Verdict.CANNOT_TELL) or not effects.seeds:
        return None
    if effects.reason == NO_EFFECT_OF_SEED:
        return None  # more of what has no effect says nothing more
    if effects.noise is None and METRICS[effects.metric].unit != "points":
        return None  # no noise is usual there
    still_open = [c for c in effect.contrasts if c.verdict == effect.verdict and c.variance]
    if not still_open:
        return None
    contrast = max(still_open, key=lambda c: abs(c.estimate or 0))
    seeds = seeds_needed(effects, effect, contrast)
    noise = effects.noise
    return Settlement(
        axis=effect.axis,
        detectable=detectable(effects, effect, contrast),
        seeds=seeds,
        runs=None if seeds is None else (seeds - effects.seeds) * effects.combinations,
        sd=noise.sd if noise else ASSUMED_SD,
        assumed=noise is None,
    )


def detectable(effects: Effects, effect: AxisEffect, contrast: Contrast) -> float | None:
    """The minimum detectable effect."""
    if effects.noise is None or effect.critical is None or contrast.se is None:
        return None
    return detectable_distance(effect.critical, effects.noise.df) * contrast.se


def seeds_needed(effects: Effects, effect: AxisEffect, contrast: Contrast) -> int | None:
    """The number of seeds in all so that the interval around the same difference excludes zero or lies within delta."""
    gap = abs(contrast.estimate or 0)
    enough = max(gap, effects.delta - gap)
    noise = effects.noise
    replicated = float(max(1, effects.combinations - 1))  # by a second seed, where one says nothing of the noise
    if noise is None or effect.critical is None:
        sd, per_seed = ASSUMED_SD, replicated
        tail = effects.error_rate / len(effects.axes) / len(effect.contrasts) / 2  # Bonferroni, as no interval was made
    else:
        sd, per_seed = noise.sd, noise.df_per_seed or replicated
        # One contrast's share of the error rate, which hardly changes with the degrees of freedom; of the next look's.
        tail = float(t.sf(effect.critical, noise.df)) * error_rate(effects.looks + 1) / effects.error_rate
    for seeds in range(max(2, effects.seeds + 1), MANY + 1):
        half = float(t.isf(tail, per_seed * (seeds - 1))) * sd * sqrt(contrast.variance * effects.seeds / seeds)
        if half < enough:
            return seeds
    return None

"""Which estimate of the noise decides on an axis, and whether the fitted terms carry an estimate at all."""

from dataclasses import dataclass, replace
from math import floor, sqrt

import numpy as np
from scipy.stats import f

from ablate.report.stats import contrasts, linear
from ablate.report.stats.contrasts import Prepared
from ablate.report.stats.layout import Floats, Layout
from ablate.report.stats.linear import ErrorTerm, MeanSquare
from ablate.report.stats.scatter import Scatter, scatter
from ablate.report.stats.verdicts import LackOfFit, Noise

OWN = 0.05  # p from which on an axis is judged by its own noise; over all axes
POOLED = 0.25  # p from which on by that of all axes
OF_AXIS = "seed by this axis"
OF_CELLS = "the combinations compared"
INTERACTIONS_LEFT = "what interactions leave"
UNTESTED = (
    "combinations are missing, and too few are left to test whether three axes interact, without which nothing can be "
    "said of the missing ones"
)
NOT_ADDITIVE = (
    "combinations are missing, and those that finished are not the sum of main effects and two-way interactions "
    "(lack of fit, p = {:.2g}), so that nothing can be said of the missing ones"
)
NO_EFFECT_OF_SEED = "the seed had no effect on any difference, so nothing says how much of one is noise"


@dataclass(frozen=True)
class Measured:
    """The layout of the finished runs, what can be estimated from it, and what they measured (n)."""

    layout: Layout
    prepared: Prepared
    y: Floats


def noise_of(term: ErrorTerm | None, layout: Layout, y: Floats, name: str = "") -> tuple[Noise | None, str]:
    """The noise by an error term; None and why, where there is no term or nothing varied."""
    if term is None:
        if layout.number_of_seeds < 2:
            return None, "one seed gives no estimate of training noise"
        return None, "too few runs have finished to estimate training noise"
    square = term.mean_square(y)
    if square <= linear.rounding(y):
        return None, NO_EFFECT_OF_SEED
    more = term.df / (layout.number_of_seeds - 1) if layout.number_of_seeds > 1 else 0.0
    return Noise(name or term.name, sqrt(square), term.df, more), ""


def deciding(study: Measured, noise: Noise, axes: int) -> list[Noise]:
    """Of each axis, the noise that decides: its own, where seeds scatter it more than the rest; else that of all such
    axes together, where it may be larger than the rest; else the whole of replication."""
    layout, prepared, y = study.layout, study.prepared, study.y
    whole, pooled = prepared.noise, prepared.pooled
    if not prepared.replicated or whole is None:
        return [noise] * len(prepared.per_axis)
    own = [None if term is None else noise_of(term, layout, y, OF_AXIS)[0] for term in prepared.per_axis]
    noisy = [
        axis
        for axis, term in enumerate(prepared.per_axis)
        if term is not None and own[axis] is not None and linear.exceeds(term, whole, y) < OWN / axes
    ]
    together = noise
    if pooled is not None and linear.exceeds(pooled, whole, y) < POOLED:
        together = noise_of(pooled, layout, y)[0] or noise
    found = [together] * len(own)
    if noisy and prepared.model is not None and contrasts.is_complete(layout):
        found = [_beside(study, axis, noisy, together) for axis in range(len(own))]
    found = [own[axis] or noise if axis in noisy else one for axis, one in enumerate(found)]
    spread = scatter(layout, whole, y)
    if spread is None or not spread.uneven:
        return found
    return [_of_its_cells(study, axis, spread, one) for axis, one in enumerate(found)]


def _beside(study: Measured, axis: int, noisy: list[int], together: Noise) -> Noise:
    """The noise of an axis of a complete grid in which seeds scatter others more than the rest.

    There it averages out of this axis's differences, so that it is no part of their error if it is on the others alone.
    Noise that is on several axes is seldom on one of them alone, so that is believed of an axis only where its own is
    no larger than the rest has it in half of all cases; else the wider of its own and `together` decides.
    """
    layout, prepared, y = study.layout, study.prepared, study.y
    whole, term = prepared.noise, prepared.per_axis[axis]
    own = noise_of(term, layout, y, OF_AXIS)[0]
    if whole is None or term is None or own is None or axis in noisy:
        return together
    several = [number for number, names in enumerate(layout.names) if len(names) > 1]
    rest = linear.remainder(whole, linear.seed_by_axis(layout, several), y)
    of_noisy = [own for number, own in enumerate(prepared.per_axis) if number in noisy and own is not None]
    left = linear.remainder(whole, linear.together(layout, noisy, of_noisy), y)
    if rest is None or left is None or min(rest.value, left.value) <= linear.rounding(y):
        return together
    if term.df < 2 or f.sf(own.sd**2 / rest.value, term.df, rest.df) < 0.5:  # one degree of freedom says nothing
        return max(own, together, key=lambda one: one.sd) if term.df >= 2 else together
    return Noise(whole.name, sqrt(left.value), left.df, left.df / (layout.number_of_seeds - 1))


def _of_its_cells(study: Measured, axis: int, spread: Scatter, noise: Noise) -> Noise:
    """The noise of the combinations that an axis's differences rest on, where some scatter more than others: of the
    difference that has most of it, and never less than without."""
    each = [spread.of(c.weights) for c in study.prepared.comparisons[axis] if c.weights is not None and c.variance]
    if not each:
        return noise
    most = max(each, key=lambda one: one.value)
    df = min(noise.df, _rounded_down(most.df))
    if most.value <= noise.sd**2:
        return replace(noise, df=df)
    return Noise(OF_CELLS, sqrt(most.value), df, df / (study.layout.number_of_seeds - 1))


def _rounded_down(df: float) -> float:
    """Satterthwaite's degrees of freedom as tables have them: at the price of a little width, few values to compute."""
    return float(max(1, floor(df)))


def lack_of_fit(prepared: Prepared, y: Floats) -> LackOfFit | None:
    """Whether the fitted terms are enough for the combinations; None where seeds or combinations are too few to ask."""
    if not prepared.replicated or prepared.noise is None or prepared.unfitted is None:
        return None
    beyond = linear.remainder(prepared.unfitted, prepared.noise, y)
    square = prepared.noise.mean_square(y)
    if beyond is None or square <= linear.rounding(y):
        return None
    ratio = beyond.value / square
    return LackOfFit(ratio, (beyond.df, prepared.noise.df), float(f.sf(ratio, beyond.df, prepared.noise.df)),
                     sqrt(beyond.value))  # fmt: skip


def complete(prepared: Prepared, layout: Layout) -> bool:
    """Whether nothing rests on the fitted terms: each axis around the baseline, or every combination of a grid."""
    return prepared.model is None or contrasts.is_complete(layout)


def lacks_combinations(layout: Layout) -> bool:
    """Whether combinations of the levels that finished somewhere are missing, and not seeds alone."""
    return len(set(layout.levels)) < layout.number_of_places


def left_in_gaps(study: Measured, fit: LackOfFit | None) -> MeanSquare | None:
    """What the terms of a grid leave, where combinations are missing of which they are all that is known."""
    gaps = not study.prepared.separate and lacks_combinations(study.layout)
    return MeanSquare(fit.sd**2, fit.df[0]) if fit is not None and gaps else None


def beyond_the_runs(study: Measured, axis: int, fit: LackOfFit | None, noise: Noise | None) -> tuple[Noise | None, str]:
    """The noise of an axis's estimates where they rest on the fitted terms; None and why, where nothing can be said.

    Where a grid has gaps, the terms are all there is, so if they are not enough, or that cannot be tested, no verdict
    is given. Where the terms of a fraction are not enough, what they leave is the error of every axis. Where that is
    not known, since a test that finds nothing proves nothing, it is part of the error as far as the axis rests on it.
    """
    prepared, layout = study.prepared, study.layout
    if noise is None or complete(prepared, layout) or not prepared.replicated:
        return noise, ""
    if not prepared.separate:
        if not lacks_combinations(layout) or not prepared.assumes_two_way:
            return noise, ""
        if fit is None:
            return None, UNTESTED
        if fit.fails:
            return None, NOT_ADDITIVE.format(fit.p)
    if fit is None or (prepared.separate and not fit.fails and not prepared.aliases[axis]):
        return noise, ""
    # Interactions of two axes are the rule, so in a fraction what is left is not taken to be less than the noise.
    left = max(fit.sd, noise.sd) if prepared.separate else fit.sd
    return _with_what_is_left(noise, replace(fit, sd=left), 1.0 if fit.fails else _unseen(study, axis)), ""


def _with_what_is_left(noise: Noise, fit: LackOfFit, share: float) -> Noise:
    """The noise with what the terms leave as a share of it; degrees of freedom by Satterthwaite."""
    if share <= linear.TOLERANCE:
        return noise
    replicated, left = (1 - share) * noise.sd**2, share * fit.sd**2
    square = replicated + left
    df = square**2 / (replicated**2 / noise.df + left**2 / fit.df[0])
    return Noise(INTERACTIONS_LEFT, sqrt(square), _rounded_down(df), 0.0)


def _unseen(study: Measured, axis: int) -> float:
    """The largest share, over an axis's contrasts, of the combinations' variance that is due to those that did not run.

    A contrast averages over all combinations and is estimated from those that ran, as c'y for a'mu. What the terms miss
    in each, if it is like a draw, adds |c - a|^2 to the variance where a mean over such draws would have |c|^2
    (Cochran, Sampling Techniques, 1977, 2.5: the finite population correction).
    """
    layout = study.layout
    found = [0.0]
    for c in study.prepared.comparisons[axis]:
        if c.weights is not None and c.variance and not c.common_only:
            per_cell = np.bincount(layout.cells, weights=c.weights)
            factor = len(layout.places[layout.factor_of(axis)])
            squares = float(np.square(layout.difference(axis, c.level, c.other)).sum())
            whole = squares * factor / layout.number_of_places  # |a|^2; a'c is the same
            found.append(1 - whole / float(np.square(per_cell).sum()))
    return max(found)

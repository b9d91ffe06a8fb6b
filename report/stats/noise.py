"""Which estimate of the noise decides on an axis, and whether the fitted terms carry an estimate at all."""

from dataclasses import dataclass
from math import prod, sqrt

from scipy.stats import f

from ablate.report.stats import contrasts, linear
from ablate.report.stats.contrasts import Prepared
from ablate.report.stats.layout import Floats, Layout
from ablate.report.stats.linear import ErrorTerm
from ablate.report.stats.verdicts import LackOfFit, Noise

OWN = 0.05  # p from which on an axis is judged by its own noise; over all axes
POOLED = 0.25  # p from which on by that of all axes
LIKELY = 2  # interactions that are named
OF_AXIS = "seed by this axis"
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


def deciding(study: Measured, axis: int, noise: Noise, axes: int) -> Noise:
    """Which error term decides on an axis: its own, where seeds scatter it more than the rest; that of all axes, where
    it may be larger than the rest; else the whole of replication."""
    prepared, y = study.prepared, study.y
    whole, own = prepared.noise, prepared.per_axis[axis]
    if not prepared.replicated or whole is None:
        return noise
    if own is not None and linear.exceeds(own, whole, y) < OWN / axes:
        return noise_of(own, study.layout, y, OF_AXIS)[0] or noise
    if prepared.pooled is not None and linear.exceeds(prepared.pooled, whole, y) < POOLED:
        return noise_of(prepared.pooled, study.layout, y)[0] or noise
    return noise


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


def likely_interactions(study: Measured) -> tuple[tuple[str, str], ...]:
    """The pairs of axes whose interaction, added to the fitted terms, would explain most per degree of freedom."""
    layout, prepared = study.layout, study.prepared
    if prepared.model is None:
        return ()
    base = linear.orthonormal(prepared.model)
    found = []
    for a, b in linear.pairs(layout):
        if (a, b) not in prepared.terms:
            own = linear.two_way(layout, (a, b))
            basis = linear.orthonormal(own - base @ (base.T @ own))
            if basis.shape[1]:
                gain = float(((basis.T @ study.y) ** 2).sum()) / basis.shape[1]
                found.append((gain, (layout.axes[a], layout.axes[b])))
    return tuple(pair for _, pair in sorted(found, reverse=True)[:LIKELY])


def complete(prepared: Prepared, layout: Layout) -> bool:
    """Whether nothing rests on the fitted terms: each axis around the baseline, or every combination of a grid."""
    return prepared.model is None or contrasts.is_complete(layout)


def beyond_the_runs(study: Measured, fit: LackOfFit | None, noise: Noise | None) -> tuple[Noise | None, str]:
    """The noise of estimates that rest on the fitted terms; None and why, where nothing can be said.

    Where the terms of a fraction are not enough, what they leave is the error of every axis. Where a grid has gaps,
    the terms are all there is, so if they are not enough, or that cannot be tested, no verdict is given.
    """
    prepared, layout = study.prepared, study.layout
    if noise is None or complete(prepared, layout) or not prepared.replicated:
        return noise, ""
    if prepared.separate:
        fails = fit is not None and fit.fails
        return (Noise(INTERACTIONS_LEFT, fit.sd, fit.df[0], 0.0) if fit is not None and fails else noise), ""
    if len(set(layout.levels)) == prod(map(len, layout.names)) or not prepared.assumes_two_way:
        return noise, ""  # some seeds are missing, and no combination
    if fit is None:
        return None, UNTESTED
    return (None, NOT_ADDITIVE.format(fit.p)) if fit.fails else (noise, "")

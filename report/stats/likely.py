"""Which interactions may be behind what the fitted terms of a fraction leave."""

import numpy as np
from scipy.stats import f

from ablate.report.stats import linear
from ablate.report.stats.layout import Floats
from ablate.report.stats.linear import Pair
from ablate.report.stats.noise import Measured

LEVEL = 0.05  # p below which an effect or an interaction is likely
MOST = 2  # that are named


def likely_interactions(study: Measured) -> tuple[tuple[str, str], ...]:
    """The pairs of axes whose interactions explain best what the fitted terms leave, the likeliest first.

    Chosen one after the other by the F-test of a pair against what it leaves. Pairs of axes that both have an effect
    of their own come first (effect heredity: Hamada and Wu, Journal of Quality Technology 24, 1992), since in a
    fraction several pairs often explain the same; of those that explain it equally well, the one whose weaker axis
    has the larger effect.
    """
    layout, prepared = study.layout, study.prepared
    if prepared.model is None or prepared.noise is None:
        return ()
    effects = _main_effects(study)
    base = linear.orthonormal(prepared.model)
    pairs = [pair for pair in linear.pairs(layout) if pair not in prepared.terms]
    found: list[Pair] = []
    while len(found) < MOST:
        ranked = []
        for pair in pairs:
            p = _p(study, base, _beyond(study, base, pair))
            parents = [effects[axis] for axis in pair]
            if p < LEVEL:
                alone = max(of_axis for of_axis, _ in parents) >= LEVEL
                ranked.append((alone, round(p, 6), -min(size for _, size in parents), pair))
        if not ranked:
            break
        found.append(min(ranked)[3])
        pairs.remove(found[-1])
        base = np.hstack([base, _beyond(study, base, found[-1])])
    return tuple((layout.axes[a], layout.axes[b]) for a, b in found)


def _beyond(study: Measured, base: Floats, pair: Pair) -> Floats:
    """An orthonormal basis of what an interaction adds to a model's."""
    own = linear.two_way(study.layout, pair)
    return linear.orthonormal(own - base @ (base.T @ own))


def _p(study: Measured, base: Floats, added: Floats) -> float:
    """Of the F-test of added terms against what they leave; 1 where they add nothing, or leave nothing."""
    y, width = study.y, added.shape[1]
    df = len(y) - base.shape[1] - width
    explained = float(np.square(added.T @ y).sum())
    left = float(np.square(y - base @ (base.T @ y)).sum()) - explained
    if not width or df < 1 or left <= linear.rounding(y):
        return 1.0
    return float(f.sf(explained / width / (left / df), width, df))


def _main_effects(study: Measured) -> list[tuple[float, float]]:
    """Of each axis: the p of its effect against replication, and its mean square."""
    layout, prepared, y = study.layout, study.prepared, study.y
    assert prepared.model is not None and prepared.noise is not None
    square, found = prepared.noise.mean_square(y), []
    for place in linear.factorial(layout, prepared.terms)[1]:
        rest = linear.orthonormal(np.delete(prepared.model, place, axis=1))
        own = prepared.model[:, place]
        basis = linear.orthonormal(own - rest @ (rest.T @ own))
        width = max(1, basis.shape[1])
        mean = float(np.square(basis.T @ y).sum()) / width
        found.append((float(f.sf(mean / square, width, prepared.noise.df)), mean))
    return found

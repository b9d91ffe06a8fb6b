"""Whether the effect of one axis depends on the level of another: an F-test per pair, spoken of only if it matters."""

from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
from scipy.stats import f

from ablate.report.stats import linear
from ablate.report.stats.contrasts import Prepared
from ablate.report.stats.layout import Floats, Layout
from ablate.report.stats.linear import ErrorTerm, MeanSquare, Pair
from ablate.report.stats.scatter import scatter
from ablate.report.stats.simultaneous import holm

OWN = 0.05  # p from which on a pair is judged by its own noise; over all pairs


@dataclass(frozen=True)
class Judged:
    """By what interactions are judged: delta in the metric's unit, the error rate of all pairs together, and what the
    terms leave in a grid of which combinations are missing, where it is part of the error."""

    delta: float
    less_is_better: bool
    rate: float
    left: MeanSquare | None


@dataclass(frozen=True)
class Interaction:
    """Two axes: does the better level of one depend on the other?

    residual: the largest deviation of a pair of levels from what the two axes add up to, in points. flip: what is
    lost, at worst, by taking an axis's level that is best on average where another is better; 0 where the best level is
    the same throughout. large: residual or flip is at least delta, whatever p; then neither axis is negligible. Worth a
    mention if p is below the pairs' error rate too: among levels that do not differ the best one flips by noise alone,
    and costs nothing. So a flip counts by what it costs, which is stricter than any flip and is what a user may lose.
    p is Holm's, over all pairs.
    """

    axes: tuple[str, str]
    f: float
    df: tuple[float, float]
    p: float
    residual: float
    flip: float
    large: bool
    worth_a_mention: bool
    means: tuple[tuple[float, ...], ...]  # [level of the first][level of the second], relative to the grand mean


@dataclass(frozen=True, eq=False)
class _Table:
    """Of one pair of axes: the numerator's mean square, and the weights that give effects and interactions."""

    pair: Pair
    numerator: ErrorTerm
    own: ErrorTerm | None  # of the seeds on this pair
    additive: Floats  # (La Lb, n)
    residual: Floats  # (La Lb, n)


def interactions(layout: Layout, prepared: Prepared, y: Floats, judged: Judged) -> tuple[Interaction, ...]:
    """Every pair that the design separates and the runs determine; () where nothing estimates the noise.

    A pair that seeds scatter clearly more than the rest is tested against its own noise, seed by pair.
    """
    noise = prepared.noise
    if noise is None or prepared.model is None:
        return ()
    square = noise.mean_square(y)
    if square <= linear.rounding(y):
        return ()
    better = -1 if judged.less_is_better else 1
    tables = _tables(layout, prepared)
    terms = [t.own if t.own and prepared.replicated and linear.exceeds(t.own, noise, y) < OWN / len(tables) else noise
             for t in tables]  # fmt: skip
    errors = [MeanSquare(term.mean_square(y), term.df) for term in terms]
    if (left := judged.left) is not None:
        errors = [MeanSquare(max(e.value, left.value), min(e.df, left.df)) for e in errors]
    freedom = [table.numerator.df for table in tables]
    spread = scatter(layout, noise, y) if prepared.replicated else None
    if spread is not None and spread.uneven:
        each = [spread.of_a_space(table.numerator.basis) for table in tables]
        freedom = [own for _, own in each]
        errors = [MeanSquare(max(e.value, s.value), min(e.df, s.df)) for e, (s, _) in zip(errors, each, strict=True)]
    ratios = [table.numerator.mean_square(y) / e.value for table, e in zip(tables, errors, strict=True)]
    degrees = [(own, e.df) for own, e in zip(freedom, errors, strict=True)]
    adjusted = holm([float(f.sf(ratio, *df)) for ratio, df in zip(ratios, degrees, strict=True)])
    found = []
    for table, df, ratio, p in zip(tables, degrees, ratios, adjusted, strict=True):
        a, b = table.pair
        shape = (len(layout.names[a]), len(layout.names[b]))
        apart = (table.residual @ y).reshape(shape)
        means = (table.additive @ y).reshape(shape) + apart
        largest = float(np.abs(apart).max())
        flip = max(_lost(better * means), _lost(better * means.T))
        large = max(largest, flip) >= judged.delta
        found.append(
            Interaction(
                axes=(layout.axes[a], layout.axes[b]),
                f=float(ratio),
                df=df,
                p=p,
                residual=largest,
                flip=flip,
                large=large,
                worth_a_mention=p < judged.rate and large,
                means=tuple(tuple(float(v) for v in row) for row in means),
            )
        )
    return tuple(found)


def _lost(means: Floats) -> float:
    """Points lost at worst by the row that is best on average, over the columns."""
    return float((means.max(axis=0) - means[means.mean(axis=1).argmax()]).max())


@lru_cache(maxsize=8)
def _tables(layout: Layout, prepared: Prepared) -> tuple[_Table, ...]:
    assert prepared.model is not None
    found = []
    at = {}
    start = 1 + sum(coding.shape[1] for coding in layout.codings)
    for pair in prepared.terms:
        width = layout.codings[pair[0]].shape[1] * layout.codings[pair[1]].shape[1]
        at[pair] = slice(start, start + width)
        start += width
    places = linear.factorial(layout, prepared.terms)[1]
    for pair, place in at.items():
        rest = linear.orthonormal(np.delete(prepared.model, place, axis=1))
        own = prepared.model[:, place]
        numerator = linear.spanned("interaction", layout, linear.orthonormal(own - rest @ (rest.T @ own)))
        if not own.shape[1] or numerator.df < 0.99:
            continue
        a, b = (layout.codings[i][:-1] for i in pair)
        cells = list(product(range(len(a)), range(len(b))))
        additive, residual = (np.zeros((len(cells), prepared.model.shape[1])) for _ in range(2))
        for row, (i, j) in enumerate(cells):
            additive[row, places[pair[0]]], additive[row, places[pair[1]]] = a[i], b[j]
            residual[row, place] = np.outer(a[i], b[j]).ravel()
        weights = linear.weights_of(prepared.model, np.vstack([additive, residual]))
        if all(w is not None for w in weights):
            stacked = np.array(weights)
            scatter = _of_seeds(layout, pair) if prepared.replicated else None
            found.append(_Table(pair, numerator, scatter, stacked[: len(cells)], stacked[len(cells) :]))
    return tuple(found)


def _of_seeds(layout: Layout, pair: Pair) -> ErrorTerm | None:
    """The seeds on a pair of axes, where both are compared."""
    inside = layout.inside(pair)
    seeds = linear.of_rows(linear.seed_by_pair(layout.rows(inside), pair), np.flatnonzero(inside))
    return seeds if seeds.df > 0.99 else None

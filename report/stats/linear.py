"""Least squares on a layout: models, the weights of a contrast, and error terms with their degrees of freedom.

Everything here depends on the layout of the runs, not on what they measured. The models are those of the analysis
of variance (Searle, Linear Models, 1971): contrasts as weighted sums of runs, mean squares as quadratic forms.

Rows that are one and the same run share its noise: y = model + Z e, with e independent over distinct runs. Then a
form y'Qy has the expectation sigma^2 tr(Z'QZ), and by Satterthwaite (Biometrics Bulletin 2, 1946) the degrees of
freedom tr(Z'QZ)^2 / tr((Z'QZ)^2). Without copies both are the rank of Q, the textbook's.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from scipy import linalg, sparse
from scipy.stats import f

from ablate.report.stats.layout import Floats, Ints, Layout

TOLERANCE = 1e-8

Pair = tuple[int, int]


def sum_coding(codes: Ints, levels: int) -> Floats:
    """(n, levels - 1): a level's own column is 1, the last level is -1 in all of them, so that effects sum to zero."""
    coding = np.vstack([np.eye(levels - 1), -np.ones(levels - 1)])
    return np.asarray(coding[codes], dtype=np.float64)


def indicators(codes: Ints) -> Floats:
    """(n, distinct): one column of zeros and ones per distinct code."""
    _, columns = np.unique(codes, return_inverse=True)
    return np.eye(columns.max() + 1)[columns] if len(codes) else np.zeros((0, 0))


def two_way(layout: Layout, pair: Pair) -> Floats:
    """(n, (La - 1)(Lb - 1)) columns of the interaction of two axes."""
    a, b = (layout.codings[i][layout.codes[:, i]] for i in pair)
    return (a[:, :, None] * b[:, None, :]).reshape(len(a), -1)


def pairs(layout: Layout) -> list[Pair]:
    """Every pair of axes, by their numbers, but for a nested axis with what it is nested in, or two in other levels."""
    found = []
    for a, b in combinations(range(len(layout.axes)), 2):
        factor = layout.factor_of(a)
        if factor == layout.factor_of(b):
            i, j = (layout.factors[factor].index(axis) for axis in (a, b))
            apart = not any(place[i] >= 0 and place[j] >= 0 for place in layout.places[factor])
            if apart or b in layout.below[a] or a in layout.below[b]:
                continue
        found.append((a, b))
    return found


def within_factors(layout: Layout) -> list[Pair]:
    """The pairs of axes that are part of one factor: every design holds all of its combinations."""
    return [(a, b) for a, b in pairs(layout) if layout.factor_of(a) == layout.factor_of(b)]


def factorial(layout: Layout, terms: Sequence[Pair]) -> tuple[Floats, list[slice]]:
    """The model with main effects, some two-way terms and seeds as blocks; and where each axis's main effect is."""
    columns = [np.ones((len(layout.levels), 1))]
    places, at = [], 1
    for axis, coding in enumerate(layout.codings):
        columns.append(coding[layout.codes[:, axis]])
        places.append(slice(at, at + coding.shape[1]))
        at += coding.shape[1]
    columns += [two_way(layout, pair) for pair in terms]
    columns.append(sum_coding(layout.seed_codes, layout.number_of_seeds))
    return np.hstack(columns), places


def _svd(matrix: Floats) -> tuple[Floats, Floats, Floats]:
    """The thin decomposition; by LAPACK's slower method where its faster one fails, as it does on rare matrices."""
    try:
        left, sizes, right = linalg.svd(matrix, full_matrices=False, check_finite=False)
    except linalg.LinAlgError:
        left, sizes, right = linalg.svd(matrix, full_matrices=False, check_finite=False, lapack_driver="gesvd")
    return left, sizes, right


def orthonormal(columns: Floats) -> Floats:
    """An orthonormal basis of what the columns span; columns of zero width where they span nothing."""
    if not columns.size:
        return np.zeros((len(columns), 0))
    left, sizes, _ = _svd(columns)
    return np.asarray(left[:, sizes > TOLERANCE * max(1.0, sizes.max())], dtype=np.float64)


def weights_of(model: Floats, contrasts: Floats) -> list[Floats | None]:
    """The weights of the runs in each contrast's least-squares estimate; None where the runs do not determine it.

    model: (n, p); contrasts: (m, p) of coefficients. A contrast is estimable when it lies in the rows' span.
    """
    left, sizes, right = _svd(model)
    rank = int((sizes > TOLERANCE * sizes.max(initial=0.0)).sum())
    inverse = ((left[:, :rank] / sizes[:rank]) @ right[:rank]).T
    found = contrasts @ inverse
    estimable = np.abs(found @ model - contrasts).max(axis=1) < 1e-6
    return [weights if fine else None for weights, fine in zip(found, estimable, strict=True)]


def rounding(y: Floats) -> float:
    """A mean square that is no more than what numbers of this size lose by rounding: no variance at all."""
    return float(1e-18 * np.square(y).max(initial=0.0))


LOST = 1e-9  # as a share of the largest value; 64-bit sums of thousands of runs are better than that


def without_rounding(estimate: float, y: Floats) -> float:
    """An estimate, or 0 where sums of the same numbers in another order would differ by as much."""
    return 0.0 if abs(estimate) < LOST * max(1.0, float(np.abs(y).max(initial=0.0))) else estimate


def variance_of(layout: Layout, weights: Floats) -> float:
    """The variance of a weighted sum of runs, in units of one run's: copies add up before they are squared."""
    return float(np.square(layout.of_units.T @ weights).sum())


@dataclass(frozen=True, eq=False)
class ErrorTerm:
    """A mean square that estimates one run's variance, as basis and sweep: no matrix of n by n.

    The form is |U'y|^2, or, for a residual, |y - (cell means) - U U'y|^2 (with or without the cell means).
    """

    name: str
    basis: Floats  # U: (rows, rank), orthonormal
    residual: bool
    cells: Ints | None  # swept out of a residual; None where the basis holds the whole model
    rows: Ints  # of the layout that it was made for
    scale: float  # tr(Z'QZ)
    df: float

    def mean_square(self, y: Floats) -> float:
        """The estimate of one run's variance, from all n values, in squared points."""
        y = y[self.rows] - y[self.rows].mean()
        if not self.residual:
            return float(np.square(self.basis.T @ y).sum() / self.scale)
        if self.cells is not None:
            y = y - cell_means(self.cells, y)
        return float(np.square(y - self.basis @ (self.basis.T @ y)).sum() / self.scale)


@dataclass(frozen=True)
class MeanSquare:
    """An estimate of one run's variance, in squared points, and its degrees of freedom."""

    value: float
    df: float


def remainder(whole: ErrorTerm, part: ErrorTerm, y: Floats) -> MeanSquare | None:
    """What a term leaves of one that contains it; None where that is nothing."""
    scale, df = whole.scale - part.scale, whole.df - part.df
    if scale < TOLERANCE or df < 0.99:
        return None
    rest = whole.mean_square(y) * whole.scale - part.mean_square(y) * part.scale
    return MeanSquare(max(0.0, rest / scale), df)


def exceeds(part: ErrorTerm, whole: ErrorTerm, y: Floats) -> float:
    """The p of an F-test of a term against what it leaves of the one that contains it; 1 where it leaves nothing.

    Against the whole, which contains it, no term of a small design could ever be significant.
    """
    rest, own = remainder(whole, part, y), part.mean_square(y)
    if rest is None or own <= rounding(y):
        return 1.0
    return float(f.sf(own / rest.value, part.df, rest.df)) if rest.value > rounding(y) else 0.0


def cell_means(cells: Ints, values: Floats) -> Floats:
    """Of a vector or of each column: the mean over a row's cell, in every row."""
    number = int(cells.max()) + 1
    member = sparse.csr_matrix((np.ones(len(cells)), (cells, np.arange(len(cells)))), shape=(number, len(cells)))
    means = np.asarray(member @ values) / np.bincount(cells, minlength=number).reshape(-1, *[1] * (values.ndim - 1))
    return np.asarray(means[cells], dtype=np.float64)


def replication(layout: Layout, blocked: bool = True) -> ErrorTerm:
    """The residual of cells and (if blocked) seeds: df = (K - 1)(S - 1) where every cell has every seed."""
    n = len(layout.levels)
    seeds = indicators(layout.seed_codes) if blocked else np.zeros((n, 0))
    basis = orthonormal(seeds - cell_means(layout.cells, seeds))
    z = layout.of_units
    member = sparse.csr_matrix((np.ones(n), (layout.cells, np.arange(n))))
    per_cell = member @ z
    space = z.T @ z - per_cell.T @ sparse.diags(1 / np.bincount(layout.cells)) @ per_cell
    scale, df = _residual_trace(space, z.T @ basis)
    return ErrorTerm("replication over seeds", basis, True, layout.cells, np.arange(n), scale, df)


def lack_of_fit(layout: Layout, model: Floats) -> ErrorTerm:
    """The residual of a model without cells: what main effects and two-way terms leave."""
    basis = orthonormal(model)
    z = layout.of_units
    scale, df = _residual_trace(z.T @ z, z.T @ basis)
    return ErrorTerm("what the model leaves", basis, True, None, np.arange(len(model)), scale, df)


def seed_by_axis(layout: Layout, axes: Sequence[int]) -> ErrorTerm:
    """What seed:axis terms add to cells and seeds: df = (S - 1) sum of (L - 1) where every cell has every seed."""
    seeds = indicators(layout.seed_codes)
    base = orthonormal(seeds - cell_means(layout.cells, seeds))
    added = np.hstack([indicators(_by_seed(layout, a)) for a in axes])
    added = added - cell_means(layout.cells, added)
    basis = orthonormal(added - base @ (base.T @ added))
    return spanned("seed by axis", layout, basis)


def _by_seed(layout: Layout, axis: int) -> Ints:
    """(n): each row's seed and level as one number, with a level more for rows where the axis is not compared."""
    return np.asarray(layout.seed_codes * (len(layout.names[axis]) + 1) + layout.codes[:, axis] + 1)


def seed_by_pair(layout: Layout, pair: Pair) -> ErrorTerm:
    """What the seed:a:b term adds to cells, seeds, seed:a and seed:b: df = (S - 1)(La - 1)(Lb - 1) in a full grid."""
    seeds = indicators(layout.seed_codes)
    lower = [seeds] + [indicators(_by_seed(layout, a)) for a in pair]
    below = np.hstack(lower)
    base = orthonormal(below - cell_means(layout.cells, below))
    place = layout.codes[:, pair[0]] * len(layout.names[pair[1]]) + layout.codes[:, pair[1]]
    added = indicators(layout.seed_codes * len(layout.names[pair[0]]) * len(layout.names[pair[1]]) + place)
    added = added - cell_means(layout.cells, added)
    return spanned("seed by pair", layout, orthonormal(added - base @ (base.T @ added)))


def of_rows(term: ErrorTerm, rows: Ints) -> ErrorTerm:
    """A term of some rows of a layout as one of the whole."""
    return replace(term, rows=rows)


def together(layout: Layout, axes: Sequence[int], terms: Sequence[ErrorTerm]) -> ErrorTerm:
    """What seeds do to some axes together; terms: what they do to each alone."""
    if layout.inside(axes).all():
        return seed_by_axis(layout, axes)
    columns = []
    for term in terms:
        whole = np.zeros((len(layout.levels), term.basis.shape[1]))
        whole[term.rows] = term.basis
        columns.append(whole)
    return spanned("seed by axis", layout, orthonormal(np.hstack(columns)))


def spanned(name: str, layout: Layout, basis: Floats) -> ErrorTerm:
    """The mean square of a subspace; also the numerator of an F-test."""
    v = layout.of_units.T @ basis
    scale = float(np.square(v).sum())
    square = float(np.square(v.T @ v).sum())
    df = round(scale**2 / square, 9) if scale > TOLERANCE else 0.0
    return ErrorTerm(name, basis, False, None, np.arange(len(basis)), scale, df)


def _residual_trace(space: sparse.csr_matrix, v: Floats) -> tuple[float, float]:
    """Of A = Z'RZ - VV', with R a projection: its trace, and Satterthwaite's degrees of freedom."""
    scale = float(space.diagonal().sum() - np.square(v).sum())
    square = float(space.multiply(space).sum() - 2 * (v * (space @ v)).sum() + np.square(v.T @ v).sum())
    return (scale, round(scale**2 / square, 9)) if scale > TOLERANCE and square > TOLERANCE else (0.0, 0.0)

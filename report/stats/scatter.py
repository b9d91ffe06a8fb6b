"""Whether some combinations scatter more over seeds than the rest, and errors that allow for it."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import f

from ablate.report.stats import linear
from ablate.report.stats.layout import Floats, Ints, Layout
from ablate.report.stats.linear import ErrorTerm, MeanSquare

LEVEL = 0.05  # over all combinations


@dataclass(frozen=True)
class Scatter:
    """Of each combination (K): the variance over seeds, without what all runs of a seed share, and its degrees of
    freedom; `cells` (n) is the combination of each run. p: that the one that scatters most does so by chance."""

    cells: Ints
    variances: Floats
    df: Floats
    p: float

    @property
    def uneven(self) -> bool:
        """Whether some combination scatters more than the rest."""
        return self.p < LEVEL

    def of(self, weights: Floats) -> MeanSquare:
        """A run's variance as a weighted sum of runs (n) has it, and its degrees of freedom by Satterthwaite."""
        per_cell = np.bincount(self.cells, weights=np.square(weights), minlength=len(self.df))
        return self._sum(per_cell / per_cell.sum())

    def of_a_space(self, basis: Floats) -> tuple[MeanSquare, float]:
        """A run's variance as the mean square of an orthonormal basis (n, r) has it, and that mean square's own degrees
        of freedom (Brunner, Dette and Munk, JASA 92, 1997)."""
        weighted = basis.T @ (basis * self.variances[self.cells][:, None])
        trace, squares = float(np.trace(weighted)), float(np.square(weighted).sum())
        per_cell = np.bincount(self.cells, weights=np.square(basis).sum(axis=1), minlength=len(self.df))
        return self._sum(per_cell / basis.shape[1]), trace**2 / squares if squares > 0 else 1.0

    def _sum(self, shares: Floats) -> MeanSquare:
        parts = shares * self.variances
        spread = float((np.square(parts) / self.df).sum())
        return MeanSquare(float(parts.sum()), float(parts.sum()) ** 2 / spread if spread > 0 else 1.0)


def scatter(layout: Layout, replication: ErrorTerm, y: Floats) -> Scatter | None:
    """By the residuals of replication; with seeds as blocks, by Shukla's stability variance (Heredity 29, 1972).

    None where a combination has one seed, or copies of runs are among them.
    """
    cells, sizes, term = layout.cells, np.bincount(layout.cells), replication
    if len(sizes) < 3 or sizes.min() < 2 or len(set(layout.units)) < len(y) or term.df <= sizes.max() - 1:
        return None
    within = y - linear.cell_means(cells, y)
    squares = np.bincount(cells, weights=np.square(within - term.basis @ (term.basis.T @ within)))
    df, count, blocked = (sizes - 1).astype(np.float64), len(sizes), bool(term.basis.shape[1])
    # A combination's own squares and those that are left without it are independent: an F-test each, Bonferroni.
    own = squares * (count / (count - 1) if blocked else 1.0)
    rest, of_rest = squares.sum() - own, term.df - df
    ratios = (own / df) / np.maximum(rest / of_rest, linear.rounding(y))
    p = min(1.0, count * float(np.min(f.sf(ratios, df, of_rest))))
    if not blocked:
        return Scatter(cells, squares / df, df, p)
    # What all runs of a seed share is estimated from noisy combinations too, which makes the others look noisy.
    variances = (count * (count - 1) * squares - squares.sum()) / (df * (count - 1) * (count - 2))
    return Scatter(cells, np.maximum(variances, 0.0), df, p)

"""Critical values and adjusted p for all contrasts of one axis at once; Holm over axes."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.stats import studentized_range, t

from ablate.report.stats.layout import Floats

DRAWS = 200_000
SEED = 20_240_101  # any fixed one: two reports on one study are the same


@dataclass(frozen=True, eq=False)
class Family:
    """The contrasts of one axis that are judged together."""

    size: int
    levels: int  # distinct ones, all pairs of which are compared
    correlation: Floats | None  # of the contrasts with a baseline; None: all pairs

    def critical(self, level: float, df: float) -> float:
        if self.correlation is None:
            return tukey(level, self.levels, df)
        return dunnett(level, self.correlation, df)

    def p(self, statistic: float, df: float) -> float:
        if self.correlation is None:
            return tukey_p(statistic, self.levels, df)
        return dunnett_p(statistic, self.correlation, df)


@lru_cache(maxsize=4096)
def tukey(level: float, levels: int, df: float) -> float:
    """The critical value of |t| for all pairs of levels (Tukey and Kramer), at this simultaneous confidence level."""
    if levels == 2:
        return float(t.ppf((1 + level) / 2, df))
    return float(studentized_range.ppf(level, levels, df) / np.sqrt(2))


@lru_cache(maxsize=4096)
def tukey_p(statistic: float, levels: int, df: float) -> float:
    """The p of a contrast's |t|, adjusted for all pairs of the axis."""
    if levels == 2:
        return float(2 * t.sf(statistic, df))
    # The integral is accurate to about 1e-10, and Bonferroni never below the truth.
    bound = levels * (levels - 1) * float(t.sf(statistic, df))
    return min(1.0, bound, max(float(studentized_range.sf(statistic * np.sqrt(2), levels, df)), 1e-10))


def dunnett(level: float, correlation: Floats, df: float) -> float:
    """The critical value of |t| for several contrasts with a shared baseline (Dunnett, JASA 50, 1955)."""
    if len(correlation) == 1:
        return float(t.ppf((1 + level) / 2, df))
    return float(np.quantile(_largest_t(*_key(correlation), df), level))


def dunnett_p(statistic: float, correlation: Floats, df: float) -> float:
    """The p of a contrast's |t|, adjusted for all contrasts of the axis; never 0."""
    single = float(2 * t.sf(statistic, df))
    if len(correlation) == 1:
        return single
    draws = _largest_t(*_key(correlation), df)
    beyond = int((draws >= statistic).sum())
    if beyond >= 400:  # the simulated share is good to a twentieth
        return beyond / len(draws)
    # Sidak's bound, never below the truth for |t| with shared noise, and close to it this far out.
    return float(min(-np.expm1(len(correlation) * np.log1p(-single)), 1.0)) if single < 1 else 1.0


def _key(correlation: Floats) -> tuple[int, tuple[float, ...]]:
    return len(correlation), tuple(np.round(correlation, 6).ravel().tolist())


@lru_cache(maxsize=16)
def _largest_t(number: int, correlation: tuple[float, ...], df: float) -> Floats:
    """Draws of the largest |t| of contrasts that are correlated so and share one error term."""
    draw = np.random.default_rng(SEED)
    values, vectors = np.linalg.eigh(np.array(correlation).reshape(number, number))
    normal = draw.standard_normal((DRAWS, number)) @ (vectors * np.sqrt(np.clip(values, 0, None))).T
    scale = np.sqrt(draw.chisquare(df, DRAWS) / df)
    return np.asarray(np.abs(normal).max(axis=1) / scale)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p values (Scandinavian Journal of Statistics 6, 1979), in the order given."""
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = largest
    return adjusted

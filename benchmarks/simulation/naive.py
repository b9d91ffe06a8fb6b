"""What tables without statistics claim from the same runs, so that there is something to compare with."""

from itertools import combinations, product
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

Claims = dict[tuple[str, str, str], float]  # (axis, level, other) -> the difference that is claimed, in points


def by_seed(runs: pd.DataFrame, axis: str) -> dict[str, NDArray[np.float64]]:
    """{level: its mean of each seed, in points}, over whatever has finished."""
    done = (runs["state"] == "DONE").to_numpy()
    levels, seeds = runs[axis].to_numpy()[done], runs["seed"].to_numpy()[done]
    points = 100 * runs["test_accuracy"].to_numpy()[done]
    found = {}
    for level in dict.fromkeys(levels):
        here = levels == level
        found[str(level)] = np.bincount(seeds[here], points[here]) / np.bincount(seeds[here])
    return found


def bigger_mean_wins(runs: pd.DataFrame, axes: Any) -> Claims:
    """A table of means, the larger one in bold: every difference is claimed."""
    claims = {}
    for axis in axes:
        table = by_seed(runs, axis)
        claims |= {(axis, a, b): float(table[a].mean() - table[b].mean()) for a, b in combinations(table, 2)}
    return claims


def bars_apart(runs: pd.DataFrame, axes: Any) -> Claims:
    """Mean ± standard deviation over seeds: what does not overlap is claimed."""
    claims = {}
    for axis in axes:
        table = by_seed(runs, axis)
        for a, b in combinations(table, 2):
            gap = float(table[a].mean() - table[b].mean())
            if abs(gap) > table[a].std(ddof=1) + table[b].std(ddof=1):
                claims[axis, a, b] = gap
    return claims


def welch(runs: pd.DataFrame, axes: Any) -> Claims:
    """Welch's t-test of all runs at one level against all at another, p < .05."""
    claims = {}
    for axis in axes:
        levels, points = runs[axis].to_numpy(), 100 * runs["test_accuracy"].to_numpy()
        groups = {str(level): points[levels == level] for level in dict.fromkeys(levels)}
        # By Satterthwaite's formula itself: scipy's test, ten times as fast.
        share = {name: (float(g.mean()), float(g.var(ddof=1)) / len(g), len(g) - 1) for name, g in groups.items()}
        for a, b in combinations(groups, 2):
            (mean, square, df), (mean_b, square_b, df_b) = share[a], share[b]
            gap, both = mean - mean_b, square + square_b
            if abs(gap) > stats.t.ppf(0.975, both**2 / (square**2 / df + square_b**2 / df_b)) * both**0.5:
                claims[axis, a, b] = gap
    return claims


def bootstrap(differences: NDArray[np.float64]) -> tuple[float, float]:
    """The percentile bootstrap's 95 % interval of a mean over seeds, from every possible resample."""
    seeds = len(differences)
    means = np.sort([differences[list(draw)].mean() for draw in product(range(seeds), repeat=seeds)])
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))

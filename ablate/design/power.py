"""The smallest difference that a planned study can detect: noise, error terms and minimum detectable effects."""

import math
import statistics
from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
from scipy import optimize, stats

from ablate.design import combinations, fraction

POWER = 0.8
ALPHA = 0.05
OF_INTERACTIONS = 0.2  # of ALPHA, where interactions are tested beside the axes
ASSUMED_SD = 0.3  # percentage points between runs that differ in the seed alone
AROUND = ("one_at_a_time", "cumulative")  # designs in which two combinations are compared at a time
ENOUGH = 6  # degrees of freedom, for an error term of its own


def noise(values: Mapping[str, Sequence[float]]) -> float | None:
    """The pooled standard deviation over seeds, from the results of each combination; None without two of any."""
    several = [list(results) for results in values.values() if len(results) > 1]
    if not several:
        return None
    squares = sum(statistics.variance(results) * (len(results) - 1) for results in several)
    return math.sqrt(squares / sum(len(results) - 1 for results in several))


def detectable(
    kind: str,
    runs: Sequence[tuple[Mapping[str, str], int]],
    axes: Mapping[str, Sequence[str]],
    sd: float,
    judged: int | None = None,
) -> dict[str, float | None]:
    """{axis: the smallest difference between two of its levels that is detected with 80 % power}, in sd's unit.

    `runs` are the planned ones as (levels, seed), `judged` is how many axes share the error rate, if not these. None
    where nothing estimates the error or the axis. Differences within an axis are adjusted by Tukey (around a baseline
    by Bonferroni, a little more careful than Dunnett), axes by Bonferroni.
    """
    freedom = error_freedom(kind, runs, axes)
    if freedom is None:
        return dict.fromkeys(axes)
    sizes = [len(levels) for levels in axes.values()]
    index = {axis: {level: i for i, level in enumerate(levels)} for axis, levels in axes.items()}
    rows = [tuple(index[axis][levels[axis]] for axis in axes) for levels, _ in runs]
    x = fraction.model(sizes, rows)
    if kind == "fractional":  # whose report has more terms in its model, where the runs can tell them
        x = np.hstack([x, *(fraction.products(sizes, x, pair) for pair in fraction.separable(sizes, rows))])
    seeds = _seeds_of_cells(runs, axes)
    lost = fraction.not_estimable(sizes, combinations.rows_of([levels for levels, _ in runs], axes))
    found: dict[str, float | None] = {}
    for number, (axis, levels) in enumerate(axes.items()):
        variance = fraction.worst_variance(sizes, x, number)
        if kind in AROUND:
            variance = 1 / min(seeds) + 1 / max(seeds)
        distance = _distance(kind, len(levels), freedom, judged or len(axes))
        found[axis] = None if number in lost else sd * math.sqrt(variance) * distance
    return found


def of_means(counts: Sequence[int], freedom: int, sd: float, judged: int) -> float:
    """The same for levels that are means over so many runs each, between the two with the fewest."""
    fewest, next_fewest = sorted(counts)[:2]
    return sd * math.sqrt(1 / fewest + 1 / next_fewest) * _distance("grid", len(counts), freedom, judged)


def error_freedom(
    kind: str, runs: Sequence[tuple[Mapping[str, str], int]], axes: Mapping[str, Sequence[str]]
) -> int | None:
    """Degrees of freedom of the error term that the report may have to use; None where there is none."""
    seeds = _seeds_of_cells(runs, axes)
    cells, repeated = len(seeds), min(seeds) - 1
    sizes = [len(levels) for levels in axes.values()]
    main = sum(n - 1 for n in sizes)
    if kind in AROUND:
        freedom = sum(n - 1 for n in seeds) - repeated if repeated else 0
    elif repeated and kind == "grid" and repeated * main >= ENOUGH:
        freedom = repeated * main  # seeds against axes, which decide where they scatter more than the rest
    elif repeated:
        freedom = repeated * (cells - 1)
    elif kind == "grid":
        freedom = cells - 1 - main - sum((a - 1) * (b - 1) for i, a in enumerate(sizes) for b in sizes[:i])
    else:
        freedom = cells - 1 - main
        freedom = freedom if freedom >= ENOUGH else 0
    return freedom if freedom > 0 else None


def _seeds_of_cells(runs: Sequence[tuple[Mapping[str, str], int]], axes: Mapping[str, Sequence[str]]) -> list[int]:
    seeds: dict[tuple[str, ...], set[int]] = {}
    for levels, seed in runs:
        seeds.setdefault(tuple(levels[axis] for axis in axes), set()).add(seed)
    return [len(some) for some in seeds.values()]


@cache
def detectable_distance(critical: float, freedom: float) -> float:
    """How many standard errors a true difference must be for |t| to exceed a critical value with POWER.

    By the noncentral t; with few degrees of freedom critical + t(POWER) is a tenth too small.
    """
    return float(optimize.brentq(lambda d: stats.nct.sf(critical, freedom, d) - POWER, 0, 10 * critical + 10))


def _distance(kind: str, levels: int, freedom: int, axes: int) -> float:
    """How many standard errors a true difference must be to be detected with POWER."""
    alpha = ALPHA * (1 if kind in AROUND or axes == 1 else 1 - OF_INTERACTIONS) / axes
    if kind in AROUND or levels == 2:
        critical = float(stats.t.ppf(1 - alpha / 2 / (levels - 1), freedom))
    else:
        critical = float(stats.studentized_range.ppf(1 - alpha, levels, freedom)) / math.sqrt(2)
    return detectable_distance(critical, freedom)


def conclusions(kind: str, cells: Sequence[Mapping[str, str]], axes: Mapping[str, Sequence[str]]) -> list[str]:
    """What a design can estimate and what it cannot, a sentence each."""
    if kind == "one_at_a_time":
        return ["the effect of each axis around the baseline; interactions cannot be estimated"]
    if kind == "cumulative":
        return [
            "the effect of each step on top of those before it; the order matters, interactions cannot be estimated"
        ]
    whole = math.prod(len(levels) for levels in axes.values())
    if len({tuple(cell[axis] for axis in axes) for cell in cells}) == whole:
        return ["all main effects and all two-way interactions"]
    if kind == "grid":
        sizes = [len(levels) for levels in axes.values()]
        lost = [list(axes)[axis] for axis in fraction.not_estimable(sizes, combinations.rows_of(cells, axes))]
        if lost:
            return [f"not the main effects of {' and '.join(lost)}: what is left out confounds them with other axes"]
        return ["all main effects, and the two-way interactions that what is left out leaves estimable"]
    aliases = combinations.aliasing(cells, axes)
    clear = [axis for axis, terms in aliases.items() if terms == "clear"]
    found = ["all main effects, confounded with interactions to the degree given (1 would be fully)"]
    if clear:
        found.append(f"not confounded with any two-way interaction: {', '.join(clear)}")
    for axis, terms in aliases.items():
        if terms != "clear":
            (term, strength), *rest = terms.items()
            more = f" and less with {len(rest)} more" if rest else ""
            found.append(f"{axis} is confounded with {term} (up to {strength:g}){more}")
    found.append("at its end the recommended combination and the defaults are trained too, to compare with predictions")
    return found

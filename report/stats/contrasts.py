"""What a design can compare: each axis's contrasts as weighted sums of runs, and the error terms that judge them.

Grid: average over all combinations, from main effects and two-way interactions, seeds as blocks. One at a time:
each variant against the baseline. Fractional: main effects and those two-way terms that the design separates.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from math import prod

import numpy as np

from ablate.design import fraction
from ablate.report.stats import linear
from ablate.report.stats.layout import Floats, Ints, Layout
from ablate.report.stats.linear import ErrorTerm, Pair

FEW = 6  # below this many degrees of freedom, a grid's error term is replaced by the pooled residual


@dataclass(frozen=True)
class Levels:
    """Two levels of an axis, all as numbers."""

    axis: int
    level: int
    other: int


@dataclass(frozen=True, eq=False)
class Comparison:
    """One contrast, `level` minus `other` of an axis, and over what it is taken."""

    axis: int
    level: int
    other: int
    weights: Floats | None  # of each run; None: the runs that finished do not determine it
    variance: float  # of the estimate, in units of one run's; 0 for copies
    pairs: int  # distinct runs with the same seed and other levels; a run is no pair with itself
    places: int  # combinations of the other axes among the pairs
    seeds: int  # distinct seeds among the pairs
    common_only: bool  # restricted to the combinations that finished at both levels


@dataclass(frozen=True, eq=False)
class Prepared:
    """All that can be said before looking at what was measured."""

    comparisons: tuple[tuple[Comparison, ...], ...]  # per axis
    family: str  # tukey: all pairs; dunnett: against the baseline
    terms: tuple[Pair, ...]  # two-way interactions in the model
    model: Floats | None  # main effects, terms, seeds; None for one at a time
    noise: ErrorTerm | None  # replication over seeds, else what the model leaves; None: nothing estimates the noise
    per_axis: tuple[ErrorTerm | None, ...]  # of the seeds on one axis alone
    pooled: ErrorTerm | None  # the same over all axes, of a grid
    separate: bool  # whether it is a fraction, whose model has the terms that it can separate
    replicated: bool  # whether `noise` is replication
    unfitted: ErrorTerm | None  # all that the model leaves, replication included
    assumes_two_way: bool  # the estimates or their errors hold only if no three axes interact
    # Per axis, of each two-way term outside the model the share that is confounded with the axis's effect.
    aliases: tuple[tuple[tuple[Pair, float], ...], ...]


def is_complete(layout: Layout) -> bool:
    """Whether every combination of the levels that finished anywhere finished with every seed."""
    return len(layout.levels) == prod(map(len, layout.names)) * layout.number_of_seeds


@lru_cache(maxsize=8)
def factorial(layout: Layout, separate: bool) -> Prepared:
    """A grid, whole or with gaps; with `separate`, a fraction of one, whose terms are those it can separate."""
    all_pairs = linear.pairs(layout)
    terms = separable(layout) if separate else all_pairs
    model, places = linear.factorial(layout, terms)
    comparisons: list[tuple[Comparison, ...]] = []
    for axis, names in enumerate(layout.names):
        chosen = list(combinations(range(len(names)), 2))
        if not chosen:
            comparisons.append(())
            continue
        coding = linear.sum_coding(np.arange(len(names)), len(names))
        contrasts = np.zeros((len(chosen), model.shape[1]))
        for row, (a, b) in enumerate(chosen):
            contrasts[row, places[axis]] = coding[a] - coding[b]
        found = linear.weights_of(model, contrasts)
        comparisons.append(
            tuple(_comparison(layout, Levels(axis, a, b), w) for (a, b), w in zip(chosen, found, strict=True))
        )
    replicated = _usable(linear.replication(layout)) if layout.number_of_seeds > 1 else None
    unfitted = _usable(linear.lack_of_fit(layout, model))
    lack = None if separate and unfitted is not None and unfitted.df < FEW else unfitted
    per_axis: list[ErrorTerm | None] = [None] * len(layout.axes)
    pooled = None
    if replicated is not None:
        of_axes = [axis for axis, names in enumerate(layout.names) if len(names) > 1]
        default = linear.seed_by_axis(layout, of_axes) if of_axes else None
        if not separate and default is not None and default.df >= FEW:
            pooled = default
        for axis in of_axes:
            per_axis[axis] = _usable(linear.seed_by_axis(layout, [axis]))
    return Prepared(
        comparisons=tuple(comparisons),
        family="tukey",
        terms=tuple(terms),
        model=model,
        noise=replicated or lack,
        per_axis=tuple(per_axis),
        pooled=pooled,
        separate=separate,
        replicated=replicated is not None,
        unfitted=unfitted,
        assumes_two_way=len(all_pairs) > 1 and not separate and (replicated is None or not is_complete(layout)),
        aliases=tuple(_aliases(layout, model, place, axis, terms) for axis, place in enumerate(places)),
    )


def separable(layout: Layout) -> list[Pair]:
    """The two-way terms that can be separated from the main effects and from every other two-way term."""
    return fraction.separable([len(names) for names in layout.names], list(dict.fromkeys(layout.levels)))


@lru_cache(maxsize=8)
def one_at_a_time(layout: Layout, baseline: tuple[int, ...], blocked: bool) -> Prepared:
    """Each variant against the baseline: within seeds, or (not blocked) where the baseline has seeds of its own."""
    cells = layout.cells
    model = linear.indicators(cells)
    if blocked:
        model = np.hstack([model, linear.sum_coding(layout.seed_codes, layout.number_of_seeds)])
    base = layout.levels.index(baseline) if baseline in layout.levels else None
    comparisons: list[tuple[Comparison, ...]] = []
    per_axis: list[ErrorTerm | None] = []
    for axis, names in enumerate(layout.names):
        found = []
        for level in range(len(names)):
            variant = (*baseline[:axis], level, *baseline[axis + 1 :])
            if level == baseline[axis] or variant not in layout.levels:
                continue
            weights = None
            if base is not None:
                contrast = np.zeros((1, model.shape[1]))
                contrast[0, cells[layout.levels.index(variant)]] += 1
                contrast[0, cells[base]] -= 1
                weights = linear.weights_of(model, contrast)[0]
            found.append(_described(layout, Levels(axis, level, baseline[axis]), weights, False))
        comparisons.append(tuple(found))
        of_axis = np.array([all(c == b for i, (c, b) in enumerate(zip(levels, baseline, strict=True)) if i != axis)
                            for levels in layout.levels])  # fmt: skip
        part = layout.rows(of_axis)
        own = _usable(linear.replication(part, blocked)) if part.number_of_seeds > 1 else None
        per_axis.append(own and _within(own, np.flatnonzero(of_axis)))
    error = _usable(linear.replication(layout, blocked)) if layout.number_of_seeds > 1 else None
    no_aliases: tuple[tuple[tuple[Pair, float], ...], ...] = ((),) * len(layout.axes)
    return Prepared(
        comparisons=tuple(comparisons), family="dunnett", terms=(), model=None, noise=error, per_axis=tuple(per_axis),
        pooled=None, separate=False, replicated=error is not None, unfitted=None, assumes_two_way=False,
        aliases=no_aliases,
    )  # fmt: skip


def baseline_of(cells: list[tuple[str, ...]], preferred: tuple[str | None, ...]) -> tuple[str, ...] | None:
    """The cell that each other one differs from on a single axis; of several, the preferred, else the first planned.

    `preferred` has None where the plan names no baseline, as for the value of a single setting.
    """
    unique = list(dict.fromkeys(cells))
    centres = [
        cell for cell in unique
        if all(sum(a != b for a, b in zip(cell, other, strict=True)) <= 1 for other in unique)
    ]  # fmt: skip
    matching = [c for c in centres if all(p is None or p == level for p, level in zip(preferred, c, strict=True))]
    return next(iter(matching or centres), None)


def _usable(term: ErrorTerm) -> ErrorTerm | None:
    return term if term.df > 0.99 else None


def _within(term: ErrorTerm, rows: Ints) -> ErrorTerm:
    return ErrorTerm(term.name, term.basis, term.residual, term.cells, rows, term.scale, term.df)


def _comparison(layout: Layout, of: Levels, weights: Floats | None) -> Comparison:
    """A contrast of a factorial design; over the combinations finished at both levels if that is all there is."""
    axis, a, b = of.axis, of.level, of.other
    places: dict[int, set[tuple[int, ...]]] = defaultdict(set)
    for levels in layout.levels:
        places[levels[axis]].add((*levels[:axis], *levels[axis + 1 :]))
    common = places[a] & places[b]
    restricted = weights is None
    if weights is None and common:
        keep = np.array([levels[axis] in (a, b) and (*levels[:axis], *levels[axis + 1 :]) in common
                         for levels in layout.levels])  # fmt: skip
        part = layout.rows(keep)
        model = np.hstack([linear.indicators(part.cells), linear.sum_coding(part.seed_codes, part.number_of_seeds)])
        contrast = np.zeros((1, model.shape[1]))
        for levels, cell in zip(part.levels, part.cells, strict=True):
            contrast[0, cell] = (1 if levels[axis] == a else -1) / len(common)
        found = linear.weights_of(model, contrast)[0]
        if found is not None:
            weights = np.zeros(len(layout.levels))
            weights[keep] = found
    return _described(layout, of, weights, restricted)


def _described(layout: Layout, of: Levels, weights: Floats | None, common_only: bool) -> Comparison:
    axis, level, other = of.axis, of.level, of.other
    at: dict[int, dict[tuple[tuple[int, ...], int], int]] = defaultdict(dict)
    for levels, seed, unit in zip(layout.levels, layout.seeds, layout.units, strict=True):
        at[levels[axis]][(*levels[:axis], *levels[axis + 1 :]), seed] = unit
    both = at[level].keys() & at[other].keys()
    pairs = {(at[level][place], at[other][place]) for place in both}
    variance = 0.0 if weights is None else linear.variance_of(layout, weights)
    return Comparison(
        axis, level, other, weights, variance if variance > 1e-12 else 0.0, sum(a != b for a, b in pairs),
        len({place for place, _ in both}), len({seed for _, seed in both}), common_only,
    )  # fmt: skip


def _aliases(
    layout: Layout, model: Floats, place: slice, axis: int, terms: Sequence[Pair]
) -> tuple[tuple[Pair, float], ...]:
    """How far the axis's effect is confounded with each two-way term outside the model, the largest first: 1 is fully.

    As the plan reckons it (design.fraction.aliases), but for the runs that finished and the model that is fitted.
    """
    size = len(layout.names[axis])
    effects = np.zeros((size, model.shape[1]))
    effects[:, place] = linear.sum_coding(np.arange(size), size)
    weights = linear.weights_of(model, effects) if size > 1 else []
    if not weights or any(w is None for w in weights):
        return ()
    found = []
    for pair in linear.pairs(layout):
        if pair not in terms:
            a, b = (fraction.contrasts(len(layout.names[i]))[layout.codes[:, i]] for i in pair)
            bias = np.array(weights) @ (a[:, :, None] * b[:, None, :]).reshape(len(a), -1)
            share = float(np.linalg.norm(bias, 2) / np.sqrt(size)) if bias.size else 0.0
            if share >= fraction.LITTLE:
                found.append((pair, round(share, 2)))
    return tuple(sorted(found, key=lambda item: -item[1]))

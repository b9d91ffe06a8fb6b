"""What a design can compare: each axis's contrasts as weighted sums of runs, and the error terms that judge them.

Grid: average over all combinations, from main effects and two-way interactions, seeds as blocks. One at a time:
each variant against the baseline. Cumulative: each against the combination before it. Fractional: main effects and
those two-way terms that the design separates.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, product
from math import prod

import numpy as np

from ablate.design import fraction
from ablate.report.stats import linear
from ablate.report.stats.layout import Floats, Layout
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
    return len(layout.levels) == layout.number_of_places * layout.number_of_seeds


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
        contrasts = np.zeros((len(chosen), model.shape[1]))
        for row, (a, b) in enumerate(chosen):
            contrasts[row] = _coefficients(layout, Levels(axis, a, b), terms, model.shape[1])
        found = linear.weights_of(model, contrasts)
        if len(layout.factors[layout.factor_of(axis)]) > 1:
            of_cells = _over_cells(layout, [Levels(axis, a, b) for a, b in chosen])
            found = [model if own is None else own for own, model in zip(of_cells, found, strict=True)]
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
            per_axis[axis] = _of_seeds(layout, axis)
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
        assumes_two_way=_more_than_two_way(layout) and not separate and (replicated is None or not is_complete(layout)),
        aliases=tuple(_aliases(layout, model, place, axis, terms) for axis, place in enumerate(places)),
    )


def _coefficients(layout: Layout, of: Levels, terms: Sequence[Pair], width: int) -> Floats:
    """(width) the coefficients in the model of a difference of two levels, averaged over all else.

    NaN, which no model determines, where the two share no combination of the other axes of their factor.
    """
    factor = layout.factor_of(of.axis)
    axes, row = layout.factors[factor], np.zeros(width)
    weights = layout.difference(of.axis, of.level, of.other)
    codes = np.array(layout.places[factor], dtype=np.int64)
    coded = {axis: layout.codings[axis][codes[:, i]] for i, axis in enumerate(axes)}
    at = 1
    for axis, coding in enumerate(layout.codings):
        if axis in coded:
            row[at : at + coding.shape[1]] = weights @ coded[axis]
        at += coding.shape[1]
    for a, b in terms:
        size = layout.codings[a].shape[1] * layout.codings[b].shape[1]
        if a in coded and b in coded:  # of other factors the mean over all combinations is zero
            row[at : at + size] = weights @ (coded[a][:, :, None] * coded[b][:, None, :]).reshape(len(codes), -1)
        at += size
    return row


def _over_cells(layout: Layout, chosen: Sequence[Levels]) -> list[Floats | None]:
    """The weights of differences that are means over combinations which all finished; None for any other.

    A factor of several axes may have more combinations than main effects and interactions of two axes can tell apart,
    and a difference at some of them would rest on that.
    """
    factor = layout.factor_of(chosen[0].axis)
    others = [range(len(places)) for number, places in enumerate(layout.places) if number != factor]
    number = dict(zip(map(tuple, layout.factor_codes.tolist()), layout.cells.tolist(), strict=True))
    model = np.hstack([linear.indicators(layout.cells), linear.sum_coding(layout.seed_codes, layout.number_of_seeds)])
    rows = np.zeros((len(chosen), model.shape[1]))
    for row, of in zip(rows, chosen, strict=True):
        shares = layout.difference(of.axis, of.level, of.other)
        for rest in product(*others):
            for code in np.flatnonzero(shares):
                cell = number.get((*rest[:factor], int(code), *rest[factor:]))
                if cell is None:
                    row[:] = np.nan
                else:
                    row[cell] += shares[code] / prod(map(len, others))
    return linear.weights_of(model, rows)


def _of_seeds(layout: Layout, axis: int) -> ErrorTerm | None:
    """The seeds on one axis alone, where that is compared."""
    inside = layout.inside([axis])
    part = layout.rows(inside)
    if part.number_of_seeds < 2:
        return None
    return _usable(linear.of_rows(linear.seed_by_axis(part, [axis]), np.flatnonzero(inside)))


def _more_than_two_way(layout: Layout) -> bool:
    """Whether combinations may differ by more than main effects and interactions of two axes."""
    for axes, places in zip(layout.factors, layout.places, strict=True):
        own = sum(layout.codings[axis].shape[1] for axis in axes)
        own += sum(layout.codings[a].shape[1] * layout.codings[b].shape[1]
                   for a, b in linear.within_factors(layout) if a in axes)  # fmt: skip
        if own < len(places) - 1:
            return True
    return len(layout.factors) > 2


def separable(layout: Layout) -> list[Pair]:
    """The two-way terms that can be separated from the main effects and from every other two-way term.

    A fraction is one of factors, of which it has every combination of the levels.
    """
    rows = [tuple(row) for row in layout.factor_codes.tolist()]
    apart = fraction.separable([len(places) for places in layout.places], list(dict.fromkeys(rows)))
    of = [layout.factor_of(axis) for axis in range(len(layout.axes))]
    return [(a, b) for a, b in linear.pairs(layout) if of[a] == of[b] or tuple(sorted((of[a], of[b]))) in apart]


@lru_cache(maxsize=8)
def around(layout: Layout, references: tuple[tuple[int, ...], ...], blocked: bool) -> Prepared:
    """Each level of a factor against the combination that it was varied around: within seeds, or (not blocked) where
    that has seeds of its own. references: of each factor, the levels of all axes there."""
    cells = layout.cells
    of_levels: dict[tuple[int, ...], int] = {}
    for levels, cell in zip(layout.levels, cells, strict=True):
        of_levels.setdefault(levels, int(cell))
    model = linear.indicators(cells)
    if blocked:
        model = np.hstack([model, linear.sum_coding(layout.seed_codes, layout.number_of_seeds)])
    comparisons: list[tuple[Comparison, ...]] = []
    per_axis: list[ErrorTerm | None] = []
    for axis, names in enumerate(layout.names):
        factor = layout.factor_of(axis)
        reference = references[factor]
        varied = [_replaced(reference, layout.factors[factor], place) for place in layout.places[factor]]
        ran = {code for code, levels in enumerate(varied) if levels in of_levels}
        own = layout.factors[factor].index(axis)
        there = {layout.places[factor][code][own] for code in ran} - {-1}
        base = reference[axis]
        # A nested axis that the reference does not read has its levels compared with each other.
        if base >= 0:
            chosen = [(level, base) for level in range(len(names)) if level != base and level in there]
        else:
            nested = any(axis in below for below in layout.below)
            chosen = list(combinations(sorted(there), 2)) if nested else []  # no run of the reference's level finished
        found = []
        for level, other in chosen:
            weights = None
            shares = layout.difference(axis, level, other, ran)
            if not np.isnan(shares).any():
                contrast = np.zeros((1, model.shape[1]))
                for code in np.flatnonzero(shares):
                    contrast[0, of_levels[varied[code]]] += shares[code]
                weights = linear.weights_of(model, contrast)[0]
            found.append(_described(layout, Levels(axis, level, other), weights, False))
        comparisons.append(tuple(found))
        ours = set(varied)
        of_axis = np.array([levels in ours and levels[axis] >= 0 for levels in layout.levels], dtype=bool)
        part = layout.rows(of_axis)
        own_noise = _usable(linear.replication(part, blocked)) if part.number_of_seeds > 1 else None
        per_axis.append(own_noise and linear.of_rows(own_noise, np.flatnonzero(of_axis)))
    error = _usable(linear.replication(layout, blocked)) if layout.number_of_seeds > 1 else None
    no_aliases: tuple[tuple[tuple[Pair, float], ...], ...] = ((),) * len(layout.axes)
    return Prepared(
        comparisons=tuple(comparisons), family="dunnett", terms=(), model=None, noise=error, per_axis=tuple(per_axis),
        pooled=None, separate=False, replicated=error is not None, unfitted=None, assumes_two_way=False,
        aliases=no_aliases,
    )  # fmt: skip


def _replaced(levels: tuple[int, ...], axes: Sequence[int], place: Sequence[int]) -> tuple[int, ...]:
    """A combination with other levels of some axes."""
    changed = dict(zip(axes, place, strict=True))
    return tuple(changed.get(axis, level) for axis, level in enumerate(levels))


def _usable(term: ErrorTerm) -> ErrorTerm | None:
    return term if term.df > 0.99 else None


def _comparison(layout: Layout, of: Levels, weights: Floats | None) -> Comparison:
    """A contrast of a factorial design; over the combinations finished at both levels if that is all there is."""
    restricted = weights is None
    if weights is None and (common := _common(layout, of)):
        keep = np.array([levels in common for levels in layout.levels])
        part = layout.rows(keep)
        model = np.hstack([linear.indicators(part.cells), linear.sum_coding(part.seed_codes, part.number_of_seeds)])
        contrast = np.zeros((1, model.shape[1]))
        for levels, cell in zip(part.levels, part.cells, strict=True):
            contrast[0, cell] = common[levels]
        found = linear.weights_of(model, contrast)[0]
        if found is not None:
            weights = np.zeros(len(layout.levels))
            weights[keep] = found
    return _described(layout, of, weights, restricted)


def _common(layout: Layout, of: Levels) -> dict[tuple[int, ...], float]:
    """{combination: its weight} in the difference of two levels over those of the other factors where all finished."""
    factor = layout.factor_of(of.axis)
    axes, places = layout.factors[factor], layout.places[factor]
    shares = layout.difference(of.axis, of.level, of.other)
    if np.isnan(shares).any():
        return {}
    used = [int(code) for code in np.flatnonzero(shares)]
    finished = set(layout.levels)
    elsewhere = list(dict.fromkeys(_replaced(levels, axes, (-1,) * len(axes)) for levels in layout.levels))
    whole = [
        cells for rest in elsewhere
        if finished.issuperset(cells := [_replaced(rest, axes, places[code]) for code in used])
    ]  # fmt: skip
    return {cell: float(shares[code]) / len(whole) for cells in whole for code, cell in zip(used, cells, strict=True)}


def _described(layout: Layout, of: Levels, weights: Floats | None, common_only: bool) -> Comparison:
    axis, level, other = of.axis, of.level, of.other
    own = {axis, *layout.below[axis]}
    at: dict[int, dict[tuple[tuple[int, ...], int], set[int]]] = defaultdict(lambda: defaultdict(set))
    for levels, seed, unit in zip(layout.levels, layout.seeds, layout.units, strict=True):
        place = tuple(code for i, code in enumerate(levels) if i not in own)
        at[levels[axis]][place, seed].add(unit)
    both = at[level].keys() & at[other].keys()
    pairs = {(frozenset(at[level][place]), frozenset(at[other][place])) for place in both}
    variance = 0.0 if weights is None else linear.variance_of(layout, weights)
    return Comparison(
        axis, level, other, weights, variance if variance > 1e-12 else 0.0, sum(a != b for a, b in pairs),
        len({place for place, _ in both}), len({seed for _, seed in both}), common_only,
    )  # fmt: skip


def _aliases(
    layout: Layout, model: Floats, place: slice, axis: int, terms: Sequence[Pair]
) -> tuple[tuple[Pair, float], ...]:
    """How far the axis's effect is confounded with each two-way term outside the model, the largest first: 1 is fully.

    As the plan reckons it (design.fraction.aliases), but for the runs that finished and the model that is fitted. Of
    factors of several axes, the outermost one stands for all.
    """
    size = len(layout.names[axis])
    effects = np.zeros((size, model.shape[1]))
    effects[:, place] = layout.codings[axis][:size]
    weights = linear.weights_of(model, effects) if size > 1 else []
    if not weights or any(w is None for w in weights):
        return ()
    found = []
    in_model = {(layout.factor_of(a), layout.factor_of(b)) for a, b in terms}
    for pair in combinations(range(len(layout.factors)), 2):
        if pair not in in_model:
            a, b = (fraction.contrasts(len(layout.places[i]))[layout.factor_codes[:, i]] for i in pair)
            bias = np.array(weights) @ (a[:, :, None] * b[:, None, :]).reshape(len(a), -1)
            share = float(np.linalg.norm(bias, 2) / np.sqrt(size)) if bias.size else 0.0
            if share >= fraction.LITTLE:
                outermost = (layout.factors[pair[0]][0], layout.factors[pair[1]][0])
                found.append((outermost, round(share, 2)))
    return tuple(sorted(found, key=lambda item: -item[1]))

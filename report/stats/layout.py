"""The place of each finished run in a study: levels, cell, seed, and which of them are one and the same run.

A layout says nothing of what was measured, so what is derived from it (models, error terms) is derived once.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from ablate.records.metrics import METRICS
from ablate.report.study.compared import Compared, Nested, compared, shared, with_columns

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Layout:
    """One row per finished run and place: its level on each axis, its seed, its weights, all as numbers.

    levels: (n, axes) of codes into `names`, -1 where a nested axis is not compared; seeds: (n); units: (n), rows with
    equal weights share a number. Tuples throughout, so that a layout is its own key in a cache.
    """

    compared: tuple[Compared, ...]  # the axes; a nested one is several, one in each level that it is nested in
    names: tuple[tuple[str, ...], ...]  # per axis, the levels that have a finished run, in the plan's order
    levels: tuple[tuple[int, ...], ...]
    seeds: tuple[int, ...]
    units: tuple[int, ...]
    factors: tuple[tuple[int, ...], ...]  # axes by number; those that are nested in each other are one, parents first
    places: tuple[tuple[tuple[int, ...], ...], ...]  # per factor, its planned combinations of levels that finished
    settings: tuple[tuple[tuple[str, ...], ...], ...]  # per factor and combination, the levels of all its axes
    below: tuple[tuple[int, ...], ...]  # per axis, those that are nested in its levels

    @cached_property
    def axes(self) -> tuple[str, ...]:
        """The names of what is compared."""
        return tuple(one.name for one in self.compared)

    @cached_property
    def codes(self) -> Ints:
        return np.array(self.levels, dtype=np.int64).reshape(len(self.levels), len(self.axes))

    @cached_property
    def cells(self) -> Ints:
        """(n) number of each row's combination of levels, in order of appearance."""
        seen: dict[tuple[int, ...], int] = {}
        return np.array([seen.setdefault(levels, len(seen)) for levels in self.levels], dtype=np.int64)

    @cached_property
    def seed_codes(self) -> Ints:
        return np.unique(np.array(self.seeds, dtype=np.int64), return_inverse=True)[1]

    @cached_property
    def of_units(self) -> sparse.csr_matrix:
        """(n, distinct runs) of ones: Z, which hands each distinct run's noise to every row that it serves."""
        columns = np.unique(np.array(self.units), return_inverse=True)[1]
        return sparse.csr_matrix((np.ones(len(columns)), (np.arange(len(columns)), columns)))

    @cached_property
    def factor_codes(self) -> Ints:
        """(n, factors) of codes into `places`."""
        at = [{place: code for code, place in enumerate(places)} for places in self.places]
        rows = [[found[tuple(levels[a] for a in axes)] for axes, found in zip(self.factors, at, strict=True)]
                for levels in self.levels]  # fmt: skip
        return np.array(rows, dtype=np.int64).reshape(len(self.levels), len(self.factors))

    @cached_property
    def codings(self) -> tuple[Floats, ...]:
        """Per axis, (L + 1, L - 1): sum coding of its levels, and of rows where it is not compared as the last (-1).

        Centred over the combinations of the factor, so that the effects of other factors average over these.
        """
        found = []
        for axis, names in enumerate(self.names):
            width = max(0, len(names) - 1)
            coding = np.vstack([np.eye(width), -np.ones((min(1, len(names)), width)), np.zeros((1, width))])
            factor = self.factor_of(axis)
            at = self.factors[factor].index(axis)
            codes = [place[at] for place in self.places[factor]]
            found.append(coding - coding[codes].mean(axis=0) if codes else coding)
        return tuple(found)

    def factor_of(self, axis: int) -> int:
        """The number of the factor that an axis is part of."""
        return next(number for number, axes in enumerate(self.factors) if axis in axes)

    @property
    def number_of_places(self) -> int:
        """Combinations of the whole grid of the levels that finished."""
        return prod(map(len, self.places))

    def codes_of(self, levels: Mapping[str, str]) -> tuple[int, ...] | None:
        """A combination {axis: level} as codes; None where a level that is compared there has no finished run."""
        there = [(levels[one.axis], one.levels, names) for one, names in zip(self.compared, self.names, strict=True)
                 if one.holds(levels)]  # fmt: skip
        if not self.levels or any(level in planned and level not in names for level, planned, names in there):
            return None
        return self.at(levels)

    def at(self, levels: Mapping[str, str]) -> tuple[int, ...]:
        """A combination {axis: level} as codes; -1 for what is not compared there and for unfinished levels."""
        return tuple(
            names.index(levels[one.axis]) if one.holds(levels) and levels[one.axis] in names else -1
            for one, names in zip(self.compared, self.names, strict=True)
        )

    def inside(self, axes: Sequence[int]) -> "NDArray[np.bool_]":
        """(n) whether all of some axes are compared in a row."""
        return np.asarray((self.codes[:, list(axes)] >= 0).all(axis=1))

    def difference(self, axis: int, level: int, other: int, at: Collection[int] | None = None) -> Floats:
        """(combinations of the axis's factor): the weights of each in the difference of two levels, or NaN for none.

        A level is the mean over what is nested in it (or over what is nested in both, see compared.shared), and over
        the other axes of its factor where both levels are there; each axis's levels count the same, from the outermost
        on. at: the combinations that may be used.
        """
        factor = self.factor_of(axis)
        axes, places = self.factors[factor], self.places[factor]
        own = axes.index(axis)
        rest = [i for i, number in enumerate(axes) if i != own and number not in self.below[axis]]
        by_level = [
            [code for code, place in enumerate(places) if place[own] == one and (at is None or code in at)]
            for one in (level, other)
        ]
        both = set.intersection(*({tuple(places[code][i] for i in rest) for code in codes} for codes in by_level))
        by_level = [[code for code in codes if tuple(places[code][i] for i in rest) in both] for codes in by_level]
        if (same := self.same_settings(axis, by_level)) is not None:
            by_level = [[code for code in codes if self._nested_at(axis, code) in same] for codes in by_level]
        weights = np.zeros(len(places))
        order = [i for i in range(len(axes)) if i != own]
        for codes, sign in zip(by_level, (1.0, -1.0), strict=True):
            for code, weight in _evenly(places, codes, order):
                weights[code] = sign * weight
        return weights if both else np.full(len(places), np.nan)

    def same_settings(self, axis: int, by_level: Sequence[Sequence[int]]) -> set[Any] | None:
        """What is nested in all of some levels of an axis, given by their combinations; None where each has its own."""
        if not self.below[axis]:
            return None
        return shared([{self._nested_at(axis, code) for code in codes} for codes in by_level])

    def _nested_at(self, axis: int, code: int) -> tuple[str, ...]:
        """The levels of a combination but for the axis's own."""
        factor = self.factor_of(axis)
        names = dict.fromkeys(self.compared[i].axis for i in self.factors[factor])
        levels = zip(names, self.settings[factor][code], strict=True)
        return tuple(level for name, level in levels if name != self.compared[axis].axis)

    def is_matched(self, axis: int) -> bool:
        """Whether all levels of an axis are compared where the same is nested in them."""
        factor = self.factor_of(axis)
        own = self.factors[factor].index(axis)
        codes = range(len(self.places[factor]))
        by_level = [
            [code for code in codes if self.places[factor][code][own] == level]
            for level in range(len(self.names[axis]))
        ]
        return len(by_level) > 1 and self.same_settings(axis, by_level) is not None

    @property
    def number_of_seeds(self) -> int:
        return len(set(self.seeds))

    @cached_property
    def number_of_experiments(self) -> int:
        """Cells, without those whose runs are another one's."""
        first: dict[tuple[int, ...], int] = {}
        for levels, unit in zip(self.levels, self.units, strict=True):
            first[levels] = min(unit, first.get(levels, unit))
        return len(set(first.values()))

    def rows(self, keep: NDArray[np.bool_]) -> "Layout":
        """The layout of some rows; the levels keep their codes."""
        chosen = np.flatnonzero(keep)
        return replace(
            self,
            levels=tuple(self.levels[i] for i in chosen),
            seeds=tuple(self.seeds[i] for i in chosen),
            units=tuple(self.units[i] for i in chosen),
        )


def _evenly(
    places: Sequence[tuple[int, ...]], codes: Sequence[int], order: Sequence[int]
) -> Iterator[tuple[int, float]]:
    """(code, weight) of some combinations: the levels of each axis of `order` share the weight of those before."""
    if not order:
        yield from ((code, 1 / len(codes)) for code in codes)
        return
    groups: dict[int, list[int]] = {}
    for code in codes:
        groups.setdefault(places[code][order[0]], []).append(code)
    for of_level in groups.values():
        yield from ((code, weight / len(groups)) for code, weight in _evenly(places, of_level, order[1:]))


def layout_of(
    runs: pd.DataFrame, axes: Mapping[str, Sequence[str]], metric: str, nested: Nested | None = None
) -> tuple[Layout, Floats]:
    """The layout of the runs that finished, and what they measured, in the metric's unit.

    `runs` is gather's table: one row per planned place with the axes, seed, signature, state, weights_sha256 and
    the metrics. A run whose metric is missing or not finite is left out. Runs with the same weights are one, but for
    a metric of the clock, of which each training has its own.
    """
    found = compared(runs, axes, nested or {})
    runs = with_columns(runs, found)
    if metric not in runs:
        return _empty(found), np.zeros(0)
    values = runs[metric].to_numpy(dtype=np.float64)
    keep = (runs["state"].to_numpy() == "DONE") & np.isfinite(values)
    columns = [runs[one.name].to_numpy()[keep].tolist() for one in found]
    names = tuple(
        tuple(level for level in one.levels if level in present)
        for one, present in zip(found, map(set, columns), strict=True)
    )
    codes = [_codes(column, of_axis) for column, of_axis in zip(columns, names, strict=True)]
    seen: dict[Any, int] = {}
    signatures = runs["signature"].to_numpy()[keep].tolist()
    weights = signatures
    if METRICS[metric].of_weights and "weights_sha256" in runs:
        weights = runs["weights_sha256"].to_numpy()[keep].tolist()
    identity = [w if isinstance(w, str) else s for w, s in zip(weights, signatures, strict=True)]
    factors = _factors(found)
    places = [_places(runs, [found[axis] for axis in axes], [names[axis] for axis in axes]) for axes in factors]
    layout = Layout(
        compared=tuple(found),
        names=names,
        levels=tuple(zip(*codes, strict=True)) if codes else ((),) * int(keep.sum()),
        seeds=tuple(int(seed) for seed in runs["seed"].to_numpy()[keep]),
        units=tuple(seen.setdefault(of_weights, len(seen)) for of_weights in identity),
        factors=factors,
        places=tuple(tuple(of_factor) for of_factor in places),
        settings=tuple(tuple(of_factor.values()) for of_factor in places),
        below=tuple(tuple(i for i, other in enumerate(found) if one.nests(other)) for one in found),
    )
    return layout, METRICS[metric].scale * values[keep]


def _codes(column: Sequence[Any], names: Sequence[str]) -> list[int]:
    """Of each level its place among the names; -1 where there is none, as a nested axis is not compared there."""
    place = {name: code for code, name in enumerate(names)}
    return [place.get(level, -1) for level in column]


def _factors(found: Sequence[Compared]) -> tuple[tuple[int, ...], ...]:
    """The comparisons of axes that are nested in each other together, parents first; any other alone."""
    factor: dict[str, set[str]] = {one.axis: {one.axis} for one in found}
    for one in found:
        joined = set.union(*(factor.get(axis, {axis}) for axis in (one.axis, *dict(one.within))))
        factor |= dict.fromkeys(joined, joined)
    together: dict[int, list[int]] = {}
    for number, one in enumerate(found):
        together.setdefault(id(factor[one.axis]), []).append(number)
    return tuple(tuple(sorted(numbers, key=lambda i: len(found[i].within))) for numbers in together.values())


def _places(
    runs: pd.DataFrame, axes: Sequence[Compared], names: Sequence[Sequence[str]]
) -> dict[tuple[int, ...], tuple[str, ...]]:
    """{planned combination of a factor's levels, as codes: the levels of all its axes}, without those of which a level
    has no finished run."""
    if len(axes) == 1 and not axes[0].within:
        return {(code,): (name,) for code, name in enumerate(names[0])}
    own = list(dict.fromkeys(one.axis for one in axes))
    planned = runs.drop_duplicates(own)
    columns = [planned[one.name].tolist() for one in axes]
    codes = zip(*(_codes(column, of_axis) for column, of_axis in zip(columns, names, strict=True)), strict=True)
    levels = zip(*(planned[axis].tolist() for axis in own), strict=True)
    found = {
        place: settings
        for compared_at, place, settings in zip(zip(*columns, strict=True), codes, levels, strict=True)
        if all(code >= 0 or not isinstance(level, str) for level, code in zip(compared_at, place, strict=True))
    }
    return dict(sorted(found.items()))


def _empty(found: Sequence[Compared]) -> Layout:
    factors = _factors(found)
    return Layout(
        compared=tuple(found),
        names=tuple(() for _ in found),
        levels=(),
        seeds=(),
        units=(),
        factors=factors,
        places=tuple(() for _ in factors),
        settings=tuple(() for _ in factors),
        below=tuple(() for _ in found),
    )

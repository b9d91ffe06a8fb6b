"""Designs: which combinations of the levels a study holds.

A design combines factors. A factor is an axis, axes that move together, or an axis with those that only some of its
levels have; each of its choices is a bundle of words. A combination is the list of its words.
"""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ablate.design import fraction

Bundle = tuple[str, ...]  # words of one choice, as ("optimizer=sgd", "optimizer.momentum=0.9")
Fits = Callable[[Sequence[str]], bool]


@dataclass(frozen=True)
class Factor:
    """What a design varies as one; with a single choice, what all combinations share."""

    name: str
    choices: tuple[Bundle, ...]
    baseline: Bundle = ()  # its words in the baseline; empty where the configuration's own default is meant

    @property
    def varies(self) -> bool:
        return len(self.choices) > 1


def grid(factors: Sequence[Factor]) -> list[list[str]]:
    """Every combination: estimates all main effects and all interactions."""
    return [_joined(bundles) for bundles in itertools.product(*(factor.choices for factor in factors))]


def one_at_a_time(factors: Sequence[Factor]) -> list[list[str]]:
    """The baseline, then each factor varied alone; no interaction."""
    fixed, varied = _fixed(factors), [factor for factor in factors if factor.varies]
    # Named too, else a run's words given again would vary the axes of its preset that they leave out.
    rest = {factor.name: factor.baseline for factor in varied if factor.baseline}
    cells = [[*fixed, *_joined(rest.values())]]
    for factor in varied:
        cells += [[*fixed, *_joined((rest | {factor.name: choice}).values())] for choice in factor.choices]
    return cells


def cumulative(factors: Sequence[Factor]) -> list[list[str]]:
    """The baseline, then one factor after the other at its other choices, of which the last one stays."""
    fixed, varied = _fixed(factors), [factor for factor in factors if factor.varies]
    place = {factor.name: factor.baseline for factor in varied}
    cells = [[*fixed, *_joined(place.values())]]
    for factor in varied:
        for choice in factor.choices:
            if choice != factor.baseline:
                place[factor.name] = choice
                cells.append([*fixed, *_joined(place.values())])
    return cells


def fractional(
    factors: Sequence[Factor], earlier: Sequence[fraction.Row], fits: Fits, wanted: int | None
) -> list[list[str]]:
    """A fraction of the grid that estimates every main effect.

    Combinations that a study has from `earlier` are in it: a fraction is added to, never redrawn. Raises ValueError
    when no combinations that fit can estimate some main effect.
    """
    varied = [factor for factor in factors if factor.varies]
    if not varied:
        return grid(factors)
    sizes = [len(factor.choices) for factor in varied]
    rows = fraction.choose(sizes, earlier, lambda row: fits(words_of(factors, row)), wanted)
    if lost := fraction.not_estimable(sizes, rows):
        named = ", ".join(varied[axis].name for axis in lost)
        raise ValueError(
            f"the {len(rows)} combinations of this fraction cannot estimate the effect of {named}; leave out fewer, or "
            "give more with study.cells=N"
        )
    return [words_of(factors, row) for row in rows]


def words_of(factors: Sequence[Factor], row: fraction.Row) -> list[str]:
    """The combination of one row, which has the number of a choice for each factor that varies."""
    place = iter(row)
    return _joined(factor.choices[next(place) if factor.varies else 0] for factor in factors)


def _fixed(factors: Sequence[Factor]) -> list[str]:
    return _joined(factor.choices[0] for factor in factors if not factor.varies)


def _joined(bundles: Iterable[Bundle]) -> list[str]:
    return [word for bundle in bundles for word in bundle]


def whole_axes(
    cells: Sequence[Mapping[str, str]], axes: Mapping[str, Sequence[str]], nested: Mapping[str, Sequence[str]]
) -> tuple[list[dict[str, str]], dict[str, list[str]]]:
    """The same cells and axes with a nested axis and the axes that decide it as one, called after the first of them.

    A level of it is all the levels that its parts have, as `sgd 0.9`. Without nested axes, what was given.
    """
    top = tops(axes, nested)
    parts = {first: [axis for axis in axes if top[axis] == first] for first in dict.fromkeys(top.values())}
    levels = [{first: " ".join(cell[axis] for axis in part) for first, part in parts.items()} for cell in cells]
    merged = {
        first: list(axes[first]) if len(part) == 1 else list(dict.fromkeys(cell[first] for cell in levels))
        for first, part in parts.items()
    }
    return levels, merged


def tops(axes: Iterable[str], nested: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """{axis: the first of the axes that are one with it, as they are nested in each other}."""
    top = {axis: axis for axis in axes}
    for axis, parents in nested.items():
        joined = {top[each] for each in (axis, *parents) if each in top}
        first = next((each for each in top if each in joined), axis)
        top = {each: first if above in joined else above for each, above in top.items()}
    return top


def rows_of(cells: Sequence[Mapping[str, str]], axes: Mapping[str, Sequence[str]]) -> list[fraction.Row]:
    """The combinations {axis: level} as indices of levels, without those whose levels the axes do not have."""
    index = {axis: {level: i for i, level in enumerate(levels)} for axis, levels in axes.items()}
    found = [tuple(index[axis].get(cell.get(axis, ""), -1) for axis in axes) for cell in cells]
    return list(dict.fromkeys(row for row in found if -1 not in row))


def aliasing(cells: Sequence[Mapping[str, str]], axes: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """{axis: "clear", or {"A x B": how far its main effect is confounded with that interaction}}, the worst first."""
    names = list(axes)
    terms = fraction.aliases([len(levels) for levels in axes.values()], rows_of(cells, axes))
    return {
        axis: {
            f"{names[a]} x {names[b]}": strength
            for (a, b), strength in sorted(found.items(), key=lambda item: -item[1])
        }
        or "clear"
        for axis, found in zip(names, terms, strict=True)
    }

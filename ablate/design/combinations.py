"""Designs: which combinations of the levels a study holds.

A combination is the list of the words that name it, one word per key, in the order in which the sweep names the keys.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ablate.design import fraction

Levels = Mapping[str, Sequence[str]]  # {key: the words of its levels}
Fits = Callable[[Sequence[str]], bool]


def grid(levels: Levels) -> list[list[str]]:
    """Every combination: estimates all main effects and all interactions."""
    return [list(words) for words in itertools.product(*levels.values())]


def one_at_a_time(levels: Levels, baseline: Mapping[str, str]) -> list[list[str]]:
    """The baseline, which is the configuration's own defaults, then each axis varied alone; no interaction."""
    fixed = [words[0] for words in levels.values() if len(words) == 1]
    varied = {key: words for key, words in levels.items() if len(words) > 1}
    # Named too, else a run's words given again would vary the axes of its preset that they leave out.
    rest = {key: f"{key}={baseline[key]}" for key in varied if key in baseline}
    cells = [[*fixed, *rest.values()]]
    for key, words in varied.items():
        cells += [[*fixed, *(rest | {key: word}).values()] for word in words]
    return cells


def fractional(levels: Levels, earlier: Sequence[fraction.Row], fits: Fits, wanted: int | None) -> list[list[str]]:
    """A fraction of the grid that estimates every main effect.

    Combinations that a study has from `earlier` are in it: a fraction is added to, never redrawn. Raises ValueError
    when no combinations that fit can estimate some main effect.
    """
    varied = varied_keys(levels)
    if not varied:
        return grid(levels)
    sizes = [len(levels[key]) for key in varied]

    def words_of(row: fraction.Row) -> list[str]:
        place = dict(zip(varied, row, strict=True))
        return [words[place.get(key, 0)] for key, words in levels.items()]

    rows = fraction.choose(sizes, earlier, lambda row: fits(words_of(row)), wanted)
    if lost := fraction.not_estimable(sizes, rows):
        named = ", ".join(varied[axis] for axis in lost)
        raise ValueError(
            f"the {len(rows)} combinations of this fraction cannot estimate the effect of {named}; leave out fewer, or "
            "give more with study.cells=N"
        )
    return [words_of(row) for row in rows]


def varied_keys(levels: Levels) -> list[str]:
    return [key for key, words in levels.items() if len(words) > 1]


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

"""What a study compares: each axis, and each nested axis within every level that it is nested in.

A nested axis has levels of its own at each level of its parents: a learning rate at each optimizer. It is compared
there, as "optimizer.lr in optimizer=sgd", which is the name of a column of the runs too. A parent is compared at the
mean over its nested levels, or, where one level has none but those of another one, at the nested levels of both. Axes
that are connected so are one factor of the design, whose levels are their combinations.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

Nested = Mapping[str, Sequence[str]]  # {axis: its parents}
WITHIN = " in "


@dataclass(frozen=True)
class Compared:
    """One comparison of levels. `levels` are in the plan's order, finished or not."""

    axis: str
    levels: tuple[str, ...]
    within: tuple[tuple[str, str], ...] = ()  # (parent, level) of all that it is nested in, the outermost first

    @property
    def name(self) -> str:
        """The axis; optimizer.lr in optimizer=sgd for a nested one."""
        places = ", ".join(f"{axis}={level}" for axis, level in self.within)
        return f"{self.axis}{WITHIN}{places}" if places else self.axis

    def holds(self, levels: Mapping[str, str]) -> bool:
        """Whether a combination is one in which these levels are compared."""
        return all(levels[axis] == level for axis, level in self.within)

    def nests(self, other: "Compared") -> bool:
        """Whether the other one's axis is nested in levels of this one's."""
        return self.axis in dict(other.within) and set(self.within) <= set(other.within)


def compared(runs: pd.DataFrame, axes: Mapping[str, Sequence[str]], nested: Nested) -> list[Compared]:
    """All comparisons, in the order of the axes; `runs` has a column per axis and a row per planned run.

    A nested axis with a single level at some level of its parents has nothing to compare there.
    """
    found = []
    for axis, levels in axes.items():
        parents = [name for name in above(axis, nested) if name in axes]
        if not parents:
            found.append(Compared(axis, tuple(levels)))
            continue
        for place, rows in runs.groupby(parents, sort=False):
            present = set(rows[axis])
            own = tuple(level for level in levels if level in present)
            if len(own) > 1:
                found.append(Compared(axis, own, tuple(zip(parents, map(str, place), strict=True))))
    return found


def above(axis: str, nested: Nested) -> list[str]:
    """All axes that an axis is nested in, at any depth, the outermost first."""
    found: dict[str, None] = {}
    for parent in nested.get(axis, ()):
        found |= dict.fromkeys([*above(parent, nested), parent])
    return list(found)


def with_columns(runs: pd.DataFrame, found: Iterable[Compared]) -> pd.DataFrame:
    """The runs with a column for each comparison of a nested axis, without a value where it is not compared."""
    own = {}
    for one in found:
        if one.within:
            inside = pd.Series(True, index=runs.index)
            for axis, level in one.within:
                inside &= runs[axis] == level
            own[one.name] = runs[one.axis].where(inside & runs[one.axis].isin(one.levels), None)
    return runs.assign(**own) if own else runs


def shared(nested: Sequence[Collection[Any]]) -> set[Any] | None:
    """What is nested in every one of some levels, where one of them has nothing else; None where each has some own.

    A setting that is swept in one level alone has its one value in the others, where they are compared with it.
    """
    common = set.intersection(*map(set, nested)) if nested else set()
    return common if common and len(common) == min(len(set(one)) for one in nested) else None


def axis_of(name: str) -> str:
    """The axis of a comparison, by its name."""
    return name.partition(WITHIN)[0]

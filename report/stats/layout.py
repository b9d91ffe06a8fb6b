"""The place of each finished run in a study: levels, cell, seed, and which of them are one and the same run.

A layout says nothing of what was measured, so what is derived from it (models, error terms) is derived once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from ablate.records.metrics import METRICS

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Layout:
    """One row per finished run and place: its level on each axis, its seed, its weights, all as numbers.

    levels: (n, axes) of codes into `names`; seeds: (n); units: (n), rows with equal weights share a number.
    Tuples throughout, so that a layout is its own key in a cache.
    """

    axes: tuple[str, ...]
    names: tuple[tuple[str, ...], ...]  # per axis, the levels that have a finished run, in the plan's order
    levels: tuple[tuple[int, ...], ...]
    seeds: tuple[int, ...]
    units: tuple[int, ...]

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
        return Layout(
            self.axes,
            self.names,
            tuple(self.levels[i] for i in chosen),
            tuple(self.seeds[i] for i in chosen),
            tuple(self.units[i] for i in chosen),
        )


def layout_of(runs: pd.DataFrame, axes: Mapping[str, Sequence[str]], metric: str) -> tuple[Layout, Floats]:
    """The layout of the runs that finished, and what they measured, in the metric's unit.

    `runs` is gather's table: one row per planned place with the axes, seed, signature, state, weights_sha256 and
    the metrics. A run whose metric is missing or not finite is left out. Runs with the same weights are one, but for
    a metric of the clock, of which each training has its own.
    """
    if metric not in runs:
        return _empty(axes), np.zeros(0)
    values = runs[metric].to_numpy(dtype=np.float64)
    keep = (runs["state"].to_numpy() == "DONE") & np.isfinite(values)
    columns = [runs[axis].to_numpy()[keep].tolist() for axis in axes]
    names = tuple(
        tuple(level for level in levels if level in present)
        for levels, present in zip(axes.values(), map(set, columns), strict=True)
    )
    codes = [
        [place[level] for level in column]
        for column, place in zip(columns, ({n: i for i, n in enumerate(group)} for group in names), strict=True)
    ]
    seen: dict[Any, int] = {}
    signatures = runs["signature"].to_numpy()[keep].tolist()
    weights = signatures
    if METRICS[metric].of_weights and "weights_sha256" in runs:
        weights = runs["weights_sha256"].to_numpy()[keep].tolist()
    identity = [w if isinstance(w, str) else s for w, s in zip(weights, signatures, strict=True)]
    layout = Layout(
        axes=tuple(axes),
        names=names,
        levels=tuple(zip(*codes, strict=True)) if codes else ((),) * int(keep.sum()),
        seeds=tuple(int(seed) for seed in runs["seed"].to_numpy()[keep]),
        units=tuple(seen.setdefault(of_weights, len(seen)) for of_weights in identity),
    )
    return layout, METRICS[metric].scale * values[keep]


def _empty(axes: Mapping[str, Sequence[str]]) -> Layout:
    return Layout(tuple(axes), tuple(() for _ in axes), (), (), ())

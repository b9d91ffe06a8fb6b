"""Studies with known effects: the table of runs that gather would give, with accuracies drawn from a known truth.

Accuracies are in percentage points here and become fractions in the table, as records hold them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ablate.design import fraction
from ablate.records import study_plan
from ablate.records.files import write_json
from ablate.records.run_folder import METRIC_COLUMNS, RunFolder
from ablate.records.study_plan import Cell, StudyPlan

Floats = NDArray[np.float64]
Axes = Mapping[str, Sequence[str]]

RUN_SD = 0.3  # points from run to run
SEED_SD = 0.3  # points that all runs of a seed share
DELTA = 0.25
SAVED = ("test_accuracy", "holdout_accuracy", "best_holdout_test_accuracy")
SMALLEST = 0.3  # points: the true effect that a study should find

GRID: Axes = {"a": ["0", "1"], "b": ["0", "1"], "c": ["0", "1", "2"], "d": ["0", "1", "2"]}  # 36 cells
AROUND: Axes = {"a": ["0", "1", "2", "3"], "b": ["0", "1", "2"], "c": ["0", "1"]}
HALF: Axes = {name: ["0", "1"] for name in "abcde"}
SIXTEENTH: Axes = {name: ["0", "1"] for name in "abcdef"}

SMALL_GRID: Axes = {"a": ["0", "1", "2"], "b": ["0", "1"], "c": ["0", "1"]}
WIDE: Axes = {"a": ["0", "1", "2", "3", "4"], "b": ["0", "1", "2", "3"]}
SEVEN: Axes = {name: ["0", "1"] for name in "abcdefg"}
# The sizes of original_small's axes, whose fraction of 17 was the one that claimed too much.
UNEVEN: Axes = {
    name: [str(level) for level in range(n)] for name, n in zip("abcdefg", (3, 2, 3, 3, 2, 2, 2), strict=True)
}
CUBE: Axes = {name: ["0", "1"] for name in "abc"}

# {(axis, level): points above the axis's other levels}, or of several levels together, (axis, level, axis, level):
# points where all of them are; what is not named adds nothing.
NULL: Mapping[tuple[str, str], float] = {}
MIXED = {("a", "1"): 0.3, ("c", "2"): 0.3, ("d", "2"): 3.0}  # b is inert
MIXED_HALF = {("a", "1"): 0.3, ("d", "1"): 3.0}  # b, c and e are inert
COPIED_AROUND = {("a", "1"): 0.3, ("a", "2"): 1.0}
CROSSOVER = {("a", "1", "b", "1"): 1.0, ("a", "0", "b", "0"): 1.0}  # no effect of a or b on average
THREE_WAY = {("a", "0", "b", "0", "c", "0"): 2.0}
# Of the size that a fraction of seven axes on real networks had: from scratch, a learning rate does not do.
REAL = {("a", "1", "b", "1"): -25.0, ("a", "1", "c", "1"): 15.0, ("a", "1", "g", "1"): 12.0, ("a", "1"): -10.0,
        ("b", "1"): 3.0, ("g", "1"): 2.0}  # fmt: skip
# Interactions of the size of the noise, which a test for them often misses; d and e are inert.
MODERATE = {("a", "1"): 1.0, ("b", "1"): -0.6, ("a", "1", "b", "1"): 0.8, ("a", "1", "c", "1"): -0.8,
            ("b", "1", "c", "1"): 0.8, ("c", "1"): 0.6}  # fmt: skip
CHECKERED = {("a", a, "b", b, "c", c): 0.6 for a, b, c in ("000", "011", "101", "110")}
AT_DELTA = {("a", "1"): 0.25, ("b", "1"): 0.25, ("c", "2"): 0.25, ("d", "2"): 0.25}
MIXED_AROUND = {("a", "1"): 0.3, ("a", "2"): 1.0, ("b", "1"): -0.3}  # c is inert


@dataclass(frozen=True, eq=False)
class Scenario:
    """One kind of study, to be drawn many times."""

    name: str
    seeds: int
    truth: Mapping[tuple[str, ...], float] = field(default_factory=dict)
    # iid, heteroscedastic, t3, one axis (c) whose levels vary with the seed, neighbours that are alike, by cell: some
    # combinations scatter ten times as much as others, or real: the same, sixty times
    noise: str = "iid"
    design: str = "grid"
    axes: Axes = field(default_factory=lambda: GRID)
    # "missing": a sixth of the runs; "cells": a third of the combinations; "one cell"; "diverged": three fifths of the
    # runs at a=1, d=2; "low": those at a=1 that would have been lowest; "collapsed": one run learnt nothing
    gaps: str = ""
    copies: bool = False  # the runs at b=1 are those at b=0
    baseline_seeds: int = 0  # more than `seeds`, if the baseline has seeds of its own
    delta: float = DELTA
    wanted: int | None = None  # combinations of a fraction, fewer than the planner would take
    planned: tuple[tuple[str, ...], ...] = ()  # the combinations, the baseline first, where a planner chose them

    @property
    def plan(self) -> StudyPlan:
        axes = {axis: list(levels) for axis, levels in self.axes.items()}
        baseline = {axis: levels[0] for axis, levels in axes.items()}
        return StudyPlan(self.name, design=self.design, delta=self.delta, baseline=baseline, axes=axes)

    def cells(self) -> list[tuple[str, ...]]:
        if self.planned:
            return list(self.planned)
        names = list(self.axes)
        everything = list(product(*self.axes.values()))
        if self.design == "one_at_a_time":
            return [cell for cell in everything if sum(level != "0" for level in cell) <= 1]
        if self.design == "fractional" and (len(names) == 7 or self.wanted):  # by the planner
            sizes = [len(levels) for levels in self.axes.values()]
            rows = fraction.choose(sizes, [], lambda _: True, self.wanted)
            return [tuple(levels[i] for i, levels in zip(row, self.axes.values(), strict=True)) for row in rows]
        if self.design == "fractional" and len(names) == 5:  # resolution V: e = abcd
            return [cell for cell in everything if cell.count("1") % 2 == 0]
        if self.design == "fractional":  # resolution IV: e = abc, f = bcd
            odd = [cell for cell in everything if (cell[:3] + cell[4:5]).count("1") % 2 == 0]
            return [cell for cell in odd if (cell[1:4] + cell[5:6]).count("1") % 2 == 0]
        return everything

    @cached_property
    def template(self) -> pd.DataFrame:
        """The runs before they are drawn, as gather gives them."""
        rows = []
        for number, cell in enumerate(self.cells(), start=1):
            for seed in range(max(self.seeds, self.baseline_seeds if number == 1 else 0)):
                of_run = f"{number:06x}{seed:06x}"
                rows.append({"cell": number, **dict(zip(self.axes, cell, strict=True)), "seed": seed,
                             "signature": of_run, "state": "DONE", "weights_sha256": of_run})  # fmt: skip
        runs = pd.DataFrame(rows)
        if self.copies:
            runs["weights_sha256"] = runs["weights_sha256"].to_numpy()[self.sources]
        return runs

    @cached_property
    def means(self) -> Floats:
        """The true accuracy of each run's cell, in points."""
        return self.level * np.ones(len(self.bare)) + self._effects(self.bare)

    @property
    def level(self) -> float:
        """Of a combination in which nothing adds anything, in points."""
        return 60.0 if self.noise == "real" else 80.0

    def _effects(self, cells: pd.DataFrame) -> Floats:
        found = np.zeros(len(cells))
        for names, size in self.truth.items():
            here = np.ones(len(cells), dtype=bool)
            for axis, level in zip(names[::2], names[1::2], strict=True):
                here &= (cells[axis] == level).to_numpy()
            found += size * here
        return found

    @cached_property
    def grid(self) -> pd.DataFrame:
        """Every combination of the levels, with its true effect."""
        cells = pd.DataFrame(list(product(*self.axes.values())), columns=list(self.axes))
        return cells.assign(effect=self._effects(cells))

    def interacts(self, axes: tuple[str, ...]) -> bool:
        """Whether some axes interact in truth."""
        return any(set(axes) <= set(names[::2]) for names in self.truth)

    @cached_property
    def bare(self) -> pd.DataFrame:
        """Axes, cell and seed of each run."""
        rows = [(number, *cell, seed) for number, cell in enumerate(self.cells(), start=1)
                for seed in range(max(self.seeds, self.baseline_seeds if number == 1 else 0))]  # fmt: skip
        return pd.DataFrame(rows, columns=["cell", *self.axes, "seed"])

    @cached_property
    def sources(self) -> NDArray[np.int64]:
        """Where copies come from: for each run at b=1 the row of the same place at b=0; itself for the others."""
        columns = [column for column in (*self.axes, "seed") if column != "b"]
        places = {place: row for row, place in enumerate(self.bare[columns].itertuples(index=False, name=None))
                  if self.bare["b"][row] == "0"}  # fmt: skip
        return np.array([places[place] for place in self.bare[columns].itertuples(index=False, name=None)])

    def difference(self, axis: str, level: str, other: str) -> float:
        if self.design == "one_at_a_time":
            return self.truth.get((axis, level), 0.0) - self.truth.get((axis, other), 0.0)
        return self._average(axis, level) - self._average(axis, other)

    @lru_cache(maxsize=256)  # noqa: B019  few scenarios, each for as long as the harness runs
    def _average(self, axis: str, level: str) -> float:
        return round(float(self.grid["effect"][self.grid[axis] == level].mean()), 12)

    def draws(self, replicates: int, seed: int = 0) -> Iterator[pd.DataFrame]:
        """Tables of runs, one per replicate."""
        draw = np.random.default_rng([seed, *self.name.encode()])
        for _ in range(replicates):
            y = self.means + self.drawn_noise(draw)
            if self.copies:
                y = y[self.sources]
            runs = self.template.copy(deep=False)
            runs["test_accuracy"] = y / 100
            if self.gaps == "collapsed":
                hit = int(draw.integers(len(runs)))
                runs["test_accuracy"] = np.where(np.arange(len(runs)) == hit, 0.1, runs["test_accuracy"])
                runs["collapsed"] = np.arange(len(runs)) == hit
            elif self.gaps == "low":
                runs["state"] = np.where(self._low(y, draw), "DIVERGED", "DONE")
            elif self.gaps:
                runs["state"] = np.where(self._gone(draw), "DIVERGED" if self.gaps == "diverged" else "FAILED", "DONE")
            yield runs

    def drawn_noise(self, draw: np.random.Generator) -> Floats:
        """Of each run: what all runs of its seed share, and its own."""
        seeds = self.bare["seed"].to_numpy()
        return SEED_SD * draw.standard_normal(seeds.max() + 1)[seeds] + self.own_noise(draw)

    def own_noise(self, draw: np.random.Generator) -> Floats:
        """The same without what all runs of a seed share."""
        n, seeds = len(self.bare), self.bare["seed"].to_numpy()
        if self.noise == "t3":
            return RUN_SD / np.sqrt(3) * draw.standard_t(3, n)
        if self.noise == "heteroscedastic":  # from a third to five thirds, by cell: mostly by the first axis's level
            spread = np.linspace(1, 5, self.bare["cell"].max())
            spread *= RUN_SD / np.sqrt(np.square(spread).mean())
            return np.asarray(spread[self.bare["cell"].to_numpy() - 1] * draw.standard_normal(n))
        if self.noise == "one axis":
            levels = self.bare["c"].astype(int).to_numpy()
            own = RUN_SD * draw.standard_normal((levels.max() + 1, seeds.max() + 1))[levels, seeds]
            return np.asarray(own + RUN_SD / 3 * draw.standard_normal(n))
        if self.noise == "neighbours":  # of one seed, each combination four fifths as the one before
            cells = self.bare["cell"].to_numpy() - 1
            own = draw.standard_normal((seeds.max() + 1, cells.max() + 1))
            for cell in range(1, own.shape[1]):
                own[:, cell] = 0.8 * own[:, cell - 1] + 0.6 * own[:, cell]
            return np.asarray(RUN_SD * own[seeds, cells])
        if self.noise == "by cell":  # some combinations scatter ten times as much as others
            spread = 10 ** draw.random(self.bare["cell"].max())
            spread *= RUN_SD / np.sqrt(np.square(spread).mean())
            return np.asarray(spread[self.bare["cell"].to_numpy() - 1] * draw.standard_normal(n))
        if self.noise == "real":
            spread = 0.3 * 60 ** draw.random(self.bare["cell"].max())
            return np.asarray(spread[self.bare["cell"].to_numpy() - 1] * draw.standard_normal(n))
        return RUN_SD * draw.standard_normal(n)

    def _low(self, y: Floats, draw: np.random.Generator) -> NDArray[np.bool_]:
        """The runs at a=1 that would have ended lowest, about a third of them."""
        at_risk = (self.bare["a"] == "1").to_numpy()
        return at_risk & (y + 0.1 * draw.standard_normal(len(y)) < np.quantile(y[at_risk], 1 / 3))

    def _gone(self, draw: np.random.Generator) -> NDArray[np.bool_]:
        chance = draw.random(len(self.bare))
        if self.gaps == "diverged":
            at_risk = ((self.bare["a"] == "1") & (self.bare["d"] == "2")).to_numpy()
            return np.asarray(at_risk & (chance < 0.6))
        if self.gaps in ("cells", "one cell"):
            cells = self.bare["cell"].to_numpy() - 1
            share = 1 if self.gaps == "one cell" else round((cells.max() + 1) / 3)
            return np.isin(cells, draw.permutation(cells.max() + 1)[:share])
        return np.asarray(chance < 1 / 6)


def write(scenario: Scenario, runs: pd.DataFrame, folder: Path) -> Path:
    """The same study as files, as training it would have left them; on the holdout as good as on the test set."""
    cells: dict[int, Cell] = {}
    for row in runs.to_dict("records"):
        levels = {axis: row[axis] for axis in scenario.axes}
        cells.setdefault(row["cell"], Cell(levels, {})).runs[int(row["seed"])] = row["signature"]
        done = row["state"] == "DONE"
        place = RunFolder(folder / f"run-s{row['seed']}-{row['signature']}")
        write_json(
            place.record,
            {"state": row["state"], "signature": row["signature"], "levels": levels, "seed": row["seed"],
             "metrics": dict.fromkeys(SAVED, row["test_accuracy"]) if done else {}, "seconds": 60.0, "epochs": 2,
             "epochs_done": 2 if done else 1, "weights_sha256": row["weights_sha256"] if done else None,
             "data": {"name": "made up", "train_images": 1000, "test_images": 1000, "classes": ["x", "y"],
                      "fingerprint": "f"}},
        )  # fmt: skip
        rows = [dict.fromkeys(METRIC_COLUMNS, row["test_accuracy"]) | {"epoch": epoch} for epoch in (1, 2)]
        place.write_metrics(rows if done else rows[:1])
    seeds = sorted(int(seed) for seed in runs["seed"].unique())
    study_plan.write(folder, replace(scenario.plan, cells=list(cells.values()), seeds=seeds))
    return folder

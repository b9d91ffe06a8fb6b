"""Means of combinations and their differences, with intervals that hold for all of a table at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy.stats import t

from ablate.report.stats import linear
from ablate.report.stats.layout import Floats, Layout, layout_of
from ablate.report.stats.noise import noise_of
from ablate.report.stats.simultaneous import dunnett
from ablate.report.stats.verdicts import Noise
from ablate.report.study.gather import StudyData

LEVEL = 0.95
Place = tuple[str, ...]  # a level of each of the study's axes


@dataclass(frozen=True)
class Difference:
    """In the metric's unit; without an estimate of the noise, or for copies, there is no interval."""

    estimate: float
    low: float | None
    high: float | None
    pairs: int

    @property
    def excludes_zero(self) -> bool:
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


class Measurements:
    """What the finished runs of a study measured of one metric."""

    def __init__(self, study: StudyData, metric: str) -> None:
        runs = study.runs[study.runs["confirms"] == ""] if "confirms" in study.runs else study.runs
        self.layout, self.y = layout_of(runs, study.axes, metric)
        self.noise = _replication(self.layout, self.y)
        self.at: dict[Place, dict[int, int]] = {}  # {place: {seed: row}}
        for row, (codes, seed) in enumerate(zip(self.layout.levels, self.layout.seeds, strict=True)):
            place = tuple(names[code] for names, code in zip(self.layout.names, codes, strict=True))
            self.at.setdefault(place, {})[seed] = row

    def of(self, places: Sequence[Place]) -> Floats:
        """The mean of the places for each seed that all of them have."""
        here = [self.at[place] for place in places if place in self.at]
        seeds = sorted(set.intersection(*map(set, here))) if here else []
        return np.array([np.mean([self.y[rows[seed]] for rows in here]) for seed in seeds])

    def differences(self, asked: Sequence[tuple[Sequence[Place], Sequence[Place]]]) -> list[Difference | None]:
        """Each first set of places minus the second, place by place, over seeds that both have; None without such.

        The intervals are simultaneous: the largest |t| of correlated contrasts with one error term (Dunnett, JASA 50,
        1955, for any contrasts), which replication over seeds estimates.
        """
        weights: list[Floats | None] = []
        pairs = []
        for ours, theirs in asked:
            both = [
                (self.at[a][seed], self.at[b][seed])
                for a, b in zip(ours, theirs, strict=True)
                if a in self.at and b in self.at
                for seed in self.at[a].keys() & self.at[b].keys()
            ]
            pairs.append(len(both))
            w: Floats = np.zeros(len(self.y))
            for a_row, b_row in both:
                w[a_row] += 1 / len(both)
                w[b_row] -= 1 / len(both)
            weights.append(w if both else None)
        varying = [self.layout.of_units.T @ w for w in weights if w is not None and self._variance(w) > 1e-12]
        value = None
        if self.noise is not None and varying:
            correlation = np.corrcoef(np.array(varying)).reshape(len(varying), -1)
            value = dunnett(LEVEL, correlation, self.noise.df)
        found: list[Difference | None] = []
        for of_runs, count in zip(weights, pairs, strict=True):
            if of_runs is None:
                found.append(None)
                continue
            estimate = linear.without_rounding(float(of_runs @ self.y), self.y)
            variance = self._variance(of_runs)
            if value is None or self.noise is None or variance <= 1e-12:
                found.append(Difference(estimate, None, None, count))
            else:
                half = value * self.noise.sd * sqrt(variance)
                found.append(Difference(estimate, estimate - half, estimate + half, count))
        return found

    def _variance(self, weights: Floats) -> float:
        return linear.variance_of(self.layout, weights)

    def leaders(self, places: Sequence[Place], *, less_is_better: bool) -> set[Place]:
        """The place with the best mean, and those whose difference from it has an interval with 0 in it."""
        known = [place for place in places if place in self.at]
        means = {place: float(self.of([place]).mean()) for place in known}
        if not means:
            return set()
        best = (min if less_is_better else max)(means, key=means.__getitem__)
        others = [place for place in known if place != best]
        apart = self.differences([([best], [place]) for place in others])
        near = {p for p, d in zip(others, apart, strict=True) if d and d.low is not None and not d.excludes_zero}
        return {best, *near}


def _replication(layout: Layout, y: Floats) -> Noise | None:
    if not layout.levels or layout.number_of_seeds < 2:
        return None
    term = linear.replication(layout)
    return noise_of(term, layout, y)[0] if term.df > 0.99 else None


def spread_of(values: Floats, kind: str) -> float | None:
    """The standard deviation over seeds, or half the 95 % interval of their mean by Student's t; None for one seed."""
    if len(values) < 2:
        return None
    sd = float(values.std(ddof=1))
    return sd if kind == "sd" else float(t.ppf((1 + LEVEL) / 2, len(values) - 1)) * sd / sqrt(len(values))


def baseline_of(levels: Mapping[str, Sequence[str]], baseline: Mapping[str, str]) -> Place | None:
    """The plan's baseline as a place; where it says nothing of an axis with a level that is off, that one."""
    place = [baseline.get(axis) or next((one for one in some if is_off(one)), None) for axis, some in levels.items()]
    return None if None in place else tuple(level for level in place if level is not None)


def is_off(level: str) -> bool:
    """Whether a level says that a component is left out: none, off, false, null, never, without, or 0."""
    return level.lower() in ("none", "off", "false", "null", "no", "never", "without", "0", "0.0")

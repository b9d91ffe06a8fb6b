"""Tuned studies: the values of every combination are chosen on the holdout, then the combinations are compared.

Each combination's accuracy falls with the squared distance of the tuned value from the combination's best one.
Distances are in steps: a step is that between two of four trials, a factor of three for a learning rate.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ablate.design.choosing import choose
from ablate.records import study_plan
from ablate.records.files import write_json
from ablate.records.run_folder import RunFolder
from ablate.records.study_plan import Trial, Tuning
from ablate.report.stats.effects import estimate_effects
from ablate.report.stats.verdicts import Effects, Verdict
from benchmarks.simulation import scenarios
from benchmarks.simulation.rates import Counts, Rates, contrasts, judged, rates_of
from benchmarks.simulation.scenarios import Floats, Scenario

REACH = 1.5  # steps from the middle of the search to its ends
EQUAL = 0.03  # points: procedures that differ by less, on average over many tunings, count as equal
KEY = "optimizer.lr"
TUNINGS, AT_ONCE = 20_000, 500  # to know what a procedure reaches on average

# What an answer may be about: the chosen values; the procedure "tune, then train", on average over tunings; or the best
# value that there is, also between two trials and beyond the last.
ABOUT = ("chosen", "procedure", "best")


@dataclass(frozen=True, eq=False)
class Tuned:
    """A study that is tuned before it is compared, to be drawn many times. Levels that are not named have the
    default."""

    compared: Scenario  # its truth is what each combination reaches with the best value that there is
    tuning_seeds: int = 1
    fresh: bool = True  # compared on seeds that were not tuned on; else on the tuning seeds, by the runs chosen from
    holdout: float = 0.3  # points: the error of a run's holdout score, half of its variance shared by a trial's seeds
    trials: Mapping[str, int] = field(default_factory=dict)  # {level of the axis a: how many}
    loss: Mapping[str, float] = field(default_factory=dict)  # {level of a: points lost a step from the best value}
    best_at: Mapping[str, float] = field(default_factory=dict)  # {level of a: steps from the middle of the search}

    @cached_property
    def cells(self) -> pd.DataFrame:
        """The combinations, in the order of their numbers."""
        return pd.DataFrame(self.compared.cells(), columns=list(self.compared.axes))

    @cached_property
    def places(self) -> dict[tuple[str, str], NDArray[np.bool_]]:
        """{(axis, level): which combinations show its effect}: one at a time, the one that differs in nothing else."""
        changed = (self.cells != "0").sum(axis=1).to_numpy()
        found = {}
        for axis, levels in self.compared.axes.items():
            for level in levels:
                here = (self.cells[axis] == level).to_numpy()
                alone = self.compared.design != "one_at_a_time" or changed == (level != "0")
                found[axis, level] = here & alone
        return found

    @cached_property
    def best(self) -> Floats:
        """What each combination reaches with the best value that there is, in points."""
        first = self.compared.bare["cell"].to_numpy()
        return self.compared.means[np.unique(first, return_index=True)[1]]

    @cached_property
    def means(self) -> list[Floats]:
        """Of each combination: what each of its trials reaches, in points."""
        found = []
        for best, level in zip(self.best, self.cells["a"], strict=True):
            steps = np.linspace(-REACH, REACH, self.trials.get(level, 4)) - self.best_at.get(level, 0.5)
            found.append(best - self.loss.get(level, 0.0) * np.square(steps))
        return found

    @cached_property
    def tuning(self) -> Scenario:
        return replace(self.compared, seeds=self.tuning_seeds)

    def tuned(self, draw: np.random.Generator) -> "Choice":
        """One tuning of every combination, by the tool's own rule.

        What all runs of a seed share is left out: every trial has the same seeds.
        """
        count, most = len(self.means), max(len(of_cell) for of_cell in self.means)
        noise = np.array([self.tuning.own_noise(draw) for _ in range(most)]).reshape(most, count, -1)
        error = np.sqrt(0.5) * (draw.standard_normal((most, count, 1)) + draw.standard_normal(noise.shape))
        seen = noise + self.holdout * error
        scores = [means[:, None] + seen[: len(means), cell] for cell, means in enumerate(self.means)]
        trials = np.array([choose(of_cell.tolist()) for of_cell in scores], dtype=np.int64)
        return Choice(trials, scores, noise[trials, np.arange(count)])

    def reached(self, chosen: NDArray[np.int64]) -> Floats:
        """What each combination reaches with its chosen value, in points."""
        return np.array([means[trial] for means, trial in zip(self.means, chosen, strict=True)])

    @cached_property
    def expected(self) -> Floats:
        """What each combination reaches on average over tunings, in points: many at once, by the same rule."""
        if not any(self.loss.values()):
            return self.best
        most = max(map(len, self.means))
        means = np.array([np.pad(of_cell, (0, most - len(of_cell)), constant_values=-np.inf) for of_cell in self.means])
        many = replace(self.compared, seeds=self.tuning_seeds * AT_ONCE)
        draw = np.random.default_rng(list(self.compared.name.encode()))
        reached = np.zeros(len(means))
        for _ in range(TUNINGS // AT_ONCE):
            own = np.array([many.own_noise(draw) for _ in range(most)])
            noise = own.reshape(most, len(means), AT_ONCE, self.tuning_seeds)
            shared = draw.standard_normal((*noise.shape[:3], 1))
            seen = noise + self.holdout * np.sqrt(0.5) * (shared + draw.standard_normal(noise.shape))
            chosen = np.argmax(means.T[..., None] + seen.mean(axis=3), axis=0)
            reached += np.take_along_axis(means, chosen, axis=1).mean(axis=1)
        return reached / (TUNINGS // AT_ONCE)

    def draws(self, replicates: int, seed: int = 0) -> Iterator[tuple[pd.DataFrame, "Choice"]]:
        """Tables of the compared runs, as gather gives them, and how their values were chosen."""
        draw = np.random.default_rng([seed, *self.compared.name.encode()])
        rows = self.compared.bare["cell"].to_numpy() - 1
        seeds = self.compared.bare["seed"].to_numpy()
        for _ in range(replicates):
            choice = self.tuned(draw)
            own = self.compared.drawn_noise(draw) if self.fresh else choice.noise[rows, seeds]
            runs = self.compared.template.copy(deep=False)
            runs["test_accuracy"] = (self.reached(choice.trials)[rows] + own) / 100
            yield runs, choice


@dataclass(frozen=True, eq=False)
class Choice:
    """Of each combination: the trial that was chosen, every trial's holdout score with each tuning seed, in points, and
    the own noise of the chosen trial's run with each."""

    trials: NDArray[np.int64]
    scores: list[Floats]
    noise: Floats


@dataclass(frozen=True, eq=False)
class Known:
    """The true accuracy of a study's combinations, in points: what `judged` holds answers against."""

    study: Tuned
    means: Floats
    equal: float = 1e-9  # points: what differs by less does not differ

    truth: Mapping[tuple[str, ...], float] = field(default_factory=dict)  # no interactions that it should find

    @property
    def delta(self) -> float:
        return self.study.compared.delta

    def difference(self, axis: str, level: str, other: str) -> float:
        here = self.study.places
        found = self.means[here[axis, level]].mean() - self.means[here[axis, other]].mean()
        return float(found) if abs(found) > self.equal else 0.0

    def interacts(self, axes: tuple[str, ...]) -> bool:
        """Whether one axis does anything, or two differ from the sum of their effects."""
        levels = [[self.study.places[axis, level] for level in self.study.compared.axes[axis]] for axis in axes]
        if len(levels) == 1:
            return bool(np.ptp([self.means[here].mean() for here in levels[0]]) > self.equal)
        square = np.array([[self.means[here & there].mean() for there in levels[1]] for here in levels[0]])
        apart = square - square.mean(axis=0) - square.mean(axis=1, keepdims=True) + square.mean()
        return bool(np.abs(apart).max() > self.equal)


def measure(study: Tuned, replicates: int) -> Rates:
    """How often the report's answers are right, about each of ABOUT."""
    return rates_of(count(study, replicates))


def count(study: Tuned, replicates: int, seed: int = 0) -> Counts:
    """What `measure` divides; counts of draws by different seeds may be added."""
    n: Counts = Counter()
    procedure = Known(study, study.expected, EQUAL)
    best = Known(study, study.best)
    first, *_, last = study.compared.axes["a"]
    for runs, choice in study.draws(replicates, seed):
        found = estimate_effects(runs, study.compared.plan, p_values=False)
        here = Known(study, study.reached(choice.trials))
        for about, known in zip(ABOUT, (here, procedure, best), strict=True):
            n.update({f"{about}: {name}": value for name, value in judged(known, found).items()})
            n[f"{about}: study.equal said to matter"] += said_to_matter(found, known)
        n["tuned"] += 1
        n["tuned.luck"] += (here.difference("a", first, last) - procedure.difference("a", first, last)) ** 2
        ends = [trial in (0, len(means) - 1) for trial, means in zip(choice.trials, study.means, strict=True)]
        n["tuned.at an edge"] += sum(ends) / len(ends)
        for effect, c in contrasts(found):
            if effect.axis == "a" and {c.level, c.other} == {first, last}:
                turned = c if c.level == last else c.turned()
                n["tuned.last claimed"] += turned.low is not None and turned.low > 0
                n["tuned.last ahead"] += (turned.estimate or 0.0) - here.difference("a", last, first)
    return n


def said_to_matter(found: Effects, known: Known) -> bool:
    """Whether levels that are equal are said to differ by more than delta."""
    return any(c.verdict == Verdict.MATTERS and not known.difference(effect.axis, c.level, c.other)
               for effect, c in contrasts(found))  # fmt: skip


def write(study: Tuned, folder: Path) -> tuple[Path, pd.DataFrame]:
    """A tuned study as files, as training it would have left them, and the table of its runs.

    The compared runs have seeds of their own, after those of the tuning.
    """
    runs, choice = next(study.draws(1))
    runs = runs.assign(seed=runs["seed"] + study.tuning_seeds)
    plan = study_plan.read(scenarios.write(study.compared, runs, folder))
    tuning = Tuning(
        {KEY: [f"x{number}" for number in range(max(map(len, study.means)))]}, list(range(study.tuning_seeds))
    )
    for cell, trial, scores in zip(plan.cells, choice.trials, choice.scores, strict=True):
        cell.tuned = {KEY: str(trial)}
        for number, of_trial in enumerate(scores):
            tried = Trial(cell.levels, {KEY: str(number)})
            for seed, score in enumerate(of_trial):
                tried.runs[seed] = f"f{len(tuning.trials):07x}{seed:04x}"
                levels = cell.levels | tried.values
                record = {"state": "DONE", "signature": tried.runs[seed], "levels": levels, "seed": seed,
                          "metrics": {"holdout_accuracy": score / 100}}  # fmt: skip
                write_json(RunFolder(folder / f"trial-s{seed}-{tried.runs[seed]}").record, record)
            tuning.trials.append(tried)
    study_plan.write(folder, replace(plan, tuning=tuning))
    return folder, runs

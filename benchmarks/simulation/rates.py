"""Count, over many drawn studies, how often the report is right and how often plain tables are."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from math import nan
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
from scipy.stats import t

from ablate.records.files import write_json
from ablate.records.study_plan import Amendment
from ablate.report.checks.new_images import on_images
from ablate.report.checks.outliers import outlier
from ablate.report.stats.effects import estimate_effects
from ablate.report.stats.ranking import ranking
from ablate.report.stats.verdicts import AxisEffect, Contrast, Effects, Verdict, judge
from ablate.report.study.gather import StudyData
from ablate.report.study.tables import leaderboard
from benchmarks.simulation import naive
from benchmarks.simulation.scenarios import SMALLEST, Scenario

SMALL = (Verdict.NEGLIGIBLE, Verdict.SMALL)
NAIVE = {"bigger mean wins": naive.bigger_mean_wins, "mean±std apart": naive.bars_apart, "Welch": naive.welch}

Counts = Counter[str]
Rates = dict[str, float]

PART = 100  # studies of each kind that are drawn and counted together


class Truth(Protocol):
    """What `judged` holds a study's answers against."""

    @property
    def delta(self) -> float: ...

    @property
    def truth(self) -> Mapping[tuple[str, ...], float]: ...

    def difference(self, axis: str, level: str, other: str) -> float: ...

    def interacts(self, axes: tuple[str, ...]) -> bool: ...


def contrasts(found: Effects) -> Iterator[tuple[AxisEffect, Contrast]]:
    return ((effect, c) for effect in found.axes for c in effect.contrasts if not c.copies)


@lru_cache
def _quantile(df: float) -> float:
    return float(t.ppf(0.975, df))


def measure(scenario: Scenario, replicates: int, beside: bool = False) -> Rates:
    """Rates over the replicates; with `beside`, those of plain tables too."""
    return rates_of(count(scenario, replicates, beside))


def count(scenario: Scenario, replicates: int, beside: bool = False, seed: int = 0) -> Counts:
    """What `measure` divides; counts of draws by different seeds may be added."""
    n: Counts = Counter()
    for runs in scenario.draws(replicates, seed):
        found = estimate_effects(runs, scenario.plan, p_values=False)
        n.update(judged(scenario, found))
        if scenario.copies:
            twice = estimate_effects(runs.assign(weights_sha256=runs["signature"]), scenario.plan, False)
            others = replace(twice, axes=tuple(effect for effect in twice.axes if effect.axis != "b"))
            n.update({f"counted twice: {name}": value for name, value in judged(scenario, others).items()})
        if beside:
            n.update(judged_naively(scenario, runs))
    return n


def judged(scenario: Truth, found: Effects) -> dict[str, float]:
    """One study's counts. Names that start alike are divided by each other in `rates_of`."""
    n: Counts = Counter()
    n["study"] += 1
    every = True
    for effect, c in contrasts(found):
        truth = scenario.difference(effect.axis, c.level, c.other)
        n["contrast"] += 1
        n["contrast.cannot tell"] += c.verdict == Verdict.CANNOT_TELL
        if c.low is None or c.high is None or c.se is None or c.estimate is None or effect.noise is None:
            continue
        n["interval"] += 1
        n["interval.error"] += c.estimate - truth
        n["interval.covered"] += abs(c.estimate - truth) <= _quantile(effect.noise.df) * c.se
        every &= c.low <= truth <= c.high
        if effect.own_noise is not None:
            own = effect.own_noise
            inside = abs(c.estimate - truth) <= _quantile(own.df) * own.sd * np.sqrt(c.variance)
            n["own"] += 1
            n["own.covered"] += inside
            if effect.axis == "c":
                n["noisy"] += 1
                n["noisy.own covered"] += inside
                n["noisy.covered"] += abs(c.estimate - truth) <= _quantile(effect.noise.df) * c.se
        if c.verdict == Verdict.MATTERS:
            n["verdict wrong"] += abs(truth) <= scenario.delta or np.sign(c.estimate) == -np.sign(truth)
        elif c.verdict in SMALL:
            n["verdict wrong"] += abs(truth) > scenario.delta
        claimed = c.low > 0 or c.high < 0
        wrong = claimed and np.sign(c.estimate) == -np.sign(truth)
        if claimed:
            n["claim"] += 1
            n["claim.wrong sign"] += bool(wrong)
        false = claimed and (truth == 0 or wrong)
        n["any false"] += false
        n["unhedged"] += false and not found.may_be_interactions(effect) and not effect.whole_aliases
        if abs(abs(truth) - SMALLEST) < 1e-9:
            size = len(effect.contrasts)
            for name in ("small", f"small of {2 if size == 1 else 3}"):
                n[name] += 1
                n[f"{name}.found"] += claimed and not wrong
                n[f"{name}.called negligible"] += c.verdict in SMALL
    n["study.all covered"] += every and n["interval"] > 0
    n["study.any false claim"] += n.pop("any false", 0) > 0
    n["study.any wrong verdict"] += n.pop("verdict wrong", 0) > 0
    for effect in found.axes:
        if effect.contrasts and not scenario.interacts((effect.axis,)):
            of = "inert of 2" if len(effect.contrasts) == 1 else "inert of 3"
            for wide in (0.25, 0.3):  # with another delta only the verdict is another
                verdicts = {judge(c.low, c.high, wide, (c.tight_low or 0.0, c.tight_high or 0.0))
                            for c in effect.contrasts if c.low is not None and c.high is not None}  # fmt: skip
                n[of] += wide == 0.25
                n[f"{of}.called negligible at {round(100 * wide)}"] += bool(verdicts) and verdicts <= set(SMALL)
    spoken = [i for i in found.interactions if i.worth_a_mention and not scenario.interacts(i.axes)]
    n["pair"] += len(found.interactions)
    n["pair.false interaction"] += len(spoken)
    n["study.false interaction"] += bool(spoken)
    n["study.any false statement"] += bool(spoken) or n["study.any false claim"] > 0
    n["study.unhedged false claim"] += n.pop("unhedged", 0) > 0
    for effect in found.axes:
        if any(effect.axis in names[::2] for names in scenario.truth if len(names) > 2):
            n["interacting"] += 1
            n["interacting.called negligible"] += effect.verdict in SMALL
            n["interacting.said to depend"] += effect.verdict == Verdict.DEPENDS
    return dict(n)


def judged_naively(scenario: Scenario, runs: pd.DataFrame) -> dict[str, float]:
    """The same counts for plain tables."""
    n: Counts = Counter()
    for name, claim in NAIVE.items():
        if scenario.seeds < 2 and name != "bigger mean wins":
            continue
        claims = claim(runs, scenario.axes)
        false = 0
        for (axis, a, b), size in claims.items():
            truth = scenario.difference(axis, a, b)
            wrong = np.sign(size) == -np.sign(truth)
            false += truth == 0 or wrong
            if truth:
                n[f"{name}.real"] += 1
                n[f"{name}.real.wrong sign"] += bool(wrong)
        n[f"{name}.study"] += 1
        n[f"{name}.study.any false claim"] += false > 0
        for axis, levels in scenario.axes.items():
            for i, a in enumerate(levels):
                for b in levels[i + 1 :]:
                    truth = scenario.difference(axis, a, b)
                    if abs(abs(truth) - SMALLEST) < 1e-9:
                        n[f"{name}.small"] += 1
                        size = claims.get((axis, a, b), 0.0)
                        n[f"{name}.small.found"] += np.sign(size) == np.sign(truth)
    if scenario.seeds == 3:
        table = naive.by_seed(runs, "a")
        low, high = naive.bootstrap(table["1"] - table["0"])
        n["bootstrap.interval"] += 1
        n["bootstrap.interval.covered"] += low <= scenario.difference("a", "1", "0") <= high
    return dict(n)


def ranked(scenario: Scenario, replicates: int, seed: int = 0) -> Counts:
    """How often the interval of a leaderboard's mean covers what the recipe reaches on average over seeds."""
    n: Counts = Counter()
    for runs in scenario.draws(replicates, seed):
        accuracy = runs["test_accuracy"]
        runs = runs.assign(holdout_accuracy=accuracy, best_holdout_test_accuracy=accuracy, seconds=1.0)
        study = StudyData(folder=None, plan=scenario.plan, runs=runs, epochs=pd.DataFrame())  # type: ignore[arg-type]
        board = leaderboard(study)
        found = ranking(study, board)
        truth = dict(zip(runs["cell"], scenario.means / 100, strict=True))
        for row in board.itertuples():
            n["mean"] += 1
            half = found.half(row.n) if found is not None else 0.0
            n["mean.covered"] += abs(row.test_accuracy_mean - truth[row.cell]) <= half
    return n


def stood_out(scenario: Scenario, replicates: int, seed: int = 0) -> Counts:
    """How often the run that collapsed is named, and how often one is where none did."""
    n: Counts = Counter()
    for runs in scenario.draws(replicates, seed):
        found = outlier(runs.assign(folder=runs["signature"]), scenario.plan)
        n["study"] += 1
        n["study.one is named"] += found is not None
        if "collapsed" in runs and found is not None:
            n["study.the one"] += found.folder == runs["signature"][runs["collapsed"]].iloc[0]
    return n


def on_new_images(images: int, replicates: int, seed: int = 0, discordant: float = 0.06) -> Counts:
    """Claims about two recipes that are equally good, of which each gets some images right that the other does not.

    Which images these are hardly depends on the seed. `claimed` is by the seeds' interval, for these images; `carried`
    by the one for new images.
    """
    draw = np.random.default_rng([seed, images])
    scenario = Scenario("images", 3, axes={"a": ["0", "1"]})
    n: Counts = Counter()
    for runs in scenario.draws(replicates, seed):
        kinds = draw.choice(4, images, p=[discordant / 2, discordant / 2, 0.77, 0.23 - discordant])
        right = {}
        for signature, level in zip(runs["signature"], runs["a"], strict=True):
            mine = (kinds == 2) | (kinds == int(level))
            right[signature] = mine ^ (draw.random(images) < 0.002)
        runs = runs.assign(test_accuracy=[float(right[s].mean()) for s in runs["signature"]])
        found = estimate_effects(runs, scenario.plan, p_values=False)
        study = StudyData(folder=None, plan=scenario.plan, runs=runs, epochs=pd.DataFrame())  # type: ignore[arg-type]
        n["study"] += 1
        contrast = found.axes[0].contrasts[0]
        if contrast.low is None or contrast.high is None or not (contrast.low > 0 or contrast.high < 0):
            continue
        n["study.claimed"] += 1
        (judged_on,) = on_images(study, found, right)
        n["study.carried"] += judged_on.low is not None and (judged_on.low > 0 or (judged_on.high or 0) < 0)
    for name in ("study.claimed", "study.carried"):
        n[name] += 0
    return n


def in_parts(
    everything: Callable[[int, int], dict[str, Counts]], replicates: int, kept: Path | None
) -> dict[str, Counts]:
    """The counts of `everything(replicates, seed)`, drawn part by part: resumed from the file `kept` where that exists,
    and written there after each part."""
    done, counts = json.loads(kept.read_bytes()) if kept is not None and kept.exists() else (0, {})
    found: dict[str, Counts] = {name: Counter(of) for name, of in counts.items()}
    for start in range(done, replicates, PART):
        for name, more in everything(min(PART, replicates - start), start // PART).items():
            found.setdefault(name, Counter()).update(more)
        if kept is not None:
            plain = {name: {key: float(value) for key, value in of.items()} for name, of in found.items()}
            write_json(kept, [min(start + PART, replicates), plain])
    return found


def rates_of(n: Counts) -> Rates:
    """Every count whose name is another's with a word behind it, divided by that; nan where there was nothing."""
    found = {}
    for name, value in n.items():
        whole = name.rpartition(".")[0]
        if whole and whole in n:
            found[name] = float(value / n[whole]) if n[whole] else nan
    return found


def looked(scenario: Scenario, replicates: int, looks: tuple[int, ...], seed: int = 0) -> Counts:
    """False claims where seeds are added until something is claimed: as the report judges, and had it not known.

    `study.corrected` is by a plan that says when runs were added, as study.json does; `study.naive` by one that does
    not, which judges each look as if it were the only one.
    """
    n: Counts = Counter()
    for runs in scenario.draws(replicates, seed):
        corrected, naive = [], []
        for number, seeds in enumerate(looks):
            now = runs[runs["seed"] < seeds]
            amendments = [Amendment("", "", 1, looks[later], later > 0) for later in range(number + 1)]
            for claims, known in ((naive, []), (corrected, amendments)):
                if number == 0 and claims is corrected:
                    claims.append(naive[0])  # the first look is the same
                    continue
                found = estimate_effects(now, replace(scenario.plan, amendments=known), False)
                claims.append(judged(scenario, found)["study.any false claim"])
        n["study"] += 1
        n["study.at the first look"] += naive[0]
        n["study.at the last alone"] += naive[-1]
        n["study.corrected"] += any(corrected)
        n["study.naive"] += any(naive)
    return n


def best_cell(scenario: Scenario, replicates: int, seed: int = 0) -> Counts:
    """How much the headline best flatters on new images: chosen by the holdout, or as the best run on test.

    What these checkpoints reach on new images is their accuracy; test and holdout add a sampling error each,
    the test's shared by the seeds of a cell as far as the images are the same (0.17 points; the holdout 0.3).
    """
    draw = np.random.default_rng(seed)
    n: Counts = Counter()
    for runs in scenario.draws(replicates, seed):
        new = 100 * runs["test_accuracy"].to_numpy()
        cells = runs["cell"].to_numpy() - 1
        test = new + 0.17 * draw.standard_normal(cells.max() + 1)[cells] + 0.1 * draw.standard_normal(len(new))
        holdout = new + 0.3 * draw.standard_normal(cells.max() + 1)[cells]
        runs = runs.assign(test_accuracy=test / 100, holdout_accuracy=holdout / 100, seconds=1.0,
                           best_holdout_test_accuracy=test / 100)  # fmt: skip
        board = leaderboard(StudyData(folder=None, plan=scenario.plan, runs=runs, epochs=pd.DataFrame()))  # type: ignore[arg-type]
        chosen = board.iloc[0]
        n["study"] += 1
        n["study.bias"] += 100 * chosen["test_accuracy_mean"] - new[cells == chosen["cell"] - 1].mean()
        n["study.bias of the best run on test"] += test.max() - new[test.argmax()]
        # The recipe, trained again, and on new images: what a reader takes the figure for.
        n["study.recipe's bias"] += 100 * chosen["test_accuracy_mean"] - scenario.means[cells == chosen["cell"] - 1][0]
        n["study.recipe's bias of the best run on test"] += test.max() - scenario.means[test.argmax()]
    return n

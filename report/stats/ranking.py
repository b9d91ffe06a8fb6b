"""Which combinations tie with the best one, and how precise each mean is."""

from dataclasses import dataclass
from math import sqrt

import numpy as np
import pandas as pd
from scipy.stats import t

from ablate.report.study import tables
from ablate.report.study.gather import StudyData

LEVEL = 0.95
NOTHING = 1e-14


@dataclass(frozen=True)
class Ranking:
    """ties: the first combination of the leaderboard, and those that the holdout cannot separate from it.

    sd and df: of one run's result (an accuracy as a fraction), with what all runs of its seed have in common.
    """

    ties: frozenset[int]
    sd: float
    df: float

    def half(self, seeds: int) -> float:
        """Half the 95 % interval of a combination's mean result over the seeds given, in the record's unit."""
        return float(t.ppf((1 + LEVEL) / 2, self.df)) * self.sd / sqrt(seeds)


def ranking(study: StudyData, board: pd.DataFrame) -> Ranking | None:
    """None where no combination has two seeds, or seeds make no difference.

    A tie is within the one-sided t interval, Bonferroni over combinations, of the difference from the best: multiple
    comparisons with the best (Hsu 1984) by the simplest bound.
    """
    first = tables.ranked_by(study.finished, study.plan.metric)
    if board.empty or first is None:
        return None
    result = tables.result_of(study.finished, study.plan.metric)
    of_test, of_holdout = (_spread(study, metric) for metric in (result, first))
    if of_test is None or of_holdout is None:
        return None
    sd, df = of_holdout
    best = board.iloc[0]
    tail = (1 - LEVEL) / max(1, len(board) - 1)
    reach = float(t.isf(tail, df)) * sd * np.sqrt(1 / best["n"] + 1 / board["n"])
    near = (best[f"{first}_mean"] - board[f"{first}_mean"]).abs() <= reach  # none is better than the first
    near.iloc[0] = True
    return Ranking(frozenset(int(cell) for cell in board["cell"][near]), *_of_a_mean(study, result))


def _of_a_mean(study: StudyData, metric: str) -> tuple[float, float]:
    """(sd, df) of one run about its combination's mean over all seeds that there could be.

    What a seed does to all combinations alike is seen once per seed, however many combinations there are, so its part
    has one degree of freedom less than there are seeds (Satterthwaite, Biometrics Bulletin 2, 1946).
    """
    finished = study.finished.dropna(subset=[metric])
    finished = finished[finished.groupby("cell")[metric].transform("count") > 1]
    apart = finished[metric] - finished.groupby("cell")[metric].transform("mean")
    of_seeds = apart.groupby(finished["seed"]).mean()
    rest = apart - of_seeds.reindex(finished["seed"]).to_numpy()
    seeds, cells = len(of_seeds), finished["cell"].nunique()
    between = float(of_seeds.pow(2).sum()) / (seeds - 1)
    df = len(finished) - cells - (seeds - 1)
    within = float(rest.pow(2).sum()) / df * (1 - 1 / cells) if df > 0 else 0.0
    both = between + within
    return sqrt(both), both**2 / (between**2 / (seeds - 1) + (within**2 / df if df > 0 else 0.0))


def _spread(study: StudyData, metric: str) -> tuple[float, int] | None:
    """(sd, df) of runs within combinations, pooled. Seeds are not taken out as blocks: it may only be too wide."""
    groups = study.finished.groupby("cell")[metric]
    squares = float((study.finished[metric] - groups.transform("mean")).pow(2).sum())
    df = int((groups.count() - 1).clip(lower=0).sum())
    return (sqrt(squares / df), df) if df and squares / df > NOTHING else None

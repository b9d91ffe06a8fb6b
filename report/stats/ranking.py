"""Which combinations tie with the best one, and how precise each mean is."""

from dataclasses import dataclass
from math import sqrt

import numpy as np
import pandas as pd
from scipy.stats import t

from ablate.report.study.gather import StudyData

LEVEL = 0.95
NOTHING = 1e-14


@dataclass(frozen=True)
class Ranking:
    """ties: the first combination of the leaderboard, and those that the holdout cannot separate from it.

    sd and df: of one run's test accuracy (fraction) within a combination, pooled over all of them.
    """

    ties: frozenset[int]
    sd: float
    df: int

    def half(self, seeds: int) -> float:
        """Half the 95 % interval of a combination's mean test accuracy over the seeds given, a fraction."""
        return float(t.ppf((1 + LEVEL) / 2, self.df)) * self.sd / sqrt(seeds)


def ranking(study: StudyData, board: pd.DataFrame) -> Ranking | None:
    """None where no combination has two seeds, or seeds make no difference.

    A tie is within the one-sided t interval, Bonferroni over combinations, of the difference from the best: multiple
    comparisons with the best (Hsu 1984) by the simplest bound.
    """
    if board.empty:
        return None
    of_test, of_holdout = (_spread(study, metric) for metric in ("test_accuracy", "holdout_accuracy"))
    if of_test is None or of_holdout is None:
        return None
    sd, df = of_holdout
    best = board.iloc[0]
    tail = (1 - LEVEL) / max(1, len(board) - 1)
    reach = float(t.isf(tail, df)) * sd * np.sqrt(1 / best["n"] + 1 / board["n"])
    near = best["holdout_accuracy_mean"] - board["holdout_accuracy_mean"] <= reach
    near.iloc[0] = True
    return Ranking(frozenset(int(cell) for cell in board["cell"][near]), *of_test)


def _spread(study: StudyData, metric: str) -> tuple[float, int] | None:
    """(sd, df) of runs within combinations, pooled. Seeds are not taken out as blocks: it may only be too wide."""
    groups = study.finished.groupby("cell")[metric]
    squares = float((study.finished[metric] - groups.transform("mean")).pow(2).sum())
    df = int((groups.count() - 1).clip(lower=0).sum())
    return (sqrt(squares / df), df) if df and squares / df > NOTHING else None

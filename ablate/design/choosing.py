"""Which of several trials to take: the rule by which tuned values are chosen, before anything is compared."""

from collections.abc import Sequence
from statistics import fmean


def choose(scores: Sequence[Sequence[float | None]], *, less_is_better: bool = False) -> int | None:
    """The trial with the best mean score over the tuning seeds; None where no trial has a result.

    scores: of each trial, its score on the holdout with each tuning seed, None for a run without a result. A trial that
    lacks a result, as its run diverged or ran out of memory, loses to one that lacks fewer. Of equals, the first.
    """
    turn = -1.0 if less_is_better else 1.0
    ranked = []
    for number, of_trial in enumerate(scores):
        known = [score for score in of_trial if score is not None]
        if known:
            ranked.append((len(of_trial) - len(known), -turn * fmean(known), number))
    return min(ranked)[2] if ranked else None

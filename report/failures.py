"""Runs that did not finish, per level: how many, what share that may be, and what answers they would change."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from scipy.stats import binomtest

from ablate.metrics import METRICS

from .effects import analyse
from .info import Contrast, Verdict

ENDS = ("DIVERGED", "OOM", "FAILED")


@dataclass(frozen=True)
class Share:
    """Of the runs of one level that came to an end, those that ended as named; a run that serves several is one.

    low and high: Clopper and Pearson's exact 95 % interval (Biometrika 26, 1934) of the share.
    """

    axis: str
    level: str
    state: str
    count: int
    runs: int
    low: float
    high: float


def shares(runs: pd.DataFrame, axes: Mapping[str, Sequence[str]]) -> list[Share]:
    """One per level of every axis and each end that any run of the study came to."""
    ended = runs[runs["state"].isin(["DONE", *ENDS])]
    found = []
    for axis, levels in axes.items():
        for level in levels:
            here = ended[ended[axis] == level].drop_duplicates("signature")
            for state in ENDS:
                if len(here) and (ended["state"] == state).any():
                    count = int((here["state"] == state).sum())
                    interval = binomtest(count, len(here)).proportion_ci(0.95, method="exact")
                    found.append(Share(axis, level, state, count, len(here), float(interval.low), float(interval.high)))
    return found


@dataclass(frozen=True)
class Sensitivity:
    """An axis's answer where runs that diverged count as guessing, beside the one that leaves them out."""

    axis: str
    verdict: Verdict
    otherwise: Verdict
    contrast: Contrast  # the largest difference with them, in the same order of levels


def with_chance(
    runs: pd.DataFrame, axes: Mapping[str, Sequence[str]], plan: Mapping[str, Any], classes: int
) -> list[Sensitivity]:
    """The answers if runs that diverged had reached the accuracy of chance, 1 / classes; [] where none diverged.

    Only divergence is an outcome; lack of memory and failures say nothing of what training would have reached.
    """
    metric = plan.get("metric", "test_accuracy")
    gone = (runs["state"] == "DIVERGED").to_numpy()
    if not gone.any() or METRICS[metric].unit != "points" or not classes:
        return []
    values = runs[metric] if metric in runs else pd.Series(float("nan"), index=runs.index)
    states = runs["state"].where(~gone, "DONE")
    counted = runs.assign(**{metric: values.where(~gone, 1 / classes), "state": states})
    if "weights_sha256" in runs:
        counted["weights_sha256"] = runs["weights_sha256"].where(~gone, None)
    before = {effect.axis: effect.verdict for effect in analyse(runs, axes, plan, p_values=False).axes}
    found = []
    for effect in analyse(counted, axes, plan, p_values=False).axes:
        known = [c for c in effect.contrasts if c.estimate is not None]
        if known:
            largest = max(known, key=lambda c: abs(c.estimate or 0))
            found.append(Sensitivity(effect.axis, before[effect.axis], effect.verdict, largest))
    return found

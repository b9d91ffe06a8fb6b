"""What else could change the answers: runs that did not finish, and other test images."""

from dataclasses import dataclass

import pandas as pd
from scipy.stats import binomtest

from ablate.records.metrics import METRICS
from ablate.records.run_folder import RunFolder
from ablate.records.study_plan import StudyPlan
from ablate.report.checks import chance, new_images
from ablate.report.checks.new_images import OnImages
from ablate.report.checks.outliers import Outlier, outlier
from ablate.report.stats.effects import estimate_effects
from ablate.report.stats.verdicts import Contrast, Effects, Verdict
from ablate.report.study.compared import compared, with_columns
from ablate.report.study.gather import StudyData

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


def shares(runs: pd.DataFrame, plan: StudyPlan) -> list[Share]:
    """One per level of every axis and each end that any run of the study had."""
    comparisons = compared(runs, plan.axes, plan.nested)
    runs = with_columns(runs, comparisons)
    ended = runs[runs["state"].isin(["DONE", *ENDS])]
    found = []
    for axis, levels in ((one.name, one.levels) for one in comparisons):
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
    """An axis's answer where runs that diverged count as guessing, next to the one that leaves them out."""

    axis: str
    verdict: Verdict
    otherwise: Verdict
    contrast: Contrast  # the largest difference with them, in the same order of levels


def with_chance(runs: pd.DataFrame, plan: StudyPlan, classes: int) -> list[Sensitivity]:
    """The answers if runs that diverged had reached the accuracy of chance, 1 / classes; [] where none diverged.

    Only divergence is an outcome; lack of memory and failures say nothing of what training would have reached.
    """
    metric = plan.metric
    gone = (runs["state"] == "DIVERGED").to_numpy()
    if not gone.any() or METRICS[metric].unit != "points" or not classes:
        return []
    values = runs[metric] if metric in runs else pd.Series(float("nan"), index=runs.index)
    states = runs["state"].where(~gone, "DONE")
    counted = runs.assign(**{metric: values.where(~gone, 1 / classes), "state": states})
    if "weights_sha256" in runs:
        counted["weights_sha256"] = runs["weights_sha256"].where(~gone, None)
    before = {effect.axis: effect.average for effect in estimate_effects(runs, plan, p_values=False).axes}
    found = []
    for effect in estimate_effects(counted, plan, p_values=False).axes:
        known = [c for c in effect.contrasts if c.estimate is not None]
        if known:
            largest = max(known, key=lambda c: abs(c.estimate or 0))
            found.append(Sensitivity(effect.axis, before[effect.axis], effect.average, largest))
    return found


@dataclass(frozen=True)
class Robustness:
    """`why` says why there is nothing on images, where there is nothing."""

    failures: list[Share]
    outlier: Outlier | None
    unlearnt: dict[str, list[str]]  # {axis: levels at which no run is better than guessing}
    resolution: float  # what one test image is worth, in points; 0 where that is unknown
    with_chance: list[Sensitivity]
    chance: float  # 1 / classes; 0 where no record names the classes
    images: list[OnImages]
    why: str


def robustness(study: StudyData, effects: Effects) -> Robustness:
    """Look at what did not finish, and at the predictions of what did."""
    classes = _classes(study)
    right: dict[str, new_images.Right] = {}
    why = ""
    if effects.metric == "test_accuracy":
        right, why = new_images.correct(study)
    return Robustness(
        failures=shares(study.runs, study.plan),
        outlier=outlier(study.runs, study.plan),
        unlearnt=chance.unlearnt(study.runs, study.plan),
        resolution=chance.resolution(study.runs),
        with_chance=with_chance(study.runs, study.plan, classes),
        chance=1 / classes if classes else 0.0,
        images=new_images.on_images(study, effects, right) if right else [],
        why=why,
    )


def _classes(study: StudyData) -> int:
    """The number of classes, by the first record that names them; 0 where none does."""
    for name in study.runs["folder"]:
        if name:
            try:
                data = RunFolder(study.folder / name).read().data
            except ValueError:
                continue
            if data is not None:
                return len(data.classes)
    return 0

"""What the report knows of a study, computed once and handed to every section."""

import dataclasses
from dataclasses import dataclass

import pandas as pd

from ablate.records.metrics import METRICS, Metric, canonical, on_the_holdout, smallest_difference
from ablate.report.caveats import Caveats, caveats_of
from ablate.report.checks.robustness import Robustness, robustness
from ablate.report.stats.effects import estimate_effects
from ablate.report.stats.ranking import Ranking, ranking
from ablate.report.stats.settle import Settlement, settlement
from ablate.report.stats.verdicts import Effects
from ablate.report.study import matrices, tables
from ablate.report.study.gather import StudyData
from ablate.report.study.matrices import Matrices
from ablate.report.study.scores import with_scores
from ablate.report.study.tables import AxisTable


@dataclass(frozen=True)
class Analysis:
    """A study, judged by one metric.

    leaderboard: see study.tables. levels: {axis: its levels side by side}; empty without a finished run. settlements:
    {axis: what would settle it}; None for one that is settled. best_run: the run that represents the study, with its
    confusion matrices, or why they cannot be shown; None where no holdout can choose one.
    """

    study: StudyData
    declared_metric: str  # the study's own, where it is judged by another one
    effects: Effects
    leaderboard: pd.DataFrame
    ranking: Ranking | None
    levels: dict[str, AxisTable]
    settlements: dict[str, Settlement | None]
    caveats: Caveats
    robustness: Robustness
    best_run: pd.Series | None
    matrices: Matrices | str

    @property
    def metric(self) -> Metric:
        """The metric by which it is judged."""
        return METRICS[self.effects.metric]


def analyse(study: StudyData, metric: str | None = None, delta: float | None = None) -> Analysis:
    """Judge a study by its own metric and delta, or by others.

    Raises ValueError for a metric that there is not, and where the study's delta is in another unit.
    """
    declared = study.plan.metric
    study = judged_by(study, metric and canonical(metric), delta)
    study = with_scores(with_scores(study, study.plan.metric), on_the_holdout(study.plan.metric))
    effects = estimate_effects(study.runs, study.plan).decisive_first()
    board = tables.leaderboard(study)
    ranked = len(study.finished) and tables.ranked_by(study.finished, study.plan.metric) is not None
    best = matrices.best_run(study, board) if ranked else None
    return Analysis(
        study=study,
        declared_metric=declared,
        effects=effects,
        leaderboard=board,
        ranking=ranking(study, board),
        levels={e.axis: tables.axis_table(study, e.axis, effects.metric) for e in effects.axes if len(study.finished)},
        settlements={effect.axis: settlement(effects, effect) for effect in effects.axes},
        caveats=caveats_of(study),
        robustness=robustness(study, effects),
        best_run=best,
        matrices="no run has finished yet" if best is None else _matrices(study, best),
    )


def judged_by(study: StudyData, metric: str | None, delta: float | None) -> StudyData:
    """The study with another metric or delta than its plan declares. Raises ValueError as analyse."""
    plan = study.plan
    metric = metric or plan.metric
    if delta is None and metric in METRICS and METRICS[metric].unit == METRICS[plan.metric].unit:
        delta = plan.delta
    delta = smallest_difference(metric, delta, "--delta N")
    return dataclasses.replace(study, plan=dataclasses.replace(plan, metric=metric, delta=delta))


def _matrices(study: StudyData, run: pd.Series) -> Matrices | str:
    if study.origin is not None:
        return ""  # others keep none, which needs no word
    try:
        return matrices.load(study.folder / run["folder"])
    except ValueError as error:
        return str(error)

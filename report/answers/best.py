"""What a study was, and the combination to take: the best by the holdout, and the command that trains it."""

import math
import shlex
from dataclasses import dataclass
from statistics import NormalDist

import pandas as pd

from ablate.records.metrics import METRICS
from ablate.report.analysis import Analysis
from ablate.report.answers.sentences import listed
from ablate.report.page import numbers
from ablate.report.study import tables, tried
from ablate.report.study.gather import StudyData


@dataclass(frozen=True)
class Best:
    """The combination with the best holdout score. Accuracies are fractions."""

    name: str
    seeds: int
    combinations: int
    accuracy: float
    sd: float | None
    low: float | None
    high: float | None
    about: str  # what the interval is about
    ties: int | None  # other combinations that the holdout cannot separate from it; None where that is unknown
    command: str
    chosen_by: str  # a metric of the holdout, in words


def what_it_was(study: StudyData) -> str:
    """One line: runs, data, metric, date."""
    plan, runs = study.plan, study.runs
    settings = plan.settings_of(plan.cells[0]) if plan.cells else {}
    data = settings.get("data.name", "")
    if {"test_images", "classes"} <= set(runs) and runs["test_images"].notna().any():
        images = listed([f"{int(n):,}" for n in sorted(runs["test_images"].dropna().unique())])
        data = f"{data} ({images} test images, {int(runs['classes'].max())} classes)".strip()
    seeds = numbers.count(len(plan.seeds), "seed")
    runs_of = f"{len(study.finished)} of {numbers.count(len(runs), 'run')} finished{_unfinished(study)}, {seeds}"
    parts = [f"{runs_of}, {plan.design.replace('_', ' ')} design" if study.axes else runs_of]
    parts += [_tuning(study)] if plan.tuning is not None else []
    parts += [f"Data: {data}"] if data else []
    parts.append(f"Metric: {METRICS[plan.metric].label}")
    parts += [f"Last changed {plan.amendments[-1].at[:10]}"] if plan.amendments and plan.amendments[-1].at else []
    return ". ".join(parts) + "."


def _tuning(study: StudyData) -> str:
    """What was tuned, by how many runs."""
    trials = study.trials
    ended = int((trials["state"] == "DONE").sum()) if len(trials) else 0
    seeds = numbers.count(len(study.plan.tuning.seeds) if study.plan.tuning is not None else 0, "tuning seed")
    return f"Tuning: {tried.in_words(study)}, {seeds}, {ended} of {numbers.count(len(trials), 'tuning run')} finished"


def _unfinished(study: StudyData) -> str:
    states = study.runs["state"].value_counts()
    ends = ", ".join(f"{count} {state}" for state, count in states.items() if state != "DONE")
    return f" ({ends})" if ends else ""


def best(analysis: Analysis) -> Best | None:
    """The recommendation; None without a finished run."""
    study, board, ranking = analysis.study, analysis.leaderboard, analysis.ranking
    if board.empty or analysis.best_run is None:
        return None
    top = board.iloc[0]
    mean, sd = float(top["test_accuracy_mean"]), top["test_accuracy_sd"]
    low = high = None
    about = ""
    if ranking is not None:
        half = ranking.half(top["n"])
        low, high, about = mean - half, mean + half, "over other seeds"
    elif (images := analysis.best_run.get("test_images")) and not math.isnan(images):
        low, high = _wilson(mean, int(images))
        about = "for other test images"
    return Best(
        name=_named(study, top),
        seeds=int(top["n"]),
        combinations=len(board),
        accuracy=mean,
        sd=None if sd != sd else float(sd),
        low=low,
        high=high,
        about=about,
        ties=None if ranking is None else len(ranking.ties) - 1,
        command=_trains(study, analysis.best_run["command"]),
        chosen_by=METRICS[tables.ranked_by(study.finished, study.plan.metric)].label,
    )


def _named(study: StudyData, row: pd.Series) -> str:
    chosen = study.chosen.get(int(row["cell"]), {})
    tuned = [tables.level_name(key, value) for key, value in chosen.items()]
    named = [tables.level_name(axis, row[axis]) for axis in study.axes] or ["the only combination"]
    return ", ".join([*named, *tuned])


def in_words(found: Best) -> str:
    text = f"{100 * found.accuracy:.1f} % test accuracy"
    if found.sd is not None:
        text = f"{100 * found.accuracy:.1f} ± {100 * found.sd:.1f} % test accuracy"
    if found.low is not None and found.high is not None:
        low, high = max(0.0, found.low), min(1.0, found.high)
        text += f" (95 % interval {100 * low:.1f} to {100 * high:.1f} {found.about}, {_seeds(found)})"
    else:
        text += f" ({_seeds(found)})"
    if found.combinations < 2:
        return f"{text}."
    text += f". Chosen by {found.chosen_by} among {found.combinations} combinations"
    if found.ties is None:
        return f"{text}; with one seed, ties are unknown."
    return f"{text}; {found.ties or 'no'} {'other ties' if found.ties == 1 else 'others tie'} with it."


def _seeds(found: Best) -> str:
    return numbers.count(found.seeds, "seed")


def _wilson(share: float, images: int) -> tuple[float, float]:
    """Wilson's interval of a share (Journal of the American Statistical Association 22, 1927)."""
    z = NormalDist().inv_cdf(0.975)
    middle = (share + z**2 / (2 * images)) / (1 + z**2 / images)
    half = z * math.sqrt(share * (1 - share) / images + z**2 / (4 * images**2)) / (1 + z**2 / images)
    return middle - half, middle + half


def _trains(study: StudyData, command: object) -> str:
    """A run's own command, to train it outside of its study: a preset would name the study again."""
    words = [word for word in words_of(command) if not word.startswith("study.")]
    preset = any(word.startswith("study=") for word in words)
    return shlex.join([*words, f"study.name={study.plan.name}-best"] if preset else words)


def words_of(command: object) -> list[str]:
    """The words of a recorded command; none where it is not one of ours, whatever a record says."""
    try:
        words = shlex.split(str(command))
    except ValueError:
        return []
    return words if words[:3] == ["python", "-m", "ablate"] else []

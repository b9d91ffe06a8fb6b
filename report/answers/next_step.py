"""What to do after reading a report: the one command that would settle the most, with its cost."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from ablate.records import durations
from ablate.report.analysis import Analysis
from ablate.report.answers import rows, sentences
from ablate.report.answers.best import words_of
from ablate.report.answers.sentences import listed
from ablate.report.page import numbers
from ablate.report.stats.verdicts import Verdict
from ablate.report.study import tables
from ablate.report.study.gather import StudyData

WORTH = 10  # times as many runs as the study has: more are not proposed
NOT_OF_THE_PLAN = ("seeds", "seed", "dry_run", "force", "retry", "--multirun", "-m")
LOOK = 24  # runs that are proposed for any study


@dataclass(frozen=True)
class Step:
    """A command to give next, why, and what it costs; no command where none helps."""

    why: str
    command: str = ""
    runs: int = 0
    seconds: float | None = None  # of training, all runs together


def step(analysis: Analysis) -> Step:
    """The one command that would settle the most, or why there is none."""
    study, effects = analysis.study, analysis.effects
    commands = _study_commands(study)
    left = len(study.runs.drop_duplicates("signature")) - len(study.finished.drop_duplicates("signature"))
    unfinished = study.runs[~study.runs["state"].isin(["DONE", "DIVERGED", "OOM", "MIXED"])]
    if len(unfinished):
        runs = unfinished["signature"].nunique()
        return Step(f"train what is missing ({_cost(study, runs)}).", "\n".join(commands), runs, _seconds(study, runs))
    if not len(study.finished):
        return Step(f"none of {numbers.count(left, 'run')} has a result; the causes are listed below.")
    if not study.axes:
        return _compare_something(commands)
    if effects.lacks_fit and (command := separating(analysis)) is not None:
        return Step("train a grid of the two axes that most likely interact.", command)
    return _more_seeds(analysis, commands) or _by_hand(analysis)


def _more_seeds(analysis: Analysis, commands: Sequence[str]) -> Step | None:
    """The number of seeds that settles the most axes for the fewest runs; None where that is out of reach."""
    study, effects = analysis.study, analysis.effects
    found = [s for s in analysis.settlements.values() if s is not None and s.seeds is not None and s.runs]
    within = [s for s in found if (s.runs or 0) <= max(LOOK, WORTH * len(study.finished))]
    if not within or not commands:
        return None
    cheapest = min(within, key=lambda s: s.runs or 0)
    # A seed more that settles another axis too is worth its runs.
    most = max((s for s in within if (s.runs or 0) <= 2 * (cheapest.runs or 0)), key=lambda s: s.runs or 0)
    names = [tables.axis_name(s.axis) for s in within if (s.seeds or 0) <= (most.seeds or 0)]
    assert most.seeds is not None and most.runs is not None
    why = f"{most.seeds} seeds would probably settle {listed(names)} ({_cost(study, most.runs)})."
    rest = [tables.axis_name(axis) for axis, s in analysis.settlements.items() if s is not None and s not in within]
    if rest:
        why += f" {listed(rest).capitalize()}: not worth settling at {sentences.smallest(effects)}."
    command = "\n".join(f"{one} seeds={most.seeds}" for one in commands)
    return Step(why, command, most.runs, _seconds(study, most.runs))


def _by_hand(analysis: Analysis) -> Step:
    """Where no number of runs is proposed."""
    effects = analysis.effects
    open_axes = [tables.axis_name(axis) for axis, s in analysis.settlements.items() if s is not None]
    for effect in effects.axes:
        if effect.verdict in (Verdict.MATTERS, Verdict.REAL) and (words := rows.trend(analysis, effect)):
            text = words[0]
            if "try" in text:
                return Step(f"{tables.axis_name(effect.axis)}: {text[0].lower()}{text[1:]}")
    if open_axes:
        reason = "more seeds than are worth training" if len(effects.axes) else "more runs"
        return Step(f"{listed(open_axes)} would take {reason} to settle at {sentences.smallest(effects)}; raise "
                    "study.delta, or choose levels that differ more.")  # fmt: skip
    run = analysis.best_run
    if run is None:
        return Step("nothing is open.")
    return Step(
        f"every axis is settled at {sentences.smallest(effects)}. Check that the best run repeats to the bit.",
        shlex.join(["python", "-m", "ablate", "reproduce", str(analysis.study.folder / run["folder"])]),
    )


def _compare_something(commands: Sequence[str]) -> Step:
    why = "one combination says nothing about choices. Name two levels of an axis and three seeds to compare them."
    return Step(why, f"{commands[0]} optimizer=adam,sgd seeds=3" if commands else "")


def _study_commands(study: StudyData) -> list[str]:
    """The commands that planned the study, without what says how many seeds; none that is not ours."""
    found = []
    for amendment in study.plan.amendments:
        words = words_of(amendment.command)
        if words and amendment.runs_added:
            kept = [word for word in words[3:] if word.partition("=")[0] not in NOT_OF_THE_PLAN]
            found.append(shlex.join([*words[:3], *kept]))
    return list(dict.fromkeys(found))


def _cost(study: StudyData, runs: int) -> str:
    seconds = _seconds(study, runs)
    about = "" if seconds is None else f", about {durations.in_words(seconds)} of training"
    return f"{numbers.count(runs, 'more run')}{about}"


def _seconds(study: StudyData, runs: int) -> float | None:
    finished = study.finished
    if "seconds" not in finished or finished["seconds"].isna().all():
        return None
    return float(finished["seconds"].mean()) * runs


def separating(analysis: Analysis) -> str | None:
    """The command that trains a grid of the two axes that are likeliest to interact; None where no terms lack."""
    fit, plan = analysis.effects.lack_of_fit, analysis.study.plan
    if fit is None or not analysis.effects.lacks_fit or not fit.likely or not plan.amendments:
        return None
    words = words_of(plan.amendments[0].command)
    if not words:
        return None
    ours = (*analysis.study.axes, "study.design", "study.cells", "study.name", "seeds", "seed", "dry_run", "force")
    kept = [word for word in words if word.partition("=")[0].lstrip("+") not in ours]
    levels = {axis: [level] for axis, level in analysis.effects.recommended}
    levels |= {axis: analysis.study.axes[axis] for axis in fit.likely[0]}
    named = [f"{axis}={','.join(some)}" for axis, some in levels.items()]
    return shlex.join([*kept, *named, f"seeds={analysis.effects.seeds}", "study.design=grid"])

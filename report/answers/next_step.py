"""What to do after reading a report: the one command that would settle the most, with its cost."""

import re
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
from ablate.report.study import tables, tried
from ablate.report.study.gather import StudyData

WORTH = 10  # times as many runs as the study has: more are not proposed
NOT_AGAIN = ("dry_run", "force", "retry", "--multirun", "-m")  # of a command that is given once more
RATE = "optimizer.lr"
OF_THE_RATE = ("optimizer", "optimizer.name", "batch_size", "batch_size.size")  # axes whose best rates differ
MULTIPLES = ("x0.1", "x0.3", "x1", "x3")  # of each level's own rate
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
    unfinished = study.runs[~study.runs["state"].isin(["DONE", "DIVERGED", "OOM", "MIXED"])]
    if len(unfinished):
        runs = unfinished["signature"].nunique()
        again = "\n".join(_study_commands(study, without=NOT_AGAIN))
        return Step(f"train what is missing ({_cost(study, runs)}).", again, runs, _seconds(study, runs))
    if waiting := _trials_left(study):
        return waiting
    if not len(study.finished):
        return Step(f"none of {numbers.count(study.runs['signature'].nunique(), 'run')} has a result; see the causes.")
    if not study.axes:
        return _compare_something(study)
    if effects.lacks_fit and (command := separating(analysis)) is not None:
        return Step("train a grid of the two axes that most likely interact.", command)
    return _more_seeds(analysis) or _at_its_best(analysis) or _beyond_the_edge(analysis) or _nothing_more(analysis)


def _trials_left(study: StudyData) -> Step | None:
    """Said where combinations are not compared yet, as their trials have not ended."""
    waiting = [one for one in tried.searched(study) if not one.chosen and not one.failed]
    if not waiting:
        return None
    trials = study.trials
    left = trials[~trials["state"].isin(["DONE", "DIVERGED", "OOM"])]["signature"].nunique() if len(trials) else 0
    again = "\n".join(_study_commands(study, without=NOT_AGAIN))
    return Step(f"finish the tuning ({numbers.count(left, 'tuning run')} left), then compare.", again, left)


def _more_seeds(analysis: Analysis) -> Step | None:
    """The number of seeds that settles the most axes for the fewest runs; None where that is out of reach."""
    study, effects = analysis.study, analysis.effects
    commands = _study_commands(study, without=(*NOT_AGAIN, "seeds", "seed"))
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
        why += f" Not worth settling at {sentences.smallest(effects)}: {listed(rest)}."
    command = "\n".join(f"{one} seeds={most.seeds}" for one in commands)
    return Step(why, command, most.runs, _seconds(study, most.runs))


def _at_its_best(analysis: Analysis) -> Step | None:
    """Where a difference is claimed whose levels had an untuned learning rate: the study that tunes it."""
    study = analysis.study
    if study.plan.tuning is not None or RATE in study.axes:
        return None
    claimed = [e.axis for e in analysis.effects.axes if e.axis in OF_THE_RATE and e.average in sentences.CLAIMS]
    commands = _study_commands(study, without=(*NOT_AGAIN, RATE))
    if not claimed or not commands:
        return None
    name = tables.axis_name(claimed[0])
    why = f"compare each {name} at its best: the learning rate was not tuned. This is a study of its own."
    return Step(why, f"{commands[-1]} tune.{RATE}={','.join(MULTIPLES)}")


def _beyond_the_edge(analysis: Analysis) -> Step | None:
    """Where the best of an axis's numbers is the largest or smallest tried: the next one."""
    for effect in analysis.effects.axes:
        beyond = rows.beyond(analysis, effect)
        if beyond is None or effect.verdict not in (Verdict.MATTERS, Verdict.REAL):
            continue
        name = tables.axis_name(effect.axis)
        commands = _study_commands(analysis.study, without=NOT_AGAIN)
        wider = [re.sub(rf"( {re.escape(effect.axis)}=[^ '\"]*)", rf"\g<1>,{beyond:g}", one) for one in commands]
        return Step(f"the best {name} lies at the edge of those tried; try {beyond:g}.", "\n".join(wider))
    return None


def _nothing_more(analysis: Analysis) -> Step:
    """Where no number of runs is proposed."""
    delta = sentences.smallest(analysis.effects)
    left = [s for s in analysis.settlements.values() if s is not None]
    if left:
        names = listed([tables.axis_name(s.axis) for s in left])
        if not any(s.by_seeds for s in left):
            return Step(f"more seeds would not settle {names}; more combinations would (study.design=grid).")
        return Step(
            f"{names} would take more seeds than are worth training to settle at {delta}; raise study.delta, or choose "
            "levels that differ more."
        )
    run = analysis.best_run
    if run is None:
        return Step("nothing is open.")
    return Step(
        f"every axis is settled at {delta}. Check that the best run repeats to the bit.",
        shlex.join(["python", "-m", "ablate", "reproduce", str(analysis.study.folder / run["folder"])]),
    )


def _compare_something(study: StudyData) -> Step:
    why = "one combination says nothing about choices. Name two levels of an axis and three seeds to compare them."
    commands = _study_commands(study, without=(*NOT_AGAIN, "seeds", "seed", "optimizer"))
    return Step(why, f"{commands[0]} optimizer=adam,sgd seeds=3" if commands else "")


def _study_commands(study: StudyData, without: Sequence[str]) -> list[str]:
    """The commands that planned the study, without some of their words; none that is not ours."""
    found = []
    for amendment in study.plan.amendments:
        words = words_of(amendment.command)
        if words and (amendment.runs_added or amendment.trials_added):
            kept = [word for word in words[3:] if word.partition("=")[0] not in without]
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

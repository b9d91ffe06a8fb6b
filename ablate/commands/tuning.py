"""The tuning runs of a sweep: what is said of them, and the choice of each combination's values once they end."""

import dataclasses
from collections import Counter
from collections.abc import Collection, Iterator, Sequence

from ablate.design import choosing
from ablate.plan.planned_run import Planned, PlannedRun, unique
from ablate.plan.tuning.search import Combination, Search
from ablate.records.metrics import METRICS
from ablate.records.record import State

SHOWN = 8  # choices, then how many more
ENDED = (State.DONE, State.OOM, State.DIVERGED, State.FAILED)  # of a run that this sweep trains no further


def shape(planned: Planned, search: Search, compared: str, todo: Sequence[PlannedRun]) -> list[str]:
    """What a tuned study tries, and what it compares then."""
    runs, left = unique(search.runs), {run.signature for run in todo}
    open_runs = sum(run.is_open for run in planned.runs)
    counts = sorted({len(one.trials) for one in search.combinations})
    each = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    seeds = f"seed{'s' * (len(search.seeds) > 1)} {_listed(search.seeds)}"
    trained = sum(run.signature in left for run in runs)
    finished = len({run.signature for run in planned.runs if not run.is_open and run.signature not in left})
    name = planned.runs[0].config.study.name
    return [
        f"study {name}: tuning {' and '.join(search.keys)} in {_count(len(search.combinations), 'combination')} by "
        f"{each} trials each with {seeds} = {len(runs)} runs, {len(runs) - trained} finished, {trained} to train",
        f"  then the comparison with the values chosen: {compared}, {finished} finished"
        + (f", {open_runs} wait for the choice" if open_runs else ""),
        *(f"  tune.{ask.knob.key}={ask.knob.typed[0]} is drawn {ask.knob.interval.scale}"
          for ask in search.asks if ask.knob.interval is not None),
    ]  # fmt: skip


def without(planned: Planned, refused: Collection[str]) -> Planned:
    """The plan without the trials that cannot be trained, and without combinations that have none left."""
    search = planned.search
    if search is None:
        return planned
    for one in search.combinations:
        fit = [not any(run.signature in refused for run in of.values()) for of in one.runs]
        one.trials = [trial for trial, fits in zip(one.trials, fit, strict=True) if fits]
        one.runs = [runs for runs, fits in zip(one.runs, fit, strict=True) if fits]
    gone = [one.named for one in search.combinations if one.chosen is None and not one.trials]
    search.combinations = [one for one in search.combinations if one.named not in gone]
    return dataclasses.replace(planned, runs=[run for run in planned.runs if run.named not in gone])


def states(search: Search) -> str:
    """How many tuning runs are in each state."""
    records = [run.record() for run in unique(search.runs)]
    counts = Counter(str(record.state) if record is not None else "not trained" for record in records)
    return ", ".join(f"{count} {state}" for state, count in counts.items())


def chosen(planned: Planned, search: Search) -> Planned:
    """The plan with the runs that compare, for every combination whose trials have ended; prints the choices.

    A combination without any result is left out; one with unfinished trials waits for the next command.
    """
    use_a_known_metric(search)
    new = [one for one in search.waiting() if all(_ended(run) for run in one.every_run())]
    for one in new:
        number = choosing.choose(scores_of(search, one), less_is_better=METRICS[search.metric].less_is_better)
        one.chosen = None if number is None else one.trials[number]
    for line in _lines(search, new):
        print(line, flush=True)
    return dataclasses.replace(planned, runs=[run for run in search.compared() if not run.is_open])


def use_a_known_metric(search: Search) -> None:
    """Choose by the accuracy on the holdout where not every result has the study's own metric there."""
    results = [record for run in search.runs if (record := run.record()) is not None and record.has_result()]
    if any(record.metrics.get(search.metric) is None for record in results):
        search.metric = "holdout_accuracy"


def scores_of(search: Search, one: Combination) -> list[list[float | None]]:
    """Each trial's scores over the tuning seeds; None for a run without a result."""
    return [[_score(run, search.metric) for run in of_trial.values()] for of_trial in one.runs]


def _score(run: PlannedRun, metric: str) -> float | None:
    record = run.record()
    return record.metrics.get(metric) if record is not None and record.has_result() else None


def _ended(run: PlannedRun) -> bool:
    record = run.record()
    return record is not None and record.state in ENDED


def _lines(search: Search, new: list[Combination]) -> Iterator[str]:
    metric = METRICS[search.metric]
    made = [one for one in new if one.chosen is not None]
    if made:
        yield f"chosen by {metric.label} (tuning seed{'s' * (len(search.seeds) > 1)} {_listed(search.seeds)}):"
    for one in made[:SHOWN]:
        values = ", ".join(f"{key}={value}" for key, value in (one.chosen or {}).items())
        yield f"  {one.name}: {values} (of {len(one.trials)} trials)"
    if len(made) > SHOWN:
        yield f"  … and {len(made) - SHOWN} more"
    for one in new:
        if one.chosen is None:
            yield f"  left out: {one.name}, as none of its {len(one.trials)} trials has a result"
    if unfinished := [one for one in search.waiting() if one not in new]:
        yield f"  {len(unfinished)} combinations wait, as their trials have not finished; the same command continues"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _listed(seeds: list[int]) -> str:
    return ", ".join(map(str, seeds))

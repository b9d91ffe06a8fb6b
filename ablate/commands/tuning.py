"""Between the tuning runs of a sweep and its comparison: each combination's values are chosen, and said."""

import dataclasses
from collections.abc import Iterator

from ablate.design import choosing
from ablate.plan.planned_run import Planned, PlannedRun
from ablate.plan.tuning.search import Combination, Search
from ablate.records.metrics import METRICS
from ablate.records.record import State

SHOWN = 8  # choices, then how many more
ENDED = (State.DONE, State.OOM, State.DIVERGED, State.FAILED)  # of a run that this sweep trains no further


def chosen(planned: Planned, search: Search) -> Planned:
    """The plan with the runs that compare, for every combination whose trials have ended; prints the choices.

    A combination without any result is left out; one with unfinished trials waits for the next command.
    """
    use_a_known_metric(search)
    new = [one for one in search.waiting() if all(_ended(run) for of in one.runs for run in of.values())]
    for one in new:
        number = choosing.choose(scores_of(search, one), less_is_better=METRICS[search.metric].less_is_better)
        one.chosen = None if number is None else one.trials[number]
    print("\n".join(_lines(search, new)), flush=True)
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
        yield f"chosen by {metric.label}, averaged over tuning seed{'s' * (len(search.seeds) > 1)} {_listed(search.seeds)}:"
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


def _listed(seeds: list[int]) -> str:
    return ", ".join(map(str, seeds))

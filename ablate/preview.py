"""What `dry_run=true` prints: the runs, what they can tell, and what they will cost. No torch, unless it measures."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ablate import durations, estimate, power
from ablate.estimate import Cost, Kind, gigabytes
from ablate.metrics import METRICS
from ablate.plan import PlannedRun
from ablate.planning import Planned
from ablate.record import State
from ablate.slots import slots

SHOWN = 3  # runs of each group, then how many more
TOLD = 8  # sentences of each kind


def lines(planned: Planned, todo: Sequence[PlannedRun], measure: bool) -> list[str]:
    """All of it; with `measure`, kinds of runs that no record knows are trained for a few steps."""
    entries = {run.signature: read(run) for run in planned.runs}
    return [*the_runs(planned, todo, entries), *what_they_tell(planned, entries), *the_cost(todo, entries, measure)]


def read(run: PlannedRun) -> dict[str, Any]:
    try:
        return run.folder().read()
    except ValueError:
        return {}


# -- the runs ---------------------------------------------------------------------------------


def the_runs(planned: Planned, todo: Sequence[PlannedRun], entries: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    distinct = {run.signature: run for run in reversed(planned.runs)}
    wanted = {run.signature for run in todo}
    groups: dict[str, list[str]] = {"done": [], "ended otherwise, and left so": [], "to go on with": [], "to train": []}
    for signature, run in reversed(distinct.items()):
        state = entries[signature].get("state")
        name = f"{run.label}-{signature}"
        if signature not in wanted:
            groups["done" if state == State.DONE else "ended otherwise, and left so"].append(
                name if state == State.DONE else f"{state}  {name}"
            )
        elif state is not None and not State(state).is_outcome() and run.folder().checkpoint.exists():
            groups["to go on with"].append(f"{state}  {name}")
        else:
            groups["to train"].append(name if state is None else f"{state}  {name}")
    groups["the same experiment under another name"] = [
        f"{', '.join(levels[axis] for axis in planned.axes)}, seed {run.config.seed}: {run.label}-{run.signature}"
        for run, levels in zip(planned.runs, planned.levels, strict=True)
        if distinct[run.signature] is not run
    ]
    for group, names in groups.items():
        if names:
            yield f"{group}: {len(names)}"
            yield from folded(names, SHOWN)


def folded(names: Sequence[str], shown: int) -> Iterator[str]:
    keep = len(names) if len(names) <= shown + 1 else shown
    yield from (f"  {name}" for name in names[:keep])
    if len(names) > keep:
        yield f"  … and {len(names) - keep} more"


# -- what they can tell -----------------------------------------------------------------------


def what_they_tell(planned: Planned, entries: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    if not planned.axes:
        return
    study = planned.runs[0].config.study
    metric = METRICS[study.metric]
    yield f"what this design can tell ({study.design.replace('_', ' ')}):"
    yield from folded(power.conclusions(study.design, planned.levels, planned.axes), TOLD)
    results: dict[str, list[float]] = {}
    for run, levels in zip(planned.runs, planned.levels, strict=True):
        entry = entries[run.signature]
        value = {"seconds": entry.get("seconds"), **entry.get("metrics", {})}.get(study.metric)
        if entry.get("state") == State.DONE and value is not None:
            results.setdefault(str(levels), []).append(metric.scale * value)
    measured = power.noise(results)
    if measured is None and metric.unit != "points":
        yield f"  how small a difference: unknown until two seeds of a combination have measured their {metric.label}"
        return
    sd = power.ASSUMED_SD if measured is None else measured
    source = "assumed" if measured is None else "as measured in this study"
    runs = [(levels, run.config.seed) for run, levels in zip(planned.runs, planned.levels, strict=True)]
    smallest = power.detectable(study.design, runs, planned.axes, sd)
    if power.error_freedom(study.design, runs, planned.axes) is None:
        yield "  how small a difference: cannot tell, as nothing estimates the training noise; give seeds=2 or more"
        return
    if len({seed for _, seed in runs}) == 1:
        none = "no three axes" if study.design == "grid" else "no axes"
        yield f"  with one seed the error is taken from what the model leaves over, as if {none} interacted"
    noise = f"{sd:.2g} {metric.unit} of noise between seeds ({source})"
    yield f"  smallest difference told in 4 of 5 such studies, with {noise}:"
    told = [
        f"  {axis} ({len(planned.axes[axis])} levels): {'cannot tell' if size is None else f'{size:.2g} {metric.unit}'}"
        for axis, size in smallest.items()
    ]
    yield from folded(told, TOLD)


# -- what they cost ---------------------------------------------------------------------------


def the_cost(todo: Sequence[PlannedRun], entries: Mapping[str, dict[str, Any]], measure: bool) -> Iterator[str]:
    if not todo:
        return
    kinds: dict[Kind, PlannedRun] = {}
    for run in todo:
        kinds.setdefault(estimate.kind_of(run.identity), run)
    known = estimate.read(Path(todo[0].config.study.root).expanduser(), kinds)
    recorded = len(known)
    if measure:
        known |= measured({kind: run for kind, run in kinds.items() if kind not in known})
    unknown = [estimate.in_words(kind) for kind in kinds if kind not in known or not known[kind].seconds_per_epoch]
    at_once = len(slots(todo))
    done = [entries[run.signature].get("epochs_done", 0) if going_on(run) else 0 for run in todo]
    seconds = [estimate.seconds_left(run, known, epochs) for run, epochs in zip(todo, done, strict=True)]
    of_known = [s for s in seconds if s is not None]
    source = f"{recorded} of {len(kinds)} kinds of runs are on record"
    if measure:
        source += f", {len(known) - recorded} were measured over a few steps"
    yield f"what it will cost ({source}):"
    yield f"  time: {time_in_words(of_known, len(todo), at_once)}"
    most = estimate.most_memory(known)
    yield f"  memory: {'unknown' if most is None else f'up to {gigabytes(most)} a run'}"
    space = estimate.disk(todo, known)
    yield f"  disk: {f'about {gigabytes(space)}' if space else 'unknown'}"
    if unknown:
        yield f"  unknown: {len(unknown)} kinds{'' if measure else '; dry_run=measure tries a few steps of each'}"
        yield from (f"  {line}" for line in folded(unknown, SHOWN))
    if tight := estimate.will_not_fit(known, at_once):
        yield f"memory will be short for {len(tight)} kinds of runs:"
        yield from folded(tight, SHOWN)


def going_on(run: PlannedRun) -> bool:
    return not run.config.force and run.folder().checkpoint.exists()


def time_in_words(seconds: Sequence[float], count: int, at_once: int) -> str:
    if not seconds:
        return "unknown"
    total = durations.in_words(durations.left(seconds, at_once))
    return f"about {total}, {at_once} at once" + (
        "" if len(seconds) == count else f", for {len(seconds)} of {count} runs"
    )


def measured(kinds: Mapping[Kind, PlannedRun]) -> dict[Kind, Cost]:
    from ablate.measure import measure  # torch, for those who ask for it

    return {kind: measure(run.config) for kind, run in kinds.items()}

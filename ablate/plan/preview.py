"""What `dry_run=true` prints: the runs, what they can estimate, and what they will cost."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from ablate.config.schema import Config
from ablate.design import combinations, power
from ablate.plan import cost
from ablate.plan.cost import Cost, gigabytes
from ablate.plan.planned_run import Planned, PlannedRun, every_run
from ablate.records import durations, study_plan
from ablate.records.durations import Kind
from ablate.records.metrics import METRICS
from ablate.records.record import Record, State

SHOWN = 3  # runs of each group, then how many more
LISTED = 8  # sentences of each kind

Records = Mapping[str, Record | None]  # {signature: what the run has left}
Measure = Callable[[Config], Cost]  # trains a few steps


def lines(planned: Planned, todo: Sequence[PlannedRun], at_once: int, measure: Measure | None = None) -> list[str]:
    """The whole preview, for `todo` with `at_once` runs at a time; `measure` tries kinds of runs without a record."""
    todo = [*todo, *(run for run in planned.runs if run.is_open)]  # which cost as much as the others
    records = {run.signature: run.record() for run in every_run(planned)}
    runs = [*the_runs(planned, todo, records), *rules(planned)]
    return [*runs, *estimates(planned, records), *costs(todo, records, at_once, measure)]


# -- the runs ---------------------------------------------------------------------------------


def the_runs(planned: Planned, todo: Sequence[PlannedRun], records: Records) -> Iterator[str]:
    """The runs by what will be done with each."""
    distinct = {run.signature: run for run in reversed(every_run(planned))}
    wanted = {run.signature for run in todo}
    groups: dict[str, list[str]] = {"finished": [], "finished in another study, to be reused": [],
                                    "ended without a result, not retried": [], "to resume": [],
                                    "to train": [], "to train with the values that are chosen": []}  # fmt: skip
    for signature, run in reversed(distinct.items()):
        record = records[signature]
        name = run.name if record is None or record.state == State.DONE else f"{record.state}  {run.name}"
        if run.is_open:
            groups["to train with the values that are chosen"].append(run.label)
        elif signature not in wanted:
            if record is None:
                groups["finished in another study, to be reused"].append(name)
            else:
                groups["finished" if record.state == State.DONE else "ended without a result, not retried"].append(name)
        elif record is not None and not record.state.is_outcome() and run.folder().checkpoint.exists():
            groups["to resume"].append(name)
        else:
            groups["to train"].append(name)
    groups["the same experiment as another run"] = [
        f"{', '.join(levels[axis] for axis in planned.axes)}, seed {run.config.seed}: {run.name}"
        for run, levels in zip(planned.runs, planned.levels, strict=True)
        if distinct[run.signature] is not run
    ]
    for group, names in groups.items():
        if names:
            yield f"{group}: {len(names)}"
            yield from folded(names, SHOWN)


def folded(names: Sequence[str], shown: int) -> Iterator[str]:
    """The first of many lines, and how many more there are."""
    keep = len(names) if len(names) <= shown + 1 else shown
    yield from (f"  {name}" for name in names[:keep])
    if len(names) > keep:
        yield f"  … and {len(names) - keep} more"


def rules(planned: Planned) -> Iterator[str]:
    """What the rules for learning rates, and budgets in steps, come to at each batch size."""
    rates: dict[str, None] = {}
    epochs: dict[str, None] = {}
    for run in planned.runs:
        optimizer, size, trainer = run.config.optimizer, run.config.batch_size.size, run.config.trainer
        if optimizer.lr_base_size is not None:
            rates.setdefault(f"{optimizer.name} at batch size {size}: {optimizer.at(size).lr:.4g}")
        if trainer.steps is not None:
            updates, images = run.budget.steps, run.budget.steps * size
            epochs.setdefault(
                f"{updates} updates at batch size {size}: {run.budget.passes:.3g} epochs, {images} images"
            )
    for what, listed in (("learning rates by optimizer.lr_base_size", rates), ("budget by trainer.steps", epochs)):
        if listed:
            yield f"{what}:"
            yield from folded(list(listed), LISTED)


# -- what they can estimate -------------------------------------------------------------------


def estimates(planned: Planned, records: Records) -> Iterator[str]:
    """What the design can estimate, and the smallest difference that it can detect."""
    if not planned.axes:
        return
    study = planned.runs[0].config.study
    metric = METRICS[study.metric]
    yield f"what this design can estimate ({study.design.replace('_', ' ')}):"
    levels_of, axes = combinations.whole_axes(planned.levels, planned.axes, planned.nested)
    yield from folded(power.conclusions(study.design, levels_of, axes), LISTED)
    results: dict[str, list[float]] = {}
    for run, levels in zip(planned.runs, planned.levels, strict=True):
        record = records[run.signature]
        if record is not None and record.state == State.DONE:
            value = record.seconds if study.metric == "seconds" else record.metrics.get(study.metric)
            if value is not None:
                results.setdefault(str(levels), []).append(metric.scale * value)
    measured = power.noise(results)
    if measured is None and metric.unit != "points":
        yield f"  smallest detectable difference: unknown until a combination has two seeds of its {metric.label}"
        return
    sd = power.ASSUMED_SD if measured is None else measured
    runs = [(levels, run.config.seed) for run, levels in zip(planned.runs, levels_of, strict=True)]
    if power.error_freedom(study.design, runs, axes) is None:
        yield "  smallest detectable difference: unknown, as nothing estimates the training noise; give seeds=2 or more"
        return
    if len({seed for _, seed in runs}) == 1:
        none = "no three axes" if study.design == "grid" else "no axes"
        yield f"  with one seed, the noise is taken from the residuals of a model in which {none} interact"
    source = "assumed" if measured is None else "as measured in this study"
    noise = f"{sd:.2g} {metric.unit} of noise between seeds ({source})"
    yield f"  smallest difference detected with 80 % power, at {noise}:"
    smallest = detected(planned, sd)
    yield from folded(
        [f"  {what}: {'unknown' if size is None else f'{size:.2g} {metric.unit}'}" for what, size in smallest.items()],
        LISTED,
    )


def detected(planned: Planned, sd: float) -> dict[str, float | None]:
    """{what is compared, in words: the smallest difference that is detected}, with a run's noise `sd`.

    A nested axis is compared within the levels that decide which it has, and their axis at the means over it.
    """
    kind = planned.runs[0].config.study.design
    runs = [(levels, run.config.seed) for run, levels in zip(planned.runs, planned.levels, strict=True)]
    levels_of, axes = combinations.whole_axes(planned.levels, planned.axes, planned.nested)
    whole = [(levels, seed) for levels, (_, seed) in zip(levels_of, runs, strict=True)]
    inside: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for axis, above in planned.nested.items():
        for place in dict.fromkeys(tuple((one, levels[one]) for one in above) for levels in planned.levels):
            here = {levels[axis] for levels in planned.levels if set(place) <= set(levels.items())}
            if axis in planned.axes and len(here - {study_plan.NOT_READ}) > 1:
                inside.setdefault(place, []).append(axis)
    judged = len(axes) + sum(map(len, inside.values()))
    found = power.detectable(kind, whole, axes, sd, judged)
    top = combinations.tops(planned.axes, planned.nested)
    freedom = power.error_freedom(kind, whole, axes)
    for axis in axes:
        if list(top.values()).count(axis) > 1 and freedom is not None:
            counts = Counter(levels[axis] for levels in planned.levels)
            found[axis] = power.of_means(list(counts.values()), freedom, sd, judged)
    named = {f"{axis} ({len(planned.axes[axis])} levels)": size for axis, size in found.items()}
    for place, some in inside.items():
        there = [(levels, seed) for levels, seed in runs if set(place) <= set(levels.items())]
        of = {axis: list(dict.fromkeys(levels[axis] for levels, _ in there)) for axis in some}
        where = " and ".join(f"{one}={level}" for one, level in place)
        for axis, size in power.detectable(kind, there, of, sd, judged).items():
            named[f"{axis} in {where} ({len(of[axis])} levels)"] = size
    return named


# -- what they cost ---------------------------------------------------------------------------


def costs(todo: Sequence[PlannedRun], records: Records, at_once: int, measure: Measure | None) -> Iterator[str]:
    """Expected time, memory and disk space, and what will not fit."""
    if not todo:
        return
    kinds: dict[Kind, PlannedRun] = {}
    for run in todo:
        kinds.setdefault(run.kind, run)
    known = cost.of_kinds(Path(todo[0].config.study.root).expanduser(), list(kinds))
    source = f"{len(known)} of {len(kinds)} kinds of runs are on record"
    if measure is not None:
        missing = {kind: run for kind, run in kinds.items() if kind not in known}
        known |= {kind: measure(run.config) for kind, run in missing.items()}
        source += f", {len(missing)} were measured over a few steps"
    unknown = [str(kind) for kind in kinds if kind not in known or not known[kind].seconds_per_epoch]
    done = [_epochs_done(run, records[run.signature]) for run in todo]
    seconds = [cost.seconds_left(run, known, epochs) for run, epochs in zip(todo, done, strict=True)]
    of_known = [s for s in seconds if s is not None]
    yield f"expected cost ({source}):"
    yield f"  time: {_time_in_words(of_known, len(todo), at_once)}"
    most = cost.most_memory(known)
    yield f"  memory: {'unknown' if most is None else f'up to {gigabytes(most)} a run'}"
    space = cost.disk(todo, known)
    yield f"  disk: {f'about {gigabytes(space)}' if space else 'unknown'}"
    if unknown:
        hint = "" if measure is not None else "; dry_run=measure tries a few steps of each"
        yield f"  unknown: {len(unknown)} kinds{hint}"
        yield from (f"  {line}" for line in folded(unknown, SHOWN))
    if tight := cost.will_not_fit(known, at_once):
        yield f"memory will be short for {len(tight)} kinds of runs:"
        yield from folded(tight, SHOWN)


def _epochs_done(run: PlannedRun, record: Record | None) -> float:
    """Epochs that need not be trained again."""
    resumes = not run.config.force and run.folder().checkpoint.exists()
    return record.passes if record is not None and resumes else 0


def _time_in_words(seconds: Sequence[float], count: int, at_once: int) -> str:
    if not seconds:
        return "unknown"
    total = durations.in_words(durations.left(seconds, at_once))
    return f"about {total}, {at_once} at once" + (
        "" if len(seconds) == count else f", for {len(seconds)} of {count} runs"
    )

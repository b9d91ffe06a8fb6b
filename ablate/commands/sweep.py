"""One sweep: announce what is planned, skip what is done, launch the rest, say how it ended."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress

from ablate.commands import tuning
from ablate.config.schema import PICTURES, Config
from ablate.data.pictures.decode import RULES
from ablate.design import combinations, confirmation
from ablate.launch import forkserver, preflight
from ablate.launch.local import slots
from ablate.plan import idle, reuse, study_file, study_name
from ablate.plan.cost import Cost
from ablate.plan.planned_run import Planned, PlannedRun, unique
from ablate.records import run_folder
from ablate.records.lock import Held
from ablate.records.record import State
from ablate.records.study_plan import NOT_READ
from ablate.run.outcome import is_settled
from ablate.system import hints
from ablate.system.terminal import visible

Launch = Callable[[Sequence[PlannedRun]], None]


def sweep(planned: Planned, launch: Launch, *, elsewhere: bool = False) -> bool:
    """Train what `planned` lacks by `launch`, or only preview it; return whether every planned run is DONE.

    `elsewhere` says that other machines than this train. Raises ValueError before anything is trained when weights
    cannot be had, or a network does not take its pictures, and what `launch` raises.
    """
    planned = study_name.settled(planned)
    options = planned.runs[0].config
    preflight.see_that_it_can_be_written(planned)
    todo = missing(planned)
    announce(planned, todo, elsewhere=elsewhere)
    try:
        if todo or planned.search is not None:
            study_file.check(planned)  # before anything that takes long; remembering checks again, under a lock
        preflight.check_pretrained(todo)
        every = {run.signature for run in todo}
        planned, todo = preflight.check_networks(planned, todo, elsewhere=elsewhere)
        if refused := every - {run.signature for run in todo}:
            planned = tuning.without(planned, refused)
        sources = found_elsewhere(todo)
        if options.dry_run:
            rest = [run for run in todo if run.signature not in sources]
            print("\n".join(preview_of(planned, rest, measures=options.dry_run == "measure")), flush=True)
            return True
        try:
            with study_name.lock(planned):
                planned, name = study_name.settled(planned), options.study.name
                study_file.remember(planned, looked=_were_looked_at(sources))
            if planned.runs[0].config.study.name != name:  # another has taken it meanwhile, or levels were left out
                why = planned.differs or "what is left varies other axes than the command"
                print(f"  the study is called {planned.runs[0].config.study.name} now, as {why}")
                todo = missing(planned)
            todo = copied(todo, sources)
            if planned.nameless:
                reuse.move(todo)
        except OSError as error:
            raise ValueError(
                f"{error.filename or planned.runs[0].study} cannot be written: {error.strerror or error}; give another "
                "place with study.root=DIR"
            ) from None
        begun = {run.signature for run in todo}
        if todo:
            launch(todo)
        if planned.search is not None and (compared := tuning.chosen(planned, planned.search)).runs:
            planned = compared
            begun |= follow(planned, launch, begun, "{} runs compare the combinations with the values chosen")
        if more := confirming(planned):
            planned = dataclasses.replace(planned, runs=[*planned.runs, *more])
            follow(planned, launch, begun, "{} runs more compare what the fraction predicts with what is measured")
    finally:
        forkserver.dismiss()
    return summarise(planned)


def follow(planned: Planned, launch: Launch, begun: Collection[str], what: str) -> set[str]:
    """Train what a plan has gained by the results so far, without what this sweep has `begun`; return what that was."""
    left = [run for run in missing(planned) if run.signature not in begun]
    sources = found_elsewhere(left)
    study_file.remember(planned, looked=_were_looked_at(sources))
    if todo := copied(left, sources):
        print(what.format(len(todo)), flush=True)
        launch(todo)
    return {run.signature for run in left}


def found_elsewhere(todo: Sequence[PlannedRun]) -> reuse.Sources:
    """What other studies have of these runs; says so."""
    sources = reuse.find(todo)
    if sources:
        places = ", ".join(sorted({str(source.path.parent) for source in sources.values()}))
        print(f"  {len(sources)} of them finished in {places} and reused (force=true trains them anew)", flush=True)
    return sources


def _were_looked_at(sources: reuse.Sources) -> bool:
    """Whether a report shows the results of some of these runs."""
    return any((source.path.parent / "report").exists() for source in sources.values())


def copied(todo: Sequence[PlannedRun], sources: reuse.Sources) -> list[PlannedRun]:
    """Copy what other studies have; return what is left to train."""
    left = []
    for run in todo:
        if run.signature in sources:
            with suppress(Held, ValueError):  # taken, or gone, meanwhile: it is trained, or seen to be
                reuse.copy(run, sources[run.signature])
                continue
        left.append(run)
    return left


def confirming(planned: Planned) -> list[PlannedRun]:
    """The runs that check what a finished fraction recommends: of that combination and of the baseline, where the
    fraction does not hold them."""
    if planned.at is None or planned.runs[0].config.study.design != "fractional":
        return []
    if planned.search is not None:  # whose values were chosen for the combinations of the fraction alone
        print("  the recommended combination is not trained in a tuned fraction; tune it in a study of its own")
        return []
    records = [run.record() for run in planned.runs]
    holdout = [record.metrics["holdout_accuracy"] for record in records if record is not None and record.has_result()]
    if len(holdout) < len(records):
        return []
    tops = combinations.tops(planned.axes, planned.nested)
    merged, axes = combinations.whole_axes(planned.levels, planned.axes, planned.nested)
    best = confirmation.best(merged, axes, holdout)
    wanted: dict[str, dict[str, str]] = {"recommended": {}, "baseline": {}}
    for top, levels in axes.items():
        parts = [axis for axis in planned.axes if tops[axis] == top]
        there = {level: {axis: of[axis] for axis in parts}  # of a nested axis, with those that decide it
                 for of, some in zip(planned.levels, merged, strict=True) for level in [some[top]]}  # fmt: skip
        default = {axis: planned.baseline[axis] for axis in parts if planned.baseline.get(axis) in planned.axes[axis]}
        wanted["recommended"] |= there[best[top]]
        wanted["baseline"] |= next((there[level] for level in levels if default.items() <= there[level].items()),
                                   there[levels[0]])  # fmt: skip
    there_are = [dict(levels) for levels in planned.levels]
    return [
        dataclasses.replace(run, confirms=why)
        for why, levels in wanted.items()
        if not any(levels.items() <= of_run.items() for of_run in there_are)
        for run in planned.at(levels)
    ]


def missing(planned: Planned) -> list[PlannedRun]:
    """The runs that are yet to be trained, without those whose values are yet to be chosen."""
    search = planned.search
    trials = [run for one in search.waiting() for run in one.every_run()] if search is not None else []
    return [run for run in unique([*trials, *planned.runs]) if not run.is_open and not is_settled(run)]


def preview_of(planned: Planned, todo: Sequence[PlannedRun], measures: bool) -> list[str]:
    """The plan in lines; with `measures`, after training a few steps of each kind of run without a record."""
    from ablate.plan import preview  # and with it scipy, for which no other sweep waits

    at_once = len(slots(todo))
    if measures:
        from ablate.run.measure import measure  # torch

        def tried(config: Config) -> Cost:
            try:
                return measure(config)
            except Exception as error:  # a run would have it on its record
                raise ValueError(f"a few steps of {config.backbone.name} could not be trained: {error}") from None

        return preview.lines(planned, todo, at_once, tried)
    return preview.lines(planned, todo, at_once)


def announce(planned: Planned, todo: Sequence[PlannedRun], *, elsewhere: bool) -> None:
    """Print what the study is, and what is left out or shared."""
    runs, study = planned.runs, planned.runs[0].config.study
    distinct = unique(runs)
    if planned.search is None:
        print(f"study {study.name}: {_shape(planned, len(distinct))}, {len(distinct) - len(todo)} finished, "
              f"{len(todo)} to train", flush=True)  # fmt: skip
    else:
        print("\n".join(tuning.shape(planned, planned.search, _shape(planned, len(distinct)), todo)), flush=True)
    if planned.differs:
        print(f"  {planned.differs}, so this is a study of its own; study.name=NAME gives it another name")
    if planned.precision == "bf16":
        print("  trainer.precision=auto means bf16 in this study; trainer.precision=fp32 is the other choice")
    elif planned.precision == "fp32" and elsewhere:
        print("  trainer.precision=auto means fp32 in this study; GPUs from the A100 on support trainer.precision=bf16")
    for line in [*_on_data(planned), *(_read_otherwise_before(planned) if len(todo) == len(distinct) else ())]:
        print(f"  {line}")
    for line in [*planned.unread, *idle.sentences(planned)]:
        print(f"  {line}")
    for entry, count in planned.excluded.items():
        some = f"{count} combinations" if study.design != "fractional" else "all such combinations"
        print(f"  left out by study.exclude: {entry} ({some})")
    for why, (count, example) in planned.invalid.items():
        some = f"{count} runs, the first" if count else "combinations such as"
        print(f"  left out as invalid: {some} [{example}]: {why}")
    if len(distinct) < len(runs):
        print(f"  {len(runs) - len(distinct)} more combinations are the same experiments under another name")
    live = [run for run in todo if run.config.backbone.freeze is True and run.config.augment.has_endless_views()]
    if live:
        print(
            f"  {len(live)} of them compute the frozen backbone's features again in every epoch, because their "
            "augmentation has endless views; augment=none and augment=flip share features between runs"
        )


def _on_data(planned: Planned) -> list[str]:
    """What is read of each data set that lies in files, and what a reader of results has to know of it."""
    lines = []
    for images in {id(images): images for images in planned.data.read.values()}.values():
        if images.reading is not None:
            held = "" if images.held is None else f" ({int(images.held.sum())} of them its own holdout)"
            lines.append(
                f"data: {len(images.train_labels)} training images{held} and {len(images.test_labels)} test images in "
                f"{len(images.classes)} classes: {images.reading.in_words()}"
            )
            lines += [f"data: {warning}" for warning in images.reading.warnings()]
    return lines


def _read_otherwise_before(planned: Planned) -> list[str]:
    """Whether a study's earlier runs saw their pictures by earlier rules, of which nothing of this plan is left."""
    now = {images.fingerprint for images in planned.data.read.values() if images.reading is not None}
    for _, record in run_folder.records(planned.runs[0].study) if now else ():
        data = record.data
        if data is not None and data.fingerprint not in now and data.rules < RULES and data.name in PICTURES:
            return [
                f"data: earlier runs of this study saw other pictures (fingerprint {data.fingerprint[:12]}): the files "
                "have changed, or version 0.1 read them differently (only JPEG and PNG; orientation, transparency and "
                "bit depth ignored). New runs are a different experiment; `ablate reproduce` reads old runs as before"
            ]
    return []


def _shape(planned: Planned, count: int) -> str:
    """The axes and seeds of a plan, and how many runs that makes."""
    if count == 1:
        return "1 run"
    axes = _counted(planned)
    seeds = f"seed ({len({run.config.seed for run in planned.runs})})"
    cells = len({tuple(levels.values()) for levels in planned.levels})
    if planned.runs[0].config.study.design == "one_at_a_time" and axes:
        return f"one at a time around {_around(planned)}: {', '.join(axes)}, {seeds} = {count} runs"
    if planned.runs[0].config.study.design == "cumulative" and axes:
        return f"{cells - 1} steps from {_around(planned)}: {', '.join(axes)}, {seeds} = {count} runs"
    if cells < planned.whole:
        return f"{cells} of the {planned.whole} combinations of {' x '.join(axes)}, {seeds} = {count} runs"
    return f"{' x '.join([*axes, seeds])} = {count} runs"


def _counted(planned: Planned) -> list[str]:
    """Each axis with how many levels it has; a nested one behind those that decide it, with the levels that have it."""
    tops = combinations.tops(planned.axes, planned.nested)
    words = {}
    for axis, levels in planned.axes.items():
        words[axis] = f"{axis} ({len(levels)})"
        if parents := [parent for parent in planned.nested.get(axis, ()) if parent in planned.axes]:
            places: dict[str, set[str]] = {}
            for of in planned.levels:
                if of[axis] != NOT_READ:
                    places.setdefault(" ".join(of[parent] for parent in parents), set()).add(of[axis])
            inside = ", ".join(f"{len(some)} in {where}" for where, some in places.items() if len(some) > 1)
            words[axis] = f"{axis} ({inside})"
    parts = {top: [words[axis] for axis in planned.axes if tops[axis] == top] for top in tops.values()}
    return [" with ".join(filter(None, [part[0], " and ".join(part[1:])])) for part in parts.values()]


def _around(planned: Planned) -> str:
    """The baseline, in full where the study names it or the design chooses it."""
    study = planned.runs[0].config.study
    if not study.baseline and study.design != "cumulative":
        return "the baseline"
    return " ".join(f"{axis}={planned.baseline[axis]}" for axis in planned.axes if axis in planned.baseline)


def summarise(planned: Planned) -> bool:
    """Print what state the study is in; return whether every planned run is DONE, of a tuned study every one that
    compares."""
    search, runs = planned.search, [run for run in planned.runs if not run.is_open]
    records = [(run, run.record()) for run in unique(runs)]
    states = [str(record.state) if record is not None else "not trained" for _, record in records]
    for (run, record), state in zip(records, states, strict=True):
        if state != State.DONE:
            print(visible(f"  {state}  {run.name}  {record.message if record is not None else ''}".rstrip()))
    counts = ", ".join(f"{count} {state}" for state, count in Counter(states).items()) or "no run to compare yet"
    tried = f"; tuning: {tuning.states(search)}" if search is not None else ""
    print(f"study {planned.runs[0].config.study.name}: {counts}{tried}")
    print(f"report: {hints.command('report', str(planned.runs[0].study))}")
    return set(states) == {State.DONE} and not (search is not None and search.waiting())

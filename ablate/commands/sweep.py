"""One sweep: announce what is planned, skip what is done, launch the rest, say how it ended."""

import dataclasses
import os
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress

from ablate.config import pretrained
from ablate.config.schema import PICTURES, Config
from ablate.data.pictures.decode import RULES
from ablate.launch import forkserver
from ablate.launch.local import slots
from ablate.plan import networks, reuse, study_file, study_name
from ablate.plan.cost import Cost
from ablate.plan.planned_run import Planned, PlannedRun, unique
from ablate.records import run_folder
from ablate.records.lock import Held
from ablate.records.record import State
from ablate.run.outcome import is_settled
from ablate.system import hardware, hints
from ablate.system.terminal import visible

Launch = Callable[[Sequence[PlannedRun]], None]


def sweep(planned: Planned, launch: Launch, *, elsewhere: bool = False) -> bool:
    """Train what `planned` lacks by `launch`, or only preview it; return whether every planned run is DONE.

    `elsewhere` says that other machines than this train. Raises ValueError before anything is trained when weights
    cannot be had, or a network does not take its pictures, and what `launch` raises.
    """
    planned = study_name.settled(planned)
    options = planned.runs[0].config
    see_that_it_can_be_written(planned)
    todo = missing(planned)
    announce(planned, todo)
    try:
        if todo:
            study_file.check(planned)  # before anything that takes long; remembering checks again, under a lock
        check_pretrained(todo)
        planned, todo = check_networks(planned, todo, elsewhere=elsewhere)
        sources = reuse.find(todo)
        if sources:
            places = ", ".join(sorted({str(source.path.parent) for source in sources.values()}))
            print(f"  {len(sources)} of them finished in {places} and reused (force=true trains them anew)")
        if options.dry_run:
            rest = [run for run in todo if run.signature not in sources]
            print("\n".join(preview_of(planned, rest, measures=options.dry_run == "measure")), flush=True)
            return True
        try:
            looked = any((source.path.parent / "report").exists() for source in sources.values())
            with study_name.lock(planned):
                planned, name = study_name.settled(planned), options.study.name
                study_file.remember(planned, looked=looked)
            if planned.runs[0].config.study.name != name:  # another command has taken it meanwhile
                print(f"study {planned.runs[0].config.study.name}: {planned.differs}")
                todo = missing(planned)
            todo = copied(todo, sources)
            if planned.nameless:
                reuse.move(todo)
        except OSError as error:
            raise ValueError(
                f"{error.filename or planned.runs[0].study} cannot be written: {error.strerror or error}; give another "
                "place with study.root=DIR"
            ) from None
        if todo:
            launch(todo)
    finally:
        forkserver.dismiss()
    return summarise(planned.runs)


def see_that_it_can_be_written(planned: Planned) -> None:
    """Raise ValueError where the study's folder cannot be made; a preview makes none."""
    study = planned.runs[0].study
    there = next(folder for folder in (study, *study.absolute().parents) if os.path.lexists(folder))
    if not there.is_dir():
        raise ValueError(f"{there} is not a folder; give another place with study.root=DIR")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ValueError(f"{there} cannot be written to; give another place with study.root=DIR")


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


def missing(planned: Planned) -> list[PlannedRun]:
    """The runs that are yet to be trained."""
    return [run for run in unique(planned.runs) if not is_settled(run)]


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


def check_pretrained(runs: Sequence[PlannedRun]) -> None:
    """Raise ValueError when the pretrained weights of a backbone cannot be had, once rather than in every run."""
    backbones = {repr(run.config.backbone): run.config.backbone for run in runs if run.config.backbone.pretrained}
    missing = []
    for backbone in backbones.values():
        try:
            pretrained.check_weights(backbone)
        except ValueError as error:
            missing.append(str(error))
    if missing:
        more = f" (and those of {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise ValueError(f"nothing was started: {missing[0]}{more}")


def check_networks(planned: Planned, todo: list[PlannedRun], *, elsewhere: bool) -> tuple[Planned, list[PlannedRun]]:
    """The plan, and what of it is to be trained, without runs whose networks do not take their pictures or weights.

    Raises ValueError naming those that do not, unless study.invalid=skip leaves them out of the study, and for a device
    that is not there.
    """
    if not todo:
        return planned, todo
    threads = max(run.config.trainer.threads for run in todo)
    if not elsewhere and threads > hardware.cores():
        raise ValueError(f"trainer.threads={threads} is more than the {hardware.cores()} cores that may be used here")
    questions = {run.signature: networks.question_of(run) for run in todo}
    answers = networks.known(todo[0])
    open_ones = list({q.key: q for q in questions.values() if q.key not in answers}.values())
    device = todo[0].config.trainer.device
    wants_device = None if elsewhere or device in ("auto", "cpu") else device
    if open_ones or wants_device:
        found, without_device = forkserver.ask(open_ones, wants_device)
        if without_device:
            raise ValueError(f"nothing was started: {without_device}")
        new = dict(zip([q.key for q in open_ones], found, strict=True))
        networks.remember(todo[0], new)
        answers |= new
    wrong: dict[str, list[PlannedRun]] = {}
    for run in todo:
        if answer := answers[questions[run.signature].key]:
            wrong.setdefault(answer, []).append(run)
    if not wrong:
        return planned, todo
    refused = {run.signature for runs in wrong.values() for run in runs}
    named = [f"{answer} ({len(runs)} of {len(todo)} runs, as {runs[0].name})" for answer, runs in wrong.items()]
    if planned.runs[0].config.study.invalid == "refuse" or len(refused) == len(todo):
        if len(refused) == len(todo) and len(wrong) == 1:
            raise ValueError(f"nothing was started: {next(iter(wrong))}")
        others = "" if len(refused) == len(todo) else "; study.invalid=skip runs the others"
        raise ValueError(f"nothing was started: {'; '.join(named)}{others}")
    for line in named:
        print(f"  left out as invalid: {line}")
    fit = [run for run in planned.runs if run.signature not in refused]
    return dataclasses.replace(planned, runs=fit), [run for run in todo if run.signature not in refused]


def announce(planned: Planned, todo: Sequence[PlannedRun]) -> None:
    """Print what the study is, and what is left out or shared."""
    runs, study = planned.runs, planned.runs[0].config.study
    distinct = unique(runs)
    print(f"study {study.name}: {_shape(planned, len(distinct))}, {len(distinct) - len(todo)} finished, "
          f"{len(todo)} to train", flush=True)  # fmt: skip
    if planned.differs:
        print(f"  {planned.differs}, so this is a study of its own; study.name=NAME gives it another name")
    for line in [*_on_data(planned), *(_read_otherwise_before(planned) if len(todo) == len(distinct) else ())]:
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
    axes = [f"{axis} ({len(levels)})" for axis, levels in planned.axes.items()]
    seeds = f"seed ({len({run.config.seed for run in planned.runs})})"
    cells = len({tuple(levels.values()) for levels in planned.levels})
    if planned.runs[0].config.study.design == "one_at_a_time" and axes:
        return f"one at a time around the baseline: {', '.join(axes)}, {seeds} = {count} runs"
    if cells < planned.whole:
        return f"{cells} of the {planned.whole} combinations of {' x '.join(axes)}, {seeds} = {count} runs"
    return f"{' x '.join([*axes, seeds])} = {count} runs"


def summarise(runs: Sequence[PlannedRun]) -> bool:
    """Print what state the study is in; return whether every planned run is DONE."""
    records = [(run, run.record()) for run in unique(runs)]
    states = [str(record.state) if record is not None else "not trained" for _, record in records]
    for (run, record), state in zip(records, states, strict=True):
        if state != State.DONE:
            print(visible(f"  {state}  {run.name}  {record.message if record is not None else ''}".rstrip()))
    counts = ", ".join(f"{count} {state}" for state, count in Counter(states).items())
    print(f"study {runs[0].config.study.name}: {counts}")
    print(f"report: {hints.command('report', str(runs[0].study))}")
    return set(states) == {State.DONE}

"""One sweep: announce what is planned, skip what is done, launch the rest, say how it ended."""

from collections import Counter
from collections.abc import Callable, Sequence

from ablate.config import pretrained
from ablate.launch.local import slots
from ablate.plan import study_file
from ablate.plan.planned_run import PlannedRun
from ablate.plan.planner import Planned, unique
from ablate.records.record import State
from ablate.run.outcome import is_settled
from ablate.system import hints

Launch = Callable[[Sequence[PlannedRun]], None]


def sweep(planned: Planned, launch: Launch) -> bool:
    """Train what `planned` lacks by `launch`, or only preview it; return whether every planned run is DONE.

    Raises ValueError before anything is trained when weights cannot be had, and what `launch` raises.
    """
    options = planned.runs[0].config
    todo = missing(planned)
    announce(planned, todo)
    if options.dry_run:
        print("\n".join(preview_of(planned, todo, measures=options.dry_run == "measure")), flush=True)
        return True
    check_pretrained(todo)
    study_file.remember(planned)
    if todo:
        launch(todo)
    return summarise(planned.runs)


def missing(planned: Planned) -> list[PlannedRun]:
    """The runs that are yet to be trained."""
    return [run for run in unique(planned.runs) if not is_settled(run)]


def preview_of(planned: Planned, todo: Sequence[PlannedRun], measures: bool) -> list[str]:
    """The plan in lines; with `measures`, after training a few steps of each kind of run without a record."""
    from ablate.plan import preview  # and with it scipy, for which no other sweep waits

    at_once = len(slots(todo))
    if measures:
        from ablate.run.measure import measure  # torch

        return preview.lines(planned, todo, at_once, measure)
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


def announce(planned: Planned, todo: Sequence[PlannedRun]) -> None:
    """Print what the study is, and what is left out or shared."""
    runs, study = planned.runs, planned.runs[0].config.study
    distinct = unique(runs)
    print(f"study {study.name}: {_shape(planned, len(distinct))}, {len(distinct) - len(todo)} finished, "
          f"{len(todo)} to train", flush=True)  # fmt: skip
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
            print(f"  {state}  {run.name}  {record.message if record is not None else ''}".rstrip())
    counts = ", ".join(f"{count} {state}" for state, count in Counter(states).items())
    print(f"study {runs[0].config.study.name}: {counts}")
    print(f"report: {hints.command('report', str(runs[0].study))}")
    return set(states) == {State.DONE}

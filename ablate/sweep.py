"""One sweep: compose every combination, plan, skip what is done, launch the rest, say what came of it."""

import sys
from collections import Counter
from collections.abc import Sequence

from hydra.core.config_loader import ConfigLoader
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig

from ablate import ledger
from ablate.config import AXES
from ablate.plan import PlannedRun
from ablate.planning import Planned, plan_study
from ablate.record import State
from hydra_plugins.ablate_study import StudyLauncher


def sweep(
    loader: ConfigLoader,
    master: DictConfig,
    launcher: Launcher,
    preset: Sequence[str],
    arguments: Sequence[str],
) -> None:
    """Run a study: the preset's sweeps and the command line's, which wins.

    Raises ValueError before anything is trained when the command or a combination is wrong, and
    SystemExit(1) at the end unless every planned run is DONE.
    """
    choices = master.hydra.runtime.choices
    planned = plan_study(loader, master, preset, arguments)
    runs = planned.runs
    options = runs[0].config
    todo = [run for run in unique(runs) if options.force or not is_settled(run, options.retry)]
    announce(planned, todo)
    if options.dry_run:
        from ablate import preview  # and with it scipy, for which no other sweep waits

        print("\n".join(preview.lines(planned, todo, options.dry_run == "measure")), flush=True)
        return
    check_weights(todo)
    ledger.remember(runs, {axis: choices[axis] for axis in AXES}, list(planned.excluded))
    if todo and isinstance(launcher, StudyLauncher):
        launcher.launch_planned(todo)
    elif todo and type(launcher).__name__ in ("SlurmLauncher", "RayLauncher"):
        from ablate import cluster

        cluster.launch(launcher, todo)
    elif todo:
        results = launcher.launch([list(run.overrides) for run in todo], initial_job_idx=0)
        for run, result in zip(todo, results, strict=True):
            if isinstance(result._return_value, Exception):  # a run that could not even write its record
                print(f"ablate: {run.label}: {result._return_value}", file=sys.stderr)
    if not summarise(runs):
        sys.exit(1)


def check_weights(runs: Sequence[PlannedRun]) -> None:
    """Raise ValueError when the pretrained weights of a backbone cannot be had, once rather than in every run."""
    backbones = {repr(run.config.backbone): run.config.backbone for run in runs if run.config.backbone.pretrained}
    if not backbones:
        return
    from ablate import model  # imports torch, and only these runs wait for it before they start

    missing = []
    for backbone in backbones.values():
        try:
            model.check_weights(backbone)
        except ValueError as error:
            missing.append(str(error))
    if missing:
        more = f" (and those of {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise ValueError(f"nothing was started: {missing[0]}{more}")


def unique(runs: Sequence[PlannedRun]) -> list[PlannedRun]:
    """One run per signature: equivalent levels are one experiment, trained once, and by its own name."""
    first = {run.signature: run for run in reversed(runs)}
    named = {run.signature: run for run in reversed(runs) if run.own_signature is None}
    return list((first | named).values())[::-1]


def state_of(run: PlannedRun) -> State | None:
    """The state that the run's record holds; None when there is none that can be read."""
    try:
        return State(run.folder().read()["state"])
    except ValueError:
        return None


def is_settled(run: PlannedRun, retry: str) -> bool:
    """Whether training the run again would only repeat an outcome that nobody asked to repeat."""
    state = state_of(run)
    return state is not None and state.is_outcome() and state.lower() not in retry.split(",")


def announce(planned: Planned, todo: Sequence[PlannedRun]) -> None:
    runs = planned.runs
    study = runs[0].config.study
    distinct = unique(runs)
    seeds = len({run.config.seed for run in runs})
    shape = [f"{axis} ({len(levels)})" for axis, levels in planned.axes.items()]
    cells = len({tuple(levels.values()) for levels in planned.levels})
    if len(distinct) == 1:
        told = "1 run"
    elif study.design == "one_at_a_time" and planned.axes:
        told = f"one at a time around the baseline: {', '.join(shape)}, seed ({seeds}) = {len(distinct)} runs"
    elif cells < planned.whole:
        told = (
            f"{cells} of the {planned.whole} combinations of {' x '.join(shape)}, seed ({seeds}) = {len(distinct)} runs"
        )
    else:
        told = f"{' x '.join([*shape, f'seed ({seeds})'])} = {len(distinct)} runs"
    print(f"study {study.name}: {told}, {len(distinct) - len(todo)} finished, {len(todo)} to train", flush=True)
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
            f"  {len(live)} of them compute the frozen backbone's features anew in every epoch, because their "
            "augmentation has endless views; augment=none and augment=flip share them between runs"
        )


def summarise(runs: Sequence[PlannedRun]) -> bool:
    """Print what state the study is in; return whether every planned run is DONE."""
    states = [(run, state_of(run)) for run in unique(runs)]
    counts = Counter(str(state or "not trained") for _, state in states)
    for run, state in states:
        if state is not State.DONE:
            error = run.folder().read().get("error") or {} if state else {}
            print(f"  {state or 'not trained'}  {run.label}-{run.signature}  {error.get('message', '')}".rstrip())
    print(f"study {runs[0].config.study.name}: " + ", ".join(f"{n} {state}" for state, n in counts.items()))
    print(f"report: python -m report {runs[0].study}")
    return set(counts) == {State.DONE}

"""One sweep: compose every combination, plan, skip what is done, launch the rest, say what came of it."""

import itertools
import sys
from collections import Counter
from collections.abc import Mapping, Sequence

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig

from ablate import data, ledger
from ablate.compose import explain
from ablate.config import AXES, DataConfig
from ablate.merge import Merger
from ablate.plan import PlannedRun
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
    jobs = expand(loader, preset, arguments, master.seeds, master.study.design, choices)
    runs = compose(loader, master, jobs)
    options = runs[0].config
    todo = [run for run in unique(runs) if options.force or not is_settled(run, options.retry)]
    announce(runs, todo)
    if options.dry_run:
        return
    check_weights(todo)
    ledger.remember(runs, {axis: choices[axis] for axis in AXES})
    if todo and isinstance(launcher, StudyLauncher):
        launcher.launch_planned(todo)
    elif todo:
        results = launcher.launch([list(run.overrides) for run in todo], initial_job_idx=0)
        for run, result in zip(todo, results, strict=True):
            if isinstance(result._return_value, Exception):  # a run that could not even write its record
                print(f"ablate: {run.label}: {result._return_value}", file=sys.stderr)
    if not summarise(runs):
        sys.exit(1)


def expand(
    loader: ConfigLoader,
    preset: Sequence[str],
    arguments: Sequence[str],
    seeds: int | None,
    design: str,
    baseline: Mapping[str, str],
) -> list[list[str]]:
    """The design's combinations as lists of overrides, seed by seed, so that a half-done study has whole seeds.

    A grid crosses the levels of all axes. One at a time leaves all axes at the baseline, which is the
    configuration's own defaults, then varies each alone. Raises ValueError for a sweep that has no
    levels to enumerate, and for one over the study itself.
    """
    parser = OverridesParser.create(config_loader=loader)
    levels: dict[str, list[str]] = {}
    for override in parser.parse_overrides([*preset, *arguments]):
        key = override.get_key_element()
        if key == "retry":
            # A list of outcomes, not a sweep over them.
            levels[key] = ["retry='" + str(override.input_line).partition("=")[2].strip("'") + "'"]
        elif key != "seeds":
            levels[key] = _levels(override)
    if seeds is not None and "seed" not in levels:
        levels["seed"] = [f"seed={seed}" for seed in range(seeds)]
    seed_levels = levels.pop("seed", ["seed=0"])
    if design == "one_at_a_time":
        fixed = [only[0] for only in levels.values() if len(only) == 1]
        varied = {key: several for key, several in levels.items() if len(several) > 1}
        # Named too, else a run's words given again would vary the axes of its preset that they leave out.
        rest = {key: f"{key}={baseline[key]}" for key in varied if key in baseline}
        cells = [[*fixed, *rest.values()]]
        for key, several in varied.items():
            cells += [[*fixed, *(rest | {key: level}).values()] for level in several]
    else:
        cells = [list(cell) for cell in itertools.product(*levels.values())]
    return [[*cell, seed] for seed in seed_levels for cell in cells]


def _levels(override: Override) -> list[str]:
    key = override.get_key_element()
    if not override.is_sweep_override():
        value = override.get_value_element_as_str()
        return [f"{key}={value}" if not override.is_delete() else key]
    if key.startswith("study"):
        raise ValueError(f"{override.input_line}: one sweep is one study; start a command per study")
    if not override.is_discrete_sweep():
        raise ValueError(f"{override.input_line}: name the values one by one, as in {key}=A,B")
    levels = [f"{key}={value}" for value in override.sweep_string_iterator()]
    if not levels:
        raise ValueError(f"{override.input_line} matches nothing")
    return levels


def compose(loader: ConfigLoader, master: DictConfig, jobs: Sequence[list[str]]) -> list[PlannedRun]:
    """Compose and validate every combination. Raises ValueError that names the invalid ones."""
    fingerprints: dict[str, str] = {}

    def fingerprint_of(config: DataConfig) -> str:
        key = repr(config)
        if key not in fingerprints:
            fingerprints[key] = data.fingerprint(config)
        return fingerprints[key]

    runs: list[PlannedRun] = []
    wrong: dict[str, str] = {}  # what is wrong -> the first combination that shows it
    count_wrong = 0
    merger = Merger(loader, master, jobs, fingerprint_of)
    for job in jobs:
        try:
            runs.append(merger.plan(job))
        except (HydraException, ValueError) as error:
            wrong.setdefault(explain(error), " ".join(job))
            count_wrong += 1
    if len(wrong) == 1 and count_wrong == len(jobs):
        raise ValueError(next(iter(wrong)))
    if wrong:
        named = "; ".join(f"[{job}] {why}" for why, job in wrong.items())
        raise ValueError(f"{count_wrong} of {len(jobs)} combinations are invalid, nothing was started: {named}")
    # One at a time comes by the baseline once per axis.
    distinct: dict[tuple[str | int, ...], PlannedRun] = {}
    for run, levels in zip(runs, ledger.fill_levels([(run.levels, run.settings) for run in runs]), strict=True):
        distinct.setdefault((*levels.values(), run.config.seed), run)
    return list(distinct.values())


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
    """One run per signature: equivalent levels are one experiment, trained once."""
    return list({run.signature: run for run in reversed(runs)}.values())[::-1]


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


def announce(runs: Sequence[PlannedRun], todo: Sequence[PlannedRun]) -> None:
    study = runs[0].config.study
    distinct = unique(runs)
    axes = ledger.varied_axes(ledger.fill_levels([(run.levels, run.settings) for run in runs]))
    seeds = len({run.config.seed for run in runs})
    shape = [f"{axis} ({len(levels)})" for axis, levels in axes.items()]
    if len(distinct) == 1:
        planned = "1 run"
    elif study.design == "one_at_a_time" and axes:
        planned = f"one at a time around the baseline: {', '.join(shape)}, seed ({seeds}) = {len(distinct)} runs"
    else:
        planned = f"{' x '.join([*shape, f'seed ({seeds})'])} = {len(distinct)} runs"
    print(f"study {study.name}: {planned}, {len(distinct) - len(todo)} finished, {len(todo)} to train", flush=True)
    if len(distinct) < len(runs):
        print(f"  {len(runs) - len(distinct)} more combinations are the same experiments under another name")
    live = [run for run in todo if run.config.backbone.freeze is True and run.config.augment.has_endless_views()]
    if live:
        print(
            f"  {len(live)} of them compute the frozen backbone's features anew in every epoch, because their "
            "augmentation has endless views; augment=none and augment=flip share them between runs"
        )
    if runs[0].config.dry_run:
        for run in distinct:
            action = "train" if run in todo else "skip"
            print(f"  {action}  {state_of(run) or 'new':11}  {run.label}-{run.signature}")


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

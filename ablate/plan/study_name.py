"""What a study is called that was given no name: after its axes, so that more levels and seeds add to it."""

import dataclasses
import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from filelock import FileLock
from omegaconf import OmegaConf

from ablate.config.schema import AXES, StudyConfig
from ablate.plan import study_file
from ablate.plan.planned_run import Planned, PlannedRun
from ablate.plan.tuning import trials
from ablate.plan.tuning.search import Search
from ablate.records import run_folder, study_plan
from ablate.records.study_plan import RUNS

LONGEST = 40  # characters
TUNED = "-tuned"  # how the name of a study ends whose combinations have values of their own choosing
SPOKEN = {"data.path": "data", "backbone.name": "backbone"}  # keys whose last part says nothing


@dataclasses.dataclass(frozen=True)
class Found:
    """The name, and in what the study that has the first such name differs, where this is not that one."""

    name: str
    differs: str = ""


def base_name(axes: Sequence[str], tuned: Sequence[str] = ()) -> str:
    """What a study with these axes is called, whatever else it is: `backbone-optimizer`, `optimizer-tuned`; `runs`
    where there is none."""
    if tuned:
        return f"{base_name(axes or tuned)}{TUNED}"
    if not axes:
        return RUNS
    order = {group: number for number, group in enumerate(AXES)}
    keys = sorted(axes, key=lambda key: (order.get(key.partition(".")[0], len(order)), key))
    name = "-".join(re.sub(r"[^A-Za-z0-9_.]+", "_", _spoken(key)) for key in keys)
    if len(name) > LONGEST:
        digest = hashlib.sha256(" ".join(keys).encode()).hexdigest()[:6]
        name = f"{name[: LONGEST - 7].rpartition('-')[0] or name[: LONGEST - 7]}-{digest}"
    return name


def _spoken(axis: str) -> str:
    """The last part of a key; of keys that move together, that of each."""
    return "_".join(SPOKEN.get(key, key.rpartition(".")[2]) for key in axis.split("+"))


def of_its_own(study: StudyConfig) -> str:
    """The name for a tuned study: the one that it is given, or with -tuned where that is of a study that is not."""
    folder = run_folder.study_folder(study.root, study.name)
    if not (folder / study_plan.NAME).exists() or study_plan.read(folder).tuning is not None:
        return study.name
    return f"{study.name}{TUNED}"


def find(
    root: str,
    axes: Sequence[str],
    runs: Sequence[PlannedRun],
    open_settings: Collection[str] = (),
    tuned: Sequence[str] = (),
    search: Search | None = None,
) -> Found:
    """The name of the study that these runs belong to: one that there is, or the next that is free.

    `open_settings` are not decided yet, so that those of the study will do. `tuned` are the keys that each combination
    has chosen for it, by `search` once that is known.
    """
    base, number, differs = base_name(axes, tuned), 1, ""
    if base == RUNS or not runs:
        return Found(base)
    while True:
        name = base if number == 1 else f"{base}-{number}"
        folder = run_folder.study_folder(root, name)
        if not folder.exists():
            return Found(name, differs)
        apart = _apart(folder, axes, runs, open_settings, tuned, search)
        if not apart:
            return Found(name, differs)
        differs = differs or f"{folder} {apart}"
        number += 1


def _apart(
    folder: Path,
    axes: Sequence[str],
    runs: Sequence[PlannedRun],
    open_settings: Collection[str],
    tuned: Sequence[str],
    search: Search | None,
) -> str:
    """Why runs do not belong into a study; empty where they do."""
    try:
        plan = study_plan.read(folder)
    except ValueError:
        return "is no study that can be read"
    if set(plan.axes) != set(axes):
        return f"compares {', '.join(plan.axes) or 'nothing'}"
    if bool(tuned) != (plan.tuning is not None):
        return f"{'chooses no values' if tuned else 'chooses values'} by tuning"
    first, keys = plan.cells[0], {*tuned, *(plan.tuning.space if plan.tuning is not None else ())}
    named, settings = (_untuned(of, keys) for of in (first.named, plan.settings_of(first)))
    named_now, settings_now = (_untuned(of, keys) for of in (runs[0].levels, runs[0].settings))
    apart = study_file.differing(_constants(named, settings, axes), _constants(named_now, settings_now, axes))
    set_then, set_now = _set_in_axes(named, axes), _set_in_axes(named_now, axes)
    for key in {**set_then, **set_now}:
        if set_then.get(key) != set_now.get(key):
            apart[key] = (set_then.get(key, ""), set_now.get(key, ""))
    apart = {key: both for key, both in apart.items() if key not in open_settings}
    if not apart:
        try:
            if search is not None or not tuned:  # else the runs are not those that will be
                study_file.fitting(runs, plan, folder, search)
        except study_file.Conflict as conflict:
            apart = {key: both for key, both in conflict.apart.items() if key not in open_settings}
    listed = ", ".join(
        f"{key} ({then[:12] or 'none'} there, {now[:12] or 'none'} here)" for key, (then, now) in apart.items()
    )
    return f"differs in {listed}" if apart else ""


def _untuned(values: Mapping[str, str], keys: Collection[str]) -> dict[str, str]:
    """Levels or settings without those that each combination has of its own."""
    return {key: value for key, value in values.items() if key not in keys and key.partition(".")[0] not in keys}


def _constants(named: Mapping[str, str], settings: Mapping[str, str], axes: Sequence[str]) -> dict[str, str]:
    """The settings that no axis decides, and the levels that they are of."""
    facts = {**settings, **{group: level for group, level in named.items() if "." not in group}}
    return {key: value for key, value in facts.items() if key not in axes and key.partition(".")[0] not in axes}


def _set_in_axes(named: Mapping[str, str], axes: Sequence[str]) -> dict[str, str]:
    """What the command sets beside the levels of an axis, as a learning rate for all optimizers."""
    return {key: level for key, level in named.items() if key not in axes and key.partition(".")[0] in axes}


def lock(planned: Planned) -> Any:
    """Held while a study without a name takes its own, so that two commands do not take one."""
    study = planned.runs[0].config.study
    if not planned.nameless:
        return nullcontext()
    root = Path(study.root).expanduser()
    root.mkdir(parents=True, exist_ok=True)
    return FileLock(root / ".studies.lock")


def settled(planned: Planned) -> Planned:
    """The plan under the name that it has now: other commands may have taken the one that it was planned under, and
    what was found out meanwhile may tell it from the study that has it."""
    if not planned.nameless:
        return planned
    search = planned.search
    tuned = search.keys if search is not None else ()
    root = planned.runs[0].config.study.root
    found = find(root, list(planned.axes), planned.runs, tuned=tuned, search=search)
    if found.name != planned.runs[0].config.study.name:
        planned = renamed(planned, found.name)
    return dataclasses.replace(planned, differs=found.differs)


def renamed(planned: Planned, name: str) -> Planned:
    """The plan with all its runs, those of the tuning and those that follow from it, in a study of this name."""
    search, at = planned.search, planned.at
    runs = [_renamed(run, name) for run in planned.runs]
    if search is not None:
        compared = search.compared
        search.compared = lambda: [_renamed(run, name) for run in compared()]
        for one in search.combinations:
            one.runs = [{seed: _renamed(run, name) for seed, run in of_trial.items()} for of_trial in one.runs]
        study = runs[0].config.study
        trials.recall(search, trials.study_of(study))
        runs = search.compared()
    return dataclasses.replace(
        planned,
        runs=runs,
        at=None if at is None else lambda levels: [_renamed(run, name) for run in at(levels)],
    )


def _renamed(run: PlannedRun, name: str) -> PlannedRun:
    word = f"study.name={name}"
    node = OmegaConf.merge(run.composed["study"], {"name": name})
    return dataclasses.replace(
        run,
        config=dataclasses.replace(run.config, study=dataclasses.replace(run.config.study, name=name)),
        nodes={**run.nodes, "study": node},
        overrides=tuple(word if each.startswith("study.name=") else each for each in run.overrides),
    )

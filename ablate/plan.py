"""From composed configurations to planned runs, and what a study remembers of them. No torch."""

import dataclasses
import json
import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock
from omegaconf import DictConfig, OmegaConf

from ablate import record, signature
from ablate.compose import from_omegaconf
from ablate.config import HASHED_GROUPS, Config, DataConfig

MAX_LABEL = 80
OPTIONS = ("force", "dry_run", "retry")  # about the sweep; they do not belong to a run


@dataclass(frozen=True, eq=False)
class PlannedRun:
    """One cell with one seed, and all that its record will say of what it is."""

    config: Config
    composed: DictConfig  # as Hydra composed it, interpolations unresolved
    overrides: tuple[str, ...]
    levels: dict[str, str]  # of every group, and of every single setting that was named
    settings: dict[str, str]  # {key: value as text} of every hashed setting, named or not
    identity: dict[str, Any]
    signature: str
    label: str

    @property
    def study(self) -> Path:
        return record.study_folder(self.config.study.root, self.config.study.name)

    def folder(self) -> record.RunFolder:
        """The run's folder: the one that has its signature, else one named by its label."""
        found = record.find_run(self.study, self.signature)
        return found or record.RunFolder(self.study / f"{self.label}-{self.signature}")

    def command(self) -> str:
        """The command that trains this run and no other."""
        words = [o for o in self.overrides if o.partition("=")[0] not in OPTIONS]
        return shlex.join(["python", "-m", "ablate", *words])


def config_folder() -> Path:
    """Where the configuration lies: inside the installed package, else beside it in a checkout."""
    package = Path(__file__).parent
    installed = package / "conf"
    return installed if installed.is_dir() else package.parent / "conf"


def default_levels() -> dict[str, str]:
    """The level of each group that config.yaml's defaults list names: the baseline."""
    defaults = OmegaConf.to_container(OmegaConf.load(config_folder() / "config.yaml"))["defaults"]  # type: ignore[index, call-overload]
    return {
        group: level
        for entry in defaults
        if isinstance(entry, dict)
        for group, level in entry.items()
        if group in HASHED_GROUPS
    }


def plan_run(
    composed: DictConfig,
    choices: Mapping[str, str],
    overrides: Sequence[str],
    fingerprint_of: Callable[[DataConfig], str],
) -> PlannedRun:
    """Validate a composed configuration and name it.

    `choices` are the levels that Hydra chose, `overrides` the job's own words. Raises ValueError.
    """
    composed = composed.copy()
    if "hydra" in composed:
        OmegaConf.set_struct(composed, False)
        del composed["hydra"]
    config = from_omegaconf(composed)
    if choices["backbone"] == "timm" or any(o.startswith("backbone.name=") for o in overrides):
        from ablate.model import check_backbone  # imports torch, and only these runs wait for it

        check_backbone(config.backbone.name)
    identity = signature.identity(config, fingerprint_of(config.data))
    levels = _levels(composed, choices, overrides)
    return PlannedRun(
        config=config,
        composed=composed,
        overrides=tuple(overrides),
        levels=levels,
        settings=_settings(composed),
        identity=identity,
        signature=signature.signature(identity),
        label=_label(levels, config.seed),
    )


def _levels(composed: DictConfig, choices: Mapping[str, str], overrides: Sequence[str]) -> dict[str, str]:
    """{axis: level}: every hashed group, and every single hashed setting that was named."""
    levels = {group: choices[group] for group in HASHED_GROUPS}
    for key in [o.partition("=")[0].lstrip("+") for o in overrides]:
        if "." in key and key.partition(".")[0] in HASHED_GROUPS and key not in signature.unhashed():
            levels[key] = _level_text(OmegaConf.select(composed, key))
    return levels


def _settings(composed: DictConfig) -> dict[str, str]:
    return {
        f"{group}.{name}": _level_text(value)
        for group in HASHED_GROUPS
        for name, value in composed[group].items()
        if f"{group}.{name}" not in signature.unhashed()
    }


def _level_text(value: Any) -> str:
    """A value as typed by the schema, so that 0.1 and 1e-1 are one level, and short where it can be."""
    if OmegaConf.is_config(value):
        return str(OmegaConf.to_container(value))
    if value is None or isinstance(value, bool):
        return json.dumps(value)  # as YAML and the command line spell them: true, null
    if isinstance(value, float) and float(f"{value:g}") == value:
        return f"{value:g}"
    return str(value)


def _label(levels: Mapping[str, str], seed: int) -> str:
    """The levels that differ from the defaults, readable and safe as a folder's name."""
    defaults = default_levels()
    shown = {key: Path(level).stem if key == "backbone.weights" else level for key, level in levels.items()}
    parts = [
        f"{key.rpartition('.')[2]}_{level}" if "." in key else level
        for key, level in shown.items()
        if defaults.get(key) != level
    ]
    label = "-".join([re.sub(r"[^A-Za-z0-9.+_-]+", "_", part).strip("_") for part in parts])
    return f"{label[: MAX_LABEL - 16].strip('-') or 'baseline'}-s{seed}"


def remember(runs: Sequence[PlannedRun], baseline: Mapping[str, str]) -> None:
    """Write the planned runs of one study into its study.json, adding to what is there.

    `baseline` is the level of each axis that one-at-a-time studies vary around. Raises ValueError when
    the file is damaged: a plan is never silently replaced.
    """
    study = runs[0].config.study
    folder = runs[0].study
    path = folder / "study.json"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".study.lock"):
        if path.exists():
            plan = record.read_json(path)
        else:
            plan = {
                "name": study.name,
                "design": study.design,
                "metric": study.metric,
                "delta": study.delta,
                "reference": dataclasses.asdict(study.reference) if study.reference else None,
                "baseline": baseline,
                "constants": {},
                "cells": [],
                "amendments": [],
            }
        changed, added = _add_runs(plan, runs)
        if added:
            plan["amendments"].append(
                {
                    "at": record.now(),
                    "command": shlex.join(["python", "-m", "ablate", *sys.argv[1:]]),
                    "runs_added": added,
                    "after_a_report": (folder / "report").exists(),
                }
            )
        if changed:
            plan["seeds"] = sorted({int(s) for cell in plan["cells"] for s in cell["runs"]})
            if plan["design"] != study.design:
                plan["design"] = "mixed"
            plan["axes"] = varied_axes([cell["levels"] for cell in plan["cells"]])
            record.write_json(path, plan)


def fill_levels(cells: Sequence[tuple[Mapping[str, str], Mapping[str, str]]]) -> list[dict[str, str]]:
    """From the levels that each cell names, and all its settings: its level on every axis that any cell names.

    A cell that leaves a setting alone has its default there; where defaults differ, as the learning rate's
    does between optimizers, the level is "default" for all of them, because then they are compared as such.
    """
    keys = dict.fromkeys(key for named, _ in cells for key in named)
    defaults = {key: {settings.get(key, "null") for named, settings in cells if key not in named} for key in keys}
    default = {key: next(iter(values)) if len(values) == 1 else "default" for key, values in defaults.items()}
    return [{key: named.get(key, default[key]) for key in keys} for named, _ in cells]


def _add_runs(plan: dict[str, Any], runs: Sequence[PlannedRun]) -> tuple[bool, int]:
    """Add each run to the cell of the levels that it names; return whether that changed anything, and how
    many experiments are new.

    Later sweeps may name settings that earlier ones left alone; so each cell keeps all its settings, and the
    plan once what all cells share.
    """
    cells = {tuple(sorted(cell["named"].items())): cell for cell in plan["cells"]}
    for cell in cells.values():
        cell["settings"] |= plan["constants"]
    known = {signature for cell in cells.values() for signature in cell["runs"].values()}
    changed = False
    for run in runs:
        new = {"named": run.levels, "settings": run.settings, "runs": {}}
        cell = cells.setdefault(tuple(sorted(run.levels.items())), new)
        changed |= cell["runs"].get(str(run.config.seed)) != run.signature
        cell["runs"][str(run.config.seed)] = run.signature
    filled = fill_levels([(cell["named"], cell["settings"]) for cell in cells.values()])
    first = next(iter(cells.values()))["settings"]
    plan["constants"] = {k: v for k, v in first.items() if all(c["settings"].get(k) == v for c in cells.values())}
    plan["cells"] = [
        {
            "levels": levels,
            "named": cell["named"],
            "settings": {k: v for k, v in cell["settings"].items() if k not in plan["constants"]},
            "runs": cell["runs"],
        }
        for levels, cell in zip(filled, cells.values(), strict=True)
    ]
    return changed, len({run.signature for run in runs} - known)


def varied_axes(levels_of_cells: Sequence[Mapping[str, str]]) -> dict[str, list[str]]:
    """{axis: its levels, in order of appearance} of every axis with more than one level."""
    axes: dict[str, list[str]] = {}
    for levels in levels_of_cells:
        for axis, level in levels.items():
            known = axes.setdefault(axis, [])
            if level not in known:
                known.append(level)
    return {axis: levels for axis, levels in axes.items() if len(levels) > 1}

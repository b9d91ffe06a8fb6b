"""From composed configurations to planned runs, and what a study remembers of them. No torch."""

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
from ablate.config import AXES, HASHED_GROUPS, Config, DataConfig

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
    if isinstance(value, float) and float(f"{value:g}") == value:
        return f"{value:g}"
    return str(value)


def _label(levels: Mapping[str, str], seed: int) -> str:
    """The levels that differ from the defaults, readable and safe as a folder's name."""
    defaults = default_levels()
    parts = [
        f"{key.rpartition('.')[2]}{level}" if "." in key else level
        for key, level in levels.items()
        if defaults.get(key) != level
    ]
    label = "-".join([re.sub(r"[^A-Za-z0-9.+_-]+", "_", part) for part in parts])
    return f"{label[: MAX_LABEL - 16].strip('-') or 'baseline'}-s{seed}"


def remember(runs: Sequence[PlannedRun]) -> None:
    """Write the planned runs of one study into its study.json, adding to what is there.

    Raises ValueError when the file is damaged: a plan is never silently replaced.
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
                "baseline": {axis: default_levels()[axis] for axis in AXES},
                "constants": {},
                "cells": [],
                "amendments": [],
            }
        added = _add_runs(plan, runs)
        if added:
            plan["amendments"].append(
                {
                    "at": record.now(),
                    "command": shlex.join(["python", "-m", "ablate", *sys.argv[1:]]),
                    "runs_added": added,
                    "after_a_report": (folder / "report").exists(),
                }
            )
            plan["seeds"] = sorted({int(s) for cell in plan["cells"] for s in cell["runs"]})
            plan["axes"] = varied_axes([cell["levels"] for cell in plan["cells"]])
            record.write_json(path, plan)


def _add_runs(plan: dict[str, Any], runs: Sequence[PlannedRun]) -> int:
    """Add each run to the cell of its levels; return how many were not there before.

    A setting is an axis once any sweep has named it. Every cell then says its level, those of sweeps
    that left it at its default too; so each cell keeps all its settings, and the plan once what all share.
    """
    cells = [{**cell, "settings": plan["constants"] | cell["settings"]} for cell in plan["cells"]]
    new = [{"levels": run.levels, "settings": run.settings, "runs": {}} for run in runs]
    named = dict.fromkeys(key for cell in [*cells, *new] for key in cell["levels"])
    for cell in [*cells, *new]:
        cell["levels"] = {key: cell["levels"].get(key, cell["settings"].get(key, "None")) for key in named}
    by_levels = {tuple(cell["levels"].values()): cell for cell in cells}
    added = 0
    for run, candidate in zip(runs, new, strict=True):
        cell = by_levels.setdefault(tuple(candidate["levels"].values()), candidate)
        if cell["runs"].get(str(run.config.seed)) != run.signature:
            cell["runs"][str(run.config.seed)] = run.signature
            added += 1
    plan["cells"] = list(by_levels.values())
    first = plan["cells"][0]["settings"]
    plan["constants"] = {k: v for k, v in first.items() if all(c["settings"].get(k) == v for c in plan["cells"])}
    for cell in plan["cells"]:
        cell["settings"] = {k: v for k, v in cell["settings"].items() if k not in plan["constants"]}
    return added


def varied_axes(levels_of_cells: Sequence[Mapping[str, str]]) -> dict[str, list[str]]:
    """{axis: its levels, in order of appearance} of every axis with more than one level."""
    axes: dict[str, list[str]] = {}
    for levels in levels_of_cells:
        for axis, level in levels.items():
            known = axes.setdefault(axis, [])
            if level not in known:
                known.append(level)
    return {axis: levels for axis, levels in axes.items() if len(levels) > 1}

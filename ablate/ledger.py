"""What a study remembers of its plan: study.json, which later sweeps add to. No torch."""

import dataclasses
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from filelock import FileLock

from ablate import design, record
from ablate.plan import PlannedRun


def remember(runs: Sequence[PlannedRun], baseline: Mapping[str, str], excluded: Sequence[str] = ()) -> None:
    """Write the planned runs of one study into its study.json, adding to what is there.

    `baseline` is the level of each axis that one-at-a-time studies vary around, `excluded` names the combinations that
    were left out. What a fraction cannot tell apart is written too, as it is with all that was planned. Raises
    ValueError when the file is damaged: a plan is never silently replaced.
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
        seeds = sorted({int(s) for cell in plan["cells"] for s in cell["runs"]})
        if added:
            plan["amendments"].append(
                {
                    "at": record.now(),
                    "command": shlex.join(["python", "-m", "ablate", *sys.argv[1:]]),
                    "runs_added": added,
                    "seeds": len(seeds),  # with them: a look at a single seed may have had nothing to claim
                    "after_a_report": (folder / "report").exists(),
                }
            )
        if changed:
            plan["seeds"] = seeds
            if plan["design"] != study.design:
                plan["design"] = "mixed"
            plan["axes"] = varied_axes([cell["levels"] for cell in plan["cells"]])
            if excluded:
                plan["excluded"] = sorted({*plan.get("excluded", []), *excluded})
            if study.design == "fractional" or "aliases" in plan:
                plan["aliases"] = design.aliasing([cell["levels"] for cell in plan["cells"]], plan["axes"])
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
        if run.own_signature is not None:
            cell.setdefault("own_signatures", {})[str(run.config.seed)] = run.own_signature
    # What one combination is trained as holds for it in other words too, else one place would have two runs.
    trained_as = {run.own_signature or run.signature: run.signature for run in runs}
    for cell in cells.values():
        own = {seed: cell.get("own_signatures", {}).get(seed, s) for seed, s in cell["runs"].items()}
        cell["runs"] = {seed: trained_as.get(own[seed], s) for seed, s in cell["runs"].items()}
        cell["own_signatures"] = {seed: s for seed, s in own.items() if s != cell["runs"][seed]}
    filled = fill_levels([(cell["named"], cell["settings"]) for cell in cells.values()])
    first = next(iter(cells.values()))["settings"]
    plan["constants"] = {k: v for k, v in first.items() if all(c["settings"].get(k) == v for c in cells.values())}
    plan["cells"] = [
        {
            "levels": levels,
            "named": cell["named"],
            "settings": {k: v for k, v in cell["settings"].items() if k not in plan["constants"]},
            "runs": cell["runs"],
            # Of a combination in whose place an equivalent run is trained: the names that it would have by itself.
            **({"own_signatures": cell["own_signatures"]} if cell["own_signatures"] else {}),
        }
        for levels, cell in zip(filled, cells.values(), strict=True)
    ]
    return changed, len({run.signature for run in runs} - known)


def varied_axes(levels_of_cells: Sequence[Mapping[str, str]]) -> dict[str, list[str]]:
    """{axis: its levels, in order of appearance} of every axis with more than one level."""
    axes: dict[str, dict[str, None]] = {}
    for levels in levels_of_cells:
        for axis, level in levels.items():
            axes.setdefault(axis, {})[level] = None
    return {axis: list(levels) for axis, levels in axes.items() if len(levels) > 1}

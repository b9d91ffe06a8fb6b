"""Configurations that train to the same bits, though they are not the same: one run serves them all.

Signatures stay as they are, for a signature must never change; which run serves a combination is settled when a study
is planned. Only what is equal by construction is listed, never what happened to come out alike, and each entry has a
test of weights' hashes.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from ablate.config import signature
from ablate.plan.planned_run import PlannedRun
from ablate.records import run_folder
from ablate.records.record import State


def plainest(identity: Mapping[str, Any]) -> dict[str, Any]:
    """The identity of the plainest configuration that trains to the same bits."""
    optimizer, decay, scheduler = (dict(identity[group]) for group in ("optimizer", "weight_decay", "scheduler"))
    epochs = identity["trainer"]["epochs"]
    if decay["value"] == 0:
        decay.pop("spare", None)  # nothing decays, so nothing is spared
        if optimizer["name"] == "adamw":
            optimizer["name"] = "adam"  # they differ in how weights decay, and in nothing else
    # The first epoch is never one without a better loss; what comes after the last one trains nothing.
    never = (scheduler["name"] == "plateau" and scheduler["patience"] >= epochs) or (
        scheduler["name"] == "step" and scheduler["every"] >= epochs
    )
    if never:
        scheduler = dict.fromkeys(scheduler) | {"name": "none"}
    return {**identity, "optimizer": optimizer, "weight_decay": decay, "scheduler": scheduler}


def serve(runs: Sequence[PlannedRun]) -> list[PlannedRun]:
    """The same places, but each trained by one run of those that are equivalent.

    A run that has a record is trained as itself. The others are served by such a run, else by one that is DONE in the
    study although this command does not ask for it, else by the first of them.
    """
    keys = [signature.signature(plainest(run.identity)) for run in runs]
    begun = [run.folder().record.exists() for run in runs]
    servants: dict[str, PlannedRun] = {}
    for key, run, has_record in zip(keys, runs, begun, strict=True):
        if has_record:
            servants.setdefault(key, run)
    if not all(begun) and not runs[0].config.force:
        for key, (name, identity) in done_elsewhere(runs).items():
            place = next((run for k, run in zip(keys, runs, strict=True) if k == key), None)
            if place is not None and key not in servants:
                label, _, own = name.rpartition("-")
                servants[key] = dataclasses.replace(place, signature=own, label=label, identity=identity)
    for key, run in zip(keys, runs, strict=True):
        servants.setdefault(key, run)
    return [
        run if has_record or servants[key].signature == run.signature else in_place_of(run, servants[key])
        for key, run, has_record in zip(keys, runs, begun, strict=True)
    ]


def in_place_of(run: PlannedRun, servant: PlannedRun) -> PlannedRun:
    """The servant in the cell of another run."""
    return dataclasses.replace(
        servant,
        levels=run.levels,
        settings=run.settings,
        unread=run.unread,
        tuned=run.tuned,
        own_signature=run.signature,
    )


def done_elsewhere(runs: Sequence[PlannedRun]) -> dict[str, tuple[str, dict[str, Any]]]:
    """{key: (folder's name, identity)} of what is DONE in the study and not among these runs."""
    planned = {run.signature for run in runs}
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for folder, record in run_folder.records(runs[0].study):
        if record.state == State.DONE and record.signature not in planned:
            try:
                found.setdefault(signature.signature(plainest(record.identity)), (folder.path.name, record.identity))
            except (KeyError, TypeError):
                continue  # a record without an identity
    return found

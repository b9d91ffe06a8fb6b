"""Finished runs of other studies that a study plans too: the same signature is the same experiment, so it is copied.

A study's folder stays whole by itself: files that are only ever replaced are linked, so that they take no space twice,
and what is written to again is copied.
"""

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ablate.plan.planned_run import PlannedRun
from ablate.records import files, record, run_folder
from ablate.records.lock import Held, hold
from ablate.records.record import State
from ablate.records.run_folder import RunFolder

Sources = dict[str, RunFolder]  # {signature: the finished run}


def find(runs: Sequence[PlannedRun]) -> Sources:
    """Finished runs of other studies under the same root, for those that have nothing in their own."""
    wanted = [run for run in runs if not run.config.force and run.record() is None]
    if not wanted:
        return {}
    own = wanted[0].study
    found: Sources = {}
    for study in run_folder.studies(own.parent) if own.parent.is_dir() else ():
        if study.resolve() != own.resolve():
            for run in wanted:  # study by study, as the listings of a few are kept
                source = None if run.signature in found else run_folder.find_run(study, run.signature)
                if source is not None and _is_done(source, run.signature):
                    found[run.signature] = source
    return found


def _is_done(source: RunFolder, signature: str) -> bool:
    with suppress(ValueError):
        found = source.read()
        return found.state == State.DONE and found.signature == signature
    return False


def copy(run: PlannedRun, source: RunFolder) -> None:
    """Put a finished run into another study; its record, written last, says where it is from.

    Raises Held when another process trains it there, OSError and ValueError where it cannot be read or written.
    """
    found = source.read()
    folder = run.folder()
    with hold(folder):
        for path in (*source.events(), source.config, source.metrics, source.predictions, source.weights, source.diff):
            if path.exists():
                _link(path, folder.path / path.name)
        for inside in (source.confusion, source.tensorboard):
            for path in inside.glob("*") if inside.is_dir() else ():
                _link(path, folder.path / inside.name / path.name)
        if source.log.exists():
            shutil.copyfile(source.log, folder.log)
        found.study, found.levels, found.command = run.config.study.name, run.levels, run.command()
        found.reused_from = {"folder": str(source.path.absolute()), "at": files.now()}
        record.write(folder.record, found)


def move(runs: Sequence[PlannedRun]) -> None:
    """Bring unfinished runs, checkpoint and all, from `outputs/main`, where version 0.1 kept what had no name."""
    for run in runs:
        source = run_folder.find_run(run.study.parent / "main", run.signature)
        if source is None or not source.checkpoint.exists() or run.folder().path.exists():
            continue
        with suppress(Held, OSError), hold(source):
            os.rename(source.path, run.folder().path)


def _link(path: Path, target: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(path, target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(path, target)

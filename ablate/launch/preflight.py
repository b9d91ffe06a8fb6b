"""What is found out before anything is trained: a place to write, weights, devices, networks that take their data."""

import dataclasses
import os
from collections.abc import Sequence

from ablate.config import pretrained
from ablate.launch import forkserver
from ablate.plan import networks
from ablate.plan.planned_run import Planned, PlannedRun
from ablate.system import hardware


def say(what: str) -> None:
    """Name what takes seconds before it begins; where the disk is slow, it takes many."""
    print(f"  {what} …", flush=True)


def see_that_it_can_be_written(planned: Planned) -> None:
    """Raise ValueError where the study's folder cannot be made; a preview makes none."""
    study = planned.runs[0].study
    there = next(folder for folder in (study, *study.absolute().parents) if os.path.lexists(folder))
    if not there.is_dir():
        raise ValueError(f"{there} is not a folder; give another place with study.root=DIR")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ValueError(f"{there} cannot be written to; give another place with study.root=DIR")


def check_pretrained(runs: Sequence[PlannedRun]) -> None:
    """Raise ValueError when the pretrained weights of a backbone cannot be had, once rather than in every run."""
    backbones = {repr(run.config.backbone): run.config.backbone for run in runs if run.config.backbone.pretrained}
    missing = []
    if away := [backbone.name for backbone in backbones.values() if pretrained.packaged_file(backbone) is None]:
        say(f"looking for the pretrained weights of {', '.join(sorted(set(away)))}")
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
        say("loading PyTorch, and seeing that every network takes its images")
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

"""The runs of a study as jobs of a cluster, one each: Slurm or Ray, by Hydra's plugins for them. No torch.

The plugins configure and submit. What they do not do is done here: their waiting ends with the first job that fails
and, without Slurm's accounting, never for a job that died. So the study's own records are watched, and what the cluster
says of the jobs: of one that is over without having written how, the end is written here. On its node a job trains its
run as any machine does, in a process of its own that is gone on with when it is killed or hangs.
"""

import contextlib
import dataclasses
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from hydra.core.hydra_config import HydraConfig
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig

from ablate import data, durations, plan, record
from ablate.ending import is_settled, write_end
from ablate.interrupt import Interrupted, Stop
from ablate.launch import launch as train_here
from ablate.lock import holder
from ablate.plan import PlannedRun
from ablate.ray_tasks import Tasks
from ablate.record import State
from ablate.running import Running
from ablate.screen import Screen
from ablate.slurm import Queue, leave

EVERY = 1.0  # seconds between two looks at the records
SETTLING = 15.0  # seconds that a record may take through shared storage after its job was over
LEASE = 150.0  # seconds after which shared storage has let go of a dead node's lock; NFS takes 90
SAYING = 30.0  # seconds between two lines on how many jobs wait
CANCELLING = 60.0  # seconds that cancelled jobs have for saving; Slurm's own patience is 30


class Jobs(Protocol):
    """Jobs of a cluster, each known by the place of its run."""

    def over(self) -> dict[int, str]:
        """{place: how it ended} of those that will not go on, as far as the cluster says."""

    def told(self) -> str:
        """How many wait and why, in a line; nothing when there is nothing to say."""

    def cancel(self) -> None:
        """Ask all that are not over to save and end."""


def launch(launcher: Launcher, runs: Sequence[PlannedRun]) -> None:
    """Have a cluster train the runs, and wait for them. Raises ValueError when it takes no jobs, and Interrupted when
    a signal came, after the jobs were cancelled and have saved."""
    began = record.now()
    launcher.task_function = Work(began, os.getcwd(), frozenset(run.signature for run in runs))  # type: ignore[attr-defined]
    stop = Stop()
    try:
        with stop, Screen(len(runs), sys.stderr) as screen:
            jobs: Jobs = Queue(launcher, runs) if type(launcher).__name__ == "SlurmLauncher" else Tasks(launcher, runs)
            Watch(runs, jobs, began, stop, screen).work()
    finally:
        stop.pass_on()


@dataclass(frozen=True)
class Work:
    """What a job does on its node, called by Hydra with what it composed there."""

    began: str  # when the sweep did
    folder: str  # the one that the command was given in
    signatures: frozenset[str]  # of the planned runs

    def __call__(self, composed: DictConfig) -> str:
        """Train one run. Raises Interrupted, or what the plugin's handler of the signal raises."""
        os.chdir(self.folder)
        hydra = HydraConfig.get()
        planned = plan.plan_run(composed, hydra.runtime.choices, list(hydra.overrides.task), data.fingerprint)
        if planned.signature not in self.signatures:
            raise ValueError("images or weights are not those that the study was planned with; give the command again")
        with contextlib.suppress(ValueError):
            if planned.folder().read()["started"] > self.began:  # by this job, before it was requeued
                planned = dataclasses.replace(planned, config=dataclasses.replace(planned.config, force=False))
        try:
            train_here([planned], {}, self.began)
        except Interrupted as error:
            leave(error.number)
            raise
        return str(planned.folder().read()["state"])


class Watch:
    """The runs of one sweep while a cluster trains them."""

    def __init__(self, runs: Sequence[PlannedRun], jobs: Jobs, began: str, stop: Stop, screen: Screen) -> None:
        self.jobs, self.began, self.stop, self.screen = jobs, began, stop, screen
        self.known = durations.read(runs[0].study)
        self.left = dict(enumerate(runs))
        self.ended: dict[int, float] = {}  # when a job was first seen to be over
        self.told, self.said = "", float("-inf")  # of the jobs that wait, and when

    def work(self) -> None:
        while self.left and self.stop.received is None:
            self._look()
            self._show()
            time.sleep(EVERY)
        if self.left:
            self._cancel()

    def _look(self) -> None:
        over, now = self.jobs.over(), time.monotonic()
        for place, run in list(self.left.items()):
            if is_settled(run, self.began):
                self._finished(place, read(run))
            elif place not in over:
                self.ended.pop(place, None)  # requeued
            else:
                since = now - self.ended.setdefault(place, now)
                if self._failed(run) or (since > SETTLING and self._write_lost(run, over[place])):
                    self._finished(place, read(run))
                elif since > LEASE:
                    message = f"its job is over, but its lock is held by {holder(run.folder()) or 'nobody any more'}"
                    self._finished(place, {"state": State.RUNNING, "error": {"message": message}})

    def _failed(self, run: PlannedRun) -> bool:
        """Whether the run itself has said in this sweep how it failed."""
        entry = read(run)
        return entry.get("state") == State.FAILED and (entry.get("ended") or "") > self.began

    def _write_lost(self, run: PlannedRun, how: str) -> bool:
        entry = read(run)
        if entry.get("state") == State.INTERRUPTED and entry["ended"] > self.began:
            how += f"; its run was {entry['error']['message']}"
        return write_end(run, State.FAILED, {"type": "Lost", "message": how, "traceback": ""}, newly=True)

    def _finished(self, place: int, entry: dict[str, Any]) -> None:
        run = self.left.pop(place)
        durations.learn(self.known, run.settings, entry)
        self.screen.ended(run, entry, self._time_left())

    def _time_left(self) -> float | None:
        at_once = sum(holder(run.folder()) is not None for run in self.left.values())
        return durations.left([durations.expected(self.known, run.settings) for run in self.left.values()], at_once)

    def _show(self) -> None:
        if (told := self.jobs.told()) not in ("", self.told) and time.monotonic() - self.said > SAYING:
            self.told, self.said = told, time.monotonic()
            self.screen.say(told)
        if self.screen.live is not None:
            held = [run for run in self.left.values() if holder(run.folder()) is not None]
            self.screen.show([seen_from_afar(run) for run in held], [], self._time_left())

    def _cancel(self) -> None:
        """Leave every run as a signal to it would, and no job behind."""
        assert self.stop.received is not None
        self.screen.say("cancelling the jobs, which save first")
        self.jobs.cancel()
        deadline = time.monotonic() + CANCELLING
        while time.monotonic() < deadline:
            # A task of Ray is over as soon as it is cancelled, while its run still saves.
            saving = any(holder(run.folder()) is not None for run in self.left.values())
            if not saving and self.left.keys() <= self.jobs.over().keys():
                break
            time.sleep(EVERY)
        why = f"stopped by {signal.Signals(self.stop.received).name}"
        for run in self.left.values():
            if run.folder().record.exists():
                write_end(run, State.INTERRUPTED, {"type": "Interrupted", "message": why, "traceback": ""})


def read(run: PlannedRun) -> dict[str, Any]:
    """The run's record; of one that has none, what the screen needs."""
    try:
        return run.folder().read()
    except ValueError as error:
        return {"state": State.FAILED, "metrics": {}, "error": {"message": str(error)}}


def seen_from_afar(run: PlannedRun) -> Running:
    """A run whose process is too far for a pipe, as its files show it."""
    running = Running(run, 0, {}, -1)
    with contextlib.suppress(ValueError):
        for row in run.folder().read_metrics()[-1:]:
            running.told = {
                "epoch": row["epoch"], "loss": row["train_loss"], "accuracy": row["test_accuracy"],
                "speed": row["images_per_second"], "training": True,
            }  # fmt: skip
    return running

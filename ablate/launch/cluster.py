"""The runs of a study as jobs of a cluster, one each: Slurm or Ray, by Hydra's plugins for them.

The plugins configure and submit. What they do not do is done here: their waiting ends with the first job that fails
and, without Slurm's accounting, never for a job that died. So the study's own records are watched, and what the cluster
says of the jobs: of one that is over without having written how, the end is written here. On its node a job trains its
run as any machine does, in a process of its own that is resumed when it is killed or hangs.
"""

import contextlib
import dataclasses
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from ablate.data import datasets
from ablate.launch import local, watch
from ablate.launch.run_state import Ended, InTraining, Progress
from ablate.launch.slurm import leave
from ablate.plan import planned_run
from ablate.plan.planned_run import PlannedRun
from ablate.records.durations import Known
from ablate.records.lock import holder
from ablate.records.record import Problem, State
from ablate.run.outcome import Before, as_it_was, has_changed, is_settled, write_end
from ablate.system.signals import Interrupted

EVERY = 1.0  # seconds between two looks at the records
SETTLING = 15.0  # seconds that a record may take through shared storage after its job was over
LEASE = 150.0  # seconds after which shared storage has let go of a dead node's lock; NFS takes 90
SAYING = 30.0  # seconds between two lines on how many jobs wait
CANCELLING = 60.0  # seconds that cancelled jobs have for saving; Slurm's own patience is 30


class Jobs(Protocol):
    """Jobs of a cluster, each known by the place of its run."""

    def over(self) -> dict[int, str]:
        """{place: how it ended} of those that will not continue, as far as the cluster says."""

    def waiting(self) -> str:
        """How many wait and why, in a line; nothing when there is nothing to say."""

    def cancel(self) -> None:
        """Ask all that are not over to save and end."""


def launch(launcher: Any, runs: Sequence[PlannedRun], submit: Callable[[Any, Sequence[PlannedRun]], Jobs]) -> None:
    """Have a cluster train the runs by a plugin of Hydra's, and wait for them.

    `submit` is slurm.Queue or ray_tasks.Tasks. Raises ValueError when the cluster takes no jobs, and Interrupted when a
    signal came, after the jobs were cancelled and have saved.
    """
    before = as_it_was(runs)
    launcher.task_function = Work(before, os.getcwd(), frozenset(run.signature for run in runs))
    watch.train(runs, Cluster(runs, before, lambda: submit(launcher, runs)))


@dataclass(frozen=True)
class Work:
    """What a job does on its node, called by Hydra with what it composed there."""

    before: Before  # the last attempts when the sweep began
    folder: str  # the one that the command was given in
    signatures: frozenset[str]  # of the planned runs

    def __call__(self, composed: DictConfig) -> str:
        """Train one run. Raises Interrupted, or what the plugin's handler of the signal raises."""
        os.chdir(self.folder)
        hydra = HydraConfig.get()
        planned = planned_run.plan_run(
            composed, hydra.runtime.choices, list(hydra.overrides.task), datasets.fingerprint
        )
        if planned.signature not in self.signatures:
            raise ValueError("images or weights are not those that the study was planned with; give the command again")
        record = planned.record()
        if record is not None and has_changed(planned, self.before):  # by this job, before it was requeued
            planned = dataclasses.replace(planned, config=dataclasses.replace(planned.config, force=False))
        try:
            local.launch([planned], {}, self.before)
        except Interrupted as error:
            leave(error.number)
            raise
        return str(planned.folder().read().state)


class Cluster:
    """The runs of one sweep while a cluster trains them. A watch.Backend."""

    def __init__(self, runs: Sequence[PlannedRun], before: Before, submit: Callable[[], Jobs]) -> None:
        self.before, self.submit = before, submit
        self.jobs: Jobs | None = None  # submitted at the first look, when signals are already heeded
        self.left = dict(enumerate(runs))
        self.over: dict[int, float] = {}  # when a job was first seen to be over
        self.said, self.said_at = "", float("-inf")  # of the jobs that wait
        self.stopped: int | None = None  # the signal
        self.deadline = float("inf")

    # -- watch.Backend ------------------------------------------------------------------------

    def advance(self, say: Callable[[str], None]) -> list[Ended]:
        """Look at the records and the jobs; return the runs that have ended."""
        if self.jobs is None:
            self.jobs = self.submit()
        ended = [] if self.stopped is not None else self._look(self.jobs)
        line = self.jobs.waiting()
        if line not in ("", self.said) and time.monotonic() - self.said_at > SAYING:
            self.said, self.said_at = line, time.monotonic()
            say(line)
        time.sleep(EVERY)
        return ended

    def training(self) -> list[InTraining]:
        """The runs whose lock is held, as their files show them."""
        held = [run for run in self.left.values() if holder(run.folder()) is not None]
        return [InTraining(run, _progress(run)) for run in held]

    def at_once(self) -> int:
        """How many runs are trained now: nothing says how many the cluster would."""
        return len(self.training())

    def stop(self, number: int, say: Callable[[str], None]) -> None:
        """Cancel the jobs."""
        self.stopped, self.deadline = number, time.monotonic() + CANCELLING
        say("cancelling the jobs, which save first")
        if self.jobs is not None:
            self.jobs.cancel()

    def busy(self) -> bool:
        """Whether a job is not over or, as a task of Ray is over as soon as it is cancelled, its run still saves."""
        if self.jobs is None or time.monotonic() > self.deadline:
            return False
        return bool(self.training()) or not self.left.keys() <= self.jobs.over().keys()

    def learned(self, known: Known) -> None:
        """The cluster decides on the order."""

    def close(self) -> None:
        """Leave every run as a signal to it would."""
        if self.stopped is None:
            return
        why = Problem("Interrupted", f"stopped by {signal.Signals(self.stopped).name}")
        for run in self.left.values():
            if run.folder().record.exists():
                write_end(run, State.INTERRUPTED, why)

    # -- jobs ---------------------------------------------------------------------------------

    def _look(self, jobs: Jobs) -> list[Ended]:
        over, now, ended = jobs.over(), time.monotonic(), []
        for place, run in list(self.left.items()):
            found = None
            if is_settled(run, self.before):
                found = Ended.by_record(run)
            elif place not in over:
                self.over.pop(place, None)  # requeued
            else:
                since = now - self.over.setdefault(place, now)
                if self._failed(run) or (since > SETTLING and self._write_lost(run, over[place])):
                    found = Ended.by_record(run)
                elif since > LEASE:
                    who = holder(run.folder()) or "no process any more"
                    found = Ended(run, State.RUNNING, f"its job is over, but its lock is held by {who}", None)
            if found is not None:
                del self.left[place]
                ended.append(found)
        return ended

    def _failed(self, run: PlannedRun) -> bool:
        """Whether the run itself has said in this sweep how it failed."""
        record = run.record()
        return record is not None and record.state == State.FAILED and has_changed(run, self.before)

    def _write_lost(self, run: PlannedRun, how: str) -> bool:
        record = run.record()
        if record is not None and record.state == State.INTERRUPTED and has_changed(run, self.before):
            how += f"; its run was {record.message}"
        return write_end(run, State.FAILED, Problem("Lost", how), newly=True)


def _progress(run: PlannedRun) -> Progress:
    """How far a run is whose process is too far away for a pipe."""
    with contextlib.suppress(ValueError):
        for row in run.folder().read_metrics()[-1:]:
            return Progress(
                epoch=int(row["epoch"]), loss=row["train_loss"], accuracy=row["test_accuracy"],
                speed=row["images_per_second"],
            )  # fmt: skip
    return Progress()

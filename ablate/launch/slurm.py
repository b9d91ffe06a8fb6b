"""Runs as Slurm jobs: submitted by submitit, asked after by squeue, which needs no accounting."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from ablate.plan.planned_run import PlannedRun
from ablate.records import files

ARRAY = 1000  # jobs of one array; Slurm's MaxArraySize is 1001 unless set otherwise
EVERY = 5.0  # seconds between two questions to Slurm
REQUEUES = 1000  # times that a job may reach its time limit: a run that takes longer is resumed by the next
OVER = {
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "REVOKED",
    "TIMEOUT",
}  # fmt: skip
GONE = ("gone from the queue", "")
States = dict[str, tuple[str, str]]  # {job: (state, why it waits)}


class Queue:
    """The jobs of a study's runs: those of an earlier command that still wait or run, and new ones for the others."""

    def __init__(self, launcher: Any, runs: Sequence[PlannedRun]) -> None:
        self.states: States = ask() or {}
        self.asked, self.answers = time.monotonic(), True
        self.logs = str(launcher.params["submitit_folder"])
        earlier = {place: job_of(run) for place, run in enumerate(runs)}
        self.jobs = {place: job for place, job in earlier.items() if job in self.states and not self._is_over(job)}
        fit(launcher.params, max(run.config.trainer.threads for run in runs))
        new = [place for place in range(len(runs)) if place not in self.jobs]
        for some in (new[first : first + ARRAY] for first in range(0, len(new), ARRAY)):
            try:
                ids = submit(launcher, [list(runs[place].overrides) for place in some])
            except RuntimeError as error:  # with what sbatch said; the same command takes earlier arrays over
                raise ValueError(f"Slurm takes no jobs: {' '.join(str(error).split())}") from None
            for place, job in zip(some, ids, strict=True):
                self.jobs[place] = job
                self.states[job] = ("PENDING", "")
                files.write_json(runs[place].folder().job, {"slurm": job})

    def over(self) -> dict[int, str]:
        if time.monotonic() - self.asked > EVERY:
            self.asked, states = time.monotonic(), ask()
            self.answers = states is not None
            self.states = self.states if states is None else states
        return {place: self._how(job) for place, job in self.jobs.items() if self._is_over(job)}

    def _is_over(self, job: str) -> bool:
        return self.states.get(job, GONE)[0] in (*OVER, GONE[0])

    def _how(self, job: str) -> str:
        log = self.logs.replace("%j", job)
        return f"Slurm job {job} left no result ({self.states.get(job, GONE)[0]}); its logs are in {log}"

    def waiting(self) -> str:
        if not self.answers:
            return "Slurm does not answer; waiting for it, and for what the runs themselves write"
        states = [self.states[job] for job in self.jobs.values() if job in self.states and not self._is_over(job)]
        counts = Counter(state if why in ("", "None") else f"{state} ({why})" for state, why in states)
        return "Slurm: " + ", ".join(f"{count} {state}" for state, count in sorted(counts.items())) if counts else ""

    def cancel(self) -> None:
        if live := [job for job in self.jobs.values() if not self._is_over(job)]:
            with contextlib.suppress(OSError, subprocess.SubprocessError):
                subprocess.run(["scancel", *live], capture_output=True, timeout=60)
        self.asked = float("-inf")


def fit(params: dict[str, Any], threads: int) -> None:
    """Set what the plugin leaves open, or sets for functions that cannot be resumed; a run can."""
    params["cpus_per_task"] = params.get("cpus_per_task") or threads
    params["max_num_timeout"] = params.get("max_num_timeout") or REQUEUES
    params["additional_parameters"] = {"requeue": True} | dict(params.get("additional_parameters") or {})


class Submitted(Exception):
    """The plugin has submitted its jobs, and would wait for them."""


class Ids:
    """Takes the place of what submitit registers its jobs with; it asks for their states once all are submitted."""

    def __init__(self) -> None:
        self.registered: list[str] = []

    def register_job(self, job_id: str) -> None:
        self.registered.append(job_id)

    def is_done(self, job_id: str, mode: str = "standard") -> bool:  # noqa: ARG002  submitit's signature
        raise Submitted


def submit(launcher: Any, overrides: list[list[str]]) -> list[str]:
    """Have the plugin submit a job for each run; return their ids. Raises RuntimeError when Slurm refuses."""
    from submitit.slurm.slurm import SlurmJob

    watcher, ids = SlurmJob.watcher, Ids()
    SlurmJob.watcher = ids
    try:
        launcher.launch(overrides, initial_job_idx=0)
    except Submitted:
        pass
    except RuntimeError:
        if len(ids.registered) < len(overrides):
            raise  # else a job has failed so fast that submitit did not ask
    finally:
        SlurmJob.watcher = watcher
    return ids.registered[-len(overrides) :]  # of an array its own id comes first


def ask() -> States | None:
    """The states of this user's jobs, those that ended some minutes ago included; None when Slurm does not answer."""
    words = ["squeue", "--noheader", "--array", "--states=all", "--format=%i|%T|%r", "--user", str(os.getuid())]
    try:
        text = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    rows = [line.split("|", 2) for line in text.splitlines() if line.count("|") >= 2]
    return {job: (state, why) for job, state, why in rows}


def job_of(run: PlannedRun) -> str:
    """The Slurm job that a run was last given to."""
    try:
        return str(files.read_json(run.folder().job)["slurm"])
    except (ValueError, KeyError):
        return ""


def leave(number: int) -> None:
    """End a job whose run a signal has stopped, by submitit's own handler where it was one of preemption.

    With a grace time Slurm warns by SIGTERM, and a job that ends within that time is not requeued. SIGTERM also comes
    when a user cancels or requeues a job, which needs no action.
    """
    handler = signal.getsignal(signal.SIGUSR2)
    if os.environ.get("SUBMITIT_EXECUTOR") != "slurm" or not callable(handler):
        return
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        words = ["scontrol", "show", "job", os.environ["SLURM_JOB_ID"]]
        text = subprocess.run(words, capture_output=True, text=True, timeout=30, check=True).stdout
        if re.search(r"PreemptTime=\d", text):
            handler(signal.SIGUSR2, None)
    sys.exit(128 + number)

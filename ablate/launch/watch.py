"""The runs of one sweep while they are trained, on this machine or elsewhere: one loop over a small protocol."""

import sys
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from ablate.launch.run_state import Ended, InTraining
from ablate.launch.screen import Screen
from ablate.plan import cost
from ablate.plan.planned_run import PlannedRun
from ablate.records import durations
from ablate.records.durations import Known
from ablate.system.signals import Stop


class Backend(Protocol):
    """What trains runs: processes of this machine, or jobs of a cluster."""

    def advance(self, say: Callable[[str], None]) -> list[Ended]:
        """Start what can be started, wait a moment, and return the runs that have ended meanwhile."""

    def training(self) -> list[InTraining]:
        """The runs that are trained now."""

    def at_once(self) -> int:
        """How many runs are trained at once."""

    def stop(self, number: int, say: Callable[[str], None]) -> None:
        """Start no more runs, and pass a signal on to those that are trained, which save."""

    def busy(self) -> bool:
        """After stop: whether runs still save."""

    def learned(self, known: Known) -> None:
        """How long runs of a new kind take is known now, which may change the order of those that wait."""

    def close(self) -> None:
        """Leave no process or job behind."""


def train(runs: Sequence[PlannedRun], backend: Backend) -> None:
    """Have the runs trained, or see other processes train them, and show how far they are.

    Raises Interrupted when a signal came, after all runs have saved, and what the backend raises.
    """
    stop = Stop()
    try:
        with stop, Screen(len(runs), sys.stderr) as screen:
            _watch(runs, backend, stop, screen)
    finally:
        stop.pass_on()


def _watch(runs: Sequence[PlannedRun], backend: Backend, stop: Stop, screen: Screen) -> None:
    known = durations.of_study(runs[0].study)
    left = {run.signature: run for run in runs}
    stopped = False
    try:
        while left:
            if stop.received is not None and not stopped:
                stopped = True
                backend.stop(stop.received, screen.say)
            if stopped and not backend.busy():
                break
            for ended in backend.advance(screen.say):
                left.pop(ended.planned.signature, None)
                if durations.learn(known, ended.planned.kind, ended.record):
                    backend.learned(known)
                screen.ended(ended, _time_left(left.values(), backend, known))
            screen.show(backend.training(), lambda: _time_left(left.values(), backend, known))
    finally:
        backend.close()


def _time_left(left: Collection[PlannedRun], backend: Backend, known: Known) -> float | None:
    """Seconds until all is done, as far as that can be estimated."""
    training = {run.planned.signature: run for run in backend.training()}
    guess = max((run.guess for run in training.values() if run.guess is not None), default=None)
    remaining = []
    for run in left:
        seconds = cost.seconds_of(run, known) or guess
        if seconds is not None and run.signature in training:
            seconds *= 1 - training[run.signature].share()
        remaining.append(seconds)
    return durations.left(remaining, backend.at_once())

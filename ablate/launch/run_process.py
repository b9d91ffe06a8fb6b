"""A run while a process of this machine trains it, and what that process sends."""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from ablate.launch.run_state import InTraining, Progress
from ablate.plan.planned_run import PlannedRun


@dataclass(eq=False)
class RunProcess:
    """One try at a run, in a process that the fork server has started."""

    planned: PlannedRun
    tries: int  # before this one
    slot: Mapping[str, str]  # environment variables of its place
    events: int  # the pipe from which it is read
    oom_kills: int  # of the system, before it started
    started: float = field(default_factory=time.monotonic)
    last: float = field(default_factory=time.monotonic)  # when the process last sent anything
    progress: Progress = field(default_factory=Progress)
    state: str = ""  # how it says that the run ended
    held: bool = False  # it found that another process trains the run
    failed: str = ""  # why, where its folder could not be written to
    heard: bool = False  # it has sent anything
    rest: bytes = b""  # a line that is not complete yet
    stalled: float | None = None  # when it was found to be

    def training(self) -> InTraining:
        """The run as the screen shows it."""
        share = InTraining(self.planned, self.progress).share()
        says_enough = share > 0.05 and not self.tries
        guess = (time.monotonic() - self.started) / share if says_enough else None
        return InTraining(self.planned, self.progress, guess)

    def listen(self) -> None:
        """Read what the process has sent since the last time."""
        try:
            content = os.read(self.events, 65536)
        except OSError:
            return  # nothing
        if not content:
            time.sleep(0.01)  # the server is about to report that the process has ended
            return
        self.last = time.monotonic()
        *lines, self.rest = (self.rest + content).split(b"\n")
        for line in lines:
            self._hear(json.loads(line))

    def _hear(self, event: dict[str, object]) -> None:
        self.heard |= bool(event)
        if "state" in event:
            self.state = str(event.pop("state"))
        if "failed" in event:
            self.failed = str(event.pop("failed"))
        if "held" in event:
            self.held = bool(event.pop("held"))
        if "epoch" in event:
            self.progress.done = 0
        for name, value in event.items():
            if hasattr(self.progress, name):
                setattr(self.progress, name, value)

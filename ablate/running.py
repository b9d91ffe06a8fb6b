"""A run while a process of ours trains it, and what that tells of it. No torch."""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ablate.plan import PlannedRun


@dataclass(eq=False)
class Running:
    """A run while it is trained by a process of ours, and what that has told."""

    planned: PlannedRun
    tries: int
    slot: Mapping[str, str]
    events: int  # the pipe from which it is read
    started: float = field(default_factory=time.monotonic)
    last: float = field(default_factory=time.monotonic)  # when it was heard of
    told: dict[str, Any] = field(default_factory=dict)
    rest: bytes = b""  # a line that has not come to its end
    stalled: float | None = None  # when it was found to be
    oom_kills: int = 0

    def share(self) -> float:
        """How much of the run is done."""
        epochs: int = self.planned.config.trainer.epochs
        step: float = self.told.get("done", 0) / max(1, self.told.get("total", 1)) if self.told.get("training") else 0
        return min(1.0, (float(self.told.get("epoch", 0)) + step) / epochs)

    def guess(self) -> float | None:
        """The seconds that the whole run takes, from how far it has come; None as long as that says little."""
        share = self.share()
        return (time.monotonic() - self.started) / share if share > 0.05 and not self.tries else None

    def listen(self) -> None:
        """Take in what the process has told since the last time."""
        try:
            content = os.read(self.events, 65536)
        except OSError:
            return  # nothing
        if not content:
            time.sleep(0.01)  # its end is about to be told by the server
            return
        self.last = time.monotonic()
        *lines, self.rest = (self.rest + content).split(b"\n")
        for line in lines:
            event = json.loads(line)
            if "stage" in event:
                event["training"] = event["stage"].startswith("epoch ")
            if "epoch" in event:
                event["done"] = 0
            self.told |= event

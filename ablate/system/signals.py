"""Signals that ask a run to stop: it continues to the next step, saves its state and ends as INTERRUPTED."""

import ctypes
import os
import signal
import sys
import threading
from types import FrameType, TracebackType
from typing import Any

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
PR_SET_PDEATHSIG = 1  # linux/prctl.h


class CannotStart(Exception):
    """The system does not let the process start that forks the runs. Nothing was tried."""


class Interrupted(KeyboardInterrupt):
    """A signal asked the run to stop. Never raised in the middle of anything."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number


class Stop:
    """While entered, a signal is only noted; check() raises Interrupted where the run can be left.

    So a second signal, in the middle of saving, changes nothing.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self.before: dict[int, Any] = {}

    def __enter__(self) -> "Stop":
        if threading.current_thread() is threading.main_thread():  # elsewhere Python allows no handlers
            self.before = {number: signal.signal(number, self._note) for number in NUMBERS}
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        if self.received is None:
            self.received = number
            os.write(2, b"\nstopping as soon as the state is saved; the same command resumes\n")

    def check(self) -> None:
        """Raise Interrupted when a signal has come."""
        if self.received is not None:
            raise Interrupted(self.received)

    def pass_on(self) -> None:
        """After the end of the `with`, call the handler that was there before, as submitit's, which requeues the
        job and exits; then raise Interrupted. Does nothing when no signal came."""
        if self.received is None:
            return
        handler = self.before.get(self.received)
        if callable(handler) and handler is not signal.default_int_handler:
            handler(self.received, None)
        self.check()


def die_with_parent() -> None:
    """End this process, a worker, when the one that started it is gone: SIGKILL leaves it no time to say so."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    end_with_parent(os.getppid())


def end_with_parent(parent: int) -> None:
    """Have the system end this process when its parent, known by its number, is gone."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

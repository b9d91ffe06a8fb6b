"""Train planned runs on this machine, one process each, as many at once as it has room for. No torch.

A run that ends without a word (killed, crashed, hanging) has its end written here and is gone on with, twice. A
signal is passed on to all runs, which save; then it goes on to the caller.
"""

import contextlib
import dataclasses
import os
import pickle
import signal
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import send_handle
from subprocess import Popen

from ablate import durations, record
from ablate.ending import is_settled, oom_kills, signal_error, write_end
from ablate.interrupt import NUMBERS, Stop
from ablate.lock import holder
from ablate.plan import PlannedRun
from ablate.record import State
from ablate.running import Running
from ablate.screen import Screen
from ablate.server import Job, start_server
from ablate.slots import slots

RETRIES = 2
SAVING = 60.0  # seconds of silence that a run may keep after it was asked to save
ABORTING = 3.0  # seconds that a stalled run has for saying where it hangs


def launch(runs: Sequence[PlannedRun], env_set: Mapping[str, str], began: str | None = None) -> None:
    """Train every run, or see another process train it. Raises Interrupted when a signal came, after all have saved.

    `began` is when the sweep did, where that was not now: what has ended since is not trained again.
    """
    stop = Stop()
    try:
        with stop, Screen(len(runs), sys.stderr) as screen:
            Launch(runs, env_set, stop, screen, began or record.now()).work()
    finally:
        stop.pass_on()


class Launch:
    """The runs of one sweep: waiting, running, held by others."""

    def __init__(
        self, runs: Sequence[PlannedRun], env_set: Mapping[str, str], stop: Stop, screen: Screen, began: str
    ) -> None:
        self.stop, self.screen, self.env_set, self.began = stop, screen, env_set, began
        self.known = durations.read(runs[0].study)
        self.waiting = deque((run, 0) for run in durations.longest_first(runs, self.known))
        self.free = slots(runs)
        self.at_once = len(self.free)
        self.running: dict[int, Running] = {}
        self.elsewhere: list[PlannedRun] = []
        self.number = 0
        self.looked = 0.0
        self.server: Popen[bytes] | None = None
        self.connection: Connection | None = None

    def work(self) -> None:
        told = False
        try:
            while self.running or (not self.stop.received and (self.waiting or self.elsewhere)):
                if self.stop.received is None:
                    self._start_what_fits()
                elif not told:
                    told = True
                    self._signal_all(self.stop.received)
                self._listen()
                self._end_the_stalled()
                self._look_elsewhere()
                self.screen.show(self.running.values(), self.elsewhere, self._left())
        finally:
            if self.connection is not None:
                self.connection.close()  # which the server takes for our end
            if self.server is not None:
                self.server.wait()

    def _start_what_fits(self) -> None:
        while self.waiting and self.free:
            planned, tries = self.waiting.popleft()
            if is_settled(planned, self.began):
                self._finished(planned)
            elif holder(planned.folder()) is not None:
                self.elsewhere.append(planned)
            else:
                self._start(planned, tries)

    def _start(self, planned: PlannedRun, tries: int) -> None:
        if self.connection is None:
            self.server, self.connection = start_server()
        self.number += 1
        slot = self.free.pop(0)
        environment = {**os.environ, **self.env_set, **slot}
        if tries:  # what was begun anew is gone on with
            planned = dataclasses.replace(planned, config=dataclasses.replace(planned.config, force=False))
        content = pickle.dumps(Job(self.number, planned, environment, os.getcwd(), self.began))
        read_end, write_end_of_pipe = os.pipe()
        os.set_blocking(read_end, False)
        self.running[self.number] = Running(planned, tries, slot, read_end, oom_kills=oom_kills())
        try:
            self.connection.send(("start", self.number))
            self.connection.send_bytes(content)
            send_handle(self.connection, write_end_of_pipe, 0)
        except OSError:
            pass  # the server has died, which the next look at its pipe finds
        finally:
            os.close(write_end_of_pipe)

    def _listen(self) -> None:
        handles = [run.events for run in self.running.values()]
        ready = wait([*handles, *([self.connection] if self.connection is not None else [])], timeout=0.25)
        for run in self.running.values():
            if run.events in ready:
                run.listen()
        if self.connection in ready and self.connection is not None:
            try:
                what, number, code = self.connection.recv()
            except (EOFError, OSError):
                self._server_died()
                return
            if what == "ended":
                self._ended(number, code)
            elif what == "ready":
                for run in self.running.values():
                    run.last = time.monotonic()

    def _server_died(self) -> None:
        assert self.server is not None and self.connection is not None
        self.connection.close()
        code, self.server, self.connection = self.server.wait(), None, None
        if not any(run.told for run in self.running.values()) and code >= 0:
            raise RuntimeError(
                "the process that forks the runs could not start; see above, or use hydra/launcher=basic"
            )
        for number in list(self.running):
            self._ended(number, code)  # the system ends them with it

    def _ended(self, number: int, code: int) -> None:
        run = self.running.pop(number)
        run.listen()
        os.close(run.events)
        self.free.append(dict(run.slot))
        planned = run.planned
        if "held" in run.told and code == 0:
            self.elsewhere.append(planned)
        elif (code == 0 and "state" in run.told) or code - 128 in NUMBERS:
            self._finished(planned)
        elif self.stop.received is not None:
            if planned.folder().record.exists():
                name = signal.Signals(self.stop.received).name
                message = {"type": "Interrupted", "message": f"stopped by {name}", "traceback": ""}
                write_end(planned, State.INTERRUPTED, message)
        else:
            self._lost(run, code)

    def _lost(self, run: Running, code: int) -> None:
        """A process ended without having written how."""
        planned, more = run.planned, ""
        if code == -signal.SIGKILL and not run.stalled:
            more = (
                " (the system had run out of memory)" if oom_kills() > run.oom_kills else ", by hand or by the system"
            )
        error = signal_error(planned, code, more)
        if run.stalled:
            timeout = planned.config.study.timeout
            error |= {"type": "Signal", "message": f"stalled: no progress for {timeout:g} s"}
        if run.tries:
            error["message"] += f"; tried {run.tries + 1} times"
        write_end(planned, State.FAILED, error)
        if "state" in run.told or is_settled(planned, self.began) or run.tries >= RETRIES or code == 0:
            self._finished(planned)
        else:
            self.screen.retry(planned, error["message"])
            self.waiting.appendleft((planned, run.tries + 1))

    def _finished(self, planned: PlannedRun) -> None:
        try:
            entry = planned.folder().read()
        except ValueError as error:
            entry = {"state": "FAILED", "metrics": {}, "error": {"message": str(error)}}
        if durations.learn(self.known, planned.settings, entry):
            retried = [(run, tries) for run, tries in self.waiting if tries]
            new = durations.longest_first([run for run, tries in self.waiting if not tries], self.known)
            self.waiting = deque([*retried, *((run, 0) for run in new)])
        self.screen.ended(planned, entry, self._left())

    def _end_the_stalled(self) -> None:
        now = time.monotonic()
        for number, run in self.running.items():
            timeout = run.planned.config.study.timeout
            silent = now - run.last
            if run.stalled is not None:
                if now - run.stalled > ABORTING:
                    self._signal(number, signal.SIGKILL)
            elif self.stop.received is not None:
                if silent > SAVING:
                    self._signal(number, signal.SIGKILL)
            elif timeout is not None and silent > timeout:
                run.stalled = now
                self._signal(number, signal.SIGABRT)  # on which it says in its log where it was

    def _signal_all(self, number: int) -> None:
        for run in self.running:
            self._signal(run, number)
            self.running[run].last = time.monotonic()

    def _signal(self, run: int, number: int) -> None:
        if self.connection is not None:
            with contextlib.suppress(OSError):  # the server has died, and with it the run
                self.connection.send(("signal", run, number))

    def _look_elsewhere(self) -> None:
        """Take what other sweeps trained for finished, and over what they left."""
        if time.monotonic() - self.looked < 1.0:
            return
        self.looked = time.monotonic()
        for planned in list(self.elsewhere):
            if holder(planned.folder()) is None:
                self.elsewhere.remove(planned)
                self.waiting.append((planned, 0))

    def _left(self) -> float | None:
        """Seconds until all is done, as far as can be told."""
        guess = max((g for run in self.running.values() if (g := run.guess()) is not None), default=None)

        def whole(planned: PlannedRun) -> float | None:
            return durations.expected(self.known, planned.settings) or guess

        remaining = [whole(run) for run in (*(run for run, _ in self.waiting), *self.elsewhere)]
        for run in self.running.values():
            seconds = whole(run.planned)
            remaining.append(None if seconds is None else seconds * (1 - run.share()))
        return durations.left(remaining, self.at_once)

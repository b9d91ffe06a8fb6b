"""Train planned runs on this machine, one process each, as many at once as it has room for.

A run that ends without a word (killed, crashed, hanging) has its end written here and is resumed, up to two times. A
signal is passed on to all runs, which save.
"""

import contextlib
import dataclasses
import os
import pickle
import signal
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import send_handle
from subprocess import Popen

from ablate.config.checks import as_written
from ablate.launch import watch
from ablate.launch.forkserver import Job, start_server
from ablate.launch.run_process import RunProcess
from ablate.launch.run_state import Ended, InTraining
from ablate.plan import cost
from ablate.plan.planned_run import PlannedRun
from ablate.records import durations
from ablate.records.durations import Known
from ablate.records.lock import holder
from ablate.records.record import Problem, State
from ablate.run.outcome import Before, as_it_was, is_settled, signal_error, write_end
from ablate.system import hardware
from ablate.system.signals import NUMBERS, CannotStart

RETRIES = 2
SAVING = 60.0  # seconds of silence that a run may keep after it was asked to save
ABORTING = 3.0  # seconds that a stalled run has for saying where it hangs


def launch(runs: Sequence[PlannedRun], env_set: Mapping[str, str], before: Before | None = None) -> None:
    """Train every run, or see another process train it. Raises Interrupted when a signal came, after all have saved.

    `env_set` are environment variables of every run. `before` are the last attempts when the sweep began, where that
    was not now: what has ended since is not trained again.
    """
    watch.train(runs, Local(runs, env_set, as_it_was(runs) if before is None else before))


def slots(runs: Sequence[PlannedRun]) -> list[dict[str, str]]:
    """The environment variables of each slot: with GPUs, which one it sees; at most as many slots as runs."""
    if not runs:
        return []
    study = runs[0].config.study
    device = runs[0].config.trainer.device
    gpus = hardware.visible_gpus() if device in ("auto", "cuda") else []
    if gpus:
        every = [{"CUDA_VISIBLE_DEVICES": gpu} for _ in range(study.runs_per_gpu) for gpu in gpus]
    elif device.startswith(("cuda", "mps")):
        every = [{} for _ in range(study.runs_per_gpu)]
    else:
        threads = max(run.config.trainer.threads for run in runs)
        every = [{} for _ in range(max(1, hardware.cores() // threads))]
    wanted = min(len(runs), study.slots or len(every))
    return [every[i % len(every)] for i in range(wanted)]


class Local:
    """The runs of one sweep: waiting, trained here, held by other processes. A watch.Backend."""

    def __init__(self, runs: Sequence[PlannedRun], env_set: Mapping[str, str], before: Before) -> None:
        self.env_set, self.before = env_set, before
        self.waiting = deque((run, 0) for run in cost.longest_first(runs, durations.of_study(runs[0].study)))
        self.free = slots(runs)
        self.slots = len(self.free)
        self.running: dict[int, RunProcess] = {}
        self.slots_held_back: list[dict[str, str]] = []  # of runs for which the system started no process
        self.elsewhere: list[PlannedRun] = []
        self.ended: list[Ended] = []
        self.number = 0
        self.looked = 0.0  # when it was last asked whether others still hold their runs
        self.stopped: int | None = None  # the signal
        self.server: Popen[bytes] | None = None
        self.connection: Connection | None = None

    # -- watch.Backend ------------------------------------------------------------------------

    def advance(self, say: Callable[[str], None]) -> list[Ended]:
        """Start what fits, listen to the runs for a moment, end those that stall; return those that have ended."""
        if self.stopped is None:
            self._start_what_fits()
        if self.running:
            self._listen(say)
            self._end_the_stalled()
        elif not self.ended:
            time.sleep(0.25)  # all that is left is held by others
        self._look_elsewhere()
        ended, self.ended = self.ended, []
        return ended

    def training(self) -> list[InTraining]:
        """Runs of this sweep's processes, then those that others train."""
        here = [run.training() for run in self.running.values()]
        return [*here, *(InTraining(planned, None) for planned in self.elsewhere)]

    def at_once(self) -> int:
        """How many slots there are."""
        return self.slots

    def stop(self, number: int, say: Callable[[str], None]) -> None:  # noqa: ARG002  the runs' own screen says it
        """Pass a signal on to all runs."""
        self.stopped = number
        for run, process in self.running.items():
            self._signal(run, number)
            process.last = time.monotonic()

    def busy(self) -> bool:
        """Whether a process is left."""
        return bool(self.running)

    def learned(self, known: Known) -> None:
        """Start the longest first; retried runs stay in front."""
        again = [(run, tries) for run, tries in self.waiting if tries]
        new = cost.longest_first([run for run, tries in self.waiting if not tries], known)
        self.waiting = deque([*again, *((run, 0) for run in new)])

    def close(self) -> None:
        """End the server, and with it any run."""
        if self.connection is not None:
            self.connection.close()  # which the server takes for our end
        for process in self.running.values():
            os.close(process.events)
        if self.server is not None:
            self.server.wait()

    # -- processes ----------------------------------------------------------------------------

    def _start_what_fits(self) -> None:
        while self.waiting and self.free:
            planned, tries = self.waiting.popleft()
            if is_settled(planned, self.before):
                self.ended.append(Ended.by_record(planned))
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
        if tries:  # a run that was begun anew is resumed from there
            planned = dataclasses.replace(planned, config=dataclasses.replace(planned.config, force=False))
        content = pickle.dumps(Job(self.number, planned, environment, os.getcwd(), self.before))
        read_end, write_end_of_pipe = os.pipe()
        os.set_blocking(read_end, False)
        self.running[self.number] = RunProcess(planned, tries, slot, read_end, hardware.oom_kills())
        try:
            self.connection.send(("start", self.number))
            self.connection.send_bytes(content)
            send_handle(self.connection, write_end_of_pipe, 0)
        except OSError:
            pass  # the server has died, which the next look at its pipe finds
        finally:
            os.close(write_end_of_pipe)

    def _listen(self, say: Callable[[str], None]) -> None:
        assert self.connection is not None, "a run is trained, so there is a server"
        ready = wait([*(run.events for run in self.running.values()), self.connection], timeout=0.25)
        for run in self.running.values():
            if run.events in ready:
                run.listen()
        if self.connection in ready:
            try:
                what, number, code = self.connection.recv()
            except (EOFError, OSError):
                self._server_died(say)
                return
            if what == "ended":
                self._ended(number, code, say)
            elif what == "refused":
                self._refused(number, str(code))
            elif what == "ready":
                for run in self.running.values():
                    run.last = time.monotonic()

    def _server_died(self, say: Callable[[str], None]) -> None:
        assert self.server is not None and self.connection is not None
        self.connection.close()
        code, self.server, self.connection = self.server.wait(), None, None
        if not any(run.heard for run in self.running.values()) and code >= 0:
            raise CannotStart(
                "the process that starts the runs could not start (see above): a limit on memory, processes or "
                "threads may be too low; nothing was trained"
            )
        for number in list(self.running):
            self._ended(number, code, say)  # the system ends them with it

    def _ended(self, number: int, code: int, say: Callable[[str], None]) -> None:
        run = self.running.pop(number)
        run.listen()
        os.close(run.events)
        self.free += [dict(run.slot), *self.slots_held_back]
        self.slots_held_back.clear()
        planned = run.planned
        if run.failed:
            self.ended.append(Ended(planned, State.FAILED, run.failed, None))
        elif run.held and code == 0:
            self.elsewhere.append(planned)
        elif (code == 0 and run.state) or code - 128 in NUMBERS:
            self.ended.append(Ended.by_record(planned))
        elif self.stopped is not None:
            if planned.folder().record.exists():
                why = f"stopped by {signal.Signals(self.stopped).name}"
                write_end(planned, State.INTERRUPTED, Problem("Interrupted", why))
        else:
            self._lost(run, code, say)

    def _refused(self, number: int, why: str) -> None:
        """The system started no process: the run waits until another has ended, or fails where there is none."""
        run = self.running.pop(number)
        os.close(run.events)
        if self.running:
            self.waiting.appendleft((run.planned, run.tries))
            self.slots_held_back.append(dict(run.slot))
        else:
            self.free.append(dict(run.slot))
            self.ended.append(Ended(run.planned, State.FAILED, f"no process can be started for it: {why}", None))

    def _lost(self, run: RunProcess, code: int, say: Callable[[str], None]) -> None:
        """A process has ended without having written how."""
        planned, more = run.planned, ""
        if code == -signal.SIGKILL and not run.stalled:
            out_of_memory = hardware.oom_kills() > run.oom_kills
            more = " (the system had run out of memory)" if out_of_memory else ", by a user or by the system"
        error = signal_error(planned, code, more)
        if run.stalled:
            timeout = planned.config.study.timeout
            error = dataclasses.replace(error, type="Signal", message=f"stalled: no progress for {as_written(timeout)}")
        if run.tries:
            error = dataclasses.replace(error, message=f"{error.message}; tried {run.tries + 1} times")
        if not write_end(planned, State.FAILED, error) and planned.record() is None:
            self.ended.append(Ended(planned, State.FAILED, error.message, None))
            return
        if run.state or is_settled(planned, self.before) or run.tries >= RETRIES or code == 0:
            self.ended.append(Ended.by_record(planned))
        else:
            say(f"resuming {planned.name}  {error.message}")
            self.waiting.appendleft((planned, run.tries + 1))

    def _end_the_stalled(self) -> None:
        now = time.monotonic()
        for number, run in self.running.items():
            timeout = run.planned.config.study.timeout
            silent = now - run.last
            if run.stalled is not None:
                if now - run.stalled > ABORTING:
                    self._signal(number, signal.SIGKILL)
            elif self.stopped is not None:
                if silent > SAVING:
                    self._signal(number, signal.SIGKILL)
            elif timeout is not None and silent > timeout:
                run.stalled = now
                self._signal(number, signal.SIGABRT)  # on which it says in its log where it was

    def _signal(self, run: int, number: int) -> None:
        if self.connection is not None:
            with contextlib.suppress(OSError):  # the server has died, and with it the run
                self.connection.send(("signal", run, number))

    def _look_elsewhere(self) -> None:
        """Let runs wait again that other processes have let go of."""
        if time.monotonic() - self.looked < 1.0:
            return
        self.looked = time.monotonic()
        for planned in list(self.elsewhere):
            if holder(planned.folder()) is None:
                self.elsewhere.remove(planned)
                self.waiting.append((planned, 0))

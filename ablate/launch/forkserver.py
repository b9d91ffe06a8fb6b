"""A process that has imported torch and timm once, and forks another for each run it is asked for.

It runs no torch operation itself, so that what it forks is as good as fresh. It has a session of its own: Ctrl-C
reaches the launcher alone, which decides. When the launcher is gone, its runs are asked to save and then ended.
"""

import contextlib
import faulthandler
import gc
import os
import pickle
import signal
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe, wait
from multiprocessing.reduction import recv_handle
from pathlib import Path

from ablate.plan.networks import Question
from ablate.plan.planned_run import PlannedRun
from ablate.records.lock import Held
from ablate.records.record import State
from ablate.run.outcome import Before, describe, is_settled, write_end
from ablate.system.progress import send, watched_by
from ablate.system.signals import NUMBERS, CannotStart, Interrupted, end_with_parent

GRACE = 4.0  # seconds that runs have for saving when their launcher is gone


def preload() -> None:
    """Import torch, timm, what they import at the first step of an optimizer, and what draws for TensorBoard."""
    gc.disable()  # nothing of this is garbage, and looking for some takes a fifth of the time
    try:
        import torch._dynamo
        import torch.utils.tensorboard  # noqa: F401

        import ablate.run.lifecycle
        import ablate.run.pictures  # noqa: F401
    finally:
        gc.enable()


@dataclass(frozen=True)
class Job:
    """All that a forked process needs to train a run: nothing is inherited that a fresh one would not have."""

    number: int
    planned: PlannedRun
    environment: dict[str, str]
    folder: str  # the current one
    before: Before  # the last attempts when the sweep began


_waiting: list[tuple[subprocess.Popen[bytes], Connection]] = []  # started to be asked, and kept for the runs


def ask(questions: Sequence[Question], device: str | None) -> tuple[list[str], str]:
    """What run.feasible answers, in a process that is forked for it, whose parent then waits for the first run.

    Where that process dies nothing is found wrong: the runs will tell.
    """
    server, connection = start_server()
    _waiting.append((server, connection))
    try:
        connection.send(("ask", pickle.dumps((questions, device))))
        while (answer := connection.recv())[0] != "answered":
            pass
        answers: tuple[list[str], str] | None = answer[1]
    except (EOFError, OSError):
        dismiss()
        answers = None
    return answers or ([""] * len(questions), "")


def dismiss() -> None:
    """End the process that was started to be asked, where no run was started by it."""
    while _waiting:
        server, connection = _waiting.pop()
        connection.close()
        server.wait()


def start_server() -> tuple[subprocess.Popen[bytes], Connection]:
    """Start the process that forks the runs, with this one's path and environment; or take the one that was asked."""
    if _waiting:
        return _waiting.pop()
    ours, theirs = Pipe()
    handle = theirs.fileno()
    program = f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import serve_at; serve_at({handle})"
    try:
        server = subprocess.Popen(
            [sys.executable, "-c", program], pass_fds=[handle], stdin=subprocess.DEVNULL, start_new_session=True
        )
    except OSError as error:
        raise CannotStart(f"no process can be started: {error.strerror}") from None
    theirs.close()
    return server, ours


def serve_at(handle: int) -> None:
    serve(Connection(handle))


def serve(launcher: Connection) -> None:
    """Fork a process per job, report its end, pass signals on; until the launcher is gone."""
    preload()
    from ablate.run import environment  # imports torch, so only now

    environment.code()  # here, as what is edited later is not what was imported; and git is asked once for all runs
    gc.freeze()  # else the first collection in each child would copy every page
    for number in NUMBERS:
        signal.signal(number, signal.SIG_IGN)
    ended_r, ended_w = os.pipe()
    for end in (ended_r, ended_w):
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(ended_w, warn_on_full_buffer=False)
    children: dict[int, int] = {}  # {process: number of its job}
    with contextlib.suppress(OSError):  # gone already, which the loop finds out
        launcher.send(("ready", 0, 0))
    while True:
        ready = wait([launcher, ended_r])
        if ended_r in ready:
            os.read(ended_r, 4096)
            for pid, code in _reap(children):
                with contextlib.suppress(OSError):
                    launcher.send(("ended", children.pop(pid), code))
        if launcher in ready:
            try:
                request = launcher.recv()
                if request[0] == "ask":
                    launcher.send(("answered", _answer_in_child(request[1])))
                elif request[0] == "start":
                    content = launcher.recv_bytes()
                    events = recv_handle(launcher)
                    try:
                        pid = _fork(content, events, (launcher.fileno(), ended_r, ended_w))
                    except OSError as error:  # no more processes, or no memory for one
                        launcher.send(("refused", request[1], error.strerror))
                    else:
                        children[pid] = request[1]
                        launcher.send(("started", request[1], pid))
                    os.close(events)
                else:
                    for pid in [pid for pid, number in children.items() if number == request[1]]:
                        os.kill(pid, request[2])  # ours, and not reaped: no other process can have the number
            except (EOFError, OSError):
                return _end_all(children)


def _answer_in_child(content: bytes) -> tuple[list[str], str] | None:
    """Answer in a process of its own, as this one is to stay as it is; None where that one dies."""
    ours, theirs = Pipe(duplex=False)
    server = os.getpid()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pid = os.fork()
    if pid == 0:
        try:
            end_with_parent(server)
            from ablate.run.feasible import answer

            theirs.send(answer(*pickle.loads(content)))
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    theirs.close()
    try:
        answered: tuple[list[str], str] = ours.recv()
        return answered
    except EOFError:
        return None
    finally:
        ours.close()
        os.waitpid(pid, 0)


def _reap(children: dict[int, int]) -> list[tuple[int, int]]:
    ended = []
    for pid in children:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            ended.append((pid, os.waitstatus_to_exitcode(status)))
    return ended


def _end_all(children: dict[int, int]) -> None:
    for pid in children:
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + GRACE
    while children and time.monotonic() < deadline:
        for pid, _ in _reap(children):
            del children[pid]
        time.sleep(0.05)
    for pid in children:
        os.kill(pid, signal.SIGKILL)


def _fork(content: bytes, events: int, to_close: tuple[int, ...]) -> int:
    server = os.getpid()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy's threads are there, and look after themselves
        pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        end_with_parent(server)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number in NUMBERS:
            signal.signal(number, signal.SIG_DFL)
        for handle in to_close:
            os.close(handle)
        watched_by(events)
        code = _run(pickle.loads(content))
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _run(job: Job) -> int:
    """Train one run in this process; return its exit code: 128 + the signal when one stopped it."""
    from ablate.run.lifecycle import run_planned

    os.environ.clear()
    os.environ.update(job.environment)
    os.chdir(job.folder)
    log = None
    try:
        log = job.planned.folder().log
        log.parent.mkdir(parents=True, exist_ok=True)
        _write_to(log)
        faulthandler.enable()
        send(state=str(run_planned(job.planned, lambda: is_settled(job.planned, job.before))))
    except Held as error:
        send(held=str(error))
    except Interrupted as error:
        return 128 + error.number
    except BaseException as error:  # before it had a record: a file of the data that is gone, say
        if log is not None and log.exists():  # and the output goes there
            traceback.print_exc()
        if not write_end(job.planned, State.FAILED, describe(error), newly=True):
            send(failed=describe(error).message)  # in a folder that cannot be written to
    return 0


def _write_to(log: Path) -> None:
    """Send everything that this process and its libraries print into the run's log."""
    with open(log, "ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)

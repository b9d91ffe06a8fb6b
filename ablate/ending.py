"""What a run's record says at its beginning, and at an end that the run itself could not write. No torch."""

import signal
import traceback
from pathlib import Path
from typing import Any

from ablate import record
from ablate.cache import Images
from ablate.lock import Held, hold
from ablate.plan import PlannedRun
from ablate.record import State

LOG_TAIL = 20_000  # characters of run.log in which the interpreter may have said where it was


def opening_record(planned: PlannedRun, images: Images | None) -> dict[str, Any]:
    """The record of a run that begins; without `images` when it did not come as far as that."""
    config = planned.config
    entry = {
        "state": State.RUNNING,
        "signature": planned.signature,
        "study": config.study.name,
        "levels": planned.levels,
        "seed": config.seed,
        "started": record.now(),
        "ended": None,
        "seconds": None,
        "epochs": config.trainer.epochs,
        "epochs_done": 0,
        "metrics": {},
        "weights_sha256": None,
        "initial_weights_sha256": None,
        "epoch_digests": [],
        "peak_memory_bytes": None,
        "error": None,
        "command": planned.command(),
        "identity": planned.identity,
        "environment": {},
        "resumed": [],
        "deviations": [],
    }
    if images is not None:
        entry["data"] = {
            "name": config.data.name,
            "fingerprint": images.fingerprint,
            "classes": list(images.classes),
            "train_images": len(images.train_labels),
            "test_images": len(images.test_labels),
        }
    return entry


def describe(error: BaseException) -> dict[str, str]:
    """An error as it stands in the record, with the way out where there is one."""
    text = "".join(traceback.format_exception(error))
    message = str(error) or type(error).__name__
    if isinstance(error, SystemExit):
        message = f"the run exited with {error.code}"
    elif "deterministic" in message and "use_deterministic_algorithms" in message:
        operation = message.split(" does not have")[0]
        message = (
            f"{operation} has no deterministic form on this device; "
            "trainer.deterministic=false trains it all the same, and promises no bits"
        )
    return {"type": type(error).__name__, "message": message, "traceback": text}


def is_settled(planned: PlannedRun, since: str | None = None) -> bool:
    """Whether training the run would only repeat an outcome that nobody asked to repeat.

    With `since`, the time when a sweep began, what ended after that is settled whatever was asked for: another
    sweep has just repeated it.
    """
    try:
        entry = planned.folder().read()
    except ValueError:
        return False
    state = State(entry["state"])
    if not state.is_outcome():
        return False
    if since is not None and (entry.get("ended") or "") > since:
        return True
    return not planned.config.force and state.lower() not in planned.config.retry.split(",")


def write_end(planned: PlannedRun, state: State, error: dict[str, str], *, newly: bool = False) -> bool:
    """Write the end of a run whose process is gone, unless another has taken it over or it wrote its own.

    With `newly`, the process had not come to opening its record, and what stands there is of an earlier attempt.
    Returns whether the end was written.
    """
    folder = planned.folder()
    try:
        with hold(folder):
            try:
                entry = folder.read()
            except ValueError:
                entry = opening_record(planned, None)
            if newly and State(entry["state"]).is_outcome():
                entry = opening_record(planned, None)
            if not newly and entry["state"] != State.RUNNING:
                return False
            record.write_json(folder.record, entry | {"state": state, "error": error, "ended": record.now()})
    except Held:
        return False
    return True


def signal_error(planned: PlannedRun, code: int, more: str = "") -> dict[str, str]:
    """What a process's exit code says, where the process did not; a negative one is a signal's number."""
    kind, message = "Signal", f"the process ended with exit code {code} without saying why"
    if code < 0:
        try:
            message = f"killed by {signal.Signals(-code).name}"
        except ValueError:
            message = f"killed by signal {-code}"
    else:
        kind = "Lost"
    return {"type": kind, "message": message + more, "traceback": _last_words(planned)}


def _last_words(planned: PlannedRun) -> str:
    """Where the interpreter said that it was when it was ended, if it could."""
    try:
        text = planned.folder().log.read_text(errors="replace")[-LOG_TAIL:]
    except OSError:
        return ""
    fatal = text.rpartition("Fatal Python error")
    return fatal[1] + fatal[2]


def oom_kills() -> int:
    """How many processes the system has ended for lack of memory since it was started; 0 where it does not say."""
    try:
        return int(Path("/proc/vmstat").read_text().partition("\noom_kill ")[2].split("\n")[0])
    except (OSError, ValueError):
        return 0

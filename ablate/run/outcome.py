"""How a run's record begins, whether it needs training again, and an end that the run itself could not write."""

import dataclasses
import signal
import traceback
from collections.abc import Mapping, Sequence

from ablate.data.cache import Images
from ablate.data.pictures.decode import RULES
from ablate.plan.planned_run import PlannedRun
from ablate.records import files, record
from ablate.records.lock import Held, hold
from ablate.records.record import DataSet, Problem, Record, State

LOG_TAIL = 20_000  # characters of run.log in which the interpreter may have said where it was


def opening_record(planned: PlannedRun, images: Images | None) -> Record:
    """The record of a run that begins; without `images` when the run failed before it had them."""
    config = planned.config
    data = None
    if images is not None:
        data = DataSet(
            name=config.data.name,
            fingerprint=images.fingerprint,
            classes=list(images.classes),
            train_images=len(images.train_labels),
            test_images=len(images.test_labels),
            rules=RULES,
            reading=images.reading,
        )
    return Record(
        state=State.RUNNING,
        signature=planned.signature,
        levels=planned.levels,
        seed=config.seed,
        metrics={},
        study=config.study.name,
        started=files.now(),
        epochs=config.trainer.epochs,
        learning_rate=config.optimizer.at(config.batch_size.size).lr,
        command=planned.command(),
        identity=planned.identity,
        data=data,
    )


def describe(error: BaseException) -> Problem:
    """An error as the record has it, with the way out where there is one."""
    text = "".join(traceback.format_exception(error))
    message = str(error) or type(error).__name__
    if isinstance(error, SystemExit):
        message = f"the run exited with {error.code}"
    elif "deterministic" in message and "use_deterministic_algorithms" in message:
        operation = message.split(" does not have")[0]
        message = (
            f"{operation} has no deterministic form on this device; "
            "trainer.deterministic=false trains it anyway, without a promise of equal bits"
        )
    return Problem(type(error).__name__, message, text)


Before = Mapping[str, str]  # {signature: when its run began and ended, as its record had it when a sweep began}


def as_it_was(runs: Sequence[PlannedRun]) -> Before:
    """What the records of runs say now of their last attempts; "" where there is none."""
    return {run.signature: _attempt(run.record()) for run in runs}


def has_changed(planned: PlannedRun, before: Before) -> bool:
    """Whether the run's last attempt is another than before. Dates are compared for equality alone, as clocks differ
    and are set back."""
    return _attempt(planned.record()) != before.get(planned.signature, "")


def _attempt(record: Record | None) -> str:
    return "" if record is None else f"{record.started} to {record.ended}"


def is_settled(planned: PlannedRun, before: Before | None = None) -> bool:
    """True if the run already has a final result and no retry was requested.

    With what was there `before` a sweep, an attempt that has ended since is settled whatever was asked for: another
    sweep has just repeated it.
    """
    found = planned.record()
    if found is None or not found.state.is_outcome():
        return False
    if before is not None and has_changed(planned, before):
        return True
    return not planned.config.force and found.state.lower() not in planned.config.retry.split(",")


def write_end(planned: PlannedRun, state: State, error: Problem, *, newly: bool = False) -> bool:
    """Write the end of a run whose process is gone, unless another has taken it over or it wrote its own.

    With `newly`, the process had not yet opened its record, and what is there is of an earlier attempt.
    Returns whether the end was written.
    """
    folder = planned.folder()
    try:
        with hold(folder):
            found = planned.record() or opening_record(planned, None)
            if newly and found.state.is_outcome():
                found = opening_record(planned, None)
            if not newly and found.state != State.RUNNING:
                return False
            ended = dataclasses.replace(found, state=state, error=error, ended=files.now())
            record.write(folder.record, ended)
    except (Held, OSError):  # a folder that cannot be written to
        return False
    return True


def signal_error(planned: PlannedRun, code: int, more: str = "") -> Problem:
    """What a process's exit code says, where the process did not; a negative one is a signal's number."""
    kind, message = "Signal", f"the process ended with exit code {code} without saying why"
    if code < 0:
        try:
            message = f"killed by {signal.Signals(-code).name}"
        except ValueError:
            message = f"killed by signal {-code}"
    else:
        kind = "Lost"
    return Problem(kind, message + more, _last_words(planned))


def _last_words(planned: PlannedRun) -> str:
    """Where the interpreter said that it was when it was ended, if it could."""
    try:
        text = planned.folder().log.read_text(errors="replace")[-LOG_TAIL:]
    except OSError:
        return ""
    fatal = text.rpartition("Fatal Python error")
    return fatal[1] + fatal[2]

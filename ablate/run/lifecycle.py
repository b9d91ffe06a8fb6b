"""One run's life: RUNNING, then DONE, FAILED, OOM, DIVERGED or INTERRUPTED, and its record."""

import logging
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hydra.conf import HydraConf
from omegaconf import DictConfig, OmegaConf

from ablate.config.compose import from_omegaconf
from ablate.data import datasets
from ablate.data.cache import Images
from ablate.plan import planned_run
from ablate.plan.planned_run import PlannedRun
from ablate.records import files, record
from ablate.records.lock import Held, hold
from ablate.records.record import State
from ablate.records.run_folder import RunFolder
from ablate.run.attempt import Attempt, train_and_save
from ablate.run.outcome import describe, opening_record
from ablate.system.signals import Stop
from ablate.train import checkpoint
from ablate.train.checkpoint import Saved
from ablate.train.loop import Diverged
from ablate.train.micro_batch import is_out_of_memory

log = logging.getLogger("ablate")
# What the checkpoint of a run has to hold: the state of its training, and what is kept next to that.
NEEDED = {
    "network", "optimizer", "schedule", "epoch", "step", "lr", "digest", "seconds", "loss_sum", "correct",
    "micro", "rows", "environment", "resumed", "epoch_digests", "deviations", "run_seconds",
}  # fmt: skip


def run_job(composed: DictConfig, hydra: HydraConf) -> str:
    """What Hydra's launchers call: train one composed configuration; return the state it ended in."""
    images = datasets.load(from_omegaconf(planned_run.without_hydra(composed)).data)
    words = list(hydra.overrides.task)
    planned = planned_run.plan_run(composed, hydra.runtime.choices, words, lambda _: images.fingerprint)
    try:
        return str(execute(planned, images))
    except Held as error:
        print(f"ablate: {error}", file=sys.stderr)
        return str(State.RUNNING)


def run_planned(planned: PlannedRun, is_settled: Callable[[], bool]) -> State:
    """Train a planned run in this process. Raises as execute, and ValueError when its images have changed."""
    images = datasets.load(planned.config.data)
    if images.fingerprint != planned.identity["data"]["fingerprint"]:
        raise ValueError("the images have changed since the study was planned; give the command again")
    return execute(planned, images, is_settled)


def execute(planned: PlannedRun, images: Images, is_settled: Callable[[], bool] = lambda: False) -> State:
    """Train or resume a planned run and leave its record; whatever goes wrong in it is a result.

    A run that `is_settled` once its lock is held, as another process may just have trained it, is left as it is.
    Raises KeyboardInterrupt, after the record says INTERRUPTED, what the handler of a signal raises that was there
    before, and Held when another process trains the run.
    """
    folder = planned.folder()
    stop = Stop()
    try:
        with hold(folder), stop:
            if is_settled():
                return folder.read().state
            return _execute(planned, images, folder, stop)
    finally:
        stop.pass_on()


def _execute(planned: PlannedRun, images: Images, folder: RunFolder, stop: Stop) -> State:
    with logging_to(folder.log):
        for half_written in folder.path.rglob(".*.tmp"):  # by a process that was killed, as the lock is ours
            half_written.unlink()
        saved = unfinished_state(planned, folder)
        if saved is None:
            clear(folder)
        started = time.perf_counter() - (saved["run_seconds"] if saved else 0.0)
        opened = opening_record(planned, images)
        files.write_bytes(folder.config, OmegaConf.to_yaml(portable(planned.composed)).encode())
        record.write(folder.record, opened)
        log.info("%s", folder.path.name)
        try:
            train_and_save(Attempt(planned, images, folder, opened, stop, saved, started))
            opened.state = State.DONE
        except KeyboardInterrupt as error:
            opened.state, opened.error = State.INTERRUPTED, describe(error)
            raise
        except Diverged as error:
            opened.state, opened.error = State.DIVERGED, describe(error)
        # SystemExit and a panic of Rust code too: a library that gives up ends this run, not the study.
        except BaseException as error:
            opened.state = State.OOM if is_out_of_memory(error) else State.FAILED
            opened.error = describe(error)
        finally:
            opened.ended, opened.seconds = files.now(), round(time.perf_counter() - started, 3)
            record.write(folder.record, opened)
            if opened.state.is_outcome():
                folder.checkpoint.unlink(missing_ok=True)
            if opened.error is not None:
                log.error("%s: %s", opened.state, opened.error.message)
                log.debug("%s", opened.error.traceback)
    return opened.state


def unfinished_state(planned: PlannedRun, folder: RunFolder) -> Saved | None:
    """The state to resume from; None for a run that begins, begins anew, or left nothing that can be used."""
    found = planned.record()  # one that cannot be read says nothing about the checkpoint
    if planned.config.force or (found is not None and found.state.is_outcome()):
        return None
    saved = checkpoint.load(folder.checkpoint)
    if saved is None or saved.get("signature") != planned.signature:
        return None
    if missing := NEEDED - saved.keys():
        log.warning("%s lacks %s; starting from the beginning", folder.checkpoint, ", ".join(sorted(missing)))
        return None
    return saved


def portable(composed: DictConfig) -> DictConfig:
    """The configuration with its paths made absolute, so that the record can be used from anywhere."""
    composed = composed.copy()
    for key in ("data.path", "data.cache", "backbone.weights"):
        group, name = key.split(".")
        value = OmegaConf.to_container(composed[group], resolve=False)[name]  # type: ignore[index, call-overload]
        if value is not None and "${" not in value:
            composed[group][name] = str(Path(value).expanduser().absolute())
    return composed


def clear(folder: RunFolder) -> None:
    """Remove what an earlier attempt left, so that the record speaks of one attempt."""
    for path in (
        *folder.events(),
        folder.checkpoint,
        folder.record,
        folder.metrics,
        folder.predictions,
        folder.weights,
        folder.diff,
    ):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)  # in the place of a file: nothing of ours
        path.unlink(missing_ok=True)
    for path in (folder.confusion, folder.tensorboard):
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """Send our log to the terminal, and everything, warnings and tracebacks included, to a file."""
    console = logging.StreamHandler(sys.stderr)
    console.setLevel(logging.INFO)
    file = logging.FileHandler(path)
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    root = logging.getLogger()
    log.setLevel(logging.DEBUG)
    if not os.path.samestat(os.stat(path), os.fstat(2)):  # else everything would be there twice
        log.addHandler(console)
    root.addHandler(file)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        root.removeHandler(file)
        log.removeHandler(console)
        file.close()

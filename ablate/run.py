"""One run's life: RUNNING, then DONE, FAILED, OOM, DIVERGED or INTERRUPTED, and its record."""

import io
import logging
import shutil
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.conf import HydraConf
from omegaconf import DictConfig, OmegaConf
from safetensors.torch import save

from ablate import data, environment, plan, record
from ablate.board import Board
from ablate.cache import Images
from ablate.evaluate import confusion
from ablate.memory import descend, first_rung, is_out_of_memory, keep_freed_memory, peak, watch_peak
from ablate.model import weights_sha256
from ablate.plan import PlannedRun
from ablate.record import RunFolder, State
from ablate.train import Diverged, Epoch, choose_device, final_metrics, on_cpu, train

log = logging.getLogger("ablate")


def run_job(composed: DictConfig, hydra: HydraConf) -> str:
    """What Hydra's launchers call: train one composed configuration; return the state it ended in."""
    loaded: dict[str, Images] = {}

    def fingerprint_of(config: Any) -> str:
        loaded["images"] = data.load(config)
        return loaded["images"].fingerprint

    planned = plan.plan_run(composed, hydra.runtime.choices, list(hydra.overrides.task), fingerprint_of)
    return str(execute(planned, loaded["images"]))


def execute(planned: PlannedRun, images: Images) -> State:
    """Train a planned run and leave its record; whatever goes wrong in it is a result, not an exception.

    Only KeyboardInterrupt goes on, after the record says INTERRUPTED.
    """
    folder = planned.folder()
    clear(folder)
    started = time.perf_counter()
    entry = opening_record(planned, images)
    record.write_bytes(folder.config, OmegaConf.to_yaml(portable(planned.composed)).encode())
    record.write_json(folder.record, entry)
    with logging_to(folder.log):
        log.info("%s", folder.path.name)
        try:
            entry |= train_and_save(planned, images, folder, entry)
            entry["state"] = State.DONE
        except KeyboardInterrupt:
            entry |= {"state": State.INTERRUPTED, "error": describe(KeyboardInterrupt("stopped by the user"))}
            raise
        except Diverged as error:
            entry |= {"state": State.DIVERGED, "error": describe(error)}
        # SystemExit and a panic of Rust code too: a library that gives up ends this run, not the study.
        except BaseException as error:
            entry |= {"state": State.OOM if is_out_of_memory(error) else State.FAILED, "error": describe(error)}
        finally:
            entry |= {"ended": record.now(), "seconds": round(time.perf_counter() - started, 3)}
            record.write_json(folder.record, entry)
            if entry.get("error"):
                log.error("%s: %s", entry["state"], entry["error"]["message"])
                log.debug("%s", entry["error"]["traceback"])
    return State(entry["state"])


def opening_record(planned: PlannedRun, images: Images) -> dict[str, Any]:
    config = planned.config
    return {
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
        "peak_memory_bytes": None,
        "error": None,
        "command": planned.command(),
        "identity": planned.identity,
        "data": {
            "name": config.data.name,
            "fingerprint": images.fingerprint,
            "classes": list(images.classes),
            "train_images": len(images.train_labels),
            "test_images": len(images.test_labels),
        },
        "environment": {},
        "deviations": [],
    }


def train_and_save(planned: PlannedRun, images: Images, folder: RunFolder, entry: dict[str, Any]) -> dict[str, Any]:
    """Train; keep metrics after every epoch, predictions and weights at the end; return the final fields."""
    config = planned.config
    torch.set_num_threads(config.trainer.threads)
    device = choose_device(config.trainer.device)
    entry["environment"] = environment.describe(device)
    record.write_json(folder.record, entry)
    keep_freed_memory()
    watch_peak(device)
    first = first_rung(config.batch_size, planned.study, planned.levels)
    attempt = partial(train_once, planned, images, folder, entry, device)
    state, metrics = descend(config.batch_size, first, attempt)
    if keeps_weights(planned, folder, metrics["holdout_accuracy"]):
        record.write_bytes(folder.weights, save(state))
    return {"metrics": metrics, "weights_sha256": weights_sha256(state), "peak_memory_bytes": peak(device)}


def train_once(
    planned: PlannedRun, images: Images, folder: RunFolder, entry: dict[str, Any], device: torch.device, micro: int
) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    """Train with `micro` images at once, anew whatever an attempt with more left; return weights and metrics."""
    config = planned.config
    size = config.batch_size.size
    classes = len(images.classes)
    labels = torch.from_numpy(images.test_labels)
    rows: list[dict[str, float]] = []
    shutil.rmtree(folder.tensorboard, ignore_errors=True)
    folder.metrics.unlink(missing_ok=True)
    entry |= {"epochs_done": 0, "batch": {"size": size, "micro": micro}}
    if micro < size:
        entry["deviations"] = [f"batches of {size} were trained as micro-batches of {micro}, which BatchNorm sees"]
    record.write_json(folder.record, entry)
    board = Board(folder.tensorboard if config.trainer.tensorboard else None)

    def on_epoch(epoch: Epoch) -> None:
        row = epoch.row
        rows.append(row)
        folder.write_metrics(rows)
        entry["epochs_done"] = row["epoch"]
        if row["epoch"] in (1, config.trainer.epochs):
            counts = confusion(epoch.test.logits, labels, classes)
            save_confusion(folder, int(row["epoch"]), counts)
            board.confusion(int(row["epoch"]), counts, images.classes)
        if row["epoch"] == config.trainer.epochs:
            save_predictions(folder, epoch.test.logits, labels)
            board.samples(images.test_images, labels, epoch.test.logits, images.classes, int(row["epoch"]))
        board.scalars(row)
        log.info(
            "  epoch %d/%d  train %.3f %5.1f %%  holdout %.3f %5.1f %%  test %.3f %5.1f %%  lr %.2g  %.0f images/s",
            row["epoch"], config.trainer.epochs, row["train_loss"], 100 * row["train_accuracy"],
            row["holdout_loss"], 100 * row["holdout_accuracy"], row["test_loss"],
            100 * row["test_accuracy"], row["lr"], row["images_per_second"],
        )  # fmt: skip

    try:
        state = on_cpu(train(config, images, device, on_epoch, micro))
        metrics = final_metrics(rows)
        board.hparams(planned.levels | {"seed": config.seed}, metrics)
    finally:
        board.close()
    return state, metrics


def keeps_weights(planned: PlannedRun, folder: RunFolder, holdout_accuracy: float) -> bool:
    """Whether this run's weights stay; with `best`, those of a run that it beats on the holdout go."""
    if planned.config.trainer.keep_weights != "best":
        return planned.config.trainer.keep_weights == "all"
    for other in record.run_folders(planned.study):
        if other.weights.exists() and other.path != folder.path:
            try:
                best = other.read()["metrics"].get("holdout_accuracy", 0.0)
            except ValueError:
                continue  # a damaged record is named by the report; its weights are not ours to judge
            if best >= holdout_accuracy:
                return False
            other.weights.unlink()
    return True


def save_confusion(folder: RunFolder, epoch: int, counts: torch.Tensor) -> None:
    text = "\n".join(",".join(str(n) for n in row) for row in counts.tolist()) + "\n"
    record.write_bytes(folder.confusion / f"epoch_{epoch:04d}.csv", text.encode())


def save_predictions(folder: RunFolder, logits: torch.Tensor, labels: torch.Tensor) -> None:
    content = io.BytesIO()
    np.savez_compressed(content, logits=logits.half().numpy(), labels=labels.numpy())
    record.write_bytes(folder.predictions, content.getvalue())


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
    for path in (folder.record, folder.metrics, folder.predictions, folder.weights, folder.log):
        path.unlink(missing_ok=True)
    for path in (folder.confusion, folder.tensorboard):
        shutil.rmtree(path, ignore_errors=True)
    folder.path.mkdir(parents=True, exist_ok=True)


def describe(error: BaseException) -> dict[str, str]:
    text = "".join(traceback.format_exception(error))
    if isinstance(error, SystemExit):
        return {"type": "SystemExit", "message": f"the run exited with {error.code}", "traceback": text}
    return {"type": type(error).__name__, "message": str(error) or type(error).__name__, "traceback": text}


@contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """Send our log to the terminal, and everything, warnings and tracebacks included, to a file."""
    console = logging.StreamHandler(sys.stderr)
    console.setLevel(logging.INFO)
    file = logging.FileHandler(path)
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    root = logging.getLogger()
    log.setLevel(logging.DEBUG)
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

"""A run's training, with all that it leaves: on one rung of the memory ladder after the other, new or resumed."""

import logging
import shutil
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ablate import checkpoint, environment, record, results
from ablate.board import Board
from ablate.cache import Images
from ablate.checkpoint import Checkpoints
from ablate.evaluate import confusion
from ablate.interrupt import Stop
from ablate.memory import descend, first_rung, keep_freed_memory, peak, watch_peak
from ablate.model import on_cpu, weights_sha256
from ablate.plan import PlannedRun
from ablate.progress import tell
from ablate.record import RunFolder
from ablate.train import Epoch, choose_device, final_metrics, set_flags, train

log = logging.getLogger("ablate")


@dataclass
class Attempt:
    """What one try at a run works on."""

    planned: PlannedRun
    images: Images
    folder: RunFolder
    entry: dict[str, Any]  # the record, filled as things become known
    stop: Stop
    saved: checkpoint.State | None  # the state to go on from
    started: float  # on time.perf_counter's clock, what earlier attempts took included


def train_and_save(this: Attempt) -> dict[str, Any]:
    """Train; keep metrics after every epoch, predictions and weights at the end; return the final fields."""
    config, folder, entry = this.planned.config, this.folder, this.entry
    device = choose_device(config.trainer.device)
    set_flags(config.trainer)
    entry["environment"] = environment.describe(device, config.trainer)
    if entry["environment"]["code"]["dirty"]:
        record.write_bytes(folder.diff, environment.code_diff())
    record.write_json(folder.record, entry)
    keep_freed_memory()
    watch_peak(device)
    rung = first_rung(config.batch_size, this.planned.study, this.planned.levels)
    first = this.saved["micro"] if this.saved else rung
    state, metrics = descend(config.batch_size, first, partial(train_once, this, device))
    results.save_weights(this.planned, folder, state, metrics["holdout_accuracy"])
    return {"metrics": metrics, "weights_sha256": weights_sha256(state), "peak_memory_bytes": peak(device)}


def train_once(this: Attempt, device: torch.device, micro: int) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Train with `micro` images at once, from the saved state if that is on this rung; return weights and metrics."""
    config, images, folder, entry = this.planned.config, this.images, this.folder, this.entry
    labels = torch.from_numpy(images.test_labels)
    saved = this.saved if this.saved is not None and this.saved["micro"] == micro else None
    rows: list[dict[str, float]] = list(saved["rows"]) if saved else []
    open_record(this, micro, saved)
    board = reopened_board(this, rows)

    def beside() -> checkpoint.State:
        kept = {name: entry[name] for name in ("signature", "epoch_digests", "environment", "resumed", "deviations")}
        return kept | {"rows": rows, "micro": micro, "run_seconds": time.perf_counter() - this.started}

    def on_epoch(epoch: Epoch) -> None:
        row = epoch.row
        rows.append(row)
        folder.write_metrics(rows)
        entry["epochs_done"] = row["epoch"]
        entry["initial_weights_sha256"] = epoch.initial_sha256
        entry["epoch_digests"].append(epoch.digest)
        if row["epoch"] in (1, config.trainer.epochs):
            counts = confusion(epoch.test.logits, labels, len(images.classes))
            results.save_confusion(folder, int(row["epoch"]), counts)
            board.confusion(int(row["epoch"]), counts, images.classes)
        if row["epoch"] == config.trainer.epochs:
            results.save_predictions(folder, epoch.test.logits, labels)
            board.samples(images.test_images, labels, epoch.test.logits, images.classes, int(row["epoch"]))
        board.scalars(row)
        tell(epoch=row["epoch"], loss=row["train_loss"], accuracy=row["test_accuracy"], speed=row["images_per_second"])
        log.info(
            "  epoch %d/%d  train %.3f %5.1f %%  holdout %.3f %5.1f %%  test %.3f %5.1f %%  lr %.2g  %.0f images/s",
            row["epoch"], config.trainer.epochs, row["train_loss"], 100 * row["train_accuracy"],
            row["holdout_loss"], 100 * row["holdout_accuracy"], row["test_loss"],
            100 * row["test_accuracy"], row["lr"], row["images_per_second"],
        )  # fmt: skip

    try:
        checkpoints = Checkpoints(folder.checkpoint, config.trainer, this.stop, beside, saved)
        state = on_cpu(train(config, images, device, on_epoch, micro, checkpoints))
        metrics = final_metrics(rows)
        board.hparams(this.planned.levels | {"seed": config.seed}, metrics)
    finally:
        board.close()
    return state, metrics


def open_record(this: Attempt, micro: int, saved: checkpoint.State | None) -> None:
    """Make record and metrics those of an attempt that begins, or that goes on where the saved state was left."""
    folder, entry, size = this.folder, this.entry, this.planned.config.batch_size.size
    entry |= {"batch": {"size": size, "micro": micro}, "epochs_done": 0, "epoch_digests": [], "deviations": []}
    if micro < size:
        entry["deviations"] = [f"batches of {size} were trained as micro-batches of {micro}, which BatchNorm sees"]
    if saved is None:
        folder.checkpoint.unlink(missing_ok=True)
        folder.metrics.unlink(missing_ok=True)
    else:
        elsewhere = environment.differences(saved["environment"], entry["environment"])
        place = {"epoch": saved["epoch"], "steps_done": saved["step"]}
        entry["resumed"] = [*saved["resumed"], {"at": record.now(), **place, "differences": elsewhere}]
        entry |= {"epochs_done": len(saved["rows"]), "epoch_digests": list(saved["epoch_digests"])}
        entry["deviations"] = list(saved["deviations"])
        if elsewhere:
            told = f"resumed in epoch {saved['epoch']} in another environment: {'; '.join(elsewhere)}"
            entry["deviations"].append(told)
        log.info("  going on in epoch %d after %d of its steps", saved["epoch"], saved["step"])
        folder.write_metrics(saved["rows"])
    record.write_json(folder.record, entry)


def reopened_board(this: Attempt, rows: list[dict[str, float]]) -> Board:
    """TensorBoard's files, written anew as far as the run has come: those of a killed run end anywhere."""
    shutil.rmtree(this.folder.tensorboard, ignore_errors=True)
    board = Board(this.folder.tensorboard if this.planned.config.trainer.tensorboard else None)
    for row in rows:
        board.scalars(row)
    if rows and results.confusion_path(this.folder, 1).exists():
        board.confusion(1, results.read_confusion(this.folder, 1), this.images.classes)
    return board

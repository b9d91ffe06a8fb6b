"""A run's training and all that it leaves: on one rung of the memory ladder after the other, new or resumed."""

import dataclasses
import io
import logging
import math
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from safetensors.torch import save
from torch import Tensor

from ablate.config.schema import Config
from ablate.data import datasets
from ablate.data.cache import Images
from ablate.plan.planned_run import PlannedRun
from ablate.records import confusion, files, record, run_folder, study_plan
from ablate.records.record import BatchSize, Record
from ablate.records.run_folder import RunFolder
from ablate.records.scores import scores
from ablate.run import environment, samples
from ablate.run.network_size import network_size
from ablate.run.tensorboard import Board
from ablate.system.progress import send
from ablate.system.signals import Stop
from ablate.train import evaluate
from ablate.train.checkpoint import Checkpoints, Saved
from ablate.train.device import choose_device, set_flags
from ablate.train.loop import Epoch, final_metrics, train
from ablate.train.micro_batch import descend, first_rung, keep_freed_memory, peak, watch_peak
from ablate.train.model import on_cpu, weights_sha256

log = logging.getLogger("ablate")


@dataclass
class Attempt:
    """What one try at a run works on."""

    planned: PlannedRun
    images: Images
    folder: RunFolder
    record: Record  # filled as things become known
    stop: Stop
    saved: Saved | None  # the state to resume from
    started: float  # on time.perf_counter's clock, the time of earlier attempts included
    graphs: bool = True  # whether CUDA graphs may be used, where the configuration has them


def train_and_save(this: Attempt) -> None:
    """Train; keep metrics after every epoch, predictions and weights at the end; fill the record's final fields."""
    config, folder = this.planned.config, this.folder
    device = choose_device(config.trainer.device)
    set_flags(config.trainer)
    this.record.environment = environment.describe(device, config.trainer)
    if this.record.environment["code"]["dirty"]:
        files.write_bytes(folder.diff, environment.code_diff())
    record.write(folder.record, this.record)
    held = datasets.holdout_split(this.images, config.data)[1]
    assert this.record.data is not None
    this.record.data = dataclasses.replace(this.record.data, holdout_images=len(held))
    size = network_size(config, len(this.images.classes), this.planned.study, this.planned.identity)
    if size is not None:
        this.record.parameters, this.record.multiply_adds = size.parameters, size.multiply_adds
    keep_freed_memory()
    watch_peak(device)
    rung = first_rung(config.batch_size, this.planned.study, this.planned.identity)
    first = this.saved["micro"] if this.saved else rung
    without_graphs = partial(setattr, this, "graphs", False)
    state, metrics = descend(config.batch_size, first, partial(train_once, this, device), without_graphs)
    save_weights(this.planned, folder, state, metrics["holdout_accuracy"])
    this.record.metrics = metrics | final_scores(folder)
    this.record.weights_sha256 = weights_sha256(state)
    this.record.peak_memory_bytes = peak(device)


def train_once(this: Attempt, device: torch.device, micro: int) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Train with `micro` images at once, from the saved state if that is on this rung; return weights and metrics."""
    batch_size = dataclasses.replace(this.planned.config.batch_size, micro=str(micro))
    trainer = this.planned.config.trainer
    trainer = dataclasses.replace(trainer, graph=trainer.graph and this.graphs)
    config = dataclasses.replace(this.planned.config, batch_size=batch_size, trainer=trainer)
    saved = this.saved if this.saved is not None and this.saved["micro"] == micro else None
    rows: list[dict[str, float]] = list(saved["rows"]) if saved else []
    open_record(this, micro, saved)
    board = reopened_board(this, rows)

    def extra() -> Saved:
        """What a checkpoint holds next to the state of the training."""
        kept = ("signature", "epoch_digests", "environment", "resumed", "deviations")
        seconds = time.perf_counter() - this.started
        return {name: getattr(this.record, name) for name in kept} | {
            "rows": rows, "micro": micro, "run_seconds": seconds,
        }  # fmt: skip

    def on_epoch(epoch: Epoch) -> None:
        rows.append(epoch.row)
        keep_epoch(this, epoch, rows, board)

    try:
        checkpoints = Checkpoints(this.folder.checkpoint, config.trainer, this.stop, extra, saved)
        state = on_cpu(train(config, this.images, device, on_epoch, checkpoints))
        metrics = final_metrics(rows)
        board.hparams(levels_in_study(this.planned) | {"seed": config.seed}, metrics)
    finally:
        board.close()
    return state, metrics


def levels_in_study(run: PlannedRun) -> dict[str, str]:
    """A run's levels, and its values of the settings that other runs of its study vary and it leaves at default."""
    try:
        axes = study_plan.read(run.study).axes
    except ValueError:  # a run by itself
        axes = {}
    return {key: run.settings[key] for key in axes if key in run.settings} | run.levels


def open_record(this: Attempt, micro: int, saved: Saved | None) -> None:
    """Make record and metrics those of an attempt that begins, or that resumes where the saved state was left."""
    folder, opened, size = this.folder, this.record, this.planned.config.batch_size.size
    opened.batch = BatchSize(size, micro)
    opened.epochs_done, opened.epoch_digests, opened.deviations = 0, [], []
    if micro < size:
        opened.deviations = [f"batches of {size} were trained as micro-batches of {micro}, which BatchNorm sees"]
    if saved is None:
        folder.checkpoint.unlink(missing_ok=True)
        folder.metrics.unlink(missing_ok=True)
    else:
        elsewhere = environment.differences(saved["environment"], opened.environment)
        place = {"epoch": saved["epoch"], "steps_done": saved["step"]}
        opened.resumed = [*saved["resumed"], {"at": files.now(), **place, "differences": elsewhere}]
        opened.epochs_done, opened.epoch_digests = len(saved["rows"]), list(saved["epoch_digests"])
        opened.deviations = list(saved["deviations"])
        if elsewhere:
            where = f"resumed in epoch {saved['epoch']} in another environment: {'; '.join(elsewhere)}"
            opened.deviations.append(where)
        log.info("  resuming in epoch %d after %d of its steps", saved["epoch"], saved["step"])
        folder.write_metrics(saved["rows"])
    record.write(folder.record, opened)


def reopened_board(this: Attempt, rows: list[dict[str, float]]) -> Board:
    """TensorBoard's files, written again for the epochs so far: those of a killed run end anywhere."""
    shutil.rmtree(this.folder.tensorboard, ignore_errors=True)
    for path in this.folder.events():
        path.unlink()
    board = Board(this.folder.path if this.planned.config.trainer.tensorboard else None)
    for row in rows:
        board.scalars(row)
    if rows and this.folder.confusion_of(1).exists():
        classes = this.images.classes
        counts = confusion.read(this.folder, 1, len(classes), len(this.images.test_labels))
        board.confusion(1, counts, classes)
    return board


def keep_epoch(this: Attempt, epoch: Epoch, rows: list[dict[str, float]], board: Board) -> None:
    """Write what an epoch leaves: metrics, confusion counts after the first and the last, predictions at the end."""
    images, row, epochs = this.images, epoch.row, this.planned.config.trainer.epochs
    labels = torch.from_numpy(images.test_labels)
    this.folder.write_metrics(rows)
    this.record.epochs_done = int(row["epoch"])
    graphs = epoch.graphs if this.graphs else "memory ran out with them"
    if this.record.environment["device"] != "cpu" and graphs != this.record.graphs:
        this.record.graphs = graphs
        log.info("  CUDA graphs: %s", graphs)
    this.record.initial_weights_sha256 = epoch.initial_sha256
    this.record.epoch_digests.append(epoch.digest)
    if row["epoch"] in (1, epochs):
        counts = evaluate.confusion(epoch.test.logits, labels, len(images.classes)).numpy()
        confusion.write(this.folder, int(row["epoch"]), counts)
        board.confusion(int(row["epoch"]), counts, images.classes)
    if row["epoch"] == epochs:
        held = labels_of_the_holdout(images, this.planned.config)
        save_predictions(this.folder, {"": (epoch.test.logits, labels), "holdout_": (epoch.holdout.logits, held)})
        samples.save(this.folder, images, (epoch.test.logits.argmax(1) == labels).numpy())
        board.samples(images.test_images, labels, epoch.test.logits, images.classes, int(row["epoch"]))
    board.scalars(row)
    send(epoch=row["epoch"], loss=row["train_loss"], accuracy=row["test_accuracy"], speed=row["images_per_second"])
    log.info("%s", in_a_line(row, epochs))


def in_a_line(row: Mapping[str, Any], epochs: int) -> str:
    """An epoch's metrics for the log."""
    return (
        f"  epoch {row['epoch']}/{epochs}  train {row['train_loss']:.3f} {100 * row['train_accuracy']:5.1f} %"
        f"  holdout {row['holdout_loss']:.3f} {100 * row['holdout_accuracy']:5.1f} %"
        f"  test {row['test_loss']:.3f} {100 * row['test_accuracy']:5.1f} %"
        f"  lr {row['lr']:.2g}  {row['images_per_second']:.0f} images/s"
    )


def labels_of_the_holdout(images: Images, config: Config) -> Tensor:
    """(N,) in the order in which the holdout is evaluated."""
    return torch.from_numpy(images.train_labels[datasets.holdout_split(images, config.data)[1]])


def save_predictions(folder: RunFolder, parts: Mapping[str, tuple[Tensor, Tensor]]) -> None:
    """The final logits (N, C) as float16 and the labels (N,) of all test images and of the holdout's."""
    content = io.BytesIO()
    saved: dict[str, Any] = {}
    for part, (logits, labels) in parts.items():
        saved |= {f"{part}logits": logits.half().numpy(), f"{part}labels": labels.numpy()}
    np.savez_compressed(content, **saved)
    files.write_bytes(folder.predictions, content.getvalue())


def final_scores(folder: RunFolder) -> dict[str, float]:
    """What is reported besides accuracy and loss, from the saved predictions, so that it can be computed again."""
    with np.load(folder.predictions) as saved:
        return {
            f"{name}_{key}": value
            for name, part in (("test", ""), ("holdout", "holdout_"))
            if len(saved[f"{part}labels"])
            for key, value in scores(saved[f"{part}logits"], saved[f"{part}labels"]).items()
            if math.isfinite(value)
        }


def save_weights(planned: PlannedRun, folder: RunFolder, state: dict[str, Tensor], holdout_accuracy: float) -> None:
    """Keep this run's weights as trainer.keep_weights says; with `best`, those of a run that it beats go."""
    with FileLock(planned.study / ".weights.lock"):  # two that end at once would each see the other as not there
        if _keeps_weights(planned, folder, holdout_accuracy):
            files.write_bytes(folder.weights, save(state))


def _tuning_runs(planned: PlannedRun) -> set[str]:
    """The runs of its study that are no part of the comparison, so that none of them is the study's best."""
    try:
        tuning = study_plan.read(planned.study).tuning
    except ValueError:  # a run by itself
        return set()
    return tuning.signatures() if tuning is not None else set()


def _keeps_weights(planned: PlannedRun, folder: RunFolder, holdout_accuracy: float) -> bool:
    if planned.config.trainer.keep_weights != "best":
        return planned.config.trainer.keep_weights == "all"
    trials = _tuning_runs(planned)
    if planned.signature in trials:
        return False
    for other in run_folder.run_folders(planned.study):
        if other.path.name.rpartition("-")[2] in trials:
            continue
        if other.weights.exists() and other.path != folder.path:
            try:
                # Not of its record, which is finished only after its weights are written.
                best = other.read_metrics()[-1]["holdout_accuracy"]
            except (ValueError, IndexError):
                continue  # a damaged record is named by the report; its weights are not ours to judge
            if best >= holdout_accuracy:
                return False
            other.weights.unlink()
    return True

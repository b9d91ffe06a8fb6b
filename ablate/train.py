"""Train one configuration on one device: the loop, top to bottom."""

import hashlib
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ablate.cache import Images
from ablate.checkpoint import Checkpoints, State
from ablate.config import Config, TrainerConfig
from ablate.data import holdout_split
from ablate.evaluate import EVALUATION_BATCH, Evaluation, evaluate
from ablate.extract import MIXED
from ablate.inputs import Batch, split_network
from ablate.model import Classifier, build, on_cpu, weights_sha256
from ablate.optim import Schedule, all_finite, build_optimizer
from ablate.progress import beat, progress_bar
from ablate.randomness import generator, reseed
from ablate.sources import cache_root

# A mean training loss this many times that of guessing is no training any more.
DIVERGED_ABOVE = 10


class Diverged(Exception):
    """The loss or the weights are not finite, or the loss is far above that of guessing."""


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to: a row of metrics.csv, the predictions on the test set, and what the weights were.

    `digest` is a hash of the initial weights and of those after every epoch so far, so that a difference between
    two trainings is dated by the first epoch in which it differs.
    """

    row: dict[str, float]
    test: Evaluation
    initial_sha256: str
    digest: str


def choose_device(name: str) -> torch.device:
    """Resolve `auto` to cuda, then mps, then cpu. Raises ValueError for a device that is not there."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(kind for kind, there in available.items() if there)
    if not available[name.partition(":")[0]]:
        raise ValueError(f"trainer.device={name} is not available here; trainer.device=auto takes what is")
    return torch.device(name)


def set_flags(trainer: TrainerConfig) -> None:
    """Threads, and the flags that decide which kernels compute: those of the configuration, for the whole process."""
    torch.set_num_threads(trainer.threads)
    torch.use_deterministic_algorithms(trainer.deterministic)
    # It finds reads of memory that nobody wrote, at the price of a write per tensor.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS has no deterministic products
    precision = "tf32" if trainer.tf32 else "ieee"
    torch.backends.cuda.matmul.fp32_precision = precision
    torch.backends.cudnn.conv.fp32_precision = precision  # type: ignore[attr-defined]


def train(
    config: Config,
    images: Images,
    device: torch.device,
    on_epoch: Callable[[Epoch], None],
    micro: int | None = None,
    checkpoints: Checkpoints | None = None,
) -> Classifier:
    """Train and return the network, or its moving average, after the last epoch; `on_epoch` is called after each.

    With `micro`, so many images go through the network at once, and the gradients of a batch are
    accumulated: the optimizer sees the same batch, BatchNorm sees micro-batches. Goes on from the state that
    `checkpoints` holds, if it holds one. Raises Diverged after the epoch that diverged, Interrupted when a signal
    asks to stop, and ValueError when the data do not fill one batch.
    """
    seed, batch, epochs = config.seed, config.batch_size.size, config.trainer.epochs
    micro = micro or batch
    evaluation_batch = EVALUATION_BATCH if micro == batch else min(EVALUATION_BATCH, micro)
    checkpoints = checkpoints or Checkpoints()
    set_flags(config.trainer)

    # ---- data -----------------------------------------------------------------------------------
    split = holdout_split(images.train_labels, config.data.holdout, config.data.split_seed)
    train_index, holdout_index = (torch.from_numpy(index) for index in split)
    train_labels, test_labels = torch.from_numpy(images.train_labels), torch.from_numpy(images.test_labels)
    test_index = torch.arange(len(test_labels))
    steps = len(train_index) // batch  # images that do not fill a batch wait for another epoch's order
    if steps == 0:
        raise ValueError(f"batch_size.size={batch} is larger than the {len(train_index)} training images")

    # ---- network, optimizer, schedule -----------------------------------------------------------
    model = build(config.backbone, config.head, len(images.classes), seed, config.data.resolution)
    digest = initial = weights_sha256(on_cpu(model))
    layout = torch.channels_last if config.trainer.channels_last else torch.contiguous_format
    model.to(device=device, memory_format=layout)  # type: ignore[call-overload]
    optimizer = build_optimizer(config.optimizer, config.weight_decay, model, config.backbone)
    schedule = Schedule(config.scheduler, optimizer, epochs, steps)
    inputs, network = split_network(config, images, model, train_index, device, checkpoints.stop.check)
    smoothing = config.trainer.label_smoothing
    precision = config.trainer.precision
    amp = torch.autocast(device.type, dtype=MIXED.get(precision), enabled=precision in MIXED)
    scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")  # else it hands everything through
    averaged = None
    if config.trainer.ema:
        averaged = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(config.trainer.ema), use_buffers=True)
    result = network if averaged is None else averaged.module
    forward = network
    if config.trainer.compile:
        # Torch has set this by now to a folder that goes with the machine.
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(cache_root(config.data) / "compiled")
        forward = torch.compile(network)  # type: ignore[assignment]

    # ---- all that training changes: what a checkpoint holds -------------------------------------
    parts: dict[str, Any] = {"network": network, "optimizer": optimizer, "schedule": schedule, "scaler": scaler}
    if averaged is not None:
        parts["averaged"] = averaged
    epoch, step = 1, 0  # the epoch that is trained, and how many of its steps are done
    loss_sum, correct, lr = torch.zeros((), device=device), torch.zeros((), device=device), schedule.lr
    started, seconds = time.perf_counter(), 0.0  # spent on this epoch before `started`

    def state() -> State:
        return {name: part.state_dict() for name, part in parts.items()} | {
            "epoch": epoch, "step": step, "loss_sum": loss_sum, "correct": correct, "lr": lr, "digest": digest,
            "seconds": seconds + time.perf_counter() - started,
        }  # fmt: skip

    if (saved := checkpoints.saved) is not None:
        for name, part in parts.items():
            part.load_state_dict(saved[name])
        epoch, step, lr, digest, seconds = (saved[k] for k in ("epoch", "step", "lr", "digest", "seconds"))
        loss_sum.copy_(saved["loss_sum"])
        correct.copy_(saved["correct"])

    def plain(part: str, index: Tensor) -> Tensor:
        assert checkpoints is not None
        beat()
        checkpoints.between_steps(state)
        return inputs.plain(part, index)

    while epoch <= epochs:
        # ---- one epoch of training --------------------------------------------------------------
        started = time.perf_counter()
        order = train_index[torch.randperm(len(train_index), generator=generator(seed, "order", epoch))]
        inputs.start(epoch)
        model.train()
        with progress_bar(f"epoch {epoch}/{epochs}", steps, "steps") as advance:
            advance(step)
            while step < steps:
                checkpoints.between_steps(state)
                index = order[step * batch : (step + 1) * batch]
                lr = schedule.lr
                optimizer.zero_grad()
                for part, some in enumerate(index.split(micro)):
                    chunk = inputs.batch(some)
                    reseed(device, seed, "dropout", epoch, step, *([part] if part else []))
                    with amp:
                        logits = forward(chunk.x).float()
                    loss, hits = training_loss(logits, chunk, smoothing)
                    loss = loss * (len(some) / batch)
                    scaler.scale(loss).backward()
                    loss_sum += loss.detach()  # stays on the device: reading it here would wait for the step
                    correct += hits
                if config.trainer.clip_norm is not None:
                    scaler.unscale_(optimizer)
                    clip_grad_norm_(network.parameters(), config.trainer.clip_norm)
                scaler.step(optimizer)
                scaler.update()
                if averaged is not None:
                    averaged.update_parameters(network)
                schedule.after_step()
                step += 1
                advance(1)
        train_loss = loss_sum.item() / steps
        train_seconds = seconds + time.perf_counter() - started

        # ---- evaluation: the holdout decides, the test set is read for the curves only ----------
        with amp:
            holdout = evaluate(result, partial(plain, "train"), train_labels, holdout_index, evaluation_batch)
            test = evaluate(result, partial(plain, "test"), test_labels, test_index, evaluation_batch)
        schedule.after_epoch(holdout.loss)
        digest = hashlib.sha256((digest + weights_sha256(on_cpu(network))).encode()).hexdigest()
        row = {
            "epoch": epoch,
            "train_loss": train_loss,
            "train_accuracy": correct.item() / (steps * batch),
            "holdout_loss": holdout.loss,
            "holdout_accuracy": holdout.accuracy,
            "test_loss": test.loss,
            "test_accuracy": test.accuracy,
            "lr": lr,
            "images_per_second": steps * batch / train_seconds,
            "seconds": seconds + time.perf_counter() - started,
        }
        on_epoch(Epoch(row, test, initial, digest))
        check_convergence(network, train_loss, holdout.loss, epoch, len(images.classes))
        epoch, step, seconds, started = epoch + 1, 0, 0.0, time.perf_counter()
        loss_sum.zero_()
        correct.zero_()
        if epoch <= epochs:
            checkpoints.after_epoch(epoch - 1, state)
    if network is model:
        return result  # type: ignore[return-value]
    model.head = result
    return model


def training_loss(logits: Tensor, batch: Batch, smoothing: float) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy in nats, and the number of hits; of mixed images both labels count, each by its share."""
    guess = logits.detach().argmax(1)
    if batch.other_y is None or batch.share is None:
        return F.cross_entropy(logits, batch.y, label_smoothing=smoothing), (guess == batch.y).sum()
    own, other = (
        F.cross_entropy(logits, label, label_smoothing=smoothing, reduction="none")
        for label in (batch.y, batch.other_y)
    )
    hits = torch.lerp((guess == batch.other_y).float(), (guess == batch.y).float(), batch.share)
    return torch.lerp(other, own, batch.share).mean(), hits.sum()


def check_convergence(network: nn.Module, train_loss: float, holdout_loss: float, epoch: int, classes: int) -> None:
    """Raise Diverged, saying why and in which epoch."""
    limit = DIVERGED_ABOVE * math.log(classes)
    for name, loss in (("training", train_loss), ("holdout", holdout_loss)):
        if not math.isfinite(loss):
            raise Diverged(f"the {name} loss is {loss} in epoch {epoch}")
    if train_loss > limit:
        raise Diverged(f"the training loss is {train_loss:.3g} in epoch {epoch}, above {limit:.3g}")
    if not all_finite(network):
        raise Diverged(f"a weight is not finite after epoch {epoch}")


def final_metrics(rows: list[dict[str, float]]) -> dict[str, float]:
    """The last epoch's metrics, and beside them those of the epoch that the holdout liked best."""
    names = [f"{part}_{what}" for part in ("train", "holdout", "test") for what in ("loss", "accuracy")]
    best = max(rows, key=lambda row: row["holdout_accuracy"])
    return {name: rows[-1][name] for name in names} | {
        "best_holdout_epoch": best["epoch"],
        "best_holdout_accuracy": best["holdout_accuracy"],
        "best_holdout_test_accuracy": best["test_accuracy"],
    }

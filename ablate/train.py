"""Train one configuration on one device: the loop, top to bottom."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ablate import augment
from ablate.cache import Images
from ablate.config import Config
from ablate.data import holdout_split
from ablate.evaluate import EVALUATION_BATCH, Evaluation, evaluate, to_network
from ablate.model import Classifier, build
from ablate.optim import Schedule, all_finite, build_optimizer
from ablate.progress import progress_bar
from ablate.randomness import derived_seed, generator

# A mean training loss this many times that of guessing is no training any more.
DIVERGED_ABOVE = 10
MIXED = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Diverged(Exception):
    """The loss or the weights are not finite, or the loss is far above that of guessing."""


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to: a row of metrics.csv, and the predictions on the test set."""

    row: dict[str, float]
    test: Evaluation


def choose_device(name: str) -> torch.device:
    """Resolve `auto` to cuda, then mps, then cpu. Raises ValueError for a device that is not there."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(kind for kind, there in available.items() if there)
    if not available[name.partition(":")[0]]:
        raise ValueError(f"trainer.device={name} is not available here; trainer.device=auto takes what is")
    return torch.device(name)


def train(
    config: Config, images: Images, device: torch.device, on_epoch: Callable[[Epoch], None], micro: int | None = None
) -> Classifier:
    """Train and return the network, or its moving average, after the last epoch; `on_epoch` is called after each.

    With `micro`, so many images go through the network at once, and the gradients of a batch are
    accumulated: the optimizer sees the same batch, BatchNorm sees micro-batches. Raises Diverged after
    the epoch that diverged, and ValueError when the data do not fill one batch.
    """
    seed, batch, epochs = config.seed, config.batch_size.size, config.trainer.epochs
    channels_last = config.trainer.channels_last
    micro = micro or batch
    evaluation_batch = EVALUATION_BATCH if micro == batch else min(EVALUATION_BATCH, micro)
    torch.use_deterministic_algorithms(config.trainer.deterministic)
    torch.backends.cuda.matmul.fp32_precision = "tf32" if config.trainer.tf32 else "ieee"
    torch.backends.cudnn.conv.fp32_precision = "tf32" if config.trainer.tf32 else "ieee"  # type: ignore[attr-defined]

    # ---- data: uint8, on the host; a batch at a time goes to the device -------------------------
    split = holdout_split(images.train_labels, config.data.holdout, config.data.split_seed)
    train_index, holdout_index = (torch.from_numpy(index) for index in split)
    train_images, train_labels = torch.from_numpy(images.train_images), torch.from_numpy(images.train_labels)
    test_images, test_labels = torch.from_numpy(images.test_images), torch.from_numpy(images.test_labels)
    test_index = torch.arange(len(test_labels))
    steps = len(train_index) // batch  # images that do not fill a batch wait for another epoch's order
    if steps == 0:
        raise ValueError(f"batch_size.size={batch} is larger than the {len(train_index)} training images")

    # ---- network, optimizer, schedule -----------------------------------------------------------
    model = build(config.backbone, config.head, len(images.classes), seed, config.data.resolution)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    model.to(device=device, memory_format=layout)  # type: ignore[call-overload]
    optimizer = build_optimizer(config.optimizer, config.weight_decay, model, config.backbone.lr_scale)
    schedule = Schedule(config.scheduler, optimizer, epochs, steps)
    mean_color = model.mean.view(3).round()
    smoothing = config.trainer.label_smoothing
    precision = config.trainer.precision
    amp = torch.autocast(device.type, dtype=MIXED.get(precision), enabled=precision in MIXED)
    scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")  # else it hands everything through
    averaged = None
    if config.trainer.ema:
        averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(config.trainer.ema), use_buffers=True)
    result: Classifier = model if averaged is None else averaged.module  # type: ignore[assignment]

    for epoch in range(1, epochs + 1):
        # ---- one epoch of training --------------------------------------------------------------
        started = time.perf_counter()
        order = train_index[torch.randperm(len(train_index), generator=generator(seed, "order", epoch))]
        draws = augment.draw(
            config.augment, len(train_labels), images.train_images.shape[1], seed, epoch, partners=train_index
        )
        loss_sum = torch.zeros((), device=device)
        correct = torch.zeros((), device=device)
        model.train()
        with progress_bar(f"epoch {epoch}/{epochs}", steps, "steps") as advance:
            for step, index in enumerate(order[: steps * batch].split(batch)):
                lr = schedule.lr
                optimizer.zero_grad()
                for part, some in enumerate(index.split(micro)):
                    drawn = draws.of(some)
                    x = augment.apply(train_images[some].to(device), drawn, mean_color)
                    y = train_labels[some].to(device)
                    other_y = None
                    if drawn.partner is not None:
                        others = train_images[drawn.partner].to(device)
                        x = augment.mix(x, augment.apply(others, draws.of(drawn.partner), mean_color), drawn)
                        other_y = train_labels[drawn.partner].to(device)
                    torch.manual_seed(derived_seed(seed, "dropout", epoch, step, *([part] if part else [])))
                    with amp:
                        logits = model(to_network(x, channels_last)).float()
                    loss, hits = training_loss(logits, y, other_y, drawn.share, smoothing)
                    loss = loss * (len(some) / batch)
                    scaler.scale(loss).backward()
                    loss_sum += loss.detach()  # stays on the device: reading it here would wait for the step
                    correct += hits
                if config.trainer.clip_norm is not None:
                    scaler.unscale_(optimizer)
                    clip_grad_norm_(model.parameters(), config.trainer.clip_norm)
                scaler.step(optimizer)
                scaler.update()
                if averaged is not None:
                    averaged.update_parameters(model)
                schedule.after_step()
                advance(1)
        train_loss = loss_sum.item() / steps
        train_seconds = time.perf_counter() - started

        # ---- evaluation: the holdout decides, the test set is read for the curves only ----------
        with amp:
            holdout = evaluate(
                result, train_images, train_labels, holdout_index, device, channels_last, evaluation_batch
            )
            test = evaluate(result, test_images, test_labels, test_index, device, channels_last, evaluation_batch)
        schedule.after_epoch(holdout.loss)
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
            "seconds": time.perf_counter() - started,
        }
        on_epoch(Epoch(row, test))
        check_convergence(model, train_loss, holdout.loss, epoch, len(images.classes))
    return result


def training_loss(
    logits: Tensor, y: Tensor, other_y: Tensor | None, share: Tensor | None, smoothing: float
) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy in nats, and the number of hits; of mixed images both labels count, each by its share."""
    guess = logits.detach().argmax(1)
    if other_y is None or share is None:
        return F.cross_entropy(logits, y, label_smoothing=smoothing), (guess == y).sum()
    share = share.to(logits.device)
    own, other = (F.cross_entropy(logits, label, label_smoothing=smoothing, reduction="none") for label in (y, other_y))
    return torch.lerp(other, own, share).mean(), torch.lerp(
        (guess == other_y).float(), (guess == y).float(), share
    ).sum()


def check_convergence(model: Classifier, train_loss: float, holdout_loss: float, epoch: int, classes: int) -> None:
    """Raise Diverged, saying why and in which epoch."""
    limit = DIVERGED_ABOVE * math.log(classes)
    for name, loss in (("training", train_loss), ("holdout", holdout_loss)):
        if not math.isfinite(loss):
            raise Diverged(f"the {name} loss is {loss} in epoch {epoch}")
    if train_loss > limit:
        raise Diverged(f"the training loss is {train_loss:.3g} in epoch {epoch}, above {limit:.3g}")
    if not all_finite(model):
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


def on_cpu(model: Classifier) -> dict[str, Tensor]:
    """The network's state as contiguous tensors on the CPU."""
    return {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}

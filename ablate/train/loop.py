"""Train one configuration on one device: the loop, top to bottom."""

import hashlib
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from ablate.config.budget import Budget
from ablate.config.schema import Config, DataConfig
from ablate.data.cache import Images
from ablate.data.datasets import holdout_split
from ablate.data.sources import cache_root
from ablate.system.progress import beat, progress_bar
from ablate.train.checkpoint import Checkpoints, Saved
from ablate.train.device import autocast, set_flags
from ablate.train.evaluate import EVALUATION_BATCH, Evaluation, evaluate, filled
from ablate.train.graph import NoRoomForGraphs, Replayed, own_stream, why_not
from ablate.train.inputs import Batch, in_advance, split_network
from ablate.train.micro_batch import images_at_once, is_out_of_memory
from ablate.train.model import Classifier, build, on_cpu, weights_sha256
from ablate.train.optim import Average, Schedule, all_finite, build_optimizer
from ablate.train.randomness import generator, reseed

# A mean training loss this many times that of guessing is no training any more.
DIVERGED_ABOVE = 10


class Diverged(Exception):
    """The loss or the weights are not finite, or the loss is far above that of guessing."""


@dataclass(frozen=True)
class Epoch:
    """What one epoch gave: a row of metrics.csv, the predictions on the test set, and what the weights were.

    `digest` is a hash of the initial weights and of those after every epoch so far, so that a difference between
    two trainings is dated by the first epoch in which it differs.
    """

    row: dict[str, float]
    holdout: Evaluation
    test: Evaluation
    initial_sha256: str
    digest: str
    graphs: str  # whether steps were replayed as CUDA graphs: "used", or why not


def train(
    config: Config,
    images: Images,
    device: torch.device,
    on_epoch: Callable[[Epoch], None],
    checkpoints: Checkpoints | None = None,
) -> Classifier:
    """Train and return the network, or its moving average, after the last epoch; `on_epoch` is called after each.

    Where batch_size.micro=N, N images go through the network at once, and the gradients of a batch are
    accumulated: the optimizer sees the same batch, BatchNorm sees micro-batches. Resumes from the state that
    `checkpoints` holds, if it holds one. Raises Diverged after the epoch that diverged, Interrupted when a signal
    asks to stop, and ValueError when the data do not fill one batch.
    """
    checkpoints = checkpoints or Checkpoints()
    set_flags(config.trainer)
    split = Split.of(config, images)
    with own_stream(device):
        return _train(config, images, split, device, on_epoch, checkpoints)


def _train(
    config: Config,
    images: Images,
    split: "Split",
    device: torch.device,
    on_epoch: Callable[[Epoch], None],
    checkpoints: Checkpoints,
) -> Classifier:
    training = Training(config, images, split, device, checkpoints.stop.check)
    if checkpoints.saved is not None:
        training.load_state_dict(checkpoints.saved)
    try:
        train_epochs(training, split, len(images.classes), on_epoch, checkpoints)
    except RuntimeError as error:
        if is_out_of_memory(error) and (training.accumulate.graphs or training.predict.graphs):
            raise NoRoomForGraphs from error
        raise
    return training.whole()


def train_epochs(
    training: "Training", split: "Split", classes: int, on_epoch: Callable[[Epoch], None], checkpoints: Checkpoints
) -> None:
    """Train what is left of all epochs, the last of which may be partial."""
    while training.epoch <= training.budget.epochs:
        train_epoch(training, split, checkpoints)
        train_seconds = training.seconds()
        # The holdout decides; the test set is read for the curves only.
        holdout = evaluate_part(training, "train", split.train_labels, split.holdout_index, checkpoints)
        test = evaluate_part(training, "test", split.test_labels, split.test_index, checkpoints)
        row = training.finish_epoch(holdout, test, train_seconds)
        on_epoch(Epoch(row, holdout, test, training.initial, training.digest, training.graphs))
        check_convergence(training.network, row, classes)
        training.begin_epoch()
        if training.epoch <= training.budget.epochs:
            checkpoints.after_epoch(training.epoch - 1, training.state_dict)


@dataclass(frozen=True)
class Split:
    """Which images train, which are held out and which test, as indices and labels on the CPU."""

    train_index: Tensor
    holdout_index: Tensor
    train_labels: Tensor
    test_labels: Tensor
    steps: int  # of an epoch; images that do not fill a batch wait for another epoch's order

    @classmethod
    def of(cls, config: Config, images: Images) -> "Split":
        """Raises ValueError when the training images do not fill one batch."""
        split = holdout_split(images, config.data)
        train_index, holdout_index = (torch.from_numpy(index) for index in split)
        batch = config.batch_size.size
        if len(train_index) < batch:
            raise ValueError(f"batch_size.size={batch} is larger than the {len(train_index)} training images")
        labels = (torch.from_numpy(images.train_labels), torch.from_numpy(images.test_labels))
        return cls(train_index, holdout_index, *labels, len(train_index) // batch)

    @property
    def test_index(self) -> Tensor:
        return torch.arange(len(self.test_labels))


class Training:
    """A network while it is trained: all that training changes, which is what a checkpoint holds."""

    def __init__(
        self, config: Config, images: Images, split: Split, device: torch.device, check: Callable[[], None]
    ) -> None:
        trainer = config.trainer
        self.config, self.device = config, device
        self.batch, self.at_once = config.batch_size.size, images_at_once(config.batch_size)
        self.model = build(config.backbone, config.head, len(images.classes), config.seed, config.data.resolution)
        self.digest = self.initial = weights_sha256(on_cpu(self.model))
        layout = torch.channels_last if trainer.channels_last else torch.contiguous_format
        self.model.to(device=device, memory_format=layout)  # type: ignore[call-overload]
        self.budget = Budget.of(config, len(split.train_index))
        optimizer = config.optimizer.at(self.batch)
        self.optimizer = build_optimizer(optimizer, config.weight_decay, self.model, config.backbone)
        self.schedule = Schedule(config.scheduler, self.optimizer, self.budget.steps)
        # The trained part: all of the network, or the head of a frozen backbone.
        self.inputs, self.network = split_network(config, images, self.model, split.train_index, check)
        self.amp = autocast(device, trainer.precision)
        # Hands everything through where it is not enabled.
        self.scaler = torch.amp.GradScaler(device.type, enabled=trainer.precision == "fp16")
        self.averaged = Average(self.network, trainer.ema) if trainer.ema else None
        self.forward = compiled(self.network, config.data) if trainer.compile else self.network
        self.epoch, self.step_number = 1, 0  # the epoch that is trained, and how many of its steps are done
        self.loss_sum, self.correct = torch.zeros((), device=device), torch.zeros((), device=device)
        why = why_not(self.network, device, wanted=trainer.graph, compiled=trainer.compile,
                      deterministic=trainer.deterministic)  # fmt: skip
        self.accumulate = Replayed(self.forward_and_backward, why, self.network, [self.loss_sum, self.correct])
        self.predict = Replayed(self.predicted, why)
        # The stream on which the next batches are made. It goes first, as the host waits for its copies.
        self.ahead = torch.cuda.Stream(device, priority=-1) if device.type == "cuda" else None
        self.lr = self.schedule.lr
        self.started, self.seconds_before = time.perf_counter(), 0.0  # spent on this epoch before `started`

    @property
    def result(self) -> nn.Module:
        """What is evaluated and kept: the trained part, or its moving average."""
        return self.network if self.averaged is None else self.averaged.module

    def whole(self) -> Classifier:
        """The network with the result in it."""
        if self.network is self.model:
            return self.result  # type: ignore[return-value]
        self.model.head = self.result
        return self.model

    def seconds(self) -> float:
        """Time spent on this epoch, that of earlier attempts included."""
        return self.seconds_before + time.perf_counter() - self.started

    def parts(self) -> dict[str, Any]:
        """What has a state of its own."""
        averaged = {} if self.averaged is None else {"averaged": self.averaged}
        return {"network": self.network, "optimizer": self.optimizer, "schedule": self.schedule,
                "scaler": self.scaler, **averaged}  # fmt: skip

    def state_dict(self) -> Saved:
        """Everything that training needs to continue from here."""
        return {name: part.state_dict() for name, part in self.parts().items()} | {
            "epoch": self.epoch, "step": self.step_number, "loss_sum": self.loss_sum, "correct": self.correct,
            "lr": self.lr, "digest": self.digest, "seconds": self.seconds(),
        }  # fmt: skip

    def load_state_dict(self, saved: Saved) -> None:
        """Continue from where state_dict() was taken."""
        # How the optimizer starts its kernels goes with the device, not with the checkpoint.
        fused = [group["fused"] for group in self.optimizer.param_groups]
        groups = saved["optimizer"]["param_groups"]
        groups = [{**group, "fused": how} for group, how in zip(groups, fused, strict=True)]
        saved = {**saved, "optimizer": {**saved["optimizer"], "param_groups": groups}}
        for name, part in self.parts().items():
            part.load_state_dict(saved[name])
        self.epoch, self.step_number, self.lr = saved["epoch"], saved["step"], saved["lr"]
        self.digest, self.seconds_before = saved["digest"], saved["seconds"]
        self.loss_sum.copy_(saved["loss_sum"])
        self.correct.copy_(saved["correct"])

    @property
    def graphs(self) -> str:
        """Whether steps are replayed as graphs: "used", or why not."""
        return "used" if self.accumulate.graphs else self.accumulate.why_not or "too few steps"

    def step(self, chunks: Sequence[Batch]) -> None:
        """Train on one batch, which comes as the micro-batches that go through the network at once."""
        trainer = self.config.trainer
        self.lr = self.schedule.lr
        if not self.accumulate.keeps_gradients:
            self.optimizer.zero_grad()
        for part, chunk in enumerate(chunks):
            place = [self.epoch, self.step_number, *([part] if part else [])]
            seed = partial(reseed, self.device, self.config.seed, "dropout", *place)
            self.accumulate(chunk.x, chunk.y, chunk.other_y, chunk.share, kind=min(part, 1), seed=seed)
        if trainer.clip_norm is not None:
            self.scaler.unscale_(self.optimizer)
            clip_grad_norm_(self.network.parameters(), trainer.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.averaged is not None:
            self.averaged.update_parameters(self.network)
        self.schedule.after_step()
        self.step_number += 1

    def forward_and_backward(self, x: Tensor, y: Tensor, other_y: Tensor | None, share: Tensor | None) -> None:
        """Add a micro-batch's share to the gradients of its batch, and its loss and hits to the epoch's sums."""
        with self.amp:
            logits = self.forward(x).float()
        loss, hits = training_loss(logits, Batch(x, y, other_y, share), self.config.trainer.label_smoothing)
        loss = loss * (len(y) / self.batch)
        self.scaler.scale(loss).backward()
        self.loss_sum += loss.detach()  # stays on the device: reading it here would wait for the step
        self.correct += hits

    def predicted(self, x: Tensor) -> Tensor:
        """The logits of images by what is evaluated, in the precision of the training."""
        with self.amp:
            return self.result(x)  # type: ignore[no-any-return]

    def finish_epoch(self, holdout: Evaluation, test: Evaluation, train_seconds: float) -> dict[str, float]:
        """Let the schedule see the holdout, and return the epoch's row of metrics.csv."""
        images = self.step_number * self.batch
        self.schedule.after_epoch(holdout.loss)
        self.digest = hashlib.sha256((self.digest + weights_sha256(on_cpu(self.network))).encode()).hexdigest()
        return {
            "epoch": self.epoch,
            "train_loss": self.loss_sum.item() / self.step_number,
            "train_accuracy": self.correct.item() / images,
            "holdout_loss": holdout.loss,
            "holdout_accuracy": holdout.accuracy,
            "test_loss": test.loss,
            "test_accuracy": test.accuracy,
            "lr": self.lr,
            "images_per_second": images / train_seconds,
            "seconds": self.seconds(),
            "steps": self.step_number,
        }

    def begin_epoch(self) -> None:
        """Move on to the next epoch."""
        self.epoch, self.step_number = self.epoch + 1, 0
        self.started, self.seconds_before = time.perf_counter(), 0.0
        self.loss_sum.zero_()
        self.correct.zero_()


def train_epoch(training: Training, split: Split, checkpoints: Checkpoints) -> None:
    """Train what is left of an epoch, saving the state between steps when it is time to."""
    epoch, batch, budget = training.epoch, training.batch, training.budget
    steps = budget.steps_of(epoch)
    training.started = time.perf_counter()
    chance = generator(training.config.seed, "order", epoch)
    order = split.train_index[torch.randperm(len(split.train_index), generator=chance)]
    training.inputs.start(epoch)
    training.model.train()
    rest = order[training.step_number * batch : steps * batch]
    coming = in_advance(training.inputs, rest, batch, training.at_once, training.ahead)
    with progress_bar(f"epoch {epoch}/{budget.epochs}", steps, "steps") as advance:
        advance(training.step_number)
        while training.step_number < steps:
            checkpoints.between_steps(training.state_dict)
            training.step(next(coming))
            advance(1)
    training.loss_sum.item()  # waits for the device, so that the epoch's time is that of its steps


def evaluate_part(training: Training, part: str, labels: Tensor, index: Tensor, checkpoints: Checkpoints) -> Evaluation:
    """Evaluate the result on some images, saving the state between batches when it is time to."""
    whole = training.at_once == training.batch
    size = EVALUATION_BATCH if whole else min(EVALUATION_BATCH, training.at_once)
    # On CUDA each shape costs a search for kernels and a graph. On a CPU the bits of single shapes are on record.
    shown = filled(index, size) if training.device.type == "cuda" else index

    def batches() -> Iterator[Tensor]:
        for chunk in shown.split(size):
            beat()
            checkpoints.between_steps(training.state_dict)
            yield training.inputs.plain(part, chunk)

    training.result.eval()
    return evaluate(training.predict, batches(), labels[index])


def compiled(network: nn.Module, data: DataConfig) -> nn.Module:
    """The network by torch.compile, whose code is kept for later runs."""
    # Torch has set this by now to a folder that goes with the machine.
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(cache_root(data) / "compiled")
    return torch.compile(network)  # type: ignore[return-value]


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


def check_convergence(network: nn.Module, row: Mapping[str, float], classes: int) -> None:
    """Raise Diverged, saying why and in which epoch."""
    limit, epoch = DIVERGED_ABOVE * math.log(classes), row["epoch"]
    for name in ("training", "holdout", "test"):
        loss = row[f"{name.removesuffix('ing')}_loss"]
        if not math.isfinite(loss):
            raise Diverged(f"the {name} loss is {loss} in epoch {epoch}")
    if row["train_loss"] > limit:
        raise Diverged(f"the training loss is {row['train_loss']:.3g} in epoch {epoch}, above {limit:.3g}")
    if not all_finite(network):
        raise Diverged(f"a weight is not finite after epoch {epoch}")


def final_metrics(rows: list[dict[str, float]]) -> dict[str, float]:
    """The last epoch's metrics, and those of the epoch with the best holdout accuracy."""
    names = [f"{part}_{what}" for part in ("train", "holdout", "test") for what in ("loss", "accuracy")]
    best = max(rows, key=lambda row: row["holdout_accuracy"])
    return {name: rows[-1][name] for name in names} | {
        "best_holdout_epoch": best["epoch"],
        "best_holdout_accuracy": best["holdout_accuracy"],
        "best_holdout_test_accuracy": best["test_accuracy"],
    }

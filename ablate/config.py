"""What a run is: one dataclass per config group, and its validation.

Nothing here imports torch, so a typo is answered before anything heavy is loaded.

Every field of a hashed group takes part in the signature unless its metadata says otherwise:

    field(default=..., metadata={"hashed": False})   says where or how fast, not what: paths, device
    field(default=..., metadata={"neutral": value})  added after the first release; left out of the
                                                     hash at this value, so that runs made before the
                                                     field existed keep their names
"""

import difflib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

AXES = ("backbone", "optimizer", "head", "batch_size", "augment", "weight_decay", "scheduler")
HASHED_GROUPS = (*AXES, "data", "trainer")
# Only these may hold an environment variable: a secret must never reach a record in clear.
PATHS = ("backbone.weights", "data.path", "data.cache", "study.root")

OPTIMIZERS = {"adam": ("betas", "eps"), "adamw": ("betas", "eps"), "sgd": ("momentum", "nesterov")}
SCHEDULERS: dict[str, tuple[str, ...]] = {
    "none": (),
    "plateau": ("factor", "patience"),
    "step": ("factor", "every"),
    "cosine": (),
    "one_cycle": ("warmup",),
}
ACTIVATIONS = ("relu", "gelu", "silu", "tanh")


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """Return "; did you mean X?" for the closest known word, or "" when nothing is close."""
    close = difflib.get_close_matches(wrong, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


def _one_of(name: str, value: str, known: Iterable[str]) -> None:
    if value not in known:
        raise ValueError(f"{name}={value} is unknown{did_you_mean(value, known)} (known: {', '.join(known)})")


def _in_range(name: str, value: float, low: float, high: float = math.inf) -> None:
    """Refuse values outside [low, high] and everything that is not a finite number."""
    if not (math.isfinite(value) and low <= value <= high):
        bounds = f"from {low:g} to {high:g}" if math.isfinite(high) else f"{low:g} or more"
        raise ValueError(f"{name}={value} must be a finite number, {bounds}")


def _exactly(group: str, config: Any, reads: Mapping[str, tuple[str, ...]]) -> None:
    """Optional settings are given exactly where they are read, so no setting is ever ignored."""
    settings = {s for names in reads.values() for s in names}
    for setting in sorted(settings):
        given = getattr(config, setting) is not None
        if given and setting not in reads[config.name]:
            raise ValueError(f"{group}.{setting} is not read by {group}.name={config.name}; leave it out")
        if not given and setting in reads[config.name]:
            raise ValueError(
                f"{group}.name={config.name} needs {group}.{setting}; {group}={config.name} sets everything it needs"
            )


@dataclass
class BackboneConfig:
    name: str = MISSING
    pretrained: bool = False
    weights: str | None = None  # a local .pth or .safetensors file; hashed by its content

    def __post_init__(self) -> None:
        if self.weights is not None:
            self.pretrained = True


@dataclass
class OptimizerConfig:
    name: str = MISSING
    lr: float = MISSING
    betas: list[float] | None = None
    eps: float | None = None
    momentum: float | None = None
    nesterov: bool | None = None

    def __post_init__(self) -> None:
        _one_of("optimizer.name", self.name, OPTIMIZERS)
        _exactly("optimizer", self, OPTIMIZERS)
        _in_range("optimizer.lr", self.lr, 0)
        if self.momentum is not None:
            _in_range("optimizer.momentum", self.momentum, 0, 1)
        if self.nesterov and not self.momentum:
            raise ValueError("optimizer.nesterov=true needs optimizer.momentum above 0")
        if self.betas is not None:
            if len(self.betas) != 2:
                raise ValueError(f"optimizer.betas={self.betas} must be two numbers")
            for beta in self.betas:
                _in_range("optimizer.betas", beta, 0, 0.999999)
        if self.eps is not None:
            _in_range("optimizer.eps", self.eps, 0)


@dataclass
class HeadConfig:
    hidden: list[int] = field(default_factory=list)  # width of each hidden layer; [] is one linear layer
    activation: str | None = None
    dropout: float = 0.0  # before every linear layer of the head

    def __post_init__(self) -> None:
        if any(width < 1 for width in self.hidden):
            raise ValueError(f"head.hidden={self.hidden} must be a list of widths of 1 or more")
        if self.hidden:
            _one_of("head.activation", str(self.activation), ACTIVATIONS)
        elif self.activation is not None:
            raise ValueError("head.activation is not read without hidden layers; give head.hidden too")
        _in_range("head.dropout", self.dropout, 0, 0.99)


@dataclass
class BatchSizeConfig:
    size: int = MISSING

    def __post_init__(self) -> None:
        _in_range("batch_size.size", self.size, 2)  # BatchNorm needs two


@dataclass
class AugmentConfig:
    flip: bool = False  # mirror left-right, with probability 1/2
    crop: float = 0.0  # pad by this share of the side with black, then crop the size back at random

    def __post_init__(self) -> None:
        _in_range("augment.crop", self.crop, 0, 0.5)


@dataclass
class WeightDecayConfig:
    value: float = MISSING

    def __post_init__(self) -> None:
        _in_range("weight_decay.value", self.value, 0)


@dataclass
class SchedulerConfig:
    name: str = MISSING
    factor: float | None = None  # plateau and step multiply the learning rate by it
    patience: int | None = None  # epochs without a better holdout loss that plateau allows
    every: int | None = None  # epochs between two steps
    warmup: float | None = None  # share of all steps in which one_cycle rises

    def __post_init__(self) -> None:
        _one_of("scheduler.name", self.name, SCHEDULERS)
        _exactly("scheduler", self, SCHEDULERS)
        if self.factor is not None:
            _in_range("scheduler.factor", self.factor, 0, 0.999999)
        if self.patience is not None:
            _in_range("scheduler.patience", self.patience, 0)
        if self.every is not None:
            _in_range("scheduler.every", self.every, 1)
        if self.warmup is not None:
            _in_range("scheduler.warmup", self.warmup, 0, 1)


@dataclass
class DataConfig:
    name: str = MISSING
    size: int = MISSING  # side of the square images in pixels
    holdout: float = 0.1  # share of each training class held out; never trained on
    split_seed: int = 0  # draws the holdout; the same for all seeds
    path: str | None = field(default=None, metadata={"hashed": False})  # its content is hashed
    cache: str | None = field(default=None, metadata={"hashed": False})

    def __post_init__(self) -> None:
        _one_of("data.name", self.name, ("embedded", "folder", "tiny_imagenet"))
        if self.name == "embedded" and self.size != 32:
            raise ValueError("data=embedded holds images of 32 pixels; leave data.size=32")
        if self.name != "embedded" and self.path is None:
            raise ValueError(f"data={self.name} needs data.path=DIR, the folder that holds the images")
        _in_range("data.size", self.size, 8, 4096)
        _in_range("data.holdout", self.holdout, 0.001, 0.9)


@dataclass
class TrainerConfig:
    epochs: int = 3
    channels_last: bool = True
    deterministic: bool = True
    device: str = field(default="auto", metadata={"hashed": False})
    threads: int = field(default=1, metadata={"hashed": False})
    tensorboard: bool = field(default=True, metadata={"hashed": False})
    keep_weights: str = field(default="best", metadata={"hashed": False})

    def __post_init__(self) -> None:
        _in_range("trainer.epochs", self.epochs, 1)
        _in_range("trainer.threads", self.threads, 1)
        _one_of("trainer.keep_weights", self.keep_weights, ("none", "best", "all"))
        if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", self.device):
            raise ValueError(f"trainer.device={self.device} is not one of auto, cpu, cuda, cuda:N, mps")


@dataclass
class StudyConfig:
    name: str = "main"
    root: str = "outputs"
    design: str = "grid"
    metric: str = "test_accuracy"
    delta: float = 0.3  # smallest difference worth caring about, in percentage points

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", self.name):
            raise ValueError(
                f"study.name={self.name!r} may hold letters, digits, '_', '.' and '-' only, at most 64, "
                "and starts with a letter or digit; study.root says where studies are kept"
            )
        _one_of("study.design", self.design, ("grid",))
        _one_of("study.metric", self.metric, ("test_accuracy", "holdout_accuracy"))
        _in_range("study.delta", self.delta, 0)


@dataclass
class Config:
    backbone: BackboneConfig = MISSING
    optimizer: OptimizerConfig = MISSING
    head: HeadConfig = MISSING
    batch_size: BatchSizeConfig = MISSING
    augment: AugmentConfig = MISSING
    weight_decay: WeightDecayConfig = MISSING
    scheduler: SchedulerConfig = MISSING
    data: DataConfig = MISSING
    trainer: TrainerConfig = MISSING
    study: StudyConfig = MISSING
    seed: int = 0
    seeds: int | None = None  # seeds=3 is short for seed=0,1,2
    force: bool = False  # train again what is done
    dry_run: bool = False  # print the plan and stop
    retry: str = ""  # outcomes to train again: oom, diverged or both with a comma

    def __post_init__(self) -> None:
        _in_range("seed", self.seed, 0, 2**31 - 1)
        if self.seeds is not None:
            _in_range("seeds", self.seeds, 1, 10_000)
        for outcome in self.retry.split(",") if self.retry else ():
            _one_of("retry", outcome, ("oom", "diverged"))

"""The seven axes: one dataclass each, and its validation. Imports no torch; config says what the metadata mean."""

import dataclasses
import re
from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from ablate.config.checks import NotRead, exactly, in_range, one_of

OPTIMIZERS = {"adam": ("betas", "eps"), "adamw": ("betas", "eps"), "sgd": ("momentum", "nesterov")}
SCHEDULERS: dict[str, tuple[str, ...]] = {
    "none": (),
    "plateau": ("factor", "patience"),
    "step": ("factor", "every"),
    "cosine": (),
    "one_cycle": ("warmup",),
    "warmup": ("warmup",),
    "warmup_cosine": ("warmup",),
}
ACTIVATIONS = ("relu", "gelu", "silu", "tanh")
# Settings that are null exactly where nothing reads them.
OPTIONAL = frozenset(
    {f"optimizer.{name}" for names in OPTIMIZERS.values() for name in names}
    | {f"scheduler.{name}" for names in SCHEDULERS.values() for name in names}
    | {"head.activation"}
)


@dataclass
class BackboneConfig:
    name: str = MISSING  # a model of timm
    pretrained: bool = False  # start from timm's weights rather than from random ones
    weights: str | None = None  # a local .pth or .safetensors file; hashed by its content
    tag: str | None = field(default=None, metadata={"neutral": None})  # which of timm's weights; None is its default
    lr_scale: float = field(default=1.0, metadata={"neutral": 1.0})  # its learning rate, as a multiple of the head's
    # Each stage's learning rate as a share of that of the stage above it.
    lr_decay: float = field(default=1.0, metadata={"neutral": 1.0})
    # true trains the head alone; stages:N leaves the first N stages, the stem among them, as they came.
    freeze: Any = field(default=False, metadata={"neutral": False})  # OmegaConf cannot merge a union of types
    # Total stride of the stem, 1 or 2 for small inputs; None leaves it as the network has it (ResNet: 4).
    stem_stride: int | None = field(default=None, metadata={"neutral": None})

    def __post_init__(self) -> None:
        if self.weights is not None:
            self.pretrained = True
        in_range("backbone.lr_scale", self.lr_scale, 0)
        if not isinstance(self.freeze, bool) and not re.fullmatch(r"stages:[1-9]\d?", str(self.freeze)):
            raise ValueError(f"backbone.freeze={self.freeze} must be true, false or stages:N, as in stages:2")
        in_range("backbone.lr_decay", self.lr_decay, 1e-6, 1)
        for name in ("lr_scale", "lr_decay") if self.freeze is True else ():
            if getattr(self, name) != 1:
                raise NotRead(
                    f"backbone.{name}", f"backbone.{name} is not read when backbone.freeze=true; leave it out"
                )
        if self.stem_stride not in (None, 1, 2):
            raise ValueError(f"backbone.stem_stride={self.stem_stride} must be 1, 2 or null")


@dataclass
class OptimizerConfig:
    name: str = MISSING  # adam, adamw or sgd
    lr: float = MISSING  # the highest learning rate that the schedule reaches
    betas: list[float] | None = None  # of Adam and AdamW: decay of the averages of the gradient and of its square
    eps: float | None = None  # of Adam and AdamW: added to the denominator
    momentum: float | None = None  # of SGD
    nesterov: bool | None = None  # of SGD: Nesterov's momentum

    def __post_init__(self) -> None:
        one_of("optimizer.name", self.name, OPTIMIZERS)
        exactly("optimizer", self, OPTIMIZERS)
        in_range("optimizer.lr", self.lr, 0)
        if self.momentum is not None:
            in_range("optimizer.momentum", self.momentum, 0, 1)
        if self.nesterov and not self.momentum:
            raise ValueError("optimizer.nesterov=true needs optimizer.momentum above 0")
        if self.betas is not None:
            if len(self.betas) != 2:
                raise ValueError(f"optimizer.betas={self.betas} must be two numbers")
            for beta in self.betas:
                in_range("optimizer.betas", beta, 0, 0.999999)
        if self.eps is not None:
            in_range("optimizer.eps", self.eps, 0)


@dataclass
class HeadConfig:
    hidden: list[int] = field(default_factory=list)  # width of each hidden layer; [] is one linear layer
    activation: str | None = None  # after each hidden layer: relu, gelu, silu or tanh
    dropout: float = 0.0  # before every linear layer of the head

    def __post_init__(self) -> None:
        if any(width < 1 for width in self.hidden):
            raise ValueError(f"head.hidden={self.hidden} must be a list of widths of 1 or more")
        if self.hidden:
            one_of("head.activation", str(self.activation), ACTIVATIONS)
        elif self.activation is not None:
            raise NotRead("head.activation", "head.activation is not read without hidden layers; give head.hidden too")
        in_range("head.dropout", self.dropout, 0, 0.99)


@dataclass
class BatchSizeConfig:
    size: int = MISSING  # images per step of the optimizer
    # Images in the network at once: as many as fit (size, its half, …), N, or never fewer than size.
    micro: str = field(default="auto", metadata={"neutral": "auto"})

    def __post_init__(self) -> None:
        in_range("batch_size.size", self.size, 2)  # BatchNorm needs two
        if self.micro not in ("auto", "never"):
            if not self.micro.isdecimal():
                raise ValueError(f"batch_size.micro={self.micro} must be auto, never or a number of images")
            in_range("batch_size.micro", int(self.micro), 2, self.size)


@dataclass
class AugmentConfig:
    flip: bool = False  # mirror left-right, with probability 1/2
    crop: float = 0.0  # pad by this share of the side with black, then crop the size back at random
    color: float = field(
        default=0.0, metadata={"neutral": 0.0}
    )  # brightness, contrast, saturation by factors 1 ± color
    trivial: bool = field(default=False, metadata={"neutral": False})  # TrivialAugment, its wide variant
    erase: float = field(default=0.0, metadata={"neutral": 0.0})  # probability of random erasing
    cutout: float = field(default=0.0, metadata={"neutral": 0.0})  # side of the square cut out; 1 is the image's
    mixup: float = field(default=0.0, metadata={"neutral": 0.0})  # alpha of mixup; 0 is off
    cutmix: float = field(default=0.0, metadata={"neutral": 0.0})  # alpha of CutMix; with mixup, half the images each

    def __post_init__(self) -> None:
        in_range("augment.crop", self.crop, 0, 0.5)
        in_range("augment.color", self.color, 0, 1)
        in_range("augment.erase", self.erase, 0, 1)
        in_range("augment.cutout", self.cutout, 0, 1)
        in_range("augment.mixup", self.mixup, 0, 100)
        in_range("augment.cutmix", self.cutmix, 0, 100)

    def has_endless_views(self) -> bool:
        """Whether an image can become more than itself and its mirror image."""
        return dataclasses.replace(self, flip=False) != AugmentConfig()


@dataclass
class WeightDecayConfig:
    value: float = MISSING  # an L2 penalty with adam and sgd; decoupled with adamw
    spare: bool = field(default=False, metadata={"neutral": False})  # no decay of norms and biases

    def __post_init__(self) -> None:
        in_range("weight_decay.value", self.value, 0)


@dataclass
class SchedulerConfig:
    name: str = MISSING  # none, plateau, step, cosine, one_cycle, warmup or warmup_cosine
    factor: float | None = None  # plateau and step multiply the learning rate by it
    patience: int | None = None  # epochs without a better holdout loss that plateau allows
    every: int | None = None  # epochs between two steps
    warmup: float | None = None  # share of all steps in which the learning rate rises

    def __post_init__(self) -> None:
        one_of("scheduler.name", self.name, SCHEDULERS)
        exactly("scheduler", self, SCHEDULERS)
        if self.factor is not None:
            in_range("scheduler.factor", self.factor, 0, 0.999999)
        if self.patience is not None:
            in_range("scheduler.patience", self.patience, 0)
        if self.every is not None:
            in_range("scheduler.every", self.every, 1)
        if self.warmup is not None:
            in_range("scheduler.warmup", self.warmup, 0, 1)


@dataclass
class Axes:
    """Every axis, in the order in which names and tables have them. A new axis is one more line here."""

    backbone: BackboneConfig = MISSING
    optimizer: OptimizerConfig = MISSING
    head: HeadConfig = MISSING
    batch_size: BatchSizeConfig = MISSING
    augment: AugmentConfig = MISSING
    weight_decay: WeightDecayConfig = MISSING
    scheduler: SchedulerConfig = MISSING

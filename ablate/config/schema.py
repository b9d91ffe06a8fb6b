"""Every setting: what a run is, and what a study is called, where it lies and how it is judged.

Nothing here imports torch, so that a typo is answered before anything heavy is loaded. Every field of a hashed group
(the axes in axes.py, data, trainer) takes part in the signature unless its metadata says otherwise:

    {"hashed": False}   says where or how fast, not what: paths, device
    {"neutral": value}  added after the first release; left out of the hash at this value, so that runs
                        made before the field existed keep their names
    {"resolved": True}  what it means depends on others of its group: study.json has that, not what was composed
"""

import dataclasses
import re
from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from ablate.config.axes import Axes
from ablate.config.checks import NotRead, duration, in_range, one_of
from ablate.records.metrics import METRICS, canonical, smallest_difference


@dataclass
class FindingConfig:
    """What an earlier study concluded about one axis."""

    axis: str = MISSING
    question: str = MISSING
    answer: str = MISSING
    better: list[str] = field(default_factory=list)  # levels that it claims are better, or patterns, as effnet_*
    worse: list[str] = field(default_factory=list)  # than these; all others if empty
    no_difference: bool = False  # or that levels make none


@dataclass
class ReferenceConfig:
    """An earlier study's answers, which the report shows next to ours."""

    title: str = MISSING
    best: str = MISSING  # its best result, in words and figures
    findings: list[FindingConfig] = field(default_factory=list)


AUTO = "auto"
Duration = Any  # as 90s, 15m or 2h; once validated, in seconds. OmegaConf has no such type
DESIGNS = ("grid", "one_at_a_time", "cumulative", "fractional")


@dataclass
class StudyConfig:
    name: str = AUTO  # after its axes, as backbone-optimizer; runs for a single run
    root: str = "outputs"  # the folder that holds all studies
    question: str = ""  # what the study is to answer, in your words; it is kept with its date and opens the report
    design: str = "grid"  # grid, one_at_a_time, cumulative or fractional
    cells: int | None = None  # combinations of a fractional design; None is the smallest good number
    baseline_seeds: int | None = None  # of the baseline of one_at_a_time, which every comparison shares
    # What one_at_a_time and cumulative vary around and differences refer to, as 'optimizer=sgd augment=none'; for axes
    # that it leaves out, and when empty, the configuration's defaults, or of cumulative each axis's first level.
    baseline: str = ""
    # Sweeps of some combinations alone: conditions, a colon, sweeps, as 'optimizer=sgd: optimizer.lr=0.05,0.1'.
    when: list[str] = field(default_factory=list)
    zip: list[str] = field(default_factory=list)  # settings that move together, as 'optimizer.lr weight_decay.value'
    exclude: list[str] = field(default_factory=list)  # combinations left out, as 'backbone=effnet_b7 batch_size!=b64'
    tune_seeds: int = 1  # seeds with which each trial of tune.KEY=… is trained; the comparison has others
    trials: int | None = None  # how many trials to draw for each combination; None tries every value
    invalid: str = "refuse"  # or skip: run the others when some combinations are invalid
    metric: str = "test_accuracy"  # what the report compares
    # The smallest difference worth caring about, in the metric's unit; None is 0.3 percentage points.
    delta: float | None = None
    reference: ReferenceConfig | None = None  # an earlier study's answers, shown next to the new ones
    slots: int | None = None  # runs at once; None is the GPUs times runs_per_gpu, else what the CPU's cores allow
    runs_per_gpu: int = 1  # runs that share each GPU
    # Time without any sign of progress after which a run is ended as stalled, as 90s, 15m or 2h. Generous, as a run
    # may have to wait for a compiler; on by default, as a run that hangs would keep the study from ever ending.
    timeout: Duration = "30m"

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", self.name):
            raise ValueError(
                f"study.name={self.name!r} may hold letters, digits, '_', '.' and '-' only, at most 64, "
                "and starts with a letter or digit; study.root says where studies are kept"
            )
        one_of("study.design", self.design, DESIGNS)
        one_of("study.invalid", self.invalid, ("refuse", "skip"))
        if self.cells is not None:
            in_range("study.cells", self.cells, 1)
            if self.design != "fractional":
                raise ValueError("study.cells=N is read by study.design=fractional alone; leave it out")
        if self.baseline_seeds is not None:
            in_range("study.baseline_seeds", self.baseline_seeds, 1, 10_000)
            if self.design != "one_at_a_time":
                raise ValueError("study.baseline_seeds=N is read by study.design=one_at_a_time alone; leave it out")
        in_range("study.tune_seeds", self.tune_seeds, 1, 100)
        if self.trials is not None:
            in_range("study.trials", self.trials, 2, 10_000)
        self.metric = canonical(self.metric)
        one_of("study.metric", self.metric, METRICS)
        try:
            self.delta = smallest_difference(self.metric, self.delta)
        except ValueError as error:
            raise ValueError(f"study.metric={self.metric}: {error}") from None
        in_range("study.delta", self.delta, 0)
        if self.slots is not None:
            in_range("study.slots", self.slots, 1, 1024)
        in_range("study.runs_per_gpu", self.runs_per_gpu, 1, 1024)
        if self.timeout is not None:
            self.timeout = duration("study.timeout", self.timeout, 1)


AXES = tuple(axis.name for axis in dataclasses.fields(Axes))
HASHED_GROUPS = (*AXES, "data", "trainer")
# Only these may hold an environment variable: a secret must never reach a record in clear.
PATHS = ("backbone.weights", "data.path", "data.cache", "study.root")

DATA_SETS = ("embedded", "folder", "tiny_imagenet", "cifar10", "cifar100", "fashion_mnist")
PICTURES = ("folder", "tiny_imagenet")  # that lie in files of their own, as they came
FIXED_SIZE = dict.fromkeys(("embedded", "cifar10", "cifar100", "fashion_mnist"), 32)


@dataclass
class DataConfig:
    name: str = MISSING  # which data set
    size: int = MISSING  # side of the square images in pixels
    holdout: float = 0.1  # share of each training class held out; never trained on
    split_seed: int = 0  # draws the holdout; the same for all seeds
    # Side in pixels that the network sees, scaled on the device; None is as stored.
    resolution: int | None = field(default=None, metadata={"neutral": None})
    # Share of each class that is the test set, where the data come in one piece; None: they name it themselves.
    test_share: float | None = field(default=None, metadata={"neutral": None})
    background: str = field(default="white", metadata={"neutral": "white"})  # what transparent pictures are laid on
    path: str | None = field(default=None, metadata={"hashed": False})  # where the images lie; their content is hashed
    # Where decoded images and features are kept; null is ~/.cache/ablate.
    cache: str | None = field(default=None, metadata={"hashed": False})

    def __post_init__(self) -> None:
        one_of("data.name", self.name, DATA_SETS)
        fixed = FIXED_SIZE.get(self.name, self.size)
        if self.size != fixed:
            raise ValueError(
                f"data={self.name} holds images of {fixed} pixels; leave data.size={fixed} and give data.resolution=N"
            )
        if self.name == "folder" and self.path is None:
            raise ValueError("data=folder needs data.path=DIR, the folder that holds the images")
        if self.name == "embedded" and self.path is not None:
            raise NotRead(
                "data.path",
                f"data.path={self.path} has no effect with data=embedded, the images that ship with ablate; add "
                "data=folder for your own pictures",
            )
        if self.resolution is not None:
            in_range("data.resolution", self.resolution, 8, 4096)
            if self.resolution == self.size:
                self.resolution = None  # the same experiment
        in_range("data.size", self.size, 8, 4096)
        in_range("data.holdout", self.holdout, 0.001, 0.9)
        if self.test_share is not None:
            in_range("data.test_share", self.test_share, 0.001, 0.9)
            if self.name != "folder":
                raise NotRead(
                    "data.test_share", f"data.test_share is for data=folder; data={self.name} has its own test set"
                )
        self.background = self.background.lower()
        if not re.fullmatch(r"white|black|gray|#[0-9a-f]{6}", self.background):
            raise ValueError(f"data.background={self.background} must be white, black, gray or '#rrggbb'")
        if self.background != "white" and self.name not in PICTURES:
            raise NotRead(
                "data.background",
                f"data.background has no effect with data={self.name}, which has no transparent pictures",
            )


@dataclass
class TrainerConfig:
    # Passes over the training images; null with steps.
    epochs: int | None = field(default=3, metadata={"resolved": True})
    # Updates of the optimizer in the place of epochs, so that batch sizes are compared at equally many; null: epochs.
    steps: int | None = field(default=None, metadata={"neutral": None})
    channels_last: bool = True  # the memory layout NHWC, which is faster for most networks
    deterministic: bool = True  # use only algorithms that repeat to the bit
    label_smoothing: float = field(default=0.0, metadata={"neutral": 0.0})  # of the training loss alone
    clip_norm: float | None = field(default=None, metadata={"neutral": None})  # of all gradients together
    # Decay per step of a moving average of the weights, which is then what is evaluated and kept; 0 is off.
    ema: float = field(default=0.0, metadata={"neutral": 0.0})
    # fp32, or mixed: bf16, fp16 with loss scaling. What auto means is decided when a study is planned; without a plan
    # it is fp32.
    precision: str = field(default="fp32", metadata={"neutral": "fp32"})
    tf32: bool = field(default=False, metadata={"neutral": False})  # on NVIDIA's GPUs: faster and coarser products
    graph: bool = field(default=True, metadata={"hashed": False})  # on CUDA, steps as graphs where they give equal bits
    compile: bool = field(default=False, metadata={"neutral": False})  # by torch.compile; other bits, slow to start
    device: str = field(default="auto", metadata={"hashed": False})  # auto, cpu, mps, cuda or cuda:N
    threads: int = field(default=1, metadata={"hashed": False})  # CPU threads of a run; they change the last bits
    tensorboard: bool = field(default=True, metadata={"hashed": False})  # write files for TensorBoard
    # Whose final weights are kept: none, best (of the study, by holdout accuracy) or all.
    keep_weights: str = field(default="best", metadata={"hashed": False})
    checkpoint_every: int = field(default=1, metadata={"hashed": False})  # epochs between two checkpoints
    # Time between two checkpoints within an epoch, as 90s, 10m or 2h; null saves none there.
    checkpoint_time: Duration = field(default="10m", metadata={"hashed": False})

    def __post_init__(self) -> None:
        if self.steps is not None:
            in_range("trainer.steps", self.steps, 1)
            self.epochs = None
        elif self.epochs is None:
            raise ValueError("trainer.epochs=null needs trainer.steps=N")
        else:
            in_range("trainer.epochs", self.epochs, 1)
        in_range("trainer.threads", self.threads, 1)
        in_range("trainer.label_smoothing", self.label_smoothing, 0, 0.99)
        if self.clip_norm is not None:
            in_range("trainer.clip_norm", self.clip_norm, 1e-6)
        in_range("trainer.ema", self.ema, 0, 0.999999)
        one_of("trainer.precision", self.precision, ("auto", "fp32", "bf16", "fp16"))
        if self.precision == "auto":
            self.precision = "fp32"
        in_range("trainer.checkpoint_every", self.checkpoint_every, 1)
        if self.checkpoint_time is not None:
            self.checkpoint_time = duration("trainer.checkpoint_time", self.checkpoint_time)
        one_of("trainer.keep_weights", self.keep_weights, ("none", "best", "all"))
        if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", self.device):
            raise ValueError(f"trainer.device={self.device} is not one of auto, cpu, cuda, cuda:N, mps")


@dataclass
class Config(Axes):
    data: DataConfig = MISSING
    trainer: TrainerConfig = MISSING
    study: StudyConfig = MISSING
    seed: int = 0  # of the initial weights, the order of images, augmentation and dropout; seed=0,1,2 trains three
    seeds: int | None = None  # seeds=3 is short for seed=0,1,2
    force: bool = False  # train again what is done
    # true prints the plan and stops; measure also tries a few steps of each kind of run. OmegaConf has no unions.
    dry_run: Any = False
    retry: str = ""  # outcomes to train again: oom, diverged or both with a comma

    def __post_init__(self) -> None:
        in_range("seed", self.seed, 0, 2**31 - 1)
        if self.seeds is not None:
            in_range("seeds", self.seeds, 1, 10_000)
        if not isinstance(self.dry_run, bool) and self.dry_run != "measure":
            raise ValueError(f"dry_run={self.dry_run} must be true, false or measure")
        for outcome in self.retry.split(",") if self.retry else ():
            one_of("retry", outcome, ("oom", "diverged"))

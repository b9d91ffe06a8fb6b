"""How near the trainer comes to what its forward and backward passes alone would take.

    python -m benchmarks.step [--rounds 5] [--models NAME ...] [--ways WAY ...] [--json FILE]

The limit of a training is the time of its steps (forward, backward, optimizer) on one batch that lies ready as floats,
and of its evaluations' forward passes on another; the trainer also draws, loads, augments and normalises images, counts
hits, builds the network, hashes weights and checks them. Both in one process on one thread; in each round half of the
limit's epochs are timed before the trainer and half after it. A round in which the process waited for a core (wall over
CPU time above 1.1) is void. Best with a core to itself: `taskset -c 1 python -m benchmarks.step`.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from hydra import compose, initialize_config_dir
from torch import nn

import ablate.commands.hydra_app  # noqa: F401  registers the schema
from ablate.config.compose import config_folder, from_omegaconf
from ablate.config.schema import Config
from ablate.data.cache import Images
from ablate.data.datasets import holdout_split
from ablate.train.device import set_flags
from ablate.train.evaluate import EVALUATION_BATCH
from ablate.train.loop import train
from ablate.train.micro_batch import keep_freed_memory
from ablate.train.model import build
from ablate.train.optim import build_optimizer

VOID = 1.1
CLASSES, SIZE, BATCH = 20, 64, 64
# name -> (its settings, training images, epochs): some seconds a round on one core
MODELS = {
    "test_resnet": (("backbone=timm", "backbone.name=test_resnet"), 2560, 2),
    "resnet18": (("backbone=resnet18",), 960, 2),
    "efficientnet_b0": (("backbone=timm", "backbone.name=efficientnet_b0"), 960, 2),
}
WAYS = {
    "channels_last fp32": ("trainer.channels_last=true",),
    "contiguous fp32": ("trainer.channels_last=false",),
    "channels_last bf16": ("trainer.channels_last=true", "trainer.precision=bf16"),
}
ALWAYS = ("optimizer=sgd", f"batch_size=b{BATCH}", "augment=flip_crop", "scheduler=cosine", "trainer.device=cpu")


def config_of(*words: str) -> Config:
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return from_omegaconf(compose("config", [*ALWAYS, *words]))


def some_images(train: int) -> Images:
    """Noise in the shape of Tiny ImageNet's images: what they show costs nothing."""
    draw = np.random.default_rng(0)
    test = train // 5
    pixels = draw.integers(0, 256, (train + test, SIZE, SIZE, 3), dtype=np.uint8)
    labels = np.arange(train + test) % CLASSES
    classes = tuple(str(label) for label in range(CLASSES))
    return Images(classes, pixels[:train], labels[:train], pixels[train:], labels[train:], "noise")


class Bare:
    """Forward, backward and optimizer step alone, and the forward pass alone, in the layout and precision given."""

    def __init__(self, config: Config) -> None:
        set_flags(config.trainer)
        self.model: nn.Module = build(config.backbone, config.head, CLASSES, 0)
        layout = torch.channels_last if config.trainer.channels_last else torch.contiguous_format
        self.model.to(memory_format=layout)  # type: ignore[call-overload]
        self.optimizer = build_optimizer(config.optimizer, config.weight_decay, self.model, config.backbone)
        self.amp = torch.autocast("cpu", torch.bfloat16, enabled=config.trainer.precision == "bf16")
        self.network = nn.Sequential(self.model.backbone, self.model.head)  # type: ignore[arg-type]
        self.x = torch.randn(BATCH, 3, SIZE, SIZE).to(memory_format=layout)
        self.y = torch.arange(BATCH) % CLASSES
        self.seen = torch.randn(EVALUATION_BATCH, 3, SIZE, SIZE).to(memory_format=layout)

    def step(self) -> None:
        self.optimizer.zero_grad()
        with self.amp:
            logits = self.network(self.x).float()
        F.cross_entropy(logits, self.y).backward()
        self.optimizer.step()

    @torch.inference_mode()
    def evaluate(self, count: int) -> None:
        with self.amp:
            for first in range(0, count, EVALUATION_BATCH):
                self.network(self.seen[: count - first])

    def train(self, epochs: int, steps: int, evaluated: tuple[int, ...]) -> None:
        """As many steps and evaluations as a training takes, and nothing else."""
        for _ in range(epochs):
            self.network.train()
            for _ in range(steps):
                self.step()
            self.network.eval()
            for count in evaluated:
                self.evaluate(count)


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """(seconds, wall over CPU)."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return wall, wall / cpu


def measure(words: tuple[str, ...], train_images: int, epochs: int, rounds: int) -> dict[str, float]:
    """The medians over rounds: the limit's and the trainer's seconds, and the ratio of the two in one round."""
    config = config_of(*words, f"trainer.epochs={epochs}")
    images = some_images(train_images)
    trained, held = (len(part) for part in holdout_split(images, config.data))
    steps = trained // BATCH
    bare = Bare(config)
    evaluated = (held, len(images.test_labels))
    took: list[tuple[float, float]] = []
    void = 0
    for number in range(rounds + 1):
        parts = [
            timed(lambda: bare.train(epochs // 2, steps, evaluated)),
            timed(lambda: train(config, images, torch.device("cpu"), lambda _: None)),
            timed(lambda: bare.train(epochs - epochs // 2, steps, evaluated)),
        ]
        (before, ours, after), waited = zip(*parts, strict=True)
        if number == 0:
            continue  # warms up
        if max(waited) > VOID:
            void += 1
        else:
            took.append((before + after, ours))
    if not took:
        return {"void": void}
    return {
        "images_per_second": epochs * steps * BATCH / statistics.median(ours for _, ours in took),
        "limit_s": statistics.median(limit for limit, _ in took),
        "ours_s": statistics.median(ours for _, ours in took),
        "ratio": statistics.median(limit / ours for limit, ours in took),
        "void": void,
    }


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(prog="python -m benchmarks.step", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--models", nargs="*", default=list(MODELS), choices=list(MODELS), metavar="NAME")
    parser.add_argument("--ways", nargs="*", default=list(WAYS), choices=list(WAYS), metavar="WAY")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    keep_freed_memory()  # as every run does
    print(f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, one thread, {SIZE} px\n")
    print("| model | layout and precision | limit s | ours s | ratio | images/s, evaluation included | void |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    results = {}
    for model in options.models:
        words, images, epochs = MODELS[model]
        for way in options.ways:
            more = WAYS[way]
            found = results[f"{model}, {way}"] = measure((*words, *more), images, epochs, options.rounds)
            if "ratio" not in found:
                print(f"| {model} | {way} | – | – | – | – | {found['void']} |", flush=True)
                continue
            print(
                f"| {model} | {way} | {found['limit_s']:.2f} | {found['ours_s']:.2f} | {found['ratio']:.3f} | "
                f"{found['images_per_second']:.0f} | {found['void']} |",
                flush=True,
            )
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()

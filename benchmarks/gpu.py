"""Training on an NVIDIA GPU against what the card can do: the same steps as one CUDA graph.

    python -m benchmarks.gpu [--networks resnet18,resnet50,effnet_b0] [--size 64] [--batch 256] [--precision bf16]
                             [--augment flip_crop] [--seconds 2] [--rounds 3] [--images 20480] [--json FILE]
                             [--peers] [--workers N] [--device cuda]

Random pixels, so it needs neither data nor a network. Ways, in images per second, interleaved, medians: `trainer` is
the trainer's own epoch with augmentation and sums; `ready` repeats its step on one batch that is ready, without
augmentation and the loop; `eager` is that without graphs; `limit` is forward, backward and the optimizer's step alone
on that batch, all of it one CUDA graph.

--peers adds timm's way of training (benchmarks.peers.in_timm) on a folder of as many JPEGs, which it decodes in every
epoch by --workers processes, and what starting takes: the seconds of a whole command that trains one step and evaluates
some images, ours and timm's. --device=cpu tries the benchmark itself; no graphs are there, and its ratios say nothing.
"""

import argparse
import json
import math
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from hydra import compose, initialize_config_dir
from torch import nn

from ablate.config.compose import config_folder, from_omegaconf
from ablate.config.schema import Config
from ablate.data.cache import Images
from ablate.train.device import autocast, device_name, set_flags
from ablate.train.graph import WARM, own_stream, record
from ablate.train.inputs import in_advance
from ablate.train.loop import Split, Training
from ablate.train.model import build
from ablate.train.optim import build_optimizer
from benchmarks.loader import write_images
from benchmarks.peers.ways import run

CLASSES = 20
REPEATED = 20  # steps between two looks at the clock


def random_images(size: int, count: int) -> Images:
    """Pixels and labels that nothing can be learnt from."""
    draw = np.random.default_rng(0)
    pixels = draw.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    labels = np.arange(count) % CLASSES
    names = tuple(map(str, range(CLASSES)))
    return Images(names, pixels, labels, pixels[:1000], labels[:1000], "random")


def words_of(network: str, options: argparse.Namespace) -> list[str]:
    """What is trained, on our command line."""
    return [
        f"backbone={network}", f"augment={options.augment}", f"trainer.precision={options.precision}",
        f"batch_size.size={options.batch}", "backbone.pretrained=false", f"trainer.device={options.device}",
    ]  # fmt: skip


def config_of(words: list[str]) -> Config:
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return from_omegaconf(compose("config", words))


def ways(config: Config, images: Images, device: torch.device) -> dict[str, Callable[[], int]]:
    """{way: trains on some batches and returns how many images those were}."""
    split = Split.of(config, images)
    training = Training(config, images, split, device, lambda: None)
    plain = Training(config, images, split, device, lambda: None)
    plain.accumulate.why_not = "measured without"
    order = split.train_index[: split.steps * training.batch]
    for each in (training, plain):
        each.inputs.start(1)
        each.model.train()
    ready = next(in_advance(training.inputs, order, training.batch, training.at_once))

    def epoch() -> int:
        for chunks in in_advance(training.inputs, order, training.batch, training.at_once, training.ahead):
            training.step(chunks)
        return len(order)

    def repeated(step: Callable[[], object]) -> int:
        repeats = min(REPEATED, split.steps)
        for _ in range(repeats):
            step()
        return repeats * training.batch

    bare = limit(config, ready[0].x, ready[0].y)
    return {
        "trainer": epoch,
        "ready": lambda: repeated(lambda: training.step(ready)),
        "eager": lambda: repeated(lambda: plain.step(ready)),
        "limit": lambda: repeated(bare),
    }


def limit(config: Config, x: torch.Tensor, y: torch.Tensor) -> Callable[[], object]:
    """A bare step on a batch; on CUDA, all of it is replayed as one graph."""
    network: nn.Module = build(config.backbone, config.head, CLASSES, 0)
    network.to(device=x.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimizer = build_optimizer(config.optimizer, config.weight_decay, network, config.backbone)
    amp = autocast(x.device, config.trainer.precision)

    def step() -> None:
        optimizer.zero_grad()
        with amp:
            logits = network(x).float()
        F.cross_entropy(logits, y).backward()
        optimizer.step()

    if x.device.type != "cuda":
        return step
    for _ in range(WARM):
        step()
    for group in optimizer.param_groups:
        if "capturable" in group:
            group["capturable"] = True
    return record(step, None)[0]


def speed(way: Callable[[], int], seconds: float, device: torch.device) -> float:
    """Images per second, over at least so many seconds."""
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    wait()
    started, images = time.perf_counter(), 0
    while not images or time.perf_counter() - started < seconds:
        images += way()
        wait()
    return images / (time.perf_counter() - started)


def measured(config: Config, images: Images, options: argparse.Namespace) -> dict[str, float]:
    """{way: the median of its images per second}."""
    device = torch.device(options.device)
    set_flags(config.trainer)
    with own_stream(device):
        found = ways(config, images, device)
        for way in found.values():
            way()  # graphs are recorded in the first steps
        rounds = [
            {name: speed(way, options.seconds, device) for name, way in found.items()} for _ in range(options.rounds)
        ]
    return {name: statistics.median(each[name] for each in rounds) for name in found}


def by_timm(model: str, data: Path, epochs: int, options: argparse.Namespace) -> float:
    """Train in timm's way; return the images per second of the last epoch."""
    given = {"data": data, "model": model, "classes": CLASSES, "epochs": epochs} | {
        name: getattr(options, name) for name in ("batch", "size", "precision", "device", "workers")
    }
    told = run([sys.executable, "-m", "benchmarks.peers.in_timm", *(f"--{k}={v}" for k, v in given.items())], str(data))
    return float(re.findall(r"images/s (\S+)", told)[0])


def beside_peers(config: Config, network: str, options: argparse.Namespace) -> dict[str, float]:
    """timm's images per second, and the seconds of a command that trains one step, ours and timm's."""
    with tempfile.TemporaryDirectory() as folder:
        many, few = Path(folder) / "many", Path(folder) / "few"
        write_images(many, CLASSES, math.ceil(options.images / CLASSES), size=options.size)
        write_images(few, CLASSES, math.ceil(1.4 * options.batch / CLASSES), size=options.size)  # one step of each
        found = {"timm": by_timm(config.backbone.name, many, 2, options)}
        started = time.perf_counter()
        by_timm(config.backbone.name, few, 1, options)
        found["timm_start_s"] = time.perf_counter() - started
        words = ["data=folder", f"data.path={few}", f"data.size={options.size}", f"data.cache={folder}/cache"]
        started = time.perf_counter()
        run([sys.executable, "-m", "ablate", *words_of(network, options), *words, "trainer.epochs=1"], folder)
        found["start_s"] = time.perf_counter() - started
    return found


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__.splitlines()[0])
    parser.add_argument("--networks", default="resnet18,resnet50,effnet_b0")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--augment", default="flip_crop")
    parser.add_argument("--seconds", type=float, default=2, help="per network, way and round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=20_480)
    parser.add_argument("--peers", action="store_true", help="timm's way of training, and what starting takes")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)), help="that decode for timm")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        sys.exit("there is no NVIDIA GPU here; --device=cpu tries the benchmark itself")
    images = random_images(options.size, options.images)
    print(f"{device_name(torch.device(options.device))}, torch {torch.__version__}, {options.size} px, "
          f"batch {options.batch}, {options.precision}, augment={options.augment}; images/s\n")  # fmt: skip
    peers = ["timm", "trainer ÷ timm", "start s", "timm's start s"] if options.peers else []
    columns = ["network", "trainer", "ready", "eager", "limit", "trainer ÷ limit", "trainer ÷ eager", *peers]
    print(f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}")
    results = {}
    for network in options.networks.split(","):
        config = config_of([*words_of(network, options), "trainer.epochs=1000"])
        found = results[network] = measured(config, images, options)
        cells = [network, *(f"{value:,.0f}" for value in found.values())]
        cells += [f"{found['trainer'] / found[other]:.2f}" for other in ("limit", "eager")]
        if options.peers:
            found |= beside_peers(config, network, options)
            cells += [f"{found['timm']:,.0f}", f"{found['trainer'] / found['timm']:.2f}"]
            cells += [f"{found[name]:.1f}" for name in ("start_s", "timm_start_s")]
        print(f"| {' | '.join(cells)} |", flush=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""Training on an NVIDIA GPU, as it is, against the same steps on a batch that is ready, with and without CUDA graphs.

    python -m benchmarks.gpu [--networks resnet18,resnet50,effnet_b0] [--size 64] [--batch 256] [--precision bf16]
                             [--augment flip_crop] [--seconds 2] [--json FILE]

Random pixels of 200 classes, so it needs neither data nor a network. Ways, in images per second, interleaved:
`trainer` is the trainer's own epoch with augmentation and sums; `replayed` repeats its step on one batch that is ready,
which is the limit that augmentation and the loop leave nothing of; `eager` is that without graphs.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from hydra import compose, initialize_config_dir

from ablate.config.compose import config_folder, from_omegaconf
from ablate.config.schema import Config
from ablate.data.cache import Images
from ablate.train.device import set_flags
from ablate.train.graph import own_stream
from ablate.train.inputs import in_advance
from ablate.train.loop import Split, Training

ROUNDS = 3
CLASSES = 200


def random_images(size: int, count: int = 20_480) -> Images:
    """Pixels and labels that nothing can be learnt from."""
    draw = np.random.default_rng(0)
    pixels = draw.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    labels = np.arange(count) % CLASSES
    names = tuple(map(str, range(CLASSES)))
    return Images(names, pixels, labels, pixels[:1000], labels[:1000], "random")


def config_of(*words: str) -> Config:
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return from_omegaconf(compose("config", list(words)))


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

    def repeated(each: Training) -> int:
        for _ in range(20):
            each.step(ready)
        return 20 * each.batch

    return {"trainer": epoch, "replayed": lambda: repeated(training), "eager": lambda: repeated(plain)}


def speed(way: Callable[[], int], seconds: float) -> float:
    """Images per second, over at least so many seconds."""
    torch.cuda.synchronize()
    started, images = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        images += way()
        torch.cuda.synchronize()
    return images / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__.splitlines()[0])
    parser.add_argument("--networks", default="resnet18,resnet50,effnet_b0")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--augment", default="flip_crop")
    parser.add_argument("--seconds", type=float, default=2, help="per network, way and round")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("there is no NVIDIA GPU here")
    device, images = torch.device("cuda"), random_images(options.size)
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, {options.size} px, batch {options.batch}, "
          f"{options.precision}, augment={options.augment}; images/s")  # fmt: skip
    print(
        f"{'network':12} {'trainer':>10} {'replayed':>10} {'eager':>10} {'trainer/replayed':>17} {'trainer/eager':>14}"
    )
    results = {}
    for network in options.networks.split(","):
        config = config_of(
            f"backbone={network}", f"augment={options.augment}", f"trainer.precision={options.precision}",
            f"batch_size.size={options.batch}", "backbone.pretrained=false", "trainer.epochs=1000",
        )  # fmt: skip
        set_flags(config.trainer)
        with own_stream(device):
            found = ways(config, images, device)
            for way in found.values():
                way()  # graphs are recorded in the first steps
            rounds = [{name: speed(way, options.seconds) for name, way in found.items()} for _ in range(ROUNDS)]
        median = {name: statistics.median(each[name] for each in rounds) for name in found}
        results[network] = median
        trainer, replayed, eager = median["trainer"], median["replayed"], median["eager"]
        speeds = f"{network:12} {trainer:10,.0f} {replayed:10,.0f} {eager:10,.0f}"
        print(f"{speeds} {trainer / replayed:17.2f} {trainer / eager:14.2f}", flush=True)
        del found
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()

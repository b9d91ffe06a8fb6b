"""What safety costs: saving states and deterministic algorithms, as a share of training time.

    python -m benchmarks.costs [--rounds 5] [--json FILE]

The same training with each of them on and off, interleaved, one thread; medians over rounds of the ratio to the
plain training of the same round. Best run with a core to itself: `taskset -c 1 python -m benchmarks.costs`.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir

import ablate.cli  # noqa: F401  registers the schema
from ablate import checkpoint
from ablate.cache import Images
from ablate.checkpoint import Checkpoints
from ablate.compose import from_omegaconf
from ablate.config import Config
from ablate.data import load
from ablate.plan import config_folder
from ablate.train import train

# name -> the settings of a training of a few seconds
MODELS = {
    "test_resnet, 4 epochs of 28 steps": ("backbone=timm", "backbone.name=test_resnet", "trainer.epochs=4"),
    "resnet18, 1 epoch of 28 steps": ("backbone=resnet18", "trainer.epochs=1"),
}
ALWAYS = ("batch_size=b64", "data.holdout=0.5", "trainer.tensorboard=false")


def config_of(*words: str) -> Config:
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return from_omegaconf(compose("config", [*ALWAYS, *words]))


def seconds(config: Config, images: Images, path: Path | None = None) -> float:
    """The time of one training; with a path, that saves its state as its configuration says."""
    checkpoints = Checkpoints(path, config.trainer) if path is not None else None
    started = time.perf_counter()
    train(config, images, torch.device("cpu"), lambda _: None, None, checkpoints)
    return time.perf_counter() - started


def measure(words: tuple[str, ...], rounds: int, folder: Path) -> dict[str, float]:
    """{what is on: the median over rounds of its time, divided by that of the plain training beside it}."""
    plain = config_of(*words, "trainer.deterministic=false")
    images = load(plain.data)
    path = folder / "checkpoint.pt"
    ways: dict[str, Callable[[], float]] = {
        "plain": lambda: seconds(plain, images),
        "deterministic algorithms": lambda: seconds(config_of(*words), images),
        "states as by default": lambda: seconds(plain, images, path),
        "a state after every epoch": lambda: seconds(plain, images, path),
        "a state after every step": lambda: seconds(
            config_of(*words, "trainer.deterministic=false", "trainer.checkpoint_minutes=0"), images, path
        ),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    default = checkpoint.SPACING
    for number in range(rounds + 1):
        for name, way in ways.items():
            checkpoint.SPACING = 0.0 if name == "a state after every epoch" else default
            taken = way()
            if number:  # the first round warms up
                times[name].append(taken)
    checkpoint.SPACING = default
    ratios = {
        name: statistics.median(a / b for a, b in zip(taken, times["plain"], strict=True))
        for name, taken in times.items()
    }
    return ratios | {"plain seconds": statistics.median(times["plain"]), "a state's bytes": path.stat().st_size}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.costs", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for model, words in MODELS.items():
            results[model] = measure(words, options.rounds, Path(folder))
            size = results[model]["a state's bytes"]
            print(f"{model}: {results[model]['plain seconds']:.2f} s; a state is {size / 1e6:.1f} MB")
            for name, ratio in results[model].items():
                if name not in ("plain", "plain seconds", "a state's bytes"):
                    print(f"  {name:28} {100 * (ratio - 1):+6.1f} %")
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()

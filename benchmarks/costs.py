"""What safety and looking on cost: determinism, saved states, records, TensorBoard and progress, beside plain training.

    python -m benchmarks.costs [--rounds 5] [--json FILE]

The same training with each of them on and off, interleaved, one thread; medians over rounds of the difference to what
it is compared with in the same round. Records are all that a run leaves but TensorBoard's files, and the hashes of its
environment; they and TensorBoard's pictures come once a run, so that their share shrinks with its length. Best run
with a core to itself: `taskset -c 1 python -m benchmarks.costs`.
"""

import argparse
import json
import os
import pty
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, redirect_stderr
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir

import ablate.commands.hydra_app  # noqa: F401  registers the schema
from ablate.config.compose import config_folder, from_omegaconf
from ablate.config.schema import Config
from ablate.data.cache import Images
from ablate.data.datasets import load
from ablate.run.lifecycle import execute
from ablate.system import progress
from ablate.train import checkpoint
from ablate.train.checkpoint import Checkpoints
from ablate.train.loop import train
from benchmarks.plan import plan

# name -> the settings of a training of a few seconds
MODELS = {
    "test_resnet, 8 epochs of 28 steps": ("backbone=timm", "backbone.name=test_resnet", "trainer.epochs=8"),
    "resnet18, 2 epochs of 28 steps": ("backbone=resnet18", "trainer.epochs=2"),
}
ALWAYS = ("batch_size=b64", "data.holdout=0.5", "trainer.device=cpu", "trainer.deterministic=false")
# What is compared with plain training, unless with another named here.
COMPARED_WITH = {"TensorBoard": "records"}


def config_of(*words: str) -> Config:
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return from_omegaconf(compose("config", [*ALWAYS, *words]))


def seconds(config: Config, images: Images, path: Path | None = None) -> float:
    """The time of one training; with a path, that saves its state as its configuration says."""
    checkpoints = Checkpoints(path, config.trainer) if path is not None else None
    started = time.perf_counter()
    train(config, images, torch.device("cpu"), lambda _: None, checkpoints)
    return time.perf_counter() - started


def of_a_run(words: tuple[str, ...], images: Images) -> float:
    """The time of one whole run, which leaves all that a run leaves."""
    with tempfile.TemporaryDirectory() as root, open(os.devnull, "w") as nowhere, redirect_stderr(nowhere):
        _, (run,) = plan(root, [*ALWAYS, *words])
        started = time.perf_counter()
        assert execute(run, images) == "DONE"
        return time.perf_counter() - started


@contextmanager
def watched() -> Iterator[None]:
    """As a launcher does it: the run tells its progress into a pipe."""
    reading, writing = os.pipe()
    try:
        progress.watched_by(writing)
        yield
    finally:
        progress._watcher = None
        os.close(reading)
        os.close(writing)


@contextmanager
def in_a_terminal() -> Iterator[None]:
    """A terminal for the errors' stream, and somebody who reads it."""
    reading, writing = pty.openpty()

    def read() -> None:
        try:
            while os.read(reading, 65536):
                pass
        except OSError:
            pass  # closed

    reader = threading.Thread(target=read)
    reader.start()
    try:
        with closing(os.fdopen(writing, "w")) as terminal, redirect_stderr(terminal):
            assert sys.stderr.isatty()
            yield
    finally:
        reader.join()
        os.close(reading)


def looked_at(how: Callable[[], AbstractContextManager[None]], work: Callable[[], float]) -> float:
    with how():
        return work()


def measure(words: tuple[str, ...], rounds: int, folder: Path) -> dict[str, dict[str, float]]:
    """{what is on: its seconds, the seconds it adds, and their share of the plain training beside it}: medians."""
    plain = config_of(*words)
    images = load(plain.data)
    path = folder / "checkpoint.pt"
    default = checkpoint.SPACING

    def after_every_epoch() -> float:
        checkpoint.SPACING = 0.0
        try:
            return seconds(plain, images, path)
        finally:
            checkpoint.SPACING = default

    ways: dict[str, Callable[[], float]] = {
        "plain": lambda: seconds(plain, images),
        "deterministic algorithms": lambda: seconds(config_of(*words, "trainer.deterministic=true"), images),
        "states as by default": lambda: seconds(plain, images, path),
        "a state after every epoch": after_every_epoch,
        "a state after every step": lambda: seconds(config_of(*words, "trainer.checkpoint_time=0"), images, path),
        "progress told to a launcher": lambda: looked_at(watched, lambda: seconds(plain, images)),
        "a progress bar in a terminal": lambda: looked_at(in_a_terminal, lambda: seconds(plain, images)),
        "records": lambda: of_a_run((*words, "trainer.tensorboard=false"), images),
        "TensorBoard": lambda: of_a_run(words, images),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            taken = way()
            if number:  # the first round warms up
                times[name].append(taken)
    found = {}
    for name, taken_all in times.items():
        base = times[COMPARED_WITH.get(name, "plain")]
        added = [a - b for a, b in zip(taken_all, base, strict=True)]
        shares = [a / b for a, b in zip(added, times["plain"], strict=True)]
        found[name] = {
            "seconds": statistics.median(taken_all),
            "added_s": statistics.median(added),
            "share": statistics.median(shares),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.costs", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    results = {}
    print("| training | what is on | seconds | it adds, s | of plain training |\n| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for model, words in MODELS.items():
            results[model] = measure(words, options.rounds, Path(folder))
            for name, it in results[model].items():
                print(
                    f"| {model} | {name} | {it['seconds']:.2f} | {it['added_s']:+.2f} | {100 * it['share']:+.1f} % |",
                    flush=True,
                )
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()

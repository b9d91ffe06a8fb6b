"""What a report costs: seconds and peak memory for studies of several sizes.

    python -m benchmarks.report [--runs 10 100 1000 10000] [--epochs 10] [--json FILE]

Synthetic runs, written by the record's own writers. cold: no index; warm: the study as the last report left it; one
more: a run has been added since. Each in a process of its own, whose peak memory is measured; gather is the part
until the tables stand. Starting Python and importing the report are in the CPU's seconds alone.
"""

import argparse
import json
import multiprocessing
import os
import resource
import tempfile
import time
from itertools import islice, product
from pathlib import Path
from typing import Any

import numpy as np

from ablate.records import files
from ablate.records.run_folder import METRIC_COLUMNS, RunFolder
from ablate.report import write
from ablate.report.analysis import analyse
from ablate.report.study import gather, index

AXES = {"backbone": 5, "optimizer": 4, "batch_size": 5, "augment": 5, "head": 4}
SEEDS = 5
CLASSES = [f"class {number}" for number in range(10)]


def write_run(folder: Path, number: int, levels: dict[str, str], seed: int, epochs: int) -> str:
    """One finished run with metrics and confusion counts; returns its signature."""
    draw = np.random.default_rng(number)
    signature = f"{number:012x}"
    place = RunFolder(folder / f"run-s{seed}-{signature}")
    accuracy = 0.7 + 0.02 * sum(int(level[1:]) for level in levels.values()) / 5 + 0.003 * draw.standard_normal()
    metrics = {"test_accuracy": accuracy, "test_loss": 1 - accuracy, "holdout_accuracy": accuracy + 0.01,
               "best_holdout_accuracy": accuracy + 0.01, "best_holdout_epoch": epochs,
               "best_holdout_test_accuracy": accuracy}  # fmt: skip
    packages = dict.fromkeys(("torch", "timm", "numpy", "hydra-core", "torchvision"), "1.2.3")
    files.write_json(place.record, {
        "state": "DONE", "signature": signature, "levels": levels, "seed": seed, "metrics": metrics, "error": None,
        "command": "python -m ablate -m …", "weights_sha256": f"{number:064x}", "seconds": 60 + draw.random(),
        "epochs": epochs, "epochs_done": epochs, "deviations": [],
        "environment": {"cpu": "a CPU", "device": "cpu", "threads": 1, "packages": packages, "code": {"commit": "c"}},
        "data": {"name": "synthetic", "train_images": 9, "test_images": 1000, "classes": CLASSES, "fingerprint": "f"},
    })  # fmt: skip
    place.write_metrics(dict.fromkeys(METRIC_COLUMNS, accuracy) | {"epoch": e} for e in range(1, epochs + 1))
    counts = np.full((10, 10), 1) + 90 * np.eye(10, dtype=int)
    place.confusion.mkdir()
    for epoch in (1, epochs):
        np.savetxt(place.confusion / f"epoch_{epoch:04d}.csv", counts, fmt="%d", delimiter=",")
    return signature


def write_study(folder: Path, runs: int, epochs: int) -> None:
    """A grid of five axes, or its first combinations, with five seeds each. Syncing is left out: it is not read."""
    os.fsync = lambda _: None
    cells: dict[tuple[str, ...], dict[str, Any]] = {}
    places = product(*([f"l{i}" for i in range(n)] for n in AXES.values()), range(SEEDS))
    for number, place in enumerate(islice(places, runs)):
        levels = dict(zip(AXES, map(str, place[:-1]), strict=True))
        seed = int(place[-1])
        cell = cells.setdefault(tuple(levels.values()), {"levels": levels, "runs": {}})
        cell["runs"][str(seed)] = write_run(folder, number, levels, seed, epochs)
    axes = {axis: sorted({cell["levels"][axis] for cell in cells.values()}) for axis in AXES}
    plan = {"name": folder.name, "design": "grid", "metric": "test_accuracy", "cells": list(cells.values()),
            "axes": {axis: levels for axis, levels in axes.items() if len(levels) > 1}, "seeds": list(range(SEEDS)),
            "amendments": []}  # fmt: skip
    files.write_json(folder / "study.json", plan)


def measure(folder: Path, sender: Any) -> None:
    """Report the study once, and send the seconds of gathering, of all, of the CPU, and peak memory (MB)."""
    started = time.perf_counter()
    study = gather.load(folder)
    gathered = time.perf_counter() - started
    write.write(analyse(study))
    seconds = time.perf_counter() - started
    sender.send((gathered, seconds, time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def apart(folder: Path) -> tuple[float, float, float, float]:
    """measure, in a fresh process."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=measure, args=(folder, sender))
    process.start()
    sender.close()
    found: tuple[float, float, float, float] = receiver.recv()
    process.join()
    return found


def add_one(folder: Path, number: int, epochs: int) -> None:
    """One more run of the first combination: another seed."""
    plan = files.read_json(folder / "study.json")
    cell = plan["cells"][0]
    cell["runs"][str(SEEDS)] = write_run(folder, number, cell["levels"], SEEDS, epochs)
    files.write_json(folder / "study.json", plan)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, nargs="+", default=[10, 100, 1000, 10_000])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = []
    print(f"{'runs':>7} {'':<9} {'gather s':>9} {'report s':>9} {'CPU s':>8} {'peak MB':>8}")
    with tempfile.TemporaryDirectory() as root:
        for runs in arguments.runs:
            folder = Path(root) / f"of{runs}"
            write_study(folder, runs, arguments.epochs)
            time.sleep(2.1)  # younger files are not taken into the index
            for name in ("cold", "warm", "one more"):
                if name == "one more":
                    add_one(folder, runs, arguments.epochs)
                    time.sleep(2.1)
                gathered, seconds, of_cpu, peak = apart(folder)
                rows.append(
                    {"runs": runs, "state": name, "gather": gathered, "report": seconds, "cpu": of_cpu, "peak_mb": peak}
                )
                print(f"{runs:>7} {name:<9} {gathered:9.2f} {seconds:9.2f} {of_cpu:8.2f} {peak:8.0f}", flush=True)
            print(f"{'':>7} index {(folder / index.NAME).stat().st_size / 1e6:.1f} MB, "
                  f"page {(folder / 'report' / 'report.html').stat().st_size / 1e6:.1f} MB")  # fmt: skip
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()

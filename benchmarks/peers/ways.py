"""The ways to train a study of 8 runs, and what each has to print to prove that it did the work."""

import csv
import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

import timm

from benchmarks.peers.recipe import EVALUATED_AT_ONCE, MOMENTUM, SIZE, WEIGHT_DECAY
from benchmarks.peers.work import BATCH, Work

ROOT = Path(__file__).parents[2]
CORES = sorted(os.sched_getaffinity(0))
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
Way = Callable[[Work, str], None]  # trains the study in a folder


def run(command: Sequence[str], folder: str, core: int | None = None) -> str:
    """Run to the end; return what it printed. Stops the benchmark when it fails."""
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env=ENVIRONMENT,
        preexec_fn=None if core is None else lambda: os.sched_setaffinity(0, {core}),
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.stdout + done.stderr


def one_per_core(commands: Sequence[Sequence[str]], folder: str) -> list[str]:
    free: SimpleQueue[int] = SimpleQueue()
    for core in CORES:
        free.put(core)

    def next_one(command: Sequence[str]) -> str:
        core = free.get()
        try:
            return run(command, folder, core)
        finally:
            free.put(core)

    with ThreadPoolExecutor(len(CORES)) as pool:
        return list(pool.map(next_one, commands))


def check(work: Work, told: Sequence[str]) -> None:
    """Whether peers did as many steps and evaluated as many images as the work asks for."""
    counts = [tuple(map(int, found)) for text in told for found in re.findall(r"steps (\d+) evaluated (\d+)", text)]
    assert counts == [(work.steps, work.epochs * sum(work.evaluated))] * len(work.runs), counts


def ours(work: Work, folder: str) -> None:
    run([sys.executable, "-m", "ablate", "-m", *work.words(), f"data.cache={folder}/cache"], folder)
    check_ours(work, folder)


def ours_alone(work: Work, folder: str) -> None:
    """One run, in the process of the command."""
    run([sys.executable, "-m", "ablate", *work.words(), f"data.cache={folder}/cache"], folder)
    check_ours(work, folder)


def check_ours(work: Work, folder: str) -> None:
    folders = [path.parent for path in Path(folder).glob("outputs/main/*/record.json")]
    entries = [json.loads((path / "record.json").read_text()) for path in folders]
    assert len(entries) == len(work.runs)
    assert {entry["initial_weights_sha256"] for entry in entries} == work.initial_sha256
    assert {(entry["state"], entry["epochs_done"]) for entry in entries} == {("DONE", work.epochs)}
    rows = [row for path in folders for row in csv.DictReader((path / "metrics.csv").read_text().splitlines())]
    # An accuracy is a count of images over those seen, so this many times it are whole ones.
    seen = {"train": BATCH * work.steps // work.epochs, "holdout": work.evaluated[0], "test": work.evaluated[1]}
    for part, images in seen.items():
        hits = [images * float(row[f"{part}_accuracy"]) for row in rows]
        assert all(abs(count - round(count)) < 1e-6 for count in hits), (part, hits)


def numbers(workers: int, work: Work) -> dict[str, int]:
    return {"epochs": work.epochs, "batch": BATCH, "classes": work.classes, "workers": workers}


def plain(workers: int, work: Work, folder: str) -> None:
    always = [f"--data={work.split}", f"--model={work.model}"]
    always += [f"--{k}={v}" for k, v in numbers(workers, work).items()]
    commands = [
        [sys.executable, "-m", "benchmarks.peers.plain", *always, f"--lr={rate}", f"--seed={seed}",
         f"--initial={work.initial / f'{seed}.pt'}"]
        for rate, seed in work.runs
    ]  # fmt: skip
    check(work, one_per_core(commands, folder))


def in_lightning(workers: int, work: Work, folder: str) -> None:
    always = [f"data={work.split}", f"initial={work.initial}", f"model={work.model}",
              *(f"{k}={v}" for k, v in numbers(workers, work).items())]  # fmt: skip
    sweep = ["hydra/launcher=joblib", f"hydra.launcher.n_jobs={len(CORES)}", *work.sweep("lr")]
    check(work, [run([sys.executable, "-m", "benchmarks.peers.in_lightning", "-m", *always, *sweep], folder)])


def by_timm(workers: int, script: Path, work: Work, folder: str) -> None:
    """timm's training script, whose sgd is Nesterov's, as ours is."""
    expects = timm.get_pretrained_cfg(work.model)
    assert expects is not None
    always = [
        f"--data-dir={work.split}", "--val-split=val", f"--model={work.model}", f"--num-classes={work.classes}",
        "--input-size", "3", str(SIZE), str(SIZE),
        "--mean", *map(str, expects.mean), "--std", *map(str, expects.std),
        f"--epochs={work.epochs}", f"-b={BATCH}", f"-vb={EVALUATED_AT_ONCE}", "--crop-pct=1.0",
        "--opt=sgd", f"--momentum={MOMENTUM}", f"--weight-decay={WEIGHT_DECAY}",
        "--sched=step", "--decay-epochs=100", "--warmup-epochs=0", "--color-jitter=0",
        # It cannot pad and crop. This neither rescales nor moves an image: less work than the others do.
        "--train-crop-mode=rkrc", "--scale", "1", "1", "--ratio", "1", "1",
        "--channels-last", "--device=cpu", f"-j={workers}", f"--output={folder}", "--checkpoint-hist=1",
        "--log-interval=1",
    ]  # fmt: skip
    commands = [
        [sys.executable, str(script), *always, f"--lr={rate}", f"--seed={seed}", f"--experiment={rate}-{seed}",
         f"--initial-checkpoint={work.initial / f'{seed}.pt'}"]
        for rate, seed in work.runs
    ]  # fmt: skip
    for told in one_per_core(commands, folder):
        steps = re.findall(r"Train: \d+ \[ *\d+/\d+", told)
        assert len(set(steps)) == work.steps, steps[-3:]
        # It tells no number of images, but of batches, in each epoch from 0 to the last.
        tests = re.findall(r"Test: +\[ *(\d+)/(\d+)\]", told)
        last = math.ceil(sum(work.evaluated) / EVALUATED_AT_ONCE) - 1
        assert tests == [(str(i), str(last)) for i in range(last + 1)] * work.epochs, tests

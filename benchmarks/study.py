"""One study of 8 runs, two learning rates by four seeds: ours against what people use, on the same work.

    pip install -e '.[peers]' && python -m benchmarks.study [--rounds 5] [--models NAME ...] [--timm FILE] [--json FILE]

Every peer begins with our networks' initial weights, takes as many steps of as many images, and evaluates as many
images after every epoch, all of which is asserted from what each prints. Each has what makes it fastest here: channels
last, as many runs at once as there are cores (timm's script and the plain loop one process per run, each kept to a
core; Lightning by Hydra's joblib launcher), loading in the process itself (its workers would share the core), and
neither logs nor checkpoints. Ours keeps its defaults: records, hashes, TensorBoard, deterministic kernels; and it
decodes the images anew in each round, which a second study would not.

The limit is the bare forward, backward and optimizer steps of the 8 runs and the forward passes of their evaluations,
on batches that lie ready, as many at once as there are cores, without the start of the processes. A round in which
other processes took more than a tenth of the machine is void.

timm's training script is in its repository alone: it is fetched for the installed version, or given by --timm.
"""

import argparse
import csv
import json
import math
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

import lightning
import timm
import torch

from benchmarks.peers.recipe import EVALUATED_AT_ONCE, MOMENTUM, SIZE, WEIGHT_DECAY
from benchmarks.step import Bare
from benchmarks.work import BATCH, RATES, SEEDS, Work, prepare

ROOT = Path(__file__).parent.parent
CORES = sorted(os.sched_getaffinity(0))
OTHERS = 0.1  # of the machine: more makes a round void
# model -> (classes, training and validation images of each, epochs)
MODELS = {"test_resnet": (20, 250, 50, 2), "resnet18": (20, 60, 12, 1), "efficientnet_b0": (20, 60, 12, 1)}
Way = Callable[[Work, str], None]  # trains the study in a folder
RUNS = [(rate, seed) for rate in RATES for seed in SEEDS]
TIMM = "https://raw.githubusercontent.com/huggingface/pytorch-image-models/v{version}/train.py"
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


# -- the ways ---------------------------------------------------------------------------------


def run(command: Sequence[str], folder: str, core: int | None = None) -> str:
    """Run to the end; return what it printed. Stops the benchmark when it fails."""
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env=ENVIRONMENT | {"XDG_CACHE_HOME": folder},
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
    assert counts == [(work.steps, work.epochs * sum(work.evaluated))] * len(RUNS), counts


def ours(work: Work, folder: str) -> None:
    run([sys.executable, "-m", "ablate", "-m", *work.words()], folder)
    folders = [path.parent for path in Path(folder).glob("outputs/main/*/record.json")]
    entries = [json.loads((path / "record.json").read_text()) for path in folders]
    assert len(entries) == len(RUNS)
    assert {entry["initial_weights_sha256"] for entry in entries} == work.initial_sha256
    assert {(entry["state"], entry["epochs_done"]) for entry in entries} == {("DONE", work.epochs)}
    # Each epoch's accuracy is a count of images over steps × batch, so this many times it are whole ones.
    seen = BATCH * work.steps // work.epochs
    rows = [row for path in folders for row in csv.DictReader((path / "metrics.csv").read_text().splitlines())]
    hits = [seen * float(row["train_accuracy"]) for row in rows]
    assert all(abs(count - round(count)) < 1e-6 for count in hits), hits


def numbers(work: Work) -> dict[str, int]:
    return {"epochs": work.epochs, "batch": BATCH, "classes": work.classes, "workers": 0}


def plain(work: Work, folder: str) -> None:
    always = [f"--data={work.split}", f"--model={work.model}", *(f"--{k}={v}" for k, v in numbers(work).items())]
    commands = [
        [sys.executable, "-m", "benchmarks.peers.plain", *always, f"--lr={rate}", f"--seed={seed}",
         f"--initial={work.initial / f'{seed}.pt'}"]
        for rate, seed in RUNS
    ]  # fmt: skip
    check(work, one_per_core(commands, folder))


def in_lightning(work: Work, folder: str) -> None:
    always = [f"data={work.split}", f"initial={work.initial}", f"model={work.model}",
              *(f"{k}={v}" for k, v in numbers(work).items())]  # fmt: skip
    sweep = ["hydra/launcher=joblib", f"hydra.launcher.n_jobs={len(CORES)}", f"lr={','.join(RATES)}",
             f"seed={','.join(map(str, SEEDS))}"]  # fmt: skip
    check(work, [run([sys.executable, "-m", "benchmarks.peers.in_lightning", "-m", *always, *sweep], folder)])


def by_timm(script: Path) -> Way:
    def whole(work: Work, folder: str) -> None:
        expects = timm.get_pretrained_cfg(work.model)
        assert expects is not None
        always = [
            f"--data-dir={work.split}", "--val-split=val", f"--model={work.model}", f"--num-classes={work.classes}",
            "--input-size", "3", str(SIZE), str(SIZE),
            "--mean", *map(str, expects.mean), "--std", *map(str, expects.std),
            f"--epochs={work.epochs}", f"-b={BATCH}", f"-vb={EVALUATED_AT_ONCE}", "--crop-pct=1.0",
            "--opt=sgd", f"--momentum={MOMENTUM}", f"--weight-decay={WEIGHT_DECAY}",
            "--sched=step", "--decay-epochs=100", "--warmup-epochs=0", "--train-crop-mode=rkrc", "--color-jitter=0",
            "--channels-last", "--device=cpu", "-j=0", f"--output={folder}", "--checkpoint-hist=1",
            "--log-interval=1",
        ]  # fmt: skip
        commands = [
            [sys.executable, str(script), *always, f"--lr={rate}", f"--seed={seed}", f"--experiment={rate}-{seed}",
             f"--initial-checkpoint={work.initial / f'{seed}.pt'}"]
            for rate, seed in RUNS
        ]  # fmt: skip
        for told in one_per_core(commands, folder):
            steps = re.findall(r"Train: \d+ \[ *\d+/\d+", told)
            assert len(set(steps)) == work.steps, steps[-3:]
            evaluated = re.findall(r"Test: \[ *\d+/\d+", told)
            assert len(evaluated) == work.epochs * math.ceil(sum(work.evaluated) / EVALUATED_AT_ONCE), evaluated

    return whole


def bare(work: Work, folder: str) -> tuple[float, float]:
    """(wall, CPU) seconds of computing alone: each core's share of the runs, one after the other."""
    place = Path(folder) / "work.json"
    of_epoch = work.steps // work.epochs
    share = [len(RUNS) // len(CORES) + (i < len(RUNS) % len(CORES)) for i in range(len(CORES))]
    place.write_text(json.dumps([work.model, work.epochs, of_epoch, work.evaluated, str(work.images)]))
    commands = [[sys.executable, "-m", "benchmarks.study", f"--bare={place}", f"--runs={runs}"] for runs in share]
    took = [json.loads(told.splitlines()[-1]) for told in one_per_core(commands, folder)]
    return max(wall for wall, _ in took), sum(cpu for _, cpu in took)


def bare_runs(place: Path, runs: int) -> None:
    from benchmarks.work import common, config_of

    model, epochs, steps, evaluated, images = json.loads(place.read_text())
    config = config_of(common(model, epochs, Path(images)))
    wall = cpu = 0.0
    for _ in range(runs):
        this = Bare(config)
        wall, cpu = wall - time.perf_counter(), cpu - time.process_time()
        this.train(epochs, steps, tuple(evaluated))
        wall, cpu = wall + time.perf_counter(), cpu + time.process_time()
    print(json.dumps([wall, cpu]))


# -- measuring --------------------------------------------------------------------------------


def busy() -> float:
    """Seconds that all cores together have worked, or waited for the host that they run on, since the start."""
    user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def measured(way: Way, work: Work) -> tuple[float, float, float]:
    """(wall seconds, CPU seconds, the share of the machine that others took)."""
    with tempfile.TemporaryDirectory() as folder:
        before, busy_before, started = resource.getrusage(resource.RUSAGE_CHILDREN), busy(), time.perf_counter()
        way(work, folder)
        wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return wall, cpu, (busy() - busy_before - cpu) / (wall * (os.cpu_count() or 1))


def compare(work: Work, ways: dict[str, Way], rounds: int) -> dict[str, dict[str, float]]:
    """{way: medians of wall and CPU seconds, and how many rounds were void}."""
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in [*ways, "limit"]}
    void = dict.fromkeys(took, 0)
    for _ in range(rounds):
        for name, way in ways.items():
            wall, cpu, others = measured(way, work)
            if others > OTHERS:
                void[name] += 1
            else:
                took[name].append((wall, cpu))
        with tempfile.TemporaryDirectory() as folder:
            took["limit"].append(bare(work, folder))
    return {
        name: {
            "wall_s": statistics.median(wall for wall, _ in all_rounds) if all_rounds else float("nan"),
            "cpu_s": statistics.median(cpu for _, cpu in all_rounds) if all_rounds else float("nan"),
            "void": void[name],
        }
        for name, all_rounds in took.items()
    }


def script_of_timm(given: Path | None, folder: Path) -> Path | str:
    """Where timm's training script is, or why there is none."""
    if given is not None:
        return given.absolute()
    try:
        with urllib.request.urlopen(TIMM.format(version=timm.__version__), timeout=30) as answer:
            (folder / "train.py").write_bytes(answer.read())
    except OSError as error:
        return f"its script cannot be fetched ({error}); give it by --timm"
    return folder / "train.py"


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(prog="python -m benchmarks.study", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--models", nargs="*", default=list(MODELS), choices=list(MODELS), metavar="NAME")
    parser.add_argument("--timm", type=Path, metavar="FILE", help="timm's train.py")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--bare", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--runs", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare:
        return bare_runs(options.bare, options.runs)
    results = {}
    with tempfile.TemporaryDirectory() as name:
        script = script_of_timm(options.timm, Path(name))
        ways: dict[str, Way] = {"ours": ours, "plain loop, ImageFolder": plain}
        ways[f"Lightning {lightning.__version__}, Hydra -m, joblib"] = in_lightning
        if isinstance(script, Path):
            ways[f"timm {timm.__version__} train.py"] = by_timm(script)
        else:
            print(f"timm's train.py is left out: {script}")
        print(f"torch {torch.__version__}, {len(CORES)} cores, {options.rounds} rounds, medians; 8 runs")
        for model in options.models:
            work = prepare(Path(name) / model, model, *MODELS[model])
            found = results[model] = compare(work, ways, options.rounds)
            images = f"{BATCH * work.steps // work.epochs} images × {work.epochs} epochs"
            print(f"\n{model}, {images} a run, {sum(work.evaluated)} evaluated after each\n")
            print("| what | wall s | against ours | CPU s | against ours | limit ÷ CPU | limit ÷ wall | void |")
            print("| --- | --- | --- | --- | --- | --- | --- | --- |")
            mine, limit = found["ours"], found["limit"]
            for way, it in found.items():
                print(
                    f"| {way} | {it['wall_s']:.1f} | {it['wall_s'] / mine['wall_s']:.2f} | {it['cpu_s']:.1f} | "
                    f"{it['cpu_s'] / mine['cpu_s']:.2f} | {limit['cpu_s'] / it['cpu_s']:.3f} | "
                    f"{limit['wall_s'] / it['wall_s']:.3f} | {it['void']} |", flush=True,
                )  # fmt: skip
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")
    return None


if __name__ == "__main__":
    main()

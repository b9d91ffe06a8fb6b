"""One study of 8 runs, two learning rates by four seeds: ours against what people use, on the same work.

    pip install -e '.[peers]'
    python -m benchmarks.study [--rounds 5] [--models NAME ...] [--ways WAY ...] [--timm FILE] [--json FILE]
    python -m benchmarks.study --start ...    one run of one step instead: what starting takes

Every peer begins with our networks' initial weights, takes as many steps of as many images, and evaluates as many
images after every epoch, all of which is asserted from what each prints. Each has what makes it fastest here: channels
last, as many runs at once as there are cores (timm's script and the plain loop one process per run, each kept to a
core; Lightning by Hydra's joblib launcher), loading in the process itself (its workers would share the core;
--workers tries them), and neither logs nor checkpoints. timm's script differs: it writes a checkpoint per epoch and
cannot be told not to; it cannot pad and crop, so it mirrors alone; and it spares biases and norms of weight decay.
Ours keeps its defaults: records, hashes, TensorBoard, deterministic kernels; and it decodes the images anew in each
round, which a second study would not.

The limit is the bare forward, backward and optimizer steps of the 8 runs and the forward passes of their evaluations,
on batches that lie ready, as many at once as there are cores, without the start of the processes. What was measured
while other processes took more than a tenth of the machine is void, the limit too.

timm's training script is in its repository alone: it is fetched for the installed version, or given by --timm.
"""

import argparse
import json
import os
import resource
import statistics
import tempfile
import time
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path

import lightning
import timm
import torch

from benchmarks.peers.limit import bare
from benchmarks.peers.ways import CORES, Way, by_timm, in_lightning, ours, ours_alone, plain
from benchmarks.peers.work import BATCH, RUNS, Work, prepare

OTHERS = 0.1  # of the machine: more makes a round void
# model -> (classes, training and validation images of each, epochs)
MODELS = {"test_resnet": (20, 250, 50, 2), "resnet18": (20, 60, 12, 1), "efficientnet_b0": (20, 60, 12, 1)}
ONE_STEP = (2, 40, 5, 1)
TIMM = "https://raw.githubusercontent.com/huggingface/pytorch-image-models/v{version}/train.py"
LIMIT = "bare compute (the limit)"
Limit = Callable[[Work, str], tuple[float, float]]  # tells its own wall and CPU seconds


def busy() -> float:
    """Seconds that all cores together have worked, or waited for the host that they run on, since the start."""
    user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def measured(way: Way | Limit, work: Work) -> tuple[float, float, float]:
    """(wall seconds, CPU seconds, the share of the machine that others took)."""
    with tempfile.TemporaryDirectory() as folder:
        before, busy_before, started = resource.getrusage(resource.RUSAGE_CHILDREN), busy(), time.perf_counter()
        told = way(work, folder)
        wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        others = (busy() - busy_before - cpu) / (wall * (os.cpu_count() or 1))
    return (*(told or (wall, cpu)), others)  # the limit tells its own seconds, without its start


def compare(work: Work, ways: dict[str, Way | Limit], rounds: int) -> dict[str, dict[str, float]]:
    """{way: medians of wall and CPU seconds, and how many rounds were void}."""
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            wall, cpu, others = measured(way, work)
            if others <= OTHERS:
                took[name].append((wall, cpu))
    return {
        name: {
            "wall_s": statistics.median(wall for wall, _ in kept) if kept else float("nan"),
            "cpu_s": statistics.median(cpu for _, cpu in kept) if kept else float("nan"),
            "void": rounds - len(kept),
        }
        for name, kept in took.items()
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
    parser.add_argument("--models", nargs="*", choices=list(MODELS), metavar="NAME")
    parser.add_argument("--ways", nargs="*", choices=("ours", "plain", "lightning", "timm", "bare"), metavar="WAY")
    parser.add_argument("--timm", type=Path, metavar="FILE", help="timm's train.py")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--workers", type=int, default=0, help="loading processes of each of the peers' runs")
    parser.add_argument("--start", action="store_true", help="one run of one step")
    options = parser.parse_args()
    sizes, runs = (dict.fromkeys(MODELS, ONE_STEP), RUNS[:1]) if options.start else (MODELS, RUNS)
    results = {}
    with tempfile.TemporaryDirectory() as name:
        script = script_of_timm(options.timm, Path(name))
        workers = options.workers
        of_timm = f"timm {timm.__version__} train.py"
        ways: dict[str, Way | Limit] = {"ours": ours}
        if options.start:
            ways["ours, without -m"] = ours_alone
        ways |= {"plain loop, ImageFolder": partial(plain, workers)}
        ways[f"Lightning {lightning.__version__}, Hydra -m, joblib"] = partial(in_lightning, workers)
        if isinstance(script, Path):
            ways[of_timm] = partial(by_timm, workers, script)
        if not options.start:  # it has none
            ways[LIMIT] = bare
        if options.ways:
            ways = {way: run for way, run in ways.items() if way.split()[0].lower().rstrip(",") in options.ways}
        print(f"torch {torch.__version__}, {len(CORES)} cores, {options.rounds} rounds, medians; {len(runs)} runs")
        for model in options.models or sizes:
            work = prepare(Path(name) / model, model, *sizes[model], runs)
            found = results[model] = compare(work, ways, options.rounds)
            images = f"{BATCH * work.steps // work.epochs} images × {work.epochs} epochs"
            print(f"\n{model}, {images} a run, {sum(work.evaluated)} evaluated after each\n")
            print("| what | wall s | ours ÷ it | limit ÷ it | CPU s | ours ÷ it | limit ÷ it | void |")
            print("| --- | --- | --- | --- | --- | --- | --- | --- |")
            for way, it in found.items():
                mine, limit = (
                    [f"{found[other][kind] / it[kind]:.3f}" if other in found else "–" for kind in ("wall_s", "cpu_s")]
                    for other in ("ours", LIMIT)
                )
                print(
                    f"| {way} | {it['wall_s']:.1f} | {mine[0]} | {limit[0]} | "
                    f"{it['cpu_s']:.1f} | {mine[1]} | {limit[1]} | {it['void']} |", flush=True,
                )  # fmt: skip
            if isinstance(script, str):
                print(f"| {of_timm} | not available: {script} | – | – | – | – | – | – |", flush=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()

"""Wall time of one study of 8 runs by our launcher, Hydra's basic one and its joblib plugin, on this machine.

    pip install -e '.[peers]' && python -m benchmarks.launchers [--rounds N] [--json FILE]

Interleaved, so that what else the machine does touches all alike; medians. All train the same runs to the same bits,
which is checked; each pays its own start, one thread per run.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
LAUNCHERS = {
    "study (ours)": ["hydra/launcher=study"],
    "basic (Hydra)": ["hydra/launcher=basic"],
    "joblib (Hydra's plugin)": ["hydra/launcher=joblib", f"hydra.launcher.n_jobs={CORES}"],
}
STUDY = (
    "backbone=timm", "backbone.name=test_resnet", "trainer.epochs=2", "trainer.tensorboard=false", "trainer.device=cpu",
    "optimizer=sgd", "optimizer.lr=0.1,0.01", "seeds=4",
)  # fmt: skip


def once(words: list[str]) -> tuple[float, float, dict[str, str]]:
    """Train the study anew; return wall seconds, CPU seconds and the hash of every run's weights."""
    with tempfile.TemporaryDirectory() as folder:
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "ablate", *STUDY, *words], cwd=folder, capture_output=True, text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": folder},
        )  # fmt: skip
        seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode:
            sys.exit(f"{' '.join(words)} failed:\n{done.stdout}{done.stderr}")
        entries = [json.loads(path.read_text()) for path in Path(folder).glob("outputs/main/*/record.json")]
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, cpu, {entry["signature"]: entry["weights_sha256"] for entry in entries}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.launchers", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    walls: dict[str, list[float]] = {name: [] for name in LAUNCHERS}
    cpus: dict[str, list[float]] = {name: [] for name in LAUNCHERS}
    weights: list[dict[str, str]] = []
    for _ in range(options.rounds):
        for name, words in LAUNCHERS.items():
            wall, cpu, hashes = once(words)
            walls[name].append(wall)
            cpus[name].append(cpu)
            weights.append(hashes)
    assert all(hashes == weights[0] and len(hashes) == 8 for hashes in weights), "not the same runs"
    medians = {name: statistics.median(values) for name, values in walls.items()}
    print(f"8 runs on {CORES} cores, {options.rounds} rounds, medians; the same weights in all\n")
    print("| launcher | wall s | against ours | CPU s |\n| --- | --- | --- | --- |")
    ours = next(iter(medians.values()))
    for name, wall in medians.items():
        print(f"| {name} | {wall:.1f} | {wall / ours:.2f} | {statistics.median(cpus[name]):.1f} |")
    if options.json:
        options.json.write_text(json.dumps({"cores": CORES, "wall": walls, "cpu": cpus}, indent=2) + "\n")


if __name__ == "__main__":
    main()

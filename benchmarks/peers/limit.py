"""The limit of a study: its runs' bare steps and forward passes, as many runs at once as there are cores.

`python -m benchmarks.peers.limit FILE RUNS` computes one core's share, one run after the other; the study calls it.
"""

import json
import sys
import time
from pathlib import Path

from ablate.train.micro_batch import keep_freed_memory
from benchmarks.peers.ways import CORES, one_per_core
from benchmarks.peers.work import Work, common, config_of
from benchmarks.step import Bare


def bare(work: Work, folder: str) -> tuple[float, float]:
    """(wall, CPU) seconds of computing alone, without the start of the processes."""
    place = Path(folder) / "work.json"
    of_epoch = work.steps // work.epochs
    runs = len(work.runs)
    share = [runs // len(CORES) + (i < runs % len(CORES)) for i in range(len(CORES))]
    place.write_text(json.dumps([work.model, work.epochs, of_epoch, work.evaluated, str(work.images)]))
    commands = [[sys.executable, "-m", "benchmarks.peers.limit", str(place), str(runs)] for runs in share]
    took = [json.loads(told.splitlines()[-1]) for told in one_per_core(commands, folder)]
    return max(wall for wall, _ in took), sum(cpu for _, cpu in took)


def main() -> None:
    place, runs = Path(sys.argv[1]), int(sys.argv[2])
    model, epochs, steps, evaluated, images = json.loads(place.read_text())
    config = config_of(common(model, epochs, Path(images)))
    keep_freed_memory()  # as every run of ours does
    wall = cpu = 0.0
    for _ in range(runs):
        this = Bare(config)
        wall, cpu = wall - time.perf_counter(), cpu - time.process_time()
        this.train(epochs, steps, tuple(evaluated))
        wall, cpu = wall + time.perf_counter(), cpu + time.process_time()
    print(json.dumps([wall, cpu]))


if __name__ == "__main__":
    main()

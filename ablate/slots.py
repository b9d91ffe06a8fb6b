"""How many runs a machine trains at once, and what each of them sees of it. No torch."""

import os
import shutil
import subprocess
from collections.abc import Sequence

from ablate.plan import PlannedRun


def slots(runs: Sequence[PlannedRun]) -> list[dict[str, str]]:
    """The environment variables of each slot: with GPUs, which one it sees; at most as many slots as runs."""
    study = runs[0].config.study
    device = runs[0].config.trainer.device
    gpus = visible_gpus() if device in ("auto", "cuda") else []
    if gpus:
        every = [{"CUDA_VISIBLE_DEVICES": gpu} for _ in range(study.runs_per_gpu) for gpu in gpus]
    elif device.startswith(("cuda", "mps")):
        every = [{} for _ in range(study.runs_per_gpu)]
    else:
        threads = max(run.config.trainer.threads for run in runs)
        every = [{} for _ in range(max(1, cores() // threads))]
    wanted = min(len(runs), study.slots or len(every))
    return [every[i % len(every)] for i in range(wanted)]


def cores() -> int:
    """The CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def visible_gpus() -> list[str]:
    """NVIDIA's GPUs, as CUDA_VISIBLE_DEVICES names them; asked without CUDA, which a forking process must not start."""
    if (chosen := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [gpu for gpu in chosen.split(",") if gpu and gpu != "-1"]
    if shutil.which("nvidia-smi") is None:
        return []
    query = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    try:
        return subprocess.run(query, capture_output=True, text=True, timeout=30, check=True).stdout.split()
    except (OSError, subprocess.SubprocessError):
        return []

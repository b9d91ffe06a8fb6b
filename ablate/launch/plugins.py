"""Planned runs handed to whichever of Hydra's launchers is configured."""

import importlib
import sys
from collections.abc import Sequence
from typing import Any

from ablate.plan.planned_run import PlannedRun

# {what a plugin's configuration names: our module and the class that submits by it}
CLUSTERS = {
    "hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher": ("ablate.launch.slurm", "Queue"),
    "hydra_plugins.hydra_ray_launcher.ray_launcher.RayLauncher": ("ablate.launch.ray_tasks", "Tasks"),
}


def launch(launcher: Any, target: str, runs: Sequence[PlannedRun]) -> None:
    """Train the runs by a launcher whose configuration names `target`: as jobs of a cluster, else as it does itself."""
    if target in CLUSTERS:
        from ablate.launch import cluster

        module, name = CLUSTERS[target]
        cluster.launch(launcher, runs, getattr(importlib.import_module(module), name))
        return
    for run in runs:
        run.folder().path.mkdir(parents=True, exist_ok=True)  # under the name that the study has for it
    results = launcher.launch([list(run.overrides) for run in runs], initial_job_idx=0)
    for run, result in zip(runs, results, strict=True):
        if isinstance(result._return_value, Exception):  # a run that could not even write its record
            print(f"ablate: {run.label}: {result._return_value}", file=sys.stderr)

"""Runs as tasks of Ray, configured and started by Hydra's plugin for it."""

import os
from collections.abc import Sequence
from typing import Any

from hydra.core.singleton import Singleton
from omegaconf import DictConfig, OmegaConf, open_dict

from ablate.plan.planned_run import PlannedRun

RETRIES = 2  # of a run whose worker or node is lost, as of a killed one on this machine


class Tasks:
    """One task of Ray per run. Not by the plugin's own launch(), which ends with the first task that is lost.

    Raises ValueError when Ray cannot be reached or started.
    """

    def __init__(self, launcher: Any, runs: Sequence[PlannedRun]) -> None:
        import ray
        from hydra_plugins.hydra_ray_launcher._launcher_util import launch_job_on_ray, start_ray

        try:
            start_ray(beginning(launcher.ray_cfg.init))
        except (ConnectionError, RuntimeError) as error:
            raise ValueError(f"Ray cannot be reached or started: {' '.join(str(error).split())}") from None
        remote = {"max_retries": RETRIES, "max_calls": 1, "num_cpus": max(run.config.trainer.threads for run in runs)}
        if ray.cluster_resources().get("GPU", 0) >= 1:
            remote["num_gpus"] = 1
        options = OmegaConf.merge(remote, launcher.ray_cfg.remote)
        self.tasks: dict[Any, int] = {}
        for place, run in enumerate(runs):
            composed = launcher.hydra_context.config_loader.load_sweep_config(launcher.config, list(run.overrides))
            with open_dict(composed):
                composed.hydra.job.id, composed.hydra.job.num = f"run_{place}", place
                composed.hydra.sweep.dir = str(run.study.absolute())  # a worker may begin in any folder
            task = launch_job_on_ray(
                launcher.hydra_context, options, composed, launcher.task_function, Singleton.get_state()
            )
            self.tasks[task] = place
        self.ended: dict[int, str] = {}

    def over(self) -> dict[int, str]:
        import ray

        if self.tasks:
            ready, _ = ray.wait(list(self.tasks), num_returns=len(self.tasks), timeout=0)
            self.ended |= {self.tasks.pop(task): how_it_ended(task) for task in ready}
        return self.ended

    def waiting(self) -> str:
        return ""  # Ray says only what is over

    def cancel(self) -> None:
        """Leave Ray, which ends the workers; their runs notice and save. What ray.cancel raises there is not heard."""
        import ray

        self.ended |= dict.fromkeys(self.tasks.values(), "cancelled")
        self.tasks.clear()
        ray.shutdown()


def beginning(init: DictConfig) -> Any:
    """The plugin's settings of ray.init, quiet and, where Ray is started here, without memory for objects of ours."""
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": "WARNING"}
    if not init.get("address") and "RAY_ADDRESS" not in os.environ:
        settings |= {"object_store_memory": 80 * 2**20, "include_dashboard": False}
    return OmegaConf.merge(settings, init)


def how_it_ended(task: Any) -> str:
    """What there is to say of a task that is over, should its run not have said it."""
    import ray

    try:
        returned = ray.get(task)._return_value
    except ray.exceptions.RayError as error:
        return f"lost by Ray: {str(error).splitlines()[0]}"
    return f"its task on Ray left no result{f': {returned}' if isinstance(returned, Exception) else ''}"

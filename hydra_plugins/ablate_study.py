"""Hydra's door to the study: Hydra 1.3 accepts sweepers and launchers from this namespace only.

Imported whenever any Hydra application starts, so nothing heavy is imported here.
"""

import shlex
import sys
from collections.abc import Sequence
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


class StudySweeper(Sweeper):
    """Plans the runs of a study and hands those that are to be trained to Hydra's launcher."""

    def __init__(self, params: dict[str, str] | None = None) -> None:
        self.params = params or {}  # sweeps that a preset names, as Hydra's basic sweeper has them
        self.hydra_context: HydraContext | None = None
        self.config: DictConfig | None = None
        self.launcher: Launcher | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context = hydra_context
        self.config = config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        """Plan the study and train it. Exits with 1 unless every planned run is DONE."""
        planned = self.plan(arguments)
        from ablate.commands.sweep import sweep  # and what trains; what is wrong with a plan is said before

        planned.command = shlex.join(["python", "-m", "ablate", *sys.argv[1:]])
        if not sweep(planned, self.launch, elsewhere=self.on_a_cluster()):
            sys.exit(1)

    def plan(self, arguments: Sequence[str]) -> Any:
        """A study as its preset and the arguments plan it. Raises ValueError or HydraException."""
        from ablate.plan.planner import plan_study

        assert self.hydra_context is not None and self.config is not None
        preset = [f"{axis}={levels}" for axis, levels in self.params.items()]
        return plan_study(self.hydra_context.config_loader, self.config, preset, arguments)

    def on_a_cluster(self) -> bool:
        """Whether the launcher of the configuration trains on other machines than this."""
        from ablate.launch.plugins import CLUSTERS

        assert self.config is not None
        return self.config.hydra.launcher._target_ in CLUSTERS

    def launch(self, runs: Sequence[Any]) -> None:
        """Train planned runs by the launcher of the configuration."""
        assert self.config is not None and self.launcher is not None
        OmegaConf.update(self.config, "study.name", runs[0].config.study.name)  # Hydra's launchers read folders there
        if isinstance(self.launcher, StudyLauncher):
            self.launcher.launch_planned(runs)
        else:
            from ablate.launch import plugins

            plugins.launch(self.launcher, self.config.hydra.launcher._target_, runs)


class StudyLauncher(Launcher):
    """Trains planned runs on this machine, each in a process of its own."""

    def __init__(self) -> None:
        self.config: DictConfig | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:  # noqa: ARG002
        self.config = config

    def launch_planned(self, runs: Sequence[Any]) -> None:
        """Train what StudySweeper has planned; composing every run again, as launch() would, takes longer than some."""
        from ablate.launch.local import launch

        assert self.config is not None
        launch(runs, {name: str(value) for name, value in self.config.hydra.job.env_set.items()})

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:  # noqa: ARG002
        raise ValueError("hydra/launcher=study trains what hydra/sweeper=study plans; give another launcher as well")


ConfigStore.instance().store(
    group="hydra/launcher",
    name="study",
    node={"_target_": f"{__name__}.StudyLauncher"},
    provider="ablate",
)
ConfigStore.instance().store(
    group="hydra/sweeper",
    name="study",
    node={"_target_": f"{__name__}.StudySweeper", "params": None},
    provider="ablate",
)

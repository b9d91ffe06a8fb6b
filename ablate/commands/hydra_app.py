"""A sweep's command line: Hydra's, with users' mistakes answered in one sentence."""

import os
import signal
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import hydra
from hydra.conf import HydraConf
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from ablate.config.checks import did_you_mean
from ablate.config.compose import NO_SETTINGS, UNREADABLE, check_own, config_folder, explain, field_paths
from ablate.config.schema import Config
from ablate.config.words import for_hydra
from ablate.launch.forkserver import CannotStart
from hydra_plugins.ablate_study import StudyLauncher, StudySweeper

# What Hydra, its launchers or the study read of its own settings; the rest is about folders that are not made here.
READ_OF_HYDRA = (
    "hydra.launcher", "hydra/launcher", "hydra.job.env_set", "hydra.searchpath", "hydra.verbose", "hydra.mode",
    "hydra/sweeper", "hydra.sweeper", "hydra/job_logging", "hydra.job_logging", "hydra/hydra_logging",
    "hydra.hydra_logging", "hydra.callbacks", "hydra/callbacks", "hydra/help", "hydra.help", "hydra/env",
)  # fmt: skip

WITH_A_VALUE = ("--config-dir", "-cd", "--config-path", "-cp", "--config-name", "-cn", "--cfg", "-c", "--package", "-p")
WAYS = (
    "--multirun", "-m", "--run", "-r", "--cfg", "-c", "--info", "-i", "--shell-completion", "-sc",
    "--help", "-h", "--hydra-help", "--version",
)  # fmt: skip
FLAGS = ("--resolve", "--experimental-rerun")
OTHER_WAY = "{} trains outside of a study, without a plan; remove it"

ConfigStore.instance().store(name="schema", node=Config)
# From an editable install Hydra's own search does not find the plugins.
Plugins.instance().register(StudySweeper)
Plugins.instance().register(StudyLauncher)


@hydra.main(config_path=str(config_folder()), config_name="config", version_base="1.3")
def app(composed: DictConfig) -> str:
    """What Hydra's own launchers call for each run that a study has planned. Raises ValueError outside of a study."""
    refuse_other_ways_in(HydraConfig.get())
    from ablate.launch import forkserver  # torch is first needed here

    forkserver.preload()
    from ablate.run.lifecycle import run_job

    return run_job(composed, HydraConfig.get())


def main(arguments: Sequence[str]) -> int:
    """Run Hydra. Returns 0 when every planned run is DONE, 1 when one is not, 2 and one line for a user's mistake,
    128 + the signal when interrupted."""
    wants_traceback = os.environ.get("HYDRA_FULL_ERROR") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # hand exceptions to us rather than print and exit with 1
    try:
        sys.argv[1:] = options_first(for_hydra(arguments))  # where Hydra reads them
        refuse_repeated(arguments)
        refuse_unread(arguments)
        for folder in own_folders(sys.argv[1:]):
            check_own(folder)
        app()
        sys.stdout.flush()
    except KeyboardInterrupt as error:
        print("ablate: interrupted; the same command continues with the rest", file=sys.stderr)
        return 128 + getattr(error, "number", int(signal.SIGINT))  # as a shell says it
    except CannotStart as error:
        print(f"ablate: {error}", file=sys.stderr)
        return 1
    except (ValueError, HydraException, OmegaConfBaseException, *UNREADABLE) as error:
        of_the_system = isinstance(error, OSError) and not isinstance(error, HydraException)
        if wants_traceback or (of_the_system and NO_SETTINGS not in str(error)):
            raise
        print(f"ablate: {explain(error)}", file=sys.stderr)
        return 2
    return 0


def options_first(arguments: Sequence[str]) -> list[str]:
    """The same command with its options in front, which Hydra does not find behind or between settings.

    Raises ValueError for an option that Hydra does not have.
    """
    options, settings, words = [], [], list(arguments)
    while words:
        word = words.pop(0)
        if not word.startswith("-"):
            settings.append(word)
            continue
        name = word.partition("=")[0]
        if name not in (*WITH_A_VALUE, *WAYS, *FLAGS):
            key = name.lstrip("-").replace("-", "_")
            no_dashes = f"; write settings without dashes, as in {key}=VALUE"
            meant = no_dashes if key in field_paths() else did_you_mean(name, (*WITH_A_VALUE, *WAYS, *FLAGS))
            raise ValueError(f"there is no option {name}{meant}")
        options.append(word)
        if word in WITH_A_VALUE and words:
            options.append(words.pop(0))
    # Said here and not left to hydra.mode, which Hydra takes for RUN when it cannot compose, and then says only that.
    way = [] if any(option.partition("=")[0] in WAYS for option in options) else ["--multirun"]
    return [*way, *options, *settings]


def own_folders(words: Sequence[str]) -> list[Path]:
    """The folders of configurations that the command brings."""
    apart = [second for first, second in pairwise(words) if first in ("--config-dir", "-cd")]
    joined = [word.partition("=")[2] for word in words if word.startswith("--config-dir=")]
    return [Path(folder) for folder in (*apart, *joined)]


def refuse_other_ways_in(hydra: HydraConf) -> None:
    """Raise ValueError where Hydra would train without a plan: dry_run, seeds and all of study.* would be dropped."""
    if hydra.mode != RunMode.MULTIRUN:
        raise ValueError(OTHER_WAY.format("hydra.mode=RUN"))
    if hydra.sweeper._target_ != f"{StudySweeper.__module__}.{StudySweeper.__qualname__}":
        raise ValueError(OTHER_WAY.format(f"hydra/sweeper={hydra.runtime.choices['hydra/sweeper']}"))


def refuse_unread(arguments: Sequence[str]) -> None:
    """Raise ValueError for settings of Hydra's that nothing here reads, before Hydra makes folders by them."""
    for argument in arguments:
        key, _, value = argument.lstrip("+~").partition("=")
        if not key.startswith(("hydra.", "hydra/")):
            continue
        if (key == "hydra.mode" and value != "MULTIRUN") or (key == "hydra/sweeper" and value != "study"):
            raise ValueError(OTHER_WAY.format(f"{key}={value}"))
        if not key.startswith(READ_OF_HYDRA):
            raise ValueError(f"{key} has no effect: a study lies in study.root/study.name, with a folder for each run")


def refuse_repeated(arguments: Sequence[str]) -> None:
    """Raise ValueError where Hydra would silently keep the last: one key given twice, seeds and seed."""
    keys = [a.partition("=")[0].lstrip("+~") for a in arguments if "=" in a and not a.startswith("-")]
    for key in keys:
        if keys.count(key) > 1:
            raise ValueError(f"{key} is given twice; list all its values once, as in {key}=A,B")
    if "seeds" in keys and "seed" in keys:
        raise ValueError("give seeds=N or seed=A,B, not both")

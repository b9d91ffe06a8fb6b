"""A sweep's command line: Hydra's, with users' mistakes answered in one sentence."""

import os
import signal
import sys
from collections.abc import Sequence

import hydra
from hydra.conf import HydraConf
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from ablate.commands.arguments import OTHER_WAY, own_folders
from ablate.config.compose import NO_SETTINGS, UNREADABLE, check_own, config_folder, explain
from ablate.config.schema import Config
from ablate.system.signals import CannotStart
from hydra_plugins.ablate_levels import LevelSource
from hydra_plugins.ablate_study import StudyLauncher, StudySweeper

ConfigStore.instance().store(name="schema", node=Config)
# From an editable install Hydra's own search does not find the plugins.
Plugins.instance().register(LevelSource)
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


def main(words: Sequence[str]) -> int:
    """Run Hydra with a command's settled words.

    Returns 0 when every planned run is DONE, 1 when one is not, 2 and one line for a user's mistake, 128 + the signal
    when interrupted.
    """
    wants_traceback = os.environ.get("HYDRA_FULL_ERROR") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # hand exceptions to us rather than print and exit with 1
    try:
        for folder in own_folders(words):
            check_own(folder)
        sys.argv[1:] = words  # where Hydra reads them
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


def refuse_other_ways_in(hydra: HydraConf) -> None:
    """Raise ValueError where Hydra would train without a plan: dry_run, seeds and all of study.* would be dropped."""
    if hydra.mode != RunMode.MULTIRUN:
        raise ValueError(OTHER_WAY.format("hydra.mode=RUN"))
    if hydra.sweeper._target_ != f"{StudySweeper.__module__}.{StudySweeper.__qualname__}":
        raise ValueError(OTHER_WAY.format(f"hydra/sweeper={hydra.runtime.choices['hydra/sweeper']}"))

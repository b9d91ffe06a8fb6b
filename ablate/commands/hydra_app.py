"""A sweep's command line: Hydra's, with users' mistakes answered in one sentence."""

import os
import signal
import sys
from collections.abc import Sequence

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from ablate.config.compose import config_folder, explain
from ablate.config.schema import Config
from hydra_plugins.ablate_study import StudyLauncher, StudySweeper

ConfigStore.instance().store(name="schema", node=Config)
# From an editable install Hydra's own search does not find the plugins.
Plugins.instance().register(StudySweeper)
Plugins.instance().register(StudyLauncher)


@hydra.main(config_path=str(config_folder()), config_name="config", version_base="1.3")
def app(composed: DictConfig) -> str:
    """What Hydra's own launchers call for each run."""
    from ablate.launch import forkserver  # torch is first needed here

    forkserver.preload()
    from ablate.run.lifecycle import run_job

    return run_job(composed, HydraConfig.get())


def main(arguments: Sequence[str]) -> int:
    """Run Hydra. Returns 0 when every planned run is DONE, 1 when one is not, 2 and one line for a user's mistake,
    128 + the signal when interrupted."""
    wants_traceback = os.environ.get("HYDRA_FULL_ERROR") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # hand exceptions to us rather than print and exit with 1
    sys.argv[1:] = arguments  # where Hydra reads them
    try:
        refuse_repeated(arguments)
        app()
        sys.stdout.flush()
    except KeyboardInterrupt as error:
        print("ablate: interrupted; the same command continues with the rest", file=sys.stderr)
        return 128 + getattr(error, "number", int(signal.SIGINT))  # as a shell says it
    except (ValueError, HydraException, OmegaConfBaseException) as error:
        if wants_traceback:
            raise
        print(f"ablate: {explain(error)}", file=sys.stderr)
        return 2
    return 0


def refuse_repeated(arguments: Sequence[str]) -> None:
    """Raise ValueError where Hydra would silently keep the last: one key given twice, seeds and seed."""
    keys = [a.partition("=")[0].lstrip("+~") for a in arguments if "=" in a and not a.startswith("-")]
    for key in keys:
        if keys.count(key) > 1:
            raise ValueError(f"{key} is given twice; list all its values once, as in {key}=A,B")
    if "seeds" in keys and "seed" in keys:
        raise ValueError("give seeds=N or seed=A,B, not both")

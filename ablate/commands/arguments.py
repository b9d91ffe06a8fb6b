"""A command's words: its options and its settings, as Hydra is to read them, or why they cannot be meant.

Nothing here imports Hydra, so that a slip is answered before that is loaded.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from ablate.config import hints
from ablate.config.words import for_hydra

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


def settled(arguments: Sequence[str]) -> list[str]:
    """A command's words as Hydra reads them: options first, then settings. Raises ValueError for what is wrong."""
    options, settings = options_and_settings(arguments)
    if {"-sc", "--shell-completion"} & set(options):  # its words are not settings: install=bash
        return [*options, *settings]
    elsewhere = any(option.partition("=")[0] in ("--config-path", "-cp") for option in options)
    settings = for_hydra(settings, own_folders(options), elsewhere=elsewhere)
    refuse_repeated(settings)
    refuse_unread(settings)
    return [*options, *settings]


def options_and_settings(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """A command's options, which Hydra does not find behind or between settings, and its settings.

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
            following = words[0] if words and "=" not in words[0] and not words[0].startswith("-") else ""
            raise ValueError(hints.unknown_option(word, following, (*WITH_A_VALUE, *WAYS, *FLAGS)))
        options.append(word)
        if word in WITH_A_VALUE and words:
            options.append(words.pop(0))
    # Said here and not left to hydra.mode, which Hydra takes for RUN when it cannot compose, and then says only that.
    way = [] if any(option.partition("=")[0] in WAYS for option in options) else ["--multirun"]
    return [*way, *options], settings


def own_folders(words: Sequence[str]) -> list[Path]:
    """The folders of configurations that the command brings."""
    apart = [second for first, second in pairwise(words) if first in ("--config-dir", "-cd")]
    joined = [word.partition("=")[2] for word in words if word.startswith("--config-dir=")]
    return [Path(folder) for folder in (*apart, *joined)]


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

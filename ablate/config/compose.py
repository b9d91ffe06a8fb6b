"""From what Hydra composed to a validated Config, and what went wrong in one sentence."""

import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from hydra.errors import ConfigCompositionException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, MissingMandatoryValue, OmegaConfBaseException
from yaml import AliasEvent, MarkedYAMLError, YAMLError

from ablate.config import hints, levels, renamed
from ablate.config.schema import PATHS, Config
from ablate.config.words import explain_unreadable

LARGEST = 1 << 20  # bytes of a recorded configuration
NODES = 1_000_000  # of a user's own configuration, with what it repeats counted as often as it is repeated
NO_SETTINGS = "Invalid loaded object type"  # OmegaConf's words for a file that holds one value
# What Hydra lets through where a file of a user's own is no configuration.
UNREADABLE = (YAMLError, OSError, RecursionError, UnicodeError, OverflowError)
LAUNCHERS = {"submitit_slurm": "slurm", "ray": "ray"}  # those that an extra brings


def from_omegaconf(composed: DictConfig) -> Config:
    """Turn a composed configuration (without Hydra's own node) into a validated Config.

    Raises ValueError, in one sentence, for an unknown key, a wrong type or a value out of range.
    """
    with _one_sentence():
        _refuse_environment(OmegaConf.to_container(composed, resolve=False))
        # Merging into a fresh schema refuses what `+key=value` slipped past Hydra.
        plain = renamed.recorded(OmegaConf.to_container(composed, resolve=True))
        return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Config), plain))  # type: ignore[return-value]


def read_config(path: Path) -> Config:
    """Read a run's config.yaml. Raises ValueError when it cannot be read, and as from_omegaconf."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST:
            raise ValueError(f"{path} is no configuration")
        text = path.read_text()
        # Expanded, a few lines that repeat each other may take more memory than there is.
        if any(isinstance(event, AliasEvent) for event in yaml.parse(text)):
            raise ValueError(f"{path} repeats parts of itself, as no recorded configuration does")
        composed = OmegaConf.create(text)
    except (OSError, YAMLError, UnicodeDecodeError, RecursionError, OmegaConfBaseException) as error:
        raise ValueError(f"{path} cannot be read: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(composed, DictConfig):
        raise ValueError(f"{path} cannot be read: it holds no settings")
    _refuse_resolvers(path, OmegaConf.to_container(composed, resolve=False))
    return from_omegaconf(composed)


def check_own(folder: Path) -> None:
    """Raise ValueError for a YAML file in a folder of configurations whose repetitions would fill the memory."""
    for path in sorted(folder.rglob("*.yaml")):
        try:
            documents = list(yaml.compose_all(path.read_text(), yaml.SafeLoader))
        except UNREADABLE:
            continue  # named when it is asked for; a folder may hold other files too
        if sum(_nodes(document, {}) for document in documents) > NODES:
            raise ValueError(f"{path} repeats parts of itself more than {NODES:,} times")


def _nodes(node: yaml.Node | None, counted: dict[int, int]) -> int:
    """How many values a YAML node is when each alias is written out."""
    if not isinstance(node, yaml.CollectionNode):
        return 1
    if id(node) not in counted:
        counted[id(node)] = NODES  # of one that holds itself
        children = [child for pair in node.value for child in (pair if isinstance(pair, tuple) else (pair,))]
        counted[id(node)] = 1 + sum(_nodes(child, counted) for child in children)
    return counted[id(node)]


def validate_node(alone: DictConfig, key: str) -> Any:
    """The same for one node of a configuration: the group's validated dataclass, or the single value."""
    with _one_sentence():
        _refuse_environment(OmegaConf.to_container(alone, resolve=False))
        merged: Any = OmegaConf.merge(_schema(), OmegaConf.to_container(alone, resolve=True))
        value = merged[key]
        return OmegaConf.to_object(value) if OmegaConf.is_config(value) else value


@contextmanager
def _one_sentence() -> Iterator[None]:
    """Raise ValueError for whatever a configuration does to OmegaConf."""
    try:
        yield
    except MissingMandatoryValue as error:
        raise ValueError(f"{error.full_key or error.key} must be given") from None
    except OmegaConfBaseException as error:
        raise ValueError(_explain_omegaconf(error)) from None
    except (OverflowError, RecursionError) as error:
        raise ValueError(explain(error)) from None


@cache
def _schema() -> Any:
    return OmegaConf.structured(Config)


def reads_other_settings(node: Any) -> bool:
    """Whether a value is interpolated from more than the environment, so that it means nothing alone."""
    plain = OmegaConf.to_container(node, resolve=False) if OmegaConf.is_config(node) else node
    if isinstance(plain, dict):
        return any(reads_other_settings(child) for child in plain.values())
    if isinstance(plain, list):
        return any(reads_other_settings(child) for child in plain)
    return isinstance(plain, str) and "${" in plain.replace("${oc.env:", "")


def explain(error: Exception) -> str:
    """One line for what Hydra and OmegaConf say in several."""
    if isinstance(error, MissingConfigException) and error.options and error.missing_cfg_file:
        group, _, level = str(error.missing_cfg_file).rpartition("/")
        if group == "hydra/launcher" and level in LAUNCHERS:
            return f"{group}={level} needs a plugin; install it with: pip install -e '.[{LAUNCHERS[level]}]'"
        return hints.unknown_level(group, level, error.options)
    if isinstance(error, ConfigCompositionException):
        inner = error.__cause__ or error.__context__
        if isinstance(inner, OmegaConfBaseException):
            return _explain_omegaconf(inner)
        message = str(error)
        if message.startswith("Could not override '"):
            return hints.unknown_key(message.split("'")[1].partition("@")[0])
    if isinstance(error, OverrideParseException):
        return explain_unreadable(error.override)
    if isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
        return f"{error.problem_mark.name}, line {error.problem_mark.line + 1}: {error.problem}"
    if isinstance(error, RecursionError):
        return "a configuration is nested too deeply"
    if isinstance(error, OverflowError):
        return "a configuration holds a number that is too large"
    if isinstance(error, OSError) and NO_SETTINGS in str(error):
        return "a configuration file holds one value where settings belong, as in `lr: 0.1`"
    if "Config group override must be a string or a list" in str(error):
        return "a group is chosen by a level's name; in a file, a number is written as the level that it is: b128"
    return " ".join(str(error).partition("Config search path:")[0].split())


def _explain_omegaconf(error: OmegaConfBaseException) -> str:
    """One line for OmegaConf's several: the key, what is wrong with it, and the nearest real key."""
    message = str(error.msg or error).splitlines()[0]
    key = str(error.full_key or error.key or "")
    if isinstance(error, ConfigKeyError | ConfigAttributeError) and key:
        return hints.unknown_key(key)
    unset = re.search(r"Environment variable '(.*)' not found", message)
    if unset:
        return f"{key} needs the environment variable {unset[1]}, which is not set"
    return f"{key}: {message}" if key else message


def _refuse_resolvers(path: Path, node: Any, key: str = "") -> None:
    """A recorded configuration may name other settings, and in paths environment variables; it calls nothing else."""
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for name, child in children:
        _refuse_resolvers(path, child, f"{key}.{name}" if key else str(name))
    if isinstance(node, str) and "${" in node:
        rest = re.sub(r"\$\{oc\.env:\w+\}", "", node) if key in PATHS else node
        if re.sub(r"\$\{[\w.]+\}", "", rest).count("${"):
            raise ValueError(f"{path}: {key} asks for more than another setting, which a recorded one may not")


def _refuse_environment(node: Any, key: str = "") -> None:
    if isinstance(node, dict):
        for name, child in node.items():
            _refuse_environment(child, f"{key}.{name}" if key else str(name))
    elif isinstance(node, list):
        for child in node:
            _refuse_environment(child, key)
    elif isinstance(node, str) and "oc.env" in node and key not in PATHS:
        raise ValueError(
            f"{key} reads an environment variable; only paths may ({', '.join(PATHS)}), "
            "because everything else is written into the record"
        )


def config_folder() -> Path:
    """The configuration that comes with ablate; in a checkout a link to the folder `conf` of the top level."""
    return levels.FOLDER

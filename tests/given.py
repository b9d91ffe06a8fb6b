"""What tests begin with: configurations, images, runs, and the command line as a user would use it."""

import copy
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig

import ablate.commands.hydra_app  # noqa: F401  registers the schema and the sweeper
from ablate.config.compose import config_folder, from_omegaconf
from ablate.config.levels import groups
from ablate.config.schema import Config
from ablate.data.cache import Images
from ablate.data.datasets import load
from ablate.plan import planned_run
from ablate.plan.planned_run import PlannedRun
from ablate.records.record import State
from ablate.records.run_folder import RunFolder
from ablate.run import lifecycle

ROOT = Path(__file__).parent.parent

TINY = ("backbone=timm", "backbone.name=test_resnet")  # timm's network for tests: 0.4 M parameters


def config_of(*overrides: str) -> Config:
    """Compose and validate, as the command line does; a copy of what was composed before of the same words."""
    return copy.deepcopy(_config_of(overrides))


@cache
def _config_of(overrides: tuple[str, ...]) -> Config:
    return from_omegaconf(composed_of(overrides))


def composed_of(words: Sequence[str], *, hydra: bool = False) -> DictConfig:
    """What Hydra composes of these words. It takes the levels first, as few tests name others, and then the settings."""
    first = {*groups(), "hydra.searchpath"}
    levels = tuple(word for word in words if word.partition("=")[0].lstrip("+") in first)
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        composed = compose("config", list(levels), return_hydra_config=hydra)
    settings = OverridesParser.create().parse_overrides([word for word in words if word not in levels])
    ConfigLoaderImpl._apply_overrides_to_config(settings, composed)
    return composed


def some_images(train: int = 300, test: int = 100) -> Images:
    """The first embedded images: real ones, few enough for a test."""
    images = load(config_of().data)
    return Images(
        images.classes,
        images.train_images[:train],
        images.train_labels[:train],
        images.test_images[:test],
        images.test_labels[:test],
        f"{train}+{test} of {images.fingerprint}",
    )


def python(*words: str, cwd: Path, umask: int = -1, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run python as a user would, from another folder, with warnings as errors where they are ours."""
    return subprocess.run(
        [sys.executable, *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=600,
        umask=umask,
        env=os.environ | {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(cwd / "cache")} | environment,
    )


def planned(root: Path, *overrides: str) -> PlannedRun:
    words = [*TINY, "batch_size=b32", "trainer.epochs=2", f"study.root={root}", "study.name=main", *overrides]
    composed = composed_of(words, hydra=True)
    return planned_run.plan_run(composed, composed.hydra.runtime.choices, words, lambda _: "some")


def execute(root: Path, *overrides: str) -> tuple[State, RunFolder, dict[str, Any]]:
    one = planned(root, *overrides)
    state = lifecycle.execute(one, some_images())
    return state, one.folder(), json.loads(one.folder().record.read_text())


@contextmanager
def hydra_of(*words: str, folder: Path | None = None) -> Iterator[tuple[ConfigLoader, DictConfig]]:
    """Hydra's loader, and the configuration that it would hand to the sweeper."""
    own = folder is not None or any(word.startswith("hydra") for word in words)
    known = None if own else composed_of(words, hydra=True)
    with initialize_config_dir(str(folder or config_folder()), version_base="1.3"):
        master = compose("config", list(words), return_hydra_config=True) if known is None else known
        yield GlobalHydra.instance().config_loader(), master

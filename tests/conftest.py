"""What the tests share: composed configurations, the real command line, and one small real study."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir

import ablate.cli  # noqa: F401  registers the schema and the sweeper
from ablate.cache import Images
from ablate.compose import from_omegaconf
from ablate.config import Config
from ablate.data import load
from ablate.plan import config_folder

ROOT = Path(__file__).parent.parent
TINY = ("backbone=timm", "backbone.name=test_resnet")  # timm's network for tests: 0.4 M parameters

torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def cache_apart(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests neither read nor fill the user's own cache."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


def config_of(*overrides: str) -> Config:
    """Compose and validate, as the command line does."""
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return from_omegaconf(compose("config", list(overrides)))


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


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A study by the real command: two learning rates, one of which diverges, and two seeds."""
    folder = tmp_path_factory.mktemp("study")
    done = python(
        "-m", "ablate", "-m", *TINY, "optimizer=sgd", "optimizer.lr=0.05,1e9", "seeds=2", "trainer.epochs=2",
        "augment=flip_crop", cwd=folder,
    )  # fmt: skip
    return folder / "outputs" / "main", done


@pytest.fixture
def image_folder(tmp_path: Path) -> Callable[..., Path]:
    """A function that makes train/ and val/ class folders of small PNG images."""
    from PIL import Image

    def make(name: str = "images", train: int = 6, val: int = 2, seed: int = 0) -> Path:
        draw = np.random.default_rng(seed)
        for part, count in (("train", train), ("val", val)):
            for label in ("cat", "dog"):
                folder = tmp_path / name / part / label
                folder.mkdir(parents=True)
                for i in range(count):
                    pixels = draw.integers(0, 256, (20, 24, 3), dtype=np.uint8)
                    Image.fromarray(pixels).save(folder / f"{i}.png")
        return tmp_path / name

    return make

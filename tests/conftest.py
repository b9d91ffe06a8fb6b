"""Fixtures that tests of several folders take."""

import copy
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from omegaconf import DictConfig

import ablate.commands.hydra_app  # noqa: F401  registers the schema and the sweeper
from ablate.config.compose import config_folder
from ablate.report.page import drawing, html
from tests.given import TINY, python

torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def cache_apart(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests neither read nor fill the user's own cache."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True, scope="session")
def composed_once() -> Iterator[None]:
    """Hydra composes the same words of the project's own files once: each time takes a tenth of a second, and tests do
    it thousands of times."""
    compose = ConfigLoaderImpl.load_configuration
    own = {f"file://{config_folder()}", str(config_folder())}
    known: dict[Any, DictConfig] = {}

    def load_configuration(loader: ConfigLoaderImpl, *given: Any, **named: Any) -> DictConfig:
        places = [place.path for place in loader.config_search_path.get_path()]
        words = repr((given, named))
        if "hydra.searchpath" in words or any(
            place.startswith(("file:", "/")) and place not in own for place in places
        ):
            return compose(loader, *given, **named)
        key = (words, tuple(places), os.getcwd())
        if key not in known:
            known[key] = compose(loader, *given, **named)
        return copy.deepcopy(known[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ConfigLoaderImpl, "load_configuration", load_configuration)
        yield


@pytest.fixture(autouse=True)
def processes_end(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every process that a test starts ends with the test, also when it fails, and its pipes are closed."""
    started: list[subprocess.Popen[Any]] = []
    begin = subprocess.Popen.__init__

    def remember(child: subprocess.Popen[Any], *arguments: Any, **options: Any) -> None:
        begin(child, *arguments, **options)
        started.append(child)

    monkeypatch.setattr(subprocess.Popen, "__init__", remember)
    yield
    for child in started:
        child.kill()  # does nothing to one that has ended
        child.wait()
        for pipe in (child.stdin, child.stdout, child.stderr):
            if pipe is not None:
                pipe.close()


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A study by the real command: two learning rates, one of which diverges, and two seeds."""
    folder = tmp_path_factory.mktemp("study")
    done = python(
        "-m", "ablate", "-m", *TINY, "optimizer=sgd", "optimizer.lr=0.05,1e9", "seeds=2", "trainer.epochs=2",
        "augment=flip_crop", "study.name=main", cwd=folder,
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


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most of a report's time goes into its figures, which a test of its words does not need."""
    monkeypatch.setattr(drawing, "save", lambda *_: None)
    monkeypatch.setattr(html, "_figure", lambda *_: "data:")

"""Fixtures of the launchers' tests."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.given import TINY


@pytest.fixture
def words(image_folder: Callable[..., Path]) -> tuple[str, ...]:
    """A run of a second or two."""
    return (
        *TINY, "batch_size=b32", "optimizer=sgd", "trainer.epochs=3", "trainer.tensorboard=false",
        "trainer.checkpoint_time=0", "data=folder", f"data.path={image_folder(train=40, val=10)}", "data.size=32",
        "study.name=main",
    )  # fmt: skip

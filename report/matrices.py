"""The confusion matrices of one run, after its first and its last epoch: read, and what they say."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from ablate.record import RunFolder

from .gather import Study

Counts = NDArray[np.int64]
Z = float(norm.ppf(0.975))


@dataclass(frozen=True)
class Matrices:
    """Counts (C, C) on the test set, row = true class, column = predicted class; with one epoch, first is last."""

    classes: list[str]
    first_epoch: int
    first: Counts
    last_epoch: int
    last: Counts


def best_run(study: Study, board: pd.DataFrame) -> pd.Series | None:
    """The run that stands for the study: the lowest finished seed of the leaderboard's first combination."""
    if board.empty:
        return None
    runs = study.finished[study.finished["cell"] == board.iloc[0]["cell"]]
    run: pd.Series = runs.sort_values("seed").iloc[0]
    return run


def load(folder: Path) -> Matrices:
    """Read a run's matrices. Raises ValueError, saying what is missing or damaged."""
    run = RunFolder(folder)
    entry = run.read()
    try:
        classes = [str(name) for name in entry["data"]["classes"]]
        images, last_epoch = int(entry["data"]["test_images"]), int(entry["epochs_done"])
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"{run.record} lacks the classes, the number of test images or that of epochs") from None
    first, last = (_read(run.confusion / f"epoch_{epoch:04d}.csv", len(classes), images) for epoch in (1, last_epoch))
    return Matrices(classes, 1, first, last_epoch, last)


def _read(path: Path, classes: int, images: int) -> Counts:
    try:
        rows = [[int(number) for number in line.split(",")] for line in path.read_text().splitlines()]
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
    if not rows or len(rows) != classes or any(len(row) != classes for row in rows):
        raise ValueError(f"{path} is damaged: it does not hold {classes} rows of {classes} counts")
    # A file cut inside its last number has the right shape.
    if min(map(min, rows)) < 0 or not sum(map(sum, rows)) == images > 0:
        raise ValueError(f"{path} is damaged: its counts do not add up to the {images} test images")
    return np.array(rows, dtype=np.int64)


def correct(counts: Counts) -> int:
    """How many images were classified right."""
    return int(np.trace(counts))


def shares(counts: Counts) -> NDArray[np.float64]:
    """(C, C) shares of each true class; 0 for a class without images."""
    found: NDArray[np.float64] = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return found


def most_confused(counts: Counts, limit: int = 5) -> list[tuple[int, int, int]]:
    """The (true class, predicted class, images) of the most frequent errors; of equals the first in class order."""
    errors = counts - np.diag(np.diag(counts))
    order = np.argsort(-errors, axis=None, kind="stable")[:limit]
    pairs = [(int(place) // len(errors), int(place) % len(errors)) for place in order]
    return [(true, predicted, int(errors[true, predicted])) for true, predicted in pairs if errors[true, predicted]]


def per_class(matrices: Matrices) -> pd.DataFrame:
    """One row per class after the last epoch: class, images, correct, accuracy, low, high.

    accuracy is a fraction, low and high its Wilson interval at 95 % (Wilson 1927); all three are missing where a
    class has no test images.
    """
    images = matrices.last.sum(axis=1)
    right = np.diag(matrices.last)
    known = images > 0
    accuracy = np.divide(right, images, out=np.full(len(images), np.nan), where=known)
    share = Z**2 / np.where(known, images, np.nan)
    middle = (accuracy + share / 2) / (1 + share)
    half = np.sqrt(accuracy * (1 - accuracy) * share + share**2 / 4) / (1 + share)
    return pd.DataFrame(
        {
            "class": matrices.classes,
            "images": images,
            "correct": right,
            "accuracy": accuracy,
            "low": np.maximum(middle - half, 0.0),
            "high": np.minimum(middle + half, 1.0),
        }
    )

"""The confusion matrices of one run, after its first and its last epoch, and what they say."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from ablate.records import confusion
from ablate.records.confusion import Counts
from ablate.records.run_folder import RunFolder
from ablate.report.study.gather import StudyData

Z = float(norm.ppf(0.975))


@dataclass(frozen=True)
class Matrices:
    """Counts (C, C) on the test set, row = true class, column = predicted class; with one epoch, first is last."""

    classes: list[str]
    first_epoch: int
    first: Counts
    last_epoch: int
    last: Counts


def best_run(study: StudyData, board: pd.DataFrame) -> pd.Series | None:
    """The run that represents the study: the lowest finished seed of the leaderboard's first combination."""
    if board.empty:
        return None
    runs = study.finished[study.finished["cell"] == board.iloc[0]["cell"]]
    run: pd.Series = runs.sort_values("seed").iloc[0]
    return run


def load(folder: Path) -> Matrices:
    """Read a run's matrices. Raises ValueError, saying what is missing or damaged."""
    run = RunFolder(folder)
    record = run.read()
    if record.data is None:
        raise ValueError(f"{run.record} lacks the classes and the number of test images")
    classes, images = record.data.classes, record.data.test_images
    first, last = (confusion.read(run, epoch, len(classes), images) for epoch in (1, record.epochs_done))
    return Matrices(classes, 1, first, record.epochs_done, last)


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

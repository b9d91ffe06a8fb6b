"""The test images that a run left, with what it predicts of them."""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ablate.records.run_folder import RunFolder


@dataclass(frozen=True, eq=False)
class Samples:
    """Parallel: images (N, H, W, 3) uint8; labels, guesses (N,) into classes; probability (N,) of the guesses."""

    classes: list[str]
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    guesses: NDArray[np.int64]
    probability: NDArray[np.float64]


def load(folder: Path) -> Samples | None:
    """None where a run left none, as those of version 0.1, or where its files cannot be read."""
    run = RunFolder(folder)
    try:
        record = run.read()
        with np.load(run.samples) as kept, np.load(run.predictions) as saved:
            index, images = kept["index"], kept["images"]
            logits, labels = saved["logits"][index].astype(np.float64), saved["labels"][index]
    except (OSError, ValueError, KeyError, IndexError, zipfile.BadZipFile):
        return None
    classes = record.data.classes if record.data is not None else []
    whole = images.dtype == np.uint8 and images.ndim == 4 and images.shape[-1] == 3 and len(images) == len(labels)
    if not whole or not len(images) or logits.ndim != 2 or logits.shape[1] != len(classes):
        return None
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    guesses = logits.argmax(axis=1)
    return Samples(classes, images, labels, guesses, shares[np.arange(len(guesses)), guesses])

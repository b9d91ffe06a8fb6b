"""What is reported of predictions besides accuracy and loss, computed from saved logits."""

import numpy as np
from numpy.typing import NDArray

BINS = 15  # of the expected calibration error

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def scores(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> dict[str, float]:
    """Every score of logits (N, C) and labels (N,), as a fraction: {"top5_accuracy": 0.93, …}."""
    values, truth = np.asarray(logits, dtype=np.float64), np.asarray(labels, dtype=np.int64)
    probabilities = softmax(values)
    return {
        "top5_accuracy": top5(values, truth),
        "balanced_accuracy": balanced_accuracy(values, truth),
        "macro_f1": macro_f1(values, truth),
        "auroc": auroc(probabilities, truth),
        "ece": calibration_error(probabilities, truth),
    }


def softmax(logits: Floats) -> Floats:
    """(N, C) probabilities."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


def top5(logits: Floats, labels: Ints) -> float:
    """The share of images whose class is among the five with the highest logits; 1 with five classes or fewer."""
    own = logits[np.arange(len(labels)), labels]
    return float(((logits > own[:, None]).sum(axis=1) < 5).mean())


def balanced_accuracy(logits: Floats, labels: Ints) -> float:
    """The mean over classes of the share of their images that is right (recall); classes without images have none."""
    right = logits.argmax(axis=1) == labels
    images = np.bincount(labels)
    return float((np.bincount(labels, right)[images > 0] / images[images > 0]).mean())


def macro_f1(logits: Floats, labels: Ints) -> float:
    """The mean over classes of 2 TP / (2 TP + FP + FN); classes that are neither true nor predicted have none."""
    predicted, classes = logits.argmax(axis=1), logits.shape[1]
    true, said = np.bincount(labels, minlength=classes), np.bincount(predicted, minlength=classes)
    hit = np.bincount(labels[predicted == labels], minlength=classes)
    there = true + said > 0
    return float((2 * hit[there] / (true + said)[there]).mean())


def auroc(probabilities: Floats, labels: Ints) -> float:
    """The mean over classes of the area under the ROC curve, each class against the rest (Hanley and McNeil, Radiology
    143, 1982: the chance that an image of the class is ranked above one of the rest); nan with one class alone."""
    found = []
    for number in np.unique(labels):
        own = labels == number
        n, rest = int(own.sum()), int((~own).sum())
        if rest:
            column = probabilities[:, number]
            others = np.sort(column[~own])
            below, upto = (np.searchsorted(others, column[own], side) for side in ("left", "right"))
            found.append(float((below + upto).sum()) / 2 / (n * rest))  # ties count half
    return float(np.mean(found)) if found else float("nan")


def calibration_error(probabilities: Floats, labels: Ints) -> float:
    """The expected calibration error: the mean gap between confidence and accuracy over 15 bins of equal width, weighed
    by their images (Guo et al., ICML 2017)."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    gaps = np.bincount(bins, right - confidence, minlength=BINS)
    return float(np.abs(gaps).sum() / len(labels))

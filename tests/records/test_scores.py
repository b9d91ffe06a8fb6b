"""Scores of predictions: those of scikit-learn, and by hand."""

import numpy as np
import pytest
from sklearn import metrics

from ablate.records import scores


def drawn(classes: int, images: int, seed: int = 0, ties: bool = False) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, classes, images)
    logits = draw.standard_normal((images, classes)) + 2.0 * np.eye(classes)[labels]
    return (np.round(logits, 1) if ties else logits).astype(np.float16), labels


@pytest.mark.parametrize(("classes", "images"), [(2, 50), (3, 200), (10, 1000), (200, 3000)])
@pytest.mark.parametrize("ties", [False, True])
def test_they_are_those_of_scikit_learn(classes: int, images: int, ties: bool) -> None:
    logits, labels = drawn(classes, images, ties=ties)
    found = scores.scores(logits, labels)
    values = logits.astype(np.float64)
    predicted, probabilities = values.argmax(axis=1), scores.softmax(values)
    assert found["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(labels, predicted))
    assert found["macro_f1"] == pytest.approx(metrics.f1_score(labels, predicted, average="macro"))
    if classes > 2:
        expected = metrics.roc_auc_score(labels, probabilities, multi_class="ovr", labels=range(classes))
        assert found["auroc"] == pytest.approx(expected)
    else:
        assert found["auroc"] == pytest.approx(metrics.roc_auc_score(labels, probabilities[:, 1]), abs=1e-3)
    if classes > 5 and not ties:
        assert found["top5_accuracy"] == pytest.approx(
            metrics.top_k_accuracy_score(labels, values, k=5, labels=range(classes)), abs=2 / images
        )
    if classes <= 5:
        assert found["top5_accuracy"] == 1


def test_a_class_that_is_neither_there_nor_said_counts_nowhere() -> None:
    logits = np.array([[3.0, 0, 0], [0, 3.0, 0], [3.0, 0, 0]])
    labels = np.array([0, 1, 1])
    found = scores.scores(logits, labels)
    assert found["balanced_accuracy"] == pytest.approx((1 + 0.5) / 2)
    assert found["macro_f1"] == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert np.isnan(scores.auroc(scores.softmax(logits), np.zeros(3, dtype=int)))


def test_calibration_by_hand() -> None:
    """Ten images said with .95, of which eight are right: off by .15; all right at .95: by .05."""
    probabilities = np.tile([0.95, 0.05], (10, 1))
    labels = np.array([0] * 8 + [1] * 2)
    assert scores.calibration_error(probabilities, labels) == pytest.approx(0.15)
    assert scores.calibration_error(probabilities, np.zeros(10, dtype=int)) == pytest.approx(0.05)
    assert scores.calibration_error(np.array([[1.0, 0.0]]), np.array([0])) == 0

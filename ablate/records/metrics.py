"""The metrics by which a study can be judged: what each is called, its unit, and which way is better."""

from dataclasses import dataclass

DELTA = 0.3  # points: the smallest difference worth caring about, where the metric is an accuracy


@dataclass(frozen=True)
class Metric:
    """One metric of a record. `scale` takes the record's number to `unit`."""

    label: str
    unit: str = "points"
    scale: float = 100.0
    less_is_better: bool = False
    digits: int = 2
    of_weights: bool = True  # equal weights have it equal; what a clock measures is another's in every run


def _loss(label: str) -> Metric:
    return Metric(label, "nats", 1.0, less_is_better=True, digits=3)


METRICS = {
    "test_accuracy": Metric("test accuracy"),
    "holdout_accuracy": Metric("holdout accuracy"),
    "train_accuracy": Metric("training accuracy"),
    "best_holdout_test_accuracy": Metric("test accuracy at the holdout's best epoch"),
    "best_holdout_accuracy": Metric("best holdout accuracy"),
    "test_loss": _loss("test loss"),
    "holdout_loss": _loss("holdout loss"),
    "train_loss": _loss("training loss"),
    "best_holdout_epoch": Metric("the holdout's best epoch", "epochs", 1.0, less_is_better=True, digits=1),
    "seconds": Metric("training time", "seconds", 1.0, less_is_better=True, digits=1, of_weights=False),
}


def smallest_difference(name: str, delta: float | None, how: str = "study.delta=N") -> float:
    """The smallest difference worth caring about, in the metric's unit.

    Raises ValueError for a metric that there is not, and where none is given and the unit has no usual one; `how` is
    the way to give one.
    """
    if name not in METRICS:
        raise ValueError(f"there is no metric {name!r}; choose from {', '.join(METRICS)}")
    if delta is not None:
        return delta
    if METRICS[name].unit != "points":
        raise ValueError(
            f"{name} is in {METRICS[name].unit}: say how large a difference is worth caring about, with {how}"
        )
    return DELTA

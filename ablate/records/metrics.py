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


# Of predictions, besides accuracy and loss; see scores.
SCORES = {
    "top5_accuracy": "top-5 accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "auroc": "AUROC",
    "ece": "expected calibration error",
}

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
    **{
        f"{part}_{name}": Metric(f"{part} {label}", less_is_better=name == "ece")
        for part in ("test", "holdout")
        for name, label in SCORES.items()
    },
}

# What people call them; without a word for the part, it is the test set.
ALIASES = {
    **{name: f"test_{name}" for name in SCORES},
    "accuracy": "test_accuracy", "top1": "test_accuracy", "top5": "test_top5_accuracy", "f1": "test_macro_f1",
    "loss": "test_loss", "nll": "test_loss", "test_nll": "test_loss", "auc": "test_auroc",
}  # fmt: skip


def canonical(name: str) -> str:
    """A metric by the name that it has in records."""
    return ALIASES.get(name, name)


def on_the_holdout(name: str) -> str:
    """The metric by which combinations are ranked where the study is judged by `name`: never one of the test set."""
    part, _, what = name.partition("_")
    return f"holdout_{what}" if part == "test" else "holdout_accuracy"


def smallest_difference(name: str, delta: float | None, how: str = "study.delta=N") -> float:
    """The smallest difference worth caring about, in the metric's unit.

    Raises ValueError for a metric that there is not, and where none is given and the unit has no usual one; `how` is
    the way to give one.
    """
    name = canonical(name)
    if name not in METRICS:
        raise ValueError(f"there is no metric {name!r}; choose from {', '.join(METRICS)}")
    if delta is not None:
        return delta
    if METRICS[name].unit != "points":
        raise ValueError(
            f"{name} is in {METRICS[name].unit}: say how large a difference is worth caring about, with {how}"
        )
    return DELTA

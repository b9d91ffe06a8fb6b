"""The sections about one run's classes: which are taken for which, and how many of each are found."""

import pandas as pd

from . import analyse, matrices
from . import markdown as md
from .gather import Study
from .matrices import Matrices

TABLE_OF_ALL = 20  # up to so many classes, the table holds them all
BEST_AND_WORST = 10


def missing(run: pd.Series, reason: str) -> str:
    """The section Confusion where there is nothing to show."""
    return f"## Confusion\n\nThe confusion matrices of {md.text(run['folder'])} cannot be shown: {md.text(reason)}."


def confusion(study: Study, run: pd.Series, found: Matrices) -> str:
    """The section Confusion: the figure, how the errors became fewer, and the pairs confused most."""
    parts = [
        "## Confusion",
        f"The best combination by the holdout, {md.text(analyse.in_a_sentence(study, run))}, seed {run['seed']}. "
        f"{_errors(found)}",
        "![Confusion matrices after the first and the last epoch](figures/confusion.png)",
        "The same as [SVG](figures/confusion.svg).",
    ]
    pairs = matrices.most_confused(found.last)
    if not pairs:
        return "\n\n".join([*parts, f"After epoch {found.last_epoch}, no test image was classified wrongly."])
    names, images = found.classes, found.last.sum(axis=1)
    rows = [
        [md.text(names[true]), md.text(names[predicted]), str(number), md.percent(number / images[true])]
        for true, predicted, number in pairs
    ]
    header = ["true class", "predicted class", "images", "% of the true class"]
    return "\n\n".join(
        [*parts, f"Confused most after epoch {found.last_epoch}:", md.table(header, rows, numbers=(2, 3))]
    )


def _errors(found: Matrices) -> str:
    total = int(found.last.sum())
    wrong_first, wrong_last = (total - matrices.correct(counts) for counts in (found.first, found.last))
    first = f"{wrong_first} were classified wrongly after epoch {found.first_epoch} (accuracy {_share(found.first)} %)"
    opening = f"Of {md.count(total, 'test image')}, {first}"
    if found.last_epoch == found.first_epoch:
        return f"{opening}, the only one."
    change = wrong_last - wrong_first
    moved = f"{abs(change)} {'more' if change > 0 else 'fewer'}" if change else "as many"
    return f"{opening} and {wrong_last} after epoch {found.last_epoch} ({_share(found.last)} %), {moved}."


def _share(counts: matrices.Counts) -> str:
    return md.percent(matrices.correct(counts) / int(counts.sum()))


def per_class(found: Matrices, table: pd.DataFrame) -> str:
    """The section Per class, from the table of matrices.per_class: all classes, or the best and the worst."""
    seen = table[table["images"] > 0]
    fewest = int(seen["images"].min())
    opening = (
        f"The same run after epoch {found.last_epoch}: how many of each class's test images were classified right. "
        f"It is one seed, and in a class of {md.count(fewest, 'image')} each of them is {100 / fewest:.1f} points. "
        "All classes: [per_class.csv](tables/per_class.csv)."
    )
    if len(table) <= TABLE_OF_ALL:
        return "\n\n".join(["## Per class", opening, _table(table)])
    ranked = seen.sort_values("accuracy", ascending=False, kind="stable")
    number = min(BEST_AND_WORST, len(ranked) // 2)
    return "\n\n".join(
        ["## Per class", opening, f"The {number} best of {len(table)}:", _table(ranked.head(number)),
         f"The {number} worst, the worst first:", _table(ranked.tail(number).iloc[::-1])]
    )  # fmt: skip


def _table(classes: pd.DataFrame) -> str:
    rows = [
        [md.text(row["class"]), str(row["images"]), str(row["correct"]), md.percent(row["accuracy"])]
        for row in classes.to_dict("records")
    ]
    return md.table(["class", "test images", "right", "accuracy %"], rows, numbers=(1, 2, 3))

"""The sections about one run's classes: which are taken for which, and how many of each are found."""

import pandas as pd

from . import analyse, matrices
from . import markdown as md
from .gather import Study
from .matrices import Matrices
from .page import Block, Link, Paragraph, Picture, Section, Table

TABLE_OF_ALL = 20  # up to so many classes, the table holds them all
BEST_AND_WORST = 10


def missing(run: pd.Series, reason: str) -> Section:
    """The section Confusion where there is nothing to show."""
    return Section("Confusion", (Paragraph(f"The confusion matrices of {run['folder']} cannot be shown: {reason}."),))


def confusion(study: Study, run: pd.Series, found: Matrices) -> Section:
    """The section Confusion: the figure, how the errors became fewer, and the pairs confused most."""
    opening = (
        f"The best combination by the holdout, {analyse.in_a_sentence(study, run)}, seed {run['seed']}. "
        f"{_errors(found)}"
    )
    alt = "Confusion matrices after the first and the last epoch, and their difference"
    if found.first_epoch == found.last_epoch:
        alt = "Confusion matrix after the only epoch"
    blocks: list[Block] = [Paragraph(opening), Picture("confusion", alt)]
    pairs = matrices.most_confused(found.last)
    if not pairs:
        blocks.append(Paragraph(f"After epoch {found.last_epoch}, no test image was classified wrongly."))
        return Section("Confusion", tuple(blocks))
    names, images = found.classes, found.last.sum(axis=1)
    rows = tuple(
        (names[true], names[predicted], str(number), md.percent(number / images[true]))
        for true, predicted, number in pairs
    )
    header = ("true class", "predicted class", "images", "% of the true class")
    blocks += [
        Paragraph(f"Confused most after epoch {found.last_epoch}:"),
        Table("The pairs of classes confused most", header, rows, (2, 3)),
    ]
    return Section("Confusion", tuple(blocks))


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


def per_class(found: Matrices, table: pd.DataFrame) -> Section:
    """The section Per class, from the table of matrices.per_class: all classes, or the best and the worst."""
    seen = table[table["images"] > 0]
    fewest = int(seen["images"].min())
    opening = Paragraph(
        (
            f"The same run after epoch {found.last_epoch}: how many of each class's test images were classified right, "
            "with 95 % intervals (Wilson's) for other test images. "
            f"It is one seed, and in a class of {md.count(fewest, 'image')} each of them is {100 / fewest:.1f} points. "
            "All classes: ",
            Link("per_class.csv", "tables/per_class.csv"),
            ".",
        )
    )
    if len(table) <= TABLE_OF_ALL:
        return Section("Per class", (opening, _table("Accuracy per class", table)))
    ranked = seen.sort_values("accuracy", ascending=False, kind="stable")
    number = min(BEST_AND_WORST, len(ranked) // 2)
    return Section(
        "Per class",
        (
            opening,
            Paragraph(f"The {number} best of {len(table)}:"),
            _table("The best classes", ranked.head(number)),
            Paragraph(f"The {number} worst, the worst first:"),
            _table("The worst classes", ranked.tail(number).iloc[::-1]),
        ),
    )


def _table(caption: str, classes: pd.DataFrame) -> Table:
    rows = tuple(
        (row["class"], str(row["images"]), str(row["correct"]), md.percent(row["accuracy"]), _interval(row))
        for _, row in classes.iterrows()
    )
    return Table(caption, ("class", "test images", "right", "accuracy %", "95 % interval"), rows, (1, 2, 3, 4))


def _interval(row: pd.Series) -> str:
    return f"{100 * row['low']:.1f} to {100 * row['high']:.1f}" if row["images"] else "–"

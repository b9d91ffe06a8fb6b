"""The sections about one run's classes: which are confused, and how many of each are found."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from ablate.records.confusion import ANNOTATED, COLOURS, SCALE, TICKS, Counts, in_percent, named_places
from ablate.report.analysis import Analysis
from ablate.report.page import drawing, numbers
from ablate.report.page.blocks import Block, Link, Paragraph, Picture, Section, Table
from ablate.report.study import matrices, tables
from ablate.report.study.matrices import Matrices

TABLE_OF_ALL = 20  # up to this many classes, the table holds them all
BEST_AND_WORST = 10


def sections(analysis: Analysis) -> list[Section]:
    """Confusion and Per class, of the run that represents the study; none without a finished run."""
    run, found = analysis.best_run, analysis.matrices
    if run is None:
        return []
    if isinstance(found, str):
        reason = f"The confusion matrices of {run['folder']} cannot be shown: {found}."
        return [Section("Confusion", (Paragraph(reason),))]
    return [_confusion(analysis, run, found), _per_class(found)]


def _confusion(analysis: Analysis, run: pd.Series, found: Matrices) -> Section:
    """The figure, how the errors became fewer, and the pairs confused most."""
    opening = (
        f"The best combination by the holdout, {tables.in_a_sentence(analysis.study, run)}, seed {run['seed']}. "
        f"{_errors(found)}"
    )
    alt = "Confusion matrices after the first and the last epoch, and their difference"
    if found.first_epoch == found.last_epoch:
        alt = "Confusion matrix after the only epoch"
    blocks: list[Block] = [Paragraph(opening), Picture("confusion", alt, draw(found), draw(found, narrow=True))]
    pairs = matrices.most_confused(found.last)
    if not pairs:
        blocks.append(Paragraph(f"After epoch {found.last_epoch}, no test image was classified wrongly."))
        return Section("Confusion", tuple(blocks))
    names, images = found.classes, found.last.sum(axis=1)
    rows = tuple(
        (names[true], names[predicted], str(number), numbers.percent(number / images[true]))
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
    opening = f"Of {numbers.count(total, 'test image')}, {first}"
    if found.last_epoch == found.first_epoch:
        return f"{opening}, the only one."
    change = wrong_last - wrong_first
    moved = f"{abs(change)} {'more' if change > 0 else 'fewer'}" if change else "as many"
    return f"{opening} and {wrong_last} after epoch {found.last_epoch} ({_share(found.last)} %), {moved}."


def _share(counts: Counts) -> str:
    return numbers.percent(matrices.correct(counts) / int(counts.sum()))


def _per_class(found: Matrices) -> Section:
    """How many of each class are found: all classes, or the best and the worst."""
    table = matrices.per_class(found)
    seen = table[table["images"] > 0]
    fewest = int(seen["images"].min())
    opening = Paragraph(
        (
            f"The same run after epoch {found.last_epoch}: how many of each class's test images were classified right, "
            "with 95 % intervals (Wilson's) for other test images. "
            f"It is one seed; in a class of {numbers.count(fewest, 'image')} one image is {100 / fewest:.1f} points. "
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
        (row["class"], str(row["images"]), str(row["correct"]), numbers.percent(row["accuracy"]), _interval(row))
        for _, row in classes.iterrows()
    )
    return Table(caption, ("class", "test images", "right", "accuracy %", "95 % interval"), rows, (1, 2, 3, 4))


def _interval(row: pd.Series) -> str:
    return f"{100 * row['low']:.1f} to {100 * row['high']:.1f}" if row["images"] else "–"


def draw(found: Matrices, *, narrow: bool = False) -> Figure:
    """The matrices after the first and the last epoch, and their difference."""
    panels = {found.first_epoch: found.first, found.last_epoch: found.last}
    columns = len(panels) + (len(panels) > 1)
    grid = (columns, 1) if narrow else (1, columns)
    size = (drawing.NARROW, 3.8 * columns) if narrow else (5.2 * columns + 1.6, 6)
    figure = Figure(figsize=size, layout="compressed")
    for number, (epoch, counts) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(*grid, number)
        image = _draw_matrix(axes, counts, found.classes, label_rows=narrow or number == 1)
        share = 100 * matrices.correct(counts) / counts.sum()
        axes.set_title(f"after epoch {epoch}: accuracy {share:.1f} %", loc="left", fontsize=11)
    _add_colour_bar(figure, image, figure.axes)
    if columns > len(panels):
        _draw_difference(figure, found, grid)
    return figure


def _draw_difference(figure: Figure, found: Matrices, grid: tuple[int, int]) -> None:
    """What the epochs in between moved, in points of each true class: the diagonal is to gain, the rest to lose."""
    axes = figure.add_subplot(*grid, 3)
    change = 100 * (matrices.shares(found.last) - matrices.shares(found.first))
    reach = max(1.0, float(np.abs(change).max()))
    image = axes.imshow(change, cmap="RdBu", vmin=-reach, vmax=reach, interpolation="nearest")
    first = figure.axes[0]
    axes.set_xticks(first.get_xticks(), [t.get_text() for t in first.get_xticklabels()], rotation=90,
                    fontsize=first.get_xticklabels()[0].get_fontsize(), parse_math=False)  # fmt: skip
    axes.set_yticks([])
    axes.set_xlabel("predicted class")
    axes.set_title("last − first epoch (points)", loc="left", fontsize=11)
    if len(found.classes) <= ANNOTATED:
        size = min(12, max(6, 80 / len(found.classes)))
        for (row, column), value in np.ndenumerate(change):
            if abs(value) >= 0.5:
                colour = "white" if abs(value) > 0.6 * reach else "black"
                axes.text(column, row, f"{value:+.0f}".replace("-", "−"), ha="center", va="center", color=colour,
                          fontsize=size)  # fmt: skip
    bar = figure.colorbar(image, ax=axes, fraction=0.05, pad=0.02)
    bar.set_label("change in the share of the true class (points)")


def _draw_matrix(axes: Axes, counts: Counts, classes: Sequence[str], *, label_rows: bool = True) -> AxesImage:
    """Draw counts (C, C) as the share of each true class: annotated with few classes, a heat map with many."""
    images = counts.sum(axis=1, keepdims=True)
    # A class without test images has no shares; its row stays grey.
    shares = np.ma.masked_array(counts / np.maximum(images, 1), np.broadcast_to(images == 0, counts.shape))
    axes.set_facecolor("0.8")
    image = axes.imshow(shares, cmap=COLOURS, norm=PowerNorm(0.5, vmin=0, vmax=1), interpolation="nearest")
    places, names = named_places(classes)
    small = 8 if len(classes) <= ANNOTATED else 6  # points
    axes.set_xticks(places, names, rotation=90, fontsize=small, parse_math=False)
    axes.set_yticks(places, names if label_rows else [""] * len(names), fontsize=small, parse_math=False)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class" if label_rows else "")
    if len(classes) <= ANNOTATED:
        for (row, column), share in np.ndenumerate(shares.filled(0)):
            if share > 0:
                colour = "white" if share > 0.2 else "black"
                size = min(12, max(6, 80 / len(classes)))
                axes.text(column, row, in_percent(share), ha="center", va="center", color=colour, fontsize=size)
    return image


def _add_colour_bar(figure: Figure, image: AxesImage, panels: Sequence[Axes]) -> Colorbar:
    """The scale of _draw_matrix, in percent."""
    bar = figure.colorbar(image, ax=list(panels), fraction=0.05, pad=0.02, ticks=TICKS)
    bar.ax.set_yticklabels([f"{100 * tick:.0f}" for tick in TICKS])
    bar.set_label(SCALE)
    return bar

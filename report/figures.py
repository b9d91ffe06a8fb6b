"""The figures of curves and confusion matrices, drawn from the tables that analyse makes; how any figure is saved."""

import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ablate import record
from ablate.pictures import ANNOTATED, add_colour_bar, draw_matrix

from . import analyse, matrices
from .gather import Study
from .matrices import Matrices
from .page import plain

# Okabe and Ito's palette, told apart by colour-blind readers too (jfly.uni-koeln.de/color).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C8C00")
STYLES = ("-", "--", "-.", ":")
PANELS = (
    ("train_loss", "training loss", 1),
    ("test_loss", "test loss", 1),
    ("train_accuracy", "training accuracy (%)", 100),
    ("test_accuracy", "test accuracy (%)", 100),
)


def draw_curves(study: Study, folder: Path) -> int:
    """Write curves.png and curves.svg: loss and accuracy over epochs, on the training and the test set, and the rates.

    A thin line per seed, a bold one for their mean, a ring at the epoch that the holdout liked best (the median
    over seeds). Returns how many combinations are drawn.
    """
    cells = analyse.cells_to_draw(study, len(COLOURS))
    figure = Figure(figsize=(10, 9.2), layout="constrained")
    grid = figure.add_gridspec(3, 2, height_ratios=(4, 4, 1.6))
    for place, (metric, title, scale) in enumerate(PANELS):
        axes = figure.add_subplot(grid[place // 2, place % 2])
        for number, curve in enumerate(analyse.curves(study, metric, cells)):
            for seed in curve.seeds:
                axes.plot(seed.index, scale * seed, color=COLOURS[number], linewidth=0.7, alpha=0.45)
            _bold(axes, number, scale * curve.mean, curve.label)
            if curve.chosen is not None and curve.chosen in curve.mean.index:
                axes.plot([curve.chosen], [scale * curve.mean[curve.chosen]], marker="o", markersize=11,
                          markerfacecolor="none", markeredgecolor=COLOURS[number], linestyle="none")  # fmt: skip
        _dress(axes, title)
    rates = figure.add_subplot(grid[2, :])
    for number, curve in enumerate(analyse.curves(study, "lr", cells)):
        _bold(rates, number, curve.mean, curve.label)
    _dress(rates, "learning rate at the end of the epoch")
    if len(study.epochs) and (study.epochs["lr"] > 0).any():
        rates.set_yscale("log")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    _legend(figure, handles, labels)
    save(figure, folder, "curves")
    return len(handles)


def draw_axis_curves(study: Study, folder: Path) -> bool:
    """Write curves_axes.png and .svg: mean test accuracy per level over epochs; False without an epoch."""
    runs = study.runs.drop_duplicates("signature").set_index("signature")
    axes_of = [axis for axis, levels in study.axes.items() if len(levels) <= len(COLOURS)]
    if study.epochs.empty or not axes_of:
        return False
    rows = -(-len(axes_of) // 2)
    figure = Figure(figsize=(10, 3.4 * rows), layout="constrained")
    for place, axis in enumerate(axes_of, start=1):
        axes = figure.add_subplot(rows, 2, place)
        level = study.epochs["signature"].map(runs[axis])
        means = study.epochs.groupby([level, study.epochs["epoch"].astype(int)])["test_accuracy"].mean()
        for number, name in enumerate(study.axes[axis]):
            if name in means.index:
                _bold(axes, number, 100 * means[name], analyse.level_name(axis, name))
        _dress(axes, f"{short(axis)}: test accuracy (%)")
        axes.legend(frameon=False, fontsize=8)
    save(figure, folder, "curves_axes")
    return True


def _bold(axes: Axes, number: int, mean: pd.Series, label: str) -> None:
    # A line through one point is invisible.
    marker = "o" if len(mean) < 12 else None
    axes.plot(mean.index, mean, color=COLOURS[number], linestyle=STYLES[number % len(STYLES)], linewidth=2,
              marker=marker, markersize=4, label=short(label))  # fmt: skip


def _dress(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=11)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(True, linewidth=0.4, alpha=0.5)
    axes.spines[["top", "right"]].set_visible(False)


def _legend(figure: Figure, handles: Sequence[Artist], labels: Sequence[str]) -> None:
    if handles:
        # As many columns as fit: in inches, a line of the legend's font and the sample before it.
        width = 0.6 + 0.085 * max(map(len, labels))
        columns = max(1, min(4, len(handles), int(figure.get_figwidth() / width)))
        figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False)


def short(name: str, most: int = 90) -> str:
    """A name without mathematics, on one line, and no longer than a label can be."""
    line = plain(name).replace("$", r"\$")
    return line if len(line) <= most else line[: most - 1] + "…"


def draw_confusion(found: Matrices, folder: Path) -> None:
    """Write confusion.png and confusion.svg: the matrices after the first and the last epoch, and their difference."""
    panels = {found.first_epoch: found.first, found.last_epoch: found.last}
    columns = len(panels) + (len(panels) > 1)
    figure = Figure(figsize=(5.2 * columns + 1.6, 6), layout="compressed")
    for number, (epoch, counts) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(1, columns, number)
        image = draw_matrix(axes, counts, found.classes, label_rows=number == 1)
        share = 100 * matrices.correct(counts) / counts.sum()
        axes.set_title(f"after epoch {epoch}: accuracy {share:.1f} %", loc="left", fontsize=11)
    add_colour_bar(figure, image, figure.axes)
    if columns > len(panels):
        _draw_difference(figure, found)
    save(figure, folder, "confusion")


def _draw_difference(figure: Figure, found: Matrices) -> None:
    """What the epochs in between moved, in points of each true class: the diagonal is to gain, the rest to lose."""
    axes = figure.add_subplot(1, 3, 3)
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


def save(figure: Figure, folder: Path, name: str) -> None:
    """Write a figure as NAME.png and NAME.svg, the same bytes each time."""
    # A fixed salt and no date: two reports on one study are the same bytes.
    with matplotlib.rc_context({"svg.hashsalt": "ablate"}):
        for kind, more in (("png", {"dpi": 150}), ("svg", {"metadata": {"Date": None}})):
            drawn = io.BytesIO()
            figure.savefig(drawn, format=kind, **more)
            record.write_bytes(folder / f"{name}.{kind}", drawn.getvalue())

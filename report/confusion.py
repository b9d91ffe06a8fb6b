"""The figure of a run's confusion matrices. What TensorBoard shows while a run trains is ablate.pictures'."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from ablate.pictures import ANNOTATED, COLOURS, SCALE, TICKS, in_percent, named_places

from . import matrices
from .figures import save
from .matrices import Counts, Matrices


def draw_confusion(found: Matrices, folder: Path) -> None:
    """Write confusion.png and confusion.svg: the matrices after the first and the last epoch, and their difference."""
    panels = {found.first_epoch: found.first, found.last_epoch: found.last}
    columns = len(panels) + (len(panels) > 1)
    figure = Figure(figsize=(5.2 * columns + 1.6, 6), layout="compressed")
    for number, (epoch, counts) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(1, columns, number)
        image = _draw_matrix(axes, counts, found.classes, label_rows=number == 1)
        share = 100 * matrices.correct(counts) / counts.sum()
        axes.set_title(f"after epoch {epoch}: accuracy {share:.1f} %", loc="left", fontsize=11)
    _add_colour_bar(figure, image, figure.axes)
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


def _draw_matrix(axes: Axes, counts: Counts, classes: Sequence[str], *, label_rows: bool = True) -> AxesImage:
    """Draw counts (C, C) as the share of each true class: annotated with few classes, a heat map with many."""
    images = counts.sum(axis=1, keepdims=True)
    # A class without test images has no shares; its row stays grey.
    shares = np.ma.masked_array(counts / np.maximum(images, 1), np.broadcast_to(images == 0, counts.shape))
    axes.set_facecolor("0.8")
    # The root shows single errors, which a linear scale would not tell from none.
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


def _add_colour_bar(figure: Figure, image: AxesImage, beside: Sequence[Axes]) -> Colorbar:
    """The scale of _draw_matrix, in percent."""
    bar = figure.colorbar(image, ax=list(beside), fraction=0.05, pad=0.02, ticks=TICKS)
    bar.ax.set_yticklabels([f"{100 * tick:.0f}" for tick in TICKS])
    bar.set_label(SCALE)
    return bar

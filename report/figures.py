"""Figures, drawn from the tables that analyse makes."""

from pathlib import Path

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ablate.pictures import add_colour_bar, draw_matrix

from . import analyse, matrices
from .gather import Study
from .matrices import Matrices

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
    """Write curves.png and curves.svg: loss and accuracy over epochs, on the training and the test set.

    A thin line per seed, a bold one for their mean. Returns how many combinations are drawn.
    """
    cells = analyse.cells_to_draw(study, len(COLOURS))
    figure = Figure(figsize=(10, 7.5), layout="constrained")
    for place, (metric, title, scale) in enumerate(PANELS, start=1):
        axes = figure.add_subplot(2, 2, place)
        for number, curve in enumerate(analyse.curves(study, metric, cells)):
            colour, style = COLOURS[number], STYLES[number % len(STYLES)]
            # A line through one point is invisible.
            marker = "o" if len(curve.mean) < 12 else None
            for seed in curve.seeds:
                axes.plot(seed.index, scale * seed, color=colour, linewidth=0.7, alpha=0.45)
            axes.plot(curve.mean.index, scale * curve.mean, color=colour, linestyle=style,
                      linewidth=2, marker=marker, markersize=4, label=curve.label.replace("$", r"\$"))  # fmt: skip
        axes.set_title(title, loc="left", fontsize=11)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(True, linewidth=0.4, alpha=0.5)
        axes.spines[["top", "right"]].set_visible(False)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    if handles:
        # As many columns as fit: in inches, a line of the legend's font and the sample before it.
        width = 0.6 + 0.085 * max(map(len, labels))
        columns = max(1, min(4, len(handles), int(figure.get_figwidth() / width)))
        figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False)
    save(figure, folder, "curves")
    return len(handles)


def draw_confusion(found: Matrices, folder: Path) -> None:
    """Write confusion.png and confusion.svg: the matrices after the first and the last epoch, side by side."""
    panels = {found.first_epoch: found.first, found.last_epoch: found.last}
    figure = Figure(figsize=(5.2 * len(panels) + 1.6, 6), layout="compressed")
    for number, (epoch, counts) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(1, len(panels), number)
        image = draw_matrix(axes, counts, found.classes, label_rows=number == 1)
        share = 100 * matrices.correct(counts) / counts.sum()
        axes.set_title(f"after epoch {epoch}: accuracy {share:.1f} %", loc="left", fontsize=11)
    add_colour_bar(figure, image, figure.axes)
    save(figure, folder, "confusion")


def save(figure: Figure, folder: Path, name: str) -> None:
    """Write a figure as NAME.png and NAME.svg, the same bytes each time."""
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / f"{name}.png", dpi=150)
    # A fixed salt and no date: two reports on one study are the same bytes.
    with matplotlib.rc_context({"svg.hashsalt": "ablate"}):
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})

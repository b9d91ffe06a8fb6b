"""Figures, drawn from the tables that analyse makes."""

from pathlib import Path

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from . import analyse
from .gather import Study

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
        figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(handles)), frameon=False)
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / "curves.png", dpi=150)
    # A fixed salt and no date: two reports on one study are the same bytes.
    with matplotlib.rc_context({"svg.hashsalt": "ablate"}):
        figure.savefig(folder / "curves.svg", metadata={"Date": None})
    return len(handles)

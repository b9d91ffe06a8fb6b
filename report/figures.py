"""The figures of curves, drawn from the tables that analyse makes; how any figure is saved."""

import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ablate import record

from . import analyse
from .gather import Study
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


def save(figure: Figure, folder: Path, name: str) -> None:
    """Write a figure as NAME.png and NAME.svg, the same bytes each time."""
    # A fixed salt and no date: two reports on one study are the same bytes.
    with matplotlib.rc_context({"svg.hashsalt": "ablate"}):
        for kind, more in (("png", {"dpi": 150}), ("svg", {"metadata": {"Date": None}})):
            drawn = io.BytesIO()
            figure.savefig(drawn, format=kind, **more)
            record.write_bytes(folder / f"{name}.{kind}", drawn.getvalue())

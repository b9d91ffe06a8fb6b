"""The section Curves: loss, accuracy and learning rate over epochs."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ablate.report.analysis import Analysis
from ablate.report.page import drawing
from ablate.report.page.blocks import Block, Dot, Panel, Paragraph, Picture, Plot, Section
from ablate.report.page.drawing import COLOURS, STYLES
from ablate.report.study import tables
from ablate.report.study.gather import StudyData

PANELS = (
    ("train_loss", "training loss", 1),
    ("test_loss", "test loss", 1),
    ("train_accuracy", "training accuracy (%)", 100),
    ("test_accuracy", "test accuracy (%)", 100),
)
MOST_RUNS, MOST_POINTS = 100, 60  # that a page holds


def section(analysis: Analysis) -> Section | None:
    """The best combinations, and each axis's means where those are not all; nothing without an epoch."""
    study = analysis.study
    figure, drawn = draw(study)
    if not drawn:
        return None
    total = study.runs["cell"].nunique()
    which = "" if drawn >= total else f" The {drawn} best of {total} combinations by the holdout are drawn."
    alt = (
        "Loss and accuracy over epochs, on the training and on the test set, and learning rates: a thin line per "
        "seed, a bold line for their mean, and a ring at the epoch with the best holdout score"
    )
    blocks: list[Block] = [
        Paragraph(f"Training figures are taken while training, with augmentation.{which}"),
        Picture("curves", alt, figure, plot=plot(study)),
    ]
    if total > drawn and (of_axes := draw_axes(study)) is not None:
        blocks += [
            Paragraph("Each level's mean over all its runs so far, over epochs:"),
            Picture(
                "curves_axes",
                "Test accuracy over epochs, the mean of each axis's levels",
                of_axes,
                draw_axes(study, narrow=True),
            ),
        ]
    return Section("Curves", tuple(blocks))


def draw(study: StudyData) -> tuple[Figure, int]:
    """Loss and accuracy over epochs, on the training and the test set, and the rates; how many combinations are drawn.

    A thin line per seed, a bold one for their mean, a ring at the epoch with the best holdout score (the median
    over seeds).
    """
    cells = tables.cells_to_draw(study, len(COLOURS))
    figure = Figure(figsize=(10, 9.2), layout="constrained")
    grid = figure.add_gridspec(3, 2, height_ratios=(4, 4, 1.6))
    for place, (metric, title, scale) in enumerate(PANELS):
        axes = figure.add_subplot(grid[place // 2, place % 2])
        for number, curve in enumerate(tables.curves(study, metric, cells)):
            for seed in curve.seeds:
                axes.plot(seed.index, scale * seed, color=COLOURS[number], linewidth=0.7, alpha=0.45)
            _bold(axes, number, scale * curve.mean, curve.label)
            if curve.chosen is not None and curve.chosen in curve.mean.index:
                axes.plot([curve.chosen], [scale * curve.mean[curve.chosen]], marker="o", markersize=11,
                          markerfacecolor="none", markeredgecolor=COLOURS[number], linestyle="none")  # fmt: skip
        drawing.over_epochs(axes, title)
    rates = figure.add_subplot(grid[2, :])
    for number, curve in enumerate(tables.curves(study, "lr", cells)):
        _bold(rates, number, curve.mean, curve.label)
    drawing.over_epochs(rates, "learning rate at the end of the epoch")
    if len(study.epochs) and (study.epochs["lr"] > 0).any():
        rates.set_yscale("log")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    _legend(figure, handles, labels)
    return figure, len(handles)


def plot(study: StudyData) -> Plot | None:
    """The curves of single runs, the best combinations first, for a page that answers a pointer."""
    runs, known = study.runs.set_index("cell"), dict(iter(study.epochs.groupby("signature")))
    ordered = [run for cell in tables.cells_to_draw(study, MOST_RUNS) for _, run in runs.loc[[cell]].iterrows()]
    once = {run["signature"]: run for run in reversed(ordered)}  # a run may serve several combinations
    shown = [run for run in ordered if run["signature"] in known and once[run["signature"]] is run][:MOST_RUNS]
    if not shown:
        return None
    dots = tuple(
        Dot(f"{tables.label(study, run)}, seed {run['seed']}", {a: tables.level_of(run, a) for a in study.axes},
            f"{study.from_report}/{run['folder']}")
        for run in shown
    )  # fmt: skip
    rows = [_thinned(known[run["signature"]]) for run in shown]
    x = tuple(tuple(of["epoch"].tolist()) for of in rows)
    panels = tuple(
        Panel(title, "epoch", x, tuple(tuple(float(f"{scale * v:.4g}") for v in of[metric]) for of in rows))
        for metric, title, scale in PANELS
    )
    return Plot(tuple(study.axes), dots, panels)


def _thinned(epochs: pd.DataFrame) -> pd.DataFrame:
    """No more points than a screen shows, the last one among them."""
    step = -(-len(epochs) // MOST_POINTS)
    return epochs.iloc[::-1].iloc[::step].iloc[::-1]


def draw_axes(study: StudyData, *, narrow: bool = False) -> Figure | None:
    """Mean test accuracy per level over epochs; None without an epoch."""
    runs = study.runs.drop_duplicates("signature").set_index("signature")
    axes_of = [one for one in study.comparisons if len(one.levels) <= len(COLOURS)]
    if study.epochs.empty or not axes_of:
        return None
    columns = 1 if narrow else 2
    rows = -(-len(axes_of) // columns)
    figure = Figure(figsize=(drawing.NARROW if narrow else 10, (2.8 if narrow else 3.4) * rows), layout="constrained")
    for place, one in enumerate(axes_of, start=1):
        axes = figure.add_subplot(rows, columns, place)
        level = study.epochs["signature"].map(runs[one.name])
        means = study.epochs.groupby([level, study.epochs["epoch"].astype(int)])["test_accuracy"].mean()
        for number, name in enumerate(one.levels):
            if name in means.index:
                _bold(axes, number, 100 * means[name], tables.level_name(one.name, name))
        drawing.over_epochs(axes, f"{drawing.short(one.name)}: test accuracy (%)")
        axes.legend(frameon=False, fontsize=8)
    return figure


def _bold(axes: Axes, number: int, mean: pd.Series, label: str) -> None:
    # A line through one point is invisible.
    marker = "o" if len(mean) < 12 else None
    axes.plot(mean.index, mean, color=COLOURS[number], linestyle=STYLES[number % len(STYLES)], linewidth=2,
              marker=marker, markersize=4, label=drawing.short(label))  # fmt: skip


def _legend(figure: Figure, handles: Sequence[Artist], labels: Sequence[str]) -> None:
    if handles:
        # As many columns as fit: in inches, a line of the legend's font and the sample before it.
        width = 0.6 + 0.085 * max(map(len, labels))
        columns = max(1, min(4, len(handles), int(figure.get_figwidth() / width)))
        figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False)

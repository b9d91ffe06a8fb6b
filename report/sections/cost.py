"""The section Cost: time against accuracy, and the combinations that none beats in both."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ablate.report.analysis import Analysis
from ablate.report.page import drawing, numbers
from ablate.report.page.blocks import MOST_ROWS, Dot, Number, Panel, Paragraph, Picture, Plot, Section, Table
from ablate.report.page.drawing import COLOURS
from ablate.report.study import tables


def section(analysis: Analysis) -> Section | None:
    """Nothing with fewer than two combinations of a known time, or without the accuracies to weigh it against."""
    figure = draw(analysis.leaderboard)
    if figure is None:
        return None
    rows = tuple(
        (
            str(number),
            tables.label(analysis.study, row),
            Number(numbers.duration(row["seconds"]), float(row["seconds"])),
            numbers.percent(row["holdout_accuracy_mean"], row["holdout_accuracy_sd"]),
            numbers.percent(row["test_accuracy_mean"], row["test_accuracy_sd"]),
        )
        for number, (_, row) in enumerate(front(analysis.leaderboard).iterrows(), start=1)
    )
    about = (
        "The front: combinations that no other beats in both time and holdout accuracy. Times are what the runs took "
        "where they ran, also when others ran at the same time."
    )
    header = ("#", "combination", "time per run", "holdout %", "test %")
    table = Table("The Pareto front, the cheapest first", header, rows, (0, 2, 3, 4))
    picture = Picture("cost", "Time per run against test accuracy, with the Pareto front", figure, plot=plot(analysis))
    return Section("Cost", (Paragraph(about), picture, table))


def front(board: pd.DataFrame) -> pd.DataFrame:
    """The rows of the leaderboard that no other beats in both time and holdout accuracy, the cheapest first."""
    ranked = board.dropna(subset=["seconds"]).sort_values(
        ["seconds", "holdout_accuracy_mean"], ascending=[True, False], kind="stable"
    )
    best_before = ranked["holdout_accuracy_mean"].cummax().shift(fill_value=-np.inf)
    return ranked[ranked["holdout_accuracy_mean"] > best_before]


def plot(analysis: Analysis) -> Plot:
    """Every combination with a known time, for a page that answers a pointer."""
    study, known = analysis.study, analysis.leaderboard.dropna(subset=["seconds"]).head(MOST_ROWS)
    dots = tuple(
        Dot(tables.label(study, row), {a: tables.level_of(row, a) for a in study.axes}) for _, row in known.iterrows()
    )
    x = tuple((float(f"{value:.4g}"),) for value in known["seconds"])
    y = tuple((float(f"{100 * value:.4g}"),) for value in known["test_accuracy_mean"])
    return Plot(tuple(study.axes), dots, (Panel("test accuracy (%)", "time per run (seconds)", x, y, _spreads(known)),))


def _spreads(known: pd.DataFrame) -> bool:
    """Whether times are so far apart that a log scale shows them better."""
    return bool(known["seconds"].max() > 5 * known["seconds"].min() > 0)


def draw(board: pd.DataFrame) -> Figure | None:
    """Mean time of a run against test accuracy, the Pareto front joined."""
    if not {"seconds", "holdout_accuracy_mean", "test_accuracy_mean"} <= set(board):
        return None
    known = board.dropna(subset=["seconds"])
    if len(known) < 2:
        return None
    best = front(known)
    figure = Figure(figsize=(drawing.WIDE, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.scatter(known["seconds"], 100 * known["test_accuracy_mean"], color="#8a8a8a", s=22, linewidths=0,
                 label="combination", rasterized=len(known) > 2000)  # fmt: skip
    axes.plot(best["seconds"], 100 * best["test_accuracy_mean"], color=COLOURS[1], marker="D", linewidth=1.5,
              label="Pareto front by the holdout")  # fmt: skip
    # Numbers, as names would lie over each other; the table next to the figure has both.
    for number, (_, row) in enumerate(best.iterrows(), start=1):
        axes.annotate(str(number), (row["seconds"], 100 * row["test_accuracy_mean"]), xytext=(0, 7),
                      textcoords="offset points", fontsize=9, ha="center")  # fmt: skip
    if _spreads(known):
        axes.set_xscale("log")
    axes.margins(0.08, 0.12)
    axes.set_xlabel("time per run (seconds)")
    axes.set_ylabel("test accuracy (%)")
    axes.grid(True, linewidth=0.4, alpha=0.5)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    return figure

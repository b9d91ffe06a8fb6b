"""The figures whose dots are runs or combinations: paired differences, and cost against accuracy."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ablate.metrics import METRICS

from . import analyse, figures
from .figures import COLOURS
from .forest import label_axis, name_rows, shown
from .gather import Study
from .info import Contrast, Effects

MANY_SEEDS = len(COLOURS)  # with more, one colour


def pairs(study: Study, axis: str, contrast: Contrast, metric: str) -> pd.DataFrame:
    """One row per pair matched on every other axis and the seed: seed, difference (level − other, metric's unit)."""
    finished = study.finished
    others = [a for a in study.axes if a != axis] + ["seed"]
    left, right = (
        finished[finished[axis] == name].set_index(others)[metric] for name in (contrast.level, contrast.other)
    )
    difference = (METRICS[metric].scale * (left - right)).dropna()
    return pd.DataFrame({"seed": difference.index.get_level_values("seed"), "difference": difference.to_numpy()})


def draw_pairs(study: Study, effects: Effects, folder: Path) -> bool:
    """Write pairs.png and pairs.svg: a dot per matched pair, coloured by seed; False where there is none."""
    metric = METRICS[effects.metric]
    rows = [
        (effect, c, pairs(study, effect.axis, c, effects.metric))
        for effect in effects.axes
        for c in shown(effect, metric.less_is_better)
    ]
    rows = [row for row in rows if len(row[2])]
    if not rows:
        return False
    seeds = sorted({int(seed) for _, _, of_row in rows for seed in of_row["seed"].unique()})
    colours = {
        seed: COLOURS[i] if len(seeds) <= MANY_SEEDS else COLOURS[0] for i, seed in enumerate(seeds[:MANY_SEEDS])
    }
    figure = Figure(figsize=(9, 1.7 + 0.42 * len(rows) + 0.25 * len(effects.axes)), layout="constrained")
    axes = figure.add_subplot()
    axes.axvspan(-effects.delta, effects.delta, color="#000000", alpha=0.07, linewidth=0)
    axes.axvline(0, color="black", linewidth=0.8)
    height, labels, previous = 0.0, [], None
    for effect, c, found in rows:
        height -= 1.0 if effect is previous else 1.8
        if effect is not previous:
            label_axis(axes, effect.axis, height)
        previous = effect
        name = " − ".join(analyse.level_name(effect.axis, n) for n in (c.level, c.other))
        labels.append((height, figures.short(name, 60)))
        # Spread by the place in the table: the same each time, and no two seeds on one line.
        lift = 0.5 * (np.argsort(np.argsort(found["seed"].to_numpy(), kind="stable")) + 0.5) / len(found) - 0.25
        many = len(found) > 300
        dots = [colours.get(int(seed), COLOURS[0]) for seed in found["seed"]]
        axes.scatter(found["difference"], height + lift, s=5 if many else 18, alpha=0.8, linewidths=0, c=dots,
                     rasterized=many)  # fmt: skip
        axes.plot([found["difference"].mean()] * 2, [height - 0.38, height + 0.38], color="black", linewidth=2)
    name_rows(axes, height, labels)
    axes.set_xlabel(f"difference in {metric.label} ({metric.unit})")
    if len(seeds) <= MANY_SEEDS:
        for seed in seeds:
            axes.scatter([], [], color=colours[seed], s=18, label=f"seed {seed}")
    axes.plot([], [], color="black", linewidth=2, label="mean of the pairs")
    figure.legend(loc="outside lower center", ncols=5, frameon=False, fontsize=9)
    figures.save(figure, folder, "pairs")
    return True


def front(board: pd.DataFrame) -> pd.DataFrame:
    """The rows of the leaderboard that no other beats in both time and holdout accuracy, the cheapest first."""
    ranked = board.dropna(subset=["seconds"]).sort_values(
        ["seconds", "holdout_accuracy_mean"], ascending=[True, False], kind="stable"
    )
    best_before = ranked["holdout_accuracy_mean"].cummax().shift(fill_value=-np.inf)
    return ranked[ranked["holdout_accuracy_mean"] > best_before]


def draw_cost(board: pd.DataFrame, folder: Path) -> bool:
    """Write cost.png and cost.svg: mean time of a run against test accuracy, the Pareto front joined."""
    known = board.dropna(subset=["seconds"]) if len(board) else board
    if len(known) < 2:
        return False
    best = front(known)
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.scatter(known["seconds"], 100 * known["test_accuracy_mean"], color="#8a8a8a", s=22, linewidths=0,
                 label="combination", rasterized=len(known) > 2000)  # fmt: skip
    axes.plot(best["seconds"], 100 * best["test_accuracy_mean"], color=COLOURS[1], marker="D", linewidth=1.5,
              label="Pareto front by the holdout")  # fmt: skip
    # Numbers, as names would lie over each other; the table beside the figure has both.
    for number, (_, row) in enumerate(best.iterrows(), start=1):
        axes.annotate(str(number), (row["seconds"], 100 * row["test_accuracy_mean"]), xytext=(0, 7),
                      textcoords="offset points", fontsize=9, ha="center")  # fmt: skip
    if known["seconds"].max() > 5 * known["seconds"].min() > 0:
        axes.set_xscale("log")
    axes.margins(0.08, 0.12)
    axes.set_xlabel("time per run (seconds)")
    axes.set_ylabel("test accuracy (%)")
    axes.grid(True, linewidth=0.4, alpha=0.5)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    figures.save(figure, folder, "cost")
    return True

"""The forest plot: every axis's differences on one scale in points, with delta's band."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ablate.metrics import METRICS

from . import analyse, answers, figures
from .info import AxisEffect, Contrast, Effects, Verdict

# Okabe and Ito's colours, and a shape each, so that none rests on colour alone.
MARKS = {
    Verdict.MATTERS: ("#0072B2", "o"),
    Verdict.REAL: ("#56B4E9", "s"),
    Verdict.INCONCLUSIVE: ("#E69F00", "D"),
    Verdict.SMALL: ("#009E73", "^"),
    Verdict.NEGLIGIBLE: ("#009E73", "v"),
    Verdict.CANNOT_TELL: ("#000000", "x"),
}
ALL_PAIRS = 6  # up to so many, an axis's contrasts are all drawn; else those with its best level


def shown(effect: AxisEffect, less_is_better: bool = False) -> list[Contrast]:
    """The contrasts of an axis that are drawn: all of four levels, those with the best level of more."""
    known = [c for c in effect.contrasts if c.estimate is not None]
    if len(known) <= ALL_PAIRS:
        return known
    best = answers.best(effect, less_is_better)
    return [c for c in known if best in (c.level, c.other)]


def draw_effects(effects: Effects, folder: Path) -> bool:
    """Write effects.png and effects.svg; False, and nothing, where no two levels can be compared."""
    metric = METRICS[effects.metric]
    rows = [(effect, c) for effect in effects.axes for c in shown(effect, metric.less_is_better)]
    if not rows:
        return False
    figure = Figure(figsize=(9, 1.7 + 0.3 * len(rows) + 0.25 * len(effects.axes)), layout="constrained")
    axes = figure.add_subplot()
    axes.axvspan(-effects.delta, effects.delta, color="#000000", alpha=0.07, linewidth=0)
    axes.axvline(0, color="black", linewidth=0.8)
    height, labels, previous = 0.0, [], None
    for effect, c in rows:
        height -= 1.0 if effect is previous else 1.8
        if effect is not previous:
            label_axis(axes, effect.axis, height)
        previous = effect
        labels.append(
            (height, figures.short(" − ".join(analyse.level_name(effect.axis, n) for n in (c.level, c.other)), 60))
        )
        colour, marker = MARKS[c.verdict]
        if c.own_low is not None and c.own_high is not None:
            axes.plot([c.own_low, c.own_high], [height] * 2, color="#B0B0B0", linewidth=5, solid_capstyle="butt")
        if c.low is not None and c.high is not None:
            axes.plot([c.low, c.high], [height] * 2, color=colour, linewidth=2)
        axes.plot([c.estimate or 0.0], [height], color=colour, marker=marker, markersize=6, linestyle="none")
    left, right = _limits(effects, [c for _, c in rows])
    axes.set_xlim(left, right)
    name_rows(axes, height, labels)
    axes.set_xlabel(f"difference in {metric.label} ({'percentage ' * (metric.unit == 'points')}{metric.unit})")
    present = {c.verdict for _, c in rows}
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=colour, marker=marker, linewidth=2, label=str(verdict))
        for verdict, (colour, marker) in MARKS.items()
        if verdict in present
    ]
    if any(c.own_low is not None for _, c in rows):
        handles.append(Line2D([], [], color="#B0B0B0", linewidth=5, label="by the axis's own noise"))
    handles.append(Patch(color="#000000", alpha=0.07, label=f"within delta (±{effects.delta:g})"))
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    figures.save(figure, folder, "effects")
    return True


def _limits(effects: Effects, drawn: list[Contrast]) -> tuple[float, float]:
    """Wide enough for every interval; a sensitivity interval may be cut off, as those of two seeds are huge."""
    ends = [end for c in drawn for end in (c.low, c.high, c.estimate) if end is not None]
    ends += [-1.5 * effects.delta, 1.5 * effects.delta]
    margin = 0.06 * (max(ends) - min(ends)) or 1.0
    return float(np.min(ends)) - margin, float(np.max(ends)) + margin


def name_rows(axes: Axes, height: float, labels: list[tuple[float, str]]) -> None:
    """Name each contrast at its height, down to the lowest, and leave lines for the eye in one direction only."""
    axes.set_ylim(height - 0.8, 0)
    axes.set_yticks([y for y, _ in labels], [label for _, label in labels])
    axes.tick_params(axis="y", length=0)
    axes.grid(True, axis="x", linewidth=0.4, alpha=0.5)
    axes.spines[["top", "right", "left"]].set_visible(False)


def label_axis(axes: Axes, name: str, height: float) -> None:
    """The name of an axis above its first contrast."""
    axes.annotate(
        figures.short(name, 60), (0, height + 0.8), xycoords=("axes fraction", "data"), xytext=(4, 0),
        textcoords="offset points", fontsize=9, fontweight="bold", va="center",
    )  # fmt: skip

"""The section Paired differences: what changing one choice alone did, pair by pair."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ablate.records.metrics import METRICS
from ablate.report.analysis import Analysis
from ablate.report.page import drawing
from ablate.report.page.blocks import Paragraph, Picture, Section
from ablate.report.page.drawing import COLOURS
from ablate.report.stats.verdicts import Contrast, Effects
from ablate.report.study import tables
from ablate.report.study.gather import StudyData
from ablate.report.study.tables import level_name

MANY_SEEDS = len(COLOURS)  # with more, one colour


def section(analysis: Analysis) -> Section | None:
    """Nothing where no two runs differ in one axis alone."""
    figure = draw(analysis.study, analysis.effects)
    if figure is None:
        return None
    about = (
        "A dot for each pair of runs that share every other level and the seed: what changing this one choice did "
        "there. Dots on both sides of zero: the effect depends on the rest, or is noise."
    )
    picture = Picture(
        "pairs", "Difference of each matched pair of runs", figure, draw(analysis.study, analysis.effects, narrow=True)
    )
    return Section("Paired differences", (Paragraph(about), picture))


def pairs(study: StudyData, axis: str, contrast: Contrast, metric: str) -> pd.DataFrame:
    """One row per pair matched on every other axis and the seed: seed, difference (level − other, metric's unit)."""
    values = tables.side_by_side(study, axis, metric, [contrast.level, contrast.other])
    rows = study.finished[study.finished[axis] == contrast.level]
    order = pd.MultiIndex.from_frame(rows[values.index.names]).unique()
    difference = (METRICS[metric].scale * (values[contrast.level] - values[contrast.other])).reindex(order).dropna()
    return pd.DataFrame({"seed": difference.index.get_level_values("seed"), "difference": difference.to_numpy()})


def draw(study: StudyData, effects: Effects, *, narrow: bool = False) -> Figure | None:
    """A dot per matched pair, coloured by seed; None where there is none."""
    metric = METRICS[effects.metric]
    rows = [
        (effect, c, pairs(study, effect.axis, c, effects.metric))
        for effect in effects.axes
        for c in effects.shown(effect)
    ]
    rows = [row for row in rows if len(row[2])]
    if not rows:
        return None
    seeds = sorted({int(seed) for _, _, of_row in rows for seed in of_row["seed"].unique()})
    colours = {
        seed: COLOURS[i] if len(seeds) <= MANY_SEEDS else COLOURS[0] for i, seed in enumerate(seeds[:MANY_SEEDS])
    }
    width, each = (drawing.NARROW, 0.52) if narrow else (drawing.WIDE, 0.42)
    figure = Figure(figsize=(width, 1.7 + each * len(rows) + 0.25 * len(effects.axes)), layout="constrained")
    axes = figure.add_subplot()
    axes.axvspan(-effects.delta, effects.delta, color="#000000", alpha=0.07, linewidth=0)
    axes.axvline(0, color="black", linewidth=0.8)
    height, labels, previous = 0.0, [], None
    for effect, c, found in rows:
        height -= 1.0 + 0.2 * narrow if effect is previous else 1.8 + 0.4 * narrow
        if effect is not previous:
            drawing.label_axis(axes, effect.axis, height + 0.35 * narrow)
        previous = effect
        name = " − ".join(level_name(effect.axis, n) for n in (c.level, c.other))
        labels.append((height, drawing.short(name, 60)))
        # Spread by the place in the table: the same each time, and no two seeds on one line.
        lift = 0.5 * (np.argsort(np.argsort(found["seed"].to_numpy(), kind="stable")) + 0.5) / len(found) - 0.25
        many = len(found) > 300
        dots = [colours.get(int(seed), COLOURS[0]) for seed in found["seed"]]
        axes.scatter(found["difference"], height + lift, s=5 if many else 18, alpha=0.8, linewidths=0, c=dots,
                     rasterized=many)  # fmt: skip
        axes.plot([found["difference"].mean()] * 2, [height - 0.38, height + 0.38], color="black", linewidth=2)
    drawing.name_rows(axes, height, labels, narrow=narrow)
    axes.set_xlabel(f"difference in {metric.label} ({metric.unit})")
    if len(seeds) <= MANY_SEEDS:
        for seed in seeds:
            axes.scatter([], [], color=colours[seed], s=18, label=f"seed {seed}")
    axes.plot([], [], color="black", linewidth=2, label="mean of the pairs")
    figure.legend(loc="outside lower center", ncols=2 if narrow else 5, frameon=False, fontsize=9)
    return figure

"""The section Interactions: heat maps of the pairs of axes whose effects depend on each other."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from ablate.report.analysis import Analysis
from ablate.report.answers import sentences
from ablate.report.page import drawing, numbers
from ablate.report.page.blocks import Block, Fold, Paragraph, Picture, Section
from ablate.report.stats.interactions import Interaction
from ablate.report.study import tables

ANNOTATED = 12  # up to this many levels, a tile has room for its number
MOST = 12  # maps; a study of ten axes has 45


def section(analysis: Analysis) -> Section | None:
    """Pairs that are not worth a mention are folded, the likeliest first; nothing where none was tested."""
    effects, unit = analysis.effects, analysis.metric.unit
    if not effects.interactions:
        return None
    unfinished = {effect.axis: set(effect.unfinished) for effect in effects.axes}
    levels = {one.name: [n for n in one.levels if n not in unfinished[one.name]] for one in analysis.study.comparisons}
    spoken = [found for found in effects.interactions if found.worth_a_mention]
    rest = sorted((found for found in effects.interactions if not found.worth_a_mention), key=lambda found: found.p)
    tested = numbers.count(len(effects.interactions), "pair")
    blocks: list[Block] = []
    if spoken:
        about = (
            f"{len(spoken)} of {tested} of axes {'is' if len(spoken) == 1 else 'are'} worth a mention: the mean of "
            f"each pair of levels, in {unit} from the grand mean."
        )
        picture = Picture(
            "interactions",
            "Means of pairs of levels, for the axes that interact",
            draw(levels, spoken[:MOST], unit),
            draw(levels, spoken[:MOST], unit, narrow=True),
        )
        blocks += [Paragraph(about), picture]
    else:
        blocks.append(Paragraph(f"None of {tested} of axes is worth a mention."))
    if rest:
        which = f"The {MOST} likeliest of the other {len(rest)}" if len(rest) > MOST else "The other pairs"
        picture = Picture(
            "interactions_rest",
            "Means of pairs of levels, for the other axes",
            draw(levels, rest[:MOST], unit),
            draw(levels, rest[:MOST], unit, narrow=True),
        )
        blocks.append(Fold(which, (picture,)))
    return Section("Interactions", tuple(blocks))


def draw(levels: dict[str, list[str]], found: Sequence[Interaction], unit: str, *, narrow: bool = False) -> Figure:
    """A heat map per pair of axes: the mean of each pair of levels, relative to the grand mean."""
    columns = 1 if narrow else min(3, len(found))
    rows = -(-len(found) // columns)
    size = (drawing.NARROW, 3.0 * rows) if narrow else (3.9 * columns + 1.2, 3.6 * rows)
    figure = Figure(figsize=size, layout="compressed")
    reach = max(1e-9, max(float(np.abs(np.array(one.means)).max()) for one in found))
    for place, one in enumerate(found, start=1):
        axes = figure.add_subplot(rows, columns, place)
        means = np.array(one.means)
        image = axes.imshow(means, cmap="RdBu", vmin=-reach, vmax=reach, aspect="auto", interpolation="nearest")
        first, second = one.axes
        names = [[drawing.short(tables.level_name(axis, n), 18) for n in levels[axis]] for axis in one.axes]
        axes.set_yticks(range(len(names[0])), names[0], fontsize=8)
        axes.set_xticks(range(len(names[1])), names[1], fontsize=8, rotation=30, ha="right")
        axes.set_ylabel(drawing.short(tables.axis_name(first), 30), fontsize=9)
        axes.set_xlabel(drawing.short(tables.axis_name(second), 30), fontsize=9)
        axes.set_title(f"p {sentences.p_value(one.p)}, up to {one.residual:.2f} {unit}", loc="left", fontsize=9)
        if max(means.shape) <= ANNOTATED:
            for (row, column), value in np.ndenumerate(means):
                colour = "white" if abs(value) > 0.6 * reach else "black"
                axes.text(column, row, f"{value:+.1f}".replace("-", "−"), ha="center", va="center", color=colour,
                          fontsize=8)  # fmt: skip
    bar = figure.colorbar(image, ax=figure.axes, fraction=0.04, pad=0.02)
    bar.set_label(f"{unit} from the grand mean", fontsize=9)
    return figure

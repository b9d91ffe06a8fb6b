"""The heat maps of interactions: the mean of each pair of levels, relative to the grand mean."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ablate.metrics import METRICS

from . import analyse, figures
from .info import Effects
from .interactions import Interaction

ANNOTATED = 12  # up to so many levels, a tile has room for its number
MOST = 12  # maps; a study of ten axes has 45


def draw_interactions(study_axes: dict[str, list[str]], effects: Effects, folder: Path) -> tuple[int, int]:
    """Write interactions.png and .svg, those worth a mention, and interactions_rest, the others by their p.

    Returns how many are drawn of each.
    """
    spoken = [found for found in effects.interactions if found.worth_a_mention]
    rest = sorted((found for found in effects.interactions if not found.worth_a_mention), key=lambda found: found.p)
    unfinished = {effect.axis: set(effect.unfinished) for effect in effects.axes}
    levels = {axis: [n for n in names if n not in unfinished[axis]] for axis, names in study_axes.items()}
    for name, found in (("interactions", spoken[:MOST]), ("interactions_rest", rest[:MOST])):
        if found:
            _draw(levels, found, METRICS[effects.metric].unit, folder, name)
    return len(spoken[:MOST]), len(rest[:MOST])


def _draw(levels: dict[str, list[str]], found: Sequence[Interaction], unit: str, folder: Path, name: str) -> None:
    columns = min(3, len(found))
    rows = -(-len(found) // columns)
    figure = Figure(figsize=(3.9 * columns + 1.2, 3.6 * rows), layout="compressed")
    reach = max(1e-9, max(float(np.abs(np.array(one.means)).max()) for one in found))
    for place, one in enumerate(found, start=1):
        axes = figure.add_subplot(rows, columns, place)
        means = np.array(one.means)
        image = axes.imshow(means, cmap="RdBu", vmin=-reach, vmax=reach, aspect="auto", interpolation="nearest")
        first, second = one.axes
        names = [[figures.short(analyse.level_name(axis, n), 18) for n in levels[axis]] for axis in one.axes]
        axes.set_yticks(range(len(names[0])), names[0], fontsize=8)
        axes.set_xticks(range(len(names[1])), names[1], fontsize=8, rotation=30, ha="right")
        axes.set_ylabel(figures.short(first, 30), fontsize=9)
        axes.set_xlabel(figures.short(second, 30), fontsize=9)
        axes.set_title(f"p = {one.p:.2g}, up to {one.residual:.2f} {unit}", loc="left", fontsize=9)
        if max(means.shape) <= ANNOTATED:
            for (row, column), value in np.ndenumerate(means):
                colour = "white" if abs(value) > 0.6 * reach else "black"
                axes.text(column, row, f"{value:+.1f}".replace("-", "−"), ha="center", va="center", color=colour,
                          fontsize=8)  # fmt: skip
    bar = figure.colorbar(image, ax=figure.axes, fraction=0.04, pad=0.02)
    bar.set_label(f"{unit} from the grand mean", fontsize=9)
    figures.save(figure, folder, name)

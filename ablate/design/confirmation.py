"""What a fraction recommends, so that it can be trained and compared with what was predicted."""

from collections.abc import Mapping, Sequence

import numpy as np

from ablate.design import fraction


def best(
    cells: Sequence[Mapping[str, str]], axes: Mapping[str, Sequence[str]], values: Sequence[float]
) -> dict[str, str]:
    """The level of each axis with the highest main effect, by least squares on main effects.

    cells: each run's levels; values: what it reached, the more the better.
    """
    sizes = [len(levels) for levels in axes.values()]
    rows = [tuple(levels.index(cell[axis]) for axis, levels in axes.items()) for cell in cells]
    effects, *_ = np.linalg.lstsq(fraction.model(sizes, rows), np.array(values), rcond=None)
    of_levels = [fraction.contrasts(n) @ effects[fraction.columns(sizes, axis)] for axis, n in enumerate(sizes)]
    return {axis: levels[int(of.argmax())] for (axis, levels), of in zip(axes.items(), of_levels, strict=True)}

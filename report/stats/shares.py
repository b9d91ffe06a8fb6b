"""How much of the variance between runs each axis explains: what people know as parameter importance."""

from dataclasses import dataclass

import numpy as np
from scipy import linalg

from ablate.report.stats.contrasts import Prepared
from ablate.report.stats.layout import Floats, Layout
from ablate.report.stats.linear import TOLERANCE, factorial, rounding

INTERACTIONS, SEEDS, REST = "interactions of two axes", "seeds", "the rest"


@dataclass(frozen=True)
class Share:
    """Of the variance of the metric over the finished runs, a fraction; `of` is an axis, or one of the above."""

    of: str
    share: float


def shares(layout: Layout, prepared: Prepared, y: Floats) -> tuple[Share, ...]:
    """The variance of each part of the fitted model, as a share of all; () without a model or any variance.

    In a grid in which all finished the parts are orthogonal: these are the sums of squares of the analysis of variance
    (eta squared; Fisher, Statistical Methods for Research Workers, 1925), which add up to one. Elsewhere the parts
    overlap and add up to about one.
    """
    if not layout.axes:
        return ()
    total = float(np.square(y - y.mean()).sum()) if len(y) else 0.0
    if prepared.model is None or total / max(1, len(y)) <= rounding(y):
        return ()
    effects = linalg.pinv(prepared.model, rtol=TOLERANCE, check_finite=False) @ y
    places = factorial(layout, prepared.terms)[1]
    after = places[-1].stop
    seeds = prepared.model.shape[1] - (layout.number_of_seeds - 1)

    def part(columns: slice) -> float:
        fitted = prepared.model[:, columns] @ effects[columns]  # type: ignore[index]
        return float(np.square(fitted - fitted.mean()).sum() / total)

    found = [Share(axis, part(place)) for axis, place in zip(layout.axes, places, strict=True)]
    if prepared.terms:
        found.append(Share(INTERACTIONS, part(slice(after, seeds))))
    found.append(Share(SEEDS, part(slice(seeds, prepared.model.shape[1]))))
    left = float(np.square(y - prepared.model @ effects).sum() / total)
    return (*found, Share(REST, left))

"""What runs are called: the levels that tell them apart, each whole. Decoration, as a run is known by its signature."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from ablate.records.study_plan import NOT_READ

LONGEST = 120  # characters; with the signature, well below what file systems take


def label_of(levels: Mapping[str, str], seed: int) -> str:
    """A name that shows these levels and the seed, safe as a folder's."""
    label = "-".join(re.sub(r"[^A-Za-z0-9.+_-]+", "_", _part(*level)).strip("_") for level in levels.items())
    if len(label) > LONGEST:
        label = label[:LONGEST].rpartition("-")[0] or label[:LONGEST]  # no value is cut in two
    return f"{label or 'baseline'}-s{seed}"


def shown(levels: Sequence[Mapping[str, str]], axes: Sequence[str], *, around: bool) -> list[dict[str, str]]:
    """Of each run's levels, those that it reads on the axes that vary; `around` a baseline, the first, those that
    differ from it."""
    return [
        {axis: of[axis] for axis in axes if of[axis] != NOT_READ and (not around or of[axis] != levels[0][axis])}
        for of in levels
    ]


def _part(key: str, level: str) -> str:
    group, _, name = key.rpartition(".")
    if key == "backbone.weights":
        level = Path(level).stem
    if not group or key in ("backbone.name", "data.path"):
        return level  # which says what it is
    return f"{name}{level}" if re.match(r"-?\d", level) else f"{name}_{level}"

"""The confusion matrix of a run after an epoch: its file, and what pictures of it have in common.

Counts (C, C) on the test set, row = true class, column = predicted class.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ablate.records.files import write_bytes
from ablate.records.run_folder import RunFolder

Counts = NDArray[np.int64]

ANNOTATED = 20  # up to this many classes, a cell has room for its share
NAMED = 40  # up to this many, every class has room for its name
LONGEST_NAME = 18
COLOURS = "magma_r"
# The root shows single errors, which a linear scale would not separate from none.
TICKS, SCALE = (0, 0.01, 0.05, 0.1, 0.25, 0.5, 1), "share of the true class (%), root scale"


def write(folder: RunFolder, epoch: int, counts: Counts) -> None:
    """Write the counts as CSV. Raises OSError."""
    text = "\n".join(",".join(str(n) for n in row) for row in counts.tolist()) + "\n"
    write_bytes(folder.confusion_of(epoch), text.encode())


def read(folder: RunFolder, epoch: int, classes: int, images: int) -> Counts:
    """Read counts, checked against both numbers. Raises ValueError when the file is missing or damaged."""
    path = folder.confusion_of(epoch)
    try:
        rows = [[int(number) for number in line.split(",")] for line in path.read_text().splitlines()]
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
    if not rows or len(rows) != classes or any(len(row) != classes for row in rows):
        raise ValueError(f"{path} is damaged: it does not hold {classes} rows of {classes} counts")
    # A file cut inside its last number has the right shape.
    if min(map(min, rows)) < 0 or not sum(map(sum, rows)) == images > 0:
        raise ValueError(f"{path} is damaged: its counts do not add up to the {images} test images")
    return np.array(rows, dtype=np.int64)


def named_places(classes: Sequence[str]) -> tuple[list[int], list[str]]:
    """The places along an axis of classes that have room for their names, and those names."""
    places = list(range(0, len(classes), 1 if len(classes) <= NAMED else -(-len(classes) // 25)))
    return places, [short_name(classes[place], place) for place in places]


def short_name(name: str, number: int) -> str:
    """A class's name on one line, cut where it is long; its number where the font lacks a character of it."""
    line = " ".join(name.split())
    if not line or any(ord(character) not in _drawable() for character in line):
        return f"class {number}"
    return line if len(line) <= LONGEST_NAME else line[: LONGEST_NAME - 1] + "…"


def in_percent(share: float) -> str:
    """A fraction as it fits into a cell."""
    return "<1" if share < 0.005 else f"{100 * share:.0f}"


@cache
def _drawable() -> frozenset[int]:
    """The characters of matplotlib's font, which all pictures use."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    return frozenset(get_font(findfont(FontProperties())).get_charmap())

"""Pictures of what a network gets right and wrong. No torch, no TensorBoard; matplotlib without any global state."""

from collections.abc import Sequence
from functools import cache

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colorbar import Colorbar
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.image import AxesImage
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

ANNOTATED = 20  # up to so many classes, a cell has room for its share
NAMED = 40  # up to so many, every class has room for its name
LONGEST_NAME = 18
# Of the grid of samples, in pixels.
COLUMNS, CELL, SIDE, HEADING, MARGIN = 6, (200, 194), 150, 34, 8
BAR, BEFORE_BAR = 0.05, 0.02  # widths, as shares of the width of what the bar stands beside
# Okabe and Ito's blue and vermilion, told apart by colour-blind readers too.
RIGHT, WRONG = "#0072B2", "#D55E00"


def confusion(counts: NDArray[np.int64], classes: Sequence[str], epoch: int) -> NDArray[np.uint8]:
    """The confusion matrix of an epoch as pixels (H, W, 3).

    counts: (C, C), row = true class, column = predicted class.
    """
    # Placed by hand, as matplotlib's layout engines draw everything twice to measure it.
    side = 6.0 if len(classes) <= NAMED else 8.5  # inches, as everything here
    longest = max(len(_short(name, number)) for number, name in enumerate(classes))
    names = 0.65 + 0.75 * longest * _size_of_names(len(classes)) / 72
    beside = side / (1 - BAR - BEFORE_BAR)  # the colour bar takes its share of this
    width, height = names + beside + 0.75, names + side + 0.4
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((names / width, names / height, beside / width, side / height))
    image = draw_matrix(axes, counts, classes)
    add_colour_bar(figure, image, [axes])
    axes.set_title(f"epoch {epoch}: accuracy {100 * np.trace(counts) / counts.sum():.1f} %", loc="left")
    return _pixels(figure)


def draw_matrix(axes: Axes, counts: NDArray[np.int64], classes: Sequence[str], *, label_rows: bool = True) -> AxesImage:
    """Draw counts (C, C) as the share of each true class: annotated with few classes, a heat map with many."""
    images = counts.sum(axis=1, keepdims=True)
    # A class without test images has no shares; its row stays grey.
    shares = np.ma.masked_array(counts / np.maximum(images, 1), np.broadcast_to(images == 0, counts.shape))
    axes.set_facecolor("0.8")
    # The root shows single errors, which a linear scale would not tell from none.
    image = axes.imshow(shares, cmap="magma_r", norm=PowerNorm(0.5, vmin=0, vmax=1), interpolation="nearest")
    places = list(range(0, len(classes), 1 if len(classes) <= NAMED else -(-len(classes) // 25)))
    names = [_short(classes[place], place) for place in places]
    small = _size_of_names(len(classes))
    axes.set_xticks(places, names, rotation=90, fontsize=small, parse_math=False)
    axes.set_yticks(places, names if label_rows else [""] * len(names), fontsize=small, parse_math=False)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class" if label_rows else "")
    if len(classes) <= ANNOTATED:
        for (row, column), share in np.ndenumerate(shares.filled(0)):
            if share > 0:
                text = "<1" if share < 0.005 else f"{100 * share:.0f}"
                colour = "white" if share > 0.2 else "black"
                size = min(12, max(6, 80 / len(classes)))
                axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=size)
    return image


def _size_of_names(classes: int) -> int:
    return 8 if classes <= ANNOTATED else 6  # points


def add_colour_bar(figure: Figure, image: AxesImage, beside: Sequence[Axes]) -> Colorbar:
    """The scale of draw_matrix, in percent."""
    ticks = [0, 0.01, 0.05, 0.1, 0.25, 0.5, 1]
    bar = figure.colorbar(image, ax=list(beside), fraction=BAR, pad=BEFORE_BAR, ticks=ticks)
    bar.ax.set_yticklabels(["0", "1", "5", "10", "25", "50", "100"])
    bar.set_label("share of the true class (%), root scale")
    return bar


def choose(right: NDArray[np.bool_], count: int = 24) -> NDArray[np.intp]:
    """Indices into a test set, right ones first: half and half where there are enough, spread evenly over the set."""
    hits, misses = np.flatnonzero(right), np.flatnonzero(~right)
    wrong = min(len(misses), max(count // 2, count - len(hits)))
    return np.concatenate([_spread(hits, min(len(hits), count - wrong)), _spread(misses, wrong)])


def _spread(index: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    return index[np.arange(count) * len(index) // max(count, 1)]


def samples(
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    predicted: NDArray[np.int64],
    probability: NDArray[np.floating],
    classes: Sequence[str],
    epoch: int,
) -> NDArray[np.uint8]:
    """A grid of test images with the class predicted, its probability, and the true class, as pixels (H, W, 3).

    images: (N, H, W, 3); labels, predicted and probability (a fraction): (N,).
    """
    rows = max(1, -(-len(images) // COLUMNS))
    # By Pillow: matplotlib takes ten times as long for two dozen small images and their captions.
    sheet = Image.new("RGB", (COLUMNS * CELL[0], HEADING + rows * CELL[1]), "white")
    draw = ImageDraw.Draw(sheet)
    heading = f"epoch {epoch}: ✓ right, ✗ wrong, with the predicted class, its probability, and the true class"
    draw.text((MARGIN, MARGIN), heading, "black", _font(15))
    for number, (image, label, guess, share) in enumerate(zip(images, labels, predicted, probability, strict=True)):
        row, column = divmod(number, COLUMNS)
        left, top = column * CELL[0] + MARGIN, HEADING + row * CELL[1]
        colour = RIGHT if label == guess else WRONG
        draw.text((left, top), caption(label, guess, share, classes), colour, _font(10))
        top += CELL[1] - SIDE - MARGIN
        sheet.paste(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.NEAREST), (left, top))
        draw.rectangle((left, top, left + SIDE - 1, top + SIDE - 1), outline=colour, width=3)
    return np.asarray(sheet)


def caption(label: int, guess: int, share: float, classes: Sequence[str]) -> str:
    """Two lines: right or wrong, the class predicted and its probability (a fraction); the true class."""
    sign = "✓" if label == guess else "✗"
    return f"{sign} {_short(classes[guess], guess)} ({100 * share:.0f} %)\ntrue: {_short(classes[label], label)}"


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(findfont(FontProperties()), size)


def _short(name: str, number: int) -> str:
    """A class's name on one line, cut where it is long; its number where the font lacks a character of it."""
    line = " ".join(name.split())
    if not line or any(ord(character) not in _drawable() for character in line):
        return f"class {number}"
    return line if len(line) <= LONGEST_NAME else line[: LONGEST_NAME - 1] + "…"


@cache
def _drawable() -> frozenset[int]:
    return frozenset(get_font(findfont(FontProperties())).get_charmap())


def _pixels(figure: Figure) -> NDArray[np.uint8]:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()

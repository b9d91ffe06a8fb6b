"""Pictures of what a network sees, and of what it gets right and wrong, for TensorBoard and for `ablate inspect`.

By Pillow, with matplotlib's font and colours: its figures take ten times as long, which short runs would feel.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil

import numpy as np
from matplotlib import colormaps
from matplotlib.font_manager import FontProperties, findfont
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ablate.data.cache import Images
from ablate.records.confusion import ANNOTATED, COLOURS, NAMED, SCALE, TICKS, in_percent, named_places, short_name
from ablate.run.samples import spread

HEADING, MARGIN = 34, 8  # pixels
COLUMNS, CELL, SIDE = 6, (200, 172), 128  # of the grid of samples, in pixels: 64 and 32 fit in without a remainder
ROWS, OF_TRAINING, OF_TEST = 40, 7, 3  # of a contact sheet: classes, and images of each
# Okabe and Ito's blue and vermilion, which colour-blind readers can distinguish too.
RIGHT, WRONG = "#0072B2", "#D55E00"


def confusion(counts: NDArray[np.int64], classes: Sequence[str], epoch: int) -> NDArray[np.uint8]:
    """The confusion matrix of an epoch as pixels (H, W, 3): shares of each true class, as numbers with few classes.

    counts: (C, C), row = true class, column = predicted class.
    """
    count = len(classes)
    cell = max(1, (600 if count <= NAMED else 840) // count)
    side, small = cell * count, _font(11 if count <= ANNOTATED else 8)
    places, names = named_places(classes)
    widest = ceil(max(map(small.getlength, names)))
    left, top = widest + 40, HEADING
    sheet = Image.new("RGB", (left + side + 110, top + side + widest + 40), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text(
        (left, MARGIN), f"epoch {epoch}: accuracy {100 * np.trace(counts) / counts.sum():.1f} %", "black", _font(15)
    )

    images = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(images, 1)
    # A class without test images has no shares; its row stays grey.
    cells = np.where(images[:, :, None] == 0, np.uint8(204), _colours(shares))
    sheet.paste(Image.fromarray(cells).resize((side, side), Image.Resampling.NEAREST), (left, top))
    if count <= ANNOTATED:
        font = _font(min(17, max(9, 110 // count)))
        for row, column in zip(*np.nonzero(counts), strict=True):
            share = shares[row, column]
            centre = (left + (column + 0.5) * cell, top + (row + 0.5) * cell)
            draw.text(centre, in_percent(share), "white" if share > 0.2 else "black", font, anchor="mm")
    for place, name in zip(places, names, strict=True):
        middle = (place + 0.5) * cell
        draw.text((left - 5, top + middle), name, "black", small, anchor="rm")
        _write_upwards(sheet, (left + middle, top + side + 5 + small.getlength(name) / 2), name, small)
    draw.rectangle((left, top, left + side - 1, top + side - 1), outline="black")
    draw.text((left + side / 2, top + side + widest + 25), "predicted class", "black", _font(13), anchor="mm")
    _write_upwards(sheet, (15, top + side / 2), "true class", _font(13))

    bar, low = left + side + 15, top + side - 1
    sheet.paste(Image.fromarray(_colours(np.linspace(1, 0, side)[:, None] ** 2)).resize((20, side)), (bar, top))
    draw.rectangle((bar, top, bar + 19, low), outline="black")
    for tick in TICKS:
        draw.text((bar + 25, low - tick**0.5 * (side - 1)), f"{100 * tick:.0f}", "black", _font(11), anchor="lm")
    _write_upwards(sheet, (bar + 75, top + side / 2), SCALE, _font(13))
    return np.asarray(sheet)


def _colours(shares: NDArray[np.floating]) -> NDArray[np.uint8]:
    """(…, 3) by a root scale, which shows single errors."""
    found: NDArray[np.uint8] = colormaps[COLOURS](np.sqrt(shares), bytes=True)[..., :3]
    return found


def _write_upwards(sheet: Image.Image, middle: tuple[float, float], text: str, font: ImageFont.FreeTypeFont) -> None:
    length, height = ceil(font.getlength(text)), sum(font.getmetrics())
    strip = Image.new("L", (length, height))
    ImageDraw.Draw(strip).text((0, 0), text, 255, font)
    turned = strip.rotate(90, expand=True)
    sheet.paste("black", (round(middle[0] - height / 2), round(middle[1] - length / 2)), turned)


@dataclass(frozen=True)
class Predicted:
    """What a network says of some test images, in parallel arrays (N,)."""

    labels: NDArray[np.int64]  # the true classes
    classes: NDArray[np.int64]  # the predicted ones
    probability: NDArray[np.floating]  # of those, fractions


def samples(images: NDArray[np.uint8], predicted: Predicted, classes: Sequence[str], epoch: int) -> NDArray[np.uint8]:
    """A grid of test images (N, H, W, 3) with the class predicted, its probability, and the true class, as pixels
    (H, W, 3)."""
    rows = max(1, -(-len(images) // COLUMNS))
    sheet = Image.new("RGB", (COLUMNS * CELL[0], HEADING + rows * CELL[1]), "white")
    draw = ImageDraw.Draw(sheet)
    heading = f"epoch {epoch}: ✓ right, ✗ wrong, with the predicted class, its probability, and the true class"
    draw.text((MARGIN, MARGIN), heading, "black", _font(15))
    rows_of = zip(images, predicted.labels, predicted.classes, predicted.probability, strict=True)
    for number, (image, label, guess, share) in enumerate(rows_of):
        row, column = divmod(number, COLUMNS)
        left, top = column * CELL[0] + MARGIN, HEADING + row * CELL[1]
        colour = RIGHT if label == guess else WRONG
        draw.text((left, top), caption(label, guess, share, classes), colour, _font(10))
        top += CELL[1] - SIDE - MARGIN
        sheet.paste(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.NEAREST), (left, top))
        draw.rectangle((left, top, left + SIDE - 1, top + SIDE - 1), outline=colour, width=3)
    return np.asarray(sheet)


def contact_sheet(images: Images) -> NDArray[np.uint8]:
    """Some training and test images of each class, a row each, as pixels (H, W, 3)."""
    classes, side = images.classes[:ROWS], max(SIDE // 2, min(SIDE, images.train_images.shape[1]))
    names = [short_name(name, number) for number, name in enumerate(classes)]
    left = ceil(max(map(_font(12).getlength, names))) + 2 * MARGIN
    cell, between = side + MARGIN, left + OF_TRAINING * (side + MARGIN) + 2 * MARGIN
    more = f", the first {ROWS} of {len(images.classes)} classes" if len(images.classes) > ROWS else ""
    sheet = Image.new("RGB", (between + OF_TEST * cell, HEADING + len(classes) * cell), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((left, MARGIN), f"training{more}", "black", _font(13))
    draw.text((between, MARGIN), "test", "black", _font(13))
    for row, name in enumerate(names):
        top = HEADING + row * cell
        draw.text((left - MARGIN, top + side / 2), name, "black", _font(12), anchor="rm")
        for place, pixels, labels, count in (
            (left, images.train_images, images.train_labels, OF_TRAINING),
            (between, images.test_images, images.test_labels, OF_TEST),
        ):
            of_class = np.flatnonzero(labels == row)
            for column, index in enumerate(spread(of_class, min(count, len(of_class)))):
                image = Image.fromarray(pixels[index]).resize((side, side), Image.Resampling.NEAREST)
                sheet.paste(image, (place + column * cell, top))
                corner = place + column * cell
                draw.rectangle((corner, top, corner + side - 1, top + side - 1), outline="#999999")
    return np.asarray(sheet)


def caption(label: int, guess: int, share: float, classes: Sequence[str]) -> str:
    """Two lines: right or wrong, the class predicted and its probability (a fraction); the true class."""
    sign = "✓" if label == guess else "✗"
    return (
        f"{sign} {short_name(classes[guess], guess)} ({100 * share:.0f} %)\ntrue: {short_name(classes[label], label)}"
    )


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(findfont(FontProperties()), size)

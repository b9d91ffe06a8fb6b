"""What all figures share: colours, labels, and how they are saved."""

import io
import re
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ablate.records import files
from ablate.report.page.blocks import Picture, plain

# Okabe and Ito's palette, which colour-blind readers can distinguish too (jfly.uni-koeln.de/color).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C8C00")
STYLES = ("-", "--", "-.", ":")
WIDE, NARROW = 9.0, 3.8  # inches: for a desk and for a phone
FORMATS: dict[str, dict[str, Any]] = {"png": {"dpi": 150}, "svg": {"metadata": {"Date": None}, "transparent": True}}


def short(name: str, most: int = 90) -> str:
    """A name without mathematics, on one line, and no longer than a label can be."""
    line = plain(name).replace("$", r"\$")
    return line if len(line) <= most else line[: most - 1] + "…"


def save(picture: Picture, folder: Path) -> None:
    """Write a figure as NAME.png and NAME.svg, and what is for a phone as NAME_narrow.svg, the same bytes each time."""
    for kind in FORMATS:
        files.write_bytes(folder / f"{picture.name}.{kind}", encode(picture.figure, kind))
    if picture.narrow is not None:
        files.write_bytes(folder / f"{picture.name}_narrow.svg", encode(picture.narrow, "svg"))


def encode(figure: Figure, kind: str) -> bytes:
    """A figure as a PNG or SVG file's content."""
    drawn = io.BytesIO()
    # A fixed salt and no date: two reports on one study are the same bytes. Text as text in one font, which matplotlib
    # brings for the PNG, is a third of the size.
    style: Any = {"svg.hashsalt": "ablate", "svg.fonttype": "none", "font.sans-serif": ["DejaVu Sans"]}
    with matplotlib.rc_context(style):
        figure.savefig(drawn, format=kind, **FORMATS[kind])
    return _smaller(drawn.getvalue()) if kind == "svg" else drawn.getvalue()


def _smaller(svg: bytes) -> bytes:
    """Without indentation, and with hundredths of a point: a third less, and nothing that shows."""
    svg = re.sub(rb"\n\s+", b"\n", svg)
    return re.sub(rb"<[^>]*>", lambda tag: re.sub(rb"(\d\.\d\d)\d+", rb"\1", tag[0]), svg)


def over_epochs(axes: Axes, title: str) -> None:
    """Dress a panel whose horizontal axis is the epoch."""
    axes.set_title(title, loc="left", fontsize=11)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(True, linewidth=0.4, alpha=0.5)
    axes.spines[["top", "right"]].set_visible(False)


def name_rows(axes: Axes, height: float, labels: list[tuple[float, str]], *, narrow: bool = False) -> None:
    """Name each contrast at its height, down to the lowest, and leave lines for the eye in one direction only.

    On a phone names are above what they name, as there is no room at the side.
    """
    axes.set_ylim(height - 0.8, 0)
    if narrow:
        axes.set_yticks([])
        for y, label in labels:
            axes.annotate(label, (0, y + 0.38), xycoords=("axes fraction", "data"), fontsize=8, va="center")
    else:
        axes.set_yticks([y for y, _ in labels], [label for _, label in labels])
    axes.tick_params(axis="y", length=0)
    axes.grid(True, axis="x", linewidth=0.4, alpha=0.5)
    axes.spines[["top", "right", "left"]].set_visible(False)


def label_axis(axes: Axes, name: str, height: float) -> None:
    """The name of an axis above its first contrast."""
    axes.annotate(
        short(name, 60), (0, height + 0.8), xycoords=("axes fraction", "data"), xytext=(4, 0),
        textcoords="offset points", fontsize=9, fontweight="bold", va="center",
    )  # fmt: skip

"""What a report says, as plain values: sections of paragraphs, tables and figures.

markdown and html render the same sections, so that neither says what the other does not. Texts are plain: what is
markup in one of the two is made inert there.
"""

import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_ROWS = 100  # of a table on a page; the CSV holds them all


@dataclass(frozen=True)
class Link:
    """A text that leads to a file next to the report, or to another place in it."""

    kind: ClassVar[str] = "link"
    text: str
    href: str


@dataclass(frozen=True)
class Code:
    kind: ClassVar[str] = "code"
    text: str


@dataclass(frozen=True)
class Strong:
    kind: ClassVar[str] = "strong"
    text: str


@dataclass(frozen=True)
class Number:
    """A cell that is sorted by its value, not by what it reads."""

    kind: ClassVar[str] = "number"
    text: str
    value: float | None
    strong: bool = False


@dataclass(frozen=True)
class Badge:
    """A verdict in a word or two. tone: matters, depends, negligible, open or unknown."""

    kind: ClassVar[str] = "badge"
    text: str
    tone: str


Inline = str | Link | Code | Strong | Number
Text = Inline | tuple[Inline, ...]


@dataclass(frozen=True)
class Paragraph:
    kind: ClassVar[str] = "paragraph"
    text: Text


@dataclass(frozen=True)
class Note:
    """A warning that stands out."""

    kind: ClassVar[str] = "note"
    text: Text


@dataclass(frozen=True)
class Bullets:
    kind: ClassVar[str] = "bullets"
    items: tuple[Text, ...]


@dataclass(frozen=True)
class Table:
    """The columns `numbers` are aligned right; a click on the head of those in `falling` puts the highest first. The
    caption is what a screen reader says first."""

    kind: ClassVar[str] = "table"
    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[Text, ...], ...]
    numbers: tuple[int, ...] = ()
    falling: tuple[int, ...] = ()


@dataclass(frozen=True)
class Interval:
    """A difference to be drawn on a scale from left to right, with the band -delta to delta. All in one unit."""

    estimate: float
    low: float | None
    high: float | None
    delta: float
    left: float
    right: float

    def place(self, value: float) -> float:
        """A value's place on the scale in percent, cut at its ends."""
        share = (value - self.left) / (self.right - self.left)
        return round(100 * min(1.0, max(0.0, share)), 2)


@dataclass(frozen=True)
class VerdictRow:
    """An axis's answer: its badge, the level to take ("" for none), its lead in words and as drawn, notes."""

    badge: Badge
    axis: str
    choice: str
    lead: str
    drawn: Interval | None
    about: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Verdicts:
    kind: ClassVar[str] = "verdicts"
    caption: str
    rows: tuple[VerdictRow, ...]

    @property
    def header(self) -> tuple[str, ...]:
        return "axis", "verdict", "take", "lead", "in short"


@dataclass(frozen=True, eq=False)
class Picture:
    """A figure, written as figures/NAME.png and .svg, and what it shows, in words.

    narrow: the same for a phone. plot: its values, with which the page answers a pointer. photos: it keeps its colours
    on a dark page.
    """

    kind: ClassVar[str] = "picture"
    name: str
    alt: str
    figure: "Figure"
    narrow: "Figure | None" = None
    plot: "Plot | None" = None
    photos: bool = False


@dataclass(frozen=True)
class Dot:
    """A run, or a combination, as a plot names it: its levels, and where its folder is ("" for nowhere)."""

    label: str
    levels: dict[str, str]
    href: str = ""


@dataclass(frozen=True)
class Panel:
    """One of a plot's panels: for each of its dots the values along x and y, as lines or as single points."""

    title: str
    across: str
    x: tuple[tuple[float, ...], ...]
    y: tuple[tuple[float, ...], ...]
    log: bool = False  # the x axis


@dataclass(frozen=True)
class Plot:
    axes: tuple[str, ...]  # by whose levels dots can be coloured and switched
    dots: tuple[Dot, ...]
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Commands:
    """Commands for a shell, as they are."""

    kind: ClassVar[str] = "listing"
    text: str


@dataclass(frozen=True)
class Fold:
    """What few will read: closed until it is opened."""

    kind: ClassVar[str] = "fold"
    summary: str
    blocks: tuple["Block", ...]


Block = Paragraph | Note | Bullets | Table | Verdicts | Picture | Commands | Fold


@dataclass(frozen=True)
class Section:
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Part:
    """Sections that are read for one purpose."""

    title: str
    sections: tuple[Section, ...]


@dataclass(frozen=True)
class Page:
    """A whole report; `notes` are shown before its first section."""

    title: str
    notes: tuple[Note, ...]
    parts: tuple[Part, ...]

    @property
    def sections(self) -> tuple[Section, ...]:
        """Those of all parts, in their order."""
        return tuple(section for part in self.parts for section in part.sections)

    def pictures(self) -> Iterator[Picture]:
        """Every picture, folded ones too."""
        for section in self.sections:
            yield from pictures(section.blocks)


def pictures(blocks: Iterable[Block]) -> Iterator[Picture]:
    """Every picture among blocks, folded ones too."""
    for block in blocks:
        if isinstance(block, Picture):
            yield block
        elif isinstance(block, Fold):
            yield from pictures(block.blocks)


def inline(text: Text) -> tuple[Inline, ...]:
    """The parts of a text."""
    return text if isinstance(text, tuple) else (text,)


def plain(value: object) -> str:
    """Any text on one line; what would hide or turn other text around is written out, as ⟨U+202E⟩."""
    line = " ".join(str(value).split())
    return "".join(f"⟨U+{ord(c):04X}⟩" if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co") else c for c in line)

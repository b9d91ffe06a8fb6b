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
    """The columns `numbers` are aligned right. The caption is what a screen reader says first."""

    kind: ClassVar[str] = "table"
    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[Text, ...], ...]
    numbers: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Picture:
    """A figure, written as figures/NAME.png and .svg, and what it shows, in words."""

    kind: ClassVar[str] = "picture"
    name: str
    alt: str
    figure: "Figure"


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


Block = Paragraph | Note | Bullets | Table | Picture | Commands | Fold


@dataclass(frozen=True)
class Section:
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Page:
    """A whole report; `notes` are shown before its first section."""

    title: str
    notes: tuple[Note, ...]
    sections: tuple[Section, ...]

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

"""What a report says, as plain values: sections of paragraphs, tables and figures.

markdown and html render the same sections, so that neither says what the other does not. Texts are plain: what is
markup in one of the two is made inert there.
"""

import unicodedata
from dataclasses import dataclass


@dataclass(frozen=True)
class Link:
    """A text that leads to a file beside the report, or to another place in it."""

    text: str
    href: str


@dataclass(frozen=True)
class Code:
    text: str


@dataclass(frozen=True)
class Strong:
    text: str


@dataclass(frozen=True)
class Number:
    """A cell that is sorted by its value, not by what it reads."""

    text: str
    value: float | None


Inline = str | Link | Code | Strong | Number
Text = Inline | tuple[Inline, ...]


@dataclass(frozen=True)
class Paragraph:
    text: Text


@dataclass(frozen=True)
class Note:
    """A warning that stands out."""

    text: Text


@dataclass(frozen=True)
class Bullets:
    items: tuple[Text, ...]


@dataclass(frozen=True)
class Table:
    """The columns `numbers` are aligned right. The caption is what a screen reader says first."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[Text, ...], ...]
    numbers: tuple[int, ...] = ()


@dataclass(frozen=True)
class Picture:
    """figures/NAME.png and .svg, and what they show, in words."""

    name: str
    alt: str


@dataclass(frozen=True)
class Listing:
    """Commands for a shell, as they are."""

    text: str


@dataclass(frozen=True)
class Fold:
    """What few will read: closed until it is opened."""

    summary: str
    blocks: tuple["Block", ...]


Block = Paragraph | Note | Bullets | Table | Picture | Listing | Fold


@dataclass(frozen=True)
class Section:
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Page:
    """A whole report; `notes` stand before its first section."""

    title: str
    notes: tuple[Note, ...]
    sections: tuple[Section, ...]


def inline(text: Text) -> tuple[Inline, ...]:
    return text if isinstance(text, tuple) else (text,)


def plain(value: object) -> str:
    """Any text on one line; what would hide or turn other text around is written out, as ⟨U+202E⟩."""
    line = " ".join(str(value).split())
    return "".join(f"⟨U+{ord(c):04X}⟩" if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co") else c for c in line)

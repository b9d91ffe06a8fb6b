"""Sections as Markdown that GitHub shows: nothing in a name is markup, a tag or a new row."""

import re
from collections.abc import Sequence

import pandas as pd

from ablate.metrics import Metric

from .page import (
    Block,
    Bullets,
    Code,
    Fold,
    Inline,
    Link,
    Listing,
    Note,
    Page,
    Paragraph,
    Picture,
    Strong,
    Table,
    Text,
    inline,
    plain,
)  # fmt: skip


def count(number: int, noun: str) -> str:
    """A number with its noun: 1 run, 2 runs."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def percent(mean: float, sd: float = float("nan")) -> str:
    """Fractions as percent, mean ± standard deviation; a missing spread is left out."""
    if pd.isna(mean):
        return "–"
    return f"{100 * mean:.1f}" if pd.isna(sd) else f"{100 * mean:.1f} ± {100 * sd:.1f}"


def measured(metric: Metric, mean: float, sd: float = float("nan")) -> str:
    """A record's value, mean ± standard deviation, in the metric's unit; accuracies as percent do."""
    if metric.unit == "points":
        return percent(mean, sd)
    digits = metric.digits
    if pd.isna(mean):
        return "–"
    return f"{mean:.{digits}f}" if pd.isna(sd) else f"{mean:.{digits}f} ± {sd:.{digits}f}"


def duration(seconds: float) -> str:
    """Seconds as a person would say them."""
    if pd.isna(seconds):
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def document(page: Page) -> str:
    """The whole report."""
    parts = [f"# {text(page.title)}", *(block(note) for note in page.notes)]
    for section in page.sections:
        parts += [f"## {text(section.title)}", *(block(b) for b in section.blocks)]
    return "\n\n".join(parts) + "\n"


def block(value: Block) -> str:
    """One block of a section."""
    match value:
        case Paragraph(words):
            return spans(words)
        case Note(words):
            return f"> {spans(words)}"
        case Bullets(items):
            return "\n".join(f"- {spans(item)}" for item in items)
        case Table():
            return table(value.header, value.rows, value.numbers)
        case Picture(name, alt):
            return f"![{text(alt)}](figures/{name}.png)\n\nThe same as [SVG](figures/{name}.svg)."
        case Listing(words):
            return fence(words)
        case Fold(summary, blocks):
            # The summary is HTML, in which Markdown's escapes would show.
            inside = "\n\n".join(block(b) for b in blocks)
            return f"<details><summary>{_html(summary)}</summary>\n\n{inside}\n\n</details>"


def spans(words: Text) -> str:
    """A text whose parts may be links, code or strong."""
    return "".join(_span(part) for part in inline(words))


def _span(part: Inline) -> str:
    match part:
        case Link(words, href):
            return f"[{text(words)}]({href})"
        case Code(words):
            return code(words)
        case Strong(words):
            return f"**{text(words)}**"
        case str():
            # Spaces at an end part it from its neighbours.
            lead, trail = " " * part[:1].isspace(), " " * part[-1:].isspace()
            return f"{lead}{text(part)}{trail}" if part.strip() else lead
        case _:
            return text(part.text)


def table(header: Sequence[str], rows: Sequence[Sequence[Text]], numbers: Sequence[int] = ()) -> str:
    """A table; the columns `numbers` are aligned right."""
    rule = ["---:" if i in numbers else "---" for i in range(len(header))]
    lines = [[text(name) for name in header], rule, *([spans(cell) for cell in cells] for cells in rows)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def text(value: object) -> str:
    """Any text as inert Markdown on one line: nothing in a name is markup, a tag or a new row."""
    # A bracket makes a link only after another.
    marks = r"((?<=\])\(|[\\`*_{}\[\]#+!|~<>&$])"
    return re.sub(marks, r"\\\1", plain(value)).replace("\\<", "&lt;").replace("\\>", "&gt;")


def code(value: str) -> str:
    """Text as code inside a table: no backtick may end it, no bar may end the cell."""
    return "`" + plain(value.replace("`", "'")).replace("|", "\\|") + "`"


def fence(value: str) -> str:
    """A code block that nothing in the text can end."""
    lines = "\n".join(plain(line) for line in value.split("\n"))
    longest = max((len(run) for run in re.findall(r"`+", lines)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}sh\n{lines}\n{fence}"


def _html(value: str) -> str:
    return text(value).replace("\\", "")

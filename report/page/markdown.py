"""Sections as Markdown that GitHub shows: nothing in a name is markup, a tag or a new row."""

import re
from collections.abc import Sequence

from ablate.report.page.blocks import (
    Block,
    Bullets,
    Code,
    Commands,
    Fold,
    Inline,
    Link,
    Note,
    Number,
    Page,
    Paragraph,
    Picture,
    Section,
    Strong,
    Table,
    Text,
    VerdictRow,
    Verdicts,
    inline,
    plain,
)


def document(page: Page) -> str:
    """The whole report."""
    parts = [f"# {text(page.title)}", *(block(note) for note in page.notes)]
    for section in page.sections:
        parts += [f"## {text(section.title)}", *(block(b) for b in section.blocks)]
    return "\n\n".join(parts) + "\n"


def fragment(section: Section) -> str:
    """One section without its title, to be pasted elsewhere: it must hold no picture."""
    return "\n\n".join(block(b) for b in section.blocks)


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
        case Verdicts(_, rows):
            return table(value.header, [_verdict(row) for row in rows])
        case Picture(name, alt):
            return f"![{text(alt)}](figures/{name}.png)\n\nThe same as [SVG](figures/{name}.svg)."
        case Commands(words):
            return fence(words)
        case Fold(summary, blocks):
            # The summary is HTML, in which Markdown's escapes would show.
            inside = "\n\n".join(block(b) for b in blocks)
            return f"<details><summary>{_html(summary)}</summary>\n\n{inside}\n\n</details>"


def _verdict(row: VerdictRow) -> tuple[Text, ...]:
    notes = "".join(f" Caveat: {note}." for note in row.notes)
    return row.axis, Strong(row.badge.text), row.choice or "any", row.lead or "–", f"{row.about}{notes}".strip()


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
        case Number(words, _, True):
            return f"**{text(words)}**"
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

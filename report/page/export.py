"""Tables as CSV for programs, and any text as LaTeX."""

import csv
import io
import re
from pathlib import Path

import pandas as pd

from ablate.records import files
from ablate.report.page.blocks import plain

SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "±": r"$\pm$", "–": "--", "−": "$-$", "×": r"$\times$",
    "<": r"\textless{}", ">": r"\textgreater{}", "Δ": r"$\Delta$", "δ": r"$\delta$", "α": r"$\alpha$", "→": r"$\to$",
    "✓": r"\ding{51}", "✗": r"\ding{55}",
}  # fmt: skip


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """A frame with its columns' names; what is missing is empty."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([_cell(name) for name in table.columns])
    for row in table.itertuples(index=False):
        writer.writerow([_cell(value) for value in row])
    files.write_bytes(path, text.getvalue().encode(errors="backslashreplace"))


def _cell(value: object) -> object:
    """A spreadsheet would run a text that starts like a formula."""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return "'" + value
    return "" if value is None or value != value else value


def file_name(name: str) -> str:
    """A name that any file system takes."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)


def tex(words: str) -> str:
    """Any text as LaTeX that prints it: nothing in a name is a command."""
    return "".join(SPECIAL.get(c, c) for c in plain(words))

"""The report's tables as files: CSV for programs, booktabs LaTeX for papers."""

import csv
import io
import re
from pathlib import Path

import pandas as pd

from ablate.records import files
from ablate.report.page.blocks import Table, Text, inline, plain

SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "±": r"$\pm$", "–": "--", "−": "$-$", "×": r"$\times$",
    "<": r"\textless{}", ">": r"\textgreater{}",
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


def write_tex(path: Path, table: Table) -> None:
    """A table of the report for \\input, in booktabs' rules."""
    columns = "".join("r" if i in table.numbers else "l" for i in range(len(table.header)))
    lines = [
        f"% {plain(table.caption)}; needs \\usepackage{{booktabs}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        " & ".join(_tex(name) for name in table.header) + r" \\",
        r"\midrule",
        *(" & ".join(_tex(_words(cell)) for cell in row) + r" \\" for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    files.write_bytes(path, ("\n".join(lines) + "\n").encode())


def file_name(name: str) -> str:
    """A name that any file system takes."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)


def _words(cell: Text) -> str:
    return "".join(part if isinstance(part, str) else part.text for part in inline(cell))


def _tex(words: str) -> str:
    return "".join(SPECIAL.get(c, c) for c in plain(words))

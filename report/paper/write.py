"""Write report/paper/: tables in three formats, the methods paragraph, and BibTeX of what it cites."""

import re
from pathlib import Path

from ablate.records import files
from ablate.report.analysis import Analysis
from ablate.report.page import export
from ablate.report.paper import components, crossed, methods, table
from ablate.report.paper.wishes import Wishes

REFERENCES = Path(__file__).with_name("references.bib")


def write(analysis: Analysis, folder: Path, wishes: Wishes | None = None) -> None:
    """Write what a paper needs of a study into `folder`; nothing of a list of single runs. Raises OSError.

    No host, path, user or remote is in these files.
    """
    if analysis.study.plan.is_list or analysis.study.finished.empty:
        return
    wishes = wishes or Wishes()
    for of in (components.table, crossed.table):
        if (found := of(analysis, wishes)) is not None:
            table.write(folder, found)
    keys = methods.cited(analysis)
    text = methods.paragraph(analysis)
    files.write_bytes(folder / "methods.md", f"{text}\n".encode())
    files.write_bytes(folder / "methods.tex", f"{export.tex(text)} \\nocite{{{','.join(keys)}}}\n".encode())
    files.write_bytes(folder / "references.bib", bibtex(keys).encode())


def bibtex(keys: list[str]) -> str:
    """The entries of some keys, in their order. Raises KeyError for one that there is not."""
    entries = {
        match[1]: match[0] for match in re.finditer(r"^@\w+\{([^,]+),\n.*?^\}\n", REFERENCES.read_text(), re.M | re.S)
    }
    return "\n".join(entries[key] for key in keys)

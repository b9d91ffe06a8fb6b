"""A table of a paper: plain values, written as Markdown, booktabs LaTeX and CSV."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ablate.records import files
from ablate.records.metrics import Metric
from ablate.report.page import export, markdown
from ablate.report.page.blocks import Strong, Text


@dataclass(frozen=True)
class Value:
    """A mean with its spread, or a difference with its interval; in the metric's unit."""

    mean: float
    digits: int
    spread: float | None = None
    low: float | None = None
    high: float | None = None
    signed: bool = False
    strong: bool = False

    @property
    def text(self) -> str:
        """As people read it: 84.4 ± 0.6, or +0.9 [0.5, 1.3]."""
        if math.isnan(self.mean):
            return "–"
        text = self._number(self.mean, self.signed)
        if self.spread is not None and not math.isnan(self.spread):
            text += f" ± {self.spread:.{self.digits}f}"
        if self.low is not None and self.high is not None:
            text += f" [{self._number(self.low)}, {self._number(self.high)}]"
        return text

    def _number(self, value: float, signed: bool = False) -> str:
        value = round(value, self.digits) + 0.0
        sign = "−" if value < 0 else "+" if signed and value > 0 else ""
        return f"{sign}{abs(value):.{self.digits}f}"


Cell = str | Value


@dataclass(frozen=True)
class PaperTable:
    """name: of its files. numbers: the columns that hold values."""

    name: str
    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    numbers: tuple[int, ...]


def digits_of(metric: Metric) -> int:
    """Decimals of a value of a paper's table: one of a percentage, more where the metric's unit is coarser."""
    return 1 if metric.unit == "points" else metric.digits


def write(folder: Path, table: PaperTable) -> None:
    """Write a table as NAME.md, NAME.tex and NAME.csv. Raises OSError."""
    files.write_bytes(folder / f"{table.name}.md", as_markdown(table).encode())
    files.write_bytes(folder / f"{table.name}.tex", as_latex(table).encode())
    export.write_csv(folder / f"{table.name}.csv", as_frame(table))


def as_markdown(table: PaperTable) -> str:
    """The table and its caption."""
    rows = [[_marked(cell) for cell in row] for row in table.rows]
    return f"{markdown.table(table.header, rows, table.numbers)}\n\n{markdown.text(table.caption)}\n"


def _marked(cell: Cell) -> Text:
    text = cell if isinstance(cell, str) else cell.text
    return Strong(text) if isinstance(cell, Value) and cell.strong else text


def as_latex(table: PaperTable) -> str:
    r"""A floating table for \input, in booktabs' rules; the marks are the text symbols of pifont."""
    columns = "".join("r" if i in table.numbers else "l" for i in range(len(table.header)))
    label = table.name.replace("_", "-")
    lines = [
        r"% Needs \usepackage{booktabs} and \usepackage{pifont}.",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{export.tex(table.caption)}}}",
        rf"\label{{tab:{label}}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        " & ".join(map(export.tex, table.header)) + r" \\",
        r"\midrule",
        *(" & ".join(_in_latex(cell) for cell in row) + r" \\" for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _in_latex(cell: Cell) -> str:
    text = export.tex(cell if isinstance(cell, str) else cell.text)
    return rf"\textbf{{{text}}}" if isinstance(cell, Value) and cell.strong else text


def as_frame(table: PaperTable) -> pd.DataFrame:
    """A column per number: `X`, `X ±`, `X low`, `X high`; unrounded."""
    columns: dict[str, Sequence[object]] = {}
    for i, name in enumerate(table.header):
        cells = [row[i] for row in table.rows]
        values = [cell for cell in cells if isinstance(cell, Value)]
        columns[name] = [cell.mean if isinstance(cell, Value) else cell for cell in cells]
        for suffix, part in (("±", "spread"), ("low", "low"), ("high", "high")):
            if any(getattr(value, part) is not None for value in values):
                columns[f"{name} {suffix}"] = [getattr(cell, part, None) for cell in cells]
    return pd.DataFrame(columns)

"""Numbers and names as inert Markdown: nothing in a name is markup, a tag or a new row."""

import re
from collections.abc import Sequence

import pandas as pd

from ablate.metrics import Metric


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


def table(header: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    """A table of cells that are Markdown already; the columns `numbers` are aligned right."""
    rule = ["---:" if i in numbers else "---" for i in range(len(header))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, rule, *rows))


def text(value: object) -> str:
    """Any text as inert Markdown on one line: nothing in a name is markup, a tag or a new row."""
    line = " ".join(str(value).split())
    return re.sub(r"([\\`*_{}\[\]()#+!|~<>&$])", r"\\\1", line).replace("\\<", "&lt;").replace("\\>", "&gt;")


def code(value: str) -> str:
    """Text as code inside a table: no backtick may end it, no bar may end the cell."""
    return "`" + " ".join(value.replace("`", "'").split()).replace("|", "\\|") + "`"


def fence(value: str) -> str:
    """A code block that nothing in the text can end."""
    longest = max((len(run) for run in re.findall(r"`+", value)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}sh\n{value}\n{fence}"

"""What lies in a file or a folder, as a table with one row per run."""

import ast
import csv
import io
import re
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from ablate.report.foreign import jobs
from ablate.report.foreign.words import EPOCHS, NAMES, OF_RESULTS, OF_SETTINGS, folded, plain

MOST = 100_000_000  # bytes of a table


@dataclass(frozen=True)
class Found:
    """Runs as they were found. Every value is text, "" where there is none."""

    path: Path
    kind: str  # what it is, in words
    rows: pd.DataFrame
    names: list[str]  # what each row is called in a message
    settings: frozenset[str] = frozenset()  # columns that can only be settings
    results: frozenset[str] = frozenset()  # columns that can only be results
    named: tuple[str, ...] = ()  # columns that the runs' own commands name: the likeliest axes
    notes: tuple[str, ...] = field(default=())


def is_foreign(path: Path) -> bool:
    """Whether a path holds runs that `ablate` did not train: a file, or a folder of jobs that is no study."""
    return path.is_file() or (path.is_dir() and not (path / "study.json").exists() and jobs.kind_of(path) is not None)


def found(path: Path) -> Found:
    """Read a table or a folder. Raises ValueError for what is neither."""
    if path.is_file():
        return _table(path)
    of_jobs = jobs.read(path)
    # timm writes lr twice: as it was set, and of each epoch.
    rows = _as_text(
        [job.settings | {k: v for k, v in job.results.items() if k not in job.settings} for job in of_jobs.jobs]
    )
    settings = frozenset(key for job in of_jobs.jobs for key in job.settings)
    results = frozenset(key for job in of_jobs.jobs for key in job.results) - settings
    return Found(
        path, of_jobs.kind, rows, [job.name for job in of_jobs.jobs], settings, results, of_jobs.named, of_jobs.notes
    )


def _table(path: Path) -> Found:
    header, *lines = _lines(path)
    rows = pd.DataFrame([line for line in lines if any(line)], columns=header, dtype=object)
    if rows.empty:
        raise ValueError(f"{path} has no row below its header; a table has one row per run")
    rows = _unpacked(rows)
    if {"number", "value", "state"} <= set(header):  # Optuna's trials
        rows = rows.rename(columns={c: c.replace("params_", "params.", 1) for c in header if c.startswith("params_")})
    header = [str(column) for column in rows]
    columns = set(header)
    kind = "an export of Weights & Biases" if {"Name", "State", "Runtime"} <= columns else "a table"
    rows, notes = _last_epochs(rows)
    name = next((column for column in header if folded(column) in NAMES and rows[column].is_unique), None)
    numbers = [f"row {number + 1}" for number in rows.index]
    names = (
        numbers
        if name is None
        else [f"{number} ({called})" for number, called in zip(numbers, rows[name], strict=True)]
    )
    settings = frozenset(column for column in header if OF_SETTINGS.match(column))
    results = frozenset(column for column in header if OF_RESULTS.match(column))
    # Without what an export puts before names, where these stay different.
    shorter = {
        c: plain(c) for c in header if header.count(plain(c)) == 0 and [plain(d) for d in header].count(plain(c)) == 1
    }
    rows = rows.rename(columns=shorter).reset_index(drop=True)
    settings, results = (frozenset(shorter.get(c, c) for c in of) for of in (settings, results))
    return Found(path, kind, rows, names, settings, results, notes=notes)


def _unpacked(rows: pd.DataFrame) -> pd.DataFrame:
    """A table whose cells hold dictionaries, as W&B's guide to its API writes config and summary, with their keys as
    columns."""
    for column in [c for c in rows if rows[c].str.fullmatch(r"\{.*\}", flags=re.DOTALL).all()]:
        try:
            texts = [re.sub(r"(?<=[:,\[] )-?(nan|inf)\b", "None", text) for text in rows[column]]
            cells = [jobs.flat(ast.literal_eval(text), f"{column}.") for text in texts]
        except (ValueError, SyntaxError, RecursionError, MemoryError, AttributeError):
            continue
        rows = pd.concat([rows.drop(columns=column), _as_text(cells).set_index(rows.index)], axis=1)
    return rows


def _lines(path: Path) -> list[list[str]]:
    """The cells of a table, its header first, parted by commas, semicolons or tabs. Raises ValueError."""
    try:
        if path.stat().st_size > MOST:
            raise ValueError(f"{path} is larger than a table of runs: one row per run, not per step")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not text; give a .csv table with one row per run") from None
    first = text.partition("\n")[0]
    mark = max(",;\t", key=first.count)
    try:
        lines = [[printable(cell) for cell in line] for line in csv.reader(io.StringIO(text), delimiter=mark)]
    except csv.Error as error:
        raise ValueError(f"{path} cannot be read as a table: {error}") from None
    lines = [line for line in lines if any(line)]
    if not lines or len(lines[0]) < 2:
        raise ValueError(f"{path} is no table with a header; give a .csv with a row per run: levels, seed, metrics")
    header = [name or f"unnamed{number}" for number, name in enumerate(lines[0])]
    if doubled := next((name for name in header if header.count(name) > 1), ""):
        raise ValueError(f"{path} has two columns called {doubled!r}; rename one")
    for number, line in enumerate(lines[1:], start=1):
        if len(line) > len(header):
            raise ValueError(f"{path}: row {number} has {len(line)} cells, and the header {len(header)}")
        line += [""] * (len(header) - len(line))
    if mark == ";":  # where a comma is the decimal mark
        lines[1:] = [[_with_a_point(cell) for cell in line] for line in lines[1:]]
    return [header, *lines[1:]]


def printable(cell: str) -> str:
    """A cell without what would move a terminal's cursor."""
    return "".join(c if c.isprintable() else " " for c in cell).strip()


def _with_a_point(cell: str) -> str:
    whole, comma, rest = cell.partition(",")
    digits = rest.rstrip("% ")
    return f"{whole}.{rest}" if comma and whole.lstrip("+-").isdigit() and digits.isdigit() else cell


def _last_epochs(rows: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """A table with a row per epoch as one with a row per run: the last epoch of each. Runs are known by their name."""
    name = next((column for column in rows if folded(str(column)) in NAMES), None)
    epoch = next((column for column in rows if folded(str(column)) in EPOCHS), None)
    if name is None or epoch is None:
        return rows, ()
    numbers = pd.to_numeric(rows[epoch], errors="coerce")
    repeated = rows[name].ne("") & rows[name].duplicated(keep=False)
    if not repeated.any() or pd.DataFrame({"name": rows[name], "epoch": numbers}).duplicated().any():
        return rows, ()
    last = numbers.groupby(rows[name]).transform("max")
    return rows[numbers.eq(last) | ~repeated], (f"each run has a row per {epoch}; its last one counts",)


def _as_text(rows: list[dict[str, str]]) -> pd.DataFrame:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    return pd.DataFrame([[row.get(column, "") for column in columns] for row in rows], columns=columns, dtype=object)

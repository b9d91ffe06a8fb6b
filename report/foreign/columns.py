"""Which column of a table is what: guessed from names and values, unless it is said."""

import difflib
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import pandas as pd

from ablate.report.foreign import words
from ablate.report.foreign.read import Found
from ablate.report.foreign.words import Quantity, folded, quantity

# The likeliest metric first.
WHAT_FIRST = ("accuracy", "balanced_accuracy", "macro_f1", "auroc", "top5_accuracy", "error")
NOTHING = "none"  # an empty cell
PART_FIRST = ("test", "eval", "", "holdout", "train")


@dataclass(frozen=True)
class Said:
    """What a command says of the columns; None is guessed."""

    axes: tuple[str, ...] | None = None
    seed: str | None = None
    metric: str | None = None
    holdout: str | None = None


@dataclass(frozen=True)
class Roles:
    """Columns by what they are."""

    axes: list[str]
    seeds: list[str]
    metric: str
    holdout: str | None
    seconds: str | None
    state: str | None
    constant: list[str] = field(default_factory=list)  # settings with one value
    along: dict[str, list[str]] = field(default_factory=dict)  # {axis: settings that its levels decide}
    differ: list[str] = field(default_factory=list)  # settings that differ between runs and that no axis decides
    unread: list[str] = field(default_factory=list)


def roles(found: Found, said: Said) -> Roles:
    """The role of every column. Raises ValueError for a column that there is not, and where none can be the metric."""
    columns = [str(column) for column in found.rows]
    numeric = {column: numbers for column in columns if (numbers := numbers_of(found.rows[column])) is not None}
    rows = found.rows.apply(levels_of)
    axes = None if said.axes is None else [named(found, axis, "--axes") for axis in said.axes]
    metric, holdout = _metrics(found, said, numeric)
    seeds = [named(found, said.seed, "--seed-column")] if said.seed else _of(columns, words.SEEDS, axes)
    taken = {metric, holdout, *seeds, *(axes or [])}
    results = {
        c for c in columns if c in found.results or (c in numeric and c not in found.settings and _measures(c, rows[c]))
    }
    about = {c for c in columns if c not in found.named and (folded(c) in words.ABOUT or c.startswith("_"))}
    settings = [c for c in columns if c not in taken | results | about]
    differing = [c for c in settings if rows[c].nunique() > 1]
    labels = [
        c for c in differing if c not in (axes or ()) and _is_label(rows, c, [d for d in differing if d != c], numeric)
    ]
    differing = [c for c in differing if c not in labels]
    if axes is None:
        axes = _axes(rows, found.named, differing, numeric)
    decided = {axis: [c for c in differing if c not in axes and _decides(rows, axis, c)] for axis in axes}
    along = {axis: [c for c in of_axis if not _is_level(rows, axis, c)] for axis, of_axis in decided.items()}
    return Roles(
        axes=axes,
        seeds=seeds,
        metric=metric,
        holdout=holdout,
        seconds=next((c for c in columns if folded(c) in words.SECONDS and c in numeric), None),
        state=next((c for c in columns if folded(c) in words.STATES), None),
        constant=[c for c in settings if rows[c].nunique() == 1 and rows[c].iloc[0] != NOTHING],
        along={axis: of_axis for axis, of_axis in along.items() if of_axis},
        differ=[c for c in differing if c not in axes and not any(c in of_axis for of_axis in decided.values())],
        unread=[c for c in columns if c in (results | about | set(labels)) - taken],
    )


def named(found: Found, name: str, option: str) -> str:
    """The column that an option names. Raises ValueError, with the nearest one, where there is none."""
    columns = [str(column) for column in found.rows]
    alike = [c for c in columns if name in (c, words.plain(c))] or [
        c for c in columns if words.snake(c) == words.snake(name)
    ]
    if len(alike) == 1:
        return alike[0]
    near = difflib.get_close_matches(name, columns, n=1, cutoff=0.5)
    meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(columns[:20])}"
    raise ValueError(f"{option} {name}: {found.path} has no such column; {meant}")


def numbers_of(column: pd.Series) -> pd.Series | None:
    """A column as numbers, an empty cell and a result that is not finite as NaN; None where it holds other text."""
    text = column.str.rstrip("% ").str.replace("\N{MINUS SIGN}", "-")
    numbers = pd.to_numeric(text.where(text != ""), errors="coerce")
    words_of = text[numbers.isna() & (text != "")].str.lower()
    if not set(words_of) <= {"nan", "inf", "-inf", "+inf", "infinity", "-infinity"} or len(words_of) == len(text):
        return None
    return numbers.where(numbers.abs() < math.inf) if (text != "").any() else None


def levels_of(column: pd.Series) -> pd.Series:
    """A setting's values as text; equal numbers and equal truth values are one, however they are written."""
    numbers = numbers_of(column)
    if numbers is None or numbers[column != ""].isna().any():
        lower = column.str.lower()
        text = column.where(~lower.isin(("true", "false")), lower)
        return text.where(~lower.isin(("", "none", "null", "nan")), NOTHING)
    spelled: dict[float, str] = {}
    for number, text in zip(numbers.dropna(), column[column != ""], strict=True):
        spelled.setdefault(number, str(int(number)) if number == int(number) and abs(number) < 1e15 else text)
    return numbers.map(spelled).fillna(NOTHING)


# -- metrics ----------------------------------------------------------------------------------


def _metrics(found: Found, said: Said, numeric: dict[str, pd.Series]) -> tuple[str, str | None]:
    """The column to judge by, and the one of the same kind that ranks combinations, if there is one."""
    for name, option in ((said.metric, "--metric"), (said.holdout, "--holdout-metric")):
        if name is not None and (column := named(found, name, option)) not in numeric:
            odd = next((text for text in found.rows[column] if numbers_of(pd.Series([text, "0"])) is None), "")
            raise ValueError(f"{option} {name}: {odd!r} in {found.path} is no number; a row holds one run, not a mean")
    kinds = {c: q for c in numeric if c not in found.settings and (q := quantity(c, c in found.results)) is not None}
    metric = named(found, said.metric, "--metric") if said.metric else _likeliest(kinds)
    if metric is None:
        listed = ", ".join(numeric) or "none"
        raise ValueError(
            f"{found.path}: no column is called like a result; say which with --metric COLUMN (with numbers: {listed})"
        )
    if said.holdout is not None:
        return metric, named(found, said.holdout, "--holdout-metric")
    own = quantity(metric, surely=True)
    assert own is not None
    held = {c: q for c, q in kinds.items() if c != metric and q.what == own.what and _holds_out(q, own)}
    return metric, min(held, key=lambda c: (held[c].best, PART_FIRST.index(held[c].part)), default=None)


def _likeliest(kinds: dict[str, Quantity]) -> str | None:
    def order(column: str) -> tuple[int, int, bool]:
        kind = kinds[column]
        what = WHAT_FIRST.index(kind.what) if kind.what in WHAT_FIRST else len(WHAT_FIRST) + (kind.what == "loss")
        return what, PART_FIRST.index(kind.part), kind.best

    return min((c for c, kind in kinds.items() if kind.part != "train"), key=order, default=None)


def _holds_out(kind: Quantity, metric: Quantity) -> bool:
    """Whether a column can rank what a metric judges: one of a part of the data that the metric is not about."""
    return metric.part in ("test", "eval", "") and (
        kind.part == "holdout" or (kind.part == "eval" and metric.part == "test")
    )


def _measures(name: str, values: pd.Series) -> bool:
    """Whether a column of numbers is a result or comes with one, rather than a setting."""
    kind = quantity(name)
    if kind is not None:
        # precision: 16 or 32 is a setting of the trainer.
        return bool(kind.part) or kind.what != "precision" or not values[values != NOTHING].str.fullmatch(r"\d+").all()
    return words.MEASURED.search(words.snake(name)) is not None


# -- axes -------------------------------------------------------------------------------------


def _axes(rows: pd.DataFrame, named: Sequence[str], differing: Sequence[str], numeric: Collection[str]) -> list[str]:
    """The settings that a study varied, each once: of two that always go together, the one that says more.

    A setting with another value in most rows was measured or drawn at random; it is an axis only where nothing else is.
    """
    if any(c in differing for c in named):
        differing = [c for c in differing if c in named]
    candidates = [c for c in differing if folded(c) not in words.MACHINE]
    often = [c for c in candidates if rows[c].nunique() <= (len(rows) / 2 if c in numeric else len(rows) - 1)]
    candidates = often or candidates[:1]
    order = sorted(candidates, key=lambda c: (c not in named, c in numeric, -rows[c].nunique()))
    kept: list[str] = []
    for c in order:
        if not any(_decides(rows, other, c) for other in kept if rows[other].ne(NOTHING).all()):
            kept.append(c)
    return [c for c in candidates if c in kept]


def _is_label(rows: pd.DataFrame, column: str, others: Sequence[str], numeric: Collection[str]) -> bool:
    """Whether a column names rows, or says in one word what two or more others say, as resnet18_adam does."""
    if others and rows[column].is_unique:
        numbers = pd.to_numeric(rows[column], errors="coerce")
        return column not in numeric or bool(numbers.diff().iloc[1:].eq(1).all())
    said = [c for c in others if _decides(rows, column, c) and not _decides(rows, c, column)]
    return len(said) > 1 and rows[[*said, column]].drop_duplicates().groupby(said)[column].size().max() == 1


def _decides(rows: pd.DataFrame, first: str, second: str) -> bool:
    """Whether the first column has one value of the second for each of its own."""
    return bool(rows.groupby(first)[second].nunique().max() == 1)


def inside(column: str, axis: str) -> bool:
    """Whether a setting is one of those that a group's level holds, as optimizer.lr of optimizer=sgd."""
    return column.startswith((f"{axis}.", f"{axis}/"))


def _is_level(rows: pd.DataFrame, axis: str, column: str) -> bool:
    """Whether a setting says no more than a group's level: its name, or what other levels do not have."""
    return inside(column, axis) and (words.last(column) == "name" or bool(rows[column].eq(NOTHING).any()))


def _of(columns: Sequence[str], known: Sequence[str], axes: Sequence[str] | None) -> list[str]:
    """The columns by one of the names, without those that are axes."""
    return [c for c in columns if words.last(c) in known and c not in (axes or ())]

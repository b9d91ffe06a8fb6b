"""Two studies side by side: what changed between them, which conclusions moved, which runs they share."""

from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd

from ablate.records import files
from ablate.report.analysis import Analysis
from ablate.report.answers import best
from ablate.report.answers.sentences import amount, number, smallest
from ablate.report.page import export, numbers
from ablate.report.page.blocks import Block, Bullets, Page, Paragraph, Part, Section, Strong, Table
from ablate.report.sections import card
from ablate.report.stats.verdicts import AxisEffect, Contrast, Effects
from ablate.report.study import tried
from ablate.report.study.tables import axis_name
from ablate.report.write import write_page

FORMAT = 1  # of results.json


def write(first: Analysis, second: Analysis) -> Path:
    """Write SECOND/report/against_FIRST/ and return the path of its report.md."""
    folder = second.study.folder / "report" / f"against_{export.file_name(first.study.folder.resolve().name)}"
    with suppress(OSError):  # its results were read too, which later reports of it take into account
        (first.study.folder / "report").mkdir(exist_ok=True)
    names = _names(first, second)
    sections = (
        *([opened] if (opened := _tuned(first, second, names)) is not None else []),
        _conclusions(first, second, names),
        _changed(first, second, names),
        _shared(first, second, names),
    )
    conclusions = moves(first.effects, second.effects).to_dict("records")
    found = {"format": FORMAT, "studies": names, "conclusions": conclusions}
    if best_of_each := at_their_best(first, second, names):
        found["at_their_best"] = best_of_each
    files.write_json(folder / "results.json", found)
    return write_page(Page(f"{names[0]} and {names[1]}", (), (Part("Comparison", sections),)), folder)


def opening(first: Analysis, second: Analysis) -> list[str]:
    """What a terminal shows of the page's opening."""
    return at_their_best(first, second, _names(first, second))


def at_their_best(first: Analysis, second: Analysis, names: tuple[str, str]) -> list[str]:
    """Where one of two studies is tuned: a sentence per axis of both, on the same two levels as they come and at their
    best; [] of any other two."""
    if (first.study.plan.tuning is None) == (second.study.plan.tuning is None):
        return []
    if first.effects.metric != second.effects.metric:
        return []
    plain, tuned = (first, second) if second.study.plan.tuning is not None else (second, first)
    of_plain, of_tuned = names if plain is first else names[::-1]
    found = moves(plain.effects, tuned.effects)
    sentences = []
    for _, row in found[(found["verdict_a"] != "") & (found["verdict_b"] != "")].iterrows():
        if pd.isna(row["estimate_a"]) or pd.isna(row["estimate_b"]):
            continue
        levels = len(plain.study.axes[row["axis"]])
        if row["estimate_a"] < 0:
            row = _turned(row)
        sentences.append(
            f"{row['difference']}: {_signed(plain.effects, row, 'a', unit=True)} {_untuned(plain, tuned)}, "
            f"{_signed(tuned.effects, row, 'b')} with {'both' if levels == 2 else 'all'} tuned. Verdict on "
            f"{axis_name(row['axis'])}: {row['verdict_a']} in {of_plain}, {row['verdict_b']} in {of_tuned}."
        )
    return sentences


def _turned(row: pd.Series) -> pd.Series:
    """The same difference the other way round."""
    turned = row.copy()
    turned["difference"] = " − ".join(str(row["difference"]).split(" − ")[::-1])
    for mark in "ab":
        for key, other in (("estimate", "estimate"), ("low", "high"), ("high", "low")):
            turned[f"{key}_{mark}"] = None if pd.isna(row[f"{other}_{mark}"]) else -row[f"{other}_{mark}"]
    return turned


def _untuned(plain: Analysis, tuned: Analysis) -> str:
    """What the levels have in the study that is not tuned: `at default learning rates`."""
    keys = list(tuned.study.plan.tuning.space) if tuned.study.plan.tuning is not None else []
    named = {key for cell in plain.study.plan.cells for key in cell.named}
    if keys == ["optimizer.lr"] and "optimizer.lr" not in named:
        return "at default learning rates"
    return f"with {' and '.join(keys)} as in {plain.study.plan.name}"


def _signed(effects: Effects, row: pd.Series, mark: str, *, unit: bool = False) -> str:
    """+0.4 [−0.1, 0.9], with the unit behind the number where it is wanted."""
    estimate, low, high = (row[f"{key}_{mark}"] for key in ("estimate", "low", "high"))
    text = f"{'+' if estimate > 0 else ''}{(amount if unit else number)(effects, estimate)}"
    return text if pd.isna(low) else f"{text} [{number(effects, low)}, {number(effects, high)}]"


def _tuned(first: Analysis, second: Analysis, names: tuple[str, str]) -> Section | None:
    """What opens the page where one of the studies is tuned."""
    found = at_their_best(first, second, names)
    if not found:
        return None
    tuned, name = (second, names[1]) if second.study.plan.tuning is not None else (first, names[0])
    about = f"{name} is the tuned study: {tried.in_words(tuned.study)}. Intervals in brackets are those of each study."
    return Section(
        "At default values and at their best", (*(Paragraph((Strong(one),)) for one in found), Paragraph(about))
    )


def _names(first: Analysis, second: Analysis) -> tuple[str, str]:
    names = (first.study.plan.name, second.study.plan.name)
    return names if names[0] != names[1] else (str(first.study.folder), str(second.study.folder))


def _changed(first: Analysis, second: Analysis, names: tuple[str, str]) -> Section:
    """The settings, data, environment and axes that are not the same."""
    cards = [dict(_facts(analysis)) for analysis in (first, second)]
    rows = tuple(
        (name, cards[0].get(name, "–"), cards[1].get(name, "–"))
        for name in dict.fromkeys([*cards[0], *cards[1]])
        if cards[0].get(name) != cards[1].get(name)
    )
    if not rows:
        return Section("What changed", (Paragraph("Nothing in plan, settings, data or environment."),))
    header = ("what", *names)
    return Section("What changed", (Table("What differs between the studies", header, rows),))


def _facts(analysis: Analysis) -> list[tuple[str, str]]:
    study, plan, effects = analysis.study, analysis.study.plan, analysis.effects
    environments = pd.json_normalize(study.environments).astype(str) if study.environments else pd.DataFrame()
    return [
        ("runs", f"{len(study.finished)} of {len(study.runs)} finished"),
        ("design", plan.design.replace("_", " ")),
        ("seeds", ", ".join(map(str, plan.seeds))),
        ("metric", analysis.metric.label),
        ("delta", smallest(effects)),
        ("noise of a run", amount(effects, effects.noise.sd) if effects.noise else "unknown"),
        *((f"axis {axis}", ", ".join(levels)) for axis, levels in study.axes.items()),
        *card.constants(study).items(),
        *plan.constants.items(),
        ("epochs", ", ".join(map(str, study.epochs_planned))),
        ("data", "; ".join(study.data)),
        *((f"environment {name}", ", ".join(environments[name].unique())) for name in environments),
    ]


def moves(first: Effects, second: Effects) -> pd.DataFrame:
    """One row per axis of either: the verdicts, the same two levels' intervals, and whether the conclusion moved.

    Columns: axis, difference, verdict_a, estimate_a, low_a, high_a, the same with _b, moved (yes, no or "": an axis
    of one study only, or one where neither could tell). In the metric's unit.
    """
    left, right = ({effect.axis: effect for effect in found.axes} for found in (first, second))
    rows = []
    for axis in dict.fromkeys([*left, *right]):
        a, b = left.get(axis), right.get(axis)
        shown = next((c for c in (e.headline for e in (a, b) if e) if c is not None), None)
        row: dict[str, object] = {"axis": axis, "difference": f"{shown.level} − {shown.other}" if shown else ""}
        signs = []
        for mark, effect in (("a", a), ("b", b)):
            found = _same(effect, shown)
            row |= {f"verdict_{mark}": str(effect.verdict) if effect else "", f"estimate_{mark}": found[0],
                    f"low_{mark}": found[1], f"high_{mark}": found[2]}  # fmt: skip
            signs.append(_claims(found))
        if a is None or b is None:
            row["moved"] = ""
        else:
            row["moved"] = "yes" if a.verdict != b.verdict or signs[0] != signs[1] else "no"
        rows.append(row)
    return pd.DataFrame(rows, columns=["axis", "difference", *(f"{k}_{m}" for m in "ab" for k in _KEYS), "moved"])


_KEYS = ("verdict", "estimate", "low", "high")
Interval = tuple[float | None, float | None, float | None]


def _same(effect: AxisEffect | None, shown: Contrast | None) -> Interval:
    """(estimate, low, high) of the same two levels, in either order."""
    for c in effect.contrasts if effect and shown else ():
        if shown and (c.level, c.other) == (shown.level, shown.other):
            return c.estimate, c.low, c.high
        if shown and (c.other, c.level) == (shown.level, shown.other):
            turned = [None if v is None else -v for v in (c.estimate, c.high, c.low)]
            return turned[0], turned[1], turned[2]
    return None, None, None


def _claims(found: Interval) -> int:
    """The sign that an interval claims; 0 where it claims none."""
    _, low, high = found
    return int(low is not None and low > 0) - int(high is not None and high < 0)


def _conclusions(first: Analysis, second: Analysis, names: tuple[str, str]) -> Section:
    found = moves(first.effects, second.effects)
    rows = tuple(
        (
            row["axis"],
            row["difference"] or "–",
            _in_words(first.effects, row, "a"),
            _in_words(second.effects, row, "b"),
            row["moved"] or "–",
        )
        for _, row in found.iterrows()
    )
    both = int((found["moved"] != "").sum())
    moved = int((found["moved"] == "yes").sum())
    axes = "axis" if both == 1 else "axes"
    about = (
        f"Of {both} {axes} in both studies, {moved} {'has' if moved == 1 else 'have'} another verdict or another sign. "
        "The interval is that of the same two levels in both studies. A verdict that moved does not prove that the "
        "truth did, as the intervals of both studies are uncertain."
    )
    opening = tuple(
        Paragraph((Strong(f"{name}:"), f" {best.what_it_was(analysis.study)}{_best(analysis)}"))
        for name, analysis in zip(names, (first, second), strict=True)
    )
    table = Table("Verdicts, with the difference of the same two levels", ("axis", "difference", *names, "moved"), rows)
    blocks: tuple[Block, ...] = (*opening, table, Paragraph(about))
    if first.effects.metric != second.effects.metric:
        return Section("Which conclusions moved", (Paragraph("The studies are judged by different metrics."), *blocks))
    return Section("Which conclusions moved", blocks)


def _best(analysis: Analysis) -> str:
    found = best.best(analysis)
    return "" if found is None else f" Best: {found.name}, {best.in_words(found)}"


def _in_words(effects: Effects, row: pd.Series, mark: str) -> str:
    verdict, estimate, low, high = (row[f"{key}_{mark}"] for key in _KEYS)
    if not verdict:
        return "not varied"
    if pd.isna(estimate):
        return str(verdict)
    text = f"{verdict}: {amount(effects, estimate)}"
    return text if pd.isna(low) else f"{text} [{number(effects, low)}, {number(effects, high)}]"


def _shared(first: Analysis, second: Analysis, names: tuple[str, str]) -> Section:
    """Runs that are one and the same experiment, and whether their results are the same."""
    left, right = (
        analysis.study.finished.drop_duplicates("signature").set_index("signature") for analysis in (first, second)
    )
    common = left.index.intersection(right.index)
    if not len(common):
        return Section("Common runs", (Paragraph("No finished run is the same experiment in both studies."),))
    same = left.loc[common, "weights_sha256"] == right.loc[common, "weights_sha256"]
    are = "is" if len(common) == 1 else "are"
    lines = [
        f"{numbers.count(len(common), 'finished run')} {are} the same experiment in both studies ({len(left)} in "
        f"{names[0]}, {len(right)} in {names[1]}); {int(same.sum())} of them with the same weights to the bit."
    ]
    name, metric = first.effects.metric, first.metric
    gap = metric.scale * (right.loc[common, name] - left.loc[common, name])[~same]
    if len(gap):
        lines.append(
            f"Where weights differ, {names[1]} is {np.mean(gap):+.{metric.digits}f} {metric.unit} from {names[0]} on "
            f"average, {np.abs(gap).max():.{metric.digits}f} at most."
        )
    return Section("Common runs", (Bullets(tuple(lines)),))

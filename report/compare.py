"""Two studies side by side: what changed between them, which conclusions moved, which runs they share."""

from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd

from ablate import record
from ablate.metrics import METRICS

from . import answers, sections, tables
from . import markdown as md
from .effects import analyse as judge
from .gather import Study
from .info import AxisEffect, Contrast, Effects
from .page import Bullets, Page, Paragraph, Section, Table
from .render import write_page
from .words import amount, number, smallest


def write(first: Study, second: Study) -> Path:
    """Write SECOND/report/against_FIRST/ and return the path of its report.md."""
    folder = second.folder / "report" / f"against_{tables.file_name(first.folder.resolve().name)}"
    with suppress(OSError):  # a look at its results too, which later runs of it have to own up to
        (first.folder / "report").mkdir(exist_ok=True)
    effects = [judge(study.runs, study.axes, study.plan) for study in (first, second)]
    names = _names(first, second)
    page = Page(
        f"{names[0]} and {names[1]}",
        (),
        (
            _changed(first, second, effects, names),
            _conclusions(effects[0], effects[1], names),
            _shared(first, second, names),
        ),
    )
    record.write_json(folder / "results.json", {"studies": names, "conclusions": moves(*effects).to_dict("records")})
    return write_page(page, folder)


def _names(first: Study, second: Study) -> tuple[str, str]:
    names = [str(study.plan.get("name", study.folder.name)) for study in (first, second)]
    return (names[0], names[1]) if names[0] != names[1] else (str(first.folder), str(second.folder))


def _changed(first: Study, second: Study, effects: list[Effects], names: tuple[str, str]) -> Section:
    """The settings, data, environment and axes that are not the same."""
    cards = [dict(_facts(study, found)) for study, found in zip((first, second), effects, strict=True)]
    rows = tuple(
        (name, cards[0].get(name, "–"), cards[1].get(name, "–"))
        for name in dict.fromkeys([*cards[0], *cards[1]])
        if cards[0].get(name) != cards[1].get(name)
    )
    if not rows:
        return Section("What changed", (Paragraph("Nothing in plan, settings, data or environment."),))
    return Section("What changed", (Table("What differs between the studies", ("", *names), rows),))


def _facts(study: Study, effects: Effects) -> list[tuple[str, str]]:
    plan = study.plan
    environments = pd.json_normalize(study.environments).astype(str) if study.environments else pd.DataFrame()
    return [
        ("runs", f"{len(study.finished)} of {len(study.runs)} finished"),
        ("design", str(plan.get("design", "")).replace("_", " ")),
        ("seeds", ", ".join(map(str, plan.get("seeds", [])))),
        ("metric", METRICS[effects.metric].label),
        ("delta", smallest(effects)),
        ("noise of a run", amount(effects, effects.noise.sd) if effects.noise else "unknown"),
        *((f"axis {axis}", ", ".join(levels)) for axis, levels in study.axes.items()),
        *((name, level) for name, level in sections.constants(study).items()),
        *((name, str(value)) for name, value in plan.get("constants", {}).items()),
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
        told = next((c for c in (answers.headline(e) for e in (a, b) if e) if c is not None), None)
        row: dict[str, object] = {"axis": axis, "difference": f"{told.level} − {told.other}" if told else ""}
        signs = []
        for mark, effect in (("a", a), ("b", b)):
            found = _same(effect, told)
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


def _same(effect: AxisEffect | None, told: Contrast | None) -> Interval:
    """(estimate, low, high) of the same two levels, whichever way around they stand."""
    for c in effect.contrasts if effect and told else ():
        if told and (c.level, c.other) == (told.level, told.other):
            return c.estimate, c.low, c.high
        if told and (c.other, c.level) == (told.level, told.other):
            turned = [None if v is None else -v for v in (c.estimate, c.high, c.low)]
            return turned[0], turned[1], turned[2]
    return None, None, None


def _claims(found: Interval) -> int:
    """The sign that an interval claims; 0 where it claims none."""
    _, low, high = found
    return int(low is not None and low > 0) - int(high is not None and high < 0)


def _conclusions(first: Effects, second: Effects, names: tuple[str, str]) -> Section:
    found = moves(first, second)
    rows = tuple(
        (row["axis"], row["difference"] or "–", _told(first, row, "a"), _told(second, row, "b"), row["moved"] or "–")
        for _, row in found.iterrows()
    )
    both = int((found["moved"] != "").sum())
    moved = int((found["moved"] == "yes").sum())
    summary = (
        f"Of {both} {'axis' if both == 1 else 'axes'} in both studies, {moved} {'tells' if moved == 1 else 'tell'} "
    )
    about = summary + (
        "something else: another verdict, or another sign. The interval is that of the same two levels in both; "
        "a verdict that moved is no proof that the truth did, as intervals of both studies are uncertain."
    )
    blocks = (Paragraph(about), Table("Verdicts", ("axis", "difference", *names, "moved"), rows))
    if first.metric != second.metric:
        return Section("Which conclusions moved", (Paragraph("The studies are judged by different metrics."), *blocks))
    return Section("Which conclusions moved", blocks)


def _told(effects: Effects, row: pd.Series, mark: str) -> str:
    verdict, estimate, low, high = (row[f"{key}_{mark}"] for key in _KEYS)
    if not verdict:
        return "not varied"
    if pd.isna(estimate):
        return str(verdict)
    text = f"{verdict}: {amount(effects, estimate)}"
    return text if pd.isna(low) else f"{text} [{number(effects, low)}, {number(effects, high)}]"


def _shared(first: Study, second: Study, names: tuple[str, str]) -> Section:
    """Runs that are one and the same experiment, and whether they came out the same."""
    left, right = (study.finished.drop_duplicates("signature").set_index("signature") for study in (first, second))
    common = left.index.intersection(right.index)
    if not len(common):
        return Section("Common runs", (Paragraph("No finished run is the same experiment in both studies."),))
    same = left.loc[common, "weights_sha256"] == right.loc[common, "weights_sha256"]
    are = "is" if len(common) == 1 else "are"
    lines = [f"{md.count(len(common), 'finished run')} {are} the same experiment in both ({len(left)} in {names[0]}, "
             f"{len(right)} in {names[1]}); {int(same.sum())} of them with the same weights to the bit."]  # fmt: skip
    name = first.plan.get("metric", "test_accuracy")
    metric = METRICS[name]
    gap = metric.scale * (right.loc[common, name] - left.loc[common, name])[~same]
    if len(gap):
        lines.append(
            f"Where weights differ, {names[1]} is {np.mean(gap):+.{metric.digits}f} {metric.unit} from {names[0]} on "
            f"average, {np.abs(gap).max():.{metric.digits}f} at most."
        )
    return Section("Common runs", (Bullets(tuple(lines)),))

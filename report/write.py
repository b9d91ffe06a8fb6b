"""Write the report: the same sections as Markdown and as HTML, figures, tables as CSV, a paper's parts, the numbers."""

import dataclasses
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ablate.records import files
from ablate.report.analysis import Analysis
from ablate.report.answers import best, findings, next_step, rows, sentences
from ablate.report.page import drawing, export, html, markdown
from ablate.report.page.blocks import Page, Part, Section
from ablate.report.paper import write as paper
from ablate.report.paper.wishes import Wishes
from ablate.report.sections import (
    card,
    cost,
    curves,
    in_full,
    interactions,
    leaderboard,
    levels,
    methods,
    pairs,
    questions,
    robustness,
    runs,
    summary,
    tuning,
)
from ablate.report.sections.images import confusion, samples
from ablate.report.stats import effects
from ablate.report.stats.verdicts import Effects
from ablate.report.study import matrices, tried
from ablate.report.study.gather import Origin
from ablate.report.study.matrices import Matrices

FORMAT = 2  # of results.json
# Of runs that belong to no comparison.
LISTED = (runs.listed, runs.deviations, runs.unfinished, runs.reproduce, runs.set_aside)


def write(analysis: Analysis, out: Path | None = None, wishes: Wishes | None = None) -> Path:
    """Write the report into `out`, or STUDY_DIR/report/, and return the path of report.md.

    Raises OSError where it cannot be written.
    """
    folder = analysis.study.folder / "report"
    if out is not None:
        folder, analysis.study.from_report = out, os.path.relpath(analysis.study.folder, out)
    files.write_json(folder / "results.json", results(analysis))
    write_tables(analysis, folder / "tables")
    paper.write(analysis, folder / "paper", wishes)
    return write_page(page(analysis), folder)


def page(analysis: Analysis) -> Page:
    """The report's sections, in their order."""
    study = analysis.study
    if study.plan.is_list:
        parts = {"Runs": [section(analysis) for section in LISTED]}
    else:
        parts = {
            "Answers": [summary.section(analysis), questions.section(analysis), in_full.section(analysis)],
            "Evidence": [
                leaderboard.section(analysis),
                tuning.section(analysis),
                levels.section(analysis),
                pairs.section(analysis),
                interactions.section(analysis),
                curves.section(analysis),
                *confusion.sections(analysis),
                samples.section(analysis),
                cost.section(analysis),
                robustness.section(analysis),
                methods.section(analysis),
            ],
            "Reproduce": [
                card.section(analysis),
                runs.reproduce(analysis),
                runs.deviations(analysis),
                runs.unfinished(analysis),
                runs.set_aside(analysis),
            ],
        }
    return Page(card.title(study), card.notes(study), tuple(_part(title, found) for title, found in parts.items()))


def _part(title: str, found: Iterable[Section | None]) -> Part:
    return Part(title, tuple(section for section in found if section is not None))


def values_of(effects: Effects) -> dict[str, Any]:
    """What effects say, as plain types. What few studies have is there only where it says something."""
    values = dataclasses.asdict(effects.as_reported())
    values["level"] = values.pop("confidence")
    for axis in values["axes"]:
        for name in ("within", "over", "same", "after"):  # of nested axes and of cumulative studies alone
            if not axis[name]:
                del axis[name]
    return values


def results(analysis: Analysis) -> dict[str, Any]:
    """The same as plain types: every value, each axis's answer, and what would settle it."""
    plan = analysis.study.plan
    return {
        "format": FORMAT,
        **values_of(analysis.effects),
        **({"question": plan.question, "asked": plan.asked} if plan.question else {}),
        "study": best.what_it_was(analysis.study),
        **({} if (origin := analysis.study.origin) is None else {"read_from": _read_from(origin)}),
        "best": None if (top := best.best(analysis)) is None else dataclasses.asdict(top),
        "rows": [dataclasses.asdict(row) for row in rows.rows(analysis)],
        "next": dataclasses.asdict(next_step.step(analysis)),
        **({"each_at_its_best": tuned} if (tuned := sentences.commands_at_best(analysis)) else {}),
        "answers": {told.axis: f"{told.title}. {told.text}" for told in sentences.told(sentences.facts_of(analysis))},
        **({"tuning": _tuning(analysis)} if analysis.study.plan.tuning is not None else {}),
        **({"findings": found} if (found := [dataclasses.asdict(f) for f in findings.findings(analysis)]) else {}),
        "caveats": analysis.caveats,
        "to_settle": {axis: dataclasses.asdict(s) if s else None for axis, s in analysis.settlements.items()},
        **dataclasses.asdict(analysis.robustness),
    }


def _tuning(analysis: Analysis) -> dict[str, Any]:
    """The search, and what was tried and chosen in each combination; scores are in the record's unit."""
    tuning = analysis.study.plan.tuning
    assert tuning is not None
    return {
        "space": tuning.space,
        "seeds": tuning.seeds,
        "metric": tuning.metric,
        "runs": len(tuning.signatures()),
        "combinations": [dataclasses.asdict(one) for one in tried.searched(analysis.study)],
    }


def _read_from(origin: Origin) -> dict[str, Any]:
    """Where runs come from that others trained, and what their columns were taken for."""
    return {"path": str(origin.path), "kind": origin.kind, "columns": origin.columns, "notes": origin.notes}


def write_tables(analysis: Analysis, folder: Path) -> None:
    """Everything in the report that is a table of numbers, as CSV."""
    study = analysis.study
    written = {
        "effects": effects.table(analysis.effects),
        "leaderboard": analysis.leaderboard,
        "runs": study.runs.drop(columns=[one.name for one in study.comparisons if one.within]),
        "epochs": study.epochs,
        **{f"axis_{axis}": table.levels for axis, table in analysis.levels.items()},
    }
    if len(study.trials):
        written["tuning"] = tried.table(study)
    if isinstance(analysis.matrices, Matrices):
        written["per_class"] = matrices.per_class(analysis.matrices)
    for name, table in written.items():
        export.write_csv(folder / f"{export.file_name(name)}.csv", table)


def write_page(shown: Page, folder: Path) -> Path:
    """Write report.md, report.html and their figures; return the path of report.md."""
    for picture in shown.pictures():
        drawing.save(picture, folder / "figures")
    files.write_bytes(folder / "report.html", html.document(shown, folder).encode())
    path = folder / "report.md"
    files.write_bytes(path, markdown.document(shown).encode())
    return path

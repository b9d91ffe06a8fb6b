"""Write the report: the same sections as Markdown and as HTML, figures, tables as CSV and LaTeX, and the numbers."""

import dataclasses
import os
from pathlib import Path
from typing import Any

from ablate.records import files
from ablate.report.analysis import Analysis
from ablate.report.page import drawing, export, html, markdown
from ablate.report.page.blocks import Page, Table
from ablate.report.sections import (
    answers,
    card,
    confusion,
    cost,
    curves,
    interactions,
    leaderboard,
    levels,
    methods,
    pairs,
    questions,
    robustness,
    runs,
    sentences,
)
from ablate.report.stats import effects
from ablate.report.study import matrices
from ablate.report.study.matrices import Matrices

FORMAT = 2  # of results.json
# Of runs that belong to no comparison.
LISTED = (runs.listed, runs.deviations, runs.unfinished, runs.reproduce, runs.set_aside)


def write(analysis: Analysis, out: Path | None = None) -> Path:
    """Write the report into `out`, or STUDY_DIR/report/, and return the path of report.md.

    Raises OSError where it cannot be written.
    """
    folder = analysis.study.folder / "report"
    if out is not None:
        folder, analysis.study.from_report = out, os.path.relpath(analysis.study.folder, out)
    files.write_json(folder / "results.json", results(analysis))
    write_tables(analysis, folder / "tables")
    return write_page(page(analysis), folder)


def page(analysis: Analysis) -> Page:
    """The report's sections, in their order."""
    study = analysis.study
    if study.plan.is_list:
        return Page(
            card.title(study), card.notes(study), tuple(filter(None, (section(analysis) for section in LISTED)))
        )
    found = [
        answers.section(analysis),
        questions.section(analysis),
        card.section(analysis),
        leaderboard.section(analysis),
        *levels.sections(analysis),
        pairs.section(analysis),
        interactions.section(analysis),
        curves.section(analysis),
        *confusion.sections(analysis),
        cost.section(analysis),
        runs.deviations(analysis),
        runs.unfinished(analysis),
        robustness.section(analysis),
        methods.section(analysis),
        runs.reproduce(analysis),
        runs.set_aside(analysis),
    ]
    return Page(card.title(study), card.notes(study), tuple(section for section in found if section is not None))


def results(analysis: Analysis) -> dict[str, Any]:
    """The same as plain types: every value, each axis's answer, and what would settle it."""
    values = dataclasses.asdict(analysis.effects)
    values["level"] = values.pop("confidence")
    return {
        "format": FORMAT,
        **values,
        "answers": {told.axis: f"{told.title}. {told.text}" for told in sentences.told(sentences.facts_of(analysis))},
        "caveats": analysis.caveats,
        "to_settle": {axis: dataclasses.asdict(s) if s else None for axis, s in analysis.settlements.items()},
        **dataclasses.asdict(analysis.robustness),
    }


def write_tables(analysis: Analysis, folder: Path) -> None:
    """Everything in the report that is a table of numbers, as CSV."""
    study = analysis.study
    written = {
        "effects": effects.table(analysis.effects),
        "leaderboard": analysis.leaderboard,
        "runs": study.runs,
        "epochs": study.epochs,
        **{f"axis_{axis}": table.levels for axis, table in analysis.levels.items()},
    }
    if isinstance(analysis.matrices, Matrices):
        written["per_class"] = matrices.per_class(analysis.matrices)
    for name, table in written.items():
        export.write_csv(folder / f"{export.file_name(name)}.csv", table)


def write_page(shown: Page, folder: Path) -> Path:
    """Write report.md, report.html, their figures and their tables as LaTeX; return the path of report.md."""
    for picture in shown.pictures():
        drawing.save(picture.figure, folder / "figures", picture.name)
    for section in shown.sections:
        for number, table in enumerate((b for b in section.blocks if isinstance(b, Table)), start=1):
            name = export.file_name(section.title.lower()) + (f"_{number}" if number > 1 else "")
            export.write_tex(folder / "tables" / f"{name}.tex", table)
    files.write_bytes(folder / "report.html", html.document(shown, folder).encode())
    path = folder / "report.md"
    files.write_bytes(path, markdown.document(shown).encode())
    return path

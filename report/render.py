"""Write the report: the same sections as Markdown and as HTML, figures, tables as CSV and LaTeX, and the numbers."""

from pathlib import Path

import pandas as pd

from ablate import record

from . import (
    analyse,
    classes,
    conclusions,
    ends,
    fairness,
    html,
    markdown,
    matrices,
    pictured,
    robustness,
    sections,
    tables,
)
from .confusion import draw_confusion
from .effects import analyse as judge
from .figures import draw_axis_curves, draw_curves
from .forest import draw_effects
from .gather import Study
from .heat import draw_interactions
from .page import Page, Section, Table
from .questions import questions
from .ranking import ranking
from .scatter import draw_cost, draw_pairs


def write(study: Study) -> Path:
    """Write STUDY_DIR/report/ and return the path of report.md. Raises OSError where it cannot be written."""
    folder = study.folder / "report"
    pictures = folder / "figures"
    metric = study.plan.get("metric", "test_accuracy")
    board = analyse.leaderboard(study)
    of_axes = {axis: analyse.axis_table(study, axis, metric) for axis in (study.axes if len(study.finished) else {})}
    effects, caveats = judge(study.runs, study.axes, study.plan), fairness.caveats(study)
    drawn = draw_curves(study, pictures)
    robust = robustness.of(study, effects)
    found = [
        conclusions.section(study, effects, caveats, draw_effects(effects, pictures)),
        questions(study, board, of_axes, metric, effects),
        sections.card(study, effects.delta, metric),
        sections.leaderboard(study, board, ranking(study, board)),
        *(sections.axis(study, table, metric) for table in of_axes.values()),
        pictured.pairs(draw_pairs(study, effects, pictures)),
        pictured.interactions(effects, *draw_interactions(study.axes, effects, pictures)),
        sections.curves(study, drawn, study.runs["cell"].nunique() > drawn and draw_axis_curves(study, pictures)),
        *_classes(study, board, folder),
        pictured.cost(study, board, draw_cost(board, pictures)),
        ends.deviations(study),
        ends.unfinished(study),
        robustness.section(effects, robust),
        conclusions.methods(effects),
        ends.reproduce(study),
        ends.set_aside(study),
    ]
    page = Page(sections.title(study), sections.notes(study), tuple(section for section in found if section))
    record.write_json(folder / "results.json", conclusions.results(effects, caveats) | robustness.results(robust))
    files = {"effects": conclusions.table(effects), "leaderboard": board, "runs": study.runs, "epochs": study.epochs}
    files |= {f"axis_{axis}": table.levels for axis, table in of_axes.items()}
    for name, table in files.items():
        tables.write_csv(folder / "tables" / f"{tables.file_name(name)}.csv", table)
    return write_page(page, folder)


def write_page(page: Page, folder: Path) -> Path:
    """Write report.md, report.html and the tables of their sections as LaTeX; return the path of report.md."""
    for section in page.sections:
        for number, table in enumerate((b for b in section.blocks if isinstance(b, Table)), start=1):
            name = tables.file_name(section.title.lower()) + (f"_{number}" if number > 1 else "")
            tables.write_tex(folder / "tables" / f"{name}.tex", table)
    record.write_bytes(folder / "report.html", html.document(page, folder).encode())
    path = folder / "report.md"
    record.write_bytes(path, markdown.document(page).encode())
    return path


def _classes(study: Study, board: pd.DataFrame, folder: Path) -> list[Section]:
    """The sections about the classes of the best run, with their figure and table."""
    run = matrices.best_run(study, board)
    if run is None:
        return []
    try:
        found = matrices.load(study.folder / run["folder"])
    except ValueError as error:
        return [classes.missing(run, str(error))]
    draw_confusion(found, folder / "figures")
    table = matrices.per_class(found)
    tables.write_csv(folder / "tables" / "per_class.csv", table)
    return [classes.confusion(study, run, found), classes.per_class(found, table)]

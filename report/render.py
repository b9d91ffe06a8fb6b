"""Write the report: Markdown that GitHub shows, figures, and the tables as CSV."""

import csv
import io
import re
from pathlib import Path

import pandas as pd

from ablate import record

from . import analyse, classes, conclusions, fairness, matrices, robustness, sections
from .effects import analyse as judge
from .figures import draw_confusion, draw_curves
from .forest import draw_effects
from .gather import Study
from .questions import questions


def write(study: Study) -> Path:
    """Write STUDY_DIR/report/ and return the path of report.md."""
    folder = study.folder / "report"
    drawn = draw_curves(study, folder / "figures")
    metric = study.plan.get("metric", "test_accuracy")
    axes = study.axes if len(study.finished) else {}
    tables = {axis: analyse.axis_table(study, axis, metric) for axis in axes}
    board = analyse.leaderboard(study)
    effects, caveats = judge(study.runs, study.axes, study.plan), fairness.caveats(study)
    forest = draw_effects(effects, folder / "figures")
    robust = robustness.of(study, effects)
    parts = [
        sections.card(study),
        conclusions.section(study, effects, caveats, forest),
        questions(study, board, tables, metric, effects),
        sections.leaderboard(study, board),
        *(sections.axis(study, table, metric) for table in tables.values()),
        sections.curves(study, drawn),
        *_classes(study, board, folder),
        sections.deviations(study),
        sections.unfinished(study),
        robustness.section(effects, robust),
        conclusions.methods(effects),
        sections.reproduce(study),
        sections.set_aside(study),
    ]
    record.write_json(folder / "results.json", conclusions.results(effects, caveats) | robustness.results(robust))
    _write_csv(folder / "tables" / "effects.csv", conclusions.table(effects))
    _write_csv(folder / "tables" / "leaderboard.csv", board)
    _write_csv(folder / "tables" / "runs.csv", study.runs)
    _write_csv(folder / "tables" / "epochs.csv", study.epochs)
    for table in tables.values():
        name = re.sub(r"[^A-Za-z0-9_.-]", "_", table.axis)
        _write_csv(folder / "tables" / f"axis_{name}.csv", table.levels)
    path = folder / "report.md"
    record.write_bytes(path, ("\n\n".join(part for part in parts if part) + "\n").encode())
    return path


def _classes(study: Study, board: pd.DataFrame, folder: Path) -> list[str]:
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
    _write_csv(folder / "tables" / "per_class.csv", table)
    return [classes.confusion(study, run, found), classes.per_class(found, table)]


def _write_csv(path: Path, table: pd.DataFrame) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.columns)
    for row in table.itertuples(index=False):
        writer.writerow([_cell(value) for value in row])
    record.write_bytes(path, text.getvalue().encode())


def _cell(value: object) -> object:
    """A spreadsheet would run a text that starts like a formula."""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return "'" + value
    return "" if value is None or value != value else value

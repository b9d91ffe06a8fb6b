"""The sections about single runs: what did not finish or was not trained as configured, and how to train it again."""

import shlex
from typing import Any

from ablate.report.analysis import Analysis
from ablate.report.page import numbers
from ablate.report.page.blocks import MOST_ROWS, Block, Bullets, Code, Commands, Fold, Link, Paragraph, Section, Table
from ablate.report.study import tables
from ablate.report.study.gather import MIXED, StudyData

MANY = 12  # above this many rows, a table is folded


def listed(analysis: Analysis) -> Section:
    """Single runs side by side, each with what tells it from the others; nothing is ranked or averaged."""
    study, cells = analysis.study, analysis.study.plan.cells
    facts = [{**cell.levels, **{f"{key} (hash)": value[:8] for key, value in cell.content.items()}} for cell in cells]
    apart = [key for key in dict.fromkeys(key for of in facts for key in of) if len({of.get(key) for of in facts}) > 1]
    rows = tuple(
        (
            _log(study, row) if row["folder"] else row["signature"],
            ", ".join(f"{key}={facts[row['cell'] - 1].get(key, 'none')}" for key in apart),
            str(row["seed"]),
            str(row["epochs_done"]),
            *(_percent(row.get(metric)) for metric in ("holdout_accuracy", "test_accuracy")),
            str(row["state"]),
        )
        for _, row in study.runs.head(MOST_ROWS).iterrows()
    )
    about = (
        "These runs were trained one by one, each by a command without a second level on any axis. They may differ in "
        "anything, data included, so they are listed and not compared. To compare, give the levels in one command."
    )
    header = ("run", "what differs", "seed", "epochs", "holdout %", "test %", "state")
    return Section(
        "Runs", (Paragraph(about), Table("Single runs", header, rows, (2, 3, 4, 5)), *_more(len(study.runs)))
    )


def _percent(value: Any) -> str:
    return "–" if value is None or value != value else numbers.percent(value)


def deviations(analysis: Analysis) -> Section | None:
    """Which runs were not trained quite as their configuration says, and how."""
    study = analysis.study
    runs = study.runs[study.runs["deviations"] != ""].drop_duplicates("signature")
    if runs.empty:
        return None
    rows = tuple(
        (tables.label(study, row), str(row["seed"]), row["deviations"]) for _, row in runs.head(MOST_ROWS).iterrows()
    )
    about = "These runs were not trained quite as configured; bear that in mind when they are compared with others."
    table = Table("Runs that deviate", ("combination", "seed", "what happened"), rows)
    return Section("Deviations", (Paragraph(about), table, *_more(len(runs))))


def unfinished(analysis: Analysis) -> Section | None:
    """The planned runs that are not DONE, with cause, epoch and log."""
    study = analysis.study
    runs = tables.unfinished(study)
    if runs.empty:
        return None
    rows = tuple(
        (
            _log(study, row) if row["folder"] else row.get("name") or tables.label(study, row),
            str(row["seed"]),
            str(row["state"]),
            str(row["epochs_done"]),
            row["error"],
        )
        for _, row in runs.head(MOST_ROWS).iterrows()
    )
    header = ("run", "seed", "state", "epochs done", "cause")
    about = "A failed or diverged run is a result too" + ("; its log is linked." if study.origin is None else ".")
    if study.mixed:
        about += f" Runs marked {MIXED} finished, but they are not repetitions of one experiment."
    table = Table("Runs that did not finish", header, rows, (1, 3))
    return Section("Runs that did not finish", (Paragraph(about), table, *_more(len(runs))))


def reproduce(analysis: Analysis) -> Section | None:
    """The commands that train each finished run again, its weights' hash, and those that trained the study."""
    study = analysis.study
    finished = study.finished.drop_duplicates("signature")
    if finished.empty or study.origin is not None:
        return None
    rows = tuple(
        (
            tables.label(study, row),
            str(row["seed"]),
            Code(shlex.join(["python", "-m", "ablate", "reproduce", str(study.folder / row["folder"])])),
            Code(str(row["commit"])[:10] if row["commit"] else "unknown"),
            Code(str(row["weights_sha256"])[:12]),
        )
        for _, row in finished.head(MOST_ROWS).iterrows()
    )
    trained = "\n".join(dict.fromkeys(filter(None, map(_quoted, finished["command"]))))
    about = (
        "Each command trains one run again from its folder and says whether weights and metrics are the same to the "
        "bit. A run's folder ends in its signature; the data's fingerprint and the machine are in the study's card."
    )
    header = ("combination", "seed", "command", "commit", "weights' SHA-256")
    table: Block = Table("How to train each run again", header, rows)
    if len(rows) > MANY:
        table = Fold(f"The commands of {len(rows)} runs", (table,))
    commands = Fold("The commands that trained the study", (Commands(trained),))
    return Section("Reproduce", (Paragraph(about), table, *_more(len(finished)), commands))


def _log(study: StudyData, row: Any) -> Link:
    return Link(row["folder"], f"{study.from_report}/{row['folder']}/run.log")


def _quoted(command: str) -> str:
    """A recorded command as a shell may be given it, whatever a record says; "" where it is not one of ours."""
    try:
        words = shlex.split(str(command))
    except ValueError:
        return ""
    return shlex.join(words) if words[:3] == ["python", "-m", "ablate"] else ""


def set_aside(analysis: Analysis) -> Section | None:
    """What lies in the study's folder and is part of no table."""
    study = analysis.study
    lines = [f"could not be read: {sentence}" for sentence in study.set_aside]
    removed = {signature for amendment in study.plan.amendments for signature in amendment.removed}
    for name in study.strays:
        gone = name.rpartition("-")[2] in removed
        lines.append(f"removed from this study: {name}" if gone else f"in no plan of this study: {name}")
    if not lines:
        return None
    shown = lines[:MOST_ROWS] + ([f"and {len(lines) - MOST_ROWS} more"] if len(lines) > MOST_ROWS else [])
    return Section("Set aside", (Paragraph("Not part of any table above."), Bullets(tuple(shown))))


def _more(number: int) -> tuple[Block, ...]:
    if number <= MOST_ROWS:
        return ()
    return (Paragraph((f"{number - MOST_ROWS} more are in ", Link("runs.csv", "tables/runs.csv"), ".")),)

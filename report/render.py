"""Write the report: Markdown that GitHub shows, figures, and the tables as CSV."""

import csv
import io
import re
import shlex
from pathlib import Path

import pandas as pd

from ablate import record

from . import analyse
from . import markdown as md
from .figures import draw_curves
from .gather import Study


def write(study: Study) -> Path:
    """Write STUDY_DIR/report/ and return the path of report.md."""
    folder = study.folder / "report"
    drawn = draw_curves(study, folder / "figures")
    metric = study.plan.get("metric", "test_accuracy")
    tables = [analyse.axis_table(study, axis, metric) for axis in study.axes] if len(study.finished) else []
    board = analyse.leaderboard(study)
    sections = [
        _card(study),
        _leaderboard(study, board),
        *(_axis(study, table, metric) for table in tables),
        _curves(study, drawn),
        _unfinished(study),
        _reproduce(study),
        _set_aside(study),
    ]
    _write_csv(folder / "tables" / "leaderboard.csv", board)
    _write_csv(folder / "tables" / "runs.csv", study.runs)
    _write_csv(folder / "tables" / "epochs.csv", study.epochs)
    for table in tables:
        name = re.sub(r"[^A-Za-z0-9_.-]", "_", table.axis)
        _write_csv(folder / "tables" / f"axis_{name}.csv", table.levels)
    path = folder / "report.md"
    record.write_bytes(path, ("\n\n".join(s for s in sections if s) + "\n").encode())
    return path


# -- sections ---------------------------------------------------------------------------------


def _card(study: Study) -> str:
    plan, runs = study.plan, study.runs
    finished, total = len(study.finished), len(runs)
    rows = [
        ("runs", f"{finished} of {total} finished"),
        ("seeds", ", ".join(str(s) for s in plan.get("seeds", []))),
        ("design", plan.get("design", "")),
        *((f"axis {md.text(axis)}", ", ".join(levels)) for axis, levels in study.axes.items()),
        ("held constant", _constants(study)),
        ("epochs", ", ".join(str(e) for e in study.epochs_planned)),
        ("data", "; ".join(study.data)),
        ("machine", _machines(study)),
    ]
    warnings = []
    if len(study.environments) > 1:
        warnings.append("> **Mixed environments**: the runs were not all made with the same machine and versions.")
    if finished < total:
        states = ", ".join(f"{n} {state}" for state, n in runs["state"].value_counts().items() if state != "DONE")
        warnings.append(f"> **Not complete**: {states}. The tables below are about what has finished.")
    return "\n\n".join([f"# Study {md.text(plan.get('name', study.folder.name))}",
                        md.table(["", ""], [[k, md.text(v)] for k, v in rows]), *warnings])  # fmt: skip


def _leaderboard(study: Study, board: pd.DataFrame) -> str:
    if board.empty:
        return "## Leaderboard\n\nNo run has finished yet."
    rows = []
    for rank, row in enumerate(board.to_dict("records"), start=1):
        rows.append(
            [
                str(rank),
                *(md.text(row[axis]) for axis in study.axes),
                md.percent(row["holdout_accuracy_mean"], row["holdout_accuracy_sd"]),
                md.percent(row["test_accuracy_mean"], row["test_accuracy_sd"]),
                md.percent(row["best_holdout_test_accuracy_mean"], row["best_holdout_test_accuracy_sd"]),
                f"{row['n']} of {row['planned']}",
                md.duration(row["seconds"]),
            ]
        )
    header = ["rank", *(md.text(a) for a in study.axes), "holdout %", "test %", "test % at best holdout epoch",
              "seeds", "time per run"]  # fmt: skip
    return "\n\n".join(
        [
            "## Leaderboard",
            "Mean ± standard deviation over seeds, after the last epoch. Ranked by the holdout, which is cut from "
            "the training set, so that nothing is chosen on the test set.",
            md.table(header, rows, numbers=range(1 + len(study.axes), len(header))),
        ]
    )


def _axis(study: Study, table: analyse.AxisTable, metric: str) -> str:
    title = f"## Axis {md.text(table.axis)}"
    rows = [
        [md.text(row["level"]), md.percent(row["mean"], row["sd"]), f"{row['finished']} of {row['planned']}"]
        for row in table.levels.to_dict("records")
    ]
    if table.matched:
        basis = (
            f"Mean {analyse.METRICS[metric]} over the {md.count(table.matched, 'combination')} of the other axes and "
            "seeds that finished at every level; ± is the standard deviation over seeds of these means."
        )
    else:
        basis = "No combination of the other axes and seeds has finished at every level, so no means are shown."
    if table.left_out:
        basis += f" {md.count(table.left_out, 'combination')} finished at some levels only and is left out."
    if len(study.plan.get("seeds", [])) < 2:
        basis += " One seed: nothing here says how much of a difference is noise."
    return "\n\n".join([title, basis, md.table(["level", f"{metric.split('_')[0]} %", "runs finished"], rows, (1, 2))])


def _curves(study: Study, drawn: int) -> str:
    if not drawn:
        return ""
    total = study.runs["cell"].nunique()
    which = "" if drawn >= total else f" The {drawn} best of {total} combinations by the holdout are drawn."
    return (
        "## Curves\n\nA thin line per seed, a bold line for their mean. Training figures are taken while training, "
        f"with augmentation.{which}\n\n"
        "![Loss and accuracy over epochs, on the training and on the test set](figures/curves.png)\n\n"
        "The same as [SVG](figures/curves.svg)."
    )


def _unfinished(study: Study) -> str:
    runs = analyse.unfinished(study)
    if runs.empty:
        return ""
    rows = [
        [
            f"[{md.text(row['folder'])}](../{row['folder']}/run.log)"
            if row["folder"]
            else md.text(analyse.label(study, row)),
            str(row["seed"]),
            md.text(row["state"]),
            str(row["epochs_done"]),
            md.text(row["error"]),
        ]
        for _, row in runs.iterrows()
    ]
    return "\n\n".join(
        [
            "## Runs that did not finish",
            "A failed or diverged run is a result too; its log is linked.",
            md.table(["run", "seed", "state", "epochs done", "cause"], rows),
        ]
    )


def _reproduce(study: Study) -> str:
    finished = study.finished.drop_duplicates("signature")
    if finished.empty:
        return ""
    rows = [
        [
            md.text(analyse.label(study, row)),
            str(row["seed"]),
            md.code(shlex.join(["python", "-m", "ablate.reproduce", str(study.folder / row["folder"])])),
            md.code(str(row["weights_sha256"])[:12]),
        ]
        for _, row in finished.iterrows()
    ]
    trained = "\n".join(dict.fromkeys(str(command) for command in finished["command"]))
    return "\n\n".join(
        [
            "## Reproduce",
            "Each command trains one run again from its folder and says whether weights and metrics are the same "
            "to the bit.",
            md.table(["combination", "seed", "command", "weights' SHA-256"], rows),
            "<details><summary>The commands that train each run anew</summary>\n\n"
            + md.fence(trained)
            + "\n\n</details>",
        ]
    )


def _set_aside(study: Study) -> str:
    lines = [f"- could not be read: {md.text(sentence)}" for sentence in study.set_aside]
    lines += [f"- in no plan of this study: {md.text(name)}" for name in study.strays]
    return "## Set aside\n\nNot part of any table above.\n\n" + "\n".join(lines) if lines else ""


def _constants(study: Study) -> str:
    cells = study.plan["cells"]
    levels = cells[0]["levels"]
    return ", ".join(f"{axis}={level}" for axis, level in levels.items() if axis not in study.axes)


def _machines(study: Study) -> str:
    texts = []
    for e in study.environments:
        packages = e.get("packages", {})
        texts.append(
            f"{e.get('device_name')} ({e.get('device')}, threads: {e.get('threads')}), "
            f"torch {packages.get('torch')}, timm {packages.get('timm')}"
        )
    return "; ".join(dict.fromkeys(texts)) or "unknown"


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

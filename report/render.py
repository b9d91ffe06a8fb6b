"""Write the report: Markdown that GitHub shows, figures, and the tables as CSV."""

import csv
import io
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import pandas as pd

from ablate import record

from . import analyse
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
        *((f"axis `{axis}`", ", ".join(levels)) for axis, levels in study.axes.items()),
        ("held constant", _constants(study)),
        ("test images", str(study.test_images or "unknown")),
        ("machine", _machines(study)),
    ]
    warnings = []
    if len(study.environments) > 1:
        warnings.append("> **Mixed environments**: the runs were not all made with the same machine and versions.")
    if finished < total:
        states = ", ".join(f"{n} {state}" for state, n in runs["state"].value_counts().items() if state != "DONE")
        warnings.append(f"> **Not complete**: {states}. The tables below are about what has finished.")
    return "\n\n".join([f"# Study {_text(plan.get('name', study.folder.name))}",
                        _table(["", ""], [[_code_or_text(k), _text(v)] for k, v in rows]), *warnings])  # fmt: skip


def _leaderboard(study: Study, board: pd.DataFrame) -> str:
    if board.empty:
        return "## Leaderboard\n\nNo run has finished yet."
    rows = []
    for rank, row in enumerate(board.to_dict("records"), start=1):
        rows.append(
            [
                str(rank),
                *(_text(row[axis]) for axis in study.axes),
                _percent(row["holdout_accuracy_mean"], row["holdout_accuracy_sd"]),
                _percent(row["test_accuracy_mean"], row["test_accuracy_sd"]),
                _percent(row["best_holdout_test_accuracy_mean"], row["best_holdout_test_accuracy_sd"]),
                f"{row['n']} of {row['planned']}",
                _duration(row["seconds"]),
            ]
        )
    header = ["rank", *(_text(a) for a in study.axes), "holdout %", "test %", "test % at best holdout epoch",
              "seeds", "time per run"]  # fmt: skip
    return "\n\n".join(
        [
            "## Leaderboard",
            "Mean ± standard deviation over seeds, after the last epoch. Ranked by the holdout, which is cut from "
            "the training set, so that nothing is chosen on the test set.",
            _table(header, rows, numbers=range(1 + len(study.axes), len(header))),
        ]
    )


def _axis(study: Study, table: analyse.AxisTable, metric: str) -> str:
    title = f"## Axis {_text(table.axis)}"
    rows = [
        [_text(row["level"]), _percent(row["mean"], row["sd"]), f"{row['finished']} of {row['planned']}"]
        for row in table.levels.to_dict("records")
    ]
    if table.matched:
        basis = (
            f"Mean {analyse.METRICS[metric]} over the {_count(table.matched, 'combination')} of the other axes and "
            "seeds that finished at every level; ± is the standard deviation over seeds of these means."
        )
    else:
        basis = "No combination of the other axes and seeds has finished at every level, so no means are shown."
    if table.left_out:
        basis += f" {_count(table.left_out, 'combination')} finished at some levels only and is left out."
    if len(study.plan.get("seeds", [])) < 2:
        basis += " One seed: nothing here says how much of a difference is noise."
    return "\n\n".join([title, basis, _table(["level", f"{metric.split('_')[0]} %", "runs finished"], rows, (1, 2))])


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
            f"[{_text(row['folder'])}](../{row['folder']}/run.log)"
            if row["folder"]
            else _text(analyse.label(study, row)),
            str(row["seed"]),
            _text(row["state"]),
            str(row["epochs_done"]),
            _text(row["error"]),
        ]
        for _, row in runs.iterrows()
    ]
    return "\n\n".join(
        [
            "## Runs that did not finish",
            "A failed or diverged run is a result too; its log is linked.",
            _table(["run", "seed", "state", "epochs done", "cause"], rows),
        ]
    )


def _log_link(folder: str) -> str:
    return f"[{_text(folder)}](../{quote(folder)}/run.log)"


def _reproduce(study: Study) -> str:
    finished = study.finished.drop_duplicates("signature")
    if finished.empty:
        return ""
    rows = [
        [
            _text(analyse.label(study, row)),
            str(row["seed"]),
            _code(shlex.join(["python", "-m", "ablate.reproduce", str(study.folder / row["folder"])])),
            _code(str(row["weights_sha256"])[:12]),
        ]
        for _, row in finished.iterrows()
    ]
    trained = "\n".join(dict.fromkeys(str(command) for command in finished["command"]))
    return "\n\n".join(
        [
            "## Reproduce",
            "Each command trains one run again from its folder and says whether weights and metrics are the same "
            "to the bit.",
            _table(["combination", "seed", "command", "weights' SHA-256"], rows),
            "<details><summary>The commands that train each run anew</summary>\n\n"
            + _fence(trained)
            + "\n\n</details>",
        ]
    )


def _set_aside(study: Study) -> str:
    lines = [f"- could not be read: {_text(sentence)}" for sentence in study.set_aside]
    lines += [f"- in no plan of this study: {_text(name)}" for name in study.strays]
    return "## Set aside\n\nNot part of any table above.\n\n" + "\n".join(lines) if lines else ""


# -- words ------------------------------------------------------------------------------------


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


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _percent(mean: float, sd: float) -> str:
    if pd.isna(mean):
        return "–"
    return f"{100 * mean:.1f}" if pd.isna(sd) else f"{100 * mean:.1f} ± {100 * sd:.1f}"


def _duration(seconds: float) -> str:
    if pd.isna(seconds):
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    rule = ["---:" if i in numbers else "---" for i in range(len(header))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, rule, *rows))


def _text(value: object) -> str:
    """Any text as inert Markdown on one line: nothing in a name is markup, a tag or a new row."""
    line = " ".join(str(value).split())
    return re.sub(r"([\\`*_{}\[\]()#+!|~<>&$])", r"\\\1", line).replace("\\<", "&lt;").replace("\\>", "&gt;")


def _code(value: str) -> str:
    """Text as code inside a table: no backtick may end it, no bar may end the cell."""
    return "`" + " ".join(value.replace("`", "'").split()).replace("|", "\\|") + "`"


def _code_or_text(value: str) -> str:
    return value if value.startswith("axis `") else _text(value)


def _fence(value: str) -> str:
    longest = max((len(run) for run in re.findall(r"`+", value)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}sh\n{value}\n{fence}"


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

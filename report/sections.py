"""The sections about the study as a whole: its card, the leaderboard, the axes, the curves and the runs."""

import shlex

import pandas as pd

from ablate.metrics import METRICS

from . import analyse
from . import markdown as md
from .gather import Study


def card(study: Study) -> str:
    """The title and what was planned, held constant and trained on; what is missing or mixed, as warnings."""
    plan, runs = study.plan, study.runs
    finished, total = len(study.finished), len(runs)
    rows = [
        ("runs", f"{finished} of {total} finished"),
        ("seeds", ", ".join(str(s) for s in plan.get("seeds", []))),
        ("design", str(plan.get("design", "")).replace("_", " ")),
        *([("baseline", _baseline(study))] if _around_the_baseline(study) else []),
        *((f"axis {md.text(axis)}", ", ".join(levels)) for axis, levels in study.axes.items()),
        ("held constant", _constants(study)),
        ("epochs", ", ".join(str(e) for e in study.epochs_planned)),
        ("data", "; ".join(study.data)),
        ("machine", _machines(study)),
    ]
    warnings = []
    if len(study.environments) > 1:
        warnings.append(
            "> **Mixed environments**: the runs were not all made with the same machine and versions. They differ in "
            f"{md.text(_differences(study))}."
        )
    if finished < total:
        states = ", ".join(f"{n} {state}" for state, n in runs["state"].value_counts().items() if state != "DONE")
        warnings.append(f"> **Not complete**: {states}. The tables below are about what has finished.")
    return "\n\n".join([f"# Study {md.text(plan.get('name', study.folder.name))}",
                        md.table(["", ""], [[k, md.text(v)] for k, v in rows]), *warnings])  # fmt: skip


def leaderboard(study: Study, board: pd.DataFrame) -> str:
    """Every combination with a finished run, ranked by the holdout."""
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


def axis(study: Study, table: analyse.AxisTable, metric: str) -> str:
    """The levels of one axis side by side, and over what they are compared."""
    what = METRICS[metric]
    unit = "%" if what.unit == "points" else what.unit
    rows = [
        [md.text(row["level"]), md.measured(what, row["mean"], row["sd"]), f"{row['finished']} of {row['planned']}"]
        for row in table.levels.to_dict("records")
    ]
    return "\n\n".join(
        [
            f"## Axis {md.text(table.axis)}",
            _basis(study, table, metric),
            md.table(["level", f"{what.label}, {unit}", "runs finished"], rows, (1, 2)),
        ]
    )


def _basis(study: Study, table: analyse.AxisTable, metric: str) -> str:
    """Over what the levels are compared, and what that leaves out or cannot say."""
    # With one place per seed, a combination of the other axes and a seed is just a seed.
    around = _around_the_baseline(study) and table.matched == table.seeds
    what = METRICS[metric].label
    if not table.matched:
        done = "finished" if table.left_out else "been planned"
        sentences = [f"No combination of the other axes and seeds has {done} at every level, so no means are shown."]
    elif around:
        sentences = [
            f"Around the baseline, every other axis at its baseline's level: mean {what} over the "
            f"{md.count(table.seeds, 'seed')} finished at every level."
        ]
    else:
        sentences = [
            f"Mean {what} over the {md.count(table.matched, 'combination')} of the other axes and seeds that "
            "finished at every level."
        ]
    if table.seeds > 1:
        sentences.append("± is the standard deviation over seeds of these means.")
    if table.matched and table.left_out:
        left_out = md.count(table.left_out, "seed" if around else "combination")
        sentences.append(f"Left out, because not finished at every level: {left_out}.")
    if table.seeds == 1 or len(study.plan.get("seeds", [])) < 2:
        sentences.append("One seed: nothing here says how much of a difference is noise.")
    sentences.append(md.text(analyse.copies_sentence(table)))
    return " ".join(sentences).strip()


def curves(study: Study, drawn: int) -> str:
    """The figure of the curves, which draws so many combinations."""
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


def deviations(study: Study) -> str:
    """Which runs were not trained quite as their configuration says, and how."""
    runs = study.runs[study.runs["deviations"] != ""].drop_duplicates("signature")
    if runs.empty:
        return ""
    rows = [
        [md.text(analyse.label(study, row)), str(row["seed"]), md.text(row["deviations"])] for _, row in runs.iterrows()
    ]
    return "\n\n".join(
        [
            "## Deviations",
            "These runs were not trained quite as configured, which their comparison with others has to bear in mind.",
            md.table(["combination", "seed", "what happened"], rows),
        ]
    )


def unfinished(study: Study) -> str:
    """The planned runs that are not DONE, with cause and log."""
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


def reproduce(study: Study) -> str:
    """The commands that train each finished run again, and its weights' hash."""
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


def set_aside(study: Study) -> str:
    """What lies in the study's folder and is part of no table."""
    lines = [f"- could not be read: {md.text(sentence)}" for sentence in study.set_aside]
    lines += [f"- in no plan of this study: {md.text(name)}" for name in study.strays]
    return "## Set aside\n\nNot part of any table above.\n\n" + "\n".join(lines) if lines else ""


def _around_the_baseline(study: Study) -> bool:
    return study.plan.get("design") == "one_at_a_time"


def _baseline(study: Study) -> str:
    levels = study.plan.get("baseline", {})
    return ", ".join(f"{axis}={levels[axis]}" for axis in study.axes if axis in levels)


def _constants(study: Study) -> str:
    cells = study.plan["cells"]
    levels = cells[0]["levels"]
    return ", ".join(f"{axis}={level}" for axis, level in levels.items() if axis not in study.axes)


def _differences(study: Study) -> str:
    """Which entries of the environments differ, with the values of each."""
    flat = pd.json_normalize(study.environments).astype(str)
    return "; ".join(f"{name}: {', '.join(flat[name].unique())}" for name in flat if flat[name].nunique() > 1)


def _machines(study: Study) -> str:
    texts = []
    for e in study.environments:
        packages = e.get("packages", {})
        texts.append(
            f"{e.get('device_name')} ({e.get('device')}, threads: {e.get('threads')}), "
            f"torch {packages.get('torch')}, timm {packages.get('timm')}"
        )
    return "; ".join(dict.fromkeys(texts)) or "unknown"

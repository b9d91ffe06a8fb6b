"""The sections about the study as a whole: its card, the leaderboard, the axes, and the curves."""

import pandas as pd

from ablate.metrics import METRICS

from . import analyse
from . import markdown as md
from .gather import Study
from .page import Block, Link, Note, Number, Paragraph, Picture, Section, Strong, Table, Text
from .ranking import Ranking

MOST_ROWS = 100  # nobody reads more of a table on a page; the CSV holds them all


def notes(study: Study) -> tuple[Note, ...]:
    """What is mixed or missing, which every number below has to be read with."""
    found = []
    if len(study.environments) > 1:
        found.append(
            Note(
                (
                    Strong("Mixed environments"),
                    ": the runs were not all made with the same machine and versions. They differ in "
                    f"{_differences(study)}.",
                )
            )
        )
    if len(study.finished) < len(study.runs):
        states = ", ".join(f"{n} {state}" for state, n in study.runs["state"].value_counts().items() if state != "DONE")
        found.append(Note((Strong("Not complete"), f": {states}. What follows is about what has finished.")))
    return tuple(found)


def title(study: Study) -> str:
    return f"Study {study.plan.get('name', study.folder.name)}"


def card(study: Study, delta: float, metric: str) -> Section:
    """What was planned, held constant and trained on."""
    plan = study.plan
    rows = [
        ("runs", f"{len(study.finished)} of {len(study.runs)} finished"),
        ("seeds", ", ".join(str(s) for s in plan.get("seeds", []))),
        ("design", str(plan.get("design", "")).replace("_", " ")),
        *([("baseline", _baseline(study))] if _around_the_baseline(study) else []),
        *((f"axis {axis}", ", ".join(levels)) for axis, levels in study.axes.items()),
        ("metric", METRICS[metric].label),
        ("worth caring about", f"differences above {delta:g} {METRICS[metric].unit} (study.delta)"),
        ("held constant", ", ".join(f"{axis}={level}" for axis, level in constants(study).items())),
        ("only the axes differ", _only_the_axes(study)),
        ("epochs", ", ".join(str(e) for e in study.epochs_planned)),
        ("data", "; ".join(study.data)),
        ("machine", _machines(study)),
    ]
    return Section("Study", (Table("What was planned and trained", ("", ""), tuple(rows)),))


def leaderboard(study: Study, board: pd.DataFrame, ranking: Ranking | None) -> Section:
    """The combinations with a finished run, ranked by the holdout; ties with the first are marked."""
    if board.empty:
        return Section("Leaderboard", (Paragraph("No run has finished yet."),))
    rows = []
    for rank, (_, row) in enumerate(board.head(MOST_ROWS).iterrows(), start=1):
        tied = ranking is not None and row["cell"] in ranking.ties
        rows.append(
            (
                Number(f"{rank} =" if tied and rank > 1 else str(rank), rank),
                *(str(row[axis]) for axis in study.axes),
                _percent(row, "holdout_accuracy"),
                _percent(row, "test_accuracy"),
                *([_interval(row["test_accuracy_mean"], ranking.half(row["n"]))] if ranking else []),
                _percent(row, "best_holdout_test_accuracy"),
                f"{row['n']} of {row['planned']}",
                Number(md.duration(row["seconds"]), row["seconds"]),
            )
        )
    header = ("rank", *study.axes, "holdout %", "test %", *(["95 % interval"] if ranking else []),
              "test % at best holdout epoch", "seeds", "time per run")  # fmt: skip
    blocks: list[Block] = [
        Paragraph(
            "Mean ± standard deviation over seeds, after the last epoch. Ranked by the holdout, which is cut from "
            "the training set, so that nothing is chosen on the test set."
        ),
        Paragraph(_honest_best(study, board, ranking)),
    ]
    table = Table("Combinations, the best by the holdout first", header, tuple(rows),
                  tuple(range(1 + len(study.axes), len(header))))  # fmt: skip
    blocks.append(table)
    more = len(board) - len(rows)
    blocks.append(_all_of("leaderboard.csv", f"{more} more combinations: " if more > 0 else "The same as a table: "))
    return Section("Leaderboard", tuple(blocks))


def _honest_best(study: Study, board: pd.DataFrame, ranking: Ranking | None) -> str:
    best = board.iloc[0]
    text = (
        f"The best by the holdout: {analyse.in_a_sentence(study, best)}; its test accuracy, "
        f"{md.percent(best['test_accuracy_mean'], best['test_accuracy_sd'])} %, played no part in choosing it."
    )
    highest = board.iloc[int(board["test_accuracy_mean"].argmax())]
    if highest["cell"] != best["cell"]:
        text += (
            f" The highest mean on the test set, {md.percent(highest['test_accuracy_mean'])} % by "
            f"{analyse.in_a_sentence(study, highest)}, is the luckiest of {len(board)} and promises too much."
        )
    if ranking is None:
        return f"{text} Without a spread over seeds, which others are as good cannot be told."
    others = len(ranking.ties) - 1
    if not others:
        return f"{text} No other combination ties with it."
    return f"{text} {md.count(others, 'other combination')} cannot be told from it by the holdout (marked =)."


def axis(study: Study, table: analyse.AxisTable, metric: str) -> Section:
    """The levels of one axis side by side, and over what they are compared."""
    what = METRICS[metric]
    unit = "%" if what.unit == "points" else what.unit
    rows = tuple(
        (str(row["level"]), Number(md.measured(what, row["mean"], row["sd"]), row["mean"]),
         f"{row['finished']} of {row['planned']}")
        for row in table.levels.to_dict("records")
    )  # fmt: skip
    header = ("level", f"{what.label}, {unit}", "runs finished")
    return Section(
        f"Axis {table.axis}",
        (Paragraph(_basis(study, table, metric)), Table(f"Levels of {table.axis}", header, rows, (1, 2))),
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
    sentences.append(analyse.copies_sentence(table))
    return " ".join(sentences).strip()


def curves(study: Study, drawn: int, of_axes: bool) -> Section | None:
    """The figures of the curves: so many combinations, and each axis's means where those are not all."""
    if not drawn:
        return None
    total = study.runs["cell"].nunique()
    which = "" if drawn >= total else f" The {drawn} best of {total} combinations by the holdout are drawn."
    blocks: list[Block] = [
        Paragraph(
            "A thin line per seed, a bold line for their mean. Training figures are taken while training, "
            f"with augmentation. A ring marks the epoch that the holdout liked best.{which}"
        ),
        Picture("curves", "Loss and accuracy over epochs, on the training and on the test set, and learning rates"),
    ]
    if of_axes:
        blocks += [
            Paragraph("Each level's mean over all runs that have come so far, over epochs:"),
            Picture("curves_axes", "Test accuracy over epochs, the mean of each axis's levels"),
        ]
    return Section("Curves", tuple(blocks))


def _percent(row: pd.Series, metric: str) -> Number:
    mean = row[f"{metric}_mean"]
    return Number(md.percent(mean, row[f"{metric}_sd"]), mean)


def _interval(mean: float, half: float) -> Text:
    return Number(f"{100 * (mean - half):.1f} to {100 * (mean + half):.1f}", mean - half)


def _all_of(csv: str, opening: str) -> Paragraph:
    return Paragraph((opening, Link(csv, f"tables/{csv}"), "."))


def _only_the_axes(study: Study) -> str:
    """Which settings differ between combinations though no axis by their name was varied."""
    swept = {axis.partition(".")[0] for axis in study.axes}
    seen: dict[str, set[str]] = {}
    for cell in study.plan["cells"]:
        for name, value in cell.get("settings", {}).items():
            if name.partition(".")[0] not in swept:
                seen.setdefault(name, set()).add(str(value))
    others = sorted(name for name, values in seen.items() if len(values) > 1)
    return f"no: {', '.join(others)} differ too" if others else "yes"


def _around_the_baseline(study: Study) -> bool:
    return study.plan.get("design") == "one_at_a_time"


def _baseline(study: Study) -> str:
    levels = study.plan.get("baseline", {})
    return ", ".join(f"{axis}={levels[axis]}" for axis in study.axes if axis in levels)


def constants(study: Study) -> dict[str, str]:
    """{axis that was not varied: its level}."""
    levels: dict[str, str] = study.plan["cells"][0]["levels"]
    return {axis: level for axis, level in levels.items() if axis not in study.axes}


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

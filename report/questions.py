"""The section that puts an earlier study's answers beside the means and verdicts found here."""

from collections.abc import Mapping

import pandas as pd

from ablate.metrics import METRICS

from . import analyse
from . import markdown as md
from .analyse import AxisTable
from .gather import Study
from .info import Effects
from .page import Block, Bullets, Paragraph, Section, Strong, Table

LEVELS_SHOWN = 5


def questions(
    study: Study, board: pd.DataFrame, tables: Mapping[str, AxisTable], metric: str, effects: Effects
) -> Section | None:
    """One row per finding of the plan's reference; nothing where the plan has none."""
    reference = study.plan.get("reference")
    if not reference:
        return None
    verdicts = {effect.axis: str(effect.verdict) for effect in effects.axes}
    rows = tuple(
        (str(number), finding["question"], finding["answer"],
         _here(study, finding["axis"], tables.get(finding["axis"]), metric, verdicts.get(finding["axis"], "")))
        for number, finding in enumerate(reference.get("findings", []), start=1)
    )  # fmt: skip
    blocks: list[Block] = [
        Paragraph(
            f"Compared with {reference['title']}. Its answers stand beside what was measured here: the mean "
            f"{METRICS[metric].label} of each level, the best first, over what finished at every level of its axis, "
            "± the standard deviation over seeds; and the verdict, which the answers above explain."
        ),
        Bullets(
            (
                (Strong("The best of the original"), f": {reference['best']}"),
                (Strong("The best here"), f": {_best(study, board)}"),
                (Strong("Trained here"), f": {_trained(study)} Where data or budget differ from the original's, "
                 "compare the order of the levels, not the figures."),
            )
        ),
    ]  # fmt: skip
    if rows:
        header = ("#", "question", "the original", "here")
        blocks.append(Table("The earlier study's questions, its answers and ours", header, rows, (0,)))
    return Section("Questions", tuple(blocks))


def _best(study: Study, board: pd.DataFrame) -> str:
    if board.empty:
        return "no run has finished yet"
    best = board.iloc[0]
    accuracy = md.percent(best["test_accuracy_mean"], best["test_accuracy_sd"])
    return (
        f"{analyse.in_a_sentence(study, best)}, {accuracy} % test accuracy ({md.count(best['n'], 'seed')}); "
        f"chosen by the holdout among {md.count(len(board), 'combination')}"
    )


def _trained(study: Study) -> str:
    data = "; ".join(study.data) or "nothing yet"
    epochs = ", ".join(str(number) for number in study.epochs_planned)
    return f"{data}" + (f"; epochs: {epochs}." if epochs else ".")


def _here(study: Study, axis: str, table: AxisTable | None, metric: str, verdict: str) -> str:
    """What was measured of one axis, and its verdict."""
    if axis not in study.axes:
        return "not varied here"
    if table is None:
        return "no run has finished yet"
    if not table.matched:
        return "nothing to compare yet: no combination of the other axes has finished at every level"
    what = METRICS[metric]
    unit = "%" if what.unit == "points" else what.unit
    ranked = table.levels.sort_values("mean", ascending=what.less_is_better, kind="stable").to_dict("records")
    means = [f"{analyse.level_name(axis, r['level'])} {md.measured(what, r['mean'], r['sd'])} {unit}" for r in ranked]
    shown = ", ".join(means[:LEVELS_SHOWN])
    if len(means) > LEVELS_SHOWN:
        shown += f" and {md.count(len(means) - LEVELS_SHOWN, 'level')} below"
    between = what.scale * abs(ranked[0]["mean"] - ranked[1]["mean"])
    gap = f"difference of the first two {between:.{max(1, what.digits - 1)}f} {what.unit}"
    noise = "with one seed, so how much of it is noise is unknown" if table.seeds == 1 else f"over {table.seeds} seeds"
    copies = analyse.copies_sentence(table)
    return f"{shown}; {gap} {noise}; verdict: {verdict}" + (f". {copies}" if copies else "")

"""The section Levels: those of each axis side by side, and over what they are compared."""

from collections.abc import Hashable, Mapping
from typing import Any

from ablate.records.metrics import METRICS, Metric
from ablate.report.analysis import Analysis
from ablate.report.answers import sentences
from ablate.report.page import numbers
from ablate.report.page.blocks import Block, Number, Paragraph, Section, Strong, Table
from ablate.report.stats.verdicts import AxisEffect
from ablate.report.study.gather import StudyData
from ablate.report.study.tables import AxisTable


def section(analysis: Analysis) -> Section | None:
    """A table per axis; None without a finished run."""
    found = [_axis(analysis, table) for table in analysis.levels.values()]
    return Section("Levels of each axis", tuple(block for of_axis in found for block in of_axis)) if found else None


def _adjusted(analysis: Analysis, effect: AxisEffect) -> dict[str, float]:
    """{level: the mean of all finished runs plus its estimated effect}, in the record's unit; {} without one."""
    offsets = effect.offsets()
    finished, scale = analysis.study.finished[analysis.effects.metric], analysis.metric.scale
    return {level: float(finished.mean()) + offset / scale for level, offset in offsets.items()}


def _mean(what: Metric, row: Mapping[Hashable, Any], adjusted: Mapping[str, float]) -> Number:
    if adjusted:
        value = adjusted.get(row["level"], float("nan"))
        return Number(numbers.measured(what, value), value)
    return Number(numbers.measured(what, row["mean"], row["sd"]), row["mean"])


def _axis(analysis: Analysis, table: AxisTable) -> tuple[Block, ...]:
    study, metric = analysis.study, analysis.effects.metric
    what = METRICS[metric]
    unit = "%" if what.unit == "points" else what.unit
    effect = next(effect for effect in analysis.effects.axes if effect.axis == table.axis)
    adjusted = {} if table.matched else _adjusted(analysis, effect)
    rows = tuple(
        (str(row["level"]), _mean(what, row, adjusted), f"{row['finished']} of {row['planned']}")
        for row in table.levels.to_dict("records")
    )
    header = ("level", f"{what.label}, {unit}{' (adjusted)' if adjusted else ''}", "runs finished")
    about = Paragraph((Strong(table.axis), f": {_basis(study, table, effect, metric, bool(adjusted))}"))
    return about, Table(f"Levels of {table.axis}", header, rows, (1, 2))


def _basis(study: StudyData, table: AxisTable, effect: AxisEffect, metric: str, adjusted: bool) -> str:
    """Over what the levels are compared, and what that leaves out or cannot say."""
    # With one place per seed, a combination of the other axes and a seed is just a seed.
    around = study.around_the_baseline and table.matched == table.seeds
    what = METRICS[metric].label
    if not table.matched:
        done = "finished" if table.left_out else "been planned"
        found = [f"No combination of the other axes and seeds has {done} at every level."]
        if adjusted:
            found.append("Adjusted: the mean of all finished runs plus the level's estimated effect.")
    elif around and effect.after:
        found = [
            f"Added to {sentences.in_words(effect.after)}: mean {what} over the "
            f"{numbers.count(table.seeds, 'seed')} finished at every level."
        ]
    elif around:
        found = [
            f"Around the baseline, every other axis at its baseline's level: mean {what} over the "
            f"{numbers.count(table.seeds, 'seed')} finished at every level."
        ]
    else:
        found = [
            f"Mean {what} over the {numbers.count(table.matched, 'combination')} of the other axes and seeds that "
            "finished at every level."
        ]
    if effect.over:
        found.append(f"A level is the mean over its own {sentences.listed(list(effect.over))}.")
    if effect.same:
        found.append(f"Levels are compared at the same {sentences.listed(list(effect.same))}.")
    if table.seeds > 1:
        found.append("± is the standard deviation over seeds of these means.")
    if table.matched and table.left_out:
        left_out = numbers.count(table.left_out, "seed" if around else "combination")
        found.append(f"Left out, because not finished at every level: {left_out}.")
    if table.seeds == 1 or len(study.plan.seeds) < 2:
        found.append("With one seed, the noise is unknown.")
    found.append(sentences.copies(table))
    return " ".join(found).strip()

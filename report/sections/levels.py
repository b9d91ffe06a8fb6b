"""The sections about each axis: its levels side by side, and over what they are compared."""

from ablate.records.metrics import METRICS
from ablate.report.analysis import Analysis
from ablate.report.page import numbers
from ablate.report.page.blocks import Number, Paragraph, Section, Table
from ablate.report.sections import sentences
from ablate.report.study.gather import StudyData
from ablate.report.study.tables import AxisTable


def sections(analysis: Analysis) -> list[Section]:
    """One per axis; none without a finished run."""
    return [_axis(analysis.study, table, analysis.effects.metric) for table in analysis.levels.values()]


def _axis(study: StudyData, table: AxisTable, metric: str) -> Section:
    what = METRICS[metric]
    unit = "%" if what.unit == "points" else what.unit
    rows = tuple(
        (str(row["level"]), Number(numbers.measured(what, row["mean"], row["sd"]), row["mean"]),
         f"{row['finished']} of {row['planned']}")
        for row in table.levels.to_dict("records")
    )  # fmt: skip
    header = ("level", f"{what.label}, {unit}", "runs finished")
    return Section(
        f"Axis {table.axis}",
        (Paragraph(_basis(study, table, metric)), Table(f"Levels of {table.axis}", header, rows, (1, 2))),
    )


def _basis(study: StudyData, table: AxisTable, metric: str) -> str:
    """Over what the levels are compared, and what that leaves out or cannot say."""
    # With one place per seed, a combination of the other axes and a seed is just a seed.
    around = study.around_the_baseline and table.matched == table.seeds
    what = METRICS[metric].label
    if not table.matched:
        done = "finished" if table.left_out else "been planned"
        found = [f"No combination of the other axes and seeds has {done} at every level, so no means are shown."]
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
    if table.seeds > 1:
        found.append("± is the standard deviation over seeds of these means.")
    if table.matched and table.left_out:
        left_out = numbers.count(table.left_out, "seed" if around else "combination")
        found.append(f"Left out, because not finished at every level: {left_out}.")
    if table.seeds == 1 or len(study.plan.seeds) < 2:
        found.append("With one seed, the noise is unknown.")
    found.append(sentences.copies(table))
    return " ".join(found).strip()

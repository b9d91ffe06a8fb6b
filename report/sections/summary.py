"""The section Answers, which opens the report: the best combination, a row per axis, and what to do next."""

from collections.abc import Sequence

from ablate.records.metrics import METRICS
from ablate.report.analysis import Analysis
from ablate.report.answers import best, next_step, rows, sentences
from ablate.report.answers.rows import Row
from ablate.report.page.blocks import (
    Badge,
    Block,
    Commands,
    Interval,
    Paragraph,
    Section,
    Strong,
    VerdictRow,
    Verdicts,
)
from ablate.report.stats.verdicts import Effects, Verdict
from ablate.report.study import at_its_best, tables

TONES = {
    Verdict.MATTERS: "matters", Verdict.DEPENDS: "depends", Verdict.REAL: "matters", Verdict.SMALL: "negligible",
    Verdict.NEGLIGIBLE: "negligible", Verdict.INCONCLUSIVE: "open", Verdict.CANNOT_TELL: "unknown",
}  # fmt: skip
CUT = 2.5  # times the largest lead; a longer interval ends in an arrow


def section(analysis: Analysis) -> Section:
    """What a reader needs who has ten seconds."""
    effects = analysis.effects
    blocks: list[Block] = [Paragraph(best.what_it_was(analysis.study))]
    if question := best.question(analysis.study):  # in one paragraph, as the recommendation is to be seen with it
        blocks = [Paragraph((Strong(f"Question: {question}"), f" {best.what_it_was(analysis.study)}"))]
    if (found := best.best(analysis)) is not None:
        blocks.append(Paragraph((Strong(f"Best: {found.name}."), f" {best.in_words(found)}")))
        if found.command:
            blocks.append(Commands(found.command))
    shown = rows.rows(analysis)
    if shown:
        metric = METRICS[effects.metric]
        unit = "percentage points" if metric.unit == "points" else metric.unit
        caption = (
            f"Lead: difference in {metric.label} to the runner-up and its {sentences.interval_name(effects)}, "
            f"in {unit}. Grey band: ±{effects.delta:g}, the smallest difference worth caring about"
        )
        span = _span(effects, shown)
        blocks.append(Verdicts(caption, tuple(_drawn(effects, row, span) for row in shown)))
    caveats = sentences.warnings_of_all(sentences.facts_of(analysis)) if shown else []
    if caveats:
        blocks.append(Paragraph((Strong("Read with care:"), f" {'; '.join(caveats)}.")))
    following = next_step.step(analysis)
    blocks.append(Paragraph((Strong("Next:"), f" {following.why}")))
    if following.command:
        blocks.append(Commands(following.command))
    for axis, command in sentences.commands_at_best(analysis).items():
        blocks += [Paragraph((Strong(f"Each {tables.axis_name(axis)} at its best:"), f" {at_its_best.WHY}"))]
        blocks.append(Commands(command))
    return Section("Answers", tuple(blocks))


def _drawn(effects: Effects, row: Row, span: tuple[float, float]) -> VerdictRow:
    drawn = None
    if row.lead is not None:
        drawn = Interval(row.lead, row.low, row.high, effects.delta, *span)
    return VerdictRow(
        badge=Badge(row.badge, TONES[row.verdict]),
        axis=tables.axis_name(row.axis),
        choice=row.level,
        lead=rows.lead_in_words(effects, row),
        drawn=drawn,
        about=row.sentence,
        notes=row.caveats,
    )


def _span(effects: Effects, shown: Sequence[Row]) -> tuple[float, float]:
    """One scale for all rows, on which no interval makes the others too small to see."""
    leads = [row.lead for row in shown if row.lead is not None]
    ends = [end for row in shown for end in (row.lead, row.low, row.high) if end is not None]
    least = 1.5 * effects.delta
    reach = CUT * max([abs(lead) for lead in leads] + [least])
    return max(min([*ends, -least]), -reach), min(max([*ends, least]), reach)

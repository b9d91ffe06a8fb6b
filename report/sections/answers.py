"""The section Answers: a paragraph per axis, and the forest plot of all differences on one scale."""

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ablate.records.metrics import METRICS
from ablate.report.analysis import Analysis
from ablate.report.page import drawing
from ablate.report.page.blocks import Block, Bullets, Link, Paragraph, Picture, Section, Strong, Text
from ablate.report.sections import sentences
from ablate.report.stats.verdicts import Contrast, Effects, Verdict
from ablate.report.study.tables import level_name

# Okabe and Ito's colours, and a shape each, so that none rests on colour alone.
MARKS = {
    Verdict.MATTERS: ("#0072B2", "o"),
    Verdict.REAL: ("#56B4E9", "s"),
    Verdict.INCONCLUSIVE: ("#E69F00", "D"),
    Verdict.SMALL: ("#009E73", "^"),
    Verdict.NEGLIGIBLE: ("#009E73", "v"),
    Verdict.CANNOT_TELL: ("#000000", "x"),
}


def section(analysis: Analysis) -> Section | None:
    """A paragraph per axis, what holds for all of them, interactions, and the figure."""
    effects = analysis.effects
    if not effects.axes:
        return None
    texts = sentences.answers(effects, analysis.settlements, analysis.caveats)
    lines: list[Text] = [
        (Strong(f"{sentences.title(effect)}."), f" {answer}")
        for effect, answer in zip(effects.axes, texts, strict=True)
    ]
    lines += [sentences.interaction(effects, i) for i in effects.interactions if i.worth_a_mention]
    blocks: list[Block] = [Paragraph(opening(analysis)), Bullets(tuple(lines))]
    if (figure := forest(effects)) is not None:
        blocks.append(Picture("effects", "Differences between levels, with their intervals, on one scale", figure))
    blocks.append(Paragraph(("Every contrast: ", Link("effects.csv", "tables/effects.csv"), ".")))
    return Section("Answers", tuple(blocks))


def opening(analysis: Analysis) -> str:
    """What is compared, what counts, and for how much of it the intervals hold."""
    effects, metric = analysis.effects, analysis.metric
    unit = "percentage points" if metric.unit == "points" else metric.unit
    text = (
        f"The effect of each axis on {metric.label}, in {unit}{' (less is better)' if metric.less_is_better else ''}. "
        f"Differences up to {sentences.smallest(effects)} count as negligible."
    )
    if analysis.declared_metric != effects.metric:
        declared = METRICS[analysis.declared_metric].label
        text += f" The study declared {declared}; this metric was chosen afterwards."
    if effects.design == "one_at_a_time":
        text += " Each axis was varied alone, so interactions cannot be estimated, and variants are compared with "
        text += "the baseline, not with each other."
    if effects.noise is None:
        return f"{text} No difference is claimed: {effects.reason}."
    number = len(effects.axes)
    text += f" The intervals hold for all {number} axes at once" if number > 1 else " The interval holds"
    text += f" with {100 * (1 - effects.error_rate):.4g} % confidence, over other seeds, for these test images."
    if effects.seeds == 1:
        text += " With one seed, the noise is taken from the residuals of main effects and two-way interactions."
    if len(analysis.study.finished) < len(analysis.study.runs):
        text += " The study is not complete."
    return text


def forest(effects: Effects) -> Figure | None:
    """Every axis's differences on one scale, with delta's band; None where no two levels can be compared."""
    metric = METRICS[effects.metric]
    rows = [(effect, c) for effect in effects.axes for c in effect.shown(metric.less_is_better)]
    if not rows:
        return None
    figure = Figure(figsize=(9, 1.7 + 0.3 * len(rows) + 0.25 * len(effects.axes)), layout="constrained")
    axes = figure.add_subplot()
    axes.axvspan(-effects.delta, effects.delta, color="#000000", alpha=0.07, linewidth=0)
    axes.axvline(0, color="black", linewidth=0.8)
    height, labels, previous = 0.0, [], None
    for effect, c in rows:
        height -= 1.0 if effect is previous else 1.8
        if effect is not previous:
            drawing.label_axis(axes, effect.axis, height)
        previous = effect
        names = " − ".join(level_name(effect.axis, n) for n in (c.level, c.other))
        labels.append((height, drawing.short(names, 60)))
        colour, marker = MARKS[c.verdict]
        if c.own_low is not None and c.own_high is not None:
            axes.plot([c.own_low, c.own_high], [height] * 2, color="#B0B0B0", linewidth=5, solid_capstyle="butt")
        if c.low is not None and c.high is not None:
            axes.plot([c.low, c.high], [height] * 2, color=colour, linewidth=2)
        axes.plot([c.estimate or 0.0], [height], color=colour, marker=marker, markersize=6, linestyle="none")
    left, right = _limits(effects, [c for _, c in rows])
    axes.set_xlim(left, right)
    drawing.name_rows(axes, height, labels)
    axes.set_xlabel(f"difference in {metric.label} ({'percentage ' * (metric.unit == 'points')}{metric.unit})")
    figure.legend(handles=_legend(effects, [c for _, c in rows]), loc="outside lower center", ncols=3, frameon=False,
                  fontsize=9)  # fmt: skip
    return figure


def _legend(effects: Effects, drawn: list[Contrast]) -> list[Line2D | Patch]:
    present = {c.verdict for c in drawn}
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=colour, marker=marker, linewidth=2, label=str(verdict))
        for verdict, (colour, marker) in MARKS.items()
        if verdict in present
    ]
    if any(c.own_low is not None for c in drawn):
        handles.append(Line2D([], [], color="#B0B0B0", linewidth=5, label="by the axis's own noise"))
    handles.append(Patch(color="#000000", alpha=0.07, label=f"within delta (±{effects.delta:g})"))
    return handles


def _limits(effects: Effects, drawn: list[Contrast]) -> tuple[float, float]:
    """Wide enough for every interval; a sensitivity interval may be cut off, as those of two seeds are huge."""
    ends = [end for c in drawn for end in (c.low, c.high, c.estimate) if end is not None]
    ends += [-1.5 * effects.delta, 1.5 * effects.delta]
    margin = 0.06 * (max(ends) - min(ends)) or 1.0
    return min(ends) - margin, max(ends) + margin

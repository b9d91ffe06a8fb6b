"""The section Each answer in full: a paragraph per axis, and the forest plot of all differences on one scale."""

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ablate.records.metrics import METRICS
from ablate.report.analysis import Analysis
from ablate.report.answers import sentences
from ablate.report.page import drawing
from ablate.report.page.blocks import Block, Bullets, Commands, Fold, Link, Paragraph, Picture, Section
from ablate.report.stats.verdicts import Contrast, Effects, Verdict
from ablate.report.study.tables import level_name

# Okabe and Ito's colours, and a shape each, so that none rests on colour alone.
MARKS = {
    Verdict.DEPENDS: ("#CC79A7", "P"),  # of axes: no single difference is drawn so
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
    blocks: list[Block] = [Paragraph(opening(analysis))]
    if checked := tuple(sentences.confirmation(effects, one) for one in effects.confirmations):
        blocks.append(Bullets(checked))
    if (figure := forest(effects)) is not None:
        about = "Differences between levels, with their intervals, on one scale"
        blocks.append(Picture("effects", about, figure, forest(effects, narrow=True)))
    facts = sentences.facts_of(analysis)
    for told in sentences.told(facts):
        tuned = facts.at_its_best.get(told.axis)
        blocks.append(Fold(told.title, (Paragraph(told.text), *([Commands(tuned)] if tuned else []))))
    if found := [i for i in effects.interactions if i.worth_a_mention]:
        blocks.append(Bullets(tuple(sentences.interaction(effects, i) for i in found)))
    if len(effects.shares) and len(effects.axes) > 1:
        about = "How much of the variance between the finished runs each axis explains, whatever its sign or certainty"
        blocks.append(Picture("shares", about, importance(effects), importance(effects, narrow=True)))
    blocks.append(Paragraph(("Every contrast: ", Link("effects.csv", "tables/effects.csv"), ".")))
    return Section("Each answer in full", tuple(blocks))


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
    if effects.design == "cumulative":
        text += f" {sentences.CUMULATIVE}"
    if effects.noise is None:
        return f"{text} No difference is claimed: {effects.reason}."
    number = len(effects.axes)
    if effects.axes_rate < effects.error_rate:
        text += f" The intervals of all {number} axes and the tests of interactions hold at once"
    else:
        text += f" The intervals hold for all {number} axes at once" if number > 1 else " The interval holds"
    text += f" with {100 * (1 - effects.error_rate):.4g} % confidence, over other seeds, for these test images."
    if effects.seeds == 1:
        text += " With one seed, the noise is taken from the residuals of main effects and two-way interactions."
    if len(analysis.study.finished) < len(analysis.study.runs):
        text += " The study is not complete."
    return text


def forest(effects: Effects, *, narrow: bool = False) -> Figure | None:
    """Every axis's differences on one scale, with delta's band; None where no two levels can be compared."""
    metric = METRICS[effects.metric]
    rows = [(effect, c) for effect in effects.axes for c in effects.shown(effect)]
    if not rows:
        return None
    width, each = (drawing.NARROW, 0.4) if narrow else (drawing.WIDE, 0.3)
    figure = Figure(figsize=(width, 1.7 + each * len(rows) + 0.25 * len(effects.axes)), layout="constrained")
    axes = figure.add_subplot()
    axes.axvspan(-effects.delta, effects.delta, color="#000000", alpha=0.07, linewidth=0)
    axes.axvline(0, color="black", linewidth=0.8)
    height, labels, previous = 0.0, [], None
    for effect, c in rows:
        height -= 1.0 if effect is previous else 1.8 + 0.2 * narrow
        if effect is not previous:
            drawing.label_axis(axes, effect.axis, height + 0.35 * narrow)
        previous = effect
        names = " − ".join(level_name(effect.axis, n) for n in (c.level, c.other))
        labels.append((height, drawing.short(names, 60)))
        colour, marker = MARKS[c.verdict]
        if c.verdict == Verdict.NEGLIGIBLE and c.tight_low is not None and c.tight_high is not None:
            axes.plot([c.tight_low, c.tight_high], [height] * 2, color=colour, linewidth=5, solid_capstyle="butt")
        if c.low is not None and c.high is not None:
            axes.plot([c.low, c.high], [height] * 2, color=colour, linewidth=2)
        axes.plot([c.estimate or 0.0], [height], color=colour, marker=marker, markersize=6, linestyle="none")
    left, right = _limits(effects, [c for _, c in rows])
    axes.set_xlim(left, right)
    drawing.name_rows(axes, height, labels, narrow=narrow)
    axes.set_xlabel(f"difference in {metric.label} ({'percentage ' * (metric.unit == 'points')}{metric.unit})")
    figure.legend(handles=_legend(effects, [c for _, c in rows]), loc="outside lower center",
                  ncols=1 if narrow else 3, frameon=False, fontsize=9)  # fmt: skip
    return figure


def importance(effects: Effects, *, narrow: bool = False) -> Figure:
    """A bar per axis, the largest first, then interactions, seeds and what is left."""
    own = {effect.axis for effect in effects.axes}
    rows = sorted((s for s in effects.shares if s.of in own), key=lambda s: -s.share)
    rows += [s for s in effects.shares if s.of not in own]
    figure = Figure(figsize=(drawing.NARROW if narrow else drawing.WIDE, 0.9 + 0.3 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    heights = [-1.0 - number for number in range(len(rows))]
    colours = ["#0072B2" if s.of in own else "#8a8a8a" for s in rows]
    axes.barh(heights, [100 * s.share for s in rows], color=colours, height=0.7)
    for height, s in zip(heights, rows, strict=True):
        axes.text(100 * s.share, height, f" {100 * s.share:.1f} %", va="center", fontsize=9)
    drawing.name_rows(
        axes, heights[-1], [(h, drawing.short(s.of, 22 if narrow else 60)) for h, s in zip(heights, rows, strict=True)]
    )
    axes.set_xlim(0, max(100 * s.share for s in rows) * (1.4 if narrow else 1.15))
    axes.set_xlabel(f"share of the variance of {METRICS[effects.metric].label}, %", fontsize=9 if narrow else None)
    return figure


def _legend(effects: Effects, drawn: list[Contrast]) -> list[Line2D | Patch]:
    present = {c.verdict for c in drawn}
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=colour, marker=marker, linewidth=2, label=str(verdict))
        for verdict, (colour, marker) in MARKS.items()
        if verdict in present
    ]
    if Verdict.NEGLIGIBLE in present:
        handles.append(Line2D([], [], color="#009E73", linewidth=5, label="by equivalence tests"))
    handles.append(Patch(color="#000000", alpha=0.07, label=f"within delta (±{effects.delta:g})"))
    return handles


def _limits(effects: Effects, drawn: list[Contrast]) -> tuple[float, float]:
    """Wide enough for every interval."""
    ends = [end for c in drawn for end in (c.low, c.high, c.estimate) if end is not None]
    ends += [-1.5 * effects.delta, 1.5 * effects.delta]
    margin = 0.06 * (max(ends) - min(ends)) or 1.0
    return min(ends) - margin, max(ends) + margin

"""The sections Answers, and Methods and limits; the table and the JSON that hold the same in full."""

import dataclasses
from typing import Any

import pandas as pd

from ablate.metrics import METRICS

from . import answers
from . import markdown as md
from .gather import Study
from .info import AxisEffect, Contrast, Effects
from .page import Block, Bullets, Link, Paragraph, Picture, Section, Strong, Table, Text
from .settle import Settlement, settlement
from .words import amount, number, smallest

Caveats = dict[str, list[str]]


def section(study: Study, effects: Effects, caveats: Caveats, drawn: bool) -> Section | None:
    """The section Answers: a paragraph per axis, what holds for all of them, interactions, and the figure."""
    if not effects.axes:
        return None
    told = zip(effects.axes, sentences(effects, caveats), strict=True)
    lines: list[Text] = [(Strong(f"{answers.title(effect)}."), f" {answer}") for effect, answer in told]
    lines += [answers.interaction(effects, i) for i in effects.interactions if i.worth_a_mention]
    blocks: list[Block] = [Paragraph(_opening(study, effects))]
    blocks.append(Bullets(tuple(lines)))
    if drawn:
        blocks.append(Picture("effects", "Differences between levels, with their intervals, on one scale"))
    blocks.append(Paragraph(("Every contrast: ", Link("effects.csv", "tables/effects.csv"), ".")))
    return Section("Answers", tuple(blocks))


def sentences(effects: Effects, caveats: Caveats) -> list[str]:
    """The answer of each axis with its caveats and those of all, as plain text: each can be quoted alone."""
    depends: dict[str, list[str]] = {effect.axis: [] for effect in effects.axes}
    for found in effects.interactions:
        if found.worth_a_mention:
            depends[found.axes[0]].append(found.axes[1].rpartition(".")[2])
            depends[found.axes[1]].append(found.axes[0].rpartition(".")[2])
    return [
        answers.answer(
            effects, e, settlement(effects, e), [*caveats.get(e.axis, []), *caveats.get("", [])], depends[e.axis]
        )
        for e in effects.axes
    ]


def _opening(study: Study, effects: Effects) -> str:
    metric = METRICS[effects.metric]
    unit = "percentage points" if metric.unit == "points" else metric.unit
    text = (
        f"What each axis does to {metric.label}, in {unit}{' (less is better)' if metric.less_is_better else ''}. "
        f"Differences of up to {smallest(effects)} count as not worth caring about."
    )
    declared = study.plan.get("declared_metric", effects.metric)
    if declared != effects.metric:
        text += f" The study declared {METRICS[declared].label}; this metric was chosen afterwards."
    if effects.design == "one_at_a_time":
        text += " Each axis was varied alone, so no interaction can be seen, and variants are compared with the "
        text += "baseline, not with each other."
    if effects.noise is None:
        return f"{text} No difference is claimed: {effects.reason}."
    number = len(effects.axes)
    text += f" The intervals hold for all {number} axes at once" if number > 1 else " The interval holds"
    text += f" with {100 * (1 - effects.error_rate):.4g} % confidence"
    text += ", over other seeds, for these test images."
    if effects.seeds == 1:
        text += " There is one seed, so noise is taken to be what main effects and two-way interactions leave."
    if len(study.finished) < len(study.runs):
        text += " The study is not complete."
    return text


def methods(effects: Effects) -> Section | None:
    """The section Methods and limits."""
    if not effects.axes:
        return None
    rows = tuple(_row(effects, effect) for effect in effects.axes)
    header = ("axis", "verdict", "p", "p, Holm", "own noise", "detectable", "seeds to settle it")
    about = (
        "p is the smallest of the axis's contrasts, adjusted for them; Holm's is adjusted for the axes too; where "
        "they and the interval disagree, the interval decides. Own noise: a run's standard deviation and its "
        "degrees of freedom, from this axis alone. Detectable: the true difference that four of five such "
        "studies would tell from zero. Everything as ",
        Link("JSON", "results.json"),
        ".",
    )
    return Section(
        "Methods and limits",
        (
            Bullets(tuple(_lines(effects))),
            Table("What each verdict rests on", header, rows, tuple(range(2, len(header)))),
            Paragraph(about),
        ),
    )


def _row(effects: Effects, effect: AxisEffect) -> tuple[Text, ...]:
    settled = settlement(effects, effect)
    own = effect.own_noise
    return (
        effect.axis,
        str(effect.verdict),
        _p(effect.p),
        _p(effect.p_holm),
        f"{own.sd:.2f} ({own.df:.3g})" if own else "–",
        number(effects, settled.detectable) if settled and settled.detectable is not None else "–",
        ("more than 1000" if settled.seeds is None else str(settled.seeds)) if settled else "–",
    )


def _p(p: float | None) -> str:
    return "–" if p is None else f"{p:.3f}" if p >= 0.001 else "< 0.001"


def _lines(effects: Effects) -> list[str]:
    estimator = {
        "grid": "Estimate: the difference averaged over all combinations of the other axes, by least squares on main "
        "effects and two-way interactions with seeds as blocks; in a complete grid, the mean over matched pairs.",
        "fractional": "Estimate: least squares on main effects and the two-way interactions that the design separates, "
        "seeds as blocks.",
        "one_at_a_time": "Estimate: each variant against the baseline. Interactions between axes cannot be seen.",
    }[effects.design]
    lines = [estimator]
    if effects.baseline:
        lines.append("Baseline: " + ", ".join(f"{axis}={level}" for axis, level in effects.baseline) + ".")
    noise = effects.noise
    if noise is None:
        lines.append(f"No intervals: {effects.reason}.")
    else:
        source = {
            "seed by axis": "how the differences between levels vary over seeds, all axes pooled",
            "replication over seeds": "what combinations and seeds leave unexplained, pooled over the study",
            "what the model leaves": "what main effects and two-way interactions leave unexplained",
        }[noise.source]
        lines.append(
            f"Error term: {source}; a run's standard deviation is {amount(effects, noise.sd)}, with "
            f"{noise.df:.4g} degrees of freedom."
        )
        if noise.df < 6:
            lines.append("So few degrees of freedom make wide intervals; more seeds narrow them quickly.")
        family = "Tukey's for all pairs of levels" if effects.family == "tukey" else "Dunnett's against the baseline"
        lines.append(
            f"Intervals: {family}, at {100 * effects.level:.4g} % within each axis, so that all hold at once at "
            f"{100 * (1 - effects.error_rate):.4g} %. "
            "Grey in the figure: the same from the axis's own seed noise, which is right where seeds affect one axis "
            "more than others, and wide for lack of degrees of freedom."
        )
    if effects.looks > 1:
        lines.append(
            f"Results were judged {effects.looks} times with runs added in between. Of the false claims that are "
            f"allowed, the first look has 5 %, all later ones together 1 %, this one {100 * effects.error_rate:.3g} %."
        )
    if effects.assumes_two_way:
        lines.append("Because of one seed or of gaps, all this assumes that no three axes interact.")
    if effects.design != "one_at_a_time":
        tested = len(effects.interactions)
        lines.append(
            f"Interactions: {md.count(tested, 'pair')} of axes tested by F-tests (Holm); spoken of if p < .05 and it "
            f"moves a pair of levels, or costs whoever takes the best level on average, {smallest(effects)}."
            if tested
            else "Interactions: none could be tested."
        )
    lines.append(
        "Runs whose weights are the same to the bit count once. Claims are about training again with other seeds and "
        "judging by these test images; an interval for new images is wider, and stands above where there is one. "
        "Nothing is chosen on the test set."
    )
    return lines


def table(effects: Effects) -> pd.DataFrame:
    """One row per contrast, in the metric's unit."""
    columns = ["axis", *(field.name for field in dataclasses.fields(Contrast))]
    rows = [{"axis": e.axis, **dataclasses.asdict(c)} for e in effects.axes for c in e.contrasts]
    return pd.DataFrame(rows, columns=columns)


def results(effects: Effects, caveats: Caveats) -> dict[str, Any]:
    """Everything as plain types: the info tuples, with their sentences and what would settle them."""
    settled: dict[str, Settlement | None] = {e.axis: settlement(effects, e) for e in effects.axes}
    told = zip(effects.axes, sentences(effects, caveats), strict=True)
    return {
        **dataclasses.asdict(effects),
        "answers": {e.axis: f"{answers.title(e)}. {sentence}" for e, sentence in told},
        "caveats": caveats,
        "to_settle": {axis: dataclasses.asdict(s) if s else None for axis, s in settled.items()},
    }

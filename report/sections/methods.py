"""The section Methods and limits: estimator, error term, and what each verdict rests on."""

from ablate.report.analysis import Analysis
from ablate.report.page import numbers
from ablate.report.page.blocks import Bullets, Link, Paragraph, Section, Table, Text
from ablate.report.sections.sentences import amount, number, smallest
from ablate.report.stats.settle import Settlement
from ablate.report.stats.verdicts import AxisEffect, Effects


def section(analysis: Analysis) -> Section | None:
    """Nothing for a study without axes."""
    effects = analysis.effects
    if not effects.axes:
        return None
    rows = tuple(_row(effects, effect, analysis.settlements[effect.axis]) for effect in effects.axes)
    header = ("axis", "verdict", "p", "p, Holm", "own noise", "detectable", "seeds to settle it")
    about = (
        "p is the smallest of the axis's contrasts, adjusted for them; Holm's is adjusted for the axes too; where "
        "they and the interval disagree, the interval decides. Own noise: a run's standard deviation and its "
        "degrees of freedom, from this axis alone. Detectable: the true difference that the study would detect with "
        "80 % power. Everything as ",
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


def _row(effects: Effects, effect: AxisEffect, settled: Settlement | None) -> tuple[Text, ...]:
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
        "one_at_a_time": "Estimate: each variant against the baseline. Interactions cannot be estimated.",
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
            "replication over seeds": "the residuals of combinations and seeds, pooled over the study",
            "what the model leaves": "the residuals of main effects and two-way interactions",
        }[noise.source]
        lines.append(
            f"Error term: {source}; a run's standard deviation is {amount(effects, noise.sd)}, with "
            f"{noise.df:.4g} degrees of freedom."
        )
        if noise.df < 6:
            lines.append("With so few degrees of freedom the intervals are wide; more seeds narrow them quickly.")
        family = "Tukey's for all pairs of levels" if effects.family == "tukey" else "Dunnett's against the baseline"
        lines.append(
            f"Intervals: {family}, at {100 * effects.confidence:.4g} % within each axis, so that all hold at once at "
            f"{100 * (1 - effects.error_rate):.4g} %. "
            "Grey in the figure: the same from the axis's own seed noise, which is right where seeds affect one axis "
            "more than others, and wide for lack of degrees of freedom."
        )
    if effects.looks > 1:
        lines.append(
            f"Results were judged {effects.looks} times with runs added in between. Repeated looks inflate the error "
            f"rate, so the first has 5 %, all later ones share 1 %, and this one has {100 * effects.error_rate:.3g} %."
        )
    if effects.assumes_two_way:
        lines.append("Because of one seed or of gaps, all this assumes that no three axes interact.")
    if effects.design != "one_at_a_time":
        tested = len(effects.interactions)
        lines.append(
            f"Interactions: {numbers.count(tested, 'pair')} of axes tested by F-tests (Holm); reported if p < .05 and "
            f"it moves a pair of levels, or costs those who take the best level on average, {smallest(effects)}."
            if tested
            else "Interactions: none could be tested."
        )
    lines.append(
        "Runs whose weights are the same to the bit count once. Claims are about training again with other seeds and "
        "judging by these test images; an interval for new images is wider, and is given above where there is one. "
        "Nothing is chosen on the test set."
    )
    return lines

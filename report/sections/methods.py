"""The section Methods and limits: estimator, error term, and what each verdict rests on."""

from ablate.records.metrics import METRICS
from ablate.report.analysis import Analysis
from ablate.report.answers.sentences import amount, number, smallest
from ablate.report.page import numbers
from ablate.report.page.blocks import Bullets, Link, Paragraph, Section, Table, Text
from ablate.report.stats.noise import OF_AXIS
from ablate.report.stats.settle import Settlement
from ablate.report.stats.verdicts import AxisEffect, Effects
from ablate.report.study import tried


def section(analysis: Analysis) -> Section | None:
    """Nothing for a study without axes."""
    effects = analysis.effects
    if not effects.axes:
        return None
    rows = tuple(_row(effects, effect, analysis.settlements[effect.axis]) for effect in effects.axes)
    header = ("axis", "verdict", "on average", "p", "p, Holm", "error term", "detectable", "seeds to settle it")
    about = (
        "p is the smallest of the axis's contrasts, adjusted for them; Holm's is adjusted for the axes too; where "
        "they and the interval disagree, the interval decides. Error term: what the intervals rest on, a run's "
        "standard deviation by it and its degrees of freedom. Detectable: the true difference that the study would "
        "detect with 80 % power. Everything as ",
        Link("JSON", "results.json"),
        ".",
    )
    return Section(
        "Methods and limits",
        (
            Bullets((*_lines(effects), *_tuning(analysis))),
            Table("What each verdict rests on", header, rows, (3, 4, 6, 7)),
            Paragraph(about),
        ),
    )


def _tuning(analysis: Analysis) -> list[str]:
    """What the comparison of a tuned study is about."""
    tuning = analysis.study.plan.tuning
    if tuning is None:
        return []
    return [
        f"Tuning: {tried.in_words(analysis.study)}, by the best mean {METRICS[tuning.metric].label} over the tuning "
        f"seeds ({', '.join(map(str, tuning.seeds))}). The comparison uses other seeds, so that no choice rests on a "
        "run that is compared. Its intervals are about training again with the values chosen here; what another search "
        "would choose is not part of them."
    ]


def _row(effects: Effects, effect: AxisEffect, settled: Settlement | None) -> tuple[Text, ...]:
    by = effect.noise
    return (
        effect.axis,
        str(effect.verdict),
        str(effect.average),
        _p(effect.p),
        _p(effect.p_holm),
        f"{by.source}: {by.sd:.2f} ({by.df:.3g})" if by else "–",
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
            "replication over seeds": "the residuals of combinations and seeds, pooled over the study",
            "what the model leaves": "the residuals of main effects and two-way interactions",
        }[noise.source]
        lines.append(
            f"Noise: {source}; a run's standard deviation is {amount(effects, noise.sd)}, with "
            f"{noise.df:.4g} degrees of freedom."
        )
        if noise.df < 6:
            lines.append("With so few degrees of freedom the intervals are wide; more seeds narrow them quickly.")
        family = "Tukey's for all pairs of levels" if effects.family == "tukey" else "Dunnett's against the baseline"
        lines.append(
            f"Intervals: {family}, at {100 * effects.confidence:.4g} % within each axis, so that all hold at once at "
            f"{100 * (1 - effects.axes_rate):.4g} %. Negligible: every difference lies within delta by a one-sided "
            "test at the axis's share of the error rate (intersection-union)."
        )
        if effects.seeds > 1:
            lines.append(
                f"Error term of an axis: its own, {OF_AXIS}, where an F-test against the rest of the replication has p "
                "below 5 % over the axes; else that of all axes together where p is below 25 %; else the whole "
                "replication. In a complete grid, noise on one axis is left out of another's error where the other "
                "shows none. Where one combination scatters more than the rest (F-test, p below 5 %), the noise of the "
                "combinations compared decides. Where combinations did not run, what the terms leave is part of the "
                "error."
            )
        if effects.lack_of_fit is not None:
            fit = effects.lack_of_fit
            lines.append(
                f"Lack of fit, the combinations beyond the fitted terms: F({fit.df[0]:.4g}, {fit.df[1]:.4g}) = "
                f"{fit.f:.3g}, p = {fit.p:.2g}."
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
            f"Interactions: {numbers.count(tested, 'pair')} of axes tested by F-tests (Holm); reported if p < "
            f"{effects.error_rate - effects.axes_rate:.2g} and the interaction moves a pair of levels, or costs those "
            f"who take the best level on average, {smallest(effects)}."
            if tested
            else "Interactions: none could be tested."
        )
    lines.append(
        "Runs whose weights are the same to the bit count once. Claims are about training again with other seeds and "
        "judging by these test images; an interval for new images is wider, and is given above where there is one. "
        "Nothing is chosen on the test set."
    )
    return lines

"""The section Methods and limits: estimator, error term, and what each verdict rests on."""

from ablate.records.metrics import METRICS
from ablate.records.study_plan import NOT_READ
from ablate.report.analysis import Analysis
from ablate.report.answers.sentences import CUMULATIVE, amount, in_words, number, smallest
from ablate.report.page import numbers
from ablate.report.page.blocks import Bullets, Link, Paragraph, Section, Table, Text
from ablate.report.stats.noise import OF_AXIS
from ablate.report.stats.settle import Settlement
from ablate.report.stats.verdicts import AxisEffect, Effects
from ablate.report.study import tried
from ablate.report.study.gather import StudyData


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
            Bullets(
                (
                    *_lines(effects, analysis.study.origin is None),
                    *_tuning(analysis),
                    *_of_others(analysis.study),
                )
            ),
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


def _lines(effects: Effects, ours: bool) -> list[str]:
    estimator = {
        "grid": "Estimate: the difference averaged over all combinations of the other axes, by least squares on main "
        "effects and two-way interactions with seeds as blocks; in a complete grid, the mean over matched pairs.",
        "fractional": "Estimate: least squares on main effects and the two-way interactions that the design separates, "
        "seeds as blocks.",
        "one_at_a_time": "Estimate: each variant against the baseline. Interactions cannot be estimated.",
        "cumulative": f"Estimate: each level of a component against the combination before it. {CUMULATIVE}",
    }[effects.design]
    lines = [estimator]
    if any(effect.over or effect.same for effect in effects.axes):
        lines.append(
            "Nested axes, which have levels of their own at each level of another one, are compared within that level. "
            "The axis that they are nested in is compared at the mean over its nested levels, which count the same, "
            "or at those that all its levels have, where one has no others. All other axes are averaged over the "
            "combinations of both."
        )
    if effects.baseline:
        lines.append("Baseline: " + in_words([(a, b) for a, b in effects.baseline if b != NOT_READ]) + ".")
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
        family = {
            "one_at_a_time": "Dunnett's against the baseline", "cumulative": "Dunnett's against what was there before"
        }.get(effects.design, "Tukey's for all pairs of levels")  # fmt: skip
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
    if effects.family == "tukey":
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
        "judging by these test images; an interval for new images is wider, and is given above where there is one."
        + (" Nothing is chosen on the test set." if ours else "")
    )
    return lines


def _of_others(study: StudyData) -> tuple[str, ...]:
    """What cannot be known of runs that others trained."""
    if study.origin is None:
        return ()
    return (
        f"The runs are those of {study.origin.path}. The report cannot know what was chosen on the test set while they "
        "were trained, nor whether two of them have the same weights; it takes every row as a training of its own.",
    )

"""The answer about each axis in a line: verdict, level to take, its lead, what limits it."""

from collections.abc import Sequence
from dataclasses import dataclass

from ablate.records import durations
from ablate.records.metrics import METRICS
from ablate.report.analysis import Analysis
from ablate.report.answers import sentences
from ablate.report.answers.sentences import listed, number
from ablate.report.stats.verdicts import AtBest, AxisEffect, Contrast, Effects, Verdict
from ablate.report.study import tables
from ablate.report.study.compared import axis_of

WORDS = {
    Verdict.MATTERS: "matters", Verdict.DEPENDS: "depends", Verdict.REAL: "real, size open",
    Verdict.SMALL: "negligible", Verdict.NEGLIGIBLE: "negligible", Verdict.INCONCLUSIVE: "not settled",
    Verdict.CANNOT_TELL: "cannot tell",
}  # fmt: skip
MANY = 3  # names in a row, then how many more
CHEAPER = 0.8  # of the dearest level's time: below it, cost is a reason to choose


@dataclass(frozen=True)
class Row:
    """The answer about one axis in a line.

    level: the one to take, "" where none is known. lead: over `over`, with its interval, in the metric's unit, positive
    where `level` has the higher value.
    """

    axis: str
    verdict: Verdict
    badge: str
    level: str
    over: str
    lead: float | None
    low: float | None
    high: float | None
    sentence: str
    caveats: tuple[str, ...]


def rows(analysis: Analysis) -> list[Row]:
    """One per axis, in the order of the effects: the most decisive first."""
    facts = sentences.facts_of(analysis)
    return [_row(analysis, effect, sentences.warnings(facts, effect)) for effect in analysis.effects.axes]


def _row(analysis: Analysis, effect: AxisEffect, caveats: Sequence[str]) -> Row:
    effects, axis = analysis.effects, effect.axis
    level, over, lead, low, high = _lead(effects, effect)
    badge = WORDS[effect.verdict]
    if effect.all_copies:
        badge = "no difference"
    elif effect.verdict == Verdict.DEPENDS:
        badge = f"depends on {listed([tables.axis_name(name) for name in effect.depends_on] or ['the rest'])}"
    chooses = effect.verdict not in (Verdict.NEGLIGIBLE, Verdict.SMALL, Verdict.CANNOT_TELL) and not effect.all_copies
    return Row(
        axis=axis,
        verdict=effect.verdict,
        badge=badge,
        level=level if chooses else "",
        over=over,
        lead=lead,
        low=low,
        high=high,
        sentence=" ".join(
            filter(
                None,
                (
                    _sentence(analysis, effect),
                    _elsewhere(effects, effect, level) if chooses else "",
                    _means_over(effect),
                ),
            )
        ),
        caveats=tuple(caveats),
    )


def _lead(effects: Effects, effect: AxisEffect) -> tuple[str, str, float | None, float | None, float | None]:
    """The best level, the one that it is compared with, and the difference, with its interval.

    The runner-up where the design compares the two, else the baseline; where the effect depends on other axes, at
    the recommended combination.
    """
    less = METRICS[effects.metric].less_is_better
    turn = -1 if less else 1
    if effect.verdict == Verdict.DEPENDS and effect.at_best:
        rival: AtBest = min(effect.at_best, key=lambda one: turn * one.estimate)
        return rival.level, rival.other, rival.estimate, rival.low, rival.high
    standing = effect.standing(less)
    known = [c for c in effect.contrasts if c.estimate is not None]
    if not known or not standing:
        return "", "", None, None, None
    first = standing[0]
    of_first = {c.other if c.level == first else c.level: c for c in known if first in (c.level, c.other)}
    rival_level = next((level for level in standing[1:] if level in of_first), None)
    if rival_level is None:
        return first, "", None, None, None
    c: Contrast = of_first[rival_level]
    c = c if c.level == first else c.turned()
    return first, rival_level, c.estimate, c.low, c.high


def _sentence(analysis: Analysis, effect: AxisEffect) -> str:
    """What the lead alone does not say."""
    effects, axis = analysis.effects, effect.axis
    delta = sentences.smallest(effects)
    if effect.all_copies:
        return "All levels gave the same weights to the bit."
    match effect.verdict:
        case Verdict.CANNOT_TELL:
            why = effect.reason or effects.reason or "no two levels have finished runs that can be compared"
            return f"{why[0].upper()}{why[1:]}."
        case Verdict.NEGLIGIBLE | Verdict.SMALL:
            return f"Any difference is at most {delta}.{_cheapest(analysis, axis)}"
        case Verdict.INCONCLUSIVE:
            settled = analysis.settlements.get(axis)
            if settled is None or settled.detectable is None:
                return "Noise hides the difference."
            return f"Noise hides any difference below {sentences.amount(effects, settled.detectable)}."
        case Verdict.DEPENDS:
            return _depends(effects, effect)
    found = [_order(effects, effect)]
    if effect.verdict == Verdict.REAL:
        found.append(f"Whether it exceeds {delta} is open.")
    found += trend(analysis, effect)
    return " ".join(filter(None, found))


def _elsewhere(effects: Effects, effect: AxisEffect, level: str) -> str:
    """Said where the best combination has another level than the one that is best on average."""
    recommended = dict(effects.recommended)
    if any(recommended.get(axis) != of_axis for axis, of_axis in effect.within):
        return ""
    best = recommended.get(axis_of(effect.axis), level)
    return "" if best == level else f"The best combination has {best}."


def _means_over(effect: AxisEffect) -> str:
    """Said of an axis with others nested in its levels."""
    return (
        f"Each level is the mean over its own {listed([tables.axis_name(axis) for axis in effect.over])}."
        if effect.over
        else ""
    )


def _depends(effects: Effects, effect: AxisEffect) -> str:
    found = next((i for i in effects.interactions if i.worth_a_mention and effect.axis in i.axes), None)
    if found is None:
        return "At the best combination the difference is another one than on average."
    return f"{sentences.which_is_best(effects, found, effect.axis)}."


def _order(effects: Effects, effect: AxisEffect) -> str:
    """Which levels tie with the best one, and how far behind the last is."""
    less = METRICS[effects.metric].less_is_better
    standing = effect.standing(less)
    if len(standing) < 3:
        return ""
    ties = sentences.not_separated(effects, effect)
    found = []
    if ties:
        more = f" and {len(ties) - MANY} more" if len(ties) > MANY else ""
        found.append(f"{listed(ties[:MANY])}{more} {'ties' if len(ties) == 1 else 'tie'} with it.")
    last = next((c for c in effects.oriented(effect) if {c.level, c.other} == {standing[0], standing[-1]}), None)
    if last is not None and last.estimate is not None and not effects.around(effect):
        gap = sentences.amount(effects, abs(last.estimate))
        found.append(f"{standing[-1]} is last, {gap} behind.")
    return " ".join(found)


def trend(analysis: Analysis, effect: AxisEffect) -> list[str]:
    """Of numbers: where the best lies, and what to try where that is at an end."""
    ordered = _by_size(analysis, effect)
    if ordered is None:
        return []
    best = effect.best(METRICS[analysis.effects.metric].less_is_better)
    if best not in (ordered[0], ordered[-1]):
        return [f"It peaks at {best}."]
    way = "largest" if best == ordered[-1] else "smallest"
    value = beyond(analysis, effect)
    name = tables.axis_name(effect.axis)
    return [f"The best is the {way} {name} tried{f': try {value:g}' if value is not None else ''}."]


def beyond(analysis: Analysis, effect: AxisEffect) -> float | None:
    """The number to try next where the best of an axis's numbers is the largest or the smallest one."""
    ordered, values = _by_size(analysis, effect), analysis.study.plan.numbers(axis_of(effect.axis))
    if ordered is None or values is None:
        return None
    best = effect.best(METRICS[analysis.effects.metric].less_is_better)
    if best not in (ordered[0], ordered[-1]):
        return None
    return _beyond([values[level] for level in (ordered if best == ordered[-1] else ordered[::-1])])


def _by_size(analysis: Analysis, effect: AxisEffect) -> list[str] | None:
    """The levels of an axis of three numbers or more by their size; None of any other."""
    values = analysis.study.plan.numbers(axis_of(effect.axis))
    levels = effect.levels
    if values is None or len(levels) < 3 or not set(levels) <= set(values):
        return None
    return sorted(levels, key=lambda level: values[level])


def _beyond(values: Sequence[float]) -> float | None:
    """The next value after the last, by the ratio of the last two; by their difference where one is not positive."""
    before, last = values[-2:]
    if min(before, last) > 0:
        return float(f"{last * last / before:.1g}")
    return None if last <= 0 or before < 0 else float(f"{2 * last:.1g}")


def _cheapest(analysis: Analysis, axis: str) -> str:
    """The level that trains fastest, where that is a reason to choose it."""
    finished = analysis.study.finished
    if "seconds" not in finished:
        return ""
    seconds = finished.groupby(axis)["seconds"].mean().dropna()
    if len(seconds) < 2 or seconds.min() > CHEAPER * seconds.max():
        return ""
    return f" {seconds.idxmin()} trains fastest ({durations.in_words(seconds.min())})."


def lead_in_words(effects: Effects, row: Row) -> str:
    """+1.2 [0.4, 2.0] over sgd."""
    if row.lead is None:
        return ""
    interval = (
        "" if row.low is None or row.high is None else (f" [{number(effects, row.low)}, {number(effects, row.high)}]")
    )
    sign = "+" if row.lead > 0 else ""
    return f"{sign}{number(effects, row.lead)}{interval} {'over' if row.level else 'against'} {row.over}"

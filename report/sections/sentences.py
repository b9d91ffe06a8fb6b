"""The report's sentences about axes, from plain values. No word that the interval does not carry."""

from collections.abc import Mapping, Sequence

from scipy.stats import f, norm

from ablate.design.power import ASSUMED_SD, POWER
from ablate.records.metrics import METRICS
from ablate.report.caveats import Caveats
from ablate.report.page import numbers
from ablate.report.stats.interactions import Interaction
from ablate.report.stats.settle import Settlement
from ablate.report.stats.verdicts import AxisEffect, Contrast, Effects, Verdict, judge
from ablate.report.study.tables import AxisTable, level_name

MANY_LEVELS = 5
WHOLE = 0.95  # of an interaction, from which on it cannot be separated from the effect

TITLES = {
    Verdict.MATTERS: " matters",
    Verdict.REAL: " makes a real difference of unclear size",
    Verdict.SMALL: " makes a real but negligible difference",
    Verdict.NEGLIGIBLE: " makes a negligible difference",
    Verdict.INCONCLUSIVE: ": inconclusive",
    Verdict.CANNOT_TELL: ": cannot tell",
}


def title(effect: AxisEffect) -> str:
    """The axis with its verdict, as a heading of its answer."""
    if effect.all_copies:
        return f"{short(effect.axis)} made no difference"
    return f"{short(effect.axis)}{TITLES[effect.verdict]}"


def answers(effects: Effects, settlements: Mapping[str, Settlement | None], caveats: Caveats) -> list[str]:
    """The answer of each axis with its caveats and those of all, as plain text: each can be quoted alone."""
    depends: dict[str, list[str]] = {effect.axis: [] for effect in effects.axes}
    for found in effects.interactions:
        if found.worth_a_mention:
            first, second = found.axes
            depends[first].append(short(second))
            depends[second].append(short(first))
    return [
        answer(effects, e, settlements[e.axis], [*caveats.get(e.axis, []), *caveats.get("", [])], depends[e.axis])
        for e in effects.axes
    ]


def answer(
    effects: Effects, effect: AxisEffect, settled: Settlement | None, caveats: Sequence[str], interacts: Sequence[str]
) -> str:
    """The sentences about one axis, as plain text; `interacts` are axes on which its effect depends."""
    sentences = [_verdict(effects, effect)]
    contrast = effect.headline
    if contrast is not None and contrast.estimate is not None and not effect.all_copies:
        sentences += _ties(effects, effect)
        sentences.append(_scope(effects, contrast))
    if settled is not None:
        sentences.append(_settled(effects, settled))
    sentences += _own_noise(effects, effect, contrast)
    sentences += _aliased(effects, effect)
    if interacts:
        sentences.append(f"Its effect depends on {listed(interacts)}: see below.")
    if effect.unfinished:
        names = listed(named(effect.axis, effect.unfinished))
        sentences.append(f"Not compared, as no run has finished there: {names}.")
    if caveats:
        sentences.append(f"Caveat: {'; '.join(caveats)}.")
    return " ".join(sentences)


def interaction(effects: Effects, found: Interaction) -> str:
    """The sentence about two axes whose effects depend on each other, as plain text."""
    first, second = found.axes
    names = {effect.axis: effect.levels for effect in effects.axes}
    best = []
    for j, level in enumerate(names[second]):
        column = [row[j] for row in found.means]
        top = min(column) if METRICS[effects.metric].less_is_better else max(column)
        best.append((names[first][column.index(top)], level))
    kinds = {name for name, _ in best}
    if found.flip >= effects.delta and len(kinds) > 1:
        places = ", ".join(f"{level_name(first, name)} at {level_name(second, level)}" for name, level in best)
        what = f"the best {short(first)} depends on {short(second)}: {places}"
    else:
        what = f"their effects do not add up, by up to {amount(effects, found.residual)} for a pair of levels"
    return f"{short(first)} and {short(second)} interact (p = {found.p:.2g}): {what}."


def copies(table: AxisTable) -> str:
    """Which levels made no difference at all, to the bit; "" when there are none."""
    pairs = [f"{level_name(table.axis, a)} and {level_name(table.axis, b)}" for a, b in table.copies]
    return f"{'; '.join(pairs)} gave the same weights to the bit: here they are one experiment." if pairs else ""


def _verdict(effects: Effects, effect: AxisEffect) -> str:
    contrast = effect.headline
    if effect.all_copies:
        names = listed(named(effect.axis, effect.levels))
        return f"{names} gave the same weights to the bit wherever both finished: they are one experiment."
    if contrast is None or contrast.estimate is None:
        return _not_compared(effects, effect)
    higher, lower, gap, low, high = _oriented(effect, contrast)
    better, worse = (lower, higher) if METRICS[effects.metric].less_is_better else (higher, lower)
    within = ""
    if low is not None and high is not None:
        within = f" (95 % interval {number(effects, low)} to {number(effects, high)})"
    ahead = f"{better} is better than {worse} by {amount(effects, gap)}{within}"
    seen = f"{higher} is {amount(effects, gap)} above {lower}{within}" if gap else f"{higher} equals {lower}{within}"
    delta = smallest(effects)
    match effect.verdict:
        case Verdict.MATTERS:
            return f"{ahead}, which is more than {delta}, the smallest difference worth caring about."
        case Verdict.REAL:
            return f"{ahead}. Whether the difference exceeds {delta} is not settled."
        case Verdict.SMALL:
            return f"{ahead}, which is no more than {delta}, the smallest difference worth caring about."
        case Verdict.NEGLIGIBLE if len(effect.contrasts) == 1:
            return f"{seen}: any difference is at most {delta}."
        case Verdict.NEGLIGIBLE:
            # Around a baseline two variants may each be near it and yet twice as far apart.
            of = "between two levels"
            if effects.family == "dunnett":
                of = f"from {named(effect.axis, [contrast.other])[0]}"
            return f"{seen}, and no difference {of} exceeds {delta}."
        case Verdict.INCONCLUSIVE:
            return f"{seen}. This study cannot separate that from noise."
        case Verdict.CANNOT_TELL:
            return f"{seen}, but {effects.reason}."


def _not_compared(effects: Effects, effect: AxisEffect) -> str:
    """Where levels share no combination that finished; the others may have been judged all the same."""
    if effects.reason == "no run has finished yet":
        return "No run has finished yet."
    apart = [" and ".join(named(effect.axis, (c.level, c.other))) for c in effect.contrasts if c.estimate is None]
    if len(apart) == len(effect.contrasts):
        return "No two levels have finished runs that can be compared."
    rest = f"; no other difference exceeds {smallest(effects)}" if effects.noise else ""
    return f"Not comparable, as no combination finished at both levels: {'; '.join(apart)}{rest}."


def _ties(effects: Effects, effect: AxisEffect) -> list[str]:
    """Levels that are not separated from the best one, or from the baseline where all are compared with it alone."""
    if len(effect.contrasts) < 2 or effect.verdict not in (Verdict.MATTERS, Verdict.REAL, Verdict.SMALL):
        return []
    around = effects.family == "dunnett"
    centre = effect.contrasts[0].other if around else effect.best(METRICS[effects.metric].less_is_better)
    others = {c.level if c.other == centre else c.other: c for c in effect.contrasts if centre in (c.level, c.other)}
    open_ones = [level for level, c in others.items() if c.low is None or c.high is None or c.low <= 0 <= c.high]
    ties = [level for level in effect.levels if level in open_ones]
    if not ties:
        return []
    name = f"{level_name(effect.axis, centre)}, the {'baseline' if around else 'best'}"
    more = f" and {len(ties) - MANY_LEVELS} more" if len(ties) > MANY_LEVELS else ""
    return [f"Not separated from {name}: {listed(named(effect.axis, ties)[:MANY_LEVELS])}{more}."]


def _aliased(effects: Effects, effect: AxisEffect) -> list[str]:
    """The interactions with which the design confounds the axis's effect, wholly or in part."""
    if not effect.aliases:
        return []
    names = [f"{short(a)} × {short(b)}" for a, b in (alias.axes for alias in effect.aliases)]
    whole = [name for name, alias in zip(names, effect.aliases, strict=True) if alias.share >= WHOLE]
    if whole:
        sentence = f"This design cannot separate {short(effect.axis)} from {listed(whole)}"
    else:
        more = f" and, less, {len(names) - 1} more" if len(names) > 1 else ""
        worst = f"{names[0]} ({effect.aliases[0].share:g} of it)"
        sentence = f"This design cannot fully separate {short(effect.axis)} from {worst}{more}"
    grown = any(alias.planned is not None and alias.share > alias.planned + 0.02 for alias in effect.aliases)
    return [f"{sentence}{', less than planned, as not every run finished' if grown and not effects.complete else ''}."]


def _scope(effects: Effects, contrast: Contrast) -> str:
    base = f"{numbers.count(contrast.pairs, 'matched pair')}, {numbers.count(contrast.seeds, 'seed')}"
    if effects.design == "one_at_a_time":
        where = "around the baseline" if len(effects.axes) > 1 else "against the baseline"
    elif contrast.common_only:
        places = numbers.count(contrast.places, "combination")
        where = f"only over the {places} of the other axes that finished at both levels"
    elif len(effects.axes) == 1:
        where = "no other axis varied"
    else:
        where = f"averaged over the other {'axis' if len(effects.axes) == 2 else 'axes'}"
    assumed = ", assuming that no three axes interact" if effects.assumes_two_way and not contrast.common_only else ""
    return f"({base}; {where}{assumed}.)"


def _settled(effects: Effects, settled: Settlement) -> str:
    sentences = []
    if settled.detectable is not None:
        sentences.append(
            f"It could have detected {amount(effects, settled.detectable)} with {100 * POWER:.0f} % power."
        )
    if settled.assumed and effects.seeds == 1:
        wrong = norm.cdf(-effects.delta / (ASSUMED_SD * 2**0.5))
        sentences.append(
            f"If runs vary by {settled.sd:g} points, as is usual, a single pair of runs shows a true difference of "
            f"{smallest(effects)} with the wrong sign in {100 * wrong:.0f} % of cases."
        )
    if settled.seeds is None:
        sentences.append("Settling it would take more than 1,000 seeds.")
    elif settled.runs is not None:
        noise = f"at a noise of {settled.sd:g} points" if settled.assumed else "at this noise"
        seeds, runs = numbers.count(settled.seeds, "seed"), numbers.count(settled.runs, "more run")
        sentences.append(f"If the difference stays as it is, {noise}, {seeds} in all ({runs}) would settle it.")
    return " ".join(sentences)


def _own_noise(effects: Effects, effect: AxisEffect, contrast: Contrast | None) -> list[str]:
    """Said where an axis's levels respond to the seed more than the error term that judges it allows for."""
    own, noise = effect.own_noise, effects.noise
    if own is None or noise is None or contrast is None or contrast.own_low is None or contrast.own_high is None:
        return []
    if f.sf((own.sd / noise.sd) ** 2, own.df, noise.df) >= 0.05 / len(effects.axes):
        return []
    _, _, _, low, high = _oriented(effect, contrast, own=True)
    assert low is not None and high is not None
    same = judge(low, high, effects.delta) == contrast.verdict
    holds = "with the same conclusion" if same else "with a weaker conclusion"
    interval = f"{number(effects, low)} to {number(effects, high)}"
    return [f"Seeds matter more on this axis than on others: by its own noise the interval is {interval}, {holds}."]


def _oriented(effect: AxisEffect, c: Contrast, own: bool = False) -> tuple[str, str, float, float | None, float | None]:
    """A contrast as the higher level, the lower one, the gap and its interval."""
    low, high = (c.own_low, c.own_high) if own else (c.low, c.high)
    level, other = named(effect.axis, (c.level, c.other))
    gap = c.estimate or 0.0
    if gap >= 0:
        return level, other, gap, low, high
    return other, level, -gap, None if high is None else -high, None if low is None else -low


# -- words ------------------------------------------------------------------------------------


def number(effects: Effects, value: float) -> str:
    """A value to the metric's digits; what is smaller keeps its first one, so that no bound looks like zero."""
    text = f"{value:.{METRICS[effects.metric].digits}f}"
    return (text if float(text) or not value else f"{value:.1g}").replace("-", "−")


def amount(effects: Effects, value: float) -> str:
    """A value with the metric's unit."""
    return f"{number(effects, value)} {METRICS[effects.metric].unit}"


def smallest(effects: Effects) -> str:
    """Delta as it was given, with its unit."""
    return f"{effects.delta:g} {METRICS[effects.metric].unit}"


def named(axis: str, levels: Sequence[str]) -> list[str]:
    """Levels away from their axis."""
    return [level_name(axis, level) for level in levels]


def short(axis: str) -> str:
    """An axis by its last word."""
    return axis.rpartition(".")[2]


def listed(names: Sequence[str]) -> str:
    """a, b and c."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"

"""The headline answers: a paragraph per axis, made from its verdict. No word that the interval does not carry."""

from collections.abc import Sequence

from scipy.stats import f, norm

from ablate.metrics import METRICS
from ablate.power import ASSUMED_SD, POWER

from . import analyse
from . import markdown as md
from .info import AxisEffect, Contrast, Effects, Verdict, judge
from .interactions import Interaction
from .settle import Settlement
from .words import amount, levels, listed, named, number, short, smallest

MANY_LEVELS = 5
WHOLE = 0.95  # of an interaction, from which on it cannot be told from the effect


def answer(
    effects: Effects, effect: AxisEffect, settled: Settlement | None, caveats: Sequence[str], interacts: Sequence[str]
) -> str:
    """The sentences about one axis, as plain text; `interacts` are axes on which its effect depends."""
    sentences = [_verdict(effects, effect)]
    contrast = headline(effect)
    if contrast is not None and contrast.estimate is not None and not _all_copies(effect):
        sentences += _beside(effects, effect)
        sentences.append(_scope(effects, contrast))
    if settled is not None:
        sentences.append(_settled(effects, settled))
    sentences += _own_noise(effects, effect, contrast)
    sentences += _aliased(effects, effect)
    if interacts:
        sentences.append(f"It depends on {listed(interacts)}: see below.")
    if effect.unfinished:
        sentences.append(f"Without a finished run, and so not compared: {listed(named(effect, effect.unfinished))}.")
    if caveats:
        sentences.append(f"Caveat: {'; '.join(caveats)}.")
    return " ".join(sentences)


def headline(effect: AxisEffect) -> Contrast | None:
    """The contrast that an axis is told by: of those with its verdict, the largest difference."""
    with_estimate = [c for c in effect.contrasts if c.verdict == effect.verdict and c.estimate is not None]
    return max(with_estimate, key=lambda c: (not c.copies, abs(c.estimate or 0)), default=None)


def title(effect: AxisEffect) -> str:
    """The axis with its verdict, as a heading of its answer."""
    name = short(effect.axis)
    if _all_copies(effect):
        return f"{name} made no difference"
    return {
        Verdict.MATTERS: f"{name} matters",
        Verdict.REAL: f"{name} makes a real difference, its size unclear",
        Verdict.SMALL: f"{name} makes a real but negligible difference",
        Verdict.NEGLIGIBLE: f"{name} makes a negligible difference",
        Verdict.INCONCLUSIVE: f"{name}: inconclusive",
        Verdict.CANNOT_TELL: f"{name}: cannot tell",
    }[effect.verdict]


def interaction(effects: Effects, found: Interaction) -> str:
    """The sentence about two axes whose effects depend on each other, as plain text."""
    first, second = found.axes
    names = {effect.axis: levels(effect) for effect in effects.axes}
    best = []
    for j, level in enumerate(names[second]):
        column = [row[j] for row in found.means]
        top = min(column) if METRICS[effects.metric].less_is_better else max(column)
        best.append((names[first][column.index(top)], level))
    kinds = {name for name, _ in best}
    if found.flip >= effects.delta and len(kinds) > 1:
        told = ", ".join(
            f"{analyse.level_name(first, name)} at {analyse.level_name(second, level)}" for name, level in best
        )
        what = f"the best {short(first)} depends on {short(second)}: {told}"
    else:
        what = f"their effects do not add up, by up to {amount(effects, found.residual)} for a pair of levels"
    return f"{short(first)} and {short(second)} interact (p = {found.p:.2g}): {what}."


def _verdict(effects: Effects, effect: AxisEffect) -> str:
    contrast = headline(effect)
    if _all_copies(effect):
        copies = listed(named(effect, levels(effect)))
        return f"{copies} gave the same weights to the bit wherever both finished: one experiment by several names."
    if contrast is None or contrast.estimate is None:
        return _not_compared(effects, effect)
    higher, lower, gap, low, high = _oriented(effect, contrast)
    better, worse = (lower, higher) if METRICS[effects.metric].less_is_better else (higher, lower)
    interval = f"[{number(effects, low)}, {number(effects, high)}]" if low is not None and high is not None else ""
    ahead = f"{better} is better than {worse} by {amount(effects, gap)} {interval}"
    delta = smallest(effects)
    if effect.verdict == Verdict.MATTERS:
        return f"{ahead}, more than the {delta} that are worth caring about."
    if effect.verdict == Verdict.REAL:
        return f"{ahead}; whether by more than {delta} is open."
    if effect.verdict == Verdict.SMALL:
        return f"{ahead}, no more than the {delta} that are worth caring about."
    seen = f"{higher} came out {amount(effects, gap)} above {lower} {interval}"
    if gap == 0:
        seen = f"{higher} and {lower} came out alike {interval}"
    if effect.verdict == Verdict.NEGLIGIBLE:
        if len(effect.contrasts) == 1:
            return f"{seen}: the difference is {delta} at most, and may be none."
        # Around a baseline two variants may each be near it and yet twice as far apart.
        of = f"from {named(effect, [contrast.other])[0]}" if effects.family == "dunnett" else "between two levels"
        return f"{seen}; no difference {of} is more than {delta}."
    if effect.verdict == Verdict.INCONCLUSIVE:
        return f"{seen}, which may be nothing or more than {delta}."
    return f"{seen.strip()}, but {effects.reason}."


def _not_compared(effects: Effects, effect: AxisEffect) -> str:
    """Where levels share no combination that finished; the others may have been judged all the same."""
    if effects.reason == "no run has finished yet":
        return "No run has finished yet."
    apart = [" and ".join(named(effect, (c.level, c.other))) for c in effect.contrasts if c.estimate is None]
    if len(apart) == len(effect.contrasts):
        return "No two levels have finished runs that can be compared."
    rest = f"; no other difference is more than {smallest(effects)}" if effects.noise else ""
    return f"Not comparable, for want of combinations that finished at both: {'; '.join(apart)}{rest}."


def _beside(effects: Effects, effect: AxisEffect) -> list[str]:
    """Which levels cannot be told from the best one, or from the baseline where all are compared with it alone."""
    if len(effect.contrasts) < 2 or effect.verdict not in (Verdict.MATTERS, Verdict.REAL, Verdict.SMALL):
        return []
    around = effects.family == "dunnett"
    centre = effect.contrasts[0].other if around else best(effect, METRICS[effects.metric].less_is_better)
    beside = {c.level if c.other == centre else c.other: c for c in effect.contrasts if centre in (c.level, c.other)}
    open_ones = [level for level, c in beside.items() if c.low is None or c.high is None or c.low <= 0 <= c.high]
    alike = [level for level in levels(effect) if level in open_ones]
    if not alike:
        return []
    name = f"{analyse.level_name(effect.axis, centre)}, the {'baseline' if around else 'best'}"
    more = f" and {len(alike) - MANY_LEVELS} more" if len(alike) > MANY_LEVELS else ""
    return [f"Not told apart from {name}: {listed(named(effect, alike)[:MANY_LEVELS])}{more}."]


def best(effect: AxisEffect, less_is_better: bool = False) -> str:
    """The level with the best mean; one at a time, this may be the baseline."""
    others = {c.other for c in effect.contrasts}
    lead = dict.fromkeys(levels(effect), 0.0)
    for c in effect.contrasts:
        lead[c.level] += c.estimate or 0
        lead[c.other] -= 0 if len(others) == 1 else c.estimate or 0  # one other: all are told relative to it
    return min(lead, key=lambda level: lead[level]) if less_is_better else max(lead, key=lambda level: lead[level])


def _aliased(effects: Effects, effect: AxisEffect) -> list[str]:
    """The interactions that the design would take for the axis's effect, wholly or in part."""
    if not effect.aliases:
        return []
    named = [f"{short(a)} × {short(b)}" for a, b in (alias.axes for alias in effect.aliases)]
    whole = [name for name, alias in zip(named, effect.aliases, strict=True) if alias.share >= WHOLE]
    if whole:
        told = f"The design cannot tell this from an interaction: {listed(whole)}"
    else:
        more = f" and no more of {len(named) - 1} others" if len(named) > 1 else ""
        told = f"It takes in up to {effect.aliases[0].share:g} of an interaction {named[0]}{more}"
    grown = any(alias.planned is not None and alias.share > alias.planned + 0.02 for alias in effect.aliases)
    return [f"{told}{', more than planned, as not every run finished' if grown and not effects.complete else ''}."]


def _scope(effects: Effects, contrast: Contrast) -> str:
    base = f"{md.count(contrast.pairs, 'matched pair')}, {md.count(contrast.seeds, 'seed')}"
    if effects.design == "one_at_a_time":
        where = "around the baseline" if len(effects.axes) > 1 else "against the baseline"
    elif contrast.common_only:
        where = (
            f"only over the {md.count(contrast.places, 'combination')} of the other axes that finished at both levels"
        )
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
            f"A true difference of {amount(effects, settled.detectable)} would have been told from zero in "
            f"{100 * POWER:.0f} % of such studies."
        )
    if settled.assumed and effects.seeds == 1:
        wrong = norm.cdf(-effects.delta / (ASSUMED_SD * 2**0.5))
        sentences.append(
            f"If runs vary by {settled.sd:g} points, as is usual, a single pair of runs shows a true difference of "
            f"{smallest(effects)} with the wrong sign in {100 * wrong:.0f} % of cases."
        )
    noise = f"a noise of {settled.sd:g} points" if settled.assumed else "this noise"
    if settled.seeds is None:
        sentences.append("More than 1,000 seeds would be needed to settle it.")
    elif settled.runs is not None:
        sentences.append(
            f"If the difference stays as it is, at {noise}, {md.count(settled.seeds, 'seed')} in all "
            f"({md.count(settled.runs, 'more run')}) would settle it."
        )
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
    holds = "which says the same" if judge(low, high, effects.delta) == contrast.verdict else "which says less"
    return [f"Seeds matter more on this axis than on others: by its own noise the interval is [{number(effects, low)}, "
            f"{number(effects, high)}], {holds}."]  # fmt: skip


def _oriented(effect: AxisEffect, c: Contrast, own: bool = False) -> tuple[str, str, float, float | None, float | None]:
    """A contrast as the higher level, the lower one, the gap and its interval."""
    low, high = (c.own_low, c.own_high) if own else (c.low, c.high)
    level, other = named(effect, (c.level, c.other))
    gap = c.estimate or 0.0
    if gap >= 0:
        return level, other, gap, low, high
    return other, level, -gap, None if high is None else -high, None if low is None else -low


def _all_copies(effect: AxisEffect) -> bool:
    return bool(effect.contrasts) and all(c.copies for c in effect.contrasts)

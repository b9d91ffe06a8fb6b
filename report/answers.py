"""The headline answers: a paragraph per axis, made from its verdict. No word that the interval does not carry."""

from collections.abc import Mapping, Sequence

from scipy.stats import f, norm

from . import analyse
from . import markdown as md
from .effects import AxisEffect, Contrast, Effects, Verdict, judge
from .interactions import Interaction
from .settle import ASSUMED_SD, POWER, Settlement

MANY_LEVELS = 5


def points(value: float) -> str:
    """Percentage points to a hundredth; what is smaller keeps its first digit, so that no bound looks like zero."""
    text = f"{value:.2f}"
    return text if float(text) or not value else f"{value:.1g}"


def answer(
    effects: Effects, effect: AxisEffect, settled: Settlement | None, caveats: Sequence[str], interacts: Sequence[str]
) -> str:
    """The sentences about one axis, as plain text; `interacts` are axes on which its effect depends."""
    sentences = [_verdict(effects, effect)]
    contrast = headline(effect)
    if contrast is not None and contrast.estimate is not None and not _all_copies(effect):
        sentences += _beside(effect)
        sentences.append(_scope(effects, contrast))
    if settled is not None:
        sentences.append(_settled(effects, settled))
    sentences += _own_noise(effects, effect, contrast)
    if effect.aliases:
        named = " and ".join(f"{_short(a)} × {_short(b)}" for a, b in effect.aliases)
        sentences.append(f"The design cannot tell this from an interaction: {named}.")
    if interacts:
        sentences.append(f"It depends on {_list(interacts)}: see below.")
    if effect.unfinished:
        sentences.append(f"Without a finished run, and so not compared: {_list(_named(effect, effect.unfinished))}.")
    if caveats:
        sentences.append(f"Caveat: {'; '.join(caveats)}.")
    return " ".join(sentences)


def headline(effect: AxisEffect) -> Contrast | None:
    """The contrast that an axis is told by: of those with its verdict, the largest difference."""
    with_estimate = [c for c in effect.contrasts if c.verdict == effect.verdict and c.estimate is not None]
    return max(with_estimate, key=lambda c: (not c.copies, abs(c.estimate or 0)), default=None)


def title(effect: AxisEffect) -> str:
    """The axis with its verdict, as a heading of its answer."""
    name = _short(effect.axis)
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
    names = {effect.axis: _levels(effect) for effect in effects.axes}
    best = []
    for j, level in enumerate(names[second]):
        column = [row[j] for row in found.means]
        best.append((names[first][column.index(max(column))], level))
    kinds = {name for name, _ in best}
    if found.flip >= effects.delta and len(kinds) > 1:
        told = ", ".join(
            f"{analyse.level_name(first, name)} at {analyse.level_name(second, level)}" for name, level in best
        )
        what = f"the best {_short(first)} depends on {_short(second)}: {told}"
    else:
        what = f"their effects do not add up, by up to {points(found.residual)} points for a pair of levels"
    return f"{_short(first)} and {_short(second)} interact (p = {found.p:.2g}): {what}."


def _verdict(effects: Effects, effect: AxisEffect) -> str:
    contrast = headline(effect)
    if _all_copies(effect):
        copies = _list(_named(effect, _levels(effect)))
        return f"{copies} gave the same weights to the bit wherever both finished: one experiment by several names."
    if contrast is None or contrast.estimate is None:
        if effects.reason == "no run has finished yet":
            return "No run has finished yet."
        return "No two levels have finished runs that can be compared."
    better, worse, gap, low, high = _oriented(effect, contrast)
    interval = f"[{points(low)}, {points(high)}]" if low is not None and high is not None else ""
    ahead = f"{better} is better than {worse} by {points(gap)} points {interval}"
    delta = f"{effects.delta:g} points"
    if effect.verdict == Verdict.MATTERS:
        return f"{ahead}, more than the {delta} that are worth caring about."
    if effect.verdict == Verdict.REAL:
        return f"{ahead}; whether by more than {delta} is open."
    if effect.verdict == Verdict.SMALL:
        return f"{ahead}, no more than the {delta} that are worth caring about."
    seen = f"{better} came out {points(gap)} points above {worse} {interval}"
    if gap == 0:
        seen = f"{better} and {worse} came out alike {interval}"
    if effect.verdict == Verdict.NEGLIGIBLE:
        most = "the difference is" if len(effect.contrasts) == 1 else "no difference between two levels is more than"
        if len(effect.contrasts) == 1:
            return f"{seen}: {most} {delta} at most, and may be none."
        return f"{seen}; {most} {delta}."
    if effect.verdict == Verdict.INCONCLUSIVE:
        return f"{seen}, which may be nothing or more than {delta}."
    return f"{seen.strip()}, but {effects.reason}."


def _beside(effect: AxisEffect) -> list[str]:
    """Which levels cannot be told from the best one, where more than two were compared."""
    if len(effect.contrasts) < 2 or effect.verdict not in (Verdict.MATTERS, Verdict.REAL, Verdict.SMALL):
        return []
    leader = best(effect)
    beside = {c.level if c.other == leader else c.other: c for c in effect.contrasts if leader in (c.level, c.other)}
    open_ones = [level for level, c in beside.items() if c.low is None or c.high is None or c.low <= 0 <= c.high]
    alike = [level for level in _levels(effect) if level in open_ones]
    if not alike:
        return []
    name = analyse.level_name(effect.axis, leader)
    return [f"Not told apart from {name}, the best: {_list(_named(effect, alike)[:MANY_LEVELS])}"
            + (f" and {len(alike) - MANY_LEVELS} more." if len(alike) > MANY_LEVELS else ".")]  # fmt: skip


def best(effect: AxisEffect) -> str:
    """The level with the largest mean; one at a time, this may be the baseline."""
    others = {c.other for c in effect.contrasts}
    lead = dict.fromkeys(_levels(effect), 0.0)
    for c in effect.contrasts:
        lead[c.level] += c.estimate or 0
        lead[c.other] -= 0 if len(others) == 1 else c.estimate or 0  # one other: all are told relative to it
    return max(lead, key=lambda level: lead[level])


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
            f"A true difference of {points(settled.detectable)} points would have been told from zero in "
            f"{100 * POWER:.0f} % of such studies."
        )
    if settled.assumed and effects.seeds == 1:
        wrong = norm.cdf(-effects.delta / (ASSUMED_SD * 2**0.5))
        sentences.append(
            f"If runs vary by {settled.sd:g} points, as is usual, a single pair of runs shows a true difference of "
            f"{effects.delta:g} points with the wrong sign in {100 * wrong:.0f} % of cases."
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
    return [f"Seeds matter more on this axis than on others: by its own noise the interval is [{points(low)}, "
            f"{points(high)}], {holds}."]  # fmt: skip


def _oriented(effect: AxisEffect, c: Contrast, own: bool = False) -> tuple[str, str, float, float | None, float | None]:
    """A contrast as the better level, the worse one, the gap and its interval."""
    low, high = (c.own_low, c.own_high) if own else (c.low, c.high)
    level, other = _named(effect, (c.level, c.other))
    gap = c.estimate or 0.0
    if gap >= 0:
        return level, other, gap, low, high
    return other, level, -gap, None if high is None else -high, None if low is None else -low


def _all_copies(effect: AxisEffect) -> bool:
    return bool(effect.contrasts) and all(c.copies for c in effect.contrasts)


def _levels(effect: AxisEffect) -> list[str]:
    """The levels that finished, in the plan's order (one at a time: variants, then the baseline)."""
    found: Mapping[str, None] = dict.fromkeys(
        [*(c.level for c in effect.contrasts), *(c.other for c in effect.contrasts)]
    )
    return list(found)


def _named(effect: AxisEffect, levels: Sequence[str]) -> list[str]:
    return [analyse.level_name(effect.axis, level) for level in levels]


def _short(axis: str) -> str:
    return axis.rpartition(".")[2]


def _list(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"

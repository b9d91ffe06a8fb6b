"""The report's sentences about axes, from plain values. No word that the interval does not carry."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy.stats import norm

from ablate.design.power import ASSUMED_SD, POWER
from ablate.records.metrics import METRICS
from ablate.report.analysis import Analysis
from ablate.report.caveats import Caveats
from ablate.report.checks.new_images import OnImages
from ablate.report.checks.robustness import Robustness
from ablate.report.page import numbers
from ablate.report.stats.interactions import Interaction
from ablate.report.stats.noise import INTERACTIONS_LEFT, OF_AXIS, OF_CELLS
from ablate.report.stats.settle import Settlement
from ablate.report.stats.verdicts import AxisEffect, Confirmation, Contrast, Effects, Verdict, judge
from ablate.report.study import tried
from ablate.report.study.tables import AxisTable, axis_name, level_name

MANY_LEVELS = 5

TITLES = {
    Verdict.DEPENDS: " depends on",
    Verdict.MATTERS: " matters",
    Verdict.REAL: " makes a real difference of unclear size",
    Verdict.SMALL: " makes a real but negligible difference",
    Verdict.NEGLIGIBLE: " makes a negligible difference",
    Verdict.INCONCLUSIVE: ": inconclusive",
    Verdict.CANNOT_TELL: ": cannot tell",
}
CLAIMS = (Verdict.MATTERS, Verdict.REAL, Verdict.SMALL)


@dataclass(frozen=True)
class Facts:
    """What is known of a study's axes: all that a sentence may rest on."""

    effects: Effects
    settlements: Mapping[str, Settlement | None]
    caveats: Caveats
    robustness: Robustness | None = None
    tuned: str = ""  # what was chosen for each combination before it was compared, in words


def facts_of(analysis: Analysis) -> Facts:
    """What the report knows of a study, as its sentences take it."""
    tuned = tried.in_words(analysis.study)
    return Facts(analysis.effects, analysis.settlements, analysis.caveats, analysis.robustness, tuned)


@dataclass(frozen=True)
class Told:
    """The answer about one axis, as plain text: each can be quoted alone."""

    axis: str
    title: str
    text: str


def told(facts: Facts) -> list[Told]:
    """The answer of each axis with its caveats and those of all."""
    return [Told(effect.axis, title(facts, effect), answer(facts, effect)) for effect in facts.effects.axes]


def title(facts: Facts, effect: AxisEffect) -> str:
    """The axis with its verdict, and without what limits it no word that claims anything."""
    if effect.all_copies:
        return f"{axis_name(effect.axis)} made no difference"
    if effect.verdict == Verdict.DEPENDS:
        on = listed([axis_name(name) for name in effect.depends_on]) if effect.depends_on else "the combination"
        return f"{axis_name(effect.axis)} depends on {on}"
    name = " or ".join([axis_name(effect.axis), *(_pair(alias.axes) for alias in effect.whole_aliases)])
    limits = []
    if effect.verdict in CLAIMS:
        if (on_images := _open_for_new_images(facts, effect)) is not None:
            limits.append(f" on these {on_images.images:,} images")
        if _unlearnt(facts, effect):
            limits.append(f", but nothing was learnt at {listed(named(effect.axis, _unlearnt(facts, effect)))}")
    if facts.effects.may_be_interactions(effect) and effect.verdict != Verdict.CANNOT_TELL:
        limits.append(", and what differs may be due to interactions")
    return f"{name}{TITLES[effect.verdict]}{''.join(limits)}"


def answer(facts: Facts, effect: AxisEffect) -> str:
    """The sentences about one axis, as plain text."""
    effects, settled = facts.effects, facts.settlements.get(effect.axis)
    sentences = [_verdict(effects, effect)]
    sentences += [f"This is with {facts.tuned}, and holds for the values chosen here."] if facts.tuned else []
    contrast = effect.headline
    if contrast is not None and contrast.estimate is not None and not effect.all_copies:
        sentences += _ties(effects, effect)
        sentences.append(_scope(effects, effect, contrast))
        sentences += _at_best(effects, effect, contrast)
    if settled is not None:
        sentences.append(_settled(effects, settled))
    sentences += _own_noise(effects, effect)
    sentences += _lack_of_fit(effects)
    sentences += _aliased(effects, effect)
    if effect.depends_on:
        sentences.append(f"Its effect depends on {listed([axis_name(name) for name in effect.depends_on])}: see below.")
    if effect.may_depend_on:
        on = listed([axis_name(name) for name in effect.may_depend_on])
        sentences.append(
            f"Whether its effect depends on {on} is open: that may be {smallest(effects)} or more, or noise."
        )
    sentences += _new_images(facts, effect)
    sentences += _outlier(facts, effect)
    if effect.unfinished:
        names = listed(named(effect.axis, effect.unfinished))
        sentences.append(f"Not compared, as no run has finished there: {names}.")
    caveats = [*_about_chance(facts, effect), *facts.caveats.get(effect.axis, []), *facts.caveats.get("", [])]
    if caveats:
        sentences.append(f"Caveat: {'; '.join(caveats)}.")
    return " ".join(sentences)


def warnings(facts: Facts, effect: AxisEffect) -> list[str]:
    """What changes the reading of one axis's answer, a short clause each."""
    effects = facts.effects
    found = []
    if effect.whole_aliases:
        found.append(f"confounded with {listed([_pair(alias.axes) for alias in effect.whole_aliases])}")
    if levels := _unlearnt(facts, effect):
        found.append(f"nothing was learnt at {listed(named(effect.axis, levels))}")
    if (images := _open_for_new_images(facts, effect)) is not None:
        found.append(f"holds for these {images.images:,} test images; for new ones it is open")
    outlier = facts.robustness.outlier if facts.robustness is not None else None
    without = next((e for e in outlier.without if e.axis == effect.axis), None) if outlier is not None else None
    if outlier is not None and without is not None and without.average != effect.average:
        said = TITLES[without.average].lstrip(": ")
        found.append(f"one run stands out ({outlier.folder or f'seed {outlier.seed}'}); without it: {said}")
    if effect.unfinished:
        found.append(f"not compared, as no run has finished there: {listed(named(effect.axis, effect.unfinished))}")
    if effects.terms_fail and effect.verdict in CLAIMS:
        found.append("what differs may be due to interactions")
    return found + facts.caveats.get(effect.axis, [])


def warnings_of_all(facts: Facts) -> list[str]:
    """What changes the reading of every answer."""
    found = list(facts.caveats.get("", []))
    robustness, effects = facts.robustness, facts.effects
    if effects.lacks_fit:
        found.insert(0, "the combinations are not the sum of the axes' effects, so the leads hold for none of them")
    if robustness is not None and METRICS[effects.metric].unit == "points" and robustness.resolution > effects.delta:
        found.append(f"one test image is {robustness.resolution:.2g} points, more than {smallest(effects)}")
    return found


def confirmation(effects: Effects, found: Confirmation) -> str:
    """The sentence about a combination that was predicted and then trained, as plain text."""
    name = ", ".join(level_name(axis, level) for axis, level in found.levels)
    which = f"The recommended combination ({name})" if found.kind == "recommended" else f"The baseline ({name})"
    low, high = found.low, found.high
    if METRICS[effects.metric].unit == "points":
        low, high = max(0.0, low), min(100.0, high)
    interval = f"{number(effects, low)} to {number(effects, high)}"
    said = (
        f"{which}, of which the fraction holds no run: {number(effects, found.predicted)} predicted (95 % interval "
        f"{interval}), {number(effects, found.measured)} measured over {numbers.count(found.seeds, 'seed')}"
    )
    if found.holds:
        return f"{said}, which the interval holds."
    return f"{said}. The axes' effects do not add up there, so no answer below holds without that word."


def interaction(effects: Effects, found: Interaction) -> str:
    """The sentence about two axes whose effects depend on each other, as plain text."""
    first, second = found.axes
    what = which_is_best(effects, found, first)
    return f"{axis_name(first)} and {axis_name(second)} interact (p {p_value(found.p)}): {what[0].lower()}{what[1:]}."


def which_is_best(effects: Effects, found: Interaction, axis: str) -> str:
    """Where each level of `axis` is the best, over the levels of the other axis of an interaction."""
    first, second = found.axes if found.axes[0] == axis else found.axes[::-1]
    means = found.means if found.axes[0] == axis else tuple(zip(*found.means, strict=True))
    names = {effect.axis: effect.levels for effect in effects.axes}
    best = []
    for j, level in enumerate(names[second]):
        column = [row[j] for row in means]
        top = min(column) if METRICS[effects.metric].less_is_better else max(column)
        best.append((names[first][column.index(top)], level))
    kinds = {name for name, _ in best}
    if found.flip >= effects.delta and len(kinds) > 1:
        places = ", ".join(f"{level_name(first, name)} at {level_name(second, level)}" for name, level in best)
        return f"The best {axis_name(first)} depends on {axis_name(second)}: {places}"
    if len(kinds) == 1:
        best_level = level_name(first, best[0][0])
        return (
            f"{best_level} is best at every {axis_name(second)}; its lead varies by up to "
            f"{amount(effects, _varies(means, METRICS[effects.metric].less_is_better))}"
        )
    return f"The effects do not add up, by up to {amount(effects, found.residual)} for a pair of levels"


def _varies(means: Sequence[Sequence[float]], less_is_better: bool) -> float:
    """By how much the lead over the runner-up differs between the columns, in the metric's unit."""
    leads: list[float] = []
    for column in zip(*means, strict=True):
        ranked = sorted(column, reverse=not less_is_better)
        leads.append(abs(ranked[0] - ranked[1]))
    return max(leads) - min(leads)


def p_value(p: float) -> str:
    """A p-value with its sign: no digits that say nothing."""
    return f"= {p:.2g}" if p >= 0.001 else "< 0.001"


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
    tight = effect.average == Verdict.NEGLIGIBLE  # what decides is what is shown
    higher, lower, gap, low, high = _oriented(effect, contrast, tight)
    better, worse = (lower, higher) if METRICS[effects.metric].less_is_better else (higher, lower)
    within = ""
    if low is not None and high is not None:
        kind = "equivalence tests, within" if effect.average == Verdict.NEGLIGIBLE else interval_name(effects)
        within = f" ({kind} {number(effects, low)} to {number(effects, high)})"
    ahead = f"{better} is better than {worse} by {amount(effects, gap)}{within}"
    seen = f"{higher} is {amount(effects, gap)} above {lower}{within}" if gap else f"{higher} equals {lower}{within}"
    delta = smallest(effects)
    if (effect.verdict == Verdict.DEPENDS and effects.design != "one_at_a_time") or effect.may_depend_on:
        ahead, seen = f"On average {ahead}", f"On average {seen}"
    match effect.average:
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
        case _:
            return f"{seen}, but {effect.reason or effects.reason}."


def _not_compared(effects: Effects, effect: AxisEffect) -> str:
    """Where levels share no combination that finished; the others may have been judged all the same."""
    if effects.reason == "no run has finished yet":
        return "No run has finished yet."
    apart = [" and ".join(named(effect.axis, (c.level, c.other))) for c in effect.contrasts if c.estimate is None]
    if len(apart) == len(effect.contrasts):
        return "No two levels have finished runs that can be compared."
    rest = f"; no other difference exceeds {smallest(effects)}" if effects.noise else ""
    return f"Not comparable, as no combination finished at both levels: {'; '.join(apart)}{rest}."


def not_separated(effects: Effects, effect: AxisEffect) -> list[str]:
    """Levels that are not separated from the best one, or from the baseline where all are compared with it alone."""
    if len(effect.contrasts) < 2 or effect.average not in CLAIMS:
        return []
    centre = _centre(effects, effect)
    others = {c.level if c.other == centre else c.other: c for c in effect.contrasts if centre in (c.level, c.other)}
    open_ones = [level for level, c in others.items() if c.low is None or c.high is None or c.low <= 0 <= c.high]
    return [level for level in effect.levels if level in open_ones]


def _centre(effects: Effects, effect: AxisEffect) -> str:
    around = effects.family == "dunnett"
    return effect.contrasts[0].other if around else effect.best(METRICS[effects.metric].less_is_better)


def _ties(effects: Effects, effect: AxisEffect) -> list[str]:
    ties = not_separated(effects, effect)
    if not ties:
        return []
    name = level_name(effect.axis, _centre(effects, effect))
    name += f", the {'baseline' if effects.family == 'dunnett' else 'best'}"
    more = f" and {len(ties) - MANY_LEVELS} more" if len(ties) > MANY_LEVELS else ""
    return [f"Not separated from {name}: {listed(named(effect.axis, ties)[:MANY_LEVELS])}{more}."]


def _aliased(effects: Effects, effect: AxisEffect) -> list[str]:
    """The interactions with which the design confounds the axis's effect, wholly or in part."""
    if not effect.aliases:
        return []
    names = [_pair(alias.axes) for alias in effect.aliases]
    if effect.whole_aliases:
        whole = listed([_pair(alias.axes) for alias in effect.whole_aliases])
        sentence = f"This design cannot separate {axis_name(effect.axis)} from {whole}"
    else:
        more = f" and, less, {len(names) - 1} more" if len(names) > 1 else ""
        worst = f"{names[0]} ({effect.aliases[0].share:g} of it)"
        sentence = f"This design cannot fully separate {axis_name(effect.axis)} from {worst}{more}"
    grown = any(alias.planned is not None and alias.share > alias.planned + 0.02 for alias in effect.aliases)
    less = ", less than planned, as not every run finished" if grown and not effects.complete else ""
    rests = effect.noise is not None and effect.noise.source == INTERACTIONS_LEFT and not effects.lacks_fit
    return [f"{sentence}{less}.", *(["Its interval allows for that."] if rests else [])]


def _scope(effects: Effects, effect: AxisEffect, contrast: Contrast) -> str:
    base = f"{numbers.count(contrast.pairs, 'matched pair')}, {numbers.count(contrast.seeds, 'seed')}"
    if effects.design == "fractional" and not contrast.common_only:  # whose runs differ in several axes at once
        seeds = numbers.count(effects.seeds, "seed")
        base = f"{numbers.count(effects.combinations, 'combination')} of a fraction, {seeds}"
    if effects.design == "one_at_a_time":
        where = "around the baseline" if len(effects.axes) > 1 else "against the baseline"
    elif contrast.common_only:
        places = numbers.count(contrast.places, "combination")
        where = f"only over the {places} of the other axes that finished at both levels"
    elif len(effects.axes) == 1:
        where = "no other axis varied"
    else:
        where = f"averaged over the other {'axis' if len(effects.axes) == 2 else 'axes'}"
    rests = effects.assumes_two_way and not contrast.common_only and not effect.reason
    return f"({base}; {where}{', assuming that no three axes interact' if rests else ''}.)"


def _at_best(effects: Effects, effect: AxisEffect, contrast: Contrast) -> list[str]:
    """The second reading: the same levels where people will choose, not on average."""
    about = [best for best in effect.at_best if {best.level, best.other} <= {contrast.level, contrast.other}]
    about = about or sorted(effect.at_best, key=lambda best: -abs(best.estimate))
    if not about:
        return []
    best = about[0]
    level, other = named(effect.axis, (best.level, best.other))
    gap, low, high = best.estimate, best.low, best.high
    where = "above"
    if gap < 0:
        gap, low, high, where = -gap, -high, -low, "below"
    same = f"{level} is {amount(effects, gap)} {where} {other}" if gap else f"{level} equals {other}"
    interval = f"({interval_name(effects)} {number(effects, low)} to {number(effects, high)})"
    return [f"At the recommended combination {same} {interval}."]


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
    if not settled.by_seeds:
        sentences.append("More seeds alone may not settle it; more combinations would.")
    elif settled.seeds is None:
        sentences.append("Settling it would take more than 1,000 seeds.")
    elif settled.runs is not None:
        noise = f"at a noise of {settled.sd:g} points" if settled.assumed else "at this noise"
        seeds, runs = numbers.count(settled.seeds, "seed"), numbers.count(settled.runs, "more run")
        sentences.append(f"With {seeds} in all ({runs}), {noise}, it would be settled in {100 * POWER:.0f} % of cases.")
    return " ".join(sentences)


def _own_noise(effects: Effects, effect: AxisEffect) -> list[str]:
    """Said where an axis's runs scatter more than the rest, and its interval rests on that."""
    if effect.noise is None or effects.noise is None or effect.noise.source not in (OF_AXIS, OF_CELLS):
        return []
    what, whose = "this axis", "its"
    if effect.noise.source == OF_CELLS:
        what, whose = "some of the combinations compared", "their"
    return [
        f"Seeds scatter {what} more than the rest, so its interval rests on {whose} own noise "
        f"({amount(effects, effect.noise.sd)} instead of {amount(effects, effects.noise.sd)})."
    ]


def _lack_of_fit(effects: Effects) -> list[str]:
    if not effects.lacks_fit or effects.lack_of_fit is None:
        return []
    fit = effects.lack_of_fit
    pairs = [_pair(axes) for axes in fit.likely]
    likely = f" Most of it may be {listed(pairs)}." if pairs else ""
    noise = f", against {amount(effects, effects.noise.sd)} between seeds" if effects.noise else ""
    return [
        f"The combinations are not the sum of the axes' effects (lack of fit, p {p_value(fit.p)}): what the effects "
        f"leave has {amount(effects, fit.sd)}{noise}, and the interval rests on that.{likely}"
    ]


def _open_for_new_images(facts: Facts, effect: AxisEffect) -> OnImages | None:
    """What the test images add, where the claim does not hold for new ones."""
    found = facts.robustness.images if facts.robustness is not None else []
    on_images = next((i for i in found if i.axis == effect.axis), None)
    if on_images is None or on_images.low is None or on_images.high is None or effect.average not in CLAIMS:
        return None
    carried = judge(on_images.low, on_images.high, facts.effects.delta)
    return None if carried in (Verdict.MATTERS, effect.average) else on_images


def _new_images(facts: Facts, effect: AxisEffect) -> list[str]:
    on_images = _open_for_new_images(facts, effect)
    if on_images is None or on_images.low is None or on_images.high is None or effect.headline is None:
        return []
    low, high = on_images.low, on_images.high
    if (effect.headline.estimate or 0.0) < 0:
        low, high = -high, -low
    interval = f"{number(facts.effects, low)} to {number(facts.effects, high)}"
    return [f"That is for these {on_images.images:,} test images; for new ones the interval is {interval}."]


def _unlearnt(facts: Facts, effect: AxisEffect) -> list[str]:
    return facts.robustness.unlearnt.get(effect.axis, []) if facts.robustness is not None else []


def _about_chance(facts: Facts, effect: AxisEffect) -> list[str]:
    """Levels at which nothing was learnt, and test sets too small for delta."""
    found = []
    if levels := _unlearnt(facts, effect):
        names = listed(named(effect.axis, levels))
        found.append(f"no run at {names} is better than guessing, so nothing was learnt there")
    robustness = facts.robustness
    is_accuracy = METRICS[facts.effects.metric].unit == "points"
    if robustness is not None and is_accuracy and robustness.resolution > facts.effects.delta:
        found.append(
            f"one test image is {robustness.resolution:.2g} points, more than {smallest(facts.effects)}, "
            "so that the test set is too small for differences of that size"
        )
    return found


def _outlier(facts: Facts, effect: AxisEffect) -> list[str]:
    """The run that stands out, and the answer without it."""
    found = facts.robustness.outlier if facts.robustness is not None else None
    if found is None or effect.all_copies:
        return []
    effects = facts.effects
    run = (
        f"The run {found.folder or f'of seed {found.seed}'} stands out ({number(effects, found.value)} where its "
        f"combination and seed lead one to expect {number(effects, found.expected)})"
    )
    without = next((e for e in found.without if e.axis == effect.axis), None)
    contrast = without.headline if without is not None else None
    if without is None or contrast is None or contrast.low is None or contrast.high is None:
        return [f"{run}."]
    higher, lower, gap, low, high = _oriented(without, contrast)
    said = TITLES[without.average].lstrip(": ") if without.average != effect.average else "the same verdict"
    interval = "" if low is None or high is None else f", {number(effects, low)} to {number(effects, high)}"
    return [f"{run}; without it: {said}, {higher} − {lower} = {number(effects, gap)}{interval}."]


def _oriented(
    effect: AxisEffect, c: Contrast, tight: bool = False
) -> tuple[str, str, float, float | None, float | None]:
    """A contrast as the higher level, the lower one, the gap and its interval, or the equivalence test's."""
    low, high = (c.tight_low, c.tight_high) if tight else (c.low, c.high)
    level, other = named(effect.axis, (c.level, c.other))
    gap = c.estimate or 0.0
    if gap >= 0:
        return level, other, gap, low, high
    return other, level, -gap, None if high is None else -high, None if low is None else -low


def interval_name(effects: Effects) -> str:
    """The intervals of the axes by their confidence, which later looks at a study raise: 95 % interval."""
    return f"{100 * (1 - effects.error_rate):.4g} % interval"


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
    unit = METRICS[effects.metric].unit
    return f"{effects.delta:g} {unit.removesuffix('s') if effects.delta == 1 else unit}"


def named(axis: str, levels: Sequence[str]) -> list[str]:
    """Levels away from their axis."""
    return [level_name(axis, level) for level in levels]


def _pair(axes: tuple[str, str]) -> str:
    """An interaction by its axes."""
    return " × ".join(map(axis_name, axes))


def listed(names: Sequence[str]) -> str:
    """a, b and c."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"

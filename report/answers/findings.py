"""Whether what was measured here confirms what an earlier study concluded."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

from ablate.records.metrics import METRICS
from ablate.records.study_plan import Finding
from ablate.report.analysis import Analysis
from ablate.report.answers import sentences
from ablate.report.answers.sentences import listed
from ablate.report.stats.verdicts import AxisEffect, Contrast, Effects, Verdict
from ablate.report.study.compared import axis_of
from ablate.report.study.tables import axis_name


class Judgement(StrEnum):
    CONFIRMS = "confirms"
    CONTRADICTS = "contradicts"
    CANNOT_JUDGE = "cannot judge"


@dataclass(frozen=True)
class Judged:
    """One finding of an earlier study, what follows from this one for it, and why."""

    finding: Finding
    judgement: Judgement
    reason: str


def findings(analysis: Analysis) -> list[Judged]:
    """Every finding of the plan's reference, in its order."""
    reference = analysis.study.plan.reference
    return [] if reference is None else [_judged(analysis, finding) for finding in reference.findings]


def _judged(analysis: Analysis, finding: Finding) -> Judged:
    """By the axis's own verdict; of a nested axis, by those wherever it has such levels."""
    every = [effect for effect in analysis.effects.axes if axis_of(effect.axis) == finding.axis]
    ours = [effect for effect in every if not _lacking(effect, finding)] or every
    if not (finding.better or finding.worse or finding.no_difference):
        return Judged(finding, Judgement.CANNOT_JUDGE, "no claim is stated that could be checked")
    if not ours:
        return Judged(finding, Judgement.CANNOT_JUDGE, f"{finding.axis} was not varied here")
    found = [_by(analysis, finding, effect) for effect in ours]
    kinds = {judgement for judgement, _ in found}
    judgement = kinds.pop() if len(kinds) == 1 else Judgement.CANNOT_JUDGE
    reasons = [f"{reason} (in {sentences.in_words(effect.within)})" if effect.within else reason
               for effect, (_, reason) in zip(ours, found, strict=True)]  # fmt: skip
    return Judged(finding, judgement, "; ".join(reasons))


def _by(analysis: Analysis, finding: Finding, effect: AxisEffect) -> tuple[Judgement, str]:
    """What one comparison of the axis says of a finding."""
    effects = analysis.effects
    if effect.verdict == Verdict.DEPENDS:
        on = listed([axis_name(name) for name in effect.depends_on] or ["the combination"])
        return Judgement.CANNOT_JUDGE, f"here it depends on {on}"
    if effects.may_be_interactions(effect) or effect.whole_aliases:
        return Judgement.CANNOT_JUDGE, "here what differs may be due to interactions"
    if finding.no_difference:
        return _no_difference(effects, effect)
    if lacking := _lacking(effect, finding):
        return Judgement.CANNOT_JUDGE, f"no run has finished here at {' or '.join(lacking)}"
    better, worse = _levels(effect, finding.better), _levels(effect, finding.worse)
    better = better or [level for level in effect.levels if level not in worse]
    worse = worse or [level for level in effect.levels if level not in better]
    unlearnt = set(analysis.robustness.unlearnt.get(effect.axis, ())) & {*better, *worse}
    if unlearnt:
        return Judgement.CANNOT_JUDGE, f"nothing was learnt here at {listed(sorted(unlearnt))}"
    if apart := _weights_apart(analysis, effect, better, worse):
        return Judgement.CANNOT_JUDGE, apart
    best = [level for level in effect.standing(METRICS[effects.metric].less_is_better) if level in better]
    compared = {frozenset((c.level, c.other)) for c in effect.contrasts}
    with_all = [level for level in best if all(frozenset((level, other)) in compared for other in worse)]
    first = next(iter(with_all or best), None)
    if first is None or not worse:
        return Judgement.CANNOT_JUDGE, "here there are no two such levels to compare"
    return _better(effects, effect, first, worse)


def _weights_apart(analysis: Analysis, effect: AxisEffect, better: Sequence[str], worse: Sequence[str]) -> str:
    """Why networks cannot be compared with each other here: those of one side alone start from weights; "" where they
    can, and of other axes."""
    plan = analysis.study.plan
    started: dict[str, set[str]] = {}
    for cell in plan.cells if effect.axis == "backbone" else ():
        started.setdefault(cell.levels[effect.axis], set()).add(plan.settings_of(cell).get("backbone.pretrained", ""))
    ours, theirs = ([level for level in some if "true" in started.get(level, ())] for some in (better, worse))
    if bool(ours) == bool(theirs):
        return ""
    one, other = (ours, worse) if ours else (theirs, better)
    start = "starts" if len(one) == 1 else "start"
    return f"here {listed(one)} {start} from pretrained weights and {listed(list(other))} from scratch"


def _lacking(effect: AxisEffect, finding: Finding) -> list[str]:
    """The names or patterns of one side of a claim, where none of them is a level that was compared here."""
    return next((names for names in (finding.better, finding.worse) if names and not _levels(effect, names)), [])


def _levels(effect: AxisEffect, names: Sequence[str]) -> list[str]:
    """The levels that were compared here and that names or patterns mean."""
    return [level for level in effect.levels if any(fnmatchcase(level, name) for name in names)]


def _no_difference(effects: Effects, effect: AxisEffect) -> tuple[Judgement, str]:
    delta = sentences.smallest(effects)
    match effect.verdict:
        case Verdict.NEGLIGIBLE | Verdict.SMALL:
            return Judgement.CONFIRMS, f"any difference here is at most {delta}"
        case Verdict.MATTERS:
            contrast = effect.headline
            said = "" if contrast is None else f": {_in_words(effects, effect, contrast)}"
            return Judgement.CONTRADICTS, f"here it matters{said}"
        case _:
            return Judgement.CANNOT_JUDGE, _open(effects, effect)


def _better(effects: Effects, effect: AxisEffect, first: str, worse: Sequence[str]) -> tuple[Judgement, str]:
    """The best of the levels that are claimed to be better, against each of the others."""
    less = METRICS[effects.metric].less_is_better
    contrasts = {}
    for one in effect.contrasts:
        contrasts[one.level, one.other], contrasts[one.other, one.level] = one, one.turned()
    not_compared: list[str] = []
    confirmed: list[Contrast] = []
    contradicted: list[Contrast] = []
    left: list[Contrast] = []
    for level in worse:
        c = contrasts.get((first, level))
        if c is None or c.low is None or c.high is None:
            not_compared.append(level)
        elif c.verdict in (Verdict.MATTERS, Verdict.REAL, Verdict.SMALL):
            ahead = c.high < 0 if less else c.low > 0
            (confirmed if ahead else contradicted).append(c)
        else:
            (contradicted if c.verdict == Verdict.NEGLIGIBLE else left).append(c)
    if contradicted:
        return Judgement.CONTRADICTS, _in_words(effects, effect, contradicted[0])
    if left:
        return Judgement.CANNOT_JUDGE, f"{_in_words(effects, effect, left[0])}, which noise may explain"
    if not_compared:
        if effects.noise is None or effect.reason:
            return Judgement.CANNOT_JUDGE, _open(effects, effect)
        return Judgement.CANNOT_JUDGE, f"{first} and {listed(not_compared)} are not compared with each other here"
    closest = min(confirmed, key=lambda c: abs(c.estimate or 0.0))
    return Judgement.CONFIRMS, _in_words(effects, effect, closest)


def _open(effects: Effects, effect: AxisEffect) -> str:
    if effect.verdict == Verdict.CANNOT_TELL:
        return effect.reason or effects.reason or "no two levels have finished runs that can be compared"
    return f"here it is {'inconclusive' if effect.verdict == Verdict.INCONCLUSIVE else effect.verdict}"


def _in_words(effects: Effects, effect: AxisEffect, c: Contrast) -> str:
    """sgd − adam = 1.2 points [0.4, 2.0]."""
    level, other = sentences.named(effect.axis, (c.level, c.other))
    interval = ""
    if c.low is not None and c.high is not None:
        interval = f" [{sentences.number(effects, c.low)}, {sentences.number(effects, c.high)}]"
    return f"{level} − {other} = {sentences.amount(effects, c.estimate or 0.0)}{interval}"

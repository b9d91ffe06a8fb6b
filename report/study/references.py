"""The combinations that a study's axes are varied around: the baseline, or what was added before."""

from collections.abc import Mapping, Sequence

from ablate.records.study_plan import StudyPlan
from ablate.report.study.compared import Nested, above

Levels = dict[str, str]  # {axis: level}


def references(plan: StudyPlan, planned: Sequence[Levels]) -> dict[str, Levels]:
    """{axis: the combination that it was varied around}; {} of a study that varies axes together.

    One at a time that is the baseline for all. A cumulative study has another one for each axis: the components that
    were added before it, and the baseline's levels of the rest. Axes that are nested in each other are one step.
    """
    factors = _factors(list(plan.axes), plan.nested)
    if plan.design == "one_at_a_time":
        baseline = _centre(planned, plan.baseline, factors)
        return dict.fromkeys(plan.axes, baseline) if baseline else {}
    baseline = baseline_of(planned, plan.baseline)
    if plan.design != "cumulative" or baseline is None:
        return {}
    final = max(planned, key=lambda cell: _apart(cell, baseline, factors))
    found: dict[str, Levels] = {}
    before = baseline
    for factor in factors:
        found |= dict.fromkeys(factor, before)
        before = before | {axis: final[axis] for axis in factor}
    # What other sweeps added to it is no step of it.
    if any(all(_apart(cell, found[factor[0]], [f for f in factors if f != factor]) for factor in factors)
           for cell in planned):  # fmt: skip
        return {}
    return found


def baseline_of(planned: Sequence[Levels], named: Mapping[str, str]) -> Levels | None:
    """The one planned combination with the levels that a plan names as its baseline; None where several have them."""
    found = [cell for cell in planned if all(cell.get(axis) == level for axis, level in named.items() if axis in cell)]
    return found[0] if len(found) == 1 and named else None


def _factors(axes: Sequence[str], nested: Nested) -> list[list[str]]:
    """Axes that are nested in each other, together."""
    found: list[list[str]] = []
    for axis in axes:
        own = {axis, *above(axis, nested)}
        joined = [factor for factor in found if own & {name for a in factor for name in (a, *above(a, nested))}]
        if joined:
            joined[0].append(axis)
            for other in joined[1:]:
                joined[0] += other
                found.remove(other)
        else:
            found.append([axis])
    return found


def _apart(cell: Levels, other: Levels, factors: Sequence[Sequence[str]]) -> int:
    """In how many factors two combinations differ."""
    return sum(any(cell[axis] != other[axis] for axis in factor) for factor in factors)


def _centre(planned: Sequence[Levels], named: Mapping[str, str], factors: Sequence[Sequence[str]]) -> Levels | None:
    """The combination that each other one differs from in a single factor; of several, the one with the levels that
    the plan names, else the first planned."""
    centres = [cell for cell in planned if all(_apart(cell, other, factors) <= 1 for other in planned)]
    matching = [cell for cell in centres if all(cell[axis] == named[axis] for axis in cell if axis in named)]
    return next(iter(matching or centres), None)

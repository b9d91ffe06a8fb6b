"""A study's search in study.json: what is added to it, and what does not fit it."""

from collections.abc import Sequence

from ablate.plan.planned_run import PlannedRun
from ablate.plan.tuning.search import Search
from ablate.records.study_plan import StudyPlan, Tuning


def add(plan: StudyPlan, search: Search) -> int:
    """Write the trials into the plan; return how many runs of them it did not have."""
    new = search.record()
    if plan.tuning is None:
        plan.tuning = Tuning({}, new.seeds, [], new.metric)
    known = plan.tuning.signatures()
    plan.tuning.metric = new.metric
    for key, typed in new.space.items():
        plan.tuning.space[key] = list(dict.fromkeys([*plan.tuning.space.get(key, ()), *typed]))
    there = {(tuple(sorted(t.levels.items())), tuple(t.values.items())): t for t in plan.tuning.trials}
    for trial in new.trials:
        place = (tuple(sorted(trial.levels.items())), tuple(trial.values.items()))
        there.setdefault(place, trial).runs |= trial.runs
    plan.tuning.trials = list(there.values())
    return len(new.signatures() - known)


def apart(plan: StudyPlan, search: Search | None, runs: Sequence[PlannedRun]) -> dict[str, tuple[str, str]]:
    """{what differs: (in the study, now)} of how a study chooses its values; {} where a command fits it."""
    if plan.tuning is None:
        if search is None or not plan.cells:
            return {}
        return {"tuning": ("none", " and ".join(search.keys))}
    if search is None:
        planned = plan.tuning.signatures() | {each for cell in plan.cells for each in cell.runs.values()}
        known = all(run.signature in planned for run in runs)  # as a run's own command has it
        return {} if known else {"tuning": (" and ".join(plan.tuning.space), "none")}
    if search.seeds != plan.tuning.seeds:
        return {"tuning seeds": (_listed(plan.tuning.seeds), _listed(search.seeds))}
    if tuned_on := sorted({run.config.seed for run in runs} & set(plan.tuning.seeds)):
        return {"seeds": (f"{_listed(tuned_on)} tuned on", "compared")}
    for one in search.combinations:
        for cell in plan.cells:
            there = [trial.values for trial in plan.tuning.of(cell)] if cell.named == one.named else []
            if there and there != one.trials:
                return {f"trials of {one.name}": (_values(there), _values(one.trials))}
            if there and cell.tuned and one.chosen is not None and one.chosen != cell.tuned:
                return {f"the values of {one.name}": (_values([cell.tuned]), _values([one.chosen]))}
    return {}


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


def _values(trials: Sequence[dict[str, str]]) -> str:
    return "; ".join(" ".join(f"{key}={value}" for key, value in values.items()) for values in trials)

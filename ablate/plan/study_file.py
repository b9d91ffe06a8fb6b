"""Adding planned runs to a study's plan, study.json, which later sweeps add to."""

import dataclasses
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from filelock import FileLock

from ablate.config.schema import HASHED_GROUPS, StudyConfig
from ablate.config.signature import content
from ablate.design import combinations
from ablate.plan.planned_run import Planned, PlannedRun, neutral_levels, said
from ablate.plan.tuning import record
from ablate.plan.tuning.search import Search
from ablate.records import files, run_folder, study_plan
from ablate.records.study_plan import NOT_READ, Amendment, Cell, StudyPlan, fill_levels, varied_axes


def remember(planned: Planned, *, looked: bool = False) -> None:
    """Write the runs that one command plans into their study's study.json, adding to what is there.

    What a fraction cannot separate is written too. `looked` says that results of these runs were looked at in another
    study. Raises ValueError when the file is damaged, as a plan is never silently replaced, and when a run would share
    a combination with another experiment.
    """
    study, folder = planned.runs[0].config.study, planned.runs[0].study
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".study.lock"):
        exists = (folder / study_plan.NAME).exists()
        plan = study_plan.read(folder) if exists else _new_plan(study, planned.baseline)
        runs = fitting(planned.runs, plan, folder, planned.search)
        if plan.tuning is not None and planned.search is None:
            return  # a run's own command, which fits as it plans nothing new
        plan.nested = _merged(plan.nested, planned.nested)
        plan.zipped += [keys for keys in planned.zipped if keys not in plan.zipped]
        compared_before = any(cell.runs for cell in plan.cells)
        trials = record.add(plan, planned.search) if planned.search is not None else 0
        changed, added = _add_runs(plan, runs, planned.order)
        changes = _amend(plan, planned)
        seeds = sorted({seed for cell in plan.cells for seed in cell.runs})
        if added or trials or changes:
            looked = looked or ((folder / "report").exists() and compared_before)
            plan.amendments.append(
                Amendment(files.now(), planned.command, added, len(seeds), looked, changes, trials_added=trials)
            )
        if changed or trials or changes:
            plan.seeds = seeds
            plan.design = plan.design if plan.design == study.design else "mixed"
            plan.excluded = sorted({*plan.excluded, *planned.excluded})
            if study.design == "fractional" or plan.is_fraction:
                plan.aliases = _aliases(plan)
            study_plan.write(folder, plan)


def check(planned: Planned) -> None:
    """Raise ValueError where remember would, and write nothing."""
    folder = planned.runs[0].study
    if (folder / study_plan.NAME).exists():
        fitting(planned.runs, study_plan.read(folder), folder, planned.search)


class Conflict(ValueError):
    """The same words mean another experiment than they did; `apart` is {what differs: (before, now)}."""

    def __init__(self, sentence: str, apart: dict[str, tuple[str, str]]) -> None:
        super().__init__(sentence)
        self.apart = apart


def fitting(
    runs: Sequence[PlannedRun], plan: StudyPlan, folder: Path, search: Search | None = None
) -> list[PlannedRun]:
    """The runs as they belong into a study: data sets that it compares go by the names that it has for them.

    Raises Conflict where the same words mean another experiment than before: other images, weights or numerics, or a
    level whose file has been edited; and where a tuned study would choose its values in another way. Runs of both would
    be averaged as seeds of one combination.
    """
    if apart := record.apart(plan, search, runs):
        differs = "; ".join(f"{what} {then} then, {now} now" for what, (then, now) in apart.items())
        raise Conflict(
            f"the study {plan.name} is tuned in another way: {differs}; give the same tune.KEY=… and seeds, or "
            "a study of its own with study.name=NAME",
            apart,
        )
    _fill_content(plan, folder)
    if plan.is_list:
        return list(runs)
    runs = _by_name_of_content(runs, plan)
    before: dict[tuple[str, Words], Facts] = {}
    for cell in plan.cells:
        words, facts = _by_group(cell.named), _by_group(_shared(plan, plan.settings_of(cell) | cell.content))
        before |= {(group, _words(words, group)): facts.get(group, {}) for group in GROUPS}
        before |= {(group, _whole(cell.named)): facts.get(group, {}) for group in GROUPS}
    for run in runs if before else ():
        words, facts = _by_group(run.named), _by_group(_shared(plan, run.compared | content(run.identity)))
        for group in GROUPS:
            then = before.get((group, _whole(run.levels) if run.is_whole else _words(words, group)))
            if then is not None and (apart := differing(then, facts.get(group, {}))):
                raise Conflict(_conflict(run, group, apart), apart)
    return runs


GROUPS = (*HASHED_GROUPS, "")  # "" is for what belongs to none
Words = tuple[tuple[str, str], ...]  # the levels that a combination names in one group
Facts = dict[str, str]  # {setting, or hash of some content: its value}


def _shared(plan: StudyPlan, facts: Mapping[str, str]) -> Facts:
    """The facts without those of tuned keys, which every combination has of its own."""
    return {key: value for key, value in facts.items() if plan.tuning is None or not plan.tuning.is_of(key)}


def _by_group(values: Mapping[str, str]) -> dict[str, Facts]:
    """{group: what is of it}, by the beginning of each key."""
    found: dict[str, Facts] = {}
    for key, value in values.items():
        group, dot, _ = key.partition(".")
        found.setdefault(group if dot or group in HASHED_GROUPS else "", {})[key] = value
    return found


def _words(named: Mapping[str, Facts], group: str) -> Words:
    return tuple(sorted(named.get(group, {}).items()))


def _whole(named: Mapping[str, str]) -> Words:
    """All levels that a combination names, of which each may change any group."""
    return (("", ""), *sorted(named.items()))


def differing(then: Facts, now: Facts) -> dict[str, tuple[str, str]]:
    """{what differs: (before, now)}. What was not written before is known only where it has a neutral value."""
    unsaid = neutral_levels()
    return {
        key: (then.get(key, unsaid.get(key, "")), now.get(key, unsaid.get(key, "")))
        for key in {**then, **now}
        if then.get(key, unsaid.get(key)) is not None
        and then.get(key, unsaid.get(key)) != now.get(key, unsaid.get(key))
    }


def _conflict(run: PlannedRun, group: str, apart: Mapping[str, tuple[str, str]]) -> str:
    """One sentence on what the same words meant before and mean now, and the way out."""
    words = " ".join(f"{key}={level}" for key, level in _words(_by_group(run.named), group))
    where = f"under {words}" if words else "of all runs"
    out = " (data.path=A,B in one command compares data sets)" if "data.fingerprint" in apart else ""
    return (
        f"the study {run.config.study.name} already holds another experiment {where}: {in_words(apart)}. Their runs "
        f"cannot be averaged; give the new one its own study with study.name=NAME{out}"
    )


def in_words(apart: Mapping[str, tuple[str, str]]) -> str:
    """What differs, each with what it was and what it is."""
    return "; ".join(
        f"{key} {then[:12] or 'none'} then, {now[:12] or 'none'} now" for key, (then, now) in apart.items()
    )


def _fill_content(plan: StudyPlan, folder: Path) -> None:
    """The content of combinations that an earlier version planned, from the records of their runs."""
    for cell in plan.cells:
        if not cell.content:
            found = (run_folder.find_run(folder, signature) for signature in cell.runs.values())
            for run in filter(None, found):
                with suppress(ValueError, KeyError, TypeError):  # or a record without an identity
                    cell.content = content(run.read().identity)
                    break


def _by_name_of_content(runs: Sequence[PlannedRun], plan: StudyPlan) -> list[PlannedRun]:
    """The runs, with the data set as a level where the study compares several, by the study's name for its content."""
    cells = [cell for cell in plan.cells if "data.path" in cell.named]
    names = {cell.content.get("data.fingerprint", ""): cell.named["data.path"] for cell in cells}
    if not names and not any("data.path" in run.levels for run in runs):
        return list(runs)
    named = []
    for run in runs:
        fingerprint = run.identity["data"]["fingerprint"]
        path = run.config.data.path
        own = run.levels.get("data.path") or (Path(path).name if path is not None else run.config.data.name)
        taken = own in names.values() and fingerprint not in names
        level = names.setdefault(fingerprint, f"{own}-{fingerprint[:6]}" if taken else own)
        named.append(dataclasses.replace(run, levels=run.levels | {"data.path": level}))
    return named


def _amend(plan: StudyPlan, planned: Planned) -> dict[str, str]:
    """Take over what this command itself says of how the study is judged; return {setting: what it was before}."""
    study, changes = planned.runs[0].config.study, dict[str, str]()
    words = {word.partition("=")[0] for run in planned.runs[:1] for word in run.overrides}
    for name in ("metric", "delta"):
        before, now = getattr(plan, name), getattr(study, name)
        if f"study.{name}" in words and before != now:
            changes[f"study.{name}"] = str(before)
            setattr(plan, name, now)
    if "study.question" in words and plan.question != study.question:
        changes["study.question"] = plan.question
        plan.question = study.question
    plan.asked = plan.asked or (files.now() if plan.question else "")
    if "study.metric" in changes:
        plan.delta = study.delta  # whose unit is the metric's
    return changes


def _new_plan(study: StudyConfig, baseline: Mapping[str, str]) -> StudyPlan:
    reference = study.reference
    return StudyPlan(
        name=study.name,
        question=study.question,
        design=study.design,
        metric=study.metric,
        delta=study.delta,
        reference=None if reference is None else study_plan.Reference(**dataclasses.asdict(reference)),
        baseline=dict(baseline),
    )


def _add_runs(plan: StudyPlan, runs: Sequence[PlannedRun], order: Sequence[str]) -> tuple[bool, int]:
    """Add each run to the cell of the levels that it names; return whether that changed anything, and how
    many experiments are new.

    Later sweeps may name settings that earlier ones left alone; so each cell keeps all its settings, and the
    plan once what all cells share.
    """
    for cell in plan.cells:
        cell.settings = plan.settings_of(cell)
    plan.constants = {}
    cells = {_place(plan, cell): cell for cell in plan.cells}
    before = len(cells)
    known = {signature for cell in cells.values() for signature in cell.runs.values()}
    changed = False
    for run in runs:
        settings = run.compared if run.is_open else dict(run.settings)
        new = Cell({}, {}, run.named, settings, content(run.identity), confirms=run.confirms)
        cell = cells.setdefault(_place(plan, new), new)
        if run.is_open:
            continue
        if run.tuned:
            cell.tuned, cell.settings = {key: str(value) for key, value in run.tuned.items()}, settings
        changed |= cell.runs.get(run.config.seed) != run.signature
        cell.runs[run.config.seed] = run.signature
        cell.unread = sorted({*cell.unread, *run.unread})
        if run.own_signature is not None:
            cell.own_signatures[run.config.seed] = run.own_signature
    # What one combination is trained as holds for it in other words too, else one place would have two runs.
    trained_as = {run.own_signature or run.signature: run.signature for run in runs}
    for cell in cells.values():
        own = {seed: cell.own_signatures.get(seed, signature) for seed, signature in cell.runs.items()}
        cell.runs = {seed: trained_as.get(own[seed], signature) for seed, signature in cell.runs.items()}
        cell.own_signatures = {seed: signature for seed, signature in own.items() if signature != cell.runs[seed]}
    plan.cells = list(cells.values())
    settle(plan, order)
    return changed or len(cells) > before, len({run.signature for run in runs if not run.is_open} - known)


def _place(plan: StudyPlan, cell: Cell) -> tuple[tuple[str, str], ...]:
    """What makes two runs seeds of one combination: its words, which mean one thing in a study that compares."""
    said = {**cell.settings, **cell.content, **cell.named} if plan.is_list else cell.named
    return tuple(sorted(said.items()))


def settle(plan: StudyPlan, order: Sequence[str] = ()) -> None:
    """Give every combination its level on each axis that any of them names, and the plan what they all share.

    `order` is that in which a cumulative design adds its axes.
    """
    for cell in plan.cells:
        cell.settings = plan.settings_of(cell)
    first = plan.cells[0].settings
    plan.constants = {k: v for k, v in first.items() if all(cell.settings.get(k) == v for cell in plan.cells)}
    known = [said(cell.named, cell.settings, cell.unread) for cell in plan.cells]
    nested = _merged(plan.nested, plan.follows)
    filled = fill_levels(known, neutral_levels(), nested, plan.zipped)
    if plan.design in ("grid", "mixed"):
        nested |= _undeclared(filled, nested)
    order = [*plan.axes, *order] if plan.design == "cumulative" else []
    for cell, levels in zip(plan.cells, filled, strict=True):
        cell.levels = levels
        cell.settings = {k: v for k, v in cell.settings.items() if k not in plan.constants}
    axes = {} if plan.is_list else varied_axes(filled, nested)
    plan.axes = {axis: axes[axis] for axis in [*order, *axes] if axis in axes}
    above = {axis: [parent for parent in parents if parent in axes] for axis, parents in nested.items()}
    plan.nested = {axis: parents for axis, parents in above.items() if axis in axes and parents}
    plan.follows = {axis: nested[axis] for axis in nested if axis not in axes and axis in filled[0]}


def _merged(one: Mapping[str, list[str]], other: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """{axis: the axes that decide it} of both."""
    return {axis: list(dict.fromkeys([*one.get(axis, ()), *other.get(axis, ())])) for axis in {**one, **other}}


def _undeclared(filled: Sequence[Mapping[str, str]], nested: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """What decides a setting where no single command has said it: the levels of its group, where some do not read it,
    or where no two of them have a value in common, as when each optimizer's own learning rates came one by one."""
    found = {}
    for axis in filled[0]:
        group, dot, _ = axis.partition(".")
        others = [other for other in filled[0] if other.partition(".")[0] == group and other != axis]
        above = [other for other in others if all(levels[other] != NOT_READ for levels in filled)]
        if not dot or not above or axis in nested:
            continue
        if any(levels[axis] == NOT_READ for levels in filled):
            found[axis] = above
        elif group in above:
            places: dict[str, set[str]] = {}
            for levels in filled:
                places.setdefault(levels[group], set()).add(levels[axis])
            apart = sum(map(len, places.values())) == len(set().union(*places.values()))
            if apart and len(places) > 1 and any(len(some) > 1 for some in places.values()):
                found[axis] = [group]
    return found


def _aliases(plan: StudyPlan) -> study_plan.Aliases:
    """What each axis of a fraction is confounded with; a nested axis is one with the axes that decide it."""
    cells = [cell.levels for cell in plan.cells if not cell.confirms]
    found = combinations.aliasing(*combinations.whole_axes(cells, plan.axes, plan.nested))
    tops = combinations.tops(plan.axes, plan.nested)
    return {axis: found[tops[axis]] for axis in plan.axes}

"""Adding planned runs to a study's plan, study.json, which later sweeps add to."""

import dataclasses
from collections.abc import Mapping, Sequence

from filelock import FileLock

from ablate.config.schema import StudyConfig
from ablate.design import combinations
from ablate.plan.planned_run import PlannedRun, neutral_levels
from ablate.plan.planner import Planned
from ablate.records import files, study_plan
from ablate.records.study_plan import Amendment, Cell, StudyPlan, fill_levels, varied_axes


def remember(planned: Planned) -> None:
    """Write the runs that one command plans into their study's study.json, adding to what is there.

    What a fraction cannot separate is written too. Raises ValueError when the file is damaged: a plan is never
    silently replaced.
    """
    study, folder = planned.runs[0].config.study, planned.runs[0].study
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".study.lock"):
        exists = (folder / study_plan.NAME).exists()
        plan = study_plan.read(folder) if exists else _new_plan(study, planned.baseline)
        changed, added = _add_runs(plan, planned.runs)
        seeds = sorted({seed for cell in plan.cells for seed in cell.runs})
        if added:
            looked = (folder / "report").exists()
            plan.amendments.append(Amendment(files.now(), planned.command, added, len(seeds), looked))
        if changed:
            plan.seeds = seeds
            plan.design = plan.design if plan.design == study.design else "mixed"
            plan.axes = varied_axes([cell.levels for cell in plan.cells])
            plan.excluded = sorted({*plan.excluded, *planned.excluded})
            if study.design == "fractional" or plan.is_fraction:
                plan.aliases = combinations.aliasing([cell.levels for cell in plan.cells], plan.axes)
            study_plan.write(folder, plan)


def _new_plan(study: StudyConfig, baseline: Mapping[str, str]) -> StudyPlan:
    reference = study.reference
    return StudyPlan(
        name=study.name,
        design=study.design,
        metric=study.metric,
        delta=study.delta,
        reference=None if reference is None else study_plan.Reference(**dataclasses.asdict(reference)),
        baseline=dict(baseline),
    )


def _add_runs(plan: StudyPlan, runs: Sequence[PlannedRun]) -> tuple[bool, int]:
    """Add each run to the cell of the levels that it names; return whether that changed anything, and how
    many experiments are new.

    Later sweeps may name settings that earlier ones left alone; so each cell keeps all its settings, and the
    plan once what all cells share.
    """
    cells = {tuple(sorted(cell.named.items())): cell for cell in plan.cells}
    for cell in cells.values():
        cell.settings |= plan.constants
    known = {signature for cell in cells.values() for signature in cell.runs.values()}
    changed = False
    for run in runs:
        cell = cells.setdefault(tuple(sorted(run.levels.items())), Cell({}, {}, run.levels, dict(run.settings)))
        changed |= cell.runs.get(run.config.seed) != run.signature
        cell.runs[run.config.seed] = run.signature
        if run.own_signature is not None:
            cell.own_signatures[run.config.seed] = run.own_signature
    # What one combination is trained as holds for it in other words too, else one place would have two runs.
    trained_as = {run.own_signature or run.signature: run.signature for run in runs}
    for cell in cells.values():
        own = {seed: cell.own_signatures.get(seed, signature) for seed, signature in cell.runs.items()}
        cell.runs = {seed: trained_as.get(own[seed], signature) for seed, signature in cell.runs.items()}
        cell.own_signatures = {seed: signature for seed, signature in own.items() if signature != cell.runs[seed]}
    plan.cells = list(cells.values())
    first = plan.cells[0].settings
    plan.constants = {k: v for k, v in first.items() if all(cell.settings.get(k) == v for cell in plan.cells)}
    filled = fill_levels([(cell.named, cell.settings) for cell in plan.cells], neutral_levels())
    for cell, levels in zip(plan.cells, filled, strict=True):
        cell.levels = levels
        cell.settings = {k: v for k, v in cell.settings.items() if k not in plan.constants}
    return changed, len({run.signature for run in runs} - known)

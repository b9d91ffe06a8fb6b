"""`ablate remove STUDY WHAT --reason TEXT`: take a level, a seed or a run out of a study, on the record."""

import argparse
import dataclasses
import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from ablate.config import levels
from ablate.plan.study_file import settle
from ablate.records import files, run_folder, study_plan
from ablate.records.lock import holder
from ablate.records.study_plan import Amendment, Cell, StudyPlan


@dataclass(frozen=True)
class Removed:
    """What was taken out."""

    what: str
    signatures: list[str]
    left: int  # runs that the plan still has


def remove(study: Path, what: str, reason: str, command: str) -> Removed:
    """Take a level (`optimizer.lr=1000`), a seed (`seed=3`) or a run (its folder's name, or signature) out of a plan.

    The runs' folders stay where they are. Raises ValueError when the study has no such thing, when it would be left
    empty, and while such a run is being trained.
    """
    if not reason.strip():
        raise ValueError('say why with --reason "…": it becomes part of the study\'s record')
    study_plan.read(study)  # before a lock is made where there is none
    with FileLock(study / ".study.lock"):
        plan = study_plan.read(study)
        taken = _matching(plan, what)
        if not taken:
            raise ValueError(f"{study} has no {what}; {_what_there_is(plan)}")
        for signature in sorted({signature for _, _, signature in taken}):
            folder = run_folder.find_run(study, signature)
            if folder is not None and holder(folder) is not None:
                raise ValueError(f"{folder.path.name} is being trained; stop it first")
        for cell, seed, _ in taken:
            del cell.runs[seed]
            cell.own_signatures.pop(seed, None)
        emptied = [cell for cell, _, _ in taken if not cell.runs]  # not those that await their tuned values
        plan.cells = [cell for cell in plan.cells if all(cell is not other for other in emptied)]
        if not plan.cells:
            raise ValueError(f"{what} is all that {study} holds; delete the folder instead")
        settle(plan)
        plan.seeds = sorted({seed for cell in plan.cells for seed in cell.runs})
        left = {signature for cell in plan.cells for signature in cell.runs.values()}
        gone = sorted({signature for _, _, signature in taken} - left | _without_a_combination(plan))
        looked = (study / "report").exists()
        plan.amendments.append(
            Amendment(files.now(), command, 0, len(plan.seeds), looked, removed=gone, what=what, reason=reason.strip())
        )
        study_plan.write(study, plan)
    return Removed(what, gone, len(left))


def _without_a_combination(plan: StudyPlan) -> set[str]:
    """Take out the tuning runs of combinations that the plan no longer has; return them."""
    if plan.tuning is None:
        return set()
    before = plan.tuning.signatures()
    plan.tuning.trials = [trial for cell in plan.cells for trial in plan.tuning.of(cell)]
    return before - plan.tuning.signatures()


def _matching(plan: StudyPlan, what: str) -> list[tuple[Cell, int, str]]:
    """(combination, seed, signature) of every run that is meant."""
    key, equals, level = what.partition("=")
    if key in levels.groups():
        there = {_level(plan, cell, key) or "" for cell in plan.cells}
        level = levels.spelled(key, level, there)
    found = []
    for cell in plan.cells:
        for seed, signature in cell.runs.items():
            of_level = equals and (str(seed) if key == "seed" else _level(plan, cell, key)) == level
            of_run = not equals and what.rpartition("-")[2] == signature
            if of_level or of_run:
                found.append((cell, seed, signature))
    return found


def _level(plan: StudyPlan, cell: Cell, key: str) -> str | None:
    return cell.levels.get(key, plan.settings_of(cell).get(key))


def _what_there_is(plan: StudyPlan) -> str:
    axes = "; ".join(f"{axis}={','.join(levels)}" for axis, levels in plan.axes.items())
    seeds = f"seed={','.join(map(str, plan.seeds))}"
    return f"it has {axes}; {seeds}" if axes else f"it has {seeds}"


def main(arguments: Sequence[str]) -> int:
    """Change a study's plan. Returns 0. Raises ValueError when the study has no such thing."""
    parser = argparse.ArgumentParser(
        prog="ablate remove",
        description="Take runs out of a study: they are neither compared nor missed any more. The study keeps what was "
        "removed, when and why, and the report says so. The runs' folders stay.",
    )
    parser.add_argument("study", type=Path, help="its folder, as outputs/main")
    parser.add_argument("what", help="a level as optimizer.lr=1000, a seed as seed=3, or a run by its folder's name")
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why, for the record")
    parser.add_argument("--json", action="store_true", help="print what was removed as JSON")
    options = parser.parse_intermixed_args(arguments)
    command = shlex.join(["ablate", "remove", *arguments])
    done = remove(options.study, options.what, options.reason, command)
    if options.json:
        print(json.dumps({"format": 1, **dataclasses.asdict(done)}, indent=2))
    else:
        runs = "1 run" if len(done.signatures) == 1 else f"{len(done.signatures)} runs"
        print(f"removed {done.what}: {runs}; the study has {done.left} left")
    return 0

"""A study's plan: what study.json holds, as types."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from ablate.records import files
from ablate.records.files import Finite
from ablate.records.metrics import smallest_difference

NAME = "study.json"
RUNS = "runs"  # the study of single runs that were given no name: listed, not compared
NOT_READ = "n/a"  # the level of an axis that a combination does not read
FORMAT = 1  # raised with each change of the layout; `UPGRADES` then brings older files up to date
UPGRADES: files.Upgrades = {}

Aliases = dict[str, str | dict[str, float]]  # {axis: "clear", or {"A x B": share of that interaction}}


@dataclass
class Cell:
    """One combination of levels, with a run per seed."""

    levels: dict[str, str]  # on every axis that any cell names
    runs: dict[int, str]  # {seed: signature of the run that serves it}
    named: dict[str, str] = field(default_factory=dict)  # the levels that its own command named
    settings: dict[str, str] = field(default_factory=dict)  # every setting as text, without the plan's constants
    content: dict[str, str] = field(default_factory=dict)  # hashes of images and weights, and the numerics
    # Where an equivalent run is trained in its place: the signatures that it would have by itself.
    own_signatures: dict[int, str] = field(default_factory=dict)
    confirms: str = ""  # what of a fraction it checks, of which it is no part: "recommended" or "baseline"
    tuned: dict[str, str] = field(default_factory=dict)  # {tuned key: the value chosen}; {} before it is chosen
    unread: list[str] = field(default_factory=list)  # settings that the study varies and this combination does not read


@dataclass(frozen=True)
class Amendment:
    """One command that added runs, took some out, or changed how the study is judged."""

    at: str = ""  # UTC, ISO 8601
    command: str = ""  # as it was typed
    runs_added: int = 0  # that the study did not plan before
    seeds: int = 0  # of the whole study afterwards: a report on a single seed may have claimed nothing
    after_a_report: bool = False  # whether a report had been written before
    changes: dict[str, str] = field(default_factory=dict)  # {setting of the study: what it was before}
    removed: list[str] = field(default_factory=list)  # signatures of runs that this command took out
    what: str = ""  # that was removed, as optimizer.lr=1000
    reason: str = ""  # why
    trials_added: int = 0  # tuning runs that the study did not plan before


@dataclass
class Trial:
    """One set of values of the tuned keys, tried in one combination."""

    levels: dict[str, str]  # that its combination names
    values: dict[str, str]  # {tuned key: value}; without the keys that the combination does not read
    runs: dict[int, str] = field(default_factory=dict)  # {tuning seed: signature}


@dataclass
class Tuning:
    """What was tried before the comparison, to choose each combination's values by the holdout."""

    space: dict[str, list[str]]  # {tuned key: its values as typed, as x0.1}
    seeds: list[int]  # of the trials; no run that is compared has one of them
    trials: list[Trial] = field(default_factory=list)  # of every combination
    metric: str = "holdout_accuracy"  # by which the values are chosen

    def signatures(self) -> set[str]:
        """Every tuning run."""
        return {signature for trial in self.trials for signature in trial.runs.values()}

    def of(self, cell: Cell) -> list[Trial]:
        """The trials of a combination, in the order in which they were listed."""
        known = cell.levels | cell.named
        return [trial for trial in self.trials if trial.levels.items() <= known.items()]

    def is_of(self, key: str) -> bool:
        """Whether a setting is chosen by tuning: itself, or the group that it is in."""
        return key in self.space or key.partition(".")[0] in self.space


@dataclass(frozen=True)
class Finding:
    """What an earlier study concluded about one axis.

    What it claims of levels, by their names or as patterns (effnet_*): `better` has a higher score than `worse`, or
    than all others where that is empty. Or that they make no difference; or nothing that could be checked.
    """

    axis: str
    question: str
    answer: str
    better: list[str] = field(default_factory=list)
    worse: list[str] = field(default_factory=list)
    no_difference: bool = False


@dataclass(frozen=True)
class Reference:
    """An earlier study's answers, which the report shows next to ours."""

    title: str
    best: str
    findings: list[Finding] = field(default_factory=list)


@dataclass
class StudyPlan:
    """What a study is meant to hold. `delta` is in the metric's unit; `baseline` names the levels that
    one-at-a-time studies vary around; `constants` are the settings that all cells share."""

    name: str  # of the study, and of its folder
    cells: list[Cell] = field(default_factory=list)  # the combinations
    question: str = ""  # what the study is to answer, in the words of who asked
    asked: str = ""  # when that was first said: UTC, ISO 8601
    design: str = "grid"  # grid, one_at_a_time, cumulative, fractional, or mixed after several commands
    metric: str = "test_accuracy"  # what is compared
    delta: Finite | None = None  # the smallest difference worth caring about, in the metric's unit
    reference: Reference | None = None  # an earlier study's answers
    baseline: dict[str, str] = field(default_factory=dict)  # the levels that one-at-a-time studies vary around
    constants: dict[str, str] = field(default_factory=dict)  # settings that all combinations share
    amendments: list[Amendment] = field(default_factory=list)  # one for each command that changed the plan
    seeds: list[int] = field(default_factory=list)  # of all combinations together
    axes: dict[str, list[str]] = field(default_factory=dict)  # every axis with more than one level
    # {axis: the axes whose levels decide which levels it has}; a combination that does not read it has the level n/a.
    nested: dict[str, list[str]] = field(default_factory=dict)
    # The same of settings that have one level for each of those, so that there is nothing to compare: no axes.
    follows: dict[str, list[str]] = field(default_factory=dict)
    zipped: list[list[str]] = field(default_factory=list)  # keys that move together: one axis, called A+B
    excluded: list[str] = field(default_factory=list)  # entries of study.exclude
    aliases: Aliases | None = None  # of a fraction
    tuning: Tuning | None = None  # how each combination's own values were chosen
    format: int = FORMAT  # of this file

    def settings_of(self, cell: Cell) -> dict[str, str]:
        """Every setting of a cell."""
        return self.constants | cell.settings

    def numbers(self, axis: str) -> dict[str, float] | None:
        """{level: its number} of an axis whose levels are numbers; None of any other.

        That is a setting with numbers, or a group whose levels differ in one setting that is a number: b128 is 128.
        """
        values: dict[str, set[tuple[tuple[str, str], ...]]] = {level: set() for level in self.axes[axis]}
        for cell in self.cells:
            if cell.levels[axis] == NOT_READ:
                continue
            inside = ((k, v) for k, v in self.settings_of(cell).items() if k == axis or k.startswith(f"{axis}."))
            values[cell.levels[axis]].add(tuple(sorted(inside)))
        if any(len(of_level) != 1 for of_level in values.values()):
            return None
        settings = {level: dict(next(iter(of_level))) for level, of_level in values.items()}
        keys = {key for of_level in settings.values() for key in of_level}
        differ = [key for key in keys if len({of_level.get(key) for of_level in settings.values()}) > 1]
        try:
            numbers = {level: float(of_level[differ[0]]) for level, of_level in settings.items()}
        except (KeyError, IndexError, ValueError):
            return None
        return numbers if len(differ) == 1 and len(set(numbers.values())) == len(numbers) else None

    def settings_by_signature(self) -> dict[str, dict[str, str]]:
        """{signature of a planned run: its every setting}; a run that serves several cells has the last one's. Of a
        tuning run, a group that it tries is not resolved."""
        found: dict[str, dict[str, str]] = {}
        if (tuning := self.tuning) is not None:
            for cell in self.cells:
                shared = {key: value for key, value in self.settings_of(cell).items() if not tuning.is_of(key)}
                found |= {each: shared | trial.values for trial in tuning.of(cell) for each in trial.runs.values()}
        return found | {signature: self.settings_of(cell) for cell in self.cells for signature in cell.runs.values()}

    @property
    def smallest(self) -> float:
        """The smallest difference worth caring about. Raises ValueError for an unknown metric."""
        return smallest_difference(self.metric, self.delta)

    @property
    def is_list(self) -> bool:
        """Whether its runs belong to no comparison."""
        return self.name == RUNS

    @property
    def is_fraction(self) -> bool:
        return self.design == "fractional" or self.aliases is not None  # one that other sweeps added to is one still

    @property
    def looks(self) -> int:
        """How often the results have been judged: now, and before each time runs were added.

        A report on a single seed of a one-at-a-time or cumulative study claims nothing and is not counted.
        """
        silent = self.design in ("one_at_a_time", "cumulative")
        return 1 + sum(
            later.after_a_report and later.runs_added > 0 and not (silent and before.seeds == 1)
            for before, later in pairwise(self.of_the_comparison)
        )

    @property
    def of_the_comparison(self) -> list[Amendment]:
        """The amendments without those that added nothing but tuning runs, of which no test result is compared."""
        return [one for one in self.amendments if one.runs_added or not one.trials_added]


def read(study: Path) -> StudyPlan:
    """Read the plan of a study's folder. Raises ValueError when there is none, and for a damaged or newer one."""
    if not study.is_dir():
        raise ValueError(f"{study} is not a folder")
    if not (study / NAME).exists():
        raise ValueError(f"{study} holds no {NAME}; a study is a folder that `ablate` made")
    plan = files.read_typed(study / NAME, StudyPlan, FORMAT, UPGRADES)
    for number, cell in enumerate(plan.cells):
        lacking = plan.axes.keys() - cell.levels.keys()
        if lacking:
            raise ValueError(f"{study / NAME} is damaged: cells.{number} has no level of {min(lacking)}")
    return plan


def write(study: Path, plan: StudyPlan) -> None:
    """Replace the plan of a study's folder. Raises OSError."""
    files.write_json(study / NAME, _without_empty(dataclasses.asdict(plan)))


def _without_empty(plan: dict[str, Any]) -> dict[str, Any]:
    """What few studies have is written only where it says something."""
    for cell in plan["cells"]:
        for name in ("own_signatures", "content", "confirms", "unread", "tuned"):
            if not cell[name]:
                del cell[name]
    for amendment in plan["amendments"]:
        if not amendment["trials_added"]:
            del amendment["trials_added"]
    for finding in (plan["reference"] or {}).get("findings", []):
        for name in ("better", "worse", "no_difference"):
            if not finding.get(name):
                finding.pop(name, None)
    seldom = ("excluded", "aliases", "question", "asked", "nested", "follows", "zipped", "tuning")
    return {key: value for key, value in plan.items() if value or key not in seldom}


class Said(NamedTuple):
    """What is known of a combination."""

    named: Mapping[str, str]  # the levels that its command names
    settings: Mapping[str, str]  # every setting as text
    unread: Collection[str] = ()  # settings that it does not read


Nested = Mapping[str, Sequence[str]]  # {axis: the axes whose levels decide which levels it has}


def fill_levels(
    cells: Sequence[Said],
    neutral: Mapping[str, str],
    nested: Nested | None = None,
    zipped: Sequence[Sequence[str]] = (),
) -> list[dict[str, str]]:
    """From the levels that each cell names, and all its settings: its level on every axis that any cell names.

    A cell that leaves a setting alone has its default there; where defaults differ, as the learning rate's
    does between optimizers, the level is "default" for all of them, because then they are compared as such. On a nested
    axis it has its own value, or NOT_READ. `neutral` has the levels of cells that were planned before an axis or a
    setting existed. Keys that move together are one axis, `A+B`.
    """
    keys = dict.fromkeys(key for cell in cells for key in cell.named)
    within = {key for axis in nested or () for key in axis.split("+")}
    unsaid = {key: neutral.get(key, "null") for key in keys}
    own = [{key: cell.settings.get(key, unsaid[key]) for key in keys} for cell in cells]
    defaults = {
        key: {values[key] for cell, values in zip(cells, own, strict=True) if key not in (*cell.named, *cell.unread)}
        for key in keys
    }
    default = {key: next(iter(values)) if len(values) == 1 else "default" for key, values in defaults.items()}

    def level(cell: Said, values: Mapping[str, str], key: str) -> str:
        if key in cell.named:
            return cell.named[key]
        if key in cell.unread:
            return NOT_READ
        return values[key] if key in within else default[key]

    filled = [{key: level(cell, values, key) for key in keys} for cell, values in zip(cells, own, strict=True)]
    return [_together(levels, zipped) for levels in filled]


def _together(levels: dict[str, str], zipped: Sequence[Sequence[str]]) -> dict[str, str]:
    """The levels with those of keys that move together as one."""
    for keys in zipped:
        if all(key in levels for key in keys):
            parts = [levels[key] for key in keys]
            level = NOT_READ if set(parts) == {NOT_READ} else "+".join(parts)
            levels = {"+".join(keys) if key == keys[0] else key: level if key == keys[0] else value
                      for key, value in levels.items() if key not in keys[1:]}  # fmt: skip
    return levels


def varied_axes(levels_of_cells: Sequence[Mapping[str, str]], nested: Nested | None = None) -> dict[str, list[str]]:
    """{axis: its levels, in order of appearance} of every axis with more than one level; of a nested one, with more
    than one where the axes that decide it have one and the same."""
    axes: dict[str, dict[str, None]] = {}
    places: dict[str, dict[tuple[str, ...], set[str]]] = {}
    for levels in levels_of_cells:
        for axis, level in levels.items():
            if level != NOT_READ:
                axes.setdefault(axis, {})[level] = None
                above = tuple(levels.get(parent, "") for parent in (nested or {}).get(axis, ()))
                places.setdefault(axis, {}).setdefault(above, set()).add(level)
    return {axis: list(levels) for axis, levels in axes.items() if any(len(some) > 1 for some in places[axis].values())}

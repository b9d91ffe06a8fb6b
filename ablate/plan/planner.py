"""From a command's words to the planned runs of a study."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, RangeSweep
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from ablate.config import levels as levels_of
from ablate.config import signature
from ablate.config.checks import in_range
from ablate.config.compose import explain, validate_node
from ablate.config.schema import AUTO, AXES, StudyConfig
from ablate.design import combinations
from ablate.design.fraction import Row
from ablate.plan import equivalent, exclude, labels, study_name
from ablate.plan.composer import Composer
from ablate.plan.data_sets import DataSets
from ablate.plan.exclude import Swept
from ablate.plan.planned_run import Planned, PlannedRun, level_text, neutral_levels, without_level
from ablate.records import run_folder, study_plan
from ablate.records.study_plan import fill_levels, varied_axes
from ablate.system import hardware

PATH = "data.path"  # not hashed, but what lies there is: data sets are an axis by their content
PRECISION = "trainer.precision"
EPOCHS, STEPS = "trainer.epochs", "trainer.steps"  # two ways to say how long runs train
QUOTES = "'\""
NOT_TRAINED = ("study", "hydra", "force", "dry_run", "seeds")


def plan_study(loader: ConfigLoader, master: DictConfig, preset: Sequence[str], arguments: Sequence[str]) -> Planned:
    """Plan the preset's sweeps and the command line's, which wins. Raises ValueError or HydraException."""
    levels = one_budget(named_levels(loader, preset, arguments), master, arguments)
    study: StudyConfig = validate_node(OmegaConf.masked_copy(master, ["study"]), "study")
    seeds, more_for_baseline = seed_words(levels.pop("seed", None), master.seeds, study, arguments)
    precision = best_precision(levels, master) if left_to_auto(levels, master) else None
    planner = Planner(loader, master, resolved(levels, precision), study, precision)
    if study.name == AUTO:
        planner.take_a_name(seeds[0])
        levels["study.name"] = planner.levels["study.name"]
    recorded = recorded_precision(planner.study) if precision is not None else None
    if recorded not in (None, precision):
        planner = Planner(loader, master, resolved(levels, recorded), planner.study, recorded)
    planner.found.nameless = study.name == AUTO
    cells = planner.cells(seeds[0])
    jobs = [(cell, seed) for seed in seeds for cell in cells]
    return planner.plan([*jobs, *((cells[0], seed) for seed in more_for_baseline)])


def one_budget(levels: dict[str, list[str]], master: DictConfig, arguments: Sequence[str]) -> dict[str, list[str]]:
    """The levels with one budget, in epochs or in steps: that of the command, which no default or preset binds.

    Raises ValueError where the command names both.
    """
    named = {word.partition("=")[0] for word in arguments}
    real = {key for key in (EPOCHS, STEPS) if any(word != f"{key}=null" for word in levels.get(key, ()))}
    if {EPOCHS, STEPS} <= named & real:
        both = " and ".join(word for word in arguments if word.partition("=")[0] in (EPOCHS, STEPS))
        raise ValueError(f"{both} are two budgets for the same runs; give one of them")
    if STEPS in named & real:
        return {key: words for key, words in levels.items() if key != EPOCHS}
    if EPOCHS in named & real and (STEPS in real or master.trainer.steps is not None):
        return {**levels, STEPS: [f"{STEPS}=null"]}
    return levels


def left_to_auto(levels: Mapping[str, Sequence[str]], master: DictConfig) -> bool:
    """Whether neither the command nor a preset says in which precision networks compute."""
    words = levels.get(PRECISION, [f"{PRECISION}={master.trainer.precision}"])
    return f"{PRECISION}=auto" in words


def best_precision(levels: Mapping[str, Sequence[str]], master: DictConfig) -> str:
    """What trainer.precision=auto means on this machine: bf16 where training runs on GPUs that have it, else fp32."""
    device = levels.get("trainer.device", [f"trainer.device={master.trainer.device}"])[0].partition("=")[2]
    return "bf16" if device.startswith(("auto", "cuda")) and hardware.has_bf16() else "fp32"


def recorded_precision(study: StudyConfig) -> str | None:
    """The precision of a study that there is, whichever machine it was planned on; None where it has several or is a
    list of single runs."""
    try:
        plan = study_plan.read(run_folder.study_folder(study.root, study.name))
    except ValueError:  # said when it is added to
        return None
    if plan.is_list or PRECISION in plan.axes or not plan.cells:
        return None
    return plan.settings_of(plan.cells[0]).get(PRECISION, "fp32")


def resolved(levels: Mapping[str, list[str]], precision: str | None) -> dict[str, list[str]]:
    """The levels with a precision in the place of auto, in every run's own words: no machine decides it again."""
    if precision is None:
        return dict(levels)
    words = [word.replace("=auto", f"={precision}") for word in levels.get(PRECISION, [f"{PRECISION}=auto"])]
    return {**levels, PRECISION: words}


def named_levels(loader: ConfigLoader, preset: Sequence[str], arguments: Sequence[str]) -> dict[str, list[str]]:
    """{key: the words of its levels}. Raises ValueError for a sweep without levels to enumerate, and over the study."""
    parser = OverridesParser.create(config_loader=loader)
    levels: dict[str, list[str]] = {}
    for override in parser.parse_overrides([*preset, *arguments]):
        key = override.get_key_element()
        if key == "retry":
            # A list of outcomes, not a sweep over them.
            levels[key] = ["retry='" + str(override.input_line).partition("=")[2].strip("'") + "'"]
        elif key != "seeds":
            levels[key] = [_spelled(word, loader) for word in _levels(override)]
        elif override.is_sweep_override():
            raise ValueError(f"{override.input_line}: seeds=N is how many; name certain ones as seed=A,B")
    return levels


def _levels(override: Override) -> list[str]:
    key = override.get_key_element()
    if not override.is_sweep_override():
        value = override.get_value_element_as_str()
        return [f"{key}={value}" if not override.is_delete() else key]
    if key.startswith("study"):
        raise ValueError(f"{override.input_line}: one sweep is one study; start a command per study")
    if not override.is_discrete_sweep():
        raise ValueError(f"{override.input_line}: name the values one by one, as in {key}=A,B")
    swept = override.value()
    values = decimals(swept) if isinstance(swept, RangeSweep) else override.sweep_string_iterator()
    levels = [f"{key}={value}" for value in values]
    if not levels:
        raise ValueError(f"{override.input_line} matches nothing")
    return levels


def _spelled(word: str, loader: ConfigLoader) -> str:
    """A word with its level's one spelling, where it names one: a preset's 128, and a range's."""
    key, equals, text = word.partition("=")
    group = key.lstrip("+")
    if not equals or group not in levels_of.groups():
        return word
    return f"{key}={levels_of.spelled(group, text.strip(QUOTES), loader.get_group_options(group))}"


def decimals(swept: RangeSweep) -> list[str]:
    """The numbers of range(start,stop,step), counted in decimal: Hydra adds floats, which miss 0.3."""
    start, stop, step = (Decimal(repr(number)) for number in (swept.start, swept.stop, swept.step))
    return [str(start + i * step) for i in range(max(0, math.ceil((stop - start) / step)))]


def seed_words(
    named: list[str] | None, seeds: int | None, study: StudyConfig, arguments: Sequence[str]
) -> tuple[list[str], list[str]]:
    """The seeds of every combination, and those that the baseline of a one-at-a-time study has beyond them."""
    if named is not None:
        # A preset's count of seeds does not bind a command that names its own; a run's recorded command does.
        if any(word.startswith("study.baseline_seeds=") for word in arguments):
            raise ValueError("study.baseline_seeds=N goes with seeds=N, not with seed=A,B")
        return named, []
    count = seeds if seeds is not None else 1
    in_range("seeds", count, 1, 10_000)
    if study.baseline_seeds is not None and study.baseline_seeds < count:
        raise ValueError(f"study.baseline_seeds={study.baseline_seeds} is fewer than the {count} seeds of all else")
    return [f"seed={n}" for n in range(count)], [f"seed={n}" for n in range(count, study.baseline_seeds or count)]


def refuse_idle_sweeps(levels: Mapping[str, Sequence[str]]) -> None:
    """Raise ValueError for a sweep over what changes nothing that is trained: its runs would be one and the same."""
    for key, words in levels.items():
        name = key.lstrip("+~")
        idle = name in signature.unhashed() - {PATH} or name.partition(".")[0].partition("/")[0] in NOT_TRAINED
        if len(words) > 1 and idle:
            raise ValueError(
                f"{name} does not change what is trained, so its {len(words)} values cannot be compared; give one"
            )


class Planner:
    """The combinations of one sweep: what its design holds, without what is excluded or, if so wished, invalid."""

    def __init__(
        self,
        loader: ConfigLoader,
        master: DictConfig,
        levels: dict[str, list[str]],
        study: StudyConfig,
        precision: str | None = None,  # what auto was found to mean
    ) -> None:
        fixed = [words[0] for words in levels.values() if len(words) == 1]
        self.data = DataSets()
        self.composer = Composer(loader, master, fixed, self.data.fingerprint)
        self.levels = {key: self._distinct(words) for key, words in levels.items()}
        refuse_idle_sweeps(self.levels)
        self.precision = precision if len(self.levels.get(PRECISION, ())) == 1 else None
        self.study, self.choices = study, dict(master.hydra.runtime.choices)
        self.of_content: dict[str, str] = {}  # {fingerprint: the first path with it}, of data sets that are compared
        known = {key.lstrip("+~"): words for key, words in self.levels.items()}
        swept = Swept(known, self.composer.choices, loader.get_group_options, self.level_of)
        self.rules = exclude.parse_rules(study.exclude, swept)
        self.found = Planned(whole=math.prod(len(words) for words in self.levels.values()), data=self.data)
        self.found.excluded = dict.fromkeys(self.rules, 0)
        self.found.precision = self.precision
        self.found.baseline = {axis: self.choices[axis] for axis in AXES}

    def take_a_name(self, seed: str) -> None:
        """Call the study after its axes, by the next number where one of that name has other constants."""
        axes = [key.lstrip("+~") for key in combinations.varied_keys(self.levels)]
        runs = []
        with suppress(HydraException, ValueError):  # what is wrong is said when all are planned
            runs.append(self._run([words[0] for words in self.levels.values()], seed))
        found = study_name.find(self.study.root, axes, runs, open_settings=(PRECISION,) if self.precision else ())
        self.levels["study.name"] = [f"study.name={found.name}"]
        self.study = dataclasses.replace(self.study, name=found.name)

    def level_of(self, word: str) -> str:
        return level_text(self.composer.parse(word).value())

    def _distinct(self, words: Sequence[str]) -> list[str]:
        """0.1 and 1e-1 are one level."""
        return list({self.level_of(word): word for word in reversed(words)}.values())[::-1]

    def cells(self, seed: str) -> list[list[str]]:
        if self.study.design == "fractional":
            earlier = [row for row in self._earlier() if self._fits(self._words(row), seed)]
            return combinations.fractional(self.levels, earlier, lambda cell: self._fits(cell, seed), self.study.cells)
        if self.study.design == "grid":
            cells = combinations.grid(self.levels)
        else:
            cells = combinations.one_at_a_time(self.levels, self.choices)
            if entry := self._excluded_by(cells[0]):
                raise ValueError(f"study.exclude: {entry!r} leaves out the baseline, around which all else varies")
        kept = []
        for cell in cells:
            if entry := self._excluded_by(cell):
                self.found.excluded[entry] += 1
            else:
                kept.append(cell)
        if not kept:
            raise ValueError("study.exclude leaves out every combination")
        return kept

    def _excluded_by(self, cell: Sequence[str]) -> str | None:
        if not self.rules:
            return None
        named = {self.composer.parse(word).key_or_group: self.level_of(word) for word in cell}
        return exclude.matching(self.rules, self.composer.choices | named)

    def _called(self, cell: Sequence[str], seed: str) -> str:
        """The words of a combination that tell it from the others. All share the rest, some of which planning adds."""
        varied = combinations.varied_keys(self.levels)
        return " ".join(word for word in cell if word.partition("=")[0] in varied) or seed

    def _fits(self, cell: Sequence[str], seed: str) -> bool:
        if self._excluded_by(cell):
            return False
        if self.study.invalid == "skip":
            try:
                self._run(cell, seed)
            except ValueError as error:
                self.found.invalid.setdefault(explain(error), (0, self._called(cell, seed)))
                return False
        return True

    def _run(self, cell: Sequence[str], seed: str) -> PlannedRun:
        """The run of a combination and a seed. Raises HydraException or ValueError where there can be none."""
        run = self.composer.plan([*cell, seed])
        self.data.check(run.config)
        run = dataclasses.replace(run, epoch_images=self.data.trained[repr(run.config.data)])
        if self.precision is not None:
            run = without_level(run, PRECISION)
        if len(self.levels.get(PATH, ())) > 1:
            run = dataclasses.replace(run, levels=run.levels | {PATH: self._data_set(run)})
        return run

    def _data_set(self, run: PlannedRun) -> str:
        """The name of a run's data set among those that are compared. Raises ValueError where two are the same."""
        path, fingerprint = str(run.config.data.path), self.data.fingerprint(run.config.data)
        other = self.of_content.setdefault(fingerprint, path)
        if other != path:
            raise ValueError(f"data.path={other} and {path} hold the same pictures; give one of them")
        names = [Path(self.level_of(word)).name for word in self.levels[PATH]]
        return Path(path).name if names.count(Path(path).name) == 1 else path

    def _words(self, row: Row) -> list[str]:
        place = dict(zip(combinations.varied_keys(self.levels), row, strict=True))
        return [words[place.get(key, 0)] for key, words in self.levels.items()]

    def _earlier(self) -> list[Row]:
        """The combinations of this grid that the study has planned before, recognised by a signature."""
        folder = run_folder.study_folder(self.study.root, self.study.name)
        if not (folder / study_plan.NAME).exists():
            return []
        plan = study_plan.read(folder)
        axes = {
            key.lstrip("+"): [self.level_of(word) for word in self.levels[key]]
            for key in combinations.varied_keys(self.levels)
        }
        rows: dict[Row, None] = {}
        for cell in plan.cells:
            if cell.confirms:
                continue  # which is no part of the fraction
            for row in combinations.rows_of([plan.settings_of(cell) | cell.named], axes):
                seeds = [f"seed={seed}" for seed in cell.runs][:1]
                planned = [self.composer.plan([*self._words(row), seed]).signature for seed in seeds]
                if set(planned) & {*cell.runs.values(), *cell.own_signatures.values()}:
                    rows[row] = None
        return list(rows)

    def plan(self, jobs: Sequence[tuple[Sequence[str], str]]) -> Planned:
        """Plan every combination with its seed. Raises ValueError naming the invalid ones, unless they are skipped."""
        runs: list[PlannedRun] = []
        wrong: dict[str, list[str]] = {}  # what is wrong -> the combinations that show it
        slips = False
        for cell, seed in jobs:
            try:
                runs.append(self._run(cell, seed))
            except (HydraException, ValueError) as error:
                wrong.setdefault(explain(error), []).append(self._called(cell, seed))
                # What Hydra refuses is a slip of the pen, not a combination of things that do not go together.
                slips |= isinstance(error, HydraException)
                slips |= self.study.design == "one_at_a_time" and cell is jobs[0][0]  # without it nothing compares
        count = sum(map(len, wrong.values()))
        if count == len(jobs) and len(wrong) == 1:
            raise ValueError(next(iter(wrong)))
        if wrong and (slips or self.study.invalid == "refuse" or not runs):
            named = "; ".join(f"[{some[0]}] {why}" for why, some in wrong.items())
            others = " (study.invalid=skip runs the others)" if runs and not slips else ""
            raise ValueError(f"{count} of {len(jobs)} combinations are invalid, nothing was started: {named}{others}")
        self.found.invalid |= {why: (len(some), some[0]) for why, some in wrong.items()}
        # One at a time comes by the baseline once per axis.
        distinct: dict[tuple[str | int, ...], PlannedRun] = {}
        filled = fill_levels([(run.levels, run.settings) for run in runs], neutral_levels())
        axes = list(varied_axes(filled))
        if axes and self.study.name == study_plan.RUNS:
            raise ValueError("study.name=runs is the list of single runs, which are not compared; give another name")
        shown = labels.shown(filled, axes, around=self.study.design == "one_at_a_time")
        for run, levels, some in zip(runs, filled, shown, strict=True):
            called = dataclasses.replace(run, label=labels.label_of(some, run.config.seed)) if axes else run
            distinct.setdefault((*levels.values(), run.config.seed), called)
        self.found.runs = equivalent.serve(list(distinct.values()))
        seeds = list(dict.fromkeys(seed for _, seed in jobs))
        self.found.at = lambda levels: self._runs_at(levels, seeds)
        return self.found

    def _runs_at(self, levels: Mapping[str, str], seeds: Sequence[str]) -> list[PlannedRun]:
        """The runs of one more combination of the axes; [] where it is left out, or cannot be."""
        cell = []
        for key, words in self.levels.items():
            level = levels.get(key.lstrip("+~"), "")
            cell += words if len(words) == 1 else [word for word in words if self.level_of(word) == level]
        if len(cell) < len(self.levels) or not self._fits(cell, seeds[0]):
            return []
        runs = []
        with suppress(HydraException, ValueError):  # a combination that there cannot be confirms nothing
            for seed in seeds:
                run = self._run(cell, seed)
                runs.append(dataclasses.replace(run, label=labels.label_of(levels, run.config.seed)))
        return runs

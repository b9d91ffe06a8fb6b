"""From a command's words to the planned runs of a study."""

import dataclasses
import itertools
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from hydra.core.config_loader import ConfigLoader
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from ablate.config import signature
from ablate.config.compose import explain, validate_node
from ablate.config.schema import AUTO, AXES, HASHED_GROUPS, StudyConfig
from ablate.design import combinations
from ablate.design.combinations import Factor
from ablate.design.fraction import Row
from ablate.plan import equivalent, labels, study_name
from ablate.plan.composer import Composer
from ablate.plan.data_sets import DataSets
from ablate.plan.factors import asked, baseline, conditions, named
from ablate.plan.factors.baseline import AROUND, Baseline
from ablate.plan.factors.build import build
from ablate.plan.factors.conditions import Swept
from ablate.plan.factors.named import named_levels, plain, seed_words
from ablate.plan.planned_run import Planned, PlannedRun, level_text, neutral_levels, own_groups, without_level
from ablate.plan.tuning import asked as tuning
from ablate.plan.tuning import trials
from ablate.plan.tuning.search import Combination
from ablate.records import run_folder, study_plan
from ablate.records.study_plan import fill_levels, varied_axes
from ablate.system import hardware

PATH = "data.path"  # not hashed, but what lies there is: data sets are an axis by their content
PRECISION = "trainer.precision"
NOT_TRAINED = ("study", "hydra", "force", "dry_run", "seeds")


def plan_study(loader: ConfigLoader, master: DictConfig, preset: Sequence[str], arguments: Sequence[str]) -> Planned:
    """Plan the preset's sweeps and the command line's, which wins. Raises ValueError or HydraException."""
    said = [plain(word.partition("=")[0]) for word in arguments]
    study: StudyConfig = validate_node(OmegaConf.masked_copy(master, ["study"]), "study")
    tuned = tuning.taken_out(loader, preset, arguments, study, said)
    levels, study = named_levels(loader, tuned.preset, tuned.arguments), tuned.study
    if tuned.keys and study.name != AUTO and (own := study_name.of_its_own(study)) != study.name:
        print(f"study {study.name} is not tuned, so this is a study of its own: {own}")
        study = dataclasses.replace(study, name=own)
        levels["study.name"] = [f"study.name={own}"]
    named_seeds = levels.pop("seed", None)
    seeds, more_for_baseline = seed_words(named_seeds, master.seeds, study, arguments)
    precision = best_precision(levels, master) if left_to_auto(levels, master) else None
    planner = Planner(loader, master, resolved(levels, precision), study, said, precision)
    tuned.refuse_swept(planner.words)
    if study.name == AUTO:
        planner.take_a_name(seeds[0], tuned.keys)
        levels["study.name"] = [f"study.name={planner.study.name}"]
    recorded = recorded_precision(planner.study) if precision is not None else None
    if recorded not in (None, precision):
        planner = Planner(loader, master, resolved(levels, recorded), planner.study, said, recorded)
    planner.found.nameless = study.name == AUTO
    of_trials: list[int] = []
    if tuned.keys:
        of_trials, seeds, more_for_baseline = trials.split_seeds(planner.study, named_seeds, seeds, more_for_baseline)
    cells = [tuple(cell) for cell in planner.cells(seeds[0])]
    jobs = [*((cell, seed) for seed in seeds for cell in cells), *((cells[0], seed) for seed in more_for_baseline)]
    if not tuned.keys:
        return planner.plan(jobs)
    return trials.planned(planner, tuned.asks(planner.swept(planner.words)), jobs, of_trials)


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


def recorded_axes(study: StudyConfig) -> Collection[str]:
    """The axes of a study that there is."""
    try:
        return study_plan.read(run_folder.study_folder(study.root, study.name)).axes
    except ValueError:  # said when it is added to
        return ()


def resolved(levels: Mapping[str, list[str]], precision: str | None) -> dict[str, list[str]]:
    """The levels with a precision in the place of auto, in every run's own words: no machine decides it again."""
    if precision is None:
        return dict(levels)
    words = [word.replace("=auto", f"={precision}") for word in levels.get(PRECISION, [f"{PRECISION}=auto"])]
    return {**levels, PRECISION: words}


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
        levels: Mapping[str, list[str]],
        study: StudyConfig,
        said: Sequence[str],  # keys that the command itself names
        precision: str | None = None,  # what auto was found to mean
    ) -> None:
        self.loader, self.study, self.data = loader, study, DataSets()
        self.constant = set[str]()  # a user's own groups that are not compared
        self.jobs: list[tuple[tuple[str, ...], str]] = []  # the combinations and seeds of which there is a run
        self.choices = dict(master.hydra.runtime.choices)
        shared = [words[0] for words in levels.values() if len(words) == 1]
        self.composer = Composer(loader, master, shared, self.data.fingerprint)
        sweeps = asked.parse(study, self._distinct(levels), said, loader, self.swept)
        if any(len(levels.get(key, ())) == 1 for when in sweeps.whens for key in when.sweeps):  # not shared after all
            under = {key for when in sweeps.whens for key in when.sweeps}
            shared = [words[0] for key, words in levels.items() if len(words) == 1 and plain(key) not in under]
            self.composer = Composer(loader, master, shared, self.data.fingerprint)
        given, sweeps = baseline.parse(study, sweeps, self.composer.choices, self._spelled)
        self.words = sweeps.words()
        refuse_idle_sweeps(self.words)
        self.given = given
        self.structure = build(sweeps, self.composer.choices, self.level_of, self.composer)
        self.baseline = Baseline(given, self.choices, sweeps.zips, first=study.design == "cumulative")
        self.factors = self.structure.factors(self.baseline.of)
        self.precision = precision if len(self.words.get(PRECISION, ())) == 1 else None
        self.of_content: dict[str, str] = {}  # {fingerprint: the first path with it}, of data sets that are compared
        self.rules = conditions.parse_rules(study.exclude, self.swept(self.words))
        self.found = Planned(whole=math.prod(len(factor.choices) for factor in self.factors), data=self.data)
        self.found.excluded = dict.fromkeys(self.rules, 0)
        self.found.precision, self.found.unread = self.precision, self.structure.unread
        self.found.nested, self.found.zipped = self.structure.nested(), [list(keys) for keys in sweeps.zips]
        self.found.baseline = {axis: self.choices[axis] for axis in AXES}
        if study.design == "cumulative":
            self._in_order(said)

    def _in_order(self, said: Sequence[str]) -> None:
        """Put the factors into the order in which components are added: the command's words, then the preset's."""
        order = [*said, *self.words]
        place = {
            id(factor): min(map(order.index, part.keys))
            for factor, part in zip(self.factors, self.structure.parts, strict=True)
        }
        self.factors.sort(key=lambda factor: place[id(factor)])
        self.found.order = [self.structure.sweeps.axis(key) for key in dict.fromkeys(order) if key in self.words]

    def swept(self, words: Mapping[str, Sequence[str]]) -> Swept:
        return Swept(words, self.composer.choices, self.loader.get_group_options, self.level_of)

    def _spelled(self, word: str) -> tuple[str, str]:
        """The level that a word names, and the word in that level's one spelling."""
        spelled = named.spelled(word, self.loader)
        return self.level_of(spelled), spelled

    def take_a_name(self, seed: str, tuned: Sequence[str] = ()) -> None:
        """Call the study after its axes, by the next number where one of that name has other constants."""
        runs = []
        with suppress(HydraException, ValueError):  # what is wrong is said when all are planned
            runs.append(self.run(self._first(), seed))
        settings = (PRECISION,) if self.precision else ()
        found = study_name.find(self.study.root, self.structure.axes(), runs, settings, tuned)
        word = f"study.name={found.name}"
        self.factors = [factor for factor in self.factors if factor.name != "study.name"]
        self.factors.append(Factor("study.name", ((word,),)))
        self.study = dataclasses.replace(self.study, name=found.name)

    def _first(self) -> list[str]:
        return [word for factor in self.factors for word in factor.choices[0]]

    def level_of(self, word: str) -> str:
        return level_text(self.composer.parse(word).value())

    def _distinct(self, levels: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
        """0.1 and 1e-1 are one level."""
        return {
            key: list({self.level_of(word): word for word in reversed(words)}.values())[::-1]
            for key, words in levels.items()
        }

    def cells(self, seed: str) -> list[list[str]]:
        """The combinations that the design holds. Raises ValueError where nothing is left of it."""
        if self.study.design == "fractional":
            earlier = [row for row in self._earlier() if self._fits(combinations.words_of(self.factors, row), seed)]
            return combinations.fractional(self.factors, earlier, lambda cell: self._fits(cell, seed), self.study.cells)
        cells = getattr(combinations, self.study.design)(self.factors)
        if self.study.design in AROUND and (entry := self._excluded_by(cells[0])):
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

    def _by_key(self, cell: Sequence[str]) -> dict[str, str]:
        return {plain(word.partition("=")[0]): word for word in cell}

    def levels_of(self, cell: Sequence[str]) -> dict[str, str]:
        return {key: self.level_of(word) for key, word in self._by_key(cell).items()}

    def _axis_levels(self, words: Sequence[str]) -> dict[str, str]:
        """The levels of each key, and of those that move together."""
        levels = self.levels_of(words)
        zipped = [keys for keys in self.structure.sweeps.zips if all(key in levels for key in keys)]
        return levels | {"+".join(keys): "+".join(levels[key] for key in keys) for keys in zipped}

    def _excluded_by(self, cell: Sequence[str]) -> str | None:
        return conditions.matching(self.rules, self.composer.choices | self.levels_of(cell)) if self.rules else None

    def _called(self, cell: Sequence[str], seed: str) -> str:
        """The words of a combination that tell it from the others. All share the rest, some of which planning adds."""
        shared = {word for factor in self.factors if not factor.varies for word in factor.choices[0]}
        return " ".join(word for word in cell if word not in shared) or seed

    def _fits(self, cell: Sequence[str], seed: str) -> bool:
        if self._excluded_by(cell):
            return False
        if self.study.invalid == "skip":
            try:
                self.run(cell, seed)
            except ValueError as error:
                self.found.invalid.setdefault(explain(error), (0, self._called(cell, seed)))
                return False
        return True

    def run(self, cell: Sequence[str], seed: str) -> PlannedRun:
        """The run of a combination and a seed. Raises HydraException or ValueError where there can be none."""
        run = self.composer.plan([*cell, seed])
        self.data.check(run.config)
        if self.precision is not None:
            run = without_level(run, PRECISION)
        if unread := self.structure.unread_by(self._by_key(cell)):
            run = dataclasses.replace(run, unread=unread)
        if len(self.words.get(PATH, ())) > 1 and PATH in run.levels:
            run = dataclasses.replace(run, levels=run.levels | {PATH: self._data_set(run)})
        return self._without_constants(run)

    def _data_set(self, run: PlannedRun) -> str:
        """The name of a run's data set among those that are compared. Raises ValueError where two are the same."""
        path, fingerprint = str(run.config.data.path), self.data.fingerprint(run.config.data)
        other = self.of_content.setdefault(fingerprint, path)
        if other != path:
            raise ValueError(f"data.path={other} and {path} hold the same pictures; give one of them")
        names = [Path(self.level_of(word)).name for word in self.words[PATH]]
        return Path(path).name if names.count(Path(path).name) == 1 else path

    def _earlier(self) -> list[Row]:
        """The combinations of this grid that the study has planned before, recognised by a signature."""
        folder = run_folder.study_folder(self.study.root, self.study.name)
        if not (folder / study_plan.NAME).exists():
            return []
        plan = study_plan.read(folder)
        rows: dict[Row, None] = {}
        for cell in plan.cells:
            if cell.confirms:
                continue  # which is no part of the fraction
            for row in self._rows_at(plan.settings_of(cell) | cell.named):
                seeds = [f"seed={seed}" for seed in cell.runs][:1]
                words = Combination(tuple(combinations.words_of(self.factors, row)), []).words_with(cell.tuned)
                planned = [self.composer.plan([*words, seed]).signature for seed in seeds]
                if set(planned) & {*cell.runs.values(), *cell.own_signatures.values()}:
                    rows[row] = None
        return list(rows)

    def _rows_at(self, levels: Mapping[str, str]) -> Iterable[Row]:
        """The combinations of the factors that have these levels; a level that is not given may be any."""
        return itertools.product(*(
            [place for place, choice in enumerate(factor.choices)
             if all(levels.get(key, level) == level for key, level in self._axis_levels(choice).items())]
            for factor in self.factors if factor.varies
        ))  # fmt: skip

    def plan(self, jobs: Sequence[tuple[Sequence[str], str]]) -> Planned:
        """Plan every combination with its seed. Raises ValueError naming the invalid ones, unless they are skipped."""
        runs: list[PlannedRun] = []
        wrong: dict[str, list[str]] = {}  # what is wrong -> the combinations that show it
        slips = False
        self.jobs = []
        for cell, seed in jobs:
            try:
                runs.append(self.run(cell, seed))
                self.jobs.append((tuple(cell), seed))
            except (HydraException, ValueError) as error:
                wrong.setdefault(explain(error), []).append(self._called(cell, seed))
                # What Hydra refuses is a slip of the pen, not a combination of things that do not go together.
                slips |= isinstance(error, HydraException)
                slips |= self.study.design in AROUND and cell is jobs[0][0]  # without it nothing compares
        count = sum(map(len, wrong.values()))
        if count == len(jobs) and len(wrong) == 1:
            raise ValueError(next(iter(wrong)))
        if wrong and (slips or self.study.invalid == "refuse" or not runs):
            named = "; ".join(f"[{some[0]}] {why}" for why, some in wrong.items())
            others = " (study.invalid=skip runs the others)" if runs and not slips else ""
            raise ValueError(f"{count} of {len(jobs)} combinations are invalid, nothing was started: {named}{others}")
        self.found.invalid |= {why: (len(some), some[0]) for why, some in wrong.items()}
        runs = self._compared(runs)
        self.found.runs = equivalent.serve(self.called_apart(runs))
        seeds = list(dict.fromkeys(seed for _, seed in jobs))
        self.found.at = lambda levels: self._runs_at(levels, seeds)
        self.found.baseline |= self._baseline_levels()
        return self.found

    def _compared(self, runs: Sequence[PlannedRun]) -> list[PlannedRun]:
        """The runs, with the levels of a user's own groups where the study compares them; what their files choose in
        other groups follows from them."""
        own = {key for run in runs for key in own_groups(run.overrides)}
        there = recorded_axes(self.study) if own else ()
        self.constant = {key for key in own if key not in there and len({run.levels[key] for run in runs}) == 1}
        kept = [self._without_constants(run) for run in runs]
        varied = [key for key, words in self.words.items() if len(words) > 1 and "." not in key]
        for group in HASHED_GROUPS if any(run.is_whole for run in runs) else ():
            levels = [run.levels.get(group) for run in runs]
            if group not in self.words and len(set(levels)) > 1:
                deciding = (key for key in varied if _decides([run.levels.get(key) for run in runs], levels))
                self.found.nested[group] = [key] if (key := next(deciding, None)) else varied
        return kept

    def _without_constants(self, run: PlannedRun) -> PlannedRun:
        if not self.constant:
            return run
        return dataclasses.replace(run, levels={k: v for k, v in run.levels.items() if k not in self.constant})

    def called_apart(self, runs: Sequence[PlannedRun]) -> list[PlannedRun]:
        """Each place once, as one at a time comes by the baseline once per axis, and called after what differs."""
        distinct: dict[tuple[str | int, ...], PlannedRun] = {}
        filled = fill_levels([run.said for run in runs], neutral_levels(), self.found.nested)
        axes = list(varied_axes(filled, self.found.nested))
        if axes and self.study.name == study_plan.RUNS:
            raise ValueError("study.name=runs is the list of single runs, which are not compared; give another name")
        shown = labels.shown(filled, axes, around=self.study.design in AROUND)
        for run, levels, some in zip(runs, filled, shown, strict=True):
            tells = some | {key: value for key, value in run.tuned.items() if value is not None}
            called = dataclasses.replace(run, label=labels.label_of(tells, run.config.seed)) if axes or tells else run
            distinct.setdefault((*levels.values(), run.config.seed), called)
        return list(distinct.values())

    def _baseline_levels(self) -> dict[str, str]:
        """{axis: the baseline's level} as far as study.baseline or the design says it. Raises ValueError where no
        combination has what is given."""
        if self.study.design == "cumulative" or (self.study.design in AROUND and self.given):
            return {axis: self.found.levels[0][axis] for axis in self.found.axes}
        given = {key: self.level_of(word) for key, word in self.given.items()}
        for run, levels in zip(self.found.runs, self.found.levels, strict=True):
            if given.items() <= run.levels.items():
                axes = [self.structure.sweeps.axis(key) for key in given]
                return {axis: levels[axis] for axis in axes}
        raise ValueError(f"study.baseline: no combination of this study has {' '.join(self.given.values())}")

    def _runs_at(self, levels: Mapping[str, str], seeds: Sequence[str]) -> list[PlannedRun]:
        """The runs of one more combination of the axes; [] where it is left out, or cannot be."""
        row = next(iter(self._rows_at(levels)), None)
        cell = combinations.words_of(self.factors, row) if row is not None else []
        if not cell or not self._fits(cell, seeds[0]):
            return []
        runs = []
        with suppress(HydraException, ValueError):  # a combination that there cannot be confirms nothing
            for seed in seeds:
                run = self.run(cell, seed)
                runs.append(dataclasses.replace(run, label=labels.label_of(levels, run.config.seed)))
        return runs


def _decides(one: Sequence[str | None], other: Sequence[str | None]) -> bool:
    """Whether each value of one goes with a single value of the other."""
    return len(set(zip(one, other, strict=True))) == len(set(one))

"""What is tried in each combination of a planner, and the runs that are compared once that is settled."""

import dataclasses
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from ablate.config.checks import NotRead
from ablate.config.schema import StudyConfig
from ablate.plan import equivalent, labels
from ablate.plan.factors.baseline import AROUND
from ablate.plan.factors.conditions import holds
from ablate.plan.planned_run import Planned, PlannedRun
from ablate.plan.tuning import space
from ablate.plan.tuning.search import Ask, Combination, Search, Values, Words
from ablate.plan.tuning.space import Knob
from ablate.records import run_folder, study_plan
from ablate.records.metrics import on_the_holdout
from ablate.records.study_plan import StudyPlan

if TYPE_CHECKING:
    from ablate.plan.planner import Planner

Job = tuple[Words, str]  # a combination's words, and a seed's


class Trials:
    """The search of one planner."""

    def __init__(self, planner: "Planner", asks: Sequence[Ask], wanted: int | None) -> None:
        self.planner, self.asks, self.wanted = planner, asks, wanted
        self.unread: dict[str, str] = {}  # {tuned key: why some combination does not read it}
        self.read: set[str] = set()
        self.held: set[str] = set()  # entries of study.when
        space.check_number([ask.knob for ask in asks], wanted)

    def search(self, jobs: Sequence[Job], seeds: Sequence[int], metric: str, plan: StudyPlan | None) -> Search:
        """The search for the combinations of these jobs, with what `plan` has chosen before.

        Raises ValueError for a key that no combination reads, and for a trial that cannot be.
        """
        places = {cell: Combination(cell, self._of(cell, seed)) for cell, seed in reversed(jobs)}
        for key in {ask.knob.key for ask in self.asks} - self.read:
            raise ValueError(f"tune.{key}: {self.unread.get(key, 'its conditions hold in no combination')}")
        idle = [ask for ask in self.asks if ask.entry and ask.entry not in self.held and not ask.of_preset]
        if idle:
            raise ValueError(f"study.when: {idle[0].entry!r} never holds; remove it")
        combinations = [places[cell] for cell in dict.fromkeys(cell for cell, _ in jobs)]
        for one in combinations:
            one.runs = [{seed: self._run(one, values, f"seed={seed}") for seed in seeds} for values in one.trials]
            first = one.runs[0][seeds[0]] if one.runs else self._run(one, {}, jobs[0][1])
            one.named = first.named
        self._serve(combinations)
        search = Search(list(self.asks), list(seeds), metric, combinations)
        recall(search, plan)
        return search

    def _serve(self, combinations: Sequence[Combination]) -> None:
        """Have trials that are the same experiment in several combinations trained once."""
        every = [run for one in combinations for run in one.every_run()]
        served = iter(equivalent.serve(every) if every else ())
        for one in combinations:
            one.runs = [{seed: next(served) for seed in of_trial} for of_trial in one.runs]

    def _of(self, cell: Words, seed: str) -> list[Values]:
        """The values to try in a combination, each set once; none where it reads none of the tuned keys."""
        found: dict[tuple[tuple[str, str], ...], Values] = {}
        for point in space.points(self._knobs(cell), self.wanted):
            values = self._values(cell, point, seed)
            found.setdefault(tuple(values.items()), values)
        return [values for values in found.values() if values]

    def _knobs(self, cell: Words) -> list[Knob]:
        levels = self.planner.composer.choices | self.planner.levels_of(cell)
        found: dict[str, Ask] = {}
        for ask in self.asks:
            if holds(ask.rule, levels):
                if other := found.get(ask.knob.key):
                    raise ValueError(
                        f"study.when: {other.entry!r} and {ask.entry!r} both tune {ask.knob.key} in one place"
                    )
                found[ask.knob.key] = ask
                self.held.add(ask.entry)
        return [ask.knob for ask in found.values()]

    def _values(self, cell: Words, point: Mapping[str, str], seed: str) -> Values:
        """What a point of the search means in a combination, without the keys that it does not read there."""
        one = Combination(cell, [])

        def base_of(words: Sequence[str]) -> Mapping[str, str]:
            said = dict(word.split("=", 1) for word in words)
            return self.planner.run(one.words_with(said), seed).settings

        left = dict(point)
        while True:
            try:
                meant = space.words_of(left, base_of, self.planner.loader.get_group_options)
                values = {key: self.planner.level_of(f"{key}={text}") for key, text in meant.items()}
                if values:
                    self.planner.run(one.words_with(values), seed)
                break
            except NotRead as error:
                if error.key not in left:
                    raise
                self.unread.setdefault(error.key, str(error))
                del left[error.key]
        for key in left.keys() - values.keys():
            self.unread.setdefault(key, f"{key} has no multiples here, as no combination reads it")
        self.read |= values.keys()
        return values

    def _run(self, one: Combination, values: Values, seed: str) -> PlannedRun:
        run = self.planner.run(one.words_with(values), seed)
        return dataclasses.replace(run, tuned=dict(values))


def recall(search: Search, plan: StudyPlan | None) -> None:
    """Take from a study what it has chosen before, from the same trials."""
    known: list[tuple[dict[str, str], list[Values], Values]] = []
    if plan is not None and (tuning := plan.tuning) is not None:
        known = [(cell.named, [trial.values for trial in tuning.of(cell)], cell.tuned) for cell in plan.cells]
    for one in search.combinations:
        one.chosen = None if one.trials else {}
        for named, tried, chosen in known:
            if named == one.named and tried == one.trials and chosen:
                one.chosen = dict(chosen)


def compared(planner: "Planner", search: Search, jobs: Sequence[Job]) -> list[PlannedRun]:
    """The runs of these jobs: with each combination's chosen values, or open where nothing is chosen yet."""
    places = {one.words: one for one in search.combinations}  # without those that cannot be trained
    runs = []
    for one, seed in ((places[cell], seed) for cell, seed in jobs if cell in places):
        values = one.chosen if one.chosen is not None else one.trials[0]
        run = planner.run(one.words_with(values), seed)
        runs.append(dataclasses.replace(run, tuned=one.tuned()))
    runs = planner.called_apart(runs)
    ready = iter(equivalent.serve([run for run in runs if not run.is_open]) if any(not r.is_open for r in runs) else ())
    return [run if run.is_open else next(ready) for run in runs]


def planned(planner: "Planner", asks: Sequence[Ask], jobs: Sequence[Job], seeds: Sequence[int]) -> Planned:
    """A tuned study: its search, and its runs as far as their values are chosen."""
    base = planner.plan(jobs)
    plan = study_of(planner.study)
    metric = (
        plan.tuning.metric if plan is not None and plan.tuning is not None else on_the_holdout(planner.study.metric)
    )
    search = Trials(planner, asks, planner.study.trials).search(planner.jobs, seeds, metric, plan)
    search.compared = lambda: compared(planner, search, planner.jobs)
    found = dataclasses.replace(base, search=search, runs=search.compared())
    shown = labels.shown(found.levels, list(found.axes), around=planner.study.design in AROUND)
    places = {tuple(run.named.items()): some for run, some in zip(found.runs, shown, strict=True)}
    label_trials(search, places)
    return found


def study_of(study: StudyConfig) -> StudyPlan | None:
    """The plan of a study that there is already; None of a new one, or one that cannot be read, which is said later."""
    with suppress(ValueError):
        return study_plan.read(run_folder.study_folder(study.root, study.name))
    return None


def split_seeds(
    study: StudyConfig, named: Sequence[str] | None, seeds: Sequence[str], more: Sequence[str]
) -> tuple[list[int], list[str], list[str]]:
    """The tuning seeds, those of every combination, and those that a baseline has beyond them.

    A study keeps its tuning seeds. Else they are the first numbers that the command does not name; with seeds=N the
    comparison has the N that follow.
    """
    count, plan = study.tune_seeds, study_of(study)
    recorded = plan.tuning.seeds if plan is not None and plan.tuning is not None else []
    taken = {int(word.partition("=")[2]) for word in named or ()}
    tuned = recorded if len(recorded) == count else [n for n in range(count + len(taken)) if n not in taken][:count]
    if named is not None:
        return tuned, list(seeds), list(more)
    free = [f"seed={n}" for n in range(len(seeds) + len(more) + len(tuned)) if n not in tuned]
    return tuned, free[: len(seeds)], free[len(seeds) : len(seeds) + len(more)]


def label_trials(search: Search, shown: Mapping[tuple[tuple[str, str], ...], Mapping[str, str]]) -> None:
    """Call each combination and its tuning runs after the levels that tell it from the others, and the values tried."""
    for one in search.combinations:
        one.label = dict(shown.get(tuple(one.named.items()), {}))
        one.runs = [
            {
                seed: dataclasses.replace(run, label=labels.label_of(one.label | values, seed))
                for seed, run in of_trial.items()
            }
            for values, of_trial in zip(one.trials, one.runs, strict=True)
        ]

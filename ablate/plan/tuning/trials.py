"""What is tried in each combination of a planner, and the runs that are compared once that is settled."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ablate.config.checks import NotRead
from ablate.plan import equivalent, labels
from ablate.plan.factors.conditions import holds
from ablate.plan.planned_run import PlannedRun
from ablate.plan.tuning import space
from ablate.plan.tuning.search import Ask, Combination, Search, Values, Words
from ablate.plan.tuning.space import Knob
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
        if idle := [ask.entry for ask in self.asks if ask.entry and ask.entry not in self.held]:
            raise ValueError(f"study.when: {idle[0]!r} never holds; remove it")
        combinations = [places[cell] for cell in dict.fromkeys(cell for cell, _ in jobs)]
        for one in combinations:
            one.runs = [
                {seed: self._run(one, values, f"seed={seed}") for seed in seeds} for values in one.trials
            ]
            first = one.runs[0][seeds[0]] if one.runs else self._run(one, {}, jobs[0][1])
            one.named = first.named
            one.chosen = recorded(plan, one) if one.trials else {}
        return Search(list(self.asks), list(seeds), metric, combinations)

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
                    raise ValueError(f"study.when: {other.entry!r} and {ask.entry!r} both tune {ask.knob.key} in one place")
                found[ask.knob.key] = ask
                self.held.add(ask.entry)
        return [ask.knob for ask in found.values()]

    def _values(self, cell: Words, point: Mapping[str, str], seed: str) -> Values:
        """What a point of the search means in a combination, without the keys that it does not read there."""
        one = Combination(cell, [])

        def base_of(words: Sequence[str]) -> Mapping[str, str]:
            said = dict(word.split("=", 1) for word in words)
            return self.planner.run(one.words_with(said), seed).settings

        meant = space.words_of(point, base_of, self.planner.loader.get_group_options)
        values = {key: self.planner.level_of(f"{key}={text}") for key, text in meant.items()}
        for key in point.keys() - meant.keys():
            self.unread.setdefault(key, "no combination reads it, so that it has no multiples")
        while values:
            try:
                self.planner.run(one.words_with(values), seed)
                break
            except NotRead as error:
                if error.key not in values:
                    raise
                self.unread.setdefault(error.key, str(error))
                del values[error.key]
        self.read |= values.keys()
        return values

    def _run(self, one: Combination, values: Values, seed: str) -> PlannedRun:
        run = self.planner.run(one.words_with(values), seed)
        return dataclasses.replace(run, tuned=dict(values))


def recorded(plan: StudyPlan | None, one: Combination) -> Values | None:
    """What a study has chosen for a combination before, from the same trials."""
    if plan is None or plan.tuning is None:
        return None
    for cell in plan.cells:
        if cell.named == one.named and cell.tuned and [t.values for t in plan.tuning.of(cell)] == one.trials:
            return dict(cell.tuned)
    return None


def compared(planner: "Planner", search: Search, jobs: Sequence[Job]) -> list[PlannedRun]:
    """The runs of these jobs: with each combination's chosen values, or open where nothing is chosen yet."""
    places = {one.words: one for one in search.combinations}
    runs = []
    for cell, seed in jobs:
        one = places[cell]
        values = one.chosen if one.chosen is not None else one.trials[0]
        run = planner.run(one.words_with(values), seed)
        runs.append(dataclasses.replace(run, tuned=one.tuned()))
    runs = planner.called_apart(runs)
    ready = iter(equivalent.serve([run for run in runs if not run.is_open]) if any(not r.is_open for r in runs) else ())
    return [run if run.is_open else next(ready) for run in runs]


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

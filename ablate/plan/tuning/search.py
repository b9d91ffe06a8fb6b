"""The trials of each combination: planned, taken back from study.json, and turned into the runs that are compared."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ablate.plan.factors.conditions import Rule
from ablate.plan.factors.named import plain
from ablate.plan.planned_run import PlannedRun
from ablate.plan.tuning.space import Knob
from ablate.records.study_plan import Trial, Tuning

Values = dict[str, str]  # {tuned key: value}
Words = tuple[str, ...]


@dataclass(frozen=True)
class Ask:
    """A tuned key where its conditions hold; `entry` is that of study.when which says so."""

    knob: Knob
    rule: Rule = ()
    entry: str = ""
    of_preset: bool = False  # then it may hold nowhere with the levels that a command leaves of it

    @property
    def typed(self) -> list[str]:
        """Its values for the record, with the condition that they are under."""
        conditions = self.entry.partition(":")[0].strip()
        return [f"{conditions}: {','.join(self.knob.typed)}"] if conditions else list(self.knob.typed)


@dataclass
class Combination:
    """One combination of the compared axes, with what is tried for it."""

    words: Words  # that name it, without those of tuned keys
    trials: list[Values]
    chosen: Values | None = None  # recorded, or chosen by now
    named: dict[str, str] = field(default_factory=dict)  # the levels that its words name
    label: dict[str, str] = field(default_factory=dict)  # those that tell it from the others
    runs: list[dict[int, PlannedRun]] = field(default_factory=list)  # {tuning seed: run} of each trial

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return ", ".join(f"{axis}={level}" for axis, level in self.label.items()) or "the only combination"

    def every_run(self) -> list[PlannedRun]:
        """Its tuning runs, trial by trial."""
        return [run for of_trial in self.runs for run in of_trial.values()]

    def tuned(self) -> dict[str, str | None]:
        """{tuned key: the value chosen, None where none is yet}."""
        values = self.chosen if self.chosen is not None else dict.fromkeys(self.trials[0] if self.trials else ())
        return dict(values)

    def words_with(self, values: Mapping[str, str]) -> Words:
        """The words of a trial, or of a run that is compared."""
        return (*(word for word in self.words if plain(word.partition("=")[0]) not in values),
                *(f"{key}={value}" for key, value in values.items()))  # fmt: skip


@dataclass
class Search:
    """What a study tries before it compares."""

    asks: list[Ask]
    seeds: list[int]
    metric: str  # of the holdout, by which values are chosen
    combinations: list[Combination] = field(default_factory=list)
    compared: Callable[[], list[PlannedRun]] = list  # the runs of all combinations that have their values

    @property
    def keys(self) -> list[str]:
        """The tuned keys."""
        return list(dict.fromkeys(ask.knob.key for ask in self.asks))

    @property
    def runs(self) -> list[PlannedRun]:
        """Every tuning run, the first trial of each combination first."""
        return [run for one in self.combinations for run in one.every_run()]

    def waiting(self) -> list[Combination]:
        """The combinations for which nothing is chosen yet."""
        return [one for one in self.combinations if one.chosen is None]

    def record(self) -> Tuning:
        """The search as study.json has it."""
        typed: dict[str, list[str]] = {}
        for ask in self.asks:
            typed.setdefault(ask.knob.key, []).extend(ask.typed)
        trials = [
            Trial(one.named, values, {seed: run.signature for seed, run in runs.items()})
            for one in self.combinations
            for values, runs in zip(one.trials, one.runs, strict=True)
        ]
        return Tuning(typed, list(self.seeds), trials, self.metric)

"""study.baseline: the combination that one_at_a_time and cumulative vary around, and that differences refer to."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ablate.config import hints
from ablate.config.checks import did_you_mean
from ablate.config.schema import StudyConfig
from ablate.plan.factors.asked import Sweeps
from ablate.plan.factors.build import Chosen, Part

AROUND = ("one_at_a_time", "cumulative")  # designs whose combinations differ from the baseline


@dataclass(frozen=True)
class Baseline:
    """What a study says of its baseline, and what holds where it says nothing."""

    given: Mapping[str, str]  # {key: its word}
    choices: Mapping[str, str]  # {group: its level} of the configuration's own defaults
    zips: Sequence[tuple[str, ...]] = ()  # keys that move together
    first: bool = False  # whether axes of which nothing is given begin at their first level

    def of(self, part: Part) -> Chosen:
        """The words of a part in the baseline. Raises ValueError where no combination has what is given."""
        if len(part.choices) == 1:
            return part.choices[0]
        given = {key: word for key, word in self.given.items() if key in part.keys}
        agreeing = [choice for choice in part.choices if given.items() <= choice.items()]
        if not agreeing:
            raise ValueError(f"study.baseline: no combination of this study has {' '.join(given.values())}")
        if self.first or (given and len(agreeing) == 1):
            return agreeing[0]
        default = {key: f"{key}={self.choices[key]}" for key in part.keys if key in self.choices}
        if given and not any((default | given).items() <= choice.items() for choice in part.choices):
            default = {key: word for key, word in agreeing[0].items() if key in default or "." not in key}
        wanted = default | given
        for zipped in self.zips:
            some = {key: wanted[key] for key in zipped if key in wanted}
            wanted |= next(({key: choice[key] for key in zipped} for choice in part.choices
                            if some and some.items() <= choice.items()), {})  # fmt: skip
        return {key: wanted[key] for key in part.keys if key in wanted}


def parse(
    study: StudyConfig, sweeps: Sweeps, choices: Mapping[str, str], level_word: Callable[[str], tuple[str, str]]
) -> tuple[dict[str, str], Sweeps]:
    """{key: word} of study.baseline, and the sweeps with the levels that it adds to the axes of designs around it.

    `level_word` spells a word: (level, word). A preset's baseline does not bind a command that gives a key one value.
    Raises ValueError for keys that are not varied, and where the design needs a level that the axis does not have.
    """
    given, words, levels = dict[str, str](), sweeps.words(), dict(sweeps.levels)
    for text in study.baseline.split():
        key, equals, _ = text.partition("=")
        if not equals or key.endswith("!"):
            raise ValueError(f"study.baseline: {text!r} must be KEY=LEVEL, as in 'optimizer=sgd augment=none'")
        asked = "study.baseline" in sweeps.said
        if key not in words:
            if not asked:
                continue
            known = key in choices or key in hints.fields()
            why = "is not varied in this study; give it as a setting" if known else "is unknown"
            raise ValueError(f"study.baseline: {key} {why}{'' if known else did_you_mean(key, [*words, *choices])}")
        level, word = level_word(text)
        there = {level_word(each)[0]: each for each in words[key]}
        if level not in there:
            if len(words[key]) == 1 and not asked:
                continue
            if study.design not in AROUND:
                raise ValueError(
                    f"study.baseline: {key} has no level {level} in this study ({key} has {', '.join(there)}); add it "
                    "there"
                )
            levels[key] = [word, *levels.get(key, ())]
        given[key] = there.get(level, word)
    return given, dataclasses.replace(sweeps, levels=levels)

"""Which keys a command tunes: words with `tune.` in front, by themselves or under a condition of study.when."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser

from ablate.config import hints
from ablate.config.hints import TUNED
from ablate.config.schema import StudyConfig
from ablate.config.texts import split_when
from ablate.plan.factors.conditions import Swept, parse_rule
from ablate.plan.factors.named import plain
from ablate.plan.tuning.search import Ask
from ablate.plan.tuning.space import Knob, knob_of

Under = tuple[str, str, dict[str, Knob]]  # an entry of study.when, its conditions, and what it tunes


@dataclass(frozen=True)
class Asked:
    """What a command and its preset tune, and what is left of their words."""

    preset: list[str]
    arguments: list[str]
    study: StudyConfig
    knobs: dict[str, Knob]  # {key: what is tried of it} in every combination
    under: list[Under]
    of_preset: bool  # whether those are the preset's

    @property
    def keys(self) -> list[str]:
        """The tuned keys."""
        return list(dict.fromkeys([*self.knobs, *(key for _, _, knobs in self.under for key in knobs)]))

    def asks(self, swept: Swept) -> list[Ask]:
        """Every tuned key with its condition. Raises ValueError for a condition that cannot be meant."""
        found = [Ask(knob) for knob in self.knobs.values()]
        for entry, conditions, knobs in self.under:
            rule = parse_rule(f"study.when: {entry!r}", conditions, swept)
            found += [Ask(knob, rule, entry, self.of_preset) for knob in knobs.values()]
        return found

    def refuse_swept(self, words: Mapping[str, Sequence[str]]) -> None:
        """Raise ValueError for a key that is compared and tuned; `words` are the levels of all that is swept."""
        for key in self.keys:
            for swept, levels in words.items():
                if len(levels) > 1 and (swept == key or swept.startswith(f"{key}.")):
                    raise ValueError(f"{swept} is swept, and {TUNED}{key} chooses it; keep one of them")


def taken_out(
    loader: ConfigLoader, preset: Sequence[str], arguments: Sequence[str], study: StudyConfig, said: Sequence[str]
) -> Asked:
    """The tuned keys of all words. What a command says of a key takes the place of what its preset says of it.

    `said` are the keys that the command names. Raises ValueError for what cannot be tuned, or in two ways.
    """
    said_of = {key.removeprefix(TUNED) for key in said}
    parser = OverridesParser.create(config_loader=loader)
    knobs: dict[str, Knob] = {}
    for words, own in ((preset, False), (arguments, True)):
        for override in parser.parse_overrides([word for word in words if _is_tuned(word)]):
            knob = knob_of(override)
            if own or knob.key not in said_of:
                knobs[knob.key] = knob
    kept = [word for word in preset if not _is_tuned(word) and TUNED + _key(word) not in said]
    under, whens = list[Under](), list[str]()
    for entry in study.when:
        conditions, words = split_when(entry)
        rest = [word for word in words if not _is_tuned(word)]
        tunes = len(rest) < len(words)
        if "study.when" not in said:
            words = [word for word in words if _key(word).removeprefix(TUNED) not in said_of]
        tuned = [word for word in words if _is_tuned(word)]
        hints.refuse(tuned, None)
        found = {(knob := knob_of(override)).key: knob for override in parser.parse_overrides(tuned)}
        if both := sorted(found.keys() & knobs.keys()):
            raise ValueError(
                f"study.when: {entry!r} tunes {both[0]}, which {TUNED}{both[0]} tunes everywhere; keep one"
            )
        whens += [f"{conditions}: {' '.join(rest)}"] if rest and tunes else [] if tunes else [entry]
        under += [(entry, conditions, found)] if found else []
    asked = Asked(kept, [word for word in arguments if not _is_tuned(word)],
                  dataclasses.replace(study, when=whens), knobs, under, "study.when" not in said)  # fmt: skip
    for key in asked.keys:
        if key not in hints.fields() and not loader.get_group_options(key):
            raise ValueError(f"{TUNED}{key}: {hints.unknown_key(key)}")
    return asked


def _is_tuned(word: str) -> bool:
    return _key(word).startswith(TUNED)


def _key(word: str) -> str:
    return plain(word.partition("=")[0])

"""What a study asks of its sweeps: those under a condition (study.when) and those that move together (study.zip)."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser

from ablate.config import hints
from ablate.config.checks import did_you_mean
from ablate.config.schema import StudyConfig
from ablate.config.texts import split_when
from ablate.plan.factors import named
from ablate.plan.factors.conditions import Rule, Swept, parse_rule
from ablate.plan.factors.named import plain

OF_THE_STUDY = ("study", "hydra", "seed", "seeds", "force", "dry_run", "retry")


@dataclass(frozen=True)
class When:
    """An entry of study.when."""

    entry: str
    rule: Rule
    sweeps: Mapping[str, Sequence[str]]  # {key: the words of its levels where the rule holds}


@dataclass(frozen=True)
class Sweeps:
    """All that a command and its preset vary, as they say it."""

    levels: Mapping[str, Sequence[str]]  # {key: the words of its levels} in every combination
    whens: Sequence[When] = ()
    zips: Sequence[tuple[str, ...]] = ()
    said: Collection[str] = field(default_factory=frozenset)  # keys that the command itself names, not its preset

    def words(self) -> dict[str, list[str]]:
        """{key: every word that some combination may have}."""
        found = {key: list(words) for key, words in self.levels.items()}
        for when in self.whens:
            for key, words in when.sweeps.items():
                found[key] = list(dict.fromkeys([*found.get(key, ()), *words]))
        return found

    def axis(self, key: str) -> str:
        """The axis that a key is part of: its own, or the one that moves together."""
        return next(("+".join(keys) for keys in self.zips if key in keys), key)


def parse(
    study: StudyConfig,
    levels: Mapping[str, Sequence[str]],
    said: Collection[str],
    loader: ConfigLoader,
    swept_of: Callable[[Mapping[str, Sequence[str]]], Swept],
) -> Sweeps:
    """The sweeps of a study. What a command names itself takes the place of what its preset says of the same key.

    `swept_of` says what conditions may name, from all words. Raises ValueError for an entry that cannot be meant.
    """
    top = {plain(key): list(words) for key, words in levels.items()}
    of_preset = "study.when" not in said
    under = {}
    for entry in study.when:
        conditions, words = split_when(entry)
        sweeps = _sweeps(entry, words, loader)
        under[entry] = (conditions, {k: w for k, w in sweeps.items() if not (of_preset and k in said)})
    for entry, (_, sweeps) in under.items():
        for key in sweeps:
            if len(top.get(key, ())) > 1 and key in said:
                raise ValueError(
                    f"study.when: {entry!r} varies {key}, which {key}={','.join(map(_value, top[key]))} varies in "
                    "every combination; keep one of them"
                )
            if key not in said:
                top.pop(key, None)  # a preset's, which the command's condition replaces
    all_words = Sweeps(top, [When(entry, (), sweeps) for entry, (_, sweeps) in under.items()]).words()
    swept = swept_of(all_words)
    whens = [
        When(entry, parse_rule(f"study.when: {entry!r}", conditions, swept), sweeps)
        for entry, (conditions, sweeps) in under.items()
        if sweeps
    ]
    zips = [_zipped(entry, all_words) for entry in study.zip]
    for key in {key for keys in zips for key in keys}:
        if sum(key in keys for keys in zips) > 1:
            raise ValueError(f"study.zip: {key} moves with several others; give them in one entry")
    return Sweeps(top, whens, zips, frozenset(said))


def _sweeps(entry: str, words: Sequence[str], loader: ConfigLoader) -> dict[str, list[str]]:
    """{key: the words of its levels} of one entry of study.when."""
    hints.refuse(words, None)
    found: dict[str, list[str]] = {}
    for override in OverridesParser.create(config_loader=loader).parse_overrides(list(words)):
        key = plain(override.get_key_element())
        if key.partition(".")[0] in OF_THE_STUDY:
            raise ValueError(f"study.when: {entry!r}: {key} belongs to the whole study; give it outside of study.when")
        if key not in hints.fields() and not loader.get_group_options(key):
            raise ValueError(f"study.when: {entry!r}: {hints.unknown_key(key)}")
        found[key] = named.enumerated(override, loader)
    return found


def _zipped(entry: str, words: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    keys = tuple(dict.fromkeys(re.split(r"[\s+]+", entry.strip())))
    for key in keys:
        if key not in words:
            raise ValueError(
                f"study.zip: {entry!r}: {key} has no levels in this study{did_you_mean(key, words)}; give as many as "
                f"the others have, as in {key}=A,B"
            )
    if len(keys) < 2:
        raise ValueError(f"study.zip: {entry!r} must be the keys that move together, as in 'optimizer.lr batch_size'")
    return keys


def _value(word: str) -> str:
    return word.partition("=")[2]

"""Conditions on a combination: what study.exclude leaves out, and where a sweep of study.when belongs.

`backbone=effnet_b7 batch_size!=b512` holds where all of it does.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ablate.config import hints, levels
from ablate.config.checks import did_you_mean


@dataclass(frozen=True)
class Swept:
    """What a sweep has levels of."""

    words: Mapping[str, Sequence[str]]  # {key that it names: the words of its levels}
    choices: Mapping[str, str]  # {group: its level}
    options_of: Callable[[str], Sequence[str]]  # the levels that a group may have
    level_of: Callable[[str], str]  # from a word, as optimizer.lr=1e-1, to its level, 0.1


@dataclass(frozen=True)
class Condition:
    key: str
    level: str
    equal: bool

    def holds(self, levels: Mapping[str, str]) -> bool:
        """Never where the combination has no level of the key, which it then does not read."""
        return self.key in levels and (levels[self.key] == self.level) is self.equal


Rule = tuple[Condition, ...]  # holds where all of it does


def parse_rules(entries: Sequence[str], swept: Swept) -> dict[str, Rule]:
    """{entry of study.exclude: its rule}. Raises ValueError for a key or a level that the sweep does not have."""
    return {entry: parse_rule(f"study.exclude: {entry!r}", entry, swept) for entry in entries}


def parse_rule(here: str, conditions: str, swept: Swept) -> Rule:
    """The rule that conditions are; `here` begins a sentence on what is wrong with them. Raises ValueError."""
    return tuple(_condition(here, word, swept) for word in conditions.split())


def holds(rule: Rule, levels: Mapping[str, str]) -> bool:
    """Whether all of a rule holds in a combination {key: level}."""
    return all(condition.holds(levels) for condition in rule)


def _condition(here: str, word: str, swept: Swept) -> Condition:
    key, sign, wanted = word.partition("!=") if "!=" in word else word.partition("=")
    if not sign or not key or not wanted:
        raise ValueError(f"{here} must be conditions as in 'backbone=effnet_b7 batch_size!=b64'")
    groups = [group for group in swept.choices if swept.options_of(group)]
    if key not in swept.words and key not in groups:
        if key in hints.fields():
            raise ValueError(f"{here}: {key} is not named in this study, so it cannot select combinations")
        raise ValueError(f"{here}: {key} is unknown{did_you_mean(key, [*swept.words, *groups])}")
    if key in groups:
        known = list(swept.options_of(key))
        wanted = levels.spelled(key, wanted, known)
    else:
        known = [swept.level_of(w) for w in swept.words[key]]
        wanted = swept.level_of(f"{key}={wanted}")
    # A preset may leave out a value of an axis of which a command takes another; with several, it is a slip.
    if wanted not in known and (key in groups or len(known) > 1) and not levels.is_level(key, wanted):
        close = did_you_mean(wanted, known)
        raise ValueError(f"{here}: {key} has no level {wanted}{close} ({key} has {', '.join(known)})")
    return Condition(key, wanted, sign == "=")


def matching(rules: Mapping[str, Rule], levels: Mapping[str, str]) -> str | None:
    """The first entry that leaves a combination out; None when none does."""
    return next((entry for entry, rule in rules.items() if holds(rule, levels)), None)

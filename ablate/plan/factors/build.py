"""Sweeps as factors: what depends on each other becomes one factor, whose choices are the combinations that there are.

Two keys depend on each other where one is swept under a condition on the other, where they move together, and where a
level of one does not read the other (momentum with Adam). The last is not known beforehand: combinations of one group's
settings are validated, and what is not read is left out of them.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ablate.config.checks import NotRead
from ablate.design.combinations import Factor
from ablate.plan.composer import Composer
from ablate.plan.factors.asked import Sweeps, When
from ablate.plan.factors.conditions import holds

Chosen = dict[str, str]  # {key: its word} of one choice


@dataclass
class Part:
    """What will be one factor."""

    keys: list[str]
    choices: list[Chosen]
    parents: dict[str, list[str]] = field(default_factory=dict)  # {key: those whose levels decide which it has}


@dataclass(frozen=True)
class Structure:
    """The factors of a study, and how its axes depend on each other."""

    parts: list[Part]
    sweeps: Sweeps
    reading: "Reading"
    unread: list[str]  # a sentence for each setting that some levels do not read

    def factors(self, baseline: Callable[[Part], Chosen]) -> list[Factor]:
        """The factors, with what each is in the baseline."""
        return [
            Factor(
                " with ".join(dict.fromkeys(map(self.sweeps.axis, part.keys))),
                tuple(tuple(choice.values()) for choice in part.choices),
                tuple(baseline(part).values()),
            )
            for part in self.parts
        ]

    def nested(self) -> dict[str, list[str]]:
        """{axis: the axes whose levels decide which levels it has}."""
        found: dict[str, list[str]] = {}
        for part in self.parts:
            for key, parents in part.parents.items():
                axes = found.setdefault(self.sweeps.axis(key), [])
                axes += dict.fromkeys(axis for axis in map(self.sweeps.axis, parents) if axis not in axes)
        return found

    def unread_by(self, cell: Mapping[str, str]) -> frozenset[str]:
        """The settings that some combinations have and this one, {key: word}, does not read."""
        words = self.sweeps.words()
        return frozenset(
            key
            for part in self.parts
            for key in part.parents
            if key not in cell and self.reading.is_unread(key, words[key], cell)
        )

    def axes(self) -> list[str]:
        """The axes: keys with several levels where those that they depend on have one and the same."""
        found: dict[str, None] = {}
        for part in self.parts:
            for key in part.keys:
                places: dict[tuple[str, ...], set[str]] = {}
                for choice in part.choices:
                    if key in choice:
                        above = tuple(choice.get(parent, "") for parent in part.parents.get(key, ()))
                        places.setdefault(above, set()).add(choice[key])
                if any(len(words) > 1 for words in places.values()):
                    found[self.sweeps.axis(key)] = None
        return list(found)


def build(sweeps: Sweeps, known: Mapping[str, str], level_of: Callable[[str], str], composer: Composer) -> Structure:
    """The factors of these sweeps; `known` is the level of each group where the command names none.

    Raises ValueError for a condition that never holds, for axes of unequal length that are to move together, and for a
    setting that a condition gives where it is not read.
    """
    expander = Expander(sweeps, dict(known), level_of)
    parts = [expander.part(keys) for keys in _together(sweeps)]
    expander.refuse_idle_conditions()
    reading = Reading(composer, [key for part in parts for key in part.keys], level_of)
    for part in parts:
        if len(part.keys) > 1:
            reading.settle(part)
    parts = reading.joined(parts)
    parts = [part for part in parts if reading.drop_unasked(part, parts, sweeps)]
    return Structure(parts, sweeps, reading, list(reading.sentences(parts)))


def _together(sweeps: Sweeps) -> list[list[str]]:
    """The keys by what conditions and zips put together, in the order in which they are named."""
    words = sweeps.words()
    under = {key for when in sweeps.whens for key in when.sweeps}
    groups: dict[str, set[str]] = {key: {key} for key in words}

    def join(keys: Iterable[str]) -> None:
        union = set[str]().union(*(groups[key] for key in keys))
        for key in union:
            groups[key] = union

    for keys in sweeps.zips:
        join(keys)
    for when in sweeps.whens:
        varied = [c.key for c in when.rule if len(words.get(c.key, ())) > 1 or c.key in under]
        for key in when.sweeps:
            join([key, *varied])
    found: dict[int, list[str]] = {}
    for key in words:
        found.setdefault(id(groups[key]), []).append(key)
    return list(found.values())


# -- conditions and what moves together -------------------------------------------------------


class Expander:
    """Enumerates the choices of keys that depend on each other as the command says."""

    def __init__(self, sweeps: Sweeps, known: dict[str, str], level_of: Callable[[str], str]) -> None:
        self.sweeps, self.level_of = sweeps, level_of
        fixed = {key: level_of(words[0]) for key, words in sweeps.levels.items() if len(words) == 1}
        self.known = known | fixed
        self.held: set[str] = set()  # entries of study.when

    def part(self, keys: Sequence[str]) -> Part:
        """The part that these keys are."""
        units = dict.fromkeys(next((zipped for zipped in self.sweeps.zips if key in zipped), (key,)) for key in keys)
        parents = {key: self._parents(key, keys) for key in keys}
        choices: list[Chosen] = [{}]
        done: set[str] = set()
        while left := [unit for unit in units if not done.issuperset(unit)]:
            ready = [unit for unit in left if all(done.issuperset(set(parents[key]) - set(unit)) for key in unit)]
            if not ready or any(key in parents[other] for unit in ready[:1] for key in unit for other in unit):
                raise ValueError(f"study.when: {' and '.join(left[0])} depends on itself; remove one of the conditions")
            choices = [choice | more for choice in choices for more in self._options(ready[0], choice)]
            done |= set(ready[0])
        return Part([key for key in keys if any(key in choice for choice in choices)], choices,
                    {key: above for key, above in parents.items() if above})  # fmt: skip

    def _parents(self, key: str, keys: Sequence[str]) -> list[str]:
        """The keys among these that conditions on a key's sweeps name."""
        named = [c.key for when in self.sweeps.whens if key in when.sweeps for c in when.rule]
        return list(dict.fromkeys(each for each in named if each in keys))

    def _options(self, unit: tuple[str, ...], chosen: Chosen) -> list[Chosen]:
        """What a key, or keys that move together, may be in a choice that has been made so far."""
        options = {key: self._words(key, chosen) for key in unit}
        lengths = {key: len(words) for key, words in options.items()}
        if not any(lengths.values()):
            return [{}]
        if len(set(lengths.values())) > 1:
            where = f" where {' '.join(chosen.values())}" if chosen else ""
            counts = " and ".join(f"{count} of {key}" for key, count in lengths.items())
            raise ValueError(
                f"study.zip: '{' '.join(unit)}' needs equally many levels of each, and there are {counts}{where}"
            )
        return [dict(zip(unit, words, strict=True)) for words in zip(*options.values(), strict=True)]

    def _words(self, key: str, chosen: Chosen) -> Sequence[str]:
        levels = self.known | {other: self.level_of(word) for other, word in chosen.items()}
        levels.pop(key, None)
        found: list[When] = []
        for when in self.sweeps.whens:
            if key in when.sweeps and holds(when.rule, levels):
                self.held.add(when.entry)
                found.append(when)
        if len(found) > 1:
            raise ValueError(
                f"study.when: {found[0].entry!r} and {found[1].entry!r} both vary {key} where "
                f"{' '.join(chosen.values()) or 'both hold'}; give one more condition"
            )
        return found[0].sweeps[key] if found else self.sweeps.levels.get(key, ())

    def refuse_idle_conditions(self) -> None:
        """Raise ValueError for an entry of study.when that is the command's own and holds nowhere."""
        for when in self.sweeps.whens if "study.when" in self.sweeps.said else ():
            if when.entry not in self.held:
                words = " ".join(f"{c.key}{'=' if c.equal else '!='}{c.level}" for c in when.rule)
                raise ValueError(f"study.when: {when.entry!r} never holds, as no combination has {words}; remove it")


# -- what is not read -------------------------------------------------------------------------


class Reading:
    """Finds out by validation which settings are read with which levels."""

    def __init__(self, composer: Composer, order: Sequence[str], level_of: Callable[[str], str]) -> None:
        self.composer, self.order, self.level_of = composer, list(order), level_of
        self.found: dict[str, dict[str, None]] = {}  # {setting: the levels with which it is not read}

    def joined(self, parts: Sequence[Part]) -> list[Part]:
        """The parts, those joined of which one decides whether a setting of the other is read."""
        parts, tried = list(parts), set[tuple[str, str]]()
        while pair := next(self._dependent(parts, tried), None):
            first, second = sorted(pair, key=lambda part: self.order.index(part.keys[0]))
            keys = sorted([*first.keys, *second.keys], key=self.order.index)
            both = [a | b for a, b in itertools.product(first.choices, second.choices)]
            choices = [{key: choice[key] for key in keys if key in choice} for choice in both]
            one = Part(keys, choices, first.parents | second.parents)
            rest = [part for part in parts if part is not first and part is not second]
            self.settle(one, _firsts(rest))
            parts = sorted([*rest, one], key=lambda part: self.order.index(part.keys[0]))
        return parts

    def _dependent(self, parts: Sequence[Part], tried: set[tuple[str, str]]) -> Iterator[tuple[Part, Part]]:
        for group in dict.fromkeys(key.partition(".")[0] for part in parts for key in part.keys if "." in key):
            mates = [part for part in parts if any(self._concerns(key, group) for key in part.keys)]
            for part, other in itertools.permutations(mates, 2):
                pair = (" ".join(part.keys), " ".join(other.keys))
                if len(other.choices) > 1 and pair not in tried:
                    tried.add(pair)
                    rest = _firsts(mate for mate in mates if mate is not part and mate is not other)
                    settings = [key for key in part.keys if key.startswith(f"{group}.")]
                    unread = [{key for own in part.choices for key in self._unread(rest | other_ | own)} & set(settings)
                              for other_ in other.choices]  # fmt: skip
                    if any(unread[0] != some for some in unread):
                        yield part, other

    def _concerns(self, key: str, group: str) -> bool:
        """Whether a key may change what is read in a group: one of its own, or one that chooses a file of a user."""
        name = key.partition(".")[0]
        return name == group or ("." not in key and name not in self.composer.plain)

    def _unread(self, choice: Chosen) -> dict[str, NotRead]:
        """{setting: why} of what nothing reads in a choice."""
        kept, found = dict(choice), dict[str, NotRead]()
        for group in dict.fromkeys(key.partition(".")[0] for key in choice if "." in key):
            while error := self.composer.unread(group, [w for key, w in kept.items() if self._concerns(key, group)]):
                if error.key not in kept:
                    break
                found[error.key] = error
                del kept[error.key]
        return found

    def is_unread(self, key: str, words: Sequence[str], cell: Mapping[str, str]) -> bool:
        """Whether a combination {key: word} does not read a setting, of which it names none of these words."""
        group = key.partition(".")[0]
        mates = {other: word for other, word in cell.items() if self._concerns(other, group)}
        return "." in key and any(key in self._unread({**mates, key: word}) for word in words)

    def settle(self, part: Part, rest: Mapping[str, str] | None = None) -> None:
        """Leave out of each choice what is not read in it; where one level of a setting is not, none is."""
        unread = [self._unread({**(rest or {}), **choice}) for choice in part.choices]
        read = [dict(choice) for choice in part.choices]
        for key in [key for key in part.keys if any(key in some for some in unread)]:
            places = [
                (place, _without(choice, key, some), some.get(key))
                for place, (choice, some) in enumerate(zip(part.choices, unread, strict=True))
                if key in choice
            ]
            refused = {_frozen(context) for _, context, error in places if error is not None}
            if all(_frozen(context) in refused for _, context, _ in places):
                continue  # read nowhere, which planning says
            above = self._deciding(key, part.keys, [(context, _frozen(context) in refused) for _, context, _ in places])
            part.parents[key] = list(dict.fromkeys([*part.parents.get(key, ()), *above]))
            for place, context, _ in places:
                if _frozen(context) in refused:
                    del read[place][key]
                    words = [f"{each}={self.level_of(context[each])}" for each in above if each in context]
                    self.found.setdefault(key, {})[" ".join(words)] = None
        part.choices = list({_frozen(choice): choice for choice in read}.values())

    def _deciding(self, key: str, keys: Sequence[str], where: Sequence[tuple[Chosen, bool]]) -> list[str]:
        """The keys whose levels decide whether a setting is read: one of its group where one does, else all of it."""
        group = key.partition(".")[0]
        mates = [other for other in keys if other != key and self._concerns(other, group)]
        varied = [mate for mate in mates if len({context.get(mate) for context, _ in where}) > 1]
        for mate in sorted(varied, key=lambda mate: "." in mate):
            if len({(context.get(mate), refused) for context, refused in where}) == len(
                {c.get(mate) for c, _ in where}
            ):
                return [mate]
        return varied

    def drop_unasked(self, part: Part, parts: Sequence[Part], sweeps: Sweeps) -> bool:
        """False for a setting that only a preset names, where nothing reads it with the levels of the command."""
        for key in [key for key in part.keys if "." in key and key not in sweeps.said and len(part.keys) == 1]:
            rest = _firsts(mate for mate in parts if mate is not part and any(
                self._concerns(other, key.partition(".")[0]) for other in mate.keys))  # fmt: skip
            if all(key in self._unread(rest | choice) for choice in part.choices):
                return False
        return True

    def sentences(self, parts: Sequence[Part]) -> Iterator[str]:
        """One sentence on each setting that some levels do not read."""
        for key, reasons in self.found.items():
            if any(key in choice for part in parts for choice in part.choices):
                yield f"{key} is not read with {' or '.join(reasons)} and is left out there"


def _firsts(parts: Iterable[Part]) -> Chosen:
    return {key: word for part in parts for key, word in part.choices[0].items()}


def _frozen(choice: Chosen) -> tuple[tuple[str, str], ...]:
    return tuple(choice.items())


def _without(choice: Chosen, key: str, unread: Mapping[str, NotRead]) -> Chosen:
    """What else is read in a choice."""
    return {other: word for other, word in choice.items() if other != key and other not in unread}

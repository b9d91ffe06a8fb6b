"""The search space of a study: `tune.KEY=…` as values to try in a combination.

Values are typed as they are, as multiples of what the combination has by itself (`x0.3`), or as an interval from which
`study.trials=N` are drawn. Draws depend on the key and on their number alone: every combination gets the same.
"""

import hashlib
import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from hydra.core.override_parser.types import IntervalSweep, Override

from ablate.config import levels, signature
from ablate.config.hints import TUNED
from ablate.config.levels import NUMBER

MULTIPLE = re.compile(rf"x({NUMBER})")
QUOTES = "'\""
# Of these the holdout itself depends, so that the scores of their values are not of the same images.
OF_THE_DATA = ("data", "data.name", "data.path", "data.holdout", "data.split_seed", "data.test_share")
WIDE = 10  # from this ratio of its ends on, an interval is drawn from on a logarithmic scale
DIGITS = 3  # significant ones of a drawn value


@dataclass(frozen=True)
class Interval:
    """All numbers between two ends."""

    low: float
    high: float
    log: bool  # drawn evenly by the logarithm

    def at(self, share: float) -> str:
        """The number at a share of the way from its low end to the high one, to three significant digits."""
        if self.log:
            value = math.exp(math.log(self.low) + share * (math.log(self.high) - math.log(self.low)))
        else:
            value = self.low + share * (self.high - self.low)
        return plain(Decimal(f"{value:.{DIGITS - 1}e}"))

    @property
    def scale(self) -> str:
        return "log-uniform" if self.log else "uniform"


@dataclass(frozen=True)
class Knob:
    """One tuned key, with what is tried of it."""

    key: str
    typed: tuple[str, ...]
    interval: Interval | None = None

    @property
    def is_multiple(self) -> bool:
        """Whether its values are multiples of what a combination has by itself."""
        return self.interval is None and any(MULTIPLE.fullmatch(text) for text in self.typed)


def knob_of(override: Override) -> Knob:
    """The tuned key of a word, and its values. Raises ValueError where there is nothing to choose."""
    word, key = str(override.input_line), override.get_key_element().lstrip("+").removeprefix(TUNED)
    if key == "seed":
        raise ValueError(f"{word}: a seed is no choice; study.tune_seeds=N tries each value with N seeds")
    if key in signature.unhashed() or key.partition(".")[0] in ("study", "hydra", "seeds", "force", "dry_run", "retry"):
        raise ValueError(f"{word}: {key} does not change what is trained, so there is nothing to choose")
    if key in OF_THE_DATA:
        raise ValueError(f"{word}: the holdout that chooses is a part of the data; sweep {key}=A,B to compare")
    value = override.value()
    if override.is_interval_sweep() and isinstance(value, IntervalSweep):
        return Knob(key, (word.partition("=")[2],), _interval(word, value))
    if not override.is_sweep_override():
        text = override.get_value_element_as_str()
        raise ValueError(f"{word} has one value, so there is nothing to choose; write {key}={text.lstrip('x')}")
    texts = [str(text).strip(QUOTES) for text in override.sweep_string_iterator()]
    texts = list(dict.fromkeys(texts))
    if len(texts) < 2:
        raise ValueError(f"{word} has one value, so there is nothing to choose; write {key}={','.join(texts)}")
    return Knob(key, tuple(texts))


def _interval(word: str, value: IntervalSweep) -> Interval:
    low, high = float(value.start or 0.0), float(value.end or 0.0)
    if not low < high:
        raise ValueError(f"{word}: an interval begins with its low end")
    asked = "log" in value.tags
    if asked and low <= 0:
        raise ValueError(f"{word}: a logarithmic scale takes positive numbers")
    return Interval(low, high, asked or ("uniform" not in value.tags and low > 0 and high / low >= WIDE))


def check_number(knobs: Sequence[Knob], trials: int | None) -> None:
    """Raise ValueError where an interval is not said to be drawn from how often."""
    drawn = [knob for knob in knobs if knob.interval is not None]
    if drawn and trials is None:
        knob = drawn[0]
        raise ValueError(f"{TUNED}{knob.key}={knob.typed[0]} holds every number; study.trials=N says how many to draw")


def points(knobs: Sequence[Knob], trials: int | None) -> list[dict[str, str]]:
    """The values to try, as typed, {key: value}: every combination of them, or `trials` drawn ones."""
    if all(knob.interval is None for knob in knobs):
        every = [dict(zip([k.key for k in knobs], values, strict=True))
                 for values in itertools.product(*(knob.typed for knob in knobs))]  # fmt: skip
        if trials is None or trials >= len(every):
            return every
        drawn = sorted(range(len(every)), key=lambda number: _share("", *every[number].items()))[:trials]
        return [every[number] for number in sorted(drawn)]
    return [{knob.key: _drawn(knob, number) for knob in knobs} for number in range(trials or 0)]


def _drawn(knob: Knob, number: int) -> str:
    share = _share(knob.key, number)
    return knob.interval.at(share) if knob.interval is not None else knob.typed[int(share * len(knob.typed))]


def _share(*of: object) -> float:
    """A number from 0 to 1 that depends on its arguments alone."""
    digest = hashlib.sha256(repr(of).encode()).digest()
    return int.from_bytes(digest[:7], "big") / 2**56


def words_of(
    point: Mapping[str, str],
    base_of: Callable[[Sequence[str]], Mapping[str, str]],
    options_of: Callable[[str], Sequence[str]],
) -> dict[str, str]:
    """{key: the value that a point means in a combination}.

    `base_of` gives the combination's settings once some words are said, which multiples are of; a key whose value is
    "null" there is not read. Raises ValueError for a multiple of what is no number.
    """
    groups = {key for key in point if key in levels.groups()}
    for key in groups:
        if MULTIPLE.fullmatch(point[key]) and not levels.is_numeric(key):
            raise ValueError(f"{TUNED}{key}={point[key]}: {key} is no number, so it has no multiples; give its levels")
    plainly = {key: text for key, text in point.items() if not MULTIPLE.fullmatch(text)}
    plainly |= {key: levels.spelled(key, plainly[key], options_of(key)) for key in groups & plainly.keys()}
    found = dict(plainly)
    for key, text in point.items():
        if (multiple := MULTIPLE.fullmatch(text)) is None:
            continue
        settings = base_of([f"{key}={value}" for key, value in plainly.items()])
        of = number_setting(key)
        base = settings.get(of, "null")
        if base == "null":
            continue
        try:
            product = plain(Decimal(base) * Decimal(multiple[1]))
        except ArithmeticError:
            raise ValueError(
                f"{TUNED}{key}={text}: {key} is {base} here and no number, so it has no multiples"
            ) from None
        found[key] = levels.spelled(key, product) if key in groups else product
    return {key: found[key] for key in point if key in found}


def number_setting(key: str) -> str:
    """The setting whose multiples a tuned key's are: itself, or the one number that a group is."""
    return f"{key}.{levels.number_setting(key)}" if key in levels.groups() else key


def plain(number: Decimal) -> str:
    """A number as people write it: 0.015, 3e-05."""
    if number == number.to_integral_value() and abs(number) < 10**12:
        return str(int(number))
    return f"{number.normalize():f}" if abs(number) >= Decimal("1e-4") else f"{number.normalize():e}".replace("E", "e")

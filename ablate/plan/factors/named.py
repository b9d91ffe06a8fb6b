"""The levels that a command and its preset name, as words, and the seeds."""

import math
from collections.abc import Sequence
from decimal import Decimal

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, RangeSweep

from ablate.config import levels as levels_of
from ablate.config.checks import in_range
from ablate.config.schema import StudyConfig

QUOTES = "'\""


def plain(key: str) -> str:
    """A key without Hydra's sign in front, which adds or deletes it."""
    return key.lstrip("+~")


def named_levels(loader: ConfigLoader, preset: Sequence[str], arguments: Sequence[str]) -> dict[str, list[str]]:
    """{key: the words of its levels}. Raises ValueError for a sweep without levels to enumerate, and over the study."""
    parser = OverridesParser.create(config_loader=loader)
    levels: dict[str, list[str]] = {}
    for override in parser.parse_overrides([*preset, *arguments]):
        key = override.get_key_element()
        if key == "retry":
            # A list of outcomes, not a sweep over them.
            levels[key] = ["retry='" + str(override.input_line).partition("=")[2].strip("'") + "'"]
        elif key != "seeds":
            levels[key] = enumerated(override, loader)
        elif override.is_sweep_override():
            raise ValueError(f"{override.input_line}: seeds=N is how many; name certain ones as seed=A,B")
    return levels


def enumerated(override: Override, loader: ConfigLoader) -> list[str]:
    """The words of a sweep's levels, or the one word. Raises ValueError where they cannot be enumerated."""
    return [spelled(word, loader) for word in _levels(override)]


def _levels(override: Override) -> list[str]:
    key = override.get_key_element()
    if not override.is_sweep_override():
        value = override.get_value_element_as_str()
        return [f"{key}={value}" if not override.is_delete() else key]
    if key.startswith("study"):
        raise ValueError(f"{override.input_line}: one sweep is one study; start a command per study")
    if not override.is_discrete_sweep():
        raise ValueError(f"{override.input_line}: name the values one by one, as in {key}=A,B")
    swept = override.value()
    values = decimals(swept) if isinstance(swept, RangeSweep) else override.sweep_string_iterator()
    levels = [f"{key}={value}" for value in values]
    if not levels:
        raise ValueError(f"{override.input_line} matches nothing")
    return levels


def spelled(word: str, loader: ConfigLoader) -> str:
    """A word with its level's one spelling, where it names one: a preset's 128, and a range's."""
    key, equals, text = word.partition("=")
    group = plain(key)
    if not equals or group not in levels_of.groups():
        return word
    return f"{key}={levels_of.spelled(group, text.strip(QUOTES), loader.get_group_options(group))}"


def decimals(swept: RangeSweep) -> list[str]:
    """The numbers of range(start,stop,step), counted in decimal: Hydra adds floats, which miss 0.3."""
    start, stop, step = (Decimal(repr(number)) for number in (swept.start, swept.stop, swept.step))
    return [str(start + i * step) for i in range(max(0, math.ceil((stop - start) / step)))]


def seed_words(
    named: list[str] | None, seeds: int | None, study: StudyConfig, arguments: Sequence[str]
) -> tuple[list[str], list[str]]:
    """The seeds of every combination, and those that the baseline of a one-at-a-time study has beyond them."""
    if named is not None:
        # A preset's count of seeds does not bind a command that names its own; a run's recorded command does.
        if any(word.startswith("study.baseline_seeds=") for word in arguments):
            raise ValueError("study.baseline_seeds=N goes with seeds=N, not with seed=A,B")
        return named, []
    count = seeds if seeds is not None else 1
    in_range("seeds", count, 1, 10_000)
    if study.baseline_seeds is not None and study.baseline_seeds < count:
        raise ValueError(f"study.baseline_seeds={study.baseline_seeds} is fewer than the {count} seeds of all else")
    return [f"seed={n}" for n in range(count)], [f"seed={n}" for n in range(count, study.baseline_seeds or count)]

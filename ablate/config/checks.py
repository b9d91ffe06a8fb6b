"""What a setting may be: each check raises ValueError in one sentence that names the way out."""

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


class NotRead(ValueError):
    """A setting is given that nothing reads with the others; `key` is the setting."""

    def __init__(self, key: str, sentence: str) -> None:
        super().__init__(sentence)
        self.key = key


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """Return "; did you mean X?" for the closest known word, or "" when nothing is close."""
    close = difflib.get_close_matches(wrong, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


def or_list(words: Sequence[str]) -> str:
    """A, B or C."""
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def one_of(name: str, value: str, known: Iterable[str]) -> None:
    """Raise ValueError, with the nearest known word, for any other."""
    if value not in known:
        raise ValueError(f"{name}={value} is unknown{did_you_mean(value, known)} (known: {', '.join(known)})")


def in_range(name: str, value: float, low: float, high: float = math.inf) -> None:
    """Raise ValueError for values outside [low, high] and for everything that is not a finite number."""
    if not (math.isfinite(value) and low <= value <= high):
        bounds = f"from {low:g} to {high:g}" if math.isfinite(high) else f"{low:g} or more"
        raise ValueError(f"{name}={value} must be a finite number, {bounds}")


def exactly(group: str, config: Any, reads: Mapping[str, tuple[str, ...]]) -> None:
    """Raise ValueError unless optional settings are given exactly where they are read: none is ever ignored.

    A setting that is not read raises NotRead.

    `reads` names the settings that each `config.name` reads.
    """
    settings = sorted({s for names in reads.values() for s in names})
    given = {setting for setting in settings if getattr(config, setting) is not None}
    for setting in settings:
        if setting in given and setting not in reads[config.name]:
            key = f"{group}.{setting}"
            raise NotRead(key, f"{key} is not read by {group}.name={config.name}; leave it out")
    for setting in settings:
        if setting not in given and setting in reads[config.name]:
            raise ValueError(
                f"{group}.name={config.name} needs {group}.{setting}; {group}={config.name} sets everything it needs"
            )

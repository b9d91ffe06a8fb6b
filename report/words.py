"""Amounts, levels and lists as the report's sentences have them."""

from collections.abc import Mapping, Sequence

from ablate.metrics import METRICS

from . import analyse
from .info import AxisEffect, Effects


def number(effects: Effects, value: float) -> str:
    """A value to the metric's digits; what is smaller keeps its first one, so that no bound looks like zero."""
    text = f"{value:.{METRICS[effects.metric].digits}f}"
    return text if float(text) or not value else f"{value:.1g}"


def amount(effects: Effects, value: float) -> str:
    """A value with the metric's unit."""
    return f"{number(effects, value)} {METRICS[effects.metric].unit}"


def smallest(effects: Effects) -> str:
    """Delta as it was given, with its unit."""
    return f"{effects.delta:g} {METRICS[effects.metric].unit}"


def levels(effect: AxisEffect) -> list[str]:
    """The levels that finished, in the plan's order (one at a time: variants, then the baseline)."""
    found: Mapping[str, None] = dict.fromkeys(
        [*(c.level for c in effect.contrasts), *(c.other for c in effect.contrasts)]
    )
    return list(found)


def named(effect: AxisEffect, some: Sequence[str]) -> list[str]:
    """Levels away from their axis."""
    return [analyse.level_name(effect.axis, level) for level in some]


def short(axis: str) -> str:
    """An axis by its last word."""
    return axis.rpartition(".")[2]


def listed(names: Sequence[str]) -> str:
    """a, b and c."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"

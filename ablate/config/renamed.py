"""Settings that had another name or unit: read where commands and recorded configurations have the old one."""

from typing import Any

MINUTES = ("trainer.checkpoint_minutes", "trainer.checkpoint_time")  # a number of minutes, now a duration


def word(given: str) -> str:
    """A word of a command in today's names."""
    key, equals, value = given.partition("=")
    if key != MINUTES[0] or not equals:
        return given
    return f"{MINUTES[1]}={','.join(map(_in_minutes, value.split(',')))}"


def recorded(configuration: Any) -> Any:
    """A recorded configuration, as a plain value, in today's names."""
    group, _, old = MINUTES[0].partition(".")
    settings = configuration.get(group) if isinstance(configuration, dict) else None
    if not isinstance(settings, dict) or old not in settings:
        return configuration
    rest = {name: value for name, value in settings.items() if name != old}
    minutes = settings[old]
    time = None if minutes is None else _in_minutes(str(minutes))
    return {**configuration, group: {MINUTES[1].partition(".")[2]: time, **rest}}


def _in_minutes(number: str) -> str:
    return number if number.strip("'\"") in ("null", "None") else f"{number}m"

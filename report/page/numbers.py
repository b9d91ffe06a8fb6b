"""Numbers as the report prints them."""

import pandas as pd

from ablate.records.metrics import Metric


def count(number: int, noun: str) -> str:
    """A number with its noun: 1 run, 2 runs."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def percent(mean: float, sd: float = float("nan")) -> str:
    """Fractions as percent, mean ± standard deviation; a missing spread is left out."""
    if pd.isna(mean):
        return "–"
    return f"{100 * mean:.1f}" if pd.isna(sd) else f"{100 * mean:.1f} ± {100 * sd:.1f}"


def measured(metric: Metric, mean: float, sd: float = float("nan")) -> str:
    """A record's value, mean ± standard deviation, in the metric's unit; accuracies as percent do."""
    if metric.unit == "points":
        return percent(mean, sd)
    digits = metric.digits
    if pd.isna(mean):
        return "–"
    return f"{mean:.{digits}f}" if pd.isna(sd) else f"{mean:.{digits}f} ± {sd:.{digits}f}"


def duration(seconds: float) -> str:
    """Seconds for people: 40 s, 3 min 20 s, 2 h 5 min."""
    if pd.isna(seconds):
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"

"""The table of components: a row per combination, ✓ or ✗ per component, and the difference to the baseline."""

from collections.abc import Sequence

from ablate.records.metrics import METRICS, canonical
from ablate.report.analysis import Analysis
from ablate.report.page import numbers
from ablate.report.paper.differences import Measurements, Place, baseline_of, is_off, spread_of
from ablate.report.paper.table import Cell, PaperTable, Value, digits_of
from ablate.report.paper.wishes import Wishes
from ablate.report.study import tables

MOST = 24  # rows; a longer table belongs into an appendix, as leaderboard.csv has it
SPREADS = {"sd": "standard deviation over seeds", "interval": "half the 95 % interval of the mean over seeds"}


def table(analysis: Analysis, wishes: Wishes) -> PaperTable | None:
    """The table of a study; None where nothing finished that can be compared."""
    study = analysis.study
    if not study.axes or study.finished.empty:
        return None
    metrics = [canonical(name) for name in wishes.metrics] or [study.plan.metric]
    measured = {metric: Measurements(study, metric) for metric in metrics}
    main = measured[metrics[0]]
    axes = list(study.axes)
    shown = wishes.components or axes
    baseline = baseline_of(study.axes, study.plan.baseline)
    baseline = baseline if baseline in main.at else None
    places, chosen = _chosen(analysis, wishes, main, baseline, shown)
    if not places:
        return None
    delta = main.differences([([place], [baseline]) for place in places]) if baseline else []
    leaders = {m: each.leaders(places, less_is_better=METRICS[m].less_is_better) for m, each in measured.items()}
    rows = []
    for number, place in enumerate(places):
        row: list[Cell] = [_mark(axis, place[axes.index(axis)], study.axes[axis], wishes) for axis in shown]
        for metric, each in measured.items():
            values = each.of([place])
            mean = float(values.mean()) if len(values) else float("nan")
            spread = spread_of(values, wishes.spread)
            row.append(Value(mean, digits_of(METRICS[metric]), spread, strong=place in leaders[metric]))
        if baseline:
            d, digits = delta[number], digits_of(METRICS[metrics[0]])
            if place == baseline or d is None:
                row.append("–")
            else:
                row.append(Value(d.estimate, digits, low=d.low, high=d.high, signed=True))
        rows.append(tuple(row))
    heads = [wishes.of_axis(axis, tables.axis_name(axis)) for axis in shown]
    of_metrics = [wishes.names.get(metric, _headed(metric)) for metric in metrics]
    header = (*heads, *of_metrics, *(["Δ"] if baseline else []))
    caption = _caption(analysis, wishes, main, chosen, baseline is not None)
    return PaperTable("components", caption, header, tuple(rows), tuple(range(len(shown), len(header))))


def _chosen(
    analysis: Analysis, wishes: Wishes, main: Measurements, baseline: Place | None, shown: Sequence[str]
) -> tuple[list[Place], str]:
    """The combinations of the table in its order, and in words which these are."""
    study, axes = analysis.study, list(analysis.study.axes)
    board = [tuple(str(row[axis]) for axis in axes) for _, row in analysis.leaderboard.iterrows()]
    found = [place for place in board if place in main.at]
    words = f"All {numbers.count(len(found), 'combination')}"
    hidden = [axis for axis in axes if axis not in shown]
    if hidden:
        at = {axis: found[0][axes.index(axis)] for axis in hidden}
        found = [place for place in found if all(place[axes.index(axis)] == level for axis, level in at.items())]
        fixed = ", ".join(wishes.of_level(axis, level) for axis, level in at.items())
        words = f"{numbers.count(len(found), 'combination')} at {fixed}, the best by the holdout"
    for axis, levels in wishes.levels.items():
        found = [place for place in found if place[axes.index(axis)] in levels]
        words += f", without other levels of {wishes.of_axis(axis, tables.axis_name(axis))}"
    if len(found) > MOST:
        words = f"The {MOST} best of {len(board)} combinations by the holdout"
        kept = found[:MOST]
        if baseline and baseline not in kept and baseline in found:
            kept, words = [*kept, baseline], f"{words}, and the baseline"
        found = kept
    if baseline is None:
        return found, f"{words}, the best by the holdout first"
    start = baseline
    orders = {axis: list(wishes.levels.get(axis, study.axes[axis])) for axis in axes}

    def order(place: Place) -> tuple[object, ...]:
        changed = sum(a != b for a, b in zip(place, start, strict=True))
        return changed, [orders[axis].index(level) for axis, level in zip(axes, place, strict=True)]

    return sorted(found, key=order), f"{words}, the baseline first"


def _mark(axis: str, level: str, levels: Sequence[str], wishes: Wishes) -> str:
    """✗ for a level that is off, ✓ for the only other one; the level's name where there are more."""
    if not any(is_off(each) for each in levels):
        return wishes.of_level(axis, level)
    if is_off(level):
        return "✗"
    return "✓" if len(levels) == 2 else wishes.of_level(axis, level)


def _headed(metric: str) -> str:
    of = METRICS[metric]
    return f"{of.label}, %" if of.unit == "points" else f"{of.label}, {of.unit}"


def _caption(analysis: Analysis, wishes: Wishes, main: Measurements, chosen: str, has_baseline: bool) -> str:
    study, layout = analysis.study, main.layout
    parts = [f"{chosen}: mean after the last epoch over {numbers.count(layout.number_of_seeds, 'seed')}"]
    if layout.number_of_seeds > 1:
        parts[0] += f", ± {SPREADS[wishes.spread]}"
    parts.append(f"{len(study.finished)} runs in all{images_of(analysis)}")
    noise = main.noise
    if noise is not None:
        parts.append(
            "Bold: the best, and those that differ from it by no more than a simultaneous 95 % interval can separate"
        )
        if has_baseline:
            parts.append(
                "Δ: difference to the baseline, matched by seed, with simultaneous 95 % intervals "
                f"({noise.df:.4g} degrees of freedom)"
            )
    elif has_baseline:
        parts.append("Δ: difference to the baseline; one seed gives no interval")
    return ". ".join(parts) + "."


def images_of(analysis: Analysis) -> str:
    """How many images the test set has, in words that go on a sentence."""
    runs = analysis.study.runs
    if "test_images" not in runs or not runs["test_images"].notna().any():
        return ""
    counts = sorted({int(n) for n in runs["test_images"].dropna()})
    return f", judged on {' or '.join(f'{n:,}' for n in counts)} test images"

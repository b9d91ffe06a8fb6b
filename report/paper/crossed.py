"""The table of one axis by another: "76.1 → 77.0, +0.9 [0.5, 1.3]" for each level of the one."""

from ablate.records.metrics import METRICS, canonical
from ablate.report.analysis import Analysis
from ablate.report.page import numbers
from ablate.report.paper.components import SPREADS, images_of
from ablate.report.paper.differences import Measurements, Place, is_off, spread_of
from ablate.report.paper.table import Cell, PaperTable, Value, digits_of
from ablate.report.paper.wishes import Wishes
from ablate.report.study import tables


def table(analysis: Analysis, wishes: Wishes) -> PaperTable | None:
    """The table of two axes; None where no two levels of the one ran at a level of the other.

    Means are over the combinations of all other axes that finished at both levels.
    """
    study = analysis.study
    if (pair := _axes(analysis, wishes)) is None:
        return None
    down, across = pair
    metric = canonical(wishes.metrics[0]) if wishes.metrics else study.plan.metric
    measured, digits = Measurements(study, metric), digits_of(METRICS[metric])
    axes = list(study.axes)
    i, j = axes.index(down), axes.index(across)
    at_levels = wishes.levels.get(across) or sorted(study.axes[across], key=lambda level: not is_off(level))
    first, *others = at_levels
    rows_of = wishes.levels.get(down) or list(study.axes[down])

    def places(level: str, column: str) -> list[Place]:
        """With `column`, in the order of the rest, where both it and all other columns finished."""
        rest = sorted({_without(place, j) for place in measured.at if place[i] == level})
        return [_with(r, j, column) for r in rest if all(_with(r, j, c) in measured.at for c in at_levels)]

    asked = [(places(level, other), places(level, first)) for level in rows_of for other in others]
    found = iter(measured.differences(asked))
    rows = []
    for level in rows_of:
        row: list[Cell] = [wishes.of_level(down, level)]
        for column in at_levels:
            values = measured.of(places(level, column))
            mean = float(values.mean()) if len(values) else float("nan")
            row.append(Value(mean, digits, spread_of(values, wishes.spread)))
        for _ in others:
            d = next(found)
            row.append(Value(d.estimate, digits, low=d.low, high=d.high, signed=True) if d else "–")
        rows.append(tuple(row))
    if all(cell == "–" for row in rows for cell in row[1 + len(at_levels) :]):
        return None
    names = [_called(across, level, wishes) for level in at_levels]
    gains = ["Δ"] if len(others) == 1 else [f"Δ {name}" for name in names[1:]]
    header = (wishes.of_axis(down, tables.axis_name(down)), *names, *gains)
    name = f"{tables.axis_name(down)}_by_{tables.axis_name(across)}"
    return PaperTable(
        name, _caption(analysis, wishes, measured, pair, metric), header, tuple(rows), tuple(range(1, len(header)))
    )


def _axes(analysis: Analysis, wishes: Wishes) -> tuple[str, str] | None:
    """The axis of the rows and that of the columns, as wished, else: the axis with most levels by the one of which
    most is known."""
    study = analysis.study
    if len(study.axes) < 2:
        return None
    decisive = [effect.axis for effect in analysis.effects.decisive_first().axes if effect.axis in study.axes]
    rows = wishes.rows or max((a for a in study.axes if a != wishes.columns), key=lambda a: len(study.axes[a]))
    columns = wishes.columns or next((a for a in decisive if a != rows), None)
    return None if columns is None or columns == rows else (rows, columns)


def _without(place: Place, axis: int) -> Place:
    return (*place[:axis], *place[axis + 1 :])


def _with(rest: Place, axis: int, level: str) -> Place:
    return (*rest[:axis], level, *rest[axis:])


def _called(axis: str, level: str, wishes: Wishes) -> str:
    named = wishes.of_level(axis, level)
    return named if named != level else tables.level_name(axis, level)


def _caption(analysis: Analysis, wishes: Wishes, measured: Measurements, pair: tuple[str, str], metric: str) -> str:
    down, across = (wishes.of_axis(axis, tables.axis_name(axis)) for axis in pair)
    of, seeds = METRICS[metric], measured.layout.number_of_seeds
    unit = "%" if of.unit == "points" else of.unit
    spread = f", ± {SPREADS[wishes.spread]}" if seeds > 1 else ""
    others = len(analysis.study.axes) - 2
    over = f", averaged over {others} other {'axis' if others == 1 else 'axes'}" if others else ""
    parts = [f"{of.label[0].upper()}{of.label[1:]} in {unit} of each {down} by {across}{over}: mean over "
             f"{numbers.count(seeds, 'seed')}{spread}"]  # fmt: skip
    parts.append(f"{len(analysis.study.finished)} runs in all{images_of(analysis)}")
    if measured.noise is not None:
        parts.append(
            "Δ: matched by seed and all other levels, with simultaneous 95 % intervals over the table "
            f"({measured.noise.df:.4g} degrees of freedom)"
        )
    return ". ".join(parts) + "."

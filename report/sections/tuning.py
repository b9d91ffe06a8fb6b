"""The section Tuning: what was tried for each combination, what was chosen, and where the search was too narrow."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ablate.records.metrics import METRICS
from ablate.report.analysis import Analysis
from ablate.report.page import drawing, numbers
from ablate.report.page.blocks import MOST_ROWS, Block, Bullets, Link, Number, Paragraph, Picture, Section, Table, Text
from ablate.report.page.drawing import COLOURS
from ablate.report.study import tried
from ablate.report.study.gather import StudyData
from ablate.report.study.tried import Searched

SPREAD = 10  # from this ratio of the values tried on, they are drawn on a logarithmic scale


def section(analysis: Analysis) -> Section | None:
    """None of a study that is not tuned."""
    study = analysis.study
    tuning, found = study.plan.tuning, tried.searched(study)
    if tuning is None or not found:
        return None
    metric = METRICS[tuning.metric]
    runs = len(tuning.signatures())
    about = (
        f"Before the comparison, each combination got its own {' and '.join(tuning.space)}: the trial with the best "
        f"{metric.label}, averaged over {numbers.count(len(tuning.seeds), 'tuning seed')} "
        f"({', '.join(map(str, tuning.seeds))}), {numbers.count(runs, 'run')} in all. Neither these runs nor their "
        "seeds are part of the comparison. A trial without a result loses; of equal scores the first listed is taken."
    )
    blocks: list[Block] = [Paragraph(about)]
    for number, key in enumerate(tuning.space):
        if (figure := draw(study, key, found)) is not None:
            name = f"tuning_{number + 1}" if number else "tuning"
            alt = (
                f"{metric.label[0].upper()}{metric.label[1:]} against {key}, a line per combination; a ring marks the "
                "chosen value, a square one at the edge of the search"
            )
            blocks.append(Picture(name, alt, figure, draw(study, key, found, narrow=True)))
    blocks += [Bullets(tuple(_space(study))), _table(study, found)]
    more = f"{len(found) - MOST_ROWS} more combinations and every" if len(found) > MOST_ROWS else "Every"
    blocks.append(Paragraph((f"{more} trial: ", Link("tuning.csv", "tables/tuning.csv"), ".")))
    return Section("Tuning", tuple(blocks))


def _space(study: StudyData) -> list[str]:
    tuning = study.plan.tuning
    assert tuning is not None
    lines = [f"{key}: {', '.join(typed)}" for key, typed in tuning.space.items()]
    if any(tried.MULTIPLE.fullmatch(text) for typed in tuning.space.values() for text in typed):
        lines.append("x0.3 is 0.3 times the value that the combination has by itself.")
    return lines


def _table(study: StudyData, found: Sequence[Searched]) -> Table:
    """One row per combination: values tried and chosen, trials, the best score, and the lead over the runner-up."""
    tuning = study.plan.tuning
    assert tuning is not None
    metric, keys = METRICS[tuning.metric], list(tuning.space)
    rows: list[tuple[Text, ...]] = []
    for one in found[:MOST_ROWS]:
        ended = [trial for trial in one.trials if trial.finished]
        best = next((trial for trial in one.trials if trial.chosen), None)
        others = [trial.score for trial in ended if trial is not best and trial.score is not None]
        rows.append(
            (
                one.name,
                *(_values(one, key) for key in keys),
                *(_chosen(one, key) for key in keys),
                f"{len(ended)} of {len(one.trials)}",
                _score(tuning.metric, best.score if best else None, best.sd if best else None),
                _score(tuning.metric, (min if metric.less_is_better else max)(others) if others else None, None),
            )
        )
    header = ("combination", *(f"{key} tried" for key in keys), *(f"{key} chosen" for key in keys),
              "trials with a result", f"best {metric.label}, {tried.unit(tuning.metric)}", "next best")  # fmt: skip
    places = tuple(range(1 + 2 * len(keys), len(header)))
    return Table("What was tried and chosen", header, tuple(rows), places)


def _values(one: Searched, key: str) -> str:
    values = list(dict.fromkeys(trial.values[key] for trial in one.trials if key in trial.values))
    return ", ".join(values) or "not read"


def _chosen(one: Searched, key: str) -> str:
    if one.failed:
        return "no trial has a result"
    if key in one.edges:
        return f"{one.chosen[key]} (at the edge: try {one.edges[key]})"
    return one.chosen.get(key, "–")


def _score(metric: str, mean: float | None, sd: float | None) -> Number:
    missing = float("nan")
    text = numbers.measured(METRICS[metric], missing if mean is None else mean, missing if sd is None else sd)
    return Number(text, mean)


def draw(study: StudyData, key: str, found: Sequence[Searched], *, narrow: bool = False) -> Figure | None:
    """The score against a tuned value, a line per combination (of each value its best trial), the choices ringed."""
    tuning = study.plan.tuning
    assert tuning is not None
    lines = [(one, line) for one in found if len(line := _line(tuning.metric, one, key)) > 1]
    if not lines:
        return None
    texts = list(dict.fromkeys(value for _, line in lines for value, _ in line))
    values = [tried.number_of(text) for text in texts]
    known = [value for value in values if value is not None]
    place = {t: float(v) for t, v in zip(texts, values, strict=True) if v is not None}
    if len(known) < len(texts):
        place = {text: float(number) for number, text in enumerate(texts)}
    figure = Figure(figsize=(drawing.NARROW if narrow else 7.0, 3.4 if narrow else 3.8), layout="constrained")
    axes = figure.add_subplot()
    for number, (one, line) in enumerate(lines):
        points = sorted((place[value], score) for value, score in line)
        _draw_line(axes, one, number, points, place.get(one.chosen.get(key, "")), at_edge=key in one.edges)
    if len(known) < len(texts):
        axes.set_xticks(list(place.values()), [drawing.short(text, 20) for text in texts])
    elif min(known) > 0 and max(known) / min(known) >= SPREAD:
        axes.set_xscale("log")
    axes.set_xlabel(key)
    axes.set_ylabel(f"{METRICS[tuning.metric].label}, {tried.unit(tuning.metric)}", fontsize=9)
    axes.grid(True, linewidth=0.4, alpha=0.5)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=1 if narrow else 3, frameon=False, fontsize=8)
    return figure


def _line(metric: str, one: Searched, key: str) -> list[tuple[str, float]]:
    """(value, score of its best trial) of each value with a result."""
    best: dict[str, float] = {}
    pick = min if METRICS[metric].less_is_better else max
    for trial in one.trials:
        if trial.score is not None and key in trial.values:
            score = METRICS[metric].scale * trial.score
            best[trial.values[key]] = pick(score, best.get(trial.values[key], score))
    return list(best.items())


def _draw_line(
    axes: Axes, one: Searched, number: int, line: Sequence[tuple[float, float]], chosen: float | None, *, at_edge: bool
) -> None:
    colour = COLOURS[number % len(COLOURS)]
    label = drawing.short(one.name, 40) if number < len(COLOURS) else None
    axes.plot(*zip(*line, strict=True), color=colour, marker=".", linewidth=1.4, label=label,
              linestyle=drawing.STYLES[number // len(COLOURS) % len(drawing.STYLES)])  # fmt: skip
    for x, at in (point for point in line if point[0] == chosen):
        axes.plot([x], [at], marker="s" if at_edge else "o", markersize=10, markerfacecolor="none",
                  markeredgecolor=colour, linestyle="none")  # fmt: skip

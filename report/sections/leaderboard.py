"""The section Leaderboard: every combination with a finished run, ranked by the holdout."""

import pandas as pd

from ablate.records.metrics import METRICS, Metric, on_the_holdout
from ablate.records.study_plan import NOT_READ
from ablate.report.analysis import Analysis
from ablate.report.page import numbers
from ablate.report.page.blocks import MOST_ROWS, Inline, Link, Number, Paragraph, Section, Table, Text
from ablate.report.study import tables

SHARES = {"holdout_accuracy": "holdout %", "test_accuracy": "test %"}
SIZES = {"parameters": "parameters, M", "multiply_adds": "multiply-adds, M"}  # of a network


def section(analysis: Analysis) -> Section:
    """Combinations that tie with the first are bold and marked =."""
    study, board, ranking = analysis.study, analysis.leaderboard, analysis.ranking
    if board.empty:
        return Section("Leaderboard", (Paragraph("No run has finished yet."),))
    # Of a study that is judged by another metric: that one, and the one by which it is ranked.
    first = tables.ranked_by(study.finished, study.plan.metric)
    result = tables.result_of(study.finished, study.plan.metric)
    sizes = [name for name in SIZES if name in board and board[name].notna().any()]
    own = [name for name in dict.fromkeys([study.plan.metric, first or ""]) if name and name not in tables.SHOWN]
    shown = [name for name in tables.SHOWN if f"{name}_mean" in board]
    baseline = _baseline(analysis, result)
    timed = study.origin is None or bool(board["seconds"].notna().any())
    tuned = list(study.plan.tuning.space) if study.plan.tuning is not None else []
    chosen = study.chosen
    rows = []
    ranked = list(enumerate((row for _, row in board.head(MOST_ROWS).iterrows()), start=1))
    in_order = analysis.effects.design == "cumulative"
    for rank, row in sorted(ranked, key=lambda one: one[1]["cell"]) if in_order else ranked:
        tied = first is not None and (rank == 1 or (ranking is not None and row["cell"] in ranking.ties))
        rows.append(
            (
                Number(f"{rank} =" if tied and rank > 1 else str(rank), rank, strong=tied),
                *(tables.level_of(row, axis) for axis in study.axes),
                *(chosen.get(int(row["cell"]), {}).get(key, "–") for key in tuned),
                *(_measured(row, metric) for metric in own),
                *(_percent(row, name, tied) for name in ("holdout_accuracy", "test_accuracy") if name in shown),
                *([_interval(METRICS[result], row[f"{result}_mean"], ranking.half(row["n"]))] if ranking else []),
                *([_difference(METRICS[result], row[f"{result}_mean"], baseline)] if baseline is not None else []),
                *([_percent(row, "best_holdout_test_accuracy")] if "best_holdout_test_accuracy" in shown else []),
                *(_size(row[name]) for name in sizes),
                *([_whole(row["images_per_second"])] if "images_per_second" in board else []),
                *([Number(numbers.duration(row["seconds"]), row["seconds"])] if timed else []),
                _runs(analysis, int(row["cell"])),
            )
        )
    header = ("rank" if first else "#", *study.axes, *(f"{key} (tuned)" for key in tuned),
              *(_headed(name) for name in own),
              *(SHARES[name] for name in ("holdout_accuracy", "test_accuracy") if name in shown),
              *(["95 % interval"] if ranking else []), *(["Δ baseline"] if baseline is not None else []),
              *(["test % at best holdout epoch"] if "best_holdout_test_accuracy" in shown else []),
              *(SIZES[name] for name in sizes), *(["images/s"] if "images_per_second" in board else []),
              *(["time per run"] if timed else []), "runs by seed")  # fmt: skip
    about = _about(analysis, first)
    if study.origin is None and first == "holdout_accuracy" and on_the_holdout(study.plan.metric) != first:
        about += f" Not every run has its {METRICS[on_the_holdout(study.plan.metric)].label}."
    figures = tuple(range(1 + len(study.axes) + len(tuned), len(header) - 1))
    falling = tuple(i for i in figures if header[i] not in ("time per run", *SIZES.values()))
    order = "the best by the holdout first" if first else "in the order of the runs"
    order = "in the order of the steps" if in_order else order
    table = Table(f"Combinations, {order}", header, tuple(rows), figures, falling)
    more = len(board) - len(rows)
    opening = f"{more} more combinations: " if more > 0 else "The same as a table: "
    csv = Paragraph((opening, Link("leaderboard.csv", "tables/leaderboard.csv"), "."))
    honest = (Paragraph(_honest_best(analysis, result)),) if first else ()
    return Section("Leaderboard", (Paragraph(about), *honest, table, csv))


def _about(analysis: Analysis, first: str | None) -> str:
    """What the figures are, and by what they are ranked."""
    origin = analysis.study.origin
    text = f"Mean ± standard deviation over seeds{', after the last epoch' if origin is None else ''}."
    if first is None:
        return f"{text} Nothing is ranked: there is no holdout, and the best of those tested would flatter."
    if origin is None:
        why = "the holdout is cut from the training set, so that nothing is chosen on the test set"
        return f"{text} Ranked by {METRICS[first].label}: {why}."
    return f"{text} Ranked by {METRICS[first].label}, the column {origin.columns['holdout metric']}."


def _honest_best(analysis: Analysis, result: str) -> str:
    """The best by the holdout, and what to think of the best on the test set."""
    study, board, ranking = analysis.study, analysis.leaderboard, analysis.ranking
    best = board.iloc[0]
    metric = METRICS[result]
    percent = " %" if metric.unit == "points" else ""
    value = numbers.measured(metric, best[f"{result}_mean"], best[f"{result}_sd"])
    part = "also chose it and flatters" if result.startswith("holdout_") else "played no part in choosing it"
    text = (
        f"The best by the holdout: {tables.in_a_sentence(study, best)}; its {metric.label}, {value}{percent}, {part}."
    )
    means = board[f"{result}_mean"]
    highest = board.iloc[int(means.argmin() if metric.less_is_better else means.argmax())]
    if highest["cell"] != best["cell"]:
        text += (
            f" The {'lowest' if metric.less_is_better else 'highest'} mean on the test set, "
            f"{numbers.measured(metric, highest[f'{result}_mean'])}{percent} by "
            f"{tables.in_a_sentence(study, highest)}, is the luckiest of {len(board)} and flatters."
        )
    if ranking is None:
        return f"{text} Without a spread over seeds, ties are unknown."
    others = len(ranking.ties) - 1
    if not others:
        return f"{text} No other combination ties with it."
    tie = "ties" if others == 1 else "tie"
    return f"{text} {numbers.count(others, 'other combination')} {tie} with it by the holdout (marked =)."


def _headed(metric: str) -> str:
    unit = METRICS[metric].unit
    return f"{METRICS[metric].label}{' %' if unit == 'points' else f', {unit}'}"


def _measured(row: pd.Series, metric: str) -> Text:
    mean, sd = row[f"{metric}_mean"], row[f"{metric}_sd"]
    return Number(numbers.measured(METRICS[metric], mean, sd), mean)


def _percent(row: pd.Series, metric: str, strong: bool = False) -> Number:
    mean = row[f"{metric}_mean"]
    return Number(numbers.percent(mean, row[f"{metric}_sd"]), mean, strong)


def _baseline(analysis: Analysis, result: str) -> float | None:
    """The mean result of the plan's baseline, where it names one that finished."""
    study, board = analysis.study, analysis.leaderboard
    named = dict.fromkeys(study.axes, NOT_READ) | study.plan.baseline
    here = board[[all(row[axis] == named[axis] for axis in study.axes) for _, row in board.iterrows()]]
    return None if here.empty else float(here[f"{result}_mean"].iloc[0])


def _difference(metric: Metric, mean: float, baseline: float) -> Number:
    digits = 1 if metric.unit == "points" else metric.digits
    text = f"{metric.scale * (mean - baseline):+.{digits}f}".replace("-", "−")
    return Number("0" if mean == baseline else text, mean - baseline)


def _size(value: float) -> Number:
    """A count in millions."""
    return Number("–" if pd.isna(value) else f"{value / 1e6:.3g}", value)


def _whole(value: float) -> Number:
    return Number("–" if pd.isna(value) else f"{value:,.0f}", value)


def _runs(analysis: Analysis, cell: int) -> Text:
    """Each finished seed of a combination, as a link to its run's folder."""
    study = analysis.study
    runs = study.runs[study.runs["cell"] == cell]
    found: list[Inline] = []
    for _, run in runs[runs["state"] == "DONE"].sort_values("seed").iterrows():
        seed = str(run["seed"])
        found += [
            *([" "] if found else []),
            Link(seed, f"{study.from_report}/{run['folder']}") if run["folder"] else seed,
        ]
    missing = len(runs) - int((runs["state"] == "DONE").sum())
    return (*found, f" ({missing} unfinished)") if missing else tuple(found)


def _interval(metric: Metric, mean: float, half: float) -> Text:
    low, high = (numbers.measured(metric, end) for end in (mean - half, mean + half))
    return Number(f"{low} to {high}", mean - half)

"""The section Leaderboard: every combination with a finished run, ranked by the holdout."""

import pandas as pd

from ablate.records.metrics import METRICS, on_the_holdout
from ablate.report.analysis import Analysis
from ablate.report.page import numbers
from ablate.report.page.blocks import MOST_ROWS, Inline, Link, Number, Paragraph, Section, Table, Text
from ablate.report.study import tables

SIZES = {"parameters": "parameters, M", "multiply_adds": "multiply-adds, M"}  # of a network


def section(analysis: Analysis) -> Section:
    """Combinations that tie with the first are bold and marked =."""
    study, board, ranking = analysis.study, analysis.leaderboard, analysis.ranking
    if board.empty:
        return Section("Leaderboard", (Paragraph("No run has finished yet."),))
    # Of a study that is judged by another metric: that one, and the one by which it is ranked.
    first = tables.ranked_by(study.finished, study.plan.metric)
    sizes = [name for name in SIZES if name in board and board[name].notna().any()]
    own = [name for name in dict.fromkeys([study.plan.metric, first]) if name not in tables.SHOWN]
    baseline = _baseline(analysis)
    tuned = list(study.plan.tuning.space) if study.plan.tuning is not None else []
    chosen = study.chosen
    rows = []
    for rank, (_, row) in enumerate(board.head(MOST_ROWS).iterrows(), start=1):
        tied = rank == 1 or (ranking is not None and row["cell"] in ranking.ties)
        rows.append(
            (
                Number(f"{rank} =" if tied and rank > 1 else str(rank), rank, strong=tied),
                *(str(row[axis]) for axis in study.axes),
                *(chosen.get(int(row["cell"]), {}).get(key, "–") for key in tuned),
                *(_measured(row, metric) for metric in own),
                _percent(row, "holdout_accuracy", tied),
                _percent(row, "test_accuracy", tied),
                *([_interval(row["test_accuracy_mean"], ranking.half(row["n"]))] if ranking else []),
                *([_difference(row["test_accuracy_mean"], baseline)] if baseline is not None else []),
                _percent(row, "best_holdout_test_accuracy"),
                *(_size(row[name]) for name in sizes),
                *([_whole(row["images_per_second"])] if "images_per_second" in board else []),
                Number(numbers.duration(row["seconds"]), row["seconds"]),
                _runs(analysis, int(row["cell"])),
            )
        )
    header = ("rank", *study.axes, *(f"{key} (tuned)" for key in tuned), *(_headed(name) for name in own),
              "holdout %", "test %",
              *(["95 % interval"] if ranking else []), *(["Δ baseline"] if baseline is not None else []),
              "test % at best holdout epoch", *(SIZES[name] for name in sizes),
              *(["images/s"] if "images_per_second" in board else []), "time per run", "runs by seed")  # fmt: skip
    about = (
        f"Mean ± standard deviation over seeds, after the last epoch. Ranked by {METRICS[first].label}: the holdout "
        "is cut from the training set, so that nothing is chosen on the test set."
    )
    if first == "holdout_accuracy" and on_the_holdout(study.plan.metric) != first:
        about += f" Not every run has its {METRICS[on_the_holdout(study.plan.metric)].label}."
    figures = tuple(range(1 + len(study.axes) + len(tuned), len(header) - 1))
    falling = tuple(i for i in figures if header[i] not in ("time per run", *SIZES.values()))
    table = Table("Combinations, the best by the holdout first", header, tuple(rows), figures, falling)
    more = len(board) - len(rows)
    opening = f"{more} more combinations: " if more > 0 else "The same as a table: "
    csv = Paragraph((opening, Link("leaderboard.csv", "tables/leaderboard.csv"), "."))
    return Section("Leaderboard", (Paragraph(about), Paragraph(_honest_best(analysis)), table, csv))


def _honest_best(analysis: Analysis) -> str:
    """The best by the holdout, and what to think of the best on the test set."""
    study, board, ranking = analysis.study, analysis.leaderboard, analysis.ranking
    best = board.iloc[0]
    text = (
        f"The best by the holdout: {tables.in_a_sentence(study, best)}; its test accuracy, "
        f"{numbers.percent(best['test_accuracy_mean'], best['test_accuracy_sd'])} %, played no part in choosing it."
    )
    highest = board.iloc[int(board["test_accuracy_mean"].argmax())]
    if highest["cell"] != best["cell"]:
        text += (
            f" The highest mean on the test set, {numbers.percent(highest['test_accuracy_mean'])} % by "
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


def _baseline(analysis: Analysis) -> float | None:
    """The mean test accuracy of the plan's baseline, where it names one that finished."""
    study, board = analysis.study, analysis.leaderboard
    levels = study.plan.baseline
    if not set(study.axes) <= set(levels):
        return None
    here = board[[all(row[axis] == levels[axis] for axis in study.axes) for _, row in board.iterrows()]]
    return None if here.empty else float(here["test_accuracy_mean"].iloc[0])


def _difference(mean: float, baseline: float) -> Number:
    text = f"{100 * (mean - baseline):+.1f}".replace("-", "−")
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
        found += [*([" "] if found else []), Link(str(run["seed"]), f"{study.from_report}/{run['folder']}")]
    missing = len(runs) - int((runs["state"] == "DONE").sum())
    return (*found, f" ({missing} unfinished)") if missing else tuple(found)


def _interval(mean: float, half: float) -> Text:
    return Number(f"{100 * (mean - half):.1f} to {100 * (mean + half):.1f}", mean - half)

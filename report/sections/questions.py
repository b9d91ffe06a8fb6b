"""The section that puts an earlier study's answers next to the means and verdicts found here."""

from ablate.records.metrics import METRICS
from ablate.report.analysis import Analysis
from ablate.report.answers import findings, sentences
from ablate.report.page import numbers
from ablate.report.page.blocks import Block, Bullets, Paragraph, Section, Strong, Table
from ablate.report.study import tables
from ablate.report.study.gather import StudyData

LEVELS_SHOWN = 5


def section(analysis: Analysis) -> Section | None:
    """One row per finding of the plan's reference; nothing where the plan has none."""
    reference = analysis.study.plan.reference
    if reference is None:
        return None
    rows = tuple(
        (str(number), one.finding.question, one.finding.answer, _here(analysis, one.finding.axis),
         (Strong(str(one.judgement)), f": {one.reason}"))
        for number, one in enumerate(findings.findings(analysis), start=1)
    )  # fmt: skip
    blocks: list[Block] = [
        Paragraph(
            f"Compared with {reference.title}. Its answers are listed next to what was measured here: the mean "
            f"{analysis.metric.label} of each level, the best first, over what finished at every level of its axis, "
            "± the standard deviation over seeds; and the verdict, which the answers above explain. Ours confirms a "
            "finding where a real difference has the claimed sign, or where none exceeds the smallest difference worth "
            "caring about and none was claimed; it contradicts one where the opposite holds."
        ),
        Bullets(
            (
                (Strong("The best of the original"), f": {reference.best}"),
                (Strong("The best here"), f": {_best(analysis)}"),
                (Strong("Trained here"), f": {_trained(analysis.study)} Where data or budget differ from the "
                 "original's, compare the order of the levels, not the figures."),
            )
        ),
    ]  # fmt: skip
    if rows:
        header = ("#", "question", "the original", "here", "judgement")
        blocks.append(Table("The earlier study's questions, its answers and ours", header, rows, (0,)))
    return Section("Questions", tuple(blocks))


def _best(analysis: Analysis) -> str:
    board = analysis.leaderboard
    if board.empty:
        return "no run has finished yet"
    best = board.iloc[0]
    accuracy = numbers.percent(best["test_accuracy_mean"], best["test_accuracy_sd"])
    return (
        f"{tables.in_a_sentence(analysis.study, best)}, {accuracy} % test accuracy "
        f"({numbers.count(best['n'], 'seed')}); chosen by the holdout among {numbers.count(len(board), 'combination')}"
    )


def _trained(study: StudyData) -> str:
    data = "; ".join(study.data) or "nothing yet"
    what, planned = ("updates", study.steps_planned) if study.steps_planned else ("epochs", study.epochs_planned)
    return f"{data}" + (f"; {what}: {', '.join(map(str, planned))}." if planned else ".")


def _here(analysis: Analysis, axis: str) -> str:
    """What was measured of one axis, and its verdict."""
    names = [one.name for one in analysis.study.comparisons if one.axis == axis]
    if not names:
        return "not varied here"
    found = [_compared(analysis, name) for name in names]
    return "; ".join(f"{name}: {said}" if name != axis else said for name, said in zip(names, found, strict=True))


def _compared(analysis: Analysis, axis: str) -> str:
    """The same of one comparison."""
    table = analysis.levels.get(axis)
    if table is None:
        return "no run has finished yet"
    if not table.matched:
        return "nothing to compare yet: no combination of the other axes has finished at every level"
    verdict = next(str(effect.verdict) for effect in analysis.effects.axes if effect.axis == axis)
    what = METRICS[analysis.effects.metric]
    unit = "%" if what.unit == "points" else what.unit
    ranked = table.levels.sort_values("mean", ascending=what.less_is_better, kind="stable").to_dict("records")
    means = [
        f"{tables.level_name(axis, r['level'])} {numbers.measured(what, r['mean'], r['sd'])} {unit}" for r in ranked
    ]
    shown = ", ".join(means[:LEVELS_SHOWN])
    if len(means) > LEVELS_SHOWN:
        shown += f" and {numbers.count(len(means) - LEVELS_SHOWN, 'level')} below"
    between = what.scale * abs(ranked[0]["mean"] - ranked[1]["mean"])
    gap = f"difference of the first two {between:.{max(1, what.digits - 1)}f} {what.unit}"
    noise = "with one seed, so the noise is unknown" if table.seeds == 1 else f"over {table.seeds} seeds"
    same = sentences.copies(table)
    return f"{shown}; {gap} {noise}; verdict: {verdict}" + (f". {same}" if same else "")

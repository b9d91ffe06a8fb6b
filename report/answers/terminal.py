"""The answers as lines for a terminal, in the order of the page."""

from ablate.report.analysis import Analysis
from ablate.report.answers import best, next_step, rows, sentences
from ablate.report.study import at_its_best, tables


def lines(analysis: Analysis) -> list[str]:
    """What the study was, the best combination, a row per axis and the next command. Plain text of any width."""
    found = [f"{analysis.study.plan.name}: {best.what_it_was(analysis.study)}"]
    if question := best.question(analysis.study):
        found.insert(0, f"Question: {question}")
    if (top := best.best(analysis)) is not None:
        found += ["", f"Best: {top.name}. {best.in_words(top)}", *_indented(top.command)]
    shown = rows.rows(analysis)
    if shown:
        name = max(len(tables.axis_name(row.axis)) for row in shown)
        badge = max(len(row.badge) for row in shown)
        found.append("")
    for row in shown:
        lead = f"{row.level} {rows.lead_in_words(analysis.effects, row)}".strip()
        said = ". ".join(filter(None, (lead, row.sentence)))
        found.append(f"{tables.axis_name(row.axis):{name}}  {row.badge:{badge}}  {said}".rstrip())
        found += [f"{'':{name + badge + 4}}! {caveat}" for caveat in row.caveats]
    caveats = sentences.warnings_of_all(sentences.facts_of(analysis)) if shown else []
    found += ["", f"Read with care: {'; '.join(caveats)}."] if caveats else []
    following = next_step.step(analysis)
    found += ["", f"Next: {following.why}", *_indented(following.command)]
    for axis, command in sentences.commands_at_best(analysis).items():
        found += ["", f"Each {tables.axis_name(axis)} at its best: {at_its_best.WHY}", *_indented(command)]
    return found


def _indented(commands: str) -> list[str]:
    return [f"    {command}" for command in commands.splitlines()]

"""The section on what else could change the answers: runs that did not finish, and other test images."""

from ablate.report.analysis import Analysis
from ablate.report.answers.sentences import number
from ablate.report.checks.robustness import Robustness
from ablate.report.page.blocks import Block, Bullets, Paragraph, Section, Table
from ablate.report.stats.verdicts import Effects
from ablate.report.study import tables


def section(analysis: Analysis) -> Section | None:
    """Nothing where all finished and no predictions are there."""
    effects, found = analysis.effects, analysis.robustness
    blocks = (*_failures(found), *_chance(effects, found), *_images(effects, found))
    return Section("What else could change the answers", blocks) if blocks else None


def _failures(found: Robustness) -> tuple[Block, ...]:
    if not found.failures:
        return ()
    ends = {"DIVERGED": "diverged", "OOM": "out of memory", "FAILED": "failed"}
    rows = tuple(
        (s.axis, tables.level_name(s.axis, s.level), ends[s.state], f"{s.count} of {s.runs}",
         f"{100 * s.low:.0f} to {100 * s.high:.0f} %")
        for s in found.failures
    )  # fmt: skip
    about = (
        "Runs that ended without a result, per level. Divergence is an outcome, lack of memory a limit of the "
        "budget; a failure says nothing about the level until it happens again. The share is Clopper and Pearson's "
        "exact 95 % interval."
    )
    header = ("axis", "level", "end", "runs", "share")
    return Paragraph(about), Table("Runs without a result, per level", header, rows, (3, 4))


def _chance(effects: Effects, found: Robustness) -> tuple[Block, ...]:
    if not found.with_chance:
        return ()
    lines = []
    for s in found.with_chance:
        c = s.contrast
        level, other = (tables.level_name(s.axis, name) for name in (c.level, c.other))
        interval = ""
        if c.low is not None and c.high is not None:
            interval = f" [{number(effects, c.low)}, {number(effects, c.high)}]"
        said = "the same verdict" if s.verdict == s.otherwise else f"{s.otherwise} instead of {s.verdict}"
        lines.append(f"{s.axis}: {said}; {level} − {other} = {number(effects, c.estimate or 0.0)} points{interval}")
    opening = f"If runs that diverged counted as guessing ({100 * found.chance:.3g} %):"
    return Paragraph(opening), Bullets(tuple(lines))


def _images(effects: Effects, found: Robustness) -> tuple[Block, ...]:
    if not found.images:
        return (Paragraph(f"There is no interval for new images: {found.why}."),) if found.why and effects.noise else ()
    rows = []
    for i in found.images:
        level, other = (tables.level_name(i.axis, name) for name in (i.level, i.other))
        interval = "–" if i.low is None or i.high is None else f"{number(effects, i.low)} to {number(effects, i.high)}"
        rows.append((i.axis, f"{level} − {other}", f"{i.se_images:.2f}", interval, f"{i.apart} of {i.pairs}"))
    about = (
        f"The {found.images[0].images} test images are a sample too. The answers above are about these images; the "
        "interval for new images adds the sampling error of the difference, sqrt(Var(d)/n), to that of the seeds. "
        "Different checkpoints: of the pairs of runs that differ in this axis alone, those whose predictions differ on "
        "these images by McNemar's exact test (Holm over pairs). It compares checkpoints and is no test of a "
        "recipe: two seeds of one recipe differ by it too."
    )
    header = ("axis", "difference", "error by the images", "interval for new images", "different checkpoints")
    return Paragraph(about), Table("The same differences for new images", header, tuple(rows), (2, 3, 4))

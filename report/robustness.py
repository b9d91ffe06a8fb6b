"""The section on what else could change the answers: runs that did not finish, and other test images."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from ablate.record import RunFolder

from . import analyse, failures, images
from .failures import Sensitivity, Share
from .gather import Study
from .images import OnImages
from .info import Effects
from .page import Block, Bullets, Paragraph, Section, Table
from .words import number


@dataclass(frozen=True)
class Robustness:
    """`why` says why there is nothing on images, where there is nothing."""

    failures: list[Share]
    with_chance: list[Sensitivity]
    chance: float  # 1 / classes; 0 where no record names the classes
    images: list[OnImages]
    why: str


def of(study: Study, effects: Effects) -> Robustness:
    """Look at what did not finish, and at the predictions of what did."""
    classes = _classes(study)
    right: dict[str, images.Right] = {}
    why = ""
    if effects.metric == "test_accuracy":
        right, why = images.correct(study)
    return Robustness(
        failures=failures.shares(study.runs, study.axes),
        with_chance=failures.with_chance(study.runs, study.axes, study.plan, classes),
        chance=1 / classes if classes else 0.0,
        images=images.on_images(study, effects, right) if right else [],
        why=why,
    )


def _classes(study: Study) -> int:
    """The number of classes, by the first record that names them; 0 where none does."""
    for name in study.runs["folder"]:
        if name:
            try:
                return len(RunFolder(study.folder / name).read()["data"]["classes"])
            except (ValueError, KeyError, TypeError):
                continue
    return 0


def section(effects: Effects, found: Robustness) -> Section | None:
    """The section; nothing where all finished and no predictions are there."""
    blocks = (*_failures(found), *_chance(effects, found), *_images(effects, found))
    return Section("What else could change the answers", blocks) if blocks else None


def _failures(found: Robustness) -> tuple[Block, ...]:
    if not found.failures:
        return ()
    ends = {"DIVERGED": "diverged", "OOM": "out of memory", "FAILED": "failed"}
    rows = tuple(
        (s.axis, analyse.level_name(s.axis, s.level), ends[s.state], f"{s.count} of {s.runs}",
         f"{100 * s.low:.0f} to {100 * s.high:.0f} %")
        for s in found.failures
    )  # fmt: skip
    about = (
        "Runs that ended without a result, per level. Divergence is an outcome, lack of memory a limit of the "
        "budget, a failure nothing of the level's until it happens again; the share is Clopper and Pearson's exact "
        "95 % interval."
    )
    header = ("axis", "level", "end", "runs", "share")
    return Paragraph(about), Table("Runs without a result, per level", header, rows, (3, 4))


def _chance(effects: Effects, found: Robustness) -> tuple[Block, ...]:
    if not found.with_chance:
        return ()
    lines = []
    for s in found.with_chance:
        c = s.contrast
        level, other = (analyse.level_name(s.axis, name) for name in (c.level, c.other))
        interval = ""
        if c.low is not None and c.high is not None:
            interval = f" [{number(effects, c.low)}, {number(effects, c.high)}]"
        said = "the same verdict" if s.verdict == s.otherwise else f"{s.otherwise} instead of {s.verdict}"
        lines.append(f"{s.axis}: {said}; {level} − {other} = {number(effects, c.estimate or 0.0)} points{interval}")
    opening = f"If runs that diverged counted as guessing ({100 * found.chance:.3g} %):"
    return Paragraph(opening), Bullets(tuple(lines))


def _images(effects: Effects, found: Robustness) -> tuple[Block, ...]:
    if not found.images:
        return (Paragraph(f"Nothing is said of new images: {found.why}."),) if found.why and effects.noise else ()
    rows = []
    for i in found.images:
        level, other = (analyse.level_name(i.axis, name) for name in (i.level, i.other))
        interval = "–" if i.low is None or i.high is None else f"{number(effects, i.low)} to {number(effects, i.high)}"
        rows.append((i.axis, f"{level} − {other}", f"{i.se_images:.2f}", interval, f"{i.apart} of {i.pairs}"))
    about = (
        f"The {found.images[0].images} test images are a sample too. The answers above are about these images; the "
        "interval for new images adds the sampling error of the difference, sqrt(Var(d)/n), to that of the seeds. "
        "Pairs of checkpoints apart: of the runs that differ in this axis alone, those whose checkpoints differ on "
        "these images by McNemar's exact test (Holm over pairs). It is about these checkpoints and no test of a "
        "recipe: two seeds of one recipe differ by it too."
    )
    header = ("axis", "difference", "error by the images", "interval for new images", "pairs of checkpoints apart")
    return Paragraph(about), Table("The same differences for new images", header, tuple(rows), (2, 3, 4))


def results(found: Robustness) -> dict[str, Any]:
    """The same as plain types."""
    return dataclasses.asdict(found)

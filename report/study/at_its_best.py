"""The command that compares each level at its best, instead of at the mean over what is nested in it."""

import re
import shlex

from ablate.report.study.compared import above
from ablate.report.study.gather import StudyData

WHY = "this study compares means over nested levels; this one tunes these and compares the best of each."


def commands(study: StudyData) -> dict[str, str]:
    """{axis with others nested in its levels: the study's own command with those tuned}; without one that is ours."""
    nested = study.plan.nested
    found = {}
    for axis in study.axes:
        below = [name for name in study.axes if axis in above(name, nested)]
        words = next((words_of(a.command) for a in study.plan.amendments if words_of(a.command)), [])
        if below and words:
            found[axis] = shlex.join([_tuned(word, below) for word in words])
    return found


def _tuned(word: str, keys: list[str]) -> str:
    """A word of a command with some of its sweeps, also those of study.when, turned into tuned ones."""
    key, _, text = word.partition("=")
    if key in keys:
        return f"tune.{word}"
    if key != "study.when":
        return word
    pattern = "|".join(map(re.escape, keys))
    # In a condition, which a colon ends without a comma, a key is compared and not swept.
    return f"{key}=" + re.sub(rf"(?<![\w.])({pattern})=(?![^,:]*:)", r"tune.\1=", text)


def words_of(command: object) -> list[str]:
    """The words of a recorded command; none where it is not one of ours, whatever a record says."""
    try:
        words = shlex.split(str(command))
    except ValueError:
        return []
    return words if words[:3] == ["python", "-m", "ablate"] else []

"""The command that compares each level at its best, instead of at the mean over what is nested in it."""

import re
import shlex
from collections.abc import Mapping, Sequence

from ablate.report.study.gather import StudyData

WHY = "this study compares means over nested levels; this one tunes these and compares the best of each."


def commands(study: StudyData, means: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """{axis whose levels are means over others: the study's own command with those tuned}; none that is not ours.

    means: {axis: the axes that each of its levels is a mean over}. Settings that move together cannot be tuned so.
    """
    words = next((words_of(a.command) for a in study.plan.amendments if words_of(a.command)), [])
    tunable = {axis: over for axis, over in means.items() if over and not any("+" in name for name in over)}
    return {axis: shlex.join([_tuned(word, over) for word in words]) for axis, over in tunable.items() if words}


def _tuned(word: str, keys: Sequence[str]) -> str:
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

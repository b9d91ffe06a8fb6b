"""Whether anything was learnt: runs that are no better than guessing, and what one test image is worth."""

import pandas as pd
from scipy.stats import binom

from ablate.records.study_plan import StudyPlan

LEVEL = 0.05  # over all runs of the study


def unlearnt(runs: pd.DataFrame, plan: StudyPlan) -> dict[str, list[str]]:
    """{axis: levels at which no finished run is better than guessing}, by the exact binomial test.

    Bonferroni over runs. Axes without such a level are left out. `runs` is gather's table.
    """
    done = runs[runs["state"] == "DONE"]
    if not {"test_accuracy", "classes", "test_images"} <= set(done.columns):
        return {}
    done = done[(done["classes"] > 1) & (done["test_images"] > 0) & done["test_accuracy"].notna()]
    if done.empty:
        return {}
    right = (done["test_accuracy"] * done["test_images"]).round()
    p = binom.sf(right - 1, done["test_images"].astype(int), 1 / done["classes"])
    guesses = pd.Series(p > LEVEL / len(done), index=done.index)
    found = {}
    for axis, levels in plan.axes.items():
        of_level = guesses.groupby(done[axis]).all()
        if named := [level for level in levels if bool(of_level.get(level, False))]:
            found[axis] = named
    return found


def resolution(runs: pd.DataFrame) -> float:
    """What one test image is worth, in points; 0 where no record says how many there are."""
    images = runs["test_images"].dropna() if "test_images" in runs else pd.Series(dtype=float)
    images = images[images > 0]
    return float(100 / images.min()) if len(images) else 0.0

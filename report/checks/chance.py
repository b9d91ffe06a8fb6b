"""Whether anything was learnt: runs that are no better than guessing, and what one test image is worth."""

import pandas as pd
from scipy.stats import binom

from ablate.records.study_plan import StudyPlan
from ablate.report.study.compared import compared, with_columns

LEVEL = 0.05  # over all runs of the study


def unlearnt(runs: pd.DataFrame, plan: StudyPlan) -> dict[str, list[str]]:
    """{axis: levels at which no finished run is better than guessing}, by the exact binomial test.

    Bonferroni over runs. Axes without such a level are left out. `runs` is gather's table.
    """
    runs = with_columns(runs, compared(runs, plan.axes, plan.nested))
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
    for one in compared(runs, plan.axes, plan.nested):
        of_level = guesses.groupby(done[one.name]).all()
        if named := [level for level in one.levels if bool(of_level.get(level, False))]:
            found[one.name] = named
    return found


def resolution(runs: pd.DataFrame) -> float:
    """What one test image is worth, in points; 0 where no record says how many there are."""
    images = runs["test_images"].dropna() if "test_images" in runs else pd.Series(dtype=float)
    images = images[images > 0]
    return float(100 / images.min()) if len(images) else 0.0

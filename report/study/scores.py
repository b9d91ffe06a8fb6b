"""Scores that a run's record lacks, because an older version wrote it, from the predictions that it saved."""

import dataclasses
from zipfile import BadZipFile

import numpy as np

from ablate.records.metrics import SCORES
from ablate.records.run_folder import RunFolder
from ablate.records.scores import scores
from ablate.report.study.gather import StudyData


def with_scores(study: StudyData, metric: str) -> StudyData:
    """The study with `metric` for every finished run whose predictions have it; as it is for any other metric."""
    part, _, name = metric.partition("_")
    if name not in SCORES:
        return study
    runs = study.runs.copy()
    if metric not in runs:
        runs[metric] = np.nan
    for row in runs.index[(runs["state"] == "DONE") & runs[metric].isna()]:
        try:
            with (
                open(RunFolder(study.folder / runs.loc[row, "folder"]).predictions, "rb") as file,
                np.load(file) as saved,
            ):
                names = ("logits", "labels") if part == "test" else ("holdout_logits", "holdout_labels")
                runs.loc[row, metric] = scores(saved[names[0]], saved[names[1]])[name]
        except (OSError, ValueError, KeyError, BadZipFile):
            continue  # it stays without, and counts as not measured
    return dataclasses.replace(study, runs=runs)

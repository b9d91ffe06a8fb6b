"""A study as tidy pandas frames, for notebooks and scripts."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ablate.report.foreign import read
from ablate.report.foreign import study as foreign
from ablate.report.foreign.columns import Said
from ablate.report.stats.effects import estimate_effects, table
from ablate.report.stats.verdicts import Effects
from ablate.report.study import gather
from ablate.report.study.gather import StudyData


@dataclass(frozen=True)
class Frames:
    """runs: one row per planned run. A column per axis (its level) and per level that one is nested in; cell (number
    of its combination), seed, signature, state, folder, error, command, deviations, commit; epochs_done; updates;
    images_seen; seconds;
    weights_sha256; test_accuracy and the other final metrics, as fractions, losses in nats. What a run lacks is
    missing.

    epochs: one row per run and epoch. signature; the axes and seed of the run; epoch; train_, holdout_ and test_loss
    (nats) and _accuracy (fractions); lr; images_per_second; seconds. A run that serves several combinations is
    here once, with the first one's axes.

    effects: one row per contrast of two levels. axis, level, other; estimate (`level` minus `other`), se, low, high,
    tight_low, tight_high (the equivalence test's) in the unit of the study's metric (points for accuracies); variance
    in units of one run's; p (adjusted); verdict; pairs, places, seeds; common_only, copies.
    """

    runs: pd.DataFrame
    epochs: pd.DataFrame
    effects: pd.DataFrame


def load(folder: str | Path) -> Frames:
    """Read a study, finished or not, or runs that others trained; draws and writes nothing but a
    study's index. Raises ValueError without a study."""
    path = Path(folder)
    study = foreign.load(path, Said()) if read.is_foreign(path) else gather.load(path)
    return of(study, estimate_effects(study.runs, study.plan).decisive_first())


def of(study: StudyData, effects: Effects) -> Frames:
    """The frames of a study that was read and judged before."""
    runs = study.runs.drop_duplicates("signature")[["signature", *study.axes, "seed"]]
    epochs = runs.merge(study.epochs.astype({"epoch": int}), on="signature")
    contrasts = table(effects)
    return Frames(study.runs, epochs, contrasts.assign(verdict=contrasts["verdict"].astype(str)))

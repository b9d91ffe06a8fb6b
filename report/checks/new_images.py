"""What the test images add: intervals that hold for new images too, and which pairs of checkpoints differ on these.

Both from the predictions that every run saves. A run's training noise is judged in effects, not here.
"""

from dataclasses import dataclass
from itertools import compress
from math import sqrt
from zipfile import BadZipFile

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import binomtest

from ablate.records.run_folder import RunFolder
from ablate.report.stats.simultaneous import holm
from ablate.report.stats.verdicts import AxisEffect, Contrast, Effects
from ablate.report.study import tables
from ablate.report.study.gather import StudyData

MOST = 200_000_000  # bytes of predictions that a report reads; more would take it minutes
LEVEL = 0.05

Right = NDArray[np.bool_]


@dataclass(frozen=True)
class OnImages:
    """Of one contrast. se_images: sqrt(Var(d_i) / n) in points, d_i an image's difference, averaged over the pairs.

    low and high: the seed interval with se_images added, for other seeds and new images. pairs: of checkpoints with
    the same seed and other levels; apart: those that differ on these images by McNemar's exact test, Holm over the
    pairs. This is about these checkpoints: two trainings of one recipe differ by it too.
    """

    axis: str
    level: str
    other: str
    images: int
    se_images: float
    low: float | None
    high: float | None
    pairs: int
    apart: int


def mcnemar(first: Right, second: Right) -> float:
    """The exact two-sided p of McNemar (Psychometrika 12, 1947): of the images that one of two got right, half each."""
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    discordant = only_first + only_second
    return float(binomtest(only_first, discordant).pvalue) if discordant else 1.0


def correct(study: StudyData) -> tuple[dict[str, Right], str]:
    """{signature: (N) which test images the finished run got right}, and why there are none."""
    folders = dict(zip(study.finished["signature"], study.finished["folder"], strict=True))
    paths = {signature: RunFolder(study.folder / name).predictions for signature, name in folders.items()}
    sizes = [path.stat().st_size for path in paths.values() if path.exists()]
    if len(sizes) < len(paths) or not sizes:
        return {}, "not every finished run has its predictions"
    if sum(sizes) > MOST:
        return {}, f"there are {sum(sizes) / 1e9:.1f} GB of predictions, more than a report reads"
    found: dict[str, Right] = {}
    labels = None
    for signature, path in paths.items():
        try:
            with open(path, "rb") as file, np.load(file) as saved:
                right = saved["logits"].argmax(axis=1) == saved["labels"]
                same = labels is None or np.array_equal(labels, saved["labels"])
                labels = saved["labels"]
        except (OSError, ValueError, KeyError, BadZipFile) as error:
            return {}, f"{path} cannot be read: {error}"
        if not same:
            return {}, "the runs were tested on different images"
        found[signature] = right
    return found, ""


def on_images(study: StudyData, effects: Effects, right: dict[str, Right]) -> list[OnImages]:
    """One per axis that has matched pairs: of the difference that its answer is about."""
    found = []
    for effect in effects.axes:
        contrast = effect.headline
        if contrast is not None and (pairs := _pairs(study, effect.axis, contrast)):
            found.append(_judge(effect, contrast, [(right[a], right[b]) for a, b in pairs]))
    return found


def _pairs(study: StudyData, axis: str, contrast: Contrast) -> list[tuple[str, str]]:
    """The signatures of the runs that differ in this axis alone, in these two levels; each pair once."""
    places = tables.places_of(study, axis)
    runs = tables.runs_of(study, axis, [contrast.level, contrast.other])
    done = runs[runs["state"] == "DONE"]
    first, second = (
        done[done[axis] == level].set_index(places)["signature"] for level in (contrast.level, contrast.other)
    )
    # Of a place with several runs of a level, which differ in what is nested in it, every run of one with each of the
    # other.
    matched: pd.DataFrame = first.to_frame("a").join(second.to_frame("b"), how="inner").sort_index(kind="stable")
    pairs = list(dict.fromkeys(zip(matched["a"], matched["b"], strict=True)))
    return list(compress(pairs, [a != b for a, b in pairs]))


def _judge(effect: AxisEffect, contrast: Contrast, pairs: list[tuple[Right, Right]]) -> OnImages:
    differences = 100 * np.mean([a.astype(float) - b for a, b in pairs], axis=0)
    se = float(differences.std(ddof=1) / sqrt(len(differences)))
    low = high = None
    if contrast.estimate is not None and contrast.se is not None and effect.critical is not None:
        # The seeds' degrees of freedom, too few for the sum: wider than it need be.
        half = effect.critical * sqrt(contrast.se**2 + se**2)
        low, high = contrast.estimate - half, contrast.estimate + half
    apart = sum(p < LEVEL for p in holm([mcnemar(a, b) for a, b in pairs]))
    return OnImages(effect.axis, contrast.level, contrast.other, len(differences), se, low, high, len(pairs), apart)

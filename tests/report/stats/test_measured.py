"""Fractions of real networks, as they were measured: what is said of them is true, or is not claimed.

original_small: 17 of the 432 combinations of its seven axes, 4 seeds. One axis at a time around its baseline, adam is
ahead of sgd_finetune by 3.15 points and plateau_eager of none by 1.65, and the three heads lie within a point.
forced: test_resnet on the embedded images, 2 epochs. Learning rate and batch size interact; a weight decay of 1e-7, a
momentum of 0.9001 and a label smoothing of 0.0001 do nothing.
"""

from itertools import combinations
from pathlib import Path

import pandas as pd
import pytest

from ablate.report.answers import sentences
from ablate.report.answers.sentences import Facts
from ablate.report.stats import noise
from ablate.report.stats.verdicts import Effects
from tests.report.stats.tables import between, judged, of

INERT = ("weight_decay.value", "optimizer.momentum", "trainer.label_smoothing")


def measured(name: str) -> tuple[pd.DataFrame, dict[str, list[str]]]:
    runs = pd.read_csv(Path(__file__).parent / "measured" / f"{name}.csv", dtype=str)
    names = list(runs.columns[: runs.columns.get_loc("seed")])
    runs["cell"] = runs.groupby(names, sort=False).ngroup() + 1
    for column in ("holdout_accuracy", "test_accuracy"):
        runs[column] = runs[column].astype(float)
    runs["seed"] = runs["seed"].astype(int)
    runs["signature"] = [f"{cell:06x}{seed:06x}" for cell, seed in zip(runs["cell"], runs["seed"], strict=True)]
    return runs.assign(state="DONE"), {axis: list(dict.fromkeys(runs[axis])) for axis in names}


def claimed(found: Effects) -> dict[str, str]:
    """{axis: the title}, of those that say that something differs, and not that it may be interactions."""
    titles = {one.axis: one.title for one in sentences.told(Facts(found, {}, {}))}
    return {
        effect.axis: titles[effect.axis]
        for effect in found.axes
        if effect.average in sentences.CLAIMS and "may be due to interactions" not in titles[effect.axis]
    }


def subsets() -> list[Effects]:
    runs, axes = measured("original_small")
    return [
        judged(runs[runs["seed"].isin(seeds)].reset_index(drop=True), axes, {"design": "fractional"}, p_values=False)
        for number in (2, 3, 4)
        for seeds in combinations(range(4), number)
    ]


def test_a_real_fraction_claims_nothing_that_is_false_whichever_seeds_were_trained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for found in subsets():
        assert set(claimed(found)) <= {"backbone", "scheduler"}
        assert (between(found, "backbone", "resnet18", "effnet_lite0_pretrained").estimate or 0) < 0
        assert (between(found, "scheduler", "none", "plateau_eager").estimate or 0) < 0
    # Its twin: where the test for interactions finds nothing, and that is believed, sgd_finetune is said to be better.
    monkeypatch.setattr(noise, "_unseen", lambda *_: 0.0)
    assert any("optimizer" in claimed(found) for found in subsets())


def test_of_a_whole_real_fraction_every_answer_is_open_and_says_why() -> None:
    runs, axes = measured("original_small")
    found = judged(runs, axes, {"design": "fractional"})
    for one in sentences.told(Facts(found, {}, {})):
        assert one.title == f"{one.axis}: inconclusive, and what differs may be due to interactions"
        assert "lack of fit, p < 0.001" in one.text


@pytest.mark.parametrize("name", ["forced_18", "forced_11"])
def test_an_interaction_that_was_forced_is_the_one_that_is_named(name: str) -> None:
    runs, axes = measured(name)
    found = judged(runs, axes, {"design": "fractional"})
    assert found.lack_of_fit is not None and found.lack_of_fit.fails
    assert found.lack_of_fit.likely == (("optimizer.lr", "batch_size.size"),)
    assert claimed(found) == {}  # all with the word of interactions
    assert of(found, "batch_size.size").average == "matters"
    assert {of(found, axis).average for axis in INERT} == {"inconclusive"}
    assert "Most of it may be lr × batch_size." in sentences.told(Facts(found, {}, {}))[0].text
    # Averaged over the grid of both: 61.6 % at 0.05 and 49.0 % at 0.005; 78.3 % at 32 and 20.3 % at 512.
    for axis, level, other, truth in (
        ("optimizer.lr", "0.005", "0.05", -12.6),
        ("batch_size.size", "32", "512", 58.0),
    ):
        c = between(found, axis, level, other)
        assert c.low is not None and c.high is not None
        assert c.low < truth < c.high

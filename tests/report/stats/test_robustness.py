"""Runs that did not finish and other test images: textbook values, hand examples, and what the report says of them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as theirs
from statsmodels.stats.proportion import proportion_confint

from ablate.commands.cli import main
from ablate.records.files import write_json
from ablate.records.run_folder import RunFolder
from ablate.report.checks import new_images, robustness
from ablate.report.stats.effects import estimate_effects
from ablate.report.stats.verdicts import Verdict
from ablate.report.study import gather
from tests.given import config_of
from tests.report.made_up import cell, make, section, written
from tests.report.stats.tables import THREE, TWO, between, frame, judged, noisy, of, plan_of


def test_shares_of_failures_have_clopper_and_pearsons_interval() -> None:
    runs = frame(THREE, 3, noisy())
    gone = (runs["a"] == "w") & (runs["b"] == "1")
    runs.loc[gone, "state"] = "DIVERGED"
    found = {(s.axis, s.level): s for s in robustness.shares(runs, plan_of(THREE))}
    share = found["a", "w"]
    assert (share.state, share.count, share.runs) == ("DIVERGED", 9, 27)
    assert (share.low, share.high) == pytest.approx(proportion_confint(9, 27, method="beta"))
    none = found["a", "x"]
    assert (none.count, none.low) == (0, 0)
    assert none.high == pytest.approx(1 - 0.025 ** (1 / 27))
    assert robustness.shares(frame(THREE, 3, noisy()), plan_of(THREE)) == []


def test_a_run_that_serves_several_places_fails_once() -> None:
    runs = frame(TWO, 2, noisy())
    runs["signature"] = ["one" if b == "1" else s for b, s in zip(runs["beta"], runs["signature"], strict=True)]
    runs.loc[runs["signature"] == "one", "state"] = "OOM"
    found = {(s.axis, s.level): (s.count, s.runs) for s in robustness.shares(runs, plan_of(TWO))}
    assert found["beta", "1"] == (1, 1)


def test_diverged_runs_counted_as_guessing_change_the_answer_that_left_them_out() -> None:
    runs = frame(
        THREE, 5, lambda r: 80 + 0.01 * noisy()(r) * 0 + 0.05 * np.random.default_rng(0).standard_normal(len(r))
    )
    gone = (runs["a"] == "w") & (runs["b"] == "1")
    runs.loc[gone, ["state", "test_accuracy", "weights_sha256"]] = ["DIVERGED", np.nan, None]
    found = {s.axis: s for s in robustness.with_chance(runs, plan_of(THREE), 10)}
    assert found["a"].verdict == of(judged(runs, THREE, {}), "a").verdict != Verdict.MATTERS
    assert found["a"].otherwise == Verdict.MATTERS
    assert found["a"].contrast.estimate == pytest.approx(
        -70 / 3, abs=0.1
    )  # 10 % instead of 80 in a third of the places
    assert robustness.with_chance(runs.assign(state="OOM"), plan_of(THREE), 10) == []
    seconds = runs.assign(seconds=60.0)
    assert robustness.with_chance(seconds, plan_of(THREE, metric="seconds", delta=1.0), 10) == []


@pytest.mark.parametrize(
    ("both", "first", "second", "none"), [(50, 12, 3, 10), (20, 5, 5, 0), (9, 0, 0, 1), (0, 30, 1, 9)]
)
def test_mcnemar_is_that_of_statsmodels(both: int, first: int, second: int, none: int) -> None:
    a = np.repeat([True, True, False, False], [both, first, second, none])
    b = np.repeat([True, False, True, False], [both, first, second, none])
    ours, expected = new_images.mcnemar(a, b), theirs([[both, first], [second, none]], exact=True).pvalue
    assert ours == pytest.approx(min(1.0, expected))


def with_predictions(folder: Path, truth: float = 0.0, number: int = 400) -> gather.StudyData:
    """Two axes, two seeds; alpha=y turns a share `truth` of the images right that all others have wrong."""
    draw = np.random.default_rng(0)
    right = {}
    runs: list[Any] = []
    for a in "xy":
        for b in "12":
            for s in (0, 1):
                own = np.arange(number) < 0.6 * number + truth * number * (a == "y")
                own[draw.integers(0, number, 4)] ^= True
                right[len(runs)] = own
                runs.append((cell(a, b), s, "DONE", float(own.mean())))
    make(folder, runs)
    for path in folder.glob("run-*"):
        own = right[int(path.name.rpartition("-")[2], 16)]
        labels = np.zeros(number, dtype=np.int64)
        logits = np.stack([own, ~own], axis=1).astype(np.float16)
        np.savez_compressed(RunFolder(path).predictions, logits=logits, labels=labels)
    return gather.load(folder)


def test_the_interval_for_new_images_adds_their_sampling_to_the_seeds(tmp_path: Path) -> None:
    study = with_predictions(tmp_path, 0.1)
    effects = estimate_effects(study.runs, study.plan)
    right, why = new_images.correct(study)
    assert not why
    found = new_images.on_images(study, effects, right)[0]
    contrast, effect = between(effects, "alpha", "x", "y"), of(effects, "alpha")
    by_level = {
        level: np.mean([right[s] for s in study.runs["signature"][study.runs["alpha"] == level]], axis=0)
        for level in "xy"
    }
    d = 100 * (by_level["x"] - by_level["y"])
    assert d.mean() == pytest.approx(contrast.estimate)
    assert found.se_images == pytest.approx(d.std(ddof=1) / np.sqrt(400)) == pytest.approx(stats.sem(d))
    assert contrast.se is not None and contrast.estimate is not None and effect.critical is not None
    half = effect.critical * np.hypot(contrast.se, found.se_images)
    assert (found.low, found.high) == pytest.approx((contrast.estimate - half, contrast.estimate + half))
    assert contrast.low is not None and found.low is not None and found.low < contrast.low
    assert (found.pairs, found.apart) == (4, 4)


def test_checkpoints_that_are_alike_are_not_apart(tmp_path: Path) -> None:
    study = with_predictions(tmp_path)
    right, _ = new_images.correct(study)
    found = new_images.on_images(study, estimate_effects(study.runs, study.plan), right)
    assert [(i.pairs, i.apart) for i in found] == [(4, 0), (4, 0)]


def test_what_is_missing_or_damaged_is_named_and_no_interval_made_of_the_rest(tmp_path: Path) -> None:
    study = with_predictions(tmp_path)
    path = next(tmp_path.glob("run-*")) / "predictions.npz"
    path.write_bytes(path.read_bytes()[:40])
    assert "cannot be read" in new_images.correct(study)[1]
    np.savez_compressed(path, logits=np.zeros((400, 2)), labels=np.ones(400))
    assert new_images.correct(study) == ({}, "the runs were tested on different images")
    path.unlink()
    assert new_images.correct(study) == ({}, "not every finished run has its predictions")


@pytest.mark.usefixtures("no_figures")
def test_the_report_says_it_and_labels_it(tmp_path: Path) -> None:
    with_predictions(tmp_path / "a", 0.1)
    path = written(gather.load(tmp_path / "a"))
    text = section(path, "What else could change the answers")
    assert "no test of a recipe" in text
    assert "| alpha | x − y |" in text
    assert "| 4 of 4 |" in text
    results = json.loads((path.parent / "results.json").read_text())
    assert results["images"][0]["apart"] == 4
    runs = [
        (cell(a, b), s, "DIVERGED" if (a, b) == ("y", "2") else "DONE", 0.8 + 0.001 * s)
        for a in "xy"
        for b in "12"
        for s in (0, 1)
    ]
    text = section(written(gather.load(make(tmp_path / "b", runs))), "What else could change the answers")
    assert "| alpha | y | diverged | 2 of 4 | 7 to 93 % |" in text
    assert "If runs that diverged counted as guessing (50 %):" in text


@pytest.mark.usefixtures("no_figures")
def test_another_metric_is_judged_by_the_command_and_said_to_be_chosen_afterwards(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = make(tmp_path, [(cell(a, b), s, "DONE", 0.8) for a in "xy" for b in "12" for s in (0, 1)])
    for number, path in enumerate(sorted(study.glob("*/record.json"))):
        entry = json.loads(path.read_text())
        write_json(path, entry | {"seconds": 60.0 + number % 3 + 30 * (entry["levels"]["alpha"] == "y")})
    assert main(["report", str(study), "--metric", "seconds"]) == 2
    sentence = "seconds is in seconds: say how large a difference is worth caring about, with --delta N"
    assert capsys.readouterr().err == f"ablate report: {sentence}\n"
    assert main(["report", str(study), "--metric", "seconds", "--delta", "5"]) == 0
    assert not (study / "report" / "report.md").exists()  # it does not replace the study's own
    text = section(study / "report" / "by_seconds_delta_5" / "report.md", "Each answer in full")
    assert "The effect of each axis on training time, in seconds" in text
    assert "The study declared test accuracy; this metric was chosen afterwards." in text
    assert "<summary>alpha matters</summary>\n\nx is better than y by " in text


def test_a_study_can_declare_any_metric_and_needs_a_delta_where_none_is_usual() -> None:
    assert config_of("study.metric=holdout_accuracy").study.delta == 0.3
    assert config_of("study.metric=test_loss", "study.delta=0.02").study.delta == 0.02
    with pytest.raises(ValueError, match=r"test_loss is in nats.*with study\.delta=N"):
        config_of("study.metric=test_loss")
    with pytest.raises(ValueError, match=r"study\.metric=speed is unknown"):
        config_of("study.metric=speed")

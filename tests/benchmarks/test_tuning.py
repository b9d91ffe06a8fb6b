"""What the benchmark of tuned studies claims: when a choice flatters, what answers are about, how counting resumes."""

from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ablate.report.analysis import analyse
from ablate.report.stats.effects import estimate_effects
from ablate.report.study import gather
from ablate.report.write import results
from benchmarks import tuning
from benchmarks.simulation import rates
from benchmarks.simulation.rates import Counts, in_parts
from benchmarks.simulation.scenarios import NULL, Scenario
from benchmarks.simulation.tuned import Known, Tuned, count, measure, write

FLAT = Tuned(Scenario("flat", 3, NULL, axes=tuning.PAIR), 3, trials={"1": 16})


@pytest.mark.parametrize(("fresh", "points"), [(True, 0.0), (False, 0.125)])
def test_more_trials_flatter_a_level_only_on_the_seeds_it_was_chosen_on(fresh: bool, points: float) -> None:
    # the largest of 16 means of three runs lies 1.77 of their standard deviations above the middle, of four 1.03
    study = replace(FLAT, fresh=fresh, holdout=0.0)
    ahead = [np.diff(100 * runs["test_accuracy"].to_numpy().reshape(2, 3).mean(axis=1)) for runs, _ in study.draws(300)]
    assert np.mean(ahead) == pytest.approx(points, abs=0.05)


def test_a_clear_best_value_is_chosen_and_leaves_nothing_to_chance() -> None:
    study = replace(FLAT, loss=tuning.same(100.0), best_at={"1": -0.5}, trials={})
    _, choice = next(study.draws(1))
    assert choice.trials.tolist() == [2, 1]
    assert np.ptp(study.expected) < 1e-9
    assert Known(study, study.expected).interacts(("a",)) is False
    assert Known(study, study.reached(np.array([2, 2]))).difference("a", "0", "1") == pytest.approx(100)


def test_what_a_procedure_reaches_is_the_average_over_its_tunings() -> None:
    study = replace(FLAT, loss=tuning.same(0.3), tuning_seeds=1, holdout=1.0)
    draw = np.random.default_rng(0)
    reached = np.mean([study.reached(study.tuned(draw).trials) for _ in range(500)], axis=0)
    assert reached == pytest.approx(study.expected, abs=0.04)
    assert np.ptp(study.expected) > 0.05  # sixteen trials come closer than four


def test_answers_hold_about_the_chosen_values_and_not_about_the_procedure() -> None:
    study = tuning.studies()[f"{tuning.luck(1.0, 1.0, 1)}, S=5"]
    found = measure(study, 80)
    assert found["chosen: study.any false claim"] <= 0.12
    assert found["procedure: study.any false claim"] > 0.2
    assert found["tuned.luck"] ** 0.5 > 0.3


def test_resuming_counts_the_same_studies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "PART", 3)

    def everything(replicates: int, seed: int) -> dict[str, Counts]:
        return {"flat": count(FLAT, replicates, seed)}

    kept = tmp_path / "counts.json"
    in_parts(everything, 3, kept)
    assert in_parts(everything, 7, kept) == in_parts(everything, 7, None) == in_parts(everything, 7, kept)
    assert in_parts(everything, 7, None)["flat"]["tuned"] == 7
    assert everything(3, 0) != everything(3, 1)


def test_every_study_is_shown() -> None:
    used: Counter[str] = Counter()

    class Noted(dict[str, dict[str, float]]):
        def __getitem__(self, name: str) -> dict[str, float]:
            used[name] += 1
            return super().__getitem__(name)

    text = tuning.text(Noted({name: defaultdict(lambda: 0.06) for name in tuning.studies()}))
    assert used.keys() == tuning.studies().keys()
    assert "any false claim, grid 3 x 2 x 2, one axis, S = 3 | ≤ 0.05 | 0.060 | 0.060 – 0.060 (3) | missed" in text
    assert "any false claim, grid 3 x 2 x 2, one axis, S = 2 | ≤ 0.16 | 0.060 | 0.060 – 0.060 (3) |  |" in text


def test_records_on_disk_say_the_same_as_the_drawn_table_and_name_unequal_searches(tmp_path: Path) -> None:
    folder, runs = write(replace(FLAT, compared=Scenario("files", 3, NULL, axes=tuning.PAIR)), tmp_path)
    analysis = analyse(gather.load(folder))
    drawn = estimate_effects(runs.assign(holdout_accuracy=runs["test_accuracy"]), FLAT.compared.plan)
    assert [effect.contrasts for effect in analysis.effects.axes] == [effect.contrasts for effect in drawn.axes]
    assert any("unequal tuning" in caveat for caveat in results(analysis)["caveats"]["a"])

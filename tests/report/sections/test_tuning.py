"""The report of a tuned study: what was tried and chosen, in every answer, and next to the same study untuned."""

import json
from pathlib import Path
from typing import Any

import pytest

from ablate.records.files import write_json
from ablate.records.run_folder import RunFolder
from ablate.report import compare, write
from ablate.report.analysis import analyse
from ablate.report.answers import terminal
from ablate.report.study import gather, tried
from tests.report.made_up import make, section

# {optimizer: {learning rate: holdout accuracy; None diverged}}
TRIED: dict[str, dict[str, float | None]] = {
    "adam": {"0.0001": 0.60, "0.0003": 0.70, "0.001": 0.72, "0.003": 0.71},
    "sgd": {"0.005": 0.50, "0.015": 0.60, "0.05": 0.70, "0.15": 0.75},
}
CHOSEN = {"adam": "0.001", "sgd": "0.15"}


def runs(adam: float, sgd: float) -> list[tuple[dict[str, str], int, str, float]]:
    """Three seeds of each, around their means."""
    noise = {1: -0.004, 2: 0.0, 3: 0.004}
    return [({"optimizer": level}, seed, "DONE", mean + noise[seed] * (1 if level == "adam" else 0.5))
            for level, mean in (("adam", adam), ("sgd", sgd)) for seed in noise]  # fmt: skip


def tuned(
    folder: Path, found: dict[str, dict[str, float | None]] = TRIED, chosen: dict[str, str] = CHOSEN, **more: Any
) -> Path:
    """A study of two optimizers, each with the learning rate that was chosen for it with seed 0."""
    make(folder, runs(0.80, 0.804))
    plan = json.loads((folder / "study.json").read_text())
    plan["cells"] = [cell | ({"tuned": {"optimizer.lr": chosen[level]}} if (level := cell["levels"]["optimizer"]) in chosen
                             else {"runs": {}}) for cell in plan["cells"]]  # fmt: skip
    trials = []
    for level, scores in found.items():
        for rate, score in scores.items():
            signature = f"{len(trials) + 1000:012x}"
            trials.append({"levels": {"optimizer": level}, "values": {"optimizer.lr": rate}, "runs": {"0": signature}})
            metrics = {} if score is None else {"holdout_accuracy": score, "test_accuracy": 0.99}
            record = {"state": "DONE" if metrics else "DIVERGED", "signature": signature, "seed": 0, "metrics": metrics,
                      "levels": {"optimizer": level, "optimizer.lr": rate}, "epochs_done": 0}  # fmt: skip
            write_json(RunFolder(folder / f"{level}-lr{rate}-s0-{signature}").record, record)
    space = {"optimizer.lr": ["x0.1", "x0.3", "x1", "x3"]}
    tuning = {"space": space, "seeds": [0], "trials": trials, "metric": "holdout_accuracy"}
    write_json(folder / "study.json", plan | {"tuning": tuning} | more)
    return folder


def results_of(folder: Path) -> dict[str, Any]:
    return write.results(analyse(gather.load(folder)))


def test_every_answer_says_what_was_tuned_and_none_that_it_was_not(tmp_path: Path) -> None:
    results = results_of(tuned(tmp_path / "t"))
    assert "with optimizer.lr tuned per combination (4 trials each)" in results["answers"]["optimizer"]
    assert "not tuned" not in results["answers"]["optimizer"]
    assert "optimizer.lr tuned per combination (4 trials each)" in results["study"]  # once, above all rows


def test_tuning_runs_are_part_of_no_number_that_is_compared(tmp_path: Path) -> None:
    study = gather.load(tuned(tmp_path / "t"))
    assert not study.strays and not study.set_aside
    results, plain = write.results(analyse(study)), results_of(make(tmp_path / "u", runs(0.80, 0.804)))
    assert "not tuned" in plain["answers"]["optimizer"]
    assert results["axes"] == plain["axes"]
    assert results["best"]["accuracy"] == plain["best"]["accuracy"]


def test_the_edge_of_the_search_is_named_with_what_to_try(tmp_path: Path) -> None:
    results = results_of(tuned(tmp_path / "t"))
    assert results["caveats"][""] == ["the best lr lies at the edge of the search for sgd: try x10"]
    inside: dict[str, dict[str, float | None]] = {**TRIED, "sgd": {**TRIED["sgd"], "0.05": 0.80}}
    assert "" not in results_of(tuned(tmp_path / "i", inside, {"adam": "0.001", "sgd": "0.05"}))["caveats"]


def test_more_trials_for_one_level_are_a_caveat(tmp_path: Path) -> None:
    fewer: dict[str, dict[str, float | None]] = {"adam": {"0.001": 0.7}, "sgd": TRIED["sgd"]}
    results = results_of(tuned(tmp_path / "t", fewer))
    assert "unequal tuning: trials per combination are adam 1, sgd 4" in results["caveats"]["optimizer"]
    assert "optimizer.lr tuned per combination (1 to 4 trials each)" in results["answers"]["optimizer"]


def test_a_combination_without_any_result_is_left_out_and_named(tmp_path: Path) -> None:
    none: dict[str, dict[str, float | None]] = {**TRIED, "sgd": dict.fromkeys(TRIED["sgd"])}
    folder = tuned(tmp_path / "t", none, {"adam": "0.001"})
    assert results_of(folder)["caveats"][""] == ["left out, as no trial has a result: sgd"]
    assert "no trial has a result" in section(write.write(analyse(gather.load(folder))), "Tuning")


def test_before_the_comparison_begins_the_report_waits_for_the_trials(tmp_path: Path) -> None:
    analysis = analyse(gather.load(tuned(tmp_path / "t", chosen={})))
    assert write.results(analysis)["next"]["why"].startswith("finish the tuning (0 tuning runs left)")
    assert any("8 of 8 tuning runs finished" in line for line in terminal.lines(analysis))
    assert "No run has finished" in write.write(analysis).read_text()


def test_the_tables_and_the_page_show_trials_and_choices(tmp_path: Path) -> None:
    analysis = analyse(gather.load(tuned(tmp_path / "t")))
    path, results = write.write(analysis), write.results(analysis)
    assert "Set aside" not in path.read_text()  # tuning runs are planned
    assert "| sgd | 0.005, 0.015, 0.05, 0.15 | 0.15 (at the edge: try x10) | 4 of 4 | 75.0 | 70.0 |" in section(
        path, "Tuning"
    )
    assert "| sgd | 0.15 |" in section(path, "Leaderboard")
    assert (path.parent / "figures" / "tuning.svg").exists()
    rows = (path.parent / "tables" / "tuning.csv").read_text().splitlines()
    assert len(rows) == 9 and "optimizer.lr" in rows[0]
    assert [c["chosen"] for c in results["tuning"]["combinations"]] == [
        {"optimizer.lr": "0.001"},
        {"optimizer.lr": "0.15"},
    ]


def test_before_and_after_tuning_open_with_both_differences(tmp_path: Path) -> None:
    before, after = make(tmp_path / "plain", runs(0.80, 0.78)), tuned(tmp_path / "tuned")
    first, second = (analyse(gather.load(folder)) for folder in (before, after))
    said = compare.at_their_best(first, second, ("plain", "tuned"))
    assert len(said) == 1
    assert said[0].startswith("adam − sgd: +2.00 points [")
    assert "] at default learning rates, −0.40 [" in said[0]
    assert said[0].endswith("] with both tuned. Verdict on optimizer: matters in plain, inconclusive in tuned.")
    assert compare.at_their_best(second, first, ("tuned", "plain")) == said
    assert compare.at_their_best(first, first, ("a", "b")) == []
    page = compare.write(first, second).read_text()
    assert page.index("with both tuned") < page.index("Which conclusions moved")


@pytest.mark.parametrize(
    ("typed", "values", "chosen", "edge"),
    [
        (["x0.1", "x0.3", "x1"], ["0.1", "0.3", "1"], "0.1", "x0.03"),
        (["0.1", "0.3", "1"], ["0.1", "0.3", "1"], "1", "3"),
        (["0.1", "0.3", "1"], ["0.1", "0.3", "1"], "0.3", ""),
        (["0.1", "0.3"], ["0.1", "0.3"], "0.3", ""),  # of two, each is an edge
        (["none", "cosine", "step"], ["none", "cosine", "step"], "none", ""),
    ],
)
def test_what_to_try_beyond_an_edge(typed: list[str], values: list[str], chosen: str, edge: str) -> None:
    trials = [tried.Tried({"k": value}, 0.5, None, 1, 1, 1, value == chosen) for value in values]
    assert tried._beyond(typed, "k", trials) == edge

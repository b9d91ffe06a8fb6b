"""The report: right numbers, like with like, and inert whatever the names are."""

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from ablate.records.files import read_json, write_json
from ablate.records.run_folder import RunFolder, latest_study
from ablate.report.sections import curves
from ablate.report.study import gather, matrices, tables
from tests.given import ROOT, python
from tests.report.made_up import GRID, HOSTILE, answers, cell, counts, make, section, write_counts, written

Study = tuple[Path, subprocess.CompletedProcess[str]]


def test_the_leaderboard_is_mean_and_spread_over_seeds_ranked_by_the_holdout(tmp_path: Path) -> None:
    board = tables.leaderboard(gather.load(make(tmp_path, GRID)))
    rows = board.set_index(["alpha", "beta"])
    assert [tuple(r) for r in board[["alpha", "beta"]].to_numpy()] == [("y", "2"), ("y", "1"), ("x", "2"), ("x", "1")]
    assert rows.loc[("x", "1"), "test_accuracy_mean"] == pytest.approx(0.52)
    assert rows.loc[("x", "1"), "test_accuracy_sd"] == pytest.approx(0.0282843, rel=1e-5)
    assert rows.loc[("y", "1"), "n"] == 1
    assert rows.loc[("y", "1"), "planned"] == 2
    assert rows["test_accuracy_sd"].isna().tolist() == [True, True, False, False]


def test_an_axis_is_compared_over_what_finished_at_every_level(tmp_path: Path) -> None:
    """Over all finished runs x would mean 0.56; only seed 0 finished at both levels of alpha."""
    table = tables.axis_table(gather.load(make(tmp_path, GRID)), "alpha", "test_accuracy")
    assert table.matched == 2
    assert table.left_out == 2
    assert table.levels["mean"].tolist() == pytest.approx([0.55, 0.75])
    assert table.levels["finished"].tolist() == [4, 2]
    assert table.levels["planned"].tolist() == [4, 4]
    beta = tables.axis_table(gather.load(tmp_path), "beta", "test_accuracy")
    assert beta.levels["mean"].tolist() == pytest.approx([0.58, 2 / 3])
    assert beta.levels["sd"].tolist() == pytest.approx([0.0424264, 0.0707107], rel=1e-5)


@pytest.mark.fault(47)
@pytest.mark.usefixtures("no_figures")
def test_a_half_finished_study_is_reported_and_says_so(tmp_path: Path) -> None:
    text = written(gather.load(make(tmp_path, GRID))).read_text()
    assert "6 of 8 runs finished (1 FAILED, 1 not trained)" in text
    assert "it FAILED" in text
    assert "/run.log)" in text


@pytest.mark.parametrize("state", ["RUNNING", "FAILED", "missing"])
def test_a_study_without_a_finished_run_has_a_report(tmp_path: Path, state: str) -> None:
    study = gather.load(make(tmp_path, [(cell("x", "1"), 0, state, 0.1), (cell("y", "1"), 0, state, 0.1)]))
    text = written(study).read_text()
    assert "No run has finished yet" in text
    shown = {"RUNNING": "its process has died", "missing": "not trained"}
    assert shown.get(state, state) in text


@pytest.mark.usefixtures("no_figures")
def test_mixed_environments_are_named_by_what_differs(tmp_path: Path) -> None:
    """Also where the machine's row is the same for all of them."""
    folder = make(tmp_path, GRID[:4])
    environments: list[dict[str, Any]] = [
        {"cpu": "C", "packages": {"torch": "2"}, "code": {"dirty": dirty}} for dirty in (False, True, False, False)
    ]
    for path, environment in zip(sorted(folder.glob("*/record.json")), environments, strict=True):
        write_json(path, json.loads(path.read_text()) | {"environment": environment})
    assert "| differs between runs | code.dirty: False, True |" in written(gather.load(folder)).read_text()
    for path in folder.glob("*/record.json"):
        write_json(path, json.loads(path.read_text()) | {"environment": environments[0]})
    assert "differs between runs" not in written(gather.load(folder)).read_text()


@pytest.mark.usefixtures("no_figures")
def test_a_single_seed_says_that_noise_is_unknown(tmp_path: Path) -> None:
    text = written(gather.load(make(tmp_path, [r for r in GRID if r[1] == 0]))).read_text()
    assert "With one seed, the noise is unknown" in text
    assert "±" not in text.split("## Leaderboard")[1].split("| 1 |")[1].split("\n")[0]


@pytest.mark.fault(45)
@pytest.mark.usefixtures("no_figures")
def test_what_cannot_be_read_is_set_aside_by_name_and_the_rest_reported(tmp_path: Path) -> None:
    make(tmp_path, GRID)
    (tmp_path / "run-s0-000000000000" / "record.json").write_text("{")
    (tmp_path / "foreign").mkdir()
    make(tmp_path / "elsewhere", [(cell("z", "1"), 0, "DONE", 0.9)])
    (tmp_path / "elsewhere" / "run-s0-000000000000").rename(tmp_path / "stray-s0-ffffffffffff")
    entry = json.loads((tmp_path / "stray-s0-ffffffffffff" / "record.json").read_text())
    write_json(tmp_path / "stray-s0-ffffffffffff" / "record.json", entry | {"signature": "f" * 12})
    study = gather.load(tmp_path)
    assert len(study.finished) == 5
    text = written(study).read_text()
    assert "could not be read" in text
    assert "in no plan of this study: stray\\-s0" in text or "in no plan of this study: stray-s0" in text


def test_equivalent_levels_share_a_run(tmp_path: Path) -> None:
    make(tmp_path, GRID)
    plan = json.loads((tmp_path / "study.json").read_text())
    plan["cells"].append({"levels": cell("x", "one"), "runs": {"0": "0" * 12}})
    plan["axes"]["beta"].append("one")
    write_json(tmp_path / "study.json", plan)
    board = tables.leaderboard(gather.load(tmp_path)).set_index(["alpha", "beta"])
    assert board.loc[("x", "one"), "test_accuracy_mean"] == 0.50


def test_two_runs_in_one_place_are_never_averaged(tmp_path: Path) -> None:
    make(tmp_path, GRID)
    plan = json.loads((tmp_path / "study.json").read_text())
    plan["cells"].append({"levels": cell("y", "1"), "runs": {"0": "0" * 12}})
    write_json(tmp_path / "study.json", plan)
    with pytest.raises(ValueError, match="two different runs have the levels"):
        gather.load(tmp_path)


@pytest.mark.usefixtures("no_figures")
def test_levels_that_gave_the_same_weights_are_named(tmp_path: Path) -> None:
    """A scheduler that never acted, say: in every matched place, or it is chance."""
    runs = [(cell(a, "1"), seed, "DONE", 0.5) for a in ("x", "y", "z") for seed in (0, 1)]
    make(tmp_path, runs)

    def copy(source: int, target: int) -> None:
        path = tmp_path / f"run-s{target % 2}-{target:012x}" / "record.json"
        write_json(path, json.loads(path.read_text()) | {"weights_sha256": f"{source:012x}"})

    copy(0, 2)
    assert tables.axis_table(gather.load(tmp_path), "alpha", "test_accuracy").copies == []
    copy(1, 3)
    assert tables.axis_table(gather.load(tmp_path), "alpha", "test_accuracy").copies == [("x", "y")]
    assert "x and y gave the same weights to the bit" in written(gather.load(tmp_path)).read_text()


@pytest.mark.usefixtures("no_figures")
def test_a_run_that_was_not_trained_as_configured_is_named(tmp_path: Path) -> None:
    make(tmp_path, GRID)
    assert "## Deviations" not in written(gather.load(tmp_path)).read_text()
    path = tmp_path / "run-s0-000000000000" / "record.json"
    write_json(path, json.loads(path.read_text()) | {"deviations": ["micro-batches of 16"]})
    section = written(gather.load(tmp_path)).read_text().split("## Deviations")[1].split("## ")[0]
    assert "| x, 1 | 0 | micro-batches of 16 |" in section


@pytest.mark.fault(53)
def test_hostile_names_are_inert_in_markdown_and_csv(tmp_path: Path) -> None:
    runs = [(cell(h, "1"), s, "DONE" if i else "FAILED", 0.1) for i, h in enumerate(HOSTILE) for s in (0, 1)]
    path = written(gather.load(make(tmp_path, runs)))
    text = path.read_text()
    assert "<script>" not in text
    assert "](http" not in text
    assert "**bold**" not in text
    assert "\u2028" not in text
    table = [line for line in section(path, "Axis alpha").splitlines() if line.startswith("|")]
    assert len(table) == 2 + len(HOSTILE)
    assert all(line.replace("\\|", "").count("|") == 4 for line in table)
    with open(path.parent / "tables" / "axis_alpha.csv", newline="") as file:
        levels = [row["level"] for row in csv.DictReader(file)]
    assert "'=cmd()" in levels
    assert not any(level.startswith("=") for level in levels)


def test_a_bare_value_is_labelled_by_its_key(tmp_path: Path) -> None:
    runs = [({"optimizer": o, "optimizer.lr": v}, 0, "DONE", 0.5) for o in ("adam", "sgd") for v in ("0.1", "0.01")]
    study = gather.load(make(tmp_path, runs))
    assert [tables.label(study, row) for _, row in study.runs.iterrows()] == [
        "adam, lr=0.1", "adam, lr=0.01", "sgd, lr=0.1", "sgd, lr=0.01",
    ]  # fmt: skip


# -- axes that are not crossed ----------------------------------------------------------------


def around(alpha: str = "x", beta: str = "1", accuracy: float = 0.5, states: str = "DDD") -> list[Any]:
    """The runs of one cell over the seeds, D for one that finished, F for one that failed."""
    return [
        (cell(alpha, beta), s, "DONE" if c == "D" else "FAILED", min(1.0, accuracy + s / 100))
        for s, c in enumerate(states)
    ]


ONE_AT_A_TIME = [*around(), *around(alpha="y", accuracy=0.6), *around(beta="2", accuracy=0.7), *around(beta="3")]
PLAN: dict[str, Any] = {"design": "one_at_a_time", "baseline": {"alpha": "x", "beta": "1", "gamma": "g"}}


@pytest.mark.usefixtures("no_figures")
def test_one_at_a_time_levels_are_compared_around_the_baseline(tmp_path: Path) -> None:
    study = gather.load(make(tmp_path, ONE_AT_A_TIME, **PLAN))
    alpha = tables.axis_table(study, "alpha", "test_accuracy")
    assert (alpha.matched, alpha.left_out, alpha.seeds) == (3, 0, 3)
    assert alpha.levels["mean"].tolist() == pytest.approx([0.51, 0.61])
    path = written(study)
    assert "| design | one at a time |" in path.read_text()
    assert "| baseline | alpha=x, beta=1 |" in path.read_text()
    assert "by the holdout, the baseline with beta=2, seed 0." in section(path, "Confusion")
    assert "| the baseline | 0 |" in section(path, "Reproduce")
    text = section(path, "Axis beta")
    assert "Around the baseline" in text
    assert "over the 3 seeds finished at every level" in text
    assert "combination" not in text
    assert "eft out" not in text


@pytest.mark.usefixtures("no_figures")
def test_one_at_a_time_a_seed_that_failed_at_one_level_is_left_out_of_its_axis_only(tmp_path: Path) -> None:
    runs = [*around(), *around(alpha="y", states="DFD"), *around(beta="2")]
    path = written(gather.load(make(tmp_path, runs, **PLAN)))
    assert "over the 2 seeds finished at every level" in section(path, "Axis alpha")
    assert "Left out, because not finished at every level: 1 seed." in section(path, "Axis alpha")
    assert "over the 3 seeds finished at every level" in section(path, "Axis beta")


@pytest.mark.usefixtures("no_figures")
def test_a_grid_says_what_it_leaves_out_and_shows_no_baseline(tmp_path: Path) -> None:
    path = written(gather.load(make(tmp_path, GRID, baseline=cell("x", "1"))))
    assert "over the 2 combinations of the other axes and seeds" in section(path, "Axis alpha")
    assert "Left out, because not finished at every level: 2 combinations." in section(path, "Axis alpha")
    assert "With one seed, the noise is unknown" in section(
        path, "Axis alpha"
    )  # of the two that were planned, one finished
    assert "With one seed" not in section(path, "Axis beta")
    assert "Around the baseline" not in path.read_text()


@pytest.mark.usefixtures("no_figures")
def test_around_two_baselines_there_is_no_one_baseline(tmp_path: Path) -> None:
    """What a second sweep around another baseline leaves: two places per seed."""
    path = written(gather.load(make(tmp_path, GRID[:2] + GRID[4:5] + GRID[2:4] + GRID[6:7], **PLAN)))
    assert "over the 2 combinations of the other axes and seeds" in section(path, "Axis alpha")
    assert "Around the baseline" not in section(path, "Axis alpha")


@pytest.mark.usefixtures("no_figures")
def test_only_what_was_planned_at_every_level_is_left_out(tmp_path: Path) -> None:
    """The third and fourth runs were never to be compared: their place has one level only."""
    runs = [*around(states="D"), *around(alpha="y", states="F"), *around(beta="2", states="D"),
            *around(alpha="z", beta="2", states="F")]  # fmt: skip
    study = gather.load(make(tmp_path, runs))
    alpha = tables.axis_table(study, "alpha", "test_accuracy")
    assert (alpha.matched, alpha.left_out) == (0, 0)
    assert "has been planned at every level." in section(written(study), "Axis alpha")
    beta = tables.axis_table(study, "beta", "test_accuracy")
    assert (beta.matched, beta.left_out) == (1, 0)


def test_a_place_that_failed_everywhere_is_left_out_too(tmp_path: Path) -> None:
    study = gather.load(make(tmp_path, [*around(states="DF"), *around(alpha="y", states="DF")]))
    assert tables.axis_table(study, "alpha", "test_accuracy").left_out == 1


# -- an earlier study's questions -------------------------------------------------------------

REFERENCE = {
    "title": "Tiny ImageNet, one run each",
    "best": "63.13 % with EfficientNet B5",
    "findings": [
        {"axis": "beta", "question": "Which beta?", "answer": "two"},
        {"axis": "gamma", "question": "Does gamma help?", "answer": "no gain"},
        {"axis": "alpha", "question": "Which alpha?", "answer": "x | y"},
    ],
}


UNSAID = "**cannot judge**: no claim is stated that could be checked"


@pytest.mark.usefixtures("no_figures")
def test_each_question_has_the_earlier_answer_beside_ours_in_the_order_of_the_findings(tmp_path: Path) -> None:
    path = written(gather.load(make(tmp_path, ONE_AT_A_TIME, reference=REFERENCE, **PLAN)))
    assert answers(path) == [
        "| 1 | Which beta? | two | 2 71.0 ± 1.0 %, 1 51.0 ± 1.0 %, 3 51.0 ± 1.0 %; "
        f"difference of the first two 20.0 points over 3 seeds; verdict: cannot tell | {UNSAID} |",
        f"| 2 | Does gamma help? | no gain | not varied here | {UNSAID} |",
        "| 3 | Which alpha? | x \\| y | y 61.0 ± 1.0 %, x 51.0 ± 1.0 %; "
        f"difference of the first two 10.0 points over 3 seeds; verdict: cannot tell | {UNSAID} |",
    ]
    text = section(path, "Questions")
    assert "Compared with Tiny ImageNet, one run each." in text
    assert "- **The best of the original**: 63.13 % with EfficientNet B5" in text
    assert (
        "- **The best here**: the baseline with beta=2, 71.0 ± 1.0 % test accuracy (3 seeds); chosen by the holdout"
        in text
    )
    assert "- **Trained here**: embedded: 9 training images" in text
    assert "; epochs: 2." in text
    titles = [line for line in path.read_text().splitlines() if line.startswith("## ")]
    assert titles[:4] == ["## Answers", "## Questions", "## Each answer in full", "## Leaderboard"]


@pytest.mark.usefixtures("no_figures")
def test_with_one_seed_a_question_is_answered_with_the_noise_unknown(tmp_path: Path) -> None:
    runs = [r for r in ONE_AT_A_TIME if r[1] == 0]
    path = written(gather.load(make(tmp_path, runs, reference=REFERENCE)))
    assert (
        "y 60.0 %, x 50.0 %; difference of the first two 10.0 points with one seed, so the noise is unknown"
        in answers(path)[2]
    )


@pytest.mark.usefixtures("no_figures")
def test_a_question_without_matched_runs_is_not_answered(tmp_path: Path) -> None:
    runs = [*around(), *around(alpha="y", states="FFF"), *around(beta="2")]
    path = written(gather.load(make(tmp_path, runs, reference=REFERENCE)))
    assert "nothing to compare yet" in answers(path)[2]
    assert "%" not in answers(path)[2]
    runs = [*around(states="F"), *around(alpha="y", states="F")]
    path = written(gather.load(make(tmp_path / "none", runs, reference=REFERENCE)))
    assert "no run has finished yet" in answers(path)[2]
    assert "- **The best here**: no run has finished yet" in section(path, "Questions")


@pytest.mark.usefixtures("no_figures")
def test_a_question_about_a_bare_value_names_its_key_and_many_levels_are_cut(tmp_path: Path) -> None:
    runs = [({"optimizer.lr": f"{n / 10:g}"}, 0, "DONE", n / 10) for n in range(1, 9)]
    reference = {"title": "t", "best": "b", "findings": [{"axis": "optimizer.lr", "question": "q", "answer": "a"}]}
    path = written(gather.load(make(tmp_path, runs, reference=reference)))
    assert "lr=0.8 80.0 %, lr=0.7 70.0 %" in answers(path)[0]
    assert "and 3 levels below; difference of the first two 10.0 points" in answers(path)[0]


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize("more", [{}, {"reference": None}])
def test_without_a_reference_there_are_no_questions(tmp_path: Path, more: dict[str, Any]) -> None:
    assert "## Questions" not in written(gather.load(make(tmp_path, GRID[:1], **more))).read_text()


# -- the classes of the best run --------------------------------------------------------------


def test_the_confusion_of_the_best_run_is_told_from_its_counts(tmp_path: Path) -> None:
    make(tmp_path, GRID, classes=("cat", "dog", "eel"))
    best = RunFolder(tmp_path / "run-s0-000000000006")
    write_counts(best, 1, [[100, 200, 0], [300, 100, 0], [0, 0, 300]])
    write_counts(best, 2, [[290, 7, 3], [30, 370, 0], [7, 0, 293]])
    path = written(gather.load(tmp_path))
    text = section(path, "Confusion")
    assert "y, 2, seed 0. Of 1000 test images, 500 were classified wrongly after epoch 1 (accuracy 50.0 %) and 47 " \
           "after epoch 2 (95.3 %), 453 fewer." in text  # fmt: skip
    rows = [line for line in text.splitlines() if line.startswith("| ")][2:]
    assert rows == [
        "| dog | cat | 30 | 7.5 |",
        "| cat | dog | 7 | 2.3 |",
        "| eel | cat | 7 | 2.3 |",
        "| cat | eel | 3 | 1.0 |",
    ]
    assert "| cat | 300 | 290 | 96.7 | 94.0 to 98.2 |" in section(path, "Per class")
    assert (path.parent / "figures" / "confusion.png").stat().st_size > 20_000
    assert (path.parent / "figures" / "confusion.svg").exists()
    titles = [line for line in path.read_text().splitlines() if line.startswith("## ")]
    assert titles[titles.index("## Curves") :][1:3] == ["## Confusion", "## Per class"]


@pytest.mark.usefixtures("no_figures")
def test_the_best_run_is_the_lowest_seed_that_finished(tmp_path: Path) -> None:
    path = written(gather.load(make(tmp_path, [*around(), *around(alpha="y", accuracy=0.9, states="FDD")])))
    assert "by the holdout, y, seed 1." in section(path, "Confusion")


def test_one_epoch_is_one_matrix(tmp_path: Path) -> None:
    make(tmp_path, GRID[:1])
    place = RunFolder(tmp_path / "run-s0-000000000000")
    write_json(place.record, json.loads(place.record.read_text()) | {"epochs_done": 1})
    path = written(gather.load(tmp_path))
    assert "750 were classified wrongly after epoch 1 (accuracy 25.0 %), the only one." in section(path, "Confusion")


@pytest.mark.usefixtures("no_figures")
def test_a_perfect_run_confuses_nothing_and_a_worse_one_says_more(tmp_path: Path) -> None:
    path = written(gather.load(make(tmp_path / "perfect", [*around(accuracy=1.0, states="D")])))
    assert "After epoch 2, no test image was classified wrongly." in section(path, "Confusion")
    make(tmp_path / "worse", [*around(states="D")])
    write_counts(RunFolder(tmp_path / "worse" / "run-s0-000000000000"), 1, counts(2, 0.7))
    text = section(written(gather.load(tmp_path / "worse")), "Confusion")
    assert "and 500 after epoch 2 (50.0 %), 200 more." in text


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda file: file.unlink(), "No such file"),
        (lambda file: file.write_text(""), "does not hold 2 rows of 2 counts"),
        (lambda file: file.write_text("500,0\n500\n"), "does not hold 2 rows of 2 counts"),
        (lambda file: file.write_text("500,0\n250,25\n"), "do not add up to the 1000 test images"),
        (lambda file: file.write_text("501,-1\n250,250\n"), "do not add up to the 1000 test images"),
        (lambda file: file.write_text("500,0\n250,x\n"), "cannot be read"),
        (lambda file: file.write_text("500,0\n250,nan\n"), "cannot be read"),
        (lambda file: file.write_bytes(b"\xff\xfe\x00"), "cannot be read"),
        (lambda file: (file.unlink(), file.mkdir()), "cannot be read"),
    ],
)
@pytest.mark.parametrize("epoch", [1, 2])
def test_damaged_counts_are_refused_by_name(
    tmp_path: Path, damage: Callable[[Path], Any], reason: str, epoch: int
) -> None:
    run = make(tmp_path, GRID[:1]) / "run-s0-000000000000"
    damage(run / "confusion" / f"epoch_000{epoch}.csv")
    with pytest.raises(ValueError, match=f"epoch_000{epoch}.csv.*{reason}"):
        matrices.load(run)


@pytest.mark.parametrize("damage", [{"data": {}}, {"data": None}, {"epochs_done": None}])
def test_a_record_that_does_not_say_what_was_counted_is_refused(tmp_path: Path, damage: dict[str, Any]) -> None:
    run = RunFolder(make(tmp_path, GRID[:1]) / "run-s0-000000000000")
    write_json(run.record, read_json(run.record) | damage)
    with pytest.raises(ValueError, match=r"lacks the classes|is damaged"):
        matrices.load(run.path)


@pytest.mark.usefixtures("no_figures")
def test_without_counts_the_section_is_one_sentence(tmp_path: Path) -> None:
    make(tmp_path, GRID[:1])
    (tmp_path / "run-s0-000000000000" / "confusion" / "epoch_0002.csv").unlink()
    path = written(gather.load(tmp_path))
    text = section(path, "Confusion").strip()
    assert text.startswith("The confusion matrices of run-s0-000000000000 cannot be shown: ")
    assert "\n" not in text
    assert "confusion.png" not in path.read_text()
    assert "## Per class" not in path.read_text()


@pytest.mark.slow
@pytest.mark.parametrize(("number", "tables"), [(20, [20]), (21, [10, 10]), (200, [10, 10])])
def test_few_classes_are_all_listed_and_many_by_the_best_and_the_worst(
    tmp_path: Path, number: int, tables: list[int]
) -> None:
    make(tmp_path, GRID[:1], classes=[f"c{n}" for n in range(number)])
    rows = counts(number, 0.5)
    rows[1][1], rows[1][2 % number] = rows[1][1] + 1, rows[1][2 % number] - 1
    rows[0][0], rows[0][1] = rows[0][0] - 1, rows[0][1] + 1
    write_counts(RunFolder(tmp_path / "run-s0-000000000000"), 2, rows)
    path = written(gather.load(tmp_path))
    parts = section(path, "Per class").split("| ---: | ---: | ---: | ---: |")[1:]
    listed = [[line.split(" | ")[0] for line in part.splitlines() if line.startswith("| c")] for part in parts]
    assert [len(set(names) - {"| class"}) for names in listed] == tables
    if len(tables) == 2:
        assert (listed[0][0], listed[1][0]) == ("| c1", "| c0")
        assert not set(listed[0]) & set(listed[1]) - {"| class"}
    with open(path.parent / "tables" / "per_class.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["class"] for row in table] == [f"c{n}" for n in range(number)]
    assert int(table[1]["correct"]) / int(table[1]["images"]) == float(table[1]["accuracy"])


@pytest.mark.usefixtures("no_figures")
def test_a_class_without_test_images_has_no_accuracy(tmp_path: Path) -> None:
    make(tmp_path, GRID[:1], classes=("cat", "dog", "eel"))
    for epoch in (1, 2):
        write_counts(RunFolder(tmp_path / "run-s0-000000000000"), epoch, [[500, 0, 0], [0, 400, 100], [0, 0, 0]])
    path = written(gather.load(tmp_path))
    assert "| eel | 0 | 0 | – | – |" in section(path, "Per class")
    assert (path.parent / "tables" / "per_class.csv").read_text().splitlines()[3] == "eel,0,0,,,"


def test_hostile_classes_questions_and_answers_are_inert(tmp_path: Path) -> None:
    names = [*HOSTILE, "猫", "$\\frac{$", ""]
    findings = [{"axis": "alpha", "question": hostile, "answer": hostile} for hostile in HOSTILE]
    reference = {"title": HOSTILE[0], "best": HOSTILE[1], "findings": findings}
    path = written(gather.load(make(tmp_path, GRID, classes=names, reference=reference)))
    text = path.read_text()
    for markup in ("<script>", "](http", "**bold**", "\u2028", "\x00"):
        assert markup not in text
    assert len(answers(path)) == len(HOSTILE)
    assert all(line.replace("\\|", "").count("|") == 6 for line in answers(path))
    rows = [line for line in section(path, "Per class").splitlines() if line.startswith("|")]
    assert len(rows) == 2 + len(names)
    assert all(line.replace("\\|", "").count("|") == 6 for line in rows)
    with open(path.parent / "tables" / "per_class.csv", newline="") as file:
        assert [row["class"] for row in csv.DictReader(file)][3] == "'=cmd()"


def test_a_legend_of_long_names_stays_inside_the_figure(tmp_path: Path) -> None:
    runs = [({f"axis{n}": level + "a" * 16 for n in range(3)}, 0, "DONE", 0.5) for level in "bcdefg"]
    figure, _ = curves.draw(gather.load(make(tmp_path, runs)))
    FigureCanvasAgg(figure).draw()
    legend = figure.legends[0].get_window_extent()
    assert 0 <= legend.x0 < legend.x1 <= figure.bbox.x1


@pytest.mark.slow
def test_two_renders_are_the_same_bytes(tmp_path: Path) -> None:
    def render_once() -> dict[str, bytes]:
        folder = written(gather.load(tmp_path)).parent
        return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}

    make(tmp_path, GRID)
    first = render_once()
    assert {Path(name).suffix for name in first} == {".md", ".html", ".json", ".csv", ".tex", ".bib", ".png", ".svg"}
    assert render_once() == first


@pytest.mark.slow
def test_figures_tables_and_links_of_a_real_study_are_there(study: Study) -> None:
    done = python("-m", "report", "outputs/main", cwd=study[0].parent.parent)
    assert done.returncode == 0, done.stderr
    folder = study[0] / "report"
    text = (folder / "report.md").read_text()
    for link in [part.partition(")")[0] for part in text.split("](")[1:]]:
        assert (folder / link).exists(), link
    assert (folder / "figures" / "curves.png").stat().st_size > 20_000
    assert "DIVERGED" in text
    assert "python -m ablate reproduce outputs/main/" in text


def test_importing_the_report_imports_neither_torch_nor_hydra() -> None:
    program = "import sys, report.__main__, ablate.report.write; print([m for m in ('torch', 'timm', 'hydra') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("words", [["nowhere"], []])
def test_a_folder_without_a_study_is_one_sentence(tmp_path: Path, words: list[str]) -> None:
    done = python("-m", "report", *words, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr


def test_without_a_folder_the_study_changed_last_is_taken(tmp_path: Path) -> None:
    import os

    for age, name in ((300, "old"), (100, "new"), (200, "middle")):
        make(tmp_path / name, GRID[:1])
        for path in (tmp_path / name).rglob("*"):
            os.utime(path, (path.stat().st_atime - age, path.stat().st_mtime - age))
    assert latest_study(tmp_path).name == "new"

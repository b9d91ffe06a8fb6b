"""The report: right numbers, like with like, and inert whatever the names are."""

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, python

from ablate.record import METRIC_COLUMNS, RunFolder, write_json
from report import analyse, gather, render

Study = tuple[Path, subprocess.CompletedProcess[str]]


def make(folder: Path, runs: list[tuple[dict[str, str], int, str, float]]) -> Path:
    """A study from (levels, seed, state, test accuracy); the holdout's is a hundredth higher."""
    cells: list[dict[str, Any]] = []
    axes: dict[str, list[str]] = {}
    for number, (levels, seed, state, accuracy) in enumerate(runs):
        signature = f"{number:012x}"
        cell = next((c for c in cells if c["levels"] == levels), None)
        if cell is None:
            cell = {"levels": levels, "runs": {}}
            cells.append(cell)
        cell["runs"][str(seed)] = signature
        for axis, level in levels.items():
            if level not in axes.setdefault(axis, []):
                axes[axis].append(level)
        if state == "missing":
            continue
        place = RunFolder(folder / f"run-s{seed}-{signature}")
        metrics = dict.fromkeys(("test_accuracy", "best_holdout_test_accuracy"), accuracy)
        entry = {"state": state, "signature": signature, "levels": levels, "seed": seed, "epochs_done": 1,
                 "command": "python -m ablate x", "weights_sha256": signature, "seconds": 60.0,
                 "metrics": metrics | {"holdout_accuracy": accuracy + 0.01} if state == "DONE" else {},
                 "error": None if state == "DONE" else {"message": f"it {state}", "type": "X", "traceback": ""},
                 "epochs": 2,
                 "data": {"name": "embedded", "train_images": 9, "test_images": 1000, "classes": ["a"], "fingerprint": "f"}}  # fmt: skip
        write_json(place.record, entry)
        place.write_metrics([dict.fromkeys(METRIC_COLUMNS, accuracy) | {"epoch": e} for e in (1, 2)])
    plan = {"name": folder.name, "design": "grid", "metric": "test_accuracy", "cells": cells, "amendments": [],
            "axes": {a: ls for a, ls in axes.items() if len(ls) > 1}, "seeds": sorted({r[1] for r in runs})}  # fmt: skip
    write_json(folder / "study.json", plan)
    return folder


def cell(a: str, b: str) -> dict[str, str]:
    return {"alpha": a, "beta": b}


GRID = [
    (cell("x", "1"), 0, "DONE", 0.50), (cell("x", "1"), 1, "DONE", 0.54),
    (cell("x", "2"), 0, "DONE", 0.60), (cell("x", "2"), 1, "DONE", 0.60),
    (cell("y", "1"), 0, "DONE", 0.70), (cell("y", "1"), 1, "FAILED", 0.0),
    (cell("y", "2"), 0, "DONE", 0.80), (cell("y", "2"), 1, "missing", 0.0),
]  # fmt: skip


def test_the_leaderboard_is_mean_and_spread_over_seeds_ranked_by_the_holdout(tmp_path: Path) -> None:
    board = analyse.leaderboard(gather.load(make(tmp_path, GRID)))
    rows = board.set_index(["alpha", "beta"])
    assert [tuple(r) for r in board[["alpha", "beta"]].to_numpy()] == [("y", "2"), ("y", "1"), ("x", "2"), ("x", "1")]
    assert rows.loc[("x", "1"), "test_accuracy_mean"] == pytest.approx(0.52)
    assert rows.loc[("x", "1"), "test_accuracy_sd"] == pytest.approx(0.0282843, rel=1e-5)
    assert rows.loc[("y", "1"), "n"] == 1
    assert rows.loc[("y", "1"), "planned"] == 2
    assert rows["test_accuracy_sd"].isna().tolist() == [True, True, False, False]


def test_an_axis_is_compared_over_what_finished_at_every_level(tmp_path: Path) -> None:
    """Over all finished runs x would mean 0.56; only seed 0 finished at both levels of alpha."""
    table = analyse.axis_table(gather.load(make(tmp_path, GRID)), "alpha", "test_accuracy")
    assert table.matched == 2
    assert table.left_out == 2
    assert table.levels["mean"].tolist() == pytest.approx([0.55, 0.75])
    assert table.levels["finished"].tolist() == [4, 2]
    assert table.levels["planned"].tolist() == [4, 4]
    beta = analyse.axis_table(gather.load(tmp_path), "beta", "test_accuracy")
    assert beta.levels["mean"].tolist() == pytest.approx([0.58, 2 / 3])
    assert beta.levels["sd"].tolist() == pytest.approx([0.0424264, 0.0707107], rel=1e-5)


def test_a_half_finished_study_is_reported_and_says_so(tmp_path: Path) -> None:
    text = render.write(gather.load(make(tmp_path, GRID))).read_text()
    assert "6 of 8 finished" in text
    assert "**Not complete**: 1 FAILED, 1 not trained" in text
    assert "it FAILED" in text
    assert "/run.log)" in text


@pytest.mark.parametrize("state", ["RUNNING", "FAILED", "missing"])
def test_a_study_without_a_finished_run_has_a_report(tmp_path: Path, state: str) -> None:
    study = gather.load(make(tmp_path, [(cell("x", "1"), 0, state, 0.1), (cell("y", "1"), 0, state, 0.1)]))
    text = render.write(study).read_text()
    assert "No run has finished yet" in text
    assert state in text or "not trained" in text


def test_a_single_seed_says_that_noise_is_unknown(tmp_path: Path) -> None:
    text = render.write(gather.load(make(tmp_path, [r for r in GRID if r[1] == 0]))).read_text()
    assert "One seed: nothing here says how much of a difference is noise" in text
    assert "±" not in text.split("## Leaderboard")[1].split("| 1 |")[1].split("\n")[0]


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
    text = render.write(study).read_text()
    assert "could not be read" in text
    assert "in no plan of this study: stray\\-s0" in text or "in no plan of this study: stray-s0" in text


def test_equivalent_levels_share_a_run(tmp_path: Path) -> None:
    make(tmp_path, GRID)
    plan = json.loads((tmp_path / "study.json").read_text())
    plan["cells"].append({"levels": cell("x", "one"), "runs": {"0": "0" * 12}})
    plan["axes"]["beta"].append("one")
    write_json(tmp_path / "study.json", plan)
    board = analyse.leaderboard(gather.load(tmp_path)).set_index(["alpha", "beta"])
    assert board.loc[("x", "one"), "test_accuracy_mean"] == 0.50


def test_two_runs_in_one_place_are_never_averaged(tmp_path: Path) -> None:
    make(tmp_path, GRID)
    plan = json.loads((tmp_path / "study.json").read_text())
    plan["cells"].append({"levels": cell("y", "1"), "runs": {"0": "0" * 12}})
    write_json(tmp_path / "study.json", plan)
    with pytest.raises(ValueError, match="two cells have the same levels"):
        gather.load(tmp_path)


HOSTILE = ["<script>alert(1)</script>", "a|b\n| c", "`x` $y$ [l](http://e)", "=cmd()", "\u2028**bold**"]


def test_hostile_names_are_inert_in_markdown_and_csv(tmp_path: Path) -> None:
    runs = [(cell(h, "1"), s, "DONE" if i else "FAILED", 0.1) for i, h in enumerate(HOSTILE) for s in (0, 1)]
    path = render.write(gather.load(make(tmp_path, runs)))
    text = path.read_text()
    assert "<script>" not in text
    assert "](http" not in text
    assert "**bold**" not in text
    assert "\u2028" not in text
    table = [line for line in text.split("## Axis alpha")[1].split("## ")[0].splitlines() if line.startswith("|")]
    assert len(table) == 2 + len(HOSTILE)
    assert all(line.replace("\\|", "").count("|") == 4 for line in table)
    with open(path.parent / "tables" / "axis_alpha.csv", newline="") as file:
        levels = [row["level"] for row in csv.DictReader(file)]
    assert "'=cmd()" in levels
    assert not any(level.startswith("=") for level in levels)


def test_a_bare_value_is_labelled_by_its_key(tmp_path: Path) -> None:
    runs = [({"optimizer": o, "optimizer.lr": v}, 0, "DONE", 0.5) for o in ("adam", "sgd") for v in ("0.1", "0.01")]
    study = gather.load(make(tmp_path, runs))
    assert [analyse.label(study, row) for _, row in study.runs.iterrows()] == [
        "adam, lr=0.1", "adam, lr=0.01", "sgd, lr=0.1", "sgd, lr=0.01",
    ]  # fmt: skip


def test_two_renders_are_the_same_bytes(tmp_path: Path) -> None:
    def render_once() -> dict[str, bytes]:
        folder = render.write(gather.load(tmp_path)).parent
        return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}

    make(tmp_path, GRID)
    first = render_once()
    assert len(first) == 8
    assert render_once() == first


def test_figures_tables_and_links_of_a_real_study_are_there(study: Study) -> None:
    done = python("-m", "report", "outputs/main", cwd=study[0].parent.parent)
    assert done.returncode == 0, done.stderr
    folder = study[0] / "report"
    text = (folder / "report.md").read_text()
    for link in [part.partition(")")[0] for part in text.split("](")[1:]]:
        assert (folder / link).exists(), link
    assert (folder / "figures" / "curves.png").stat().st_size > 20_000
    assert "DIVERGED" in text
    assert "python -m ablate.reproduce outputs/main/" in text


def test_importing_the_report_imports_neither_torch_nor_hydra() -> None:
    program = (
        "import report.__main__, report.render, sys; print([m for m in ('torch', 'timm', 'hydra') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize("words", [["nowhere"], [], ["."]])
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
    assert gather.latest_study(tmp_path).name == "new"

"""Exports of real tools: what `ablate report` reads of them, and what it answers.

exports/timm was written by timm.utils.update_summary and as train.py writes args.yaml; exports/multirun by a Hydra app
with --multirun; exports/wandb_export.csv has the columns of W&B's table of runs. The results in them are made up.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ablate.report import frames
from ablate.report.analysis import Analysis, analyse
from ablate.report.answers import best, terminal
from ablate.report.foreign import read
from ablate.report.foreign import study as foreign
from ablate.report.foreign.columns import Said
from tests.given import ROOT

EXPORTS = Path(__file__).parent / "exports"


def analysed(path: Path, **said: Any) -> Analysis:
    return analyse(foreign.load(path, Said(**said)))


def verdicts(analysis: Analysis) -> dict[str, str]:
    return {effect.axis: str(effect.verdict) for effect in analysis.effects.axes}


def columns(analysis: Analysis) -> dict[str, str]:
    assert analysis.study.origin is not None
    return analysis.study.origin.columns


def test_an_export_of_weights_and_biases() -> None:
    analysis = analysed(EXPORTS / "wandb_export.csv")
    study = analysis.study
    assert study.axes == {"label_smoothing": ["0", "0.1"], "model": ["resnet18", "resnet34"]}
    assert study.plan.seeds == [0, 1, 2]
    assert (columns(analysis)["metric"], columns(analysis)["holdout metric"]) == ("test/acc", "val/acc")
    assert study.plan.constants == {"batch_size": "128", "epochs": "30", "optimizer.lr": "0.1", "optimizer.name": "sgd"}
    # The failed run was trained again, the crashed one was not.
    assert study.runs["state"].value_counts().to_dict() == {"DONE": 11, "FAILED": 1}
    assert study.runs.loc[study.runs["state"] == "FAILED", "error"].tolist() == ["its State is crashed"]
    assert study.finished["seconds"].between(1200, 1300).all()
    assert verdicts(analysis)["model"] == "matters"
    assert any("1 of 6 runs at resnet34 failed" in line for line in terminal.lines(analysis))


def test_the_summaries_of_timm_count_with_their_last_epoch() -> None:
    analysis = analysed(EXPORTS / "timm")
    assert analysis.study.axes == {"mixup": ["0", "0.2"], "opt": ["adamw", "sgd"]}
    assert columns(analysis)["metric"] == "eval_top1"
    assert columns(analysis)["differ with an axis"] == "lr with opt"
    assert analysis.caveats["opt"] == ["the levels differ in lr too"]
    rates = {cell.levels["opt"]: cell.settings["lr"] for cell in analysis.study.plan.cells}
    assert rates == {"sgd": "0.1", "adamw": "0.001"}  # as set, not as decayed
    assert analysis.study.finished["test_accuracy"].between(0.78, 0.84).all()  # of epoch 3; epoch 1 has 0.6
    assert verdicts(analysis)["opt"] == "matters"
    # timm knows no holdout besides what it tests on.
    assert best.best(analysis) is None
    assert analysis.ranking is None


def test_a_multirun_of_hydra() -> None:
    analysis = analysed(EXPORTS / "multirun")
    assert analysis.study.axes == {"optimizer": ["adam", "sgd"], "wd": ["0", "0.0001"]}
    assert (columns(analysis)["metric"], columns(analysis)["holdout metric"]) == ("test.accuracy", "val.accuracy")
    assert analysis.caveats["optimizer"] == ["the levels differ in optimizer.lr too"]
    assert analysis.study.confounded == []  # a rate is part of the optimizer's level
    assert verdicts(analysis)["optimizer"] == "matters"
    top = best.best(analysis)
    assert top is not None
    assert top.name.startswith("adam, wd=")


def test_a_job_without_results_is_a_run_that_failed(tmp_path: Path) -> None:
    folder = shutil.copytree(EXPORTS / "multirun", tmp_path / "multirun")
    (folder / "3" / "metrics.json").unlink()
    runs = analysed(folder).study.runs
    assert runs.loc[runs["state"] != "DONE", ["name", "state", "error"]].values.tolist() == [
        ["3", "FAILED", "it has no test.accuracy"]
    ]


def test_a_metrics_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    folder = shutil.copytree(EXPORTS / "multirun", tmp_path / "multirun")
    (folder / "3" / "metrics.json").write_text("{")
    with pytest.raises(ValueError, match=r"3/metrics\.json cannot be read"):
        analysed(folder)


def test_tables_of_lightning_have_a_value_in_few_rows(tmp_path: Path) -> None:
    folder = shutil.copytree(EXPORTS / "multirun", tmp_path / "multirun")
    for job in folder.iterdir():
        values = json.loads((job / "metrics.json").read_text())
        (job / "metrics.json").unlink()
        (job / "csv" / "version_0").mkdir(parents=True)
        rows = ["epoch,step,test/acc,train/loss,val/acc", "0,9,,0.5,", f"0,9,,,{values['val']['accuracy']}",
                f"1,19,{values['test']['accuracy']},,"]  # fmt: skip
        (job / "csv" / "version_0" / "metrics.csv").write_text("\n".join(rows) + "\n")
    assert verdicts(analysed(folder)) == verdicts(analysed(EXPORTS / "multirun"))


def test_a_history_of_keras_counts_with_its_last_epoch(tmp_path: Path) -> None:
    folder = shutil.copytree(EXPORTS / "multirun", tmp_path / "multirun")
    for job in folder.iterdir():
        values = json.loads((job / "metrics.json").read_text())
        (job / "metrics.json").unlink()
        history = {f"{part}_accuracy": [0.1, values[part]["accuracy"]] for part in ("test", "val")}
        (job / "history.json").write_text(json.dumps(history))
    assert verdicts(analysed(folder)) == verdicts(analysed(EXPORTS / "multirun"))


def test_yaml_of_others_runs_no_code(tmp_path: Path) -> None:
    folder = shutil.copytree(EXPORTS / "timm", tmp_path / "timm")
    args = next(folder.iterdir()) / "args.yaml"
    args.write_text(args.read_text() + f"evil: !!python/object/apply:os.mkdir ['{tmp_path}/made']\n")
    analysed(folder)
    assert not (tmp_path / "made").exists()


def test_the_table_that_the_guide_to_the_api_of_weights_and_biases_writes(tmp_path: Path) -> None:
    rows = [
        f"""{n},"{{'test_acc': {0.8 + 0.05 * (opt == "b") + 0.001 * seed}, 'loss': nan}}","{{'opt': '{opt}', 'seed': {seed}}}",run-{n}"""
        for n, (opt, seed) in enumerate((opt, seed) for opt in "ab" for seed in range(3))
    ]
    path = tmp_path / "project.csv"
    path.write_text("\n".join([",summary,config,name", *rows]) + "\n")
    analysis = analysed(path)
    assert analysis.study.axes == {"opt": ["a", "b"]}
    assert columns(analysis)["metric"] == "test_acc"


def test_notebooks_read_a_table_too() -> None:
    found = frames.load(EXPORTS / "wandb_export.csv")
    assert set(found.effects["axis"]) == {"label_smoothing", "model"}
    assert len(found.runs) == 12
    assert found.epochs.empty


def test_a_folder_that_holds_neither_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    assert not read.is_foreign(tmp_path)


WITHOUT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent}:
            raise ModuleNotFoundError(f"no module named {{name}}")
sys.meta_path.insert(0, Absent())
from ablate.commands import cli
raise SystemExit(cli.main({words}))
"""


def report(cwd: Path, *words: str, absent: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    program = WITHOUT.format(absent=absent, words=["report", *words])
    return subprocess.run(
        [sys.executable, "-c", program], cwd=cwd, capture_output=True, text=True, env={"PYTHONPATH": str(ROOT)}
    )


def test_a_report_is_written_where_nothing_can_be_trained(tmp_path: Path) -> None:
    shutil.copy(EXPORTS / "wandb_export.csv", tmp_path / "runs.csv")
    absent = ("torch", "torchvision", "timm", "hydra", "omegaconf", "hydra_plugins")
    done = report(tmp_path, "runs.csv", absent=absent)
    assert done.returncode == 0, done.stderr
    assert "  metric                  test/acc\n" in done.stdout
    assert "report: runs-report/report.md and report.html" in done.stdout
    text = (tmp_path / "runs-report" / "report.md").read_text()
    assert "resnet34" in text
    for title in ("Curves", "Confusion", "Sample predictions", "Reproduce", "Deviations"):
        assert f"## {title}\n" not in text
    assert "There is no interval for new images" in text
    for link in [part.partition(")")[0] for part in text.split("](")[1:]]:
        assert (tmp_path / "runs-report" / link).exists(), link
    results = json.loads((tmp_path / "runs-report" / "results.json").read_text())
    assert results["read_from"]["columns"]["metric"] == "test/acc"
    # The twin: what the report does need cannot be absent.
    assert report(tmp_path, "runs.csv", absent=("scipy",)).returncode != 0

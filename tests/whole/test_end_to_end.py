"""The real commands, as a user types them: from a checkout, and from a built wheel."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ablate.config.schema import AXES
from tests.given import ROOT, TINY, python

Study = tuple[Path, subprocess.CompletedProcess[str]]


def records(study: Path) -> list[dict[str, object]]:
    return [json.loads(p.read_text()) for p in sorted(study.glob("*/record.json"))]


# -- a sweep ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_run_that_diverges_keeps_none_from_running_and_the_exit_code_says_so(study: Study) -> None:
    folder, done = study
    assert sorted(str(r["state"]) for r in records(folder)) == ["DIVERGED", "DIVERGED", "DONE", "DONE"]
    assert done.returncode == 1
    assert "2 DONE, 2 DIVERGED" in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_force_trains_again_what_is_done(study: Study, tmp_path: Path) -> None:
    shutil.copytree(study[0], tmp_path / "outputs" / "main")
    before = next(r for r in records(study[0]) if r["state"] == "DONE")
    forced = python(*str(before["command"]).split()[1:], "force=true", cwd=tmp_path)
    assert "1 to train" in forced.stdout
    after = next(r for r in records(tmp_path / "outputs" / "main") if r["signature"] == before["signature"])
    assert after["weights_sha256"] == before["weights_sha256"]
    assert after["started"] != before["started"]


@pytest.mark.slow
def test_a_finished_study_is_left_alone(study: Study) -> None:
    before = {p: p.stat().st_mtime_ns for p in study[0].glob("*/*")}
    again = python(
        "-m", "ablate", "-m", *TINY, "optimizer=sgd", "optimizer.lr=0.05,1e9", "seeds=2", "trainer.epochs=2",
        "augment=flip_crop", "study.name=main", cwd=study[0].parent.parent,
    )  # fmt: skip
    assert "4 finished, 0 to train" in again.stdout
    assert again.returncode == 1  # two of them are DIVERGED
    assert {p: p.stat().st_mtime_ns for p in study[0].glob("*/*")} == before


@pytest.mark.slow
def test_a_run_is_the_same_alone_elsewhere_and_second_in_a_sweep(study: Study, tmp_path: Path) -> None:
    command = next(str(r["command"]) for r in records(study[0]) if r["state"] == "DONE" and r["seed"] == 1)
    done = python(*command.split()[1:], cwd=tmp_path, umask=0o077, PYTHONHASHSEED="7", LC_ALL="C", TZ="Asia/Tokyo")
    assert done.returncode == 0, done.stderr
    (alone,) = records(tmp_path / "outputs" / "main")
    inside = next(r for r in records(study[0]) if r["signature"] == alone["signature"])
    assert alone["weights_sha256"] == inside["weights_sha256"]


@pytest.mark.slow
def test_the_command_on_record_trains_its_run_and_no_other(tmp_path: Path) -> None:
    """A preset would vary the axes that the command leaves out."""
    words = (*TINY, "trainer.epochs=1", "batch_size=b256", "augment=none", "data.resolution=32", "optimizer=adam,sgd")
    as_it_is = ("backbone.freeze=false", "backbone.stem_stride=null")
    done = python("-m", "ablate", "study=demo", *words, *as_it_is, "seeds=1", cwd=tmp_path)
    assert "optimizer (2) x seed (1) = 2 runs" in done.stdout, done.stderr
    for record in records(tmp_path / "outputs" / "demo"):
        again = python(*str(record["command"]).split()[1:], "dry_run=true", cwd=tmp_path)
        assert "1 run, 1 finished, 0 to train" in again.stdout, again.stderr
        assert str(record["signature"]) in again.stdout


@pytest.mark.slow
def test_a_failed_run_is_tried_again_and_a_diverged_one_only_when_asked(study: Study, tmp_path: Path) -> None:
    shutil.copytree(study[0], tmp_path / "outputs" / "main")
    failed = next(p for p in (tmp_path / "outputs" / "main").glob("*lr0.05*-s0-*/record.json"))
    failed.write_text(json.dumps(json.loads(failed.read_text()) | {"state": "FAILED"}))
    words = ("-m", "ablate", *TINY, "optimizer=sgd", "optimizer.lr=0.05,1e9", "seeds=2", "trainer.epochs=2",
             "augment=flip_crop", "study.name=main", "dry_run=true")  # fmt: skip
    assert "3 finished, 1 to train" in python(*words, cwd=tmp_path).stdout
    assert "1 finished, 3 to train" in python(*words, "retry=diverged", cwd=tmp_path).stdout
    assert "1 finished, 3 to train" in python(*words, "retry=oom,diverged", cwd=tmp_path).stdout


# -- users' mistakes --------------------------------------------------------------------------


MORE_MISTAKES = [
    (["-m", "backbone=resnt50,resnet18"], r"backbone=resnt50: no such level; did you mean resnet50\?"),
    (["optimzer=adam"], "did you mean optimizer"),
    (["optimizer.lrr=1"], r"did you mean optimizer\.lr=1\?"),
    (["+anything=1"], "anything is unknown"),
    (["-m", "batch_size=128,1"], "1 of 2 combinations are invalid.*batch_size.size=1 must be"),
    (["optimizer.lr=fast"], "optimizer.lr=fast must be a number"),
    (["backbone=resnet18,resnet34", "backbone=resnet50"], "backbone is given twice"),
    (["study.name=a,b"], "one sweep is one study"),
    (["-m", "optimizer.lr=interval(0,1)"], "name the values one by one"),
    (["nonsense"], "nonsense"),
    (["-m", "optimizer=adam,adamw", "optimizer.momentum=0.5"], "2 of 2 combinations are invalid.*momentum is not read"),
    (["backbone=timm", "backbone.name=resnt18"], "did you mean resnet18"),
]


@pytest.mark.fault(32, 34)
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["backbone=resnt50"], "did you mean resnet50"),
        (["batch_size=big"], "batch_size has .*, and every number"),
        (["seeds=2", "seed=0,1"], "not both"),
        (["data=folder", "data.path=nowhere"], "nowhere is not a folder"),
        *(pytest.param(words, sentence, marks=pytest.mark.slow) for words, sentence in MORE_MISTAKES),
    ],
)
def test_a_mistake_is_answered_in_one_line_before_anything_is_written(
    tmp_path: Path, words: list[str], sentence: str
) -> None:
    done = python("-m", "ablate", *words, cwd=tmp_path)
    assert done.returncode == 2
    assert re.search(sentence, done.stderr), done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_typo_is_answered_before_torch_is_imported(tmp_path: Path) -> None:
    program = (
        "import sys; from ablate.commands.cli import main\n"
        "print(main(['backbone=resnt50']), [m for m in ('torch', 'timm', 'pandas') if m in sys.modules])"
    )
    assert python("-c", program, cwd=tmp_path).stdout.strip() == "2 []"


@pytest.mark.fault(35)
@pytest.mark.slow
def test_weights_that_cannot_be_had_are_named_once_before_anything_is_started(tmp_path: Path) -> None:
    words = ("backbone=resnet18,resnet34", "backbone.pretrained=true", "seeds=2")
    done = python("-m", "ablate", *words, cwd=tmp_path, HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path / "hub"))
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert re.search(r"nothing was started: the pretrained weights resnet18\S* cannot be had", done.stderr)
    assert done.stderr.endswith("backbone.pretrained=false (and those of 1 more)\n")
    assert not (tmp_path / "outputs").exists()


@pytest.mark.fault(78)
def test_a_reader_that_has_seen_enough_gets_no_traceback(tmp_path: Path) -> None:
    command = f"{sys.executable} -m ablate dry_run=true seeds=20 | head -1"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"], cwd=tmp_path, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.stdout.count("\n") == 1
    assert "Traceback" not in done.stderr and "BrokenPipe" not in done.stderr


# -- help and completion ----------------------------------------------------------------------


def test_help_lists_every_axis_with_its_levels(tmp_path: Path) -> None:
    text = python("-m", "ablate", "--help", cwd=tmp_path).stdout
    for group in (*AXES, "data", "study"):
        (listed,) = re.findall(rf"(?m)^  {group}: ((?:.|\n {{6}})*)", text)
        levels = {path.stem for path in (ROOT / "conf" / group).glob("*.yaml")} - {"default"}
        assert set(re.split(r",\s+", listed)) == levels


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("backbone=eff", "backbone=effnet_b5"), ("sched", "scheduler="), ("optimizer.l", "optimizer.lr=")],
)
def test_shell_completion_offers_levels_and_keys(tmp_path: Path, typed: str, offered: str) -> None:
    done = python("-m", "ablate", "-sc", "query=bash", cwd=tmp_path, COMP_LINE=f"ablate {typed}")
    assert offered in done.stdout.split()

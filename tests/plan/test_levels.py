"""Names of timm and numbers as levels of a study: one name and one signature each, wherever they are written."""

from pathlib import Path

import pytest

import ablate
from ablate.commands.remove import remove
from ablate.records import study_plan
from ablate.report.study import gather
from tests.plan.planning import plan, signatures, study_json


def test_a_name_of_timm_is_a_level_next_to_files(tmp_path: Path) -> None:
    planned = plan(tmp_path, "backbone=resnet18,test_resnet,resnet10t.c3_in1k")
    assert study_json(tmp_path)["axes"] == {"backbone": ["resnet18", "test_resnet", "resnet10t.c3_in1k"]}
    assert [run.label for run in planned.runs] == ["resnet18-s0", "test_resnet-s0", "resnet10t.c3_in1k-s0"]
    by_timm = plan(tmp_path, "study.name=other", "backbone=timm", "backbone.name=resnet18,test_resnet,resnet10t")
    assert signatures(planned) == signatures(by_timm)


def test_a_level_has_one_name_in_two_commands(tmp_path: Path) -> None:
    old = plan(tmp_path, "batch_size=b64,b128", "weight_decay=none,wd5e-2")
    new = ablate.create_study(
        {"batch_size": [64, 128, 192], "weight_decay": [0, 0.05, 2e-3]}, root=tmp_path, name="main"
    )._planned
    assert new.axes == {"batch_size": ["b64", "b128", "b192"], "weight_decay": ["none", "wd5e-2", "wd2e-3"]}
    assert signatures(old) < signatures(new)
    assert len(signatures(new)) == 9


@pytest.mark.parametrize(
    "word",
    [
        "batch_size=range(64,193,64)",
        "batch_size=choice(64,b128,192.0)",
        "batch_size=64,128,192",
        "batch_size=[64,128,192]",
    ],
)
def test_numbers_are_levels_as_hydra_sweeps_them(tmp_path: Path, word: str) -> None:
    """The twin is the list in brackets, which is one value and refused."""
    if "[" in word:
        with pytest.raises(ValueError, match="as in batch_size=64,128,192"):
            ablate.create_study(word, root=tmp_path)
        return
    assert ablate.create_study(word, root=tmp_path)._planned.axes == {"batch_size": ["b64", "b128", "b192"]}


def test_a_preset_may_have_them_too(tmp_path: Path) -> None:
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "mine.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /backbone: test_resnet\n"
        "hydra:\n  sweeper:\n    params:\n      batch_size: 64,192\n      weight_decay: 0.002\n      head: linear,MLP512\n"
        "study:\n  exclude: ['batch_size=192 head=mlp-512']\n"
    )
    planned = ablate.create_study("study=mine", f"hydra.searchpath=[file://{tmp_path}]", root=tmp_path / "out")._planned
    assert [(run.levels["batch_size"], run.levels["head"]) for run in planned.runs] == [
        ("b64", "linear"), ("b64", "mlp512"), ("b192", "linear"),
    ]  # fmt: skip
    assert {(run.levels["backbone"], run.levels["weight_decay"]) for run in planned.runs} == {("test_resnet", "wd2e-3")}


def test_one_at_a_time_and_exclusion_know_numbers(tmp_path: Path) -> None:
    planned = plan(
        tmp_path, "study.design=one_at_a_time", "batch_size=b64,b192", "weight_decay=none,0.002",
        "study.exclude=['batch_size=192']", remembered=False,
    )  # fmt: skip
    assert [run.label for run in planned.runs] == ["baseline-s0", "wd2e-3-s0"]
    with pytest.raises(ValueError, match="batch_size has no level tiny"):
        plan(tmp_path, "batch_size=64,192", "study.exclude=['batch_size=tiny']", remembered=False)


def test_a_number_that_cannot_be_trained_is_refused_by_its_setting(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"batch_size\.size=0 must be"):
        ablate.create_study("batch_size=0", root=tmp_path)


def test_a_level_is_removed_by_any_spelling(tmp_path: Path) -> None:
    plan(tmp_path, "batch_size=64,192")
    assert remove(tmp_path / "main", "batch_size=192.0", "too large", "").left == 1


def test_the_report_orders_numbers_and_nothing_else(tmp_path: Path) -> None:
    plan(
        tmp_path, "batch_size=256,64,1024", "weight_decay=0.05,0,wd1e-4", "optimizer.lr=0.1,0.01", "head=mlp512,linear"
    )
    data = gather.load(tmp_path / "main")
    assert data.axes == {
        "batch_size": ["b64", "b256", "b1024"], "weight_decay": ["none", "wd1e-4", "wd5e-2"],
        "optimizer.lr": ["0.01", "0.1"], "head": ["mlp512", "linear"],
    }  # fmt: skip
    read = study_plan.read(tmp_path / "main")
    assert read.numbers("batch_size") == {"b256": 256, "b64": 64, "b1024": 1024}
    assert read.numbers("head") is None


def test_levels_that_differ_in_more_than_a_number_are_none(tmp_path: Path) -> None:
    plan(tmp_path, "weight_decay=none,wd5e-4,wd5e-4_spare")
    assert study_plan.read(tmp_path / "main").numbers("weight_decay") is None

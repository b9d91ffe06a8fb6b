"""The plan: what a study remembers, and how runs are named."""

import json
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from ablate.config.compose import config_folder
from ablate.config.schema import HASHED_GROUPS
from ablate.plan import planned_run, study_file
from ablate.plan.labels import LONGEST
from ablate.plan.planned_run import Planned, PlannedRun

BASELINE = planned_run.default_levels()


def planned(root: Path, *overrides: str) -> PlannedRun:
    words = [f"study.root={root}", "study.name=main", *overrides]
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        composed = compose("config", words, return_hydra_config=True)
    return planned_run.plan_run(composed, composed.hydra.runtime.choices, words, lambda _: "images")


def remember(runs: list[PlannedRun]) -> None:
    study_file.remember(Planned(runs=runs, baseline=dict(BASELINE)))


def test_a_study_remembers_its_cells_and_its_amendments(tmp_path: Path) -> None:
    first = [planned(tmp_path, f"optimizer={o}", f"seed={s}") for s in (0, 1) for o in ("adam", "sgd")]
    remember(first)
    remember(first)  # the same command again amends nothing
    (tmp_path / "main" / "report").mkdir()
    remember([planned(tmp_path, "optimizer=adamw", "seed=0")])
    study = json.loads((tmp_path / "main" / "study.json").read_text())
    assert study["axes"] == {"optimizer": ["adam", "sgd", "adamw"]}
    assert study["seeds"] == [0, 1]
    assert study["baseline"]["optimizer"] == "adam"
    assert [a["runs_added"] for a in study["amendments"]] == [4, 1]
    assert [a["after_a_report"] for a in study["amendments"]] == [False, True]
    assert all(a["seeds"] == len(study["seeds"]) for a in study["amendments"][-1:])
    cells = {c["levels"]["optimizer"]: c["runs"] for c in study["cells"]}
    assert cells["sgd"] == {"0": first[1].signature, "1": first[3].signature}


def test_a_setting_that_some_sweeps_leave_at_its_default_is_an_axis_of_all(tmp_path: Path) -> None:
    """Told by its default's value, so that naming the default adds nothing; as "default" where defaults differ."""
    both = ("optimizer=adam", "optimizer=sgd")
    remember([planned(tmp_path, o, "trainer.epochs=1") for o in both])
    remember([planned(tmp_path, o) for o in both])
    remember([planned(tmp_path, o, "trainer.epochs=3") for o in both])
    remember([planned(tmp_path, o, "optimizer.lr=0.05", "data=embedded") for o in both])
    study = json.loads((tmp_path / "main" / "study.json").read_text())
    assert [a["runs_added"] for a in study["amendments"]] == [2, 2, 1]  # 0.05 is sgd's own rate
    assert study["axes"] == {
        "optimizer": ["adam", "sgd"], "trainer.epochs": ["1", "3"], "optimizer.lr": ["default", "0.05"],
    }  # fmt: skip
    places = [tuple(cell["levels"][axis] for axis in study["axes"]) for cell in study["cells"]]
    assert places == [
        ("adam", "1", "default"), ("sgd", "1", "default"), ("adam", "3", "default"), ("sgd", "3", "default"),
        ("adam", "3", "default"), ("sgd", "3", "default"), ("adam", "3", "0.05"), ("sgd", "3", "0.05"),
    ]  # fmt: skip
    assert [study["cells"][i]["runs"] for i in (2, 3)] == [study["cells"][i]["runs"] for i in (4, 5)]
    assert study["constants"]["augment.flip"] == "true"
    assert not {"optimizer.lr", "trainer.epochs", "optimizer.name"} & set(study["constants"])


def test_a_study_of_two_designs_is_called_mixed(tmp_path: Path) -> None:
    remember([planned(tmp_path)])
    remember([planned(tmp_path, "study.design=one_at_a_time", "optimizer=sgd")])
    assert json.loads((tmp_path / "main" / "study.json").read_text())["design"] == "mixed"


def test_a_damaged_plan_is_named_and_never_replaced(tmp_path: Path) -> None:
    run = planned(tmp_path)
    remember([run])
    (tmp_path / "main" / "study.json").write_text("{")
    with pytest.raises(ValueError, match=r"study\.json cannot be read"):
        remember([run])
    assert (tmp_path / "main" / "study.json").read_text() == "{"


def test_levels_are_the_groups_and_whatever_else_was_set(tmp_path: Path) -> None:
    levels = planned(tmp_path, "optimizer=sgd", "optimizer.lr=1e-1", "trainer.threads=2", "trainer.epochs=5").levels
    assert set(levels) == {*HASHED_GROUPS, "optimizer.lr", "trainer.epochs"}
    assert levels["optimizer.lr"] == "0.1"


@pytest.mark.parametrize(
    ("overrides", "label"),
    [
        ((), "baseline-s0"),
        (("backbone=resnet18", "seed=3"), "baseline-s3"),
        (("backbone=resnet50", "optimizer=sgd", "optimizer.lr=1e9"), "resnet50-sgd-lr1e+09-s0"),
        (("head.hidden=[]",), "hidden-s0"),
        (("optimizer=sgd", "optimizer.nesterov=true", "optimizer.momentum=0.95"), "sgd-nesterov_true-momentum0.95-s0"),
    ],
)
def test_a_label_names_only_what_differs_from_the_defaults(
    tmp_path: Path, overrides: tuple[str, ...], label: str
) -> None:
    assert planned(tmp_path, *overrides).label == label


def test_a_label_never_grows_past_its_limit(tmp_path: Path) -> None:
    run = planned(
        tmp_path, "backbone=wide_resnet50_2", "head=mlp512x2", "augment=trivial_augment", "weight_decay=wd5e-2_spare",
        "scheduler=warmup_cosine", "data.split_seed=2147483647", "seed=2147483647",
    )  # fmt: skip
    assert len(run.label) <= LONGEST + len("-s2147483647")
    assert run.label.endswith("-s2147483647")


def test_equivalent_levels_are_one_experiment(tmp_path: Path) -> None:
    named, valued = (
        planned(tmp_path, "weight_decay=none"),
        planned(tmp_path, "weight_decay=wd1e-4", "weight_decay.value=0"),
    )
    assert named.signature == valued.signature
    remember([named, valued])
    assert len(json.loads((tmp_path / "main" / "study.json").read_text())["cells"]) == 2


def test_the_command_of_a_run_trains_it_and_no_other(tmp_path: Path) -> None:
    run = planned(tmp_path, "optimizer=sgd", "force=true", "seed=1")
    assert run.command() == f"python -m ablate study.root={tmp_path} study.name=main optimizer=sgd seed=1"


def test_a_label_names_a_weights_file_without_its_folders(tmp_path: Path) -> None:
    (tmp_path / "some.pth").write_bytes(b"x")
    run = planned(tmp_path, f"backbone.weights={tmp_path / 'some.pth'}")
    assert run.label == "weights_some-s0"
    assert run.levels["backbone.weights"] == str(tmp_path / "some.pth")

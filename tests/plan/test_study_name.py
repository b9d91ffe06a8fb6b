"""Studies without a name: commands that belong together share one, those that do not are kept apart."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ablate.plan import reuse, study_file, study_name
from ablate.plan.planned_run import Planned
from ablate.records import record, run_folder, study_plan
from ablate.records.record import State
from ablate.records.run_folder import RunFolder
from ablate.report.study import gather
from ablate.run import lifecycle
from ablate.run.outcome import opening_record
from tests.given import TINY, planned, python, some_images
from tests.plan import planning
from tests.plan.test_cells import IMAGES, pictures


def plan(root: Path, *words: str, remembered: bool = True) -> Planned:
    return planning.plan(root, "study.name=auto", *words, remembered=remembered)


def name_of(of: Planned) -> str:
    (name,) = {run.config.study.name for run in of.runs}
    return name


# -- the name ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("axes", "name"),
    [
        ([], "runs"),
        (["optimizer", "backbone"], "backbone-optimizer"),
        (["trainer.epochs", "optimizer.lr"], "lr-epochs"),
        (["data.path", "backbone.name"], "backbone-data"),
    ],
)
def test_a_study_is_called_after_its_axes_in_one_order(axes: list[str], name: str) -> None:
    assert study_name.base_name(axes) == name
    assert study_name.base_name(axes[::-1]) == name


def test_a_long_name_is_cut_between_axes_and_told_apart_by_a_hash() -> None:
    seven = ["backbone", "optimizer", "head", "batch_size", "augment", "weight_decay", "scheduler"]
    names = {study_name.base_name(seven), study_name.base_name([*seven, "optimizer.lr"])}
    assert len(names) == 2
    for name in names:
        assert len(name) <= 40
        assert name.startswith("backbone-optimizer-")


def test_the_name_is_in_each_runs_own_words_and_configuration_and_is_no_level(tmp_path: Path) -> None:
    for run in plan(tmp_path, "optimizer=adam,sgd").runs:
        assert "study.name=optimizer" in run.overrides
        assert "study.name=optimizer" in run.command()
        assert run.composed.study.name == "optimizer"
        assert run.study == tmp_path / "optimizer"
        assert not any("study" in key for key in {**run.levels, **run.settings, **run.identity})


# -- which study a command belongs to ---------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ("optimizer=adam,sgd,adamw",),
        ("optimizer=sgd,adamw", "seeds=3"),
        ("optimizer=adam,sgd", "seed=4"),
        ("optimizer=adam,sgd", "trainer.threads=1", "trainer.device=cpu", "study.delta=1"),
        ("optimizer=adam,sgd", "backbone=resnet18"),  # its own default
    ],
)
def test_more_levels_and_seeds_add_to_it(words: tuple[str, ...], tmp_path: Path) -> None:
    plan(tmp_path, "optimizer=adam,sgd")
    assert name_of(plan(tmp_path, *words)) == "optimizer"
    assert [path.name for path in run_folder.studies(tmp_path)] == ["optimizer"]


@pytest.mark.parametrize(
    ("words", "differs"),
    [
        (("trainer.epochs=7",), r"trainer.epochs (3 there, 7 here)"),
        (("backbone=resnet34",), r"backbone.name (resnet18 there, resnet34 here)"),
        (("optimizer.lr=0.3",), r"optimizer.lr (none there, 0.3 here)"),  # in the group of the axis
        (("data.holdout=0.2",), "data.holdout"),
    ],
)
def test_other_constants_are_another_study_and_the_plan_says_which(
    words: tuple[str, ...], differs: str, tmp_path: Path
) -> None:
    plan(tmp_path, "optimizer=adam,sgd")
    for _ in range(2):  # the same command again finds it
        other = study_name.settled(plan(tmp_path, "optimizer=adam,sgd", *words))
        assert name_of(other) == "optimizer-2"
        assert differs in other.differs
        assert str(tmp_path / "optimizer") in other.differs
    assert name_of(plan(tmp_path, "optimizer=adam,sgd")) == "optimizer"
    third = plan(tmp_path, "optimizer=adam,sgd", "trainer.epochs=9", "head=mlp512")
    assert name_of(third) == "optimizer-3"


def test_other_axes_are_another_study(tmp_path: Path) -> None:
    plan(tmp_path, "optimizer=adam,sgd")
    assert name_of(plan(tmp_path, "optimizer=adam,sgd", "batch_size=b64,b128")) == "optimizer-batch_size"
    assert len(study_plan.read(tmp_path / "optimizer").cells) == 2


def test_other_images_under_the_same_path_are_another_study(tmp_path: Path) -> None:
    words = (*IMAGES, f"data.cache={tmp_path / 'cache'}", "optimizer=adam,sgd", f"data.path={tmp_path / 'images'}")
    pictures(tmp_path / "images", seed=1)
    assert name_of(plan(tmp_path / "o", *words)) == "optimizer"
    shutil.rmtree(tmp_path / "images")
    pictures(tmp_path / "images", seed=2)
    other = study_name.settled(plan(tmp_path / "o", *words))
    assert name_of(other) == "optimizer-2"
    assert "data.fingerprint" in other.differs


def test_two_commands_at_once_do_not_take_one_name(tmp_path: Path) -> None:
    first = plan(tmp_path, "optimizer=adam,sgd", remembered=False)
    second = plan(tmp_path, "optimizer=adam,sgd", "trainer.epochs=7", remembered=False)
    assert name_of(first) == name_of(second) == "optimizer"
    study_file.remember(study_name.settled(first))
    late = study_name.settled(second)
    assert name_of(late) == "optimizer-2"
    assert [run.signature for run in late.runs] == [run.signature for run in second.runs]
    for run in late.runs:
        assert "study.name=optimizer-2" in run.overrides and run.composed.study.name == "optimizer-2"
    assert study_name.settled(first).runs[0].study == tmp_path / "optimizer"


def test_a_fraction_finds_its_combinations_again(tmp_path: Path) -> None:
    words = ("study.design=fractional", *planning.FIVE)
    first, again = plan(tmp_path, *words), plan(tmp_path, *words)
    assert name_of(first) == name_of(again)
    assert planning.signatures(first) == planning.signatures(again)
    assert len(study_plan.read(first.runs[0].study).amendments) == 1


# -- single runs ------------------------------------------------------------------------------


def test_single_runs_are_listed_and_never_seeds_of_one_combination(tmp_path: Path) -> None:
    one = planned(tmp_path, "study.name=runs")
    other = dataclasses.replace(
        one, identity=one.identity | {"data": one.identity["data"] | {"fingerprint": "others"}}, signature="0" * 12
    )
    for run in (one, planned(tmp_path, "study.name=runs", "trainer.epochs=7"), other):
        study_file.remember(Planned(runs=[run]))
    plan_of = study_plan.read(tmp_path / "runs")
    assert len(plan_of.cells) == 3
    assert plan_of.axes == {}
    assert list(gather.load(tmp_path / "runs").runs["seed"]) == [0, 0, 0]


def test_a_sweep_into_the_list_of_single_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="list of single runs"):
        planning.plan(tmp_path, "study.name=runs", "optimizer=adam,sgd")


@pytest.mark.slow
def test_their_report_is_a_list(tmp_path: Path) -> None:
    words = ("-m", "ablate", *TINY, "trainer.epochs=1", "batch_size=b256", "trainer.tensorboard=false")
    for more in ((), ("optimizer=sgd",)):
        done = python(*words, *more, cwd=tmp_path)
        assert "study runs: 1 run, 0 finished" in done.stdout, done.stderr
    assert "2 of 2 runs finished" in python("-m", "ablate", "report", cwd=tmp_path).stdout
    text = (tmp_path / "outputs" / "runs" / "report" / "report.md").read_text()
    assert "listed and not compared" in text
    assert "optimizer=adam" in text and "optimizer=sgd" in text
    assert "Leaderboard" not in text and "rank" not in text


# -- what version 0.1 left in outputs/main, and renamed folders ------------------------------


def interrupted(run: Any, state: State) -> RunFolder:
    folder: RunFolder = run.folder()
    record.write(folder.record, dataclasses.replace(opening_record(run, None), state=state))
    folder.checkpoint.write_bytes(b"half trained")
    return folder


def test_an_unfinished_run_of_main_is_moved_with_its_checkpoint(tmp_path: Path) -> None:
    old = interrupted(planned(tmp_path), State.INTERRUPTED)
    new = planned(tmp_path, "study.name=runs")
    new.study.mkdir()
    reuse.move([new])
    assert not old.path.exists()
    assert new.folder().checkpoint.read_bytes() == b"half trained"


def test_a_run_of_main_that_is_being_trained_is_left_there(tmp_path: Path) -> None:
    from ablate.records.lock import hold

    old = interrupted(planned(tmp_path), State.RUNNING)
    with hold(old):
        reuse.move([planned(tmp_path, "study.name=runs")])
    assert old.checkpoint.exists()


def test_a_renamed_run_folder_is_still_its_runs(tmp_path: Path) -> None:
    run = planned(tmp_path, "trainer.epochs=1")
    assert lifecycle.execute(run, some_images()) == State.DONE
    run.folder().path.rename(run.study / "my_best_run")
    found = run.folder()
    assert found.path.name == "my_best_run"
    assert found.read().state == State.DONE
    (run.study / "my_best_run" / "record.json").write_text(json.dumps({"signature": 7}))
    assert run.folder().path.name == run.name  # a twin: of what cannot be read nothing is said

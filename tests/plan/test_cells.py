"""What a combination is: runs are repetitions of one experiment, or the study says so before they are trained."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from PIL import Image

from ablate.config.compose import config_folder
from ablate.plan import planned_run, study_file
from ablate.plan.planned_run import Planned, PlannedRun, from_anywhere
from tests.given import TINY
from tests.plan.planning import plan, study_json

IMAGES = ("data=folder", "data.size=16", "batch_size.size=4", *TINY)


def pictures(folder: Path, seed: int) -> str:
    for part, count in (("train", 6), ("val", 2)):
        for label, name in enumerate(("cat", "dog")):
            (folder / part / name).mkdir(parents=True)
            for i in range(count):
                pixels = np.random.default_rng([seed, label, i, count]).integers(0, 256, (16, 16, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / part / name / f"{i}.png")
    return str(folder)


def run_of(root: Path, *overrides: str, conf: Path | None = None, data: str = "images") -> PlannedRun:
    words = [f"study.root={root}", "study.name=main", *overrides]
    with initialize_config_dir(str(conf or config_folder()), version_base="1.3"):
        composed = compose("config", words, return_hydra_config=True)
    return planned_run.plan_run(composed, composed.hydra.runtime.choices, words, lambda _: data)


def remember(*runs: PlannedRun) -> None:
    study_file.remember(Planned(runs=list(runs), baseline=dict(planned_run.default_levels())))


def levels(root: Path) -> list[Any]:
    return [cell["levels"] for cell in study_json(root)["cells"]]


# -- other images, weights, numerics or level files under the same words ----------------------


@pytest.mark.fault(27)
def test_another_data_set_under_the_same_words_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    remember(run_of(tmp_path, "optimizer=adam"), run_of(tmp_path, "optimizer=sgd"))
    before = study_json(tmp_path)
    for other in (
        run_of(tmp_path, "optimizer=sgd", "seed=2", data="others"),
        run_of(tmp_path, "optimizer=adamw", data="others"),
    ):
        with pytest.raises(
            ValueError,
            match=r"the study main already holds another experiment under data=embedded: data\.fingerprint images then, others now.*study\.name=NAME",
        ):
            remember(other)
    assert study_json(tmp_path) == before
    # The twin: the same data add to it.
    remember(run_of(tmp_path, "optimizer=sgd", "seed=2"))
    assert study_json(tmp_path)["seeds"] == [0, 2]


def test_an_edited_level_is_another_experiment(tmp_path: Path) -> None:
    conf = tmp_path / "conf"
    shutil.copytree(config_folder(), conf)
    remember(run_of(tmp_path, "optimizer=sgd", conf=conf))
    file = conf / "optimizer" / "sgd.yaml"
    file.write_text(file.read_text().replace("lr: 0.05", "lr: 1.5"))
    with pytest.raises(ValueError, match=r"under optimizer=sgd: optimizer\.lr 0\.05 then, 1\.5 now"):
        remember(run_of(tmp_path, "optimizer=sgd", "seed=1", conf=conf))
    # The twin: named, it is a level of its own.
    remember(run_of(tmp_path, "optimizer=sgd", "optimizer.lr=1.5", "seed=1", conf=conf))
    assert {of["optimizer.lr"] for of in levels(tmp_path)} == {"0.05", "1.5"}


def test_other_weights_under_the_same_name_are_another_experiment(tmp_path: Path) -> None:
    file = tmp_path / "w.pth"
    file.write_bytes(b"one")
    words = ("backbone=timm", "backbone.name=test_resnet", f"backbone.weights={file}")
    remember(run_of(tmp_path, *words))
    file.write_bytes(b"two")
    with pytest.raises(ValueError, match=r"backbone\.weights \w{12} then, \w{12} now"):
        remember(run_of(tmp_path, *words, "seed=1"))


def test_other_numerics_are_another_experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remember(run_of(tmp_path))
    monkeypatch.setattr("ablate.config.signature.NUMERICS", 2)
    with pytest.raises(ValueError, match="another experiment of all runs: numerics 1 then, 2 now"):
        remember(run_of(tmp_path, "seed=1"))


def test_a_level_computed_from_others_may_mean_several_things(tmp_path: Path) -> None:
    words = "optimizer.lr=${weight_decay.value}"
    remember(run_of(tmp_path, "weight_decay=wd1e-4", words))
    remember(run_of(tmp_path, "weight_decay=wd1e-2", words))
    assert len(levels(tmp_path)) == 2


def test_a_study_of_an_earlier_version_knows_its_content_by_its_records(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    remember(run)
    path = tmp_path / "main" / "study.json"
    plan_of_old = json.loads(path.read_text())
    for cell in plan_of_old["cells"]:
        del cell["content"]
    path.write_text(json.dumps(plan_of_old))
    remember(run_of(tmp_path, "seed=1", data="images"))
    path.write_text(json.dumps(plan_of_old))
    record = {
        "state": "DONE",
        "signature": run.signature,
        "levels": {},
        "seed": 0,
        "metrics": {},
        "identity": run.identity,
    }
    (tmp_path / "main" / run.name).mkdir()
    (tmp_path / "main" / run.name / "record.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match="images then, others now"):
        remember(run_of(tmp_path, "seed=1", data="others"))


# -- data sets as an axis ---------------------------------------------------------------------


def test_data_sets_of_one_command_are_an_axis_by_their_content(tmp_path: Path) -> None:
    small, other = pictures(tmp_path / "img" / "small", 0), pictures(tmp_path / "img" / "other", 1)
    words = (*IMAGES, f"data.cache={tmp_path / 'cache'}")
    planned = plan(tmp_path, *words, f"data.path={small},{other}")
    assert study_json(tmp_path)["axes"] == {"data.path": ["small", "other"]}
    assert len({run.signature for run in planned.runs}) == 2
    assert [run.label for run in planned.runs] == ["small-s0", "other-s0"]
    # More seeds of one of them, alone and moved, add to its level.
    moved = shutil.move(small, tmp_path / "moved")
    plan(tmp_path, *words, f"data.path={moved}", "seed=1")
    assert study_json(tmp_path)["axes"] == {"data.path": ["small", "other"]}
    cells = {cell["levels"]["data.path"]: sorted(cell["runs"]) for cell in study_json(tmp_path)["cells"]}
    assert cells == {"small": ["0", "1"], "other": ["0"]}
    # Another one under a name that is taken goes by its content.
    third = pictures(tmp_path / "elsewhere" / "other", 2)
    plan(tmp_path, *words, f"data.path={third}")
    assert len(study_json(tmp_path)["axes"]["data.path"]) == 3


def test_one_data_set_under_two_paths_is_no_axis(tmp_path: Path) -> None:
    small = pictures(tmp_path / "small", 0)
    copy = shutil.copytree(small, tmp_path / "copy")
    with pytest.raises(ValueError, match="hold the same pictures; give one of them"):
        plan(tmp_path, *IMAGES, f"data.cache={tmp_path / 'cache'}", f"data.path={small},{copy}")


# -- what is said and not done ----------------------------------------------------------------


@pytest.mark.parametrize(
    "word", ["trainer.threads=1,2", "trainer.device=cpu,cuda", "data.cache=a,b", "force=true,false", "trainer.keep_weights=all,none"]
)  # fmt: skip
def test_a_sweep_over_what_changes_nothing_is_refused(word: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"{word.partition('=')[0]} does not change what is trained"):
        plan(tmp_path, word)


@pytest.mark.fault(65)
def test_how_a_study_is_judged_changes_only_when_a_command_says_so_and_on_the_record(tmp_path: Path) -> None:
    plan(tmp_path, "optimizer=adam,sgd", "study.delta=0.5")
    plan(tmp_path, "optimizer=adam,sgd", "seeds=2")
    assert study_json(tmp_path)["delta"] == 0.5
    (tmp_path / "main" / "report").mkdir()
    plan(tmp_path, "optimizer=adam,sgd", "study.metric=test_loss", "study.delta=0.1")
    study = study_json(tmp_path)
    assert (study["metric"], study["delta"]) == ("test_loss", 0.1)
    assert study["amendments"][-1]["changes"] == {"study.metric": "test_accuracy", "study.delta": "0.5"}
    assert study["amendments"][-1]["after_a_report"]


def test_a_range_counts_in_decimal(tmp_path: Path) -> None:
    planned = plan(tmp_path, "optimizer.lr=range(0.1,0.4,0.1)", remembered=False)
    assert [run.config.optimizer.lr for run in planned.runs] == [0.1, 0.2, 0.3]
    planned = plan(tmp_path, "seed=range(0,3)", remembered=False)
    assert [run.config.seed for run in planned.runs] == [0, 1, 2]


# -- names and commands -----------------------------------------------------------------------


def test_a_run_is_called_by_what_differs_in_its_study(tmp_path: Path) -> None:
    constant = ("backbone=timm", "backbone.name=test_resnet", "trainer.epochs=3", "trainer.label_smoothing=0.1")
    planned = plan(tmp_path, *constant, "optimizer=sgd", "optimizer.momentum=0.5,0.6,0.95", remembered=False)
    assert [run.label for run in planned.runs] == ["momentum0.5-s0", "momentum0.6-s0", "momentum0.95-s0"]
    planned = plan(
        tmp_path, *constant, "optimizer=adam,sgd", "head=linear,mlp512", "study.design=one_at_a_time", remembered=False
    )
    assert [run.label for run in planned.runs] == ["baseline-s0", "sgd-s0", "mlp512-s0"]


@pytest.mark.parametrize(
    ("word", "made"),
    [
        ("data.path=img", "data.path={here}/img"),
        ("backbone.weights='a b=1.pth'", "backbone.weights='{here}/a b=1.pth'"),
        ("data.path=${oc.env:IMG}", "data.path=${oc.env:IMG}"),
        ("data.path=null", "data.path=null"),
        ("optimizer.lr=0.1", "optimizer.lr=0.1"),
    ],
)
def test_a_recorded_command_names_places_from_anywhere(
    word: str, made: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert from_anywhere(word) == made.replace("{here}", str(tmp_path))

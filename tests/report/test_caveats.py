"""Caveats: named where levels are not compared like with like, and only there."""

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import yaml

from ablate.records.files import write_json
from ablate.report.caveats import NATIVE, UNTUNED, caveats_of
from ablate.report.study import gather
from tests.given import ROOT
from tests.report.made_up import GRID, cell, make, written


def study(
    folder: Path, axes: dict[str, list[str]], settings: dict[str, dict[str, str]], **more: Any
) -> gather.StudyData:
    """A grid of all axes; `settings` are those that a level brings, "" those of all."""
    cells: list[dict[str, str]] = [{}]
    for axis, levels in axes.items():
        cells = [c | {axis: level} for c in cells for level in levels]
    make(folder, [(c, 0, "DONE", 0.5) for c in cells], **more)
    plan = json.loads((folder / "study.json").read_text())
    plan["constants"] = settings.pop("", {})
    for entry in plan["cells"]:
        entry["settings"] = {k: v for level in entry["levels"].values() for k, v in settings.get(level, {}).items()}
    write_json(folder / "study.json", plan)
    return gather.load(folder)


ADAM = {"optimizer.name": "adam", "optimizer.lr": "0.001"}
SGD = {"optimizer.name": "sgd", "optimizer.lr": "0.05"}
SIZES = ["b64", "b256"]


def test_a_learning_rate_that_is_the_same_at_every_batch_size_is_a_caveat(tmp_path: Path) -> None:
    both = {"optimizer": ["adam", "sgd"], "batch_size": SIZES}
    found = caveats_of(study(tmp_path / "a", both, {"adam": ADAM, "sgd": SGD}))
    assert found["batch_size"] == [
        "the learning rate is the same at every batch size, and larger batches make fewer updates"
    ]
    assert found["optimizer"] == [UNTUNED]
    tuned = {"optimizer.lr": ["r1", "r2"], "batch_size": SIZES}
    rates = {"r1": ADAM, "r2": ADAM | {"optimizer.lr": "0.01"}}
    assert caveats_of(study(tmp_path / "b", tuned, rates))["batch_size"] == ["larger batches make fewer updates"]


def test_optimizers_whose_rate_is_an_axis_have_no_caveat(tmp_path: Path) -> None:
    axes = {"optimizer": ["adam", "sgd"], "optimizer.lr": ["0.1", "0.01"]}
    assert "optimizer" not in caveats_of(study(tmp_path, axes, {}))


TRAINED, SCRATCH = {"backbone.pretrained": "true"}, {"backbone.pretrained": "false"}


@pytest.mark.parametrize(
    ("settings", "caveat"),
    [
        ({"b5": TRAINED, "r50": SCRATCH}, ["only b5 starts from pretrained weights"]),
        ({"b5": TRAINED | {"backbone.tag": "aa_in1k"}, "r50": TRAINED | {"backbone.tag": "tv_in1k"}},
         ["the levels' weights differ in recipe or corpus (aa_in1k, tv_in1k)"]),
        ({"b5": TRAINED | {"backbone.tag": "in1k"}, "r50": TRAINED | {"backbone.tag": "in1k"}}, None),
        ({"b5": SCRATCH | {"backbone.tag": "aa_in1k"}, "r50": SCRATCH | {"backbone.tag": "tv_in1k"}}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_weights_that_differ_are_a_caveat_of_the_backbone(
    tmp_path: Path, settings: dict[str, dict[str, str]], caveat: list[str] | None
) -> None:
    assert caveats_of(study(tmp_path, {"backbone": ["b5", "r50"]}, settings)).get("backbone") == caveat


B5 = TRAINED | {"backbone.tag": "aa_in1k", "backbone.name": "tf_efficientnet_b5"}


@pytest.mark.parametrize(
    ("other", "caveats"),
    [
        (B5 | {"backbone.name": "tf_efficientnet_b0"},
         ["the levels' weights were made for different resolutions (224, 456 pixels)"]),
        (B5 | {"backbone.weights": "mine.pth"}, ["the levels start from different files of weights"]),
        (B5, None),
    ],
)  # fmt: skip
def test_native_resolution_and_files_of_weights_are_caveats(
    tmp_path: Path, other: dict[str, str], caveats: list[str] | None
) -> None:
    settings = {"b5": {"backbone.weights": "null"} | B5, "r50": {"backbone.weights": "null"} | other}
    assert caveats_of(study(tmp_path, {"backbone": ["b5", "r50"]}, settings)).get("backbone") == caveats


def test_timms_default_weights_are_of_many_recipes(tmp_path: Path) -> None:
    default = TRAINED | {"backbone.tag": "null"}
    levels = {"b5": default | {"backbone.name": "convnext_tiny"}, "r50": default | {"backbone.name": "deit_tiny"}}
    found = caveats_of(study(tmp_path, {"backbone": ["b5", "r50"]}, levels))["backbone"]
    assert found == ["the levels' weights are timm's defaults, whose recipes and corpora may differ"]


def test_native_resolutions_are_timms() -> None:
    tags = {yaml.safe_load(path.read_text())["name"]: yaml.safe_load(path.read_text()).get("tag")
            for path in (ROOT / "conf" / "backbone").glob("*.yaml") if "\nname: " in path.read_text()}  # fmt: skip
    named = {name: tag for name, tag in tags.items() if tag}
    assert len(named) > 15
    for name, tag in named.items():
        assert timm.get_pretrained_cfg(f"{name}.{tag}").input_size[-1] == NATIVE[name]


def test_more_tries_for_one_level_are_a_caveat(tmp_path: Path) -> None:
    """One at a time around adam, so that sgd has one learning rate and adam three."""
    axes = {"optimizer": ["adam", "sgd"], "optimizer.lr": ["1", "2", "3"]}
    rates = {level: {"optimizer.lr": level} for level in "123"}
    fair = study(tmp_path / "a", axes, rates)
    assert "optimizer" not in caveats_of(fair)
    fair.plan.cells = [c for c in fair.plan.cells if "adam" in c.levels.values() or c.levels["optimizer.lr"] == "1"]
    found = caveats_of(fair)["optimizer"]
    assert found == ["unequal tuning: learning rates tried per level are adam 3, sgd 1"]


def test_levels_that_bring_another_budget_are_a_caveat(tmp_path: Path) -> None:
    levels = {"adam": {"trainer.epochs": "5"}, "sgd": {"trainer.epochs": "10"}}
    found = caveats_of(study(tmp_path / "a", {"optimizer": ["adam", "sgd"]}, levels))["optimizer"]
    assert "the levels differ in epochs too (adam 5, sgd 10), and so in updates" in found
    same = {"adam": {"trainer.epochs": "5"}, "sgd": {"trainer.epochs": "5"}}
    assert "updates" not in str(caveats_of(study(tmp_path / "b", {"optimizer": ["adam", "sgd"]}, same)))
    own = {"5": {"trainer.epochs": "5"}, "10": {"trainer.epochs": "10"}}
    assert caveats_of(study(tmp_path / "c", {"trainer.epochs": ["5", "10"]}, own)) == {}


def test_that_pretraining_is_the_axis_itself_is_no_caveat(tmp_path: Path) -> None:
    axes = {"backbone.pretrained": ["true", "false"], "backbone": ["b5", "r50"]}
    found = caveats_of(study(tmp_path, axes, {"true": TRAINED, "false": SCRATCH}))
    assert "backbone" not in found
    assert "backbone.pretrained" not in found


@pytest.mark.parametrize(
    ("data", "pretrained", "said"), [("tiny_imagenet", "true", True), ("tiny_imagenet", "false", False), ("cifar10", "true", False)]
)  # fmt: skip
def test_test_data_from_the_pretraining_corpus_is_a_caveat_of_all(
    tmp_path: Path, data: str, pretrained: str, said: bool
) -> None:
    settings = {"": {"data.name": data, "backbone.pretrained": pretrained}}
    assert ("" in caveats_of(study(tmp_path, {"head": ["linear", "mlp"]}, settings))) == said


def deviate(folder: Path, *numbers: int) -> gather.StudyData:
    for number in numbers:
        path = next(folder.glob(f"*-{number:012x}")) / "record.json"
        text = "batches of 256 were trained as micro-batches of 64, which BatchNorm sees"
        write_json(path, json.loads(path.read_text()) | {"deviations": [text]})
    return gather.load(folder)


def test_micro_batches_are_a_caveat_where_some_levels_saw_them(tmp_path: Path) -> None:
    make(tmp_path, [(cell(a, b), 0, "DONE", 0.5) for a in "xy" for b in "12"])
    assert caveats_of(gather.load(tmp_path)) == {}
    found = caveats_of(deviate(tmp_path, 2, 3))  # y at 1 and 2
    assert found == {"alpha": ["BatchNorm saw micro-batches in some runs at y"]}
    assert caveats_of(deviate(tmp_path, 0, 1)) == {}  # all of them now


def test_runs_that_did_not_finish_are_counted_per_level(tmp_path: Path) -> None:
    found = caveats_of(gather.load(make(tmp_path, GRID)))
    assert found["alpha"] == ["1 of 4 runs at y failed"]
    assert found["beta"] == ["1 of 4 runs at 1 failed"]


@pytest.mark.parametrize(("epochs", "said"), [(100, True), (5, False)])
def test_a_level_that_was_still_getting_better_is_a_caveat(tmp_path: Path, epochs: int, said: bool) -> None:
    make(tmp_path, [(cell(a, b), 0, "DONE", 0.5) for a in "xy" for b in "12"])
    for path in tmp_path.glob("*/record.json"):
        entry = json.loads(path.read_text())
        best = epochs if entry["levels"]["alpha"] == "x" else epochs // 2
        write_json(path, entry | {"epochs": epochs, "epochs_done": epochs,
                                  "metrics": entry["metrics"] | {"best_holdout_epoch": best}})  # fmt: skip
    found = caveats_of(gather.load(tmp_path))
    whole = "half of the runs or more were best in their last epochs and had not converged"
    expected = {"alpha": ["x had not converged in half of the runs or more"], "": [whole]}
    assert found == (expected if said else {})


def amended(after: bool, number: int) -> dict[str, Any]:
    return {"amendments": [{"runs_added": 4, "after_a_report": False}, {"runs_added": number, "after_a_report": after}]}


@pytest.mark.parametrize(("number", "words"), [(1, "1 run was added"), (4, "4 runs were added")])
def test_runs_added_after_a_look_are_said_to_be(tmp_path: Path, number: int, words: str) -> None:
    found = caveats_of(gather.load(make(tmp_path / "a", GRID[:4], **amended(True, number))))
    assert found[""][0].startswith(f"{words} after looking at the results")
    assert "" not in caveats_of(gather.load(make(tmp_path / "b", GRID[:4], **amended(False, number))))


@pytest.mark.usefixtures("no_figures")
def test_caveats_are_in_the_headlines(tmp_path: Path) -> None:
    make(tmp_path, GRID, **amended(True, 4))
    environments = ({"cpu": "A"}, {"cpu": "B"})
    for number, path in enumerate(sorted(tmp_path.glob("*/record.json"))):
        write_json(path, json.loads(path.read_text()) | {"environment": environments[number % 2]})
    text = written(gather.load(tmp_path)).read_text().split("## Each answer in full")[1].split("\n## ")[0]
    lines = [line for line in text.splitlines() if "Caveat: " in line]
    assert len(lines) == 2
    for line, own in zip(lines, ("1 of 4 runs at y failed", "1 of 4 runs at 1 failed"), strict=True):
        assert f"Caveat: {own}; the runs differ in cpu (A, B); 4 runs were added after looking" in line


def test_images_that_whole_batches_leave_over_are_a_caveat(tmp_path: Path) -> None:
    settings = {"b32": {"batch_size.size": "32"}, "b64": {"batch_size.size": "64"}}

    def found(folder: Path, train: int, held: int | None) -> list[str]:
        made = study(folder, {"batch_size": ["b32", "b64"]}, settings)
        for path in folder.glob("*/record.json"):
            record = json.loads(path.read_text())
            record["data"] |= {"train_images": train, "holdout_images": held}
            write_json(path, record)
        return caveats_of(gather.load(made.folder))["batch_size"]

    sentence = "an epoch uses full batches only: b32 96 and b64 64 of its 108 images"
    assert sentence in found(tmp_path / "a", 120, 12)
    # The twins: sizes that leave nothing over, and records that do not say.
    assert found(tmp_path / "b", 140, 12) == ["larger batches make fewer updates"]
    assert found(tmp_path / "c", 120, None) == ["larger batches make fewer updates"]


def test_leaks_of_the_data_are_a_caveat_of_the_whole_study(tmp_path: Path) -> None:
    made = study(tmp_path, {"optimizer": ["adam", "sgd"]}, {"adam": ADAM, "sgd": SGD})
    assert caveats_of(made).get("", []) == []
    for path in tmp_path.glob("*/record.json"):
        record = json.loads(path.read_text())
        record["data"]["reading"] = {"leaked": 24, "two_labels": 1, "formats": {"JPEG": 9}, "left_out": {"HEIC": 2}}
        write_json(path, record)
    again = gather.load(tmp_path)
    assert caveats_of(again)[""] == [
        "24 test images are also in the training set (identical files)", "1 picture has more than one label",
    ]  # fmt: skip
    assert "9 JPEG; left out 2 files: 2 HEIC" in again.data[0]

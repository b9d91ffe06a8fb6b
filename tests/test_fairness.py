"""Caveats: named where levels are not compared like with like, and only there."""

import json
from pathlib import Path
from typing import Any

import pytest
from test_report import GRID, cell, make

from ablate.record import write_json
from report import fairness, gather, render


def study(folder: Path, axes: dict[str, list[str]], settings: dict[str, dict[str, str]], **more: Any) -> gather.Study:
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
    found = fairness.caveats(study(tmp_path / "a", both, {"adam": ADAM, "sgd": SGD}))
    assert found["batch_size"] == [
        "the learning rate is the same at every batch size, and larger batches make fewer updates"
    ]
    assert found["optimizer"] == ["each optimizer has a learning rate of its own that was not tuned here"]
    tuned = {"optimizer.lr": ["r1", "r2"], "batch_size": SIZES}
    rates = {"r1": ADAM, "r2": ADAM | {"optimizer.lr": "0.01"}}
    assert fairness.caveats(study(tmp_path / "b", tuned, rates))["batch_size"] == ["larger batches make fewer updates"]


def test_optimizers_whose_rate_is_an_axis_have_no_caveat(tmp_path: Path) -> None:
    axes = {"optimizer": ["adam", "sgd"], "optimizer.lr": ["0.1", "0.01"]}
    assert "optimizer" not in fairness.caveats(study(tmp_path, axes, {}))


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
    assert fairness.caveats(study(tmp_path, {"backbone": ["b5", "r50"]}, settings)).get("backbone") == caveat


def test_that_pretraining_is_the_axis_itself_is_no_caveat(tmp_path: Path) -> None:
    axes = {"backbone.pretrained": ["true", "false"], "backbone": ["b5", "r50"]}
    found = fairness.caveats(study(tmp_path, axes, {"true": TRAINED, "false": SCRATCH}))
    assert "backbone" not in found
    assert "backbone.pretrained" not in found


@pytest.mark.parametrize(
    ("data", "pretrained", "said"), [("tiny_imagenet", "true", True), ("tiny_imagenet", "false", False), ("cifar10", "true", False)]
)  # fmt: skip
def test_test_data_from_the_pretraining_corpus_is_a_caveat_of_all(
    tmp_path: Path, data: str, pretrained: str, said: bool
) -> None:
    settings = {"": {"data.name": data, "backbone.pretrained": pretrained}}
    assert ("" in fairness.caveats(study(tmp_path, {"head": ["linear", "mlp"]}, settings))) == said


def deviate(folder: Path, *numbers: int) -> gather.Study:
    for number in numbers:
        path = next(folder.glob(f"*-{number:012x}")) / "record.json"
        text = "batches of 256 were trained as micro-batches of 64, which BatchNorm sees"
        write_json(path, json.loads(path.read_text()) | {"deviations": [text]})
    return gather.load(folder)


def test_micro_batches_are_a_caveat_where_some_levels_saw_them(tmp_path: Path) -> None:
    make(tmp_path, [(cell(a, b), 0, "DONE", 0.5) for a in "xy" for b in "12"])
    assert fairness.caveats(gather.load(tmp_path)) == {}
    found = fairness.caveats(deviate(tmp_path, 2, 3))  # y at 1 and 2
    assert found == {"alpha": ["BatchNorm saw micro-batches in some runs at y"]}
    assert fairness.caveats(deviate(tmp_path, 0, 1)) == {}  # all of them now


def test_runs_that_did_not_finish_are_counted_per_level(tmp_path: Path) -> None:
    found = fairness.caveats(gather.load(make(tmp_path, GRID)))
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
    found = fairness.caveats(gather.load(tmp_path))
    assert found == ({"alpha": ["x had not converged in half of the runs or more"]} if said else {})


def amended(after: bool, number: int) -> dict[str, Any]:
    return {"amendments": [{"runs_added": 4, "after_a_report": False}, {"runs_added": number, "after_a_report": after}]}


@pytest.mark.parametrize(("number", "words"), [(1, "1 run was added"), (4, "4 runs were added")])
def test_runs_added_after_a_look_are_said_to_be(tmp_path: Path, number: int, words: str) -> None:
    found = fairness.caveats(gather.load(make(tmp_path / "a", GRID[:4], **amended(True, number))))
    assert found[""][0].startswith(f"{words} after looking at the results")
    assert "" not in fairness.caveats(gather.load(make(tmp_path / "b", GRID[:4], **amended(False, number))))


def test_caveats_are_in_the_headlines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("draw_curves", "draw_confusion", "draw_effects"):
        monkeypatch.setattr(render, name, lambda *_: 0)
    make(tmp_path, GRID, **amended(True, 4))
    environments = ({"cpu": "A"}, {"cpu": "B"})
    for number, path in enumerate(sorted(tmp_path.glob("*/record.json"))):
        write_json(path, json.loads(path.read_text()) | {"environment": environments[number % 2]})
    text = render.write(gather.load(tmp_path)).read_text().split("## Answers")[1].split("## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("- **")]
    assert len(lines) == 2
    for line, own in zip(lines, ("1 of 4 runs at y failed", "1 of 4 runs at 1 failed"), strict=True):
        assert f"Caveat: {own}; the runs differ in cpu \\(A, B\\); 4 runs were added after looking" in line

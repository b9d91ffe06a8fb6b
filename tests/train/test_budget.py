"""A budget in updates: what is trained, recorded, resumed, planned and shown; and rates by the batch size."""

import json
import math
from pathlib import Path

import pytest

from ablate.config.budget import Budget
from ablate.launch.run_state import InTraining, Progress
from ablate.plan import cost, idle
from ablate.plan.preview import rules
from ablate.records import durations, record
from ablate.records.study_plan import read
from tests.given import config_of, execute
from tests.plan.planning import plan
from tests.run.test_resume import resumed, run
from tests.train.training import FAST, trained

WORDS = (*FAST, "scheduler=one_cycle", "optimizer=sgd")  # 300 images and a tenth held out: 8 steps in an epoch


@pytest.mark.parametrize(("steps", "parts"), [(24, [8, 8, 8]), (20, [8, 8, 4]), (3, [3]), (25, [8, 8, 8, 1])])
def test_steps_fall_into_epochs(steps: int, parts: list[int]) -> None:
    budget = Budget.of(config_of("batch_size=b32", f"trainer.steps={steps}"), 270)
    assert [budget.steps_of(epoch) for epoch in range(1, budget.epochs + 2)] == [*parts, 0]
    assert [budget.steps_until(epoch) for epoch in range(budget.epochs + 2)][-2:] == [steps, steps]
    assert budget.passes == steps / 8
    in_epochs = Budget.of(config_of("batch_size=b32", "trainer.epochs=3"), 270)
    assert (in_epochs == budget) == (steps == 24)


def test_as_many_steps_as_epochs_have_are_the_same_bits_and_a_part_is_a_row_of_its_own() -> None:
    rows: list[dict[str, float]] = []
    whole = trained("trainer.epochs=2", "scheduler=one_cycle")
    assert trained("trainer.steps=16", "scheduler=one_cycle") == whole
    assert trained("trainer.steps=12", "scheduler=one_cycle", on_epoch=lambda e: rows.append(e.row)) != whole
    assert [(row["epoch"], row["steps"]) for row in rows] == [(1, 8), (2, 4)]
    assert rows[-1]["lr"] < rows[0]["lr"]  # the schedule has come to its end


def test_a_run_resumes_in_a_partial_epoch(tmp_path: Path) -> None:
    words = ("backbone=timm", "backbone.name=test_resnet", "batch_size=b32", "trainer.steps=5", "scheduler=one_cycle")
    assert resumed(tmp_path / "c.pt", words, 120, place=(2, 1)) == run(words, 120)  # 3 steps, then 2


def test_the_record_counts_updates_and_images(tmp_path: Path) -> None:
    _, folder, entry = execute(tmp_path / "a", "trainer.epochs=null", "trainer.steps=12", "optimizer.lr_base_size=128")
    assert (entry["state"], entry["epochs"], entry["epochs_done"]) == ("DONE", 2, 2)
    assert (entry["updates"], entry["images_seen"]) == (12, 12 * 32)
    assert entry["learning_rate"] == 0.001 * math.sqrt(32 / 128)
    assert entry["identity"]["optimizer"]["lr_base_scale"] == "sqrt"
    assert entry["identity"]["trainer"] | {"epochs": None, "steps": 12} == entry["identity"]["trainer"]
    assert [line.rpartition(",")[2] for line in folder.metrics.read_text().splitlines()] == ["steps", "8", "4"]
    found = folder.read()
    assert found.passes == 1.5
    assert found.seconds_per_epoch == pytest.approx(entry["seconds"] / 1.5)
    found.updates = None  # by an earlier version
    assert found.passes == 2
    _, _, entry = execute(tmp_path / "b", "trainer.epochs=1")
    assert (entry["updates"], entry["images_seen"], entry["learning_rate"]) == (8, 256, 0.001)


# -- planned ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "epochs", "steps"),
    [
        (("trainer.steps=100",), "null", "100"),
        (("study=demo", "trainer.steps=100"), "null", "100"),
        (("trainer.epochs=7",), "7", "null"),
        (("trainer.epochs=7", "trainer.steps=null"), "7", "null"),
        (("trainer.epochs=null", "trainer.steps=100"), "null", "100"),
    ],
)
def test_the_budget_that_the_command_names_wins(
    words: tuple[str, ...], epochs: str, steps: str, tmp_path: Path
) -> None:
    planned = plan(tmp_path, *words, remembered=False)
    assert {run.settings["trainer.epochs"] for run in planned.runs} == {epochs}
    assert {run.settings.get("trainer.steps", "null") for run in planned.runs} == {steps}


def test_a_preset_in_steps_does_not_bind_a_command_in_epochs(tmp_path: Path) -> None:
    from omegaconf import OmegaConf

    from ablate.plan.planner import one_budget

    master = OmegaConf.create({"trainer": {"epochs": 3, "steps": 500}})
    assert one_budget({"trainer.epochs": ["trainer.epochs=2"]}, master, ["trainer.epochs=2"]) == {
        "trainer.epochs": ["trainer.epochs=2"],
        "trainer.steps": ["trainer.steps=null"],
    }
    assert one_budget({}, master, []) == {}


def test_two_budgets_are_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"^trainer.epochs=7 and trainer.steps=9 are two budgets .*; give one of them$"
    ):
        plan(tmp_path, "trainer.epochs=7", "trainer.steps=9")
    with pytest.raises(ValueError, match=r"trainer\.epochs=null needs trainer\.steps=N"):
        config_of("trainer.epochs=null")


def test_a_plan_counts_in_steps(tmp_path: Path) -> None:
    words = ("batch_size=b64,b128", "optimizer=sgd", "optimizer.lr_base_size=256", "trainer.steps=100")
    planned = plan(tmp_path, *words, "scheduler=plateau", "scheduler.patience=0")
    small, large = planned.runs
    assert small.budget.passes == pytest.approx(100 / (3600 // 64))
    assert (small.budget.epochs, large.budget.epochs) == (2, 4)
    assert list(rules(planned)) == [
        "learning rates by optimizer.lr_base_size:",
        "  sgd at batch size 64: 0.0125",
        "  sgd at batch size 128: 0.025",
        "budget by trainer.steps:",
        "  100 updates at batch size 64: 1.79 epochs, 6400 images",
        "  100 updates at batch size 128: 3.57 epochs, 12800 images",
    ]
    (line,) = idle.sentences(planned)  # of the small batches, whose epochs are fewer
    assert line.endswith("in 2 epochs: with scheduler.patience=0 it can after 2 epochs; give trainer.steps=113 or more")
    known = {small.kind: 28.0}
    assert cost.seconds_of(small, known) == pytest.approx(28 * 100 / 56)
    assert InTraining(small, Progress(epoch=1, stage="epoch 2/2", done=11, total=44)).share() == 0.67
    assert InTraining(small, Progress(epoch=2)).share() == 1
    settings = read(small.study).settings_of(read(small.study).cells[0])
    assert (settings["optimizer.lr_base_scale"], settings["trainer.epochs"]) == ("linear", "null")


def test_status_of_a_budget_in_steps(tmp_path: Path) -> None:
    from ablate.commands import status
    from ablate.run.outcome import opening_record

    planned = plan(tmp_path, "trainer.steps=100", "seeds=2")
    (first, second) = status.of_study(planned.runs[0].study).runs
    assert (first.epochs, second.seconds_left) == (None, None)  # no run says how many images make an epoch
    folder = planned.runs[0].folder()
    begun = opening_record(planned.runs[0], None)
    record.write(folder.record, begun)
    entry = json.loads(folder.record.read_text()) | {"state": "DONE", "seconds": 10.0, "updates": 100, "epochs_done": 2,
             "batch": {"size": 64, "micro": 64}, "data": {"name": "embedded", "fingerprint": planned.runs[0].kind.data,
             "classes": ["a", "b"], "train_images": 4000, "test_images": 9, "holdout_images": 400}}  # fmt: skip
    folder.record.write_text(json.dumps(entry))
    (_, second) = status.of_study(planned.runs[0].study).runs
    assert second.epochs == 2
    assert second.seconds_left == pytest.approx(10.0)
    assert durations.of_study(planned.runs[0].study)[planned.runs[0].kind] == pytest.approx(10 / (100 / 56))

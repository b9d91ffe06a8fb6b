"""What was a mistake can be taken out of a study, on the record."""

from pathlib import Path

import pytest

from ablate.commands.cli import main
from ablate.records import study_plan
from ablate.records.lock import hold
from ablate.records.run_folder import RunFolder
from ablate.report.caveats import caveats_of
from ablate.report.study import gather
from tests.plan.planning import plan, study_json


@pytest.fixture
def study(tmp_path: Path) -> Path:
    plan(tmp_path, "optimizer=adam,sgd", "optimizer.lr=0.01,1000", "seeds=2")
    return tmp_path / "main"


def remove(study: Path, what: str, reason: str = "a slip") -> int:
    return main(["remove", str(study), what, "--reason", reason])


def test_a_level_is_taken_out_with_its_runs(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert remove(study, "optimizer.lr=1000") == 0
    assert capsys.readouterr().out == "removed optimizer.lr=1000: 4 runs; the study has 4 left\n"
    kept = study_json(tmp_path)
    assert kept["axes"] == {"optimizer": ["adam", "sgd"]}
    assert len(kept["cells"]) == 2
    last = kept["amendments"][-1]
    assert (last["what"], last["reason"], len(last["removed"])) == ("optimizer.lr=1000", "a slip", 4)
    assert gather.load(study).runs["optimizer"].tolist() == ["adam"] * 2 + ["sgd"] * 2  # none of the others is missed
    assert any("4 runs were removed (optimizer.lr=1000, on " in said for said in caveats_of(gather.load(study))[""])
    # The twin: asked for again, it is there again.
    plan(tmp_path, "optimizer=adam,sgd", "optimizer.lr=1000")
    assert study_json(tmp_path)["axes"]["optimizer.lr"] == ["0.01", "1000"]


def test_a_seed_or_a_run_is_taken_out(study: Path, tmp_path: Path) -> None:
    assert remove(study, "seed=1") == 0
    assert study_json(tmp_path)["seeds"] == [0]
    signature = study_plan.read(study).cells[0].runs[0]
    assert remove(study, f"adam-lr0.01-s0-{signature}") == 0
    assert len(study_json(tmp_path)["cells"]) == 3


@pytest.mark.parametrize(
    ("what", "reason", "sentence"),
    [
        ("optimizer.lr=7", "x", r"has no optimizer.lr=7; it has optimizer=adam,sgd; optimizer.lr=0.01,1000; seed=0,1"),
        ("optimizer.lr=0.01", " ", "say why with --reason"),
        ("backbone=resnet18", "x", "is all that .* holds; delete the folder instead"),
    ],
)
def test_what_cannot_be_taken_out_changes_nothing(
    study: Path, tmp_path: Path, what: str, reason: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    import re

    before = study_json(tmp_path)
    assert remove(study, what, reason) == 2
    assert re.search(sentence, capsys.readouterr().err)
    assert study_json(tmp_path) == before


def test_a_run_that_is_being_trained_is_not_taken_out(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    signature = study_plan.read(study).cells[0].runs[0]
    folder = RunFolder(study / f"adam-{signature}")
    folder.path.mkdir()
    with hold(folder):
        assert remove(study, signature) == 2
    assert "is being trained; stop it first" in capsys.readouterr().err
    assert remove(study, signature) == 0

"""What earlier versions wrote stays readable: a folder of every format that was released is kept in released/."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ablate.records import record, study_plan
from ablate.records.files import read_json, write_json
from ablate.records.record import State
from ablate.report.command import main as report
from ablate.run.reproduction import Conditions, reproduce
from tests.given import TINY, python

RELEASED = sorted(path for path in (Path(__file__).parent / "released").iterdir() if path.is_dir())
SWEEP = ("-m", "ablate", *TINY, "optimizer=adam,sgd", "batch_size=b256", "trainer.epochs=1")


@pytest.fixture(params=RELEASED, ids=lambda path: path.name)
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A study that a released version trained: two optimizers, two seeds."""
    return Path(shutil.copytree(request.param, tmp_path / "outputs" / "main"))


@pytest.mark.fault(43)
def test_records_and_plans_are_read(kept: Path) -> None:
    plan = study_plan.read(kept)
    assert plan.format == study_plan.FORMAT
    assert plan.axes == {"optimizer": ["adam", "sgd"]}
    planned = {signature for cell in plan.cells for signature in cell.runs.values()}
    found = [record.read(path) for path in sorted(kept.glob("*/record.json"))]
    assert {one.signature for one in found} == planned
    for one in found:
        assert (one.format, one.state, one.epochs_done) == (record.FORMAT, State.DONE, 1)
        assert one.data is not None and len(one.data.classes) == 10


def test_their_runs_are_finished_and_seeds_can_be_added(kept: Path) -> None:
    root = kept.parent.parent
    again = python(*SWEEP, "seeds=2", "dry_run=true", cwd=root)
    assert "4 of them finished in outputs/main" in again.stdout, again.stdout + again.stderr
    named = python(*SWEEP, "study.name=main", "seeds=3", "dry_run=true", cwd=root)
    assert "4 finished, 2 to train" in named.stdout


@pytest.mark.usefixtures("no_figures")
def test_they_are_reported(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    then = read_json(kept / "report" / "results.json")
    assert report([str(kept)]) == 0
    assert "4 of 4 runs finished" in capsys.readouterr().out
    now = read_json(kept / "report" / "results.json")
    # Sentences and rules may get better; what was measured may not change.
    for before, after in zip(then["axes"], now["axes"], strict=True):
        for old, new in zip(before["contrasts"], after["contrasts"], strict=True):
            if (new["level"], new["other"]) == (old["other"], old["level"]):  # now the better one is first
                new |= {"level": old["level"], "other": old["other"], "estimate": -new["estimate"]}
            for key in ("level", "other", "estimate", "variance", "pairs", "seeds", "copies"):
                assert new[key] == old[key]
    assert (now["metric"], now["delta"], now["seeds"]) == (then["metric"], then["delta"], then["seeds"])


@pytest.mark.slow
def test_a_run_of_theirs_is_the_same_experiment_still(kept: Path) -> None:
    """To the bit only in the same environment; that it is the same signature and data is said before training."""
    run = next(kept.glob("*-s0-*"))
    lines: list[str] = []
    reproduce(run, Conditions(), lines.append)
    assert not [line for line in lines if "signature" in line or "fingerprint" in line]


@pytest.mark.fault(43)
@pytest.mark.parametrize("written", [99, 0, -1, "1", 1.5, True, None])
def test_a_format_that_is_not_known_is_refused_in_a_sentence(kept: Path, written: Any) -> None:
    path = next(kept.glob("*/record.json"))
    for file, read in ((path, record.read), (kept / "study.json", lambda file: study_plan.read(file.parent))):
        write_json(file, json.loads(file.read_text()) | {"format": written})
        with pytest.raises(ValueError, match=f"{file.name} has format .*, and this version") as caught:
            read(file)
        assert "\n" not in str(caught.value)


def test_everything_written_today_names_its_format(kept: Path) -> None:
    plan = study_plan.read(kept)
    study_plan.write(kept, plan)
    path = next(kept.glob("*/record.json"))
    record.write(path, record.read(path))
    assert read_json(kept / "study.json")["format"] == study_plan.FORMAT
    assert read_json(path)["format"] == record.FORMAT

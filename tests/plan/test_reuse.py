"""What another study has trained is not trained again."""

import json
import shutil
from pathlib import Path

import pytest

from ablate.plan import reuse, study_file
from ablate.plan.planned_run import Planned, PlannedRun
from ablate.records import durations, run_folder
from ablate.records.lock import hold
from ablate.records.record import State
from ablate.report.study import gather
from ablate.run import lifecycle
from ablate.run.outcome import is_settled
from tests.given import planned, some_images


def other(root: Path, *words: str) -> tuple[PlannedRun, PlannedRun]:
    """A finished run of the study `a`, and the same experiment as the study `b` plans it."""
    run = planned(root, "study.name=a", "trainer.epochs=1", *words)
    assert lifecycle.execute(run, some_images()) == State.DONE
    study_file.remember(Planned(runs=[run]))
    return run, planned(root, "study.name=b", "trainer.epochs=1", *words)


def test_a_finished_run_is_copied_and_stands_by_itself(tmp_path: Path) -> None:
    first, second = other(tmp_path)
    sources = reuse.find([second])
    assert set(sources) == {second.signature}
    reuse.copy(second, sources[second.signature])
    study_file.remember(Planned(runs=[second]))
    assert is_settled(second)
    theirs, ours = (run.folder() for run in (first, second))
    record = ours.read()
    assert record.reused_from is not None
    assert record.reused_from["folder"] == str(theirs.path)
    assert (record.study, record.weights_sha256) == ("b", theirs.read().weights_sha256)
    assert ours.predictions.stat().st_ino == theirs.predictions.stat().st_ino  # no space twice
    assert ours.log.stat().st_ino != theirs.log.stat().st_ino  # which is written to again
    before = ours.metrics.read_bytes()
    shutil.rmtree(theirs.path)
    assert ours.metrics.read_bytes() == before
    assert durations.of_study(second.study) == {}
    assert gather.load(second.study).reused == {str(first.study): 1}


def test_only_what_is_finished_and_asked_for_is_copied(tmp_path: Path) -> None:
    first, second = other(tmp_path)
    assert not reuse.find([planned(tmp_path, "study.name=b", "trainer.epochs=1", "force=true")])
    assert not reuse.find([planned(tmp_path, "study.name=b", "trainer.epochs=2")])
    assert not reuse.find([first])
    path = first.folder().record
    record = json.loads(path.read_text())
    for state in ("FAILED", "RUNNING", "OOM"):
        path.write_text(json.dumps(record | {"state": state}))
        assert not reuse.find([second])


def test_a_study_whose_runs_were_looked_at_elsewhere_says_so(tmp_path: Path) -> None:
    _, second = other(tmp_path)
    study_file.remember(Planned(runs=[second]), looked=True)
    study = json.loads((tmp_path / "b" / "study.json").read_text())
    assert study["amendments"][0]["after_a_report"] is True


def test_a_run_that_is_trained_here_already_is_left_alone(tmp_path: Path) -> None:
    _, second = other(tmp_path)
    folder = run_folder.RunFolder(second.study / second.name)
    with hold(folder), pytest.raises(Exception, match="is being trained"):
        reuse.copy(second, reuse.find([second])[second.signature])

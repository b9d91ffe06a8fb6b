"""Records: whole or not at all, and never a surprise to a reader."""

import json
import os
from pathlib import Path

import pytest

from ablate.records import run_folder
from ablate.records.files import read_json, write_bytes, write_json
from ablate.records.record import State
from ablate.records.run_folder import METRIC_COLUMNS, RunFolder

GOOD = {"state": "DONE", "signature": "abc", "levels": {}, "seed": 0, "metrics": {"test_accuracy": 0.5}}


def test_every_truncation_of_a_record_is_refused_by_name(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    write_json(folder.record, GOOD)
    whole = folder.record.read_bytes().rstrip()
    assert folder.read().metrics == GOOD["metrics"]
    for length in range(len(whole)):
        folder.record.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"record\.json"):
            folder.read()


@pytest.mark.fault(63)
def test_every_truncation_of_the_metrics_is_refused_or_a_shorter_table(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    rows = [{c: float(i + 1) for c in METRIC_COLUMNS} for i in range(3)]
    folder.write_metrics(rows)
    whole = folder.metrics.read_bytes()
    assert folder.read_metrics() == rows
    for length in range(len(whole)):
        folder.metrics.write_bytes(whole[:length])
        try:
            read = folder.read_metrics()
        except ValueError as error:
            assert "metrics.csv" in str(error)
        else:
            assert all(a["epoch"] == b["epoch"] for a, b in zip(read, rows, strict=False))


@pytest.mark.parametrize("content", ['{"state": "DONE"}', "[]", '{"state": "FINE", "signature": "a", "levels": {}, "seed": 0, "metrics": {}}', "\xff"])  # fmt: skip
def test_what_is_no_record_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "record.json").write_text(content, encoding="latin-1")
    with pytest.raises(ValueError, match=r"record\.json"):
        RunFolder(tmp_path).read()


@pytest.mark.fault(11)
def test_a_number_that_is_not_finite_becomes_null(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"a": [float("nan"), 1.0], "b": {"c": float("inf")}})
    assert read_json(tmp_path / "x.json") == {"a": [None, 1.0], "b": {"c": None}}
    assert "NaN" not in (tmp_path / "x.json").read_text()


@pytest.mark.fault(14)
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "file"
    write_bytes(path, b"old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, full)
    with pytest.raises(OSError, match="No space left"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_written_file_can_be_read_by_those_whom_the_umask_lets(tmp_path: Path) -> None:
    old = os.umask(0o022)
    try:
        write_bytes(tmp_path / "file", b"x")
    finally:
        os.umask(old)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644


def test_a_run_is_found_by_its_signature_whatever_its_label(tmp_path: Path) -> None:
    (tmp_path / "renamed-by-hand-0123456789ab").mkdir()
    found = run_folder.find_run(tmp_path, "0123456789ab")
    assert found is not None
    assert found.path.name.startswith("renamed")
    assert run_folder.find_run(tmp_path, "ffffffffffff") is None


def test_a_run_made_after_a_look_is_found_however_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder's date may not tell two changes of one tick apart; with young listings kept, the second is missed."""

    def found(study: Path) -> bool:
        study.mkdir()
        run_folder.find_run(study, "ffffffffffff")
        before = study.stat().st_mtime_ns
        (study / "label-ffffffffffff").mkdir()
        os.utime(study, ns=(before, before))  # as a coarse clock has it
        return run_folder.find_run(study, "ffffffffffff") is not None

    assert found(tmp_path / "one")
    monkeypatch.setattr(run_folder, "LISTING_SETTLED", -(10**18))
    assert not found(tmp_path / "two")


def test_only_outcomes_are_not_worth_repeating() -> None:
    assert {s for s in State if s.is_outcome()} == {State.DONE, State.OOM, State.DIVERGED}
    assert json.loads(json.dumps({"state": State.DONE})) == {"state": "DONE"}

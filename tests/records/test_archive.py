"""A study that is carried away: the same report, the same runs, and nothing of where it came from unless wanted."""

import hashlib
import json
import socket
import zipfile
from pathlib import Path

import pytest

from ablate import reproduce
from ablate.commands import cli
from ablate.records import archive
from ablate.records.record import State
from ablate.report import command
from tests.given import execute, planned
from tests.report.made_up import GRID, make


def unpacked(path: Path, into: Path) -> Path:
    with zipfile.ZipFile(path) as file:
        file.extractall(into)
    return into / path.stem


def test_what_is_unpacked_is_the_same_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = make(tmp_path / "here" / "s", GRID)
    assert command.main([str(study)]) == 0
    assert cli.main(["export", str(study), "--out", str(tmp_path / "s.zip")]) == 0
    assert "s.zip: 7 runs, " in capsys.readouterr().out
    copy = unpacked(tmp_path / "s.zip", tmp_path / "there")
    assert not (copy / "report").exists() and not (copy / "index.jsonl").exists()
    assert command.main([str(copy)]) == 0
    results = [json.loads((folder / "report" / "results.json").read_text()) for folder in (study, copy)]
    assert results[0]["axes"] == results[1]["axes"] and results[0]["rows"] == results[1]["rows"]
    sums = dict(line.split("  ")[::-1] for line in (copy / archive.CHECKSUMS).read_text().splitlines())
    assert {name: hashlib.sha256((copy / name).read_bytes()).hexdigest() for name in sums} == sums
    # Packed again, it is the same to the bit; the twin, with one figure changed, is not.
    again = archive.pack(study, tmp_path / "again.zip").path.read_bytes()
    assert again == (tmp_path / "s.zip").read_bytes()
    metrics = study / "run-s0-000000000000" / "metrics.csv"
    metrics.write_text(metrics.read_text().replace("0.5", "0.6"))
    assert archive.pack(study, tmp_path / "again.zip").path.read_bytes() != again


def test_an_anonymous_archive_names_no_place_and_nobody(tmp_path: Path) -> None:
    study = make(tmp_path / "s", GRID)
    host = socket.gethostname()
    secrets = [
        "/home/alice/pets",
        "alice",
        "git@github.com:alice/secret.git",
        "https://github.com/alice",
        "C:\\Users\\alice\\x",
    ]
    for record in study.glob("*/record.json"):
        entry = json.loads(record.read_text())
        entry["command"] = "python -m ablate data.path=/home/alice/pets 'backbone.weights=/mnt/alice/w=1.pt' seed=0"
        entry["environment"] = {
            "code": {"commit": "abc", "remote": "git@github.com:alice/secret.git"},
            "cpu": "A/B </c> 1/2",
        }
        entry["error"] = {
            "type": "E",
            "message": f"on {host}-x or {host}: C:\\Users\\alice\\x",
            "traceback": "File https://github.com/alice",
        }
        record.write_text(json.dumps(entry))
        (record.parent / "config.yaml").write_text("data:\n  path: /home/alice/pets\n  cache: ~/.cache/alice\n")
        (record.parent / "run.log").write_text("/home/alice/pets")
    for anonymous in (False, True):
        path = archive.pack(study, tmp_path / f"{anonymous}.zip", anonymous=anonymous).path
        with zipfile.ZipFile(path) as file:
            text = b"\n".join(file.read(name) for name in file.namelist()).decode(errors="replace")
        assert any(secret in text for secret in secrets) is not anonymous
        assert ("/home" in text) is not anonymous
        assert "A/B </c> 1/2" in text and "data.path=" in text  # what is no place is kept
    copy = unpacked(tmp_path / "True.zip", tmp_path / "there")
    record = json.loads(next(copy.parent.glob("*/*/record.json")).read_text())
    assert "data.path=PATH" in record["command"] and "PATH" in record["error"]["message"]


def test_weights_are_packed_only_when_asked_for(tmp_path: Path) -> None:
    study = make(tmp_path / "s", GRID[:1])
    next(study.glob("run-*")).joinpath("model.safetensors").write_bytes(b"weights")
    for weights in (False, True):
        path = archive.pack(study, tmp_path / "s.zip", weights=weights).path
        assert any(name.endswith(".safetensors") for name in zipfile.ZipFile(path).namelist()) is weights


def test_what_cannot_be_packed_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["export", str(tmp_path)]) == 2
    study = make(tmp_path / "s", GRID[:1])
    assert cli.main(["export", str(study), "--out", str(tmp_path / "gone" / "s.zip")]) == 2
    said = capsys.readouterr().err
    assert "holds no study.json" in said and "--out FILE is another place" in said and "Traceback" not in said


@pytest.mark.slow
def test_a_study_is_continued_and_reproduced_elsewhere(tmp_path: Path) -> None:
    state, folder, record = execute(tmp_path / "here", "trainer.epochs=1", "trainer.keep_weights=none")
    assert state == State.DONE
    (folder.path.parent / "study.json").write_text(json.dumps({"name": "main"}))
    copy = unpacked(archive.pack(folder.path.parent, tmp_path / "main.zip", anonymous=True).path, tmp_path / "there")
    run = planned(copy.parent, "trainer.epochs=1", "trainer.keep_weights=none")
    assert run.signature == record["signature"] and run.folder().path.parent == copy
    found = run.record()
    assert found is not None and found.state == State.DONE and found.weights_sha256 == record["weights_sha256"]
    assert reproduce.main([str(run.folder().path)]) in (0, 2)  # 2: these images are cut for the test

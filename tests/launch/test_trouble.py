"""A machine that is short of something, or a folder that cannot be written to, costs the runs concerned alone."""

import os
import re
import shutil
from pathlib import Path

import pytest

from ablate.launch import forkserver
from ablate.launch.forkserver import CannotStart
from ablate.records.record import State
from ablate.records.run_folder import RunFolder
from ablate.run import lifecycle
from ablate.run.outcome import as_it_was, has_changed, is_settled
from ablate.system import hardware
from tests.given import execute, planned, python, some_images
from tests.launch.processes import finish, records, start

ENDED = "1999-01-01T00:00:00+00:00"


@pytest.mark.slow
def test_a_run_folder_that_cannot_be_written_to_costs_its_run_alone(words: tuple[str, ...], tmp_path: Path) -> None:
    code, out, err = finish(start(tmp_path, *words, "seeds=3", "dry_run=true", mishaps=False))
    names = re.findall(r"^  (\S+-s\d-\w{12})$", out, re.MULTILINE)
    assert len(names) == 3, out
    (tmp_path / "outputs" / "main").mkdir(parents=True)
    (tmp_path / "outputs" / "main" / names[1]).write_text("a file in the place of a folder")
    code, out, err = finish(start(tmp_path, *words, "seeds=3", mishaps=False))
    assert code == 1, out + err
    assert "Traceback" not in out + err
    assert [entry["state"] for entry in records(tmp_path).values()] == ["DONE", "DONE"]
    assert re.search(rf"FAILED {names[1]}  .*(Not a directory|File exists)", err), err


@pytest.mark.slow
@pytest.mark.parametrize("place", ["lock", "checkpoint.pt"])
def test_a_folder_in_the_place_of_a_file_costs_at_most_its_run(
    place: str, words: tuple[str, ...], tmp_path: Path
) -> None:
    finish(start(tmp_path, *words, "seeds=2", mishaps=False))
    (first,) = (tmp_path / "outputs" / "main").glob("*-s0-*")
    for name in (".lock", "record.json", "checkpoint.pt"):
        (first / name).unlink(missing_ok=True)
    (first / (".lock" if place == "lock" else place)).mkdir()
    code, out, err = finish(start(tmp_path, *words, "seeds=2", mishaps=False))
    assert "Traceback" not in out + err
    assert code == (1 if place == "lock" else 0), out + err


def test_a_server_that_cannot_be_started_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object, **__: object) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(forkserver.subprocess, "Popen", none)
    with pytest.raises(CannotStart, match="no process can be started: Resource temporarily unavailable"):
        forkserver.start_server()


@pytest.mark.slow
def test_where_no_process_can_be_forked_runs_fail_with_the_reason(words: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\n"
        "if 'serve_at' in ' '.join(sys.orig_argv):\n"
        "    whole = os.fork\n"
        "    def fork():\n"
        "        raise OSError(11, 'Resource temporarily unavailable')\n"
        "    os.fork = fork\n"
    )
    place = os.environ.get("PYTHONPATH", "")
    done = python("-m", "ablate", *words, "seeds=2", cwd=tmp_path)  # the answers of networks are known from here on
    assert done.returncode == 0
    shutil.rmtree(tmp_path / "outputs")
    done = python("-m", "ablate", *words, "seeds=2", cwd=tmp_path, PYTHONPATH=f"{tmp_path}:{_root()}:{place}")
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stderr.count("no process can be started for it: Resource temporarily unavailable") == 2, done.stderr
    assert "Traceback" not in done.stderr


def _root() -> Path:
    return Path(__file__).parents[2]


def test_cores_are_a_containers_share_where_that_is_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware.os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(hardware, "CPU_MAX", tmp_path / "cpu.max")
    assert hardware.cores() == 8
    for text, cores in (
        ("max 100000", 8),
        ("250000 100000", 2),
        ("50000 100000", 1),
        ("1600000 100000", 8),
        ("odd", 8),
    ):
        (tmp_path / "cpu.max").write_text(text)
        assert hardware.cores() == cores


def test_a_clock_that_is_behind_or_ahead_does_not_keep_a_run_from_being_trained_again(tmp_path: Path) -> None:
    _, folder, _ = execute(tmp_path, "trainer.epochs=1")
    for ended in ("1999-01-01T00:00:00+00:00", "2999-01-01T00:00:00+00:00"):
        record = folder.read()
        record.ended = ended
        lifecycle.record.write(folder.record, record)
        again = planned(tmp_path, "trainer.epochs=1", "force=true")
        before = as_it_was([again])
        assert not is_settled(again, before)
        assert not has_changed(again, before)
        # The twin: another sweep has just repeated it.
        record.started = f"2026-01-01T00:00:00+00:00 {ended}"
        lifecycle.record.write(folder.record, record)
        assert is_settled(again, before)


def test_a_checkpoint_of_another_layout_is_named_and_the_run_begins_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = planned(tmp_path, "trainer.epochs=1")
    folder = RunFolder(run.study / run.name)
    folder.path.mkdir(parents=True)
    lifecycle.checkpoint.write(folder.checkpoint, {"signature": run.signature, "epoch": 1})
    assert lifecycle.execute(run, some_images()) == State.DONE
    assert "starting from the beginning" in folder.log.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("root", ["file/below", "file", "/proc/nope", "dangling"])
def test_a_place_that_cannot_be_is_one_sentence(root: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "dangling").symlink_to(tmp_path / "gone")
    done = python("-m", "ablate", f"study.root={root}", "backbone=timm", "backbone.name=test_resnet", cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "study.root=DIR" in done.stderr
    assert done.stderr.count("\n") == 1


def test_more_threads_than_cores_are_refused(tmp_path: Path) -> None:
    done = python("-m", "ablate", "trainer.threads=999", "dry_run=true", cwd=tmp_path)
    assert done.returncode == 2
    assert "trainer.threads=999 is more than the" in done.stderr

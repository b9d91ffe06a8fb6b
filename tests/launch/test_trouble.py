"""A machine that is short of something, or a folder that cannot be written to, costs the runs concerned alone."""

import json
import os
import re
import resource
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ablate.launch import forkserver
from ablate.records import lock
from ablate.records.record import State
from ablate.records.run_folder import RunFolder
from ablate.run import lifecycle
from ablate.run.outcome import as_it_was, has_changed, is_settled
from ablate.system import hardware
from ablate.system.signals import CannotStart
from tests.given import execute, planned, python, some_images
from tests.launch.processes import finish, records, start

ENDED = "1999-01-01T00:00:00+00:00"


def names_of(folder: Path, *words: str) -> list[str]:
    """The names of the runs that a command would train, by seed."""
    _, out, _ = finish(start(folder, *words, "dry_run=true", mishaps=False))
    return re.findall(r"^  (\S+-s\d-\w{12})$", out, re.MULTILINE)


@pytest.mark.fault(55)
@pytest.mark.slow
def test_a_run_folder_that_cannot_be_written_to_costs_its_run_alone(words: tuple[str, ...], tmp_path: Path) -> None:
    names = names_of(tmp_path, *words, "seeds=2")
    (tmp_path / "outputs" / "main").mkdir(parents=True)
    (tmp_path / "outputs" / "main" / names[1]).write_text("a file in the place of a folder")
    code, out, err = finish(start(tmp_path, *words, "seeds=2", mishaps=False))
    assert code == 1, out + err
    assert "Traceback" not in out + err
    assert [entry["state"] for entry in records(tmp_path).values()] == ["DONE"]
    assert re.search(rf"FAILED {names[1]}  .*(Not a directory|File exists)", err), err


@pytest.mark.fault(55, 58)
@pytest.mark.slow
def test_a_folder_in_the_place_of_a_file_costs_at_most_its_run(words: tuple[str, ...], tmp_path: Path) -> None:
    for name, place in zip(names_of(tmp_path, *words, "seeds=2"), (".lock", "checkpoint.pt"), strict=True):
        (tmp_path / "outputs" / "main" / name / place).mkdir(parents=True)
    code, out, err = finish(start(tmp_path, *words, "seeds=2", mishaps=False))
    assert "Traceback" not in out + err
    assert code == 1, out + err
    assert {seed: entry["state"] for seed, entry in records(tmp_path).items()} == {1: "DONE"}


@pytest.mark.fault(57)
def test_a_server_that_cannot_be_started_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object, **__: object) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(forkserver.subprocess, "Popen", none)
    with pytest.raises(CannotStart, match="no process can be started: Resource temporarily unavailable"):
        forkserver.start_server()


@pytest.mark.fault(56)
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
    done = python("-m", "ablate", *words, cwd=tmp_path)  # the answers of networks are known from here on
    assert done.returncode == 0
    shutil.rmtree(tmp_path / "outputs")
    done = python("-m", "ablate", *words, "seeds=2", cwd=tmp_path, PYTHONPATH=f"{tmp_path}:{_root()}:{place}")
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stderr.count("no process can be started for it: Resource temporarily unavailable") == 2, done.stderr
    assert "Traceback" not in done.stderr


def _root() -> Path:
    return Path(__file__).parents[2]


@pytest.mark.fault(60)
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


@pytest.mark.fault(64)
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


@pytest.mark.fault(58)
def test_a_checkpoint_of_another_layout_is_named_and_the_run_begins_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = planned(tmp_path, "trainer.epochs=1")
    folder = RunFolder(run.study / run.name)
    folder.path.mkdir(parents=True)
    lifecycle.checkpoint.write(folder.checkpoint, {"signature": run.signature, "epoch": 1})
    assert lifecycle.execute(run, some_images()) == State.DONE
    assert "starting from the beginning" in folder.log.read_text()


@pytest.mark.fault(16, 74)
@pytest.mark.slow
@pytest.mark.parametrize("root", ["file/below", "file", "/proc/nope", "dangling"])
def test_a_place_that_cannot_be_is_one_sentence(root: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "dangling").symlink_to(tmp_path / "gone")
    done = python("-m", "ablate", f"study.root={root}", "backbone=timm", "backbone.name=test_resnet", cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "study.root=DIR" in done.stderr
    assert done.stderr.count("\n") == 1


def limited(folder: Path, words: tuple[str, ...], kind: int, number: int) -> subprocess.CompletedProcess[str]:
    """The command under a limit of the system's."""
    return subprocess.run(
        [sys.executable, "-m", "ablate", *words, "seeds=2"], cwd=folder, capture_output=True, text=True, timeout=300,
        env=os.environ | {"PYTHONPATH": str(_root())},
        preexec_fn=lambda: resource.setrlimit(kind, (number, number)),
    )  # fmt: skip


@pytest.mark.fault(17)
@pytest.mark.slow
def test_too_few_open_files_are_one_sentence(words: tuple[str, ...], tmp_path: Path) -> None:
    finish(start(tmp_path, *words, "dry_run=true", mishaps=False))  # the images are decoded from here on
    for number, fails in ((8, True), (11, True), (32, False)):
        done = limited(tmp_path, words, resource.RLIMIT_NOFILE, number)
        assert (done.returncode != 0) == fails, done.stderr
        assert "Traceback" not in done.stderr
        assert not fails or "Too many open files" in done.stderr


@pytest.mark.fault(14, 75)
@pytest.mark.slow
def test_a_file_that_may_not_grow_fails_its_run_with_path_and_bytes(words: tuple[str, ...], tmp_path: Path) -> None:
    """As a full disk does, before there is a first checkpoint; more room, and the same command trains."""
    finish(start(tmp_path, *words, "dry_run=true", mishaps=False))
    done = limited(tmp_path, words, resource.RLIMIT_FSIZE, 100_000)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert len(re.findall(r"FAILED .*File too large \(writing \d+ bytes\): '\S*checkpoint.pt'", done.stderr)) == 2
    assert not list(tmp_path.rglob("*.tmp"))
    assert not list(tmp_path.rglob("checkpoint.pt"))
    done = limited(tmp_path, words, resource.RLIMIT_FSIZE, resource.RLIM_INFINITY)
    assert done.returncode == 0, done.stderr


@pytest.mark.fault(18)
@pytest.mark.slow
def test_a_place_for_temporary_files_is_not_needed(words: tuple[str, ...], tmp_path: Path) -> None:
    done = python("-m", "ablate", *words, cwd=tmp_path, TMPDIR="/proc/nope")
    assert done.returncode == 0, done.stderr


@pytest.mark.fault(42, 49)
def test_what_a_dead_process_left_is_no_obstacle(tmp_path: Path) -> None:
    """Nor is the name of one on another machine: the lock ends with its process, and the name is only shown."""
    run = planned(tmp_path, "trainer.epochs=1")
    folder = RunFolder(run.study / run.name)
    folder.path.mkdir(parents=True)
    folder.lock.touch()
    (folder.path / ".record.json-abc.tmp").write_text('{"state": "DO')
    for host in (socket.gethostname(), "elsewhere"):
        folder.holder.write_text(json.dumps({"pid": 2**22 + 1, "host": host, "since": "2026-01-01"}))
        assert lock.holder(folder) is None
    assert lifecycle.execute(run, some_images()) == State.DONE
    assert not list(folder.path.glob("*.tmp"))


@pytest.mark.fault(59)
def test_more_threads_than_cores_are_refused(tmp_path: Path) -> None:
    done = python("-m", "ablate", "trainer.threads=999", "dry_run=true", cwd=tmp_path)
    assert done.returncode == 2
    assert "trainer.threads=999 is more than the" in done.stderr

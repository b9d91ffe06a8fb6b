"""Runs in processes of their own: whatever befalls one costs it alone, and the same command does what is left."""

import dataclasses
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from importlib.util import find_spec
from io import StringIO
from pathlib import Path

import pytest

from ablate.commands import status
from ablate.launch import local
from ablate.launch.screen import Screen
from ablate.plan import cost
from ablate.records import durations
from ablate.records.lock import Held, hold, holder
from ablate.records.record import Record, State
from ablate.records.run_folder import RunFolder
from ablate.system import hardware, progress
from tests.given import ROOT, python
from tests.launch.processes import finish, records, start, undisturbed, wait_for

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def trained(folder: Path) -> Counter[str]:
    return Counter((folder / "trained").read_text().split())


def python_with(text: str) -> list[int]:
    """The living processes in whose environment a text stands."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if text.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue  # another user's, or gone
    return found


@pytest.mark.fault(6, 7, 10)
@pytest.mark.slow
def test_twelve_runs_of_which_seven_go_wrong(words: tuple[str, ...], tmp_path: Path) -> None:
    seeds = "seed=0,1,2,3,4,100,101,102,103,104,105,106"
    code, out, err = finish(start(tmp_path, *words, seeds, "study.timeout=6"))
    print(out, err)
    assert code == 1
    found = {seed: (entry["state"], (entry["error"] or {}).get("message")) for seed, entry in records(tmp_path).items()}
    assert [found[seed][0] for seed in range(5)] == ["DONE"] * 5
    assert found[100] == ("FAILED", "broken")
    assert found[101] == ("FAILED", "the run exited with 3")
    assert found[102] == ("FAILED", "killed by SIGKILL, by a user or by the system; tried 3 times")
    assert found[103] == ("FAILED", "killed by SIGSEGV; tried 3 times")
    assert found[104] == ("FAILED", "stalled: no progress for 6s; tried 3 times")
    assert found[105][0] == "DIVERGED"
    assert found[106][0] == "OOM"
    tries = trained(tmp_path)
    assert [tries[str(seed)] for seed in (0, 100, 101, 102, 103, 104, 105)] == [1, 1, 1, 3, 3, 3, 1]
    assert "ctypes" in records(tmp_path)[103]["error"]["traceback"]  # where it was
    assert "in train" in records(tmp_path)[104]["error"]["traceback"]
    assert "Traceback" not in err
    report = subprocess.run(
        [sys.executable, "-m", "report"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert "5 of 12 runs finished" in report.stdout, report.stderr
    text = (tmp_path / "outputs" / "main" / "report" / "report.md").read_text().replace("\\", "")
    for _, message in found.values():
        assert message is None or message[:40] in text
    code, out, err = finish(start(tmp_path, *words, seeds, mishaps=False))
    assert "7 finished, 5 to train" in out
    assert "study main: 10 DONE, 1 DIVERGED, 1 OOM" in out
    print(out, err)


@pytest.mark.slow
def test_a_killed_run_is_gone_on_with_at_once_and_ends_in_the_same_bits(words: tuple[str, ...], tmp_path: Path) -> None:
    code, out, err = finish(start(tmp_path, *words, "seed=201"))
    assert code == 0, out + err
    assert "resuming " in err
    disturbed = records(tmp_path)[201]
    assert trained(tmp_path) == {"201": 2}
    assert disturbed["weights_sha256"] == undisturbed(words, 201)


@pytest.mark.fault(46)
@pytest.mark.slow
def test_two_sweeps_started_together_train_every_run_once(words: tuple[str, ...], tmp_path: Path) -> None:
    both = [start(tmp_path, *words, "seeds=5") for _ in range(2)]
    for code, out, err in map(finish, both):
        assert code == 0, out + err
        assert "5 DONE" in out
        assert err.count(" DONE ") == 5  # each says of all of them how they ended
    assert trained(tmp_path) == {str(seed): 1 for seed in range(5)}


@pytest.mark.slow
def test_two_sweeps_without_locks_train_runs_twice(words: tuple[str, ...], tmp_path: Path) -> None:
    for process in [start(tmp_path, *words, "seeds=3", without="locks") for _ in range(2)]:
        finish(process)
    assert max(trained(tmp_path).values()) > 1


@pytest.mark.fault(8)
@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_a_killed_launcher_leaves_no_orphans_and_the_same_command_ends_in_the_same_bits(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    one = (*(word for word in words if word != "trainer.epochs=3"), "trainer.epochs=12")
    child = start(tmp_path, *one, "seeds=3")
    mark = f"MISHAPS={tmp_path}\0"
    wait_for(lambda: list(tmp_path.glob("outputs/main/*/checkpoint.pt")), 120)
    assert len(python_with(mark)) >= 3  # the launcher, the server, runs
    child.kill()
    killed = time.monotonic()
    child.communicate()
    wait_for(lambda: not python_with(mark), 8)
    print(f"gone after {time.monotonic() - killed:.1f} s")
    assert "3 runs planned" in status.lines(status.of_study(tmp_path / "outputs" / "main"))[0]
    code, out, err = finish(start(tmp_path, *one, "seeds=3"))
    assert code == 0, out + err
    hashes = {seed: entry["weights_sha256"] for seed, entry in records(tmp_path).items()}
    assert hashes == {seed: undisturbed(one, seed) for seed in range(3)}


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_a_killed_launcher_leaves_orphans_when_nothing_ends_them(words: tuple[str, ...], tmp_path: Path) -> None:
    long = (*(word for word in words if not word.startswith("trainer.epochs")), "trainer.epochs=1000", "seeds=2")
    child = start(tmp_path, *long, without="ends")
    mark = f"MISHAPS={tmp_path}\0"
    try:
        wait_for(lambda: list(tmp_path.glob("outputs/main/*/checkpoint.pt")), 120)
        child.kill()
        child.communicate()
        time.sleep(8)
        assert python_with(mark)
    finally:
        for pid in python_with(mark):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_ends_all_runs_cleanly_and_the_same_command_resumes(
    name: str, words: tuple[str, ...], tmp_path: Path
) -> None:
    many = (*(w for w in words if not w.startswith("trainer.epochs")), "trainer.epochs=16", "seeds=3")
    child = start(tmp_path, *many)
    wait_for(lambda: len(list(tmp_path.glob("outputs/main/*/metrics.csv"))) == 2, 120)
    child.send_signal(signal.Signals[name])
    code, out, err = finish(child)
    assert code == 128 + signal.Signals[name], out + err
    assert "the same command resumes" in err
    assert "Traceback" not in err
    left = records(tmp_path).values()
    assert [entry["error"]["message"] for entry in left] == [f"stopped by {name}"] * 2
    assert all(entry["state"] == "INTERRUPTED" for entry in left)
    if name == "SIGINT":  # what is left is the same
        code, out, err = finish(start(tmp_path, *many))
        assert code == 0, out + err
        assert [len(entry["resumed"]) for _, entry in sorted(records(tmp_path).items())] == [1, 1, 0]


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_when_the_process_that_forks_is_killed_its_runs_are_resumed(words: tuple[str, ...], tmp_path: Path) -> None:
    from tests.launch.processes import children_of

    long = (*(w for w in words if not w.startswith("trainer.epochs")), "trainer.epochs=12", "seeds=2")
    child = start(tmp_path, *long)
    wait_for(lambda: len(list(tmp_path.glob("outputs/main/*/checkpoint.pt"))) == 2, 120)
    # The decoding of the images has left a process of Python's own.
    (server,) = [p for p in children_of(child.pid) if b"import serve_at" in Path(f"/proc/{p}/cmdline").read_bytes()]
    os.kill(server, signal.SIGKILL)
    code, out, err = finish(child)
    assert code == 0, out + err
    assert err.count("resuming ") == 2
    assert [len(entry["resumed"]) for entry in records(tmp_path).values()] == [1, 1]


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["study", "basic"])
def test_the_name_that_a_study_takes_reaches_every_run_which_any_launcher_trains_to_the_same_bits(
    launcher: str, words: tuple[str, ...], tmp_path: Path
) -> None:
    nameless = [word for word in words if not word.startswith("study.name=")]
    code, out, err = finish(
        start(tmp_path, *nameless, "optimizer.momentum=0.5,0.9", f"hydra/launcher={launcher}", mishaps=False)
    )
    assert code == 0, out + err
    assert {path.name for path in (tmp_path / "outputs").iterdir()} == {".studies.lock", "momentum"}
    runs = list((tmp_path / "outputs" / "momentum").glob("*/record.json"))
    assert len(runs) == 2
    for path in runs:
        entry = json.loads(path.read_text())
        assert entry["study"] == "momentum"
        assert "study.name=momentum" in entry["command"]
        assert not any("study" in key for key in entry["levels"])
        assert "name: momentum" in (path.parent / "config.yaml").read_text()
        momentum = f"optimizer.momentum={entry['levels']['optimizer.momentum']}"
        assert entry["weights_sha256"] == undisturbed([*nameless, momentum])
    again = python(*shlex.split(entry["command"])[1:], "dry_run=true", cwd=tmp_path)
    assert "1 finished, 0 to train" in again.stdout, again.stdout + again.stderr


@pytest.mark.slow
def test_code_that_is_edited_during_a_study_is_recorded_by_the_next(words: tuple[str, ...], tmp_path: Path) -> None:
    code, place = tmp_path / "code", tmp_path / "place"
    for name in ("ablate", "conf", "hydra_plugins"):
        shutil.copytree(ROOT / name, code / name, ignore=shutil.ignore_patterns("__pycache__", "*.npz"))
    place.mkdir()
    git = ["git", "-C", str(code), "-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "as it was"]):
        subprocess.run([*git, *command], check=True)

    def study(seeds: str, one_begun: Callable[[], None] = lambda: None) -> list[bool]:
        process = subprocess.Popen(
            [sys.executable, "-m", "ablate", "-m", *words, f"seed={seeds}", "study.slots=1"], cwd=place, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(code)},
        )  # fmt: skip
        wait_for(lambda: list(place.glob("outputs/main/*/record.json")))
        one_begun()
        code_of_exit, _, said = finish(process)
        assert code_of_exit == 0, said
        return [records(place)[int(seed)]["environment"]["code"]["dirty"] for seed in seeds.split(",")]

    def edit() -> None:
        with (code / "ablate" / "train" / "loop.py").open("a") as file:
            file.write("# in the middle of a study, which has imported this already\n")

    assert study("0,1,2", edit) == [False, False, False]
    assert study("3") == [True]


def test_our_launcher_needs_our_sweeper(words: tuple[str, ...], tmp_path: Path) -> None:
    code, _, err = finish(start(tmp_path, *words, "hydra/sweeper=basic", mishaps=False))
    assert code == 2
    assert "hydra/sweeper=basic trains outside of a study, without a plan" in err


@pytest.mark.parametrize(("launcher", "extra"), [("submitit_slurm", "slurm"), ("ray", "ray")])
def test_a_launcher_that_is_not_installed_is_named_with_its_extra(launcher: str, extra: str, tmp_path: Path) -> None:
    if find_spec("submitit" if extra == "slurm" else "ray") is not None:
        pytest.skip("it is installed")
    code, _, err = finish(start(tmp_path, f"hydra/launcher={launcher}", mishaps=False))
    assert code == 2
    assert f"hydra/launcher={launcher} needs a plugin; install it with: pip install -e '.[{extra}]'" in err


def test_telling_of_progress_costs_no_measurable_time() -> None:
    reader, writer = os.pipe()
    watcher = progress.Watcher(writer)
    began = time.perf_counter()
    for step in range(10_000):
        watcher.send_sometimes(stage="epoch 1/3", done=step, total=10_000)
    assert (time.perf_counter() - began) / 10_000 < 20e-6  # a step of the smallest network takes a thousand times that
    assert json.loads(os.read(reader, 4096))["done"] == 0
    for _ in range(5000):
        watcher.send(stage="nobody reads", done=1, total=2)  # and a full pipe holds nobody up
    for handle in (reader, writer):
        os.close(handle)
    watcher.send(stage="nobody is there", done=1, total=2)


def test_a_lock_names_its_living_holder(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run-abc")
    assert holder(folder) is None
    program = (
        "import sys, time; from pathlib import Path; from ablate.records.lock import hold; from ablate.records.run_folder import RunFolder\n"
        "with hold(RunFolder(Path(sys.argv[1]))): print('held', flush=True); time.sleep(60)"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program, str(folder.path)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    who = holder(folder)
    assert who is not None
    assert who.pid == child.pid
    with pytest.raises(Held, match=f"run-abc is being trained by process {child.pid} since 2"), hold(folder):
        pass
    child.kill()
    child.wait()
    child.stdout.close()
    assert holder(folder) is None  # its name is still there
    assert folder.holder.exists()
    with hold(folder):
        pass


def test_how_many_runs_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.given import planned

    monkeypatch.setattr(hardware, "cores", lambda: 8)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def of(count: int, *words: str) -> list[dict[str, str]]:
        return local.slots([planned(tmp_path, *words)] * count)

    assert of(20, "trainer.device=cpu") == [{}] * 8
    assert of(20, "trainer.device=cpu", "trainer.threads=3") == [{}] * 2
    assert of(20, "trainer.device=cpu", "trainer.threads=16") == [{}]
    assert of(3, "trainer.device=cpu") == [{}] * 3
    assert of(20, "trainer.device=cpu", "study.slots=12") == [{}] * 12
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    assert of(20, "trainer.device=cuda", "study.runs_per_gpu=2") == [{"CUDA_VISIBLE_DEVICES": gpu} for gpu in "2525"]
    assert of(1, "trainer.device=cuda") == [{"CUDA_VISIBLE_DEVICES": "2"}]


def test_the_longest_runs_of_a_seed_come_first(tmp_path: Path) -> None:
    from tests.given import planned

    runs = [
        planned(tmp_path, f"batch_size={size}", f"seed={seed}", f"trainer.epochs={epochs}")
        for seed in (1, 0) for size, epochs in (("b32", 2), ("b64", 2), ("b128", 4), ("b256", 1))
    ]  # fmt: skip
    per_epoch = {32: 1.0, 64: 5.0, 128: 2.0}  # of b256 nothing is known: as long an epoch as the longest
    known = {r.kind: t for r in runs if (t := per_epoch.get(r.config.batch_size.size))}
    told = [(run.config.seed, run.config.batch_size.size) for run in cost.longest_first(runs, known)]
    assert told == [(seed, size) for seed in (1, 0) for size in (64, 128, 256, 32)]
    assert cost.longest_first(runs, {}) == runs


def test_what_a_run_took_decides_which_of_the_waiting_is_next(tmp_path: Path) -> None:
    from ablate.launch.local import Local
    from tests.given import planned

    quick, *others = [planned(tmp_path, f"batch_size={size}") for size in ("b64", "b64", "b128", "b256")]
    local = Local(others, {}, "")
    local.waiting.appendleft((quick, 1))  # it was killed once
    sizes = lambda: [run.config.batch_size.size for run, _ in local.waiting]  # noqa: E731
    assert sizes() == [64, 64, 128, 256]  # nothing is known
    known = {quick.kind: 0.5}
    local.learned(known)
    assert sizes() == [64, 64, 128, 256]  # what is unknown may be as long
    known[others[2].kind] = 10.0
    local.learned(known)
    assert sizes() == [64, 128, 256, 64]
    known[others[1].kind] = 5.0
    local.learned(known)
    assert sizes() == [64, 256, 128, 64]


def test_a_run_that_has_ended_teaches_what_its_kind_takes(tmp_path: Path) -> None:
    from tests.given import planned

    run = planned(tmp_path)
    done = Record(State.DONE, run.signature, {}, 0, {}, seconds=20.0, epochs_done=2)
    known: durations.Known = {}
    assert not durations.learn(known, run.kind, dataclasses.replace(done, state=State.FAILED))
    assert durations.learn(known, run.kind, done)
    assert known == {run.kind: 10.0}
    assert not durations.learn(known, run.kind, dataclasses.replace(done, seconds=99.0))  # known already


def test_time_left() -> None:
    assert durations.left([10.0, 10.0, 10.0], 2) == 15
    assert durations.left([2.0, 20.0], 2) == 20
    assert durations.left([], 2) == 0
    assert durations.left([None, 1.0], 2) is None
    assert [durations.in_words(s) for s in (None, 40, 720, 12600)] == ["unknown", "40 s", "12 min", "3.5 h"]


def test_the_screen_shows_a_run_as_it_goes_on(tmp_path: Path) -> None:
    from rich.console import Console

    from ablate.launch.run_process import RunProcess
    from ablate.launch.run_state import InTraining
    from tests.given import planned

    read, write = os.pipe()
    os.set_blocking(read, False)
    run = RunProcess(planned(tmp_path, "trainer.epochs=4"), 0, {}, read, 0)
    screen = Screen(4, StringIO())

    def picture() -> str:
        console = Console(file=StringIO(), width=120, force_terminal=False)
        console.print(screen._picture([run.training(), InTraining(planned(tmp_path, "seed=1"), None)], 90))
        return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]

    def tell(**event: object) -> None:
        os.write(write, json.dumps(event).encode() + b"\n")
        run.listen()

    assert "starting" in picture()
    tell(stage="decoding train images", done=3, total=9, unit="images")
    assert "decoding train images: 3/9" in picture()
    tell(epoch=1, loss=1.25, accuracy=0.5, speed=321.4)
    tell(stage="epoch 2/4", done=5, total=10, unit="steps")
    assert run.training().share() == 0.375
    text = picture()
    for shown in ("0/4", "2/4", "50 %", "1.250", "50.0 %", "321", "90 s left", "trained by another process"):
        assert shown in text, text


def test_outside_a_terminal_a_long_silence_is_broken_ever_more_rarely(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from ablate.launch.run_state import InTraining, Progress
    from tests.given import planned

    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    out = StringIO()
    screen = Screen(9, out)
    run = InTraining(planned(tmp_path, "trainer.epochs=4"), Progress())
    spoken = []
    with progress.progress_bar("decoding images", 60, "images") as advance:
        for second in range(60):
            now = float(second)
            before = out.getvalue()
            screen.show([run] * 4, lambda: None)
            advance(1)
            if out.getvalue() != before:
                spoken.append(second)
    assert spoken == [3, 9, 21, 45]
    lines = out.getvalue().splitlines()
    assert lines[0] == f"[0/9] {run.planned.label}: starting; {run.planned.label}: starting; 2 more in training"
    assert capsys.readouterr().err.splitlines() == [f"decoding images: {done}/60 images" for done in (4, 10, 22, 46)]
    run = InTraining(run.planned, Progress(epoch=1, stage="epoch 2/4", done=5, total=10))
    screen.say("something else")
    now += 47
    screen.show([run], lambda: None)
    assert out.getvalue().splitlines()[-1] == "something else"  # which was a word too
    now += 1
    screen.show([run], lambda: None)
    assert out.getvalue().splitlines()[-1].endswith("epoch 2/4, 50 %")

"""Studies on a real Slurm and a real Ray on this machine. Left out of every other run: `make test-cluster`."""

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.given import ROOT, TINY
from tests.launch.processes import MISHAPS, alive, finish, wait_for

pytestmark = pytest.mark.cluster

WORDS = (
    *TINY, "optimizer=sgd", "trainer.epochs=6", "trainer.tensorboard=false", "trainer.checkpoint_time=1.2s",
    "study.name=main",
)  # fmt: skip
Start = Callable[..., subprocess.Popen[str]]


def starter(folder: Path, extra: str) -> Start:
    """A function that starts ablate, in the environment that has an extra installed."""
    python = os.environ.get(f"ABLATE_{extra}_PYTHON")
    if python is None:
        pytest.skip("`make test-cluster` installs what this needs")
    (folder / "site").mkdir()
    (folder / "site" / "sitecustomize.py").write_text(MISHAPS)

    def start(*words: str, **environment: str) -> subprocess.Popen[str]:
        path = os.pathsep.join([str(folder / "site"), str(ROOT)])
        named = {word.partition("=")[0] for word in words}
        every = [word for word in WORDS if word.partition("=")[0] not in named]
        return subprocess.Popen(
            [python, "-m", "ablate", *every, *words], cwd=folder, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | {"PYTHONPATH": path} | environment,
        )  # fmt: skip

    return start


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A Slurm of one node, for as long as the tests of this module run."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        pytest.skip("brings up a Slurm of its own, which takes root on a Debian")
    folder = tmp_path_factory.mktemp("slurm")
    subprocess.run([ROOT / "tests" / "launch" / "slurm.sh", "up", folder], check=True)
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    yield folder
    subprocess.run([ROOT / "tests" / "launch" / "slurm.sh", "down", folder], check=True)
    del os.environ["SLURM_CONF"]


@pytest.fixture
def on_slurm(slurm: Path, tmp_path: Path) -> Iterator[Start]:
    yield starter(tmp_path, "SLURM")
    subprocess.run(["scancel", "--user=0"], check=True)


@pytest.fixture
def on_ray(tmp_path: Path) -> Start:
    return starter(tmp_path, "RAY")


def folder_of(study: Path, seed: int) -> Path | None:
    return next((path for path in study.glob("*-*") if f"-s{seed}-" in path.name), None)


def epochs(study: Path, seed: int) -> int:
    path = folder_of(study, seed)
    return len((path / "metrics.csv").read_text().splitlines()) - 1 if path and (path / "metrics.csv").exists() else 0


def job(study: Path, seed: int) -> str:
    path = folder_of(study, seed)
    assert path is not None
    return str(json.loads((path / ".job").read_text())["slurm"])


def entry(study: Path, seed: int) -> dict[str, Any]:
    path = folder_of(study, seed)
    assert path is not None
    found: dict[str, Any] = json.loads((path / "record.json").read_text())
    return found


def said(study: Path, seed: int) -> tuple[str, str]:
    found = entry(study, seed)
    return found["state"], (found["error"] or {}).get("message", "")


def hashes(study: Path, seeds: range) -> list[str]:
    return [entry(study, seed)["weights_sha256"] for seed in seeds]


def undisturbed(start: Start, folder: Path, seeds: str) -> Path:
    """The same runs by our own launcher."""
    code, out, err = finish(start(seeds, "study.name=undisturbed"))
    assert code == 0, out + err
    return folder / "outputs" / "undisturbed"


def ancestors(pid: int) -> list[int]:
    found = []
    while pid > 1:
        pid = int(re.search(r"PPid:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])  # type: ignore[index]
        found.append(pid)
    return found


def holder(study: Path, seed: int) -> int:
    path = folder_of(study, seed)
    assert path is not None
    return int(json.loads((path / ".holder").read_text())["pid"])


def disturb(study: Path, seed: int, *words: str) -> None:
    """Do something to a run's Slurm job after its first epoch, and wait until its process has ended."""
    wait_for(lambda: epochs(study, seed) >= 1, 200)
    process = holder(study, seed)
    command = subprocess.Popen([*words, job(study, seed)])
    wait_for(lambda: not Path(f"/proc/{process}").exists())
    command.kill()  # scancel repeats itself when Slurm is busy, and would strike the job's next turn too
    command.wait()


def test_of_four_slurm_jobs_two_are_preempted_and_one_is_killed(on_slurm: Start, tmp_path: Path) -> None:
    command = ("hydra/launcher=submitit_slurm", "seeds=4")
    child = on_slurm(*command)
    study = tmp_path / "outputs" / "main"
    wait_for(lambda: epochs(study, 0) >= 1, 200)
    trainer = holder(study, 0)
    for process in (*ancestors(trainer)[:2], trainer):  # all of the job but what is Slurm's own
        os.kill(process, signal.SIGKILL)
    disturb(study, 1, "scancel", "--signal=USR2")
    disturb(study, 2, "scontrol", "requeue")
    code, out, err = finish(child)
    print(out, err)
    assert code == 1
    assert "Traceback" not in out + err
    assert [said(study, seed) for seed in (1, 2, 3)] == [("DONE", "")] * 3
    assert [len(entry(study, seed)["resumed"]) for seed in (1, 2, 3)] == [1, 1, 0]
    state, message = said(study, 0)
    assert state == "FAILED"
    assert re.fullmatch(r"Slurm job \d+_0 left no result \(FAILED\); its logs are in .*\.submitit/\d+_0", message)
    assert f"FAILED {folder_of(study, 0).name}  {message}" in err  # type: ignore[union-attr]
    code, out, err = finish(on_slurm(*command))
    assert code == 0, out + err
    assert "3 finished, 1 to train" in out
    assert len(entry(study, 0)["resumed"]) == 1
    assert hashes(study, range(4)) == hashes(undisturbed(on_slurm, tmp_path, "seeds=4"), range(4))


def test_runs_that_go_wrong_on_slurm_cost_themselves_alone(on_slurm: Start, tmp_path: Path) -> None:
    child = on_slurm("hydra/launcher=submitit_slurm", "seed=0,100,102,201", MISHAPS=str(tmp_path))
    code, out, err = finish(child)
    print(out, err)
    assert code == 1
    assert "Traceback" not in out + err
    study = tmp_path / "outputs" / "main"
    assert said(study, 0) == ("DONE", "")
    assert said(study, 100) == ("FAILED", "broken")
    assert said(study, 102) == ("FAILED", "killed by SIGKILL, by a user or by the system; tried 3 times")
    assert said(study, 201) == ("DONE", "")  # killed once, and resumed by its job
    assert len(entry(study, 201)["resumed"]) == 1


@pytest.mark.parametrize("partition", ["main", "graceful"])
def test_a_more_urgent_job_preempts_a_run_which_goes_on_afterwards(
    partition: str, on_slurm: Start, tmp_path: Path
) -> None:
    words = ("hydra/launcher=submitit_slurm", f"hydra.launcher.partition={partition}", "hydra.launcher.cpus_per_task=2")
    child = on_slurm(*words)
    study = tmp_path / "outputs" / "main"
    wait_for(lambda: epochs(study, 0) >= 1, 100)
    subprocess.run(["srun", "--partition=urgent", "--exclusive", "true"], check=True, timeout=100)
    code, out, err = finish(child)
    assert code == 0, out + err
    assert len(entry(study, 0)["resumed"]) == 1
    assert hashes(study, range(1)) == hashes(undisturbed(on_slurm, tmp_path, "seeds=1"), range(1))


def test_jobs_outlive_the_command_and_the_same_one_waits_for_them(on_slurm: Start, tmp_path: Path) -> None:
    command = ("hydra/launcher=submitit_slurm", "seeds=3")
    child = on_slurm(*command)
    study = tmp_path / "outputs" / "main"
    wait_for(lambda: epochs(study, 0) >= 1, 100)
    child.kill()
    child.communicate()
    first = [job(study, seed) for seed in range(3)]
    code, out, err = finish(on_slurm(*command))
    assert code == 0, out + err
    assert [job(study, seed) for seed in range(3)] == first
    assert [len(entry(study, seed)["resumed"]) for seed in range(3)] == [0, 0, 0]


def test_ctrl_c_and_scancel_end_slurm_jobs_and_the_same_command_resumes(on_slurm: Start, tmp_path: Path) -> None:
    command = ("hydra/launcher=submitit_slurm", "seeds=3", "trainer.epochs=20", "hydra.launcher.array_parallelism=2")
    child = on_slurm(*command)
    study = tmp_path / "outputs" / "main"
    wait_for(lambda: epochs(study, 0) >= 1 and epochs(study, 1) >= 1, 100)
    cancelled = job(study, 2)
    subprocess.run(["scancel", cancelled], check=True)  # before it began
    wait_for(lambda: (folder_of(study, 2) / "record.json").exists(), 60)  # type: ignore[operator]
    child.send_signal(signal.SIGINT)
    code, out, err = finish(child)
    print(out, err)
    assert code == 130
    assert "Traceback" not in out + err
    assert "the same command resumes" in err
    state, message = said(study, 2)
    assert state == "FAILED"
    assert re.match(rf"Slurm job {cancelled} left no result \((CANCELLED|gone from the queue)\)", message)
    assert [said(study, seed) for seed in (0, 1)] == [("INTERRUPTED", "stopped by SIGTERM")] * 2
    live = subprocess.run(["squeue", "--noheader", "--states=PD,R"], capture_output=True, text=True, check=True)
    assert live.stdout == ""
    code, out, err = finish(on_slurm(*command))
    assert code == 0, out + err
    assert [len(entry(study, seed)["resumed"]) for seed in range(3)] == [1, 1, 0]


def test_the_plugins_own_waiting_for_a_dead_job_would_not_end(on_slurm: Start, tmp_path: Path) -> None:
    """The twin: what the plugin does by itself, where Slurm keeps no accounts."""
    (tmp_path / "site" / "sitecustomize.py").write_text(
        "from ablate.launch import cluster\n"
        "cluster.launch = lambda launcher, runs, submit: launcher.launch([list(run.overrides) for run in runs], 0)\n"
    )
    child = on_slurm("hydra/launcher=submitit_slurm")
    study = tmp_path / "outputs" / "main"
    wait_for(lambda: epochs(study, 0) >= 1, 100)
    os.kill(holder(study, 0), signal.SIGKILL)
    wait_for(lambda: " F " in subprocess.run(["squeue", "--states=all"], capture_output=True, text=True).stdout)
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(60)
    child.kill()
    child.communicate()


def test_what_slurm_refuses_is_said_in_one_sentence(on_slurm: Start) -> None:
    code, out, err = finish(on_slurm("hydra/launcher=submitit_slurm", "hydra.launcher.partition=none"))
    assert code == 2
    assert "ablate: Slurm takes no jobs: " in err
    assert "invalid partition" in err
    assert "Traceback" not in out + err


def test_of_four_ray_tasks_one_loses_its_worker_and_is_retried(on_ray: Start, tmp_path: Path) -> None:
    command = ("hydra/launcher=ray", "seeds=4")
    child = on_ray(*command)
    study = tmp_path / "outputs" / "main"
    wait_for(lambda: epochs(study, 1) >= 1, 200)
    _server, worker, *_ = ancestors(holder(study, 1))
    os.kill(worker, signal.SIGKILL)
    code, out, err = finish(child)
    print(out, err)
    assert code == 0
    assert "Traceback" not in out + err
    assert [len(entry(study, seed)["resumed"]) for seed in range(4)] == [0, 1, 0, 0]
    assert hashes(study, range(4)) == hashes(undisturbed(on_ray, tmp_path, "seeds=4"), range(4))


def test_a_ray_task_that_is_lost_for_good_costs_itself_alone(on_ray: Start, tmp_path: Path) -> None:
    command = ("hydra/launcher=ray", "seed=0,1,100,3", "+hydra.launcher.ray.remote.max_retries=0")
    child = on_ray(*command, MISHAPS=str(tmp_path))
    study = tmp_path / "outputs" / "main"
    wait_for(lambda: epochs(study, 1) >= 1, 200)
    _server, worker, *_ = ancestors(holder(study, 1))
    os.kill(worker, signal.SIGKILL)
    code, out, err = finish(child)
    print(out, err)
    assert code == 1
    assert "Traceback" not in out + err
    assert [said(study, seed)[0] for seed in (0, 1, 100, 3)] == ["DONE", "FAILED", "FAILED", "DONE"]
    assert said(study, 1)[1].startswith("lost by Ray: ")
    assert said(study, 100)[1] == "broken"
    code, out, err = finish(on_ray(*command))
    assert code == 0, out + err
    assert "2 finished, 2 to train" in out
    assert len(entry(study, 1)["resumed"]) == 1


def test_ctrl_c_ends_ray_tasks_and_the_same_command_resumes(on_ray: Start, tmp_path: Path) -> None:
    command = ("hydra/launcher=ray", "seeds=3", "trainer.epochs=8")
    child = on_ray(*command)
    study = tmp_path / "outputs" / "main"
    wait_for(lambda: epochs(study, 0) >= 1, 200)
    trainer = holder(study, 0)
    child.send_signal(signal.SIGINT)
    code, out, err = finish(child)
    print(out, err)
    assert code == 130
    assert "Traceback" not in out + err
    assert said(study, 0)[0] == "INTERRUPTED"
    wait_for(lambda: not alive(trainer), 10)
    code, out, err = finish(on_ray(*command))
    assert code == 0, out + err
    assert len(entry(study, 0)["resumed"]) == 1

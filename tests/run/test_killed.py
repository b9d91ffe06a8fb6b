"""Runs that are killed or whose disk is full, at every point and at random moments, end in the same bits."""

import csv
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ablate.records.run_folder import TIMINGS
from tests.given import ROOT, TINY
from tests.launch.processes import alive, descendants_of

KILLS = int(os.environ.get("ABLATE_KILLS", "4"))  # of each kind of run, by `make test`
ROUNDS = 4  # kills of one run, before it is left to end

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")]


def crash_points(*words: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.run.crash_points", *words],
        capture_output=True,
        text=True,
        timeout=1200,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


@pytest.mark.fault(2, 3, 14, 15)
def test_wherever_writing_fails_or_is_killed_the_run_ends_in_the_same_bits() -> None:
    result = crash_points("--every", "7")
    assert result["wrong"] == []
    assert min(result["disturbed"].values()) > 0  # every kind did disturb


def test_a_naive_writer_would_be_noticed() -> None:
    """The twin: files replaced in place, rows appended, states trusted."""
    assert len(crash_points("--every", "9", "--naive")["wrong"]) > 0


def ablate(folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "ablate", *words, "study.name=killed", "trainer.tensorboard=false"],
        cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(folder / "cache")},
    )  # fmt: skip


def end(folder: Path, *words: str) -> tuple[str, list[str], list[dict[str, str]]]:
    """Let a run come to its end: its weights' hash, its digests, its metrics without the two timings."""
    child = ablate(folder, *words)
    output, _ = child.communicate(timeout=600)
    assert child.returncode == 0, output
    (path,) = folder.glob("outputs/killed/*/record.json")
    entry = json.loads(path.read_text())
    with open(path.parent / "metrics.csv", newline="") as file:
        rows = [{name: value for name, value in row.items() if name not in TIMINGS} for row in csv.DictReader(file)]
    assert not list(path.parent.rglob("*.tmp"))
    assert not list((folder / "cache").rglob("*.tmp"))
    return entry["weights_sha256"], entry["epoch_digests"], rows


@pytest.mark.fault(1)
@pytest.mark.parametrize("kind", ["decoding and training", "features of a frozen backbone"])
def test_runs_killed_at_random_moments_end_in_the_same_bits(
    kind: str, image_folder: Callable[..., Path], tmp_path: Path
) -> None:
    """Every run is killed several times: while it starts, decodes, computes features, trains, evaluates or saves."""
    # Many evaluations and saved states; the image cache and the features have to be made first.
    images = (f"data.path={image_folder(train=400, val=200)}", "data=folder", "data.size=32")
    often = ("batch_size=b32", "optimizer=sgd", "trainer.checkpoint_time=0")
    if kind.startswith("features"):
        words = (
            "backbone=effnet_lite0",
            "backbone.freeze=true",
            "trainer.epochs=20",
            "data.resolution=64",
            "optimizer.lr=0.001",
            *often,
            *images,
        )
    else:
        words = (*TINY, "trainer.epochs=3", "augment=flip_crop", *often, *images)
    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    began = time.monotonic()
    expected = end(undisturbed, *words)
    seconds = time.monotonic() - began
    draw = random.Random(kind)
    killed = 0
    where: dict[str, int] = {}
    for attempt in itertools.count():
        if killed >= KILLS:
            break
        folder = tmp_path / f"attempt {attempt}"
        folder.mkdir()
        for _ in range(ROUNDS):
            child = ablate(folder, *words)
            time.sleep(draw.uniform(0.2, 0.7) * seconds)
            child.send_signal(signal.SIGSTOP)  # else the launcher would resume what is killed before it
            workers = descendants_of(child.pid)
            done = child.poll() is not None
            for worker in workers:
                if alive(worker):
                    os.kill(worker, signal.SIGKILL)
            child.send_signal(signal.SIGKILL)
            child.communicate(timeout=300)  # until its workers have let go of the pipe too
            if done:
                break
            killed += 1
            stage = next((s for s, p in STAGES.items() if list(folder.glob(p))), "starting")
            where[stage] = where.get(stage, 0) + 1
            deadline = time.monotonic() + 120
            while any(alive(worker) for worker in workers):  # none is left behind
                assert time.monotonic() < deadline
                time.sleep(0.05)
        assert end(folder, *words) == expected
    print(f"{kind}: {killed} kills, all the same in the end; killed while {where}")


# What lies on disk tells how far a run had come, the latest first.
STAGES = {
    "training and evaluating": "outputs/killed/*/checkpoint.pt",
    "computing features": "cache/ablate/features-*/*.pieces",
    "before the first state": "outputs/killed/*/record.json",
    "decoding": "cache/ablate/.building-*",
}

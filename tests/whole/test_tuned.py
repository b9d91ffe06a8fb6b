"""A tuned study from its first trial to its report, killed within and between its phases."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ablate.records import run_folder, study_plan
from tests.given import ROOT, TINY, python

WORDS = ("-m", "ablate", *TINY, "batch_size=b256", "trainer.epochs=1", "trainer.tensorboard=false", "data.holdout=0.8",
         "study.slots=1", "optimizer=adam,sgd", "tune.optimizer.lr=x1,x3", "study.root=outputs")  # fmt: skip


def killed_at(line: str, folder: Path) -> None:
    """Start the sweep and end it, and all that it has started, as soon as it prints a line that begins so."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(folder / "cache")}
    process = subprocess.Popen([sys.executable, "-u", *WORDS], cwd=folder, env=environment, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)  # fmt: skip
    assert process.stdout is not None
    assert any(each.startswith(line) for each in process.stdout), line
    os.killpg(process.pid, signal.SIGKILL)
    process.stdout.close()
    process.wait()


def weights(folder: Path) -> dict[str, str | None]:
    study = folder / "outputs" / "optimizer-tuned"
    return {record.signature: record.weights_sha256 for _, record in run_folder.records(study)}


@pytest.mark.slow
def test_a_tuned_study_killed_within_and_between_its_phases_ends_in_the_same_weights(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for folder in (whole, broken):
        folder.mkdir()
    assert (done := python(*WORDS, cwd=whole)).returncode == 0, done.stdout + done.stderr
    assert "chosen by holdout accuracy (tuning seed 0):" in done.stdout
    killed_at("[1/4] DONE", broken)
    assert all(not cell.tuned for cell in study_plan.read(broken / "outputs" / "optimizer-tuned").cells)
    killed_at("chosen by", broken)
    again = python(*WORDS, cwd=broken)
    assert again.returncode == 0, again.stdout + again.stderr
    assert weights(broken) == weights(whole)
    assert len(weights(whole)) == 6
    plans = [study_plan.read(folder / "outputs" / "optimizer-tuned") for folder in (whole, broken)]
    assert plans[0].cells == plans[1].cells
    assert all(cell.tuned for cell in plans[0].cells)
    assert (nothing := python(*WORDS, cwd=whole)).returncode == 0
    assert "4 finished, 0 to train" in nothing.stdout

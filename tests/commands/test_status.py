"""Where a study is, told from another shell."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ablate.commands import status
from ablate.plan import study_file
from ablate.plan.planned_run import Planned
from ablate.records import record, run_folder
from ablate.records.lock import hold
from ablate.records.record import State
from ablate.run.outcome import opening_record
from ablate.system.terminal import visible
from tests.given import ROOT, planned


def test_status_tells_what_lives_from_what_only_says_so(tmp_path: Path) -> None:
    runs = [planned(tmp_path, f"seed={seed}") for seed in range(4)]
    study_file.remember(Planned(runs=runs))
    for run in runs[:3]:
        record.write(run.folder().record, opening_record(run, None))
    done = dataclasses.replace(opening_record(runs[0], None), state=State.DONE, seconds=40.0, epochs_done=2)
    record.write(runs[0].folder().record, done)
    row = dict.fromkeys(run_folder.METRIC_COLUMNS, 1.0)
    runs[1].folder().write_metrics([row])
    with hold(runs[1].folder()):
        told = status.lines(status.of_study(runs[0].study))
    assert told[0] == "study main: 4 runs planned: 1 DONE, 1 running, 1 unfinished, 1 not trained"
    assert f"{runs[1].folder().path.name}  epoch 2/2, process {os.getpid()} since" in told[1]
    assert told[2].endswith("its process has died; the same command resumes it")
    assert told[3] == "time left: 100 s" or told[3] == "time left: 2 min"
    assert status.lines(status.of_study(runs[0].study))[0].endswith("1 DONE, 2 unfinished, 1 not trained")  # let go of


def test_status_needs_no_torch_and_names_a_folder_without_a_study(tmp_path: Path) -> None:
    program = "import sys; from ablate.commands import status, sweep; from ablate.launch import local; print('torch' in sys.modules)"
    words = [[sys.executable, "-c", program], [sys.executable, "-m", "ablate.status", str(tmp_path)]]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    plain, wrong = (subprocess.run(w, cwd=tmp_path, capture_output=True, text=True, env=env) for w in words)
    assert plain.stdout == "False\n", plain.stderr
    assert wrong.returncode == 2
    assert "holds no study.json" in wrong.stderr


@pytest.mark.fault(70)
def test_what_a_record_says_cannot_command_a_terminal() -> None:
    hostile = "red \x1b[31m, back \r, bell \x07, turned \u202e"
    assert visible(hostile) == "red \\x1b[31m, back \\r, bell \\x07, turned \\u202e"
    assert visible("Hündin 犬 →") == "Hündin 犬 →"

"""Where a study is, told from another shell."""

import os
import subprocess
import sys
from pathlib import Path

from conftest import ROOT
from test_run import planned

from ablate import ledger, record, status
from ablate.ending import opening_record
from ablate.lock import hold


def test_status_tells_what_lives_from_what_only_says_so(tmp_path: Path) -> None:
    runs = [planned(tmp_path, f"seed={seed}") for seed in range(4)]
    ledger.remember(runs, {})
    for run in runs[:3]:
        record.write_json(run.folder().record, opening_record(run, None))
    done = opening_record(runs[0], None) | {"state": "DONE", "seconds": 40, "epochs_done": 2}
    record.write_json(runs[0].folder().record, done)
    row = dict.fromkeys(record.METRIC_COLUMNS, 1.0)
    runs[1].folder().write_metrics([row])
    with hold(runs[1].folder()):
        told = status.lines(runs[0].study)
    assert told[0] == "study main: 4 runs planned: 1 DONE, 1 running, 1 unfinished, 1 not trained"
    assert f"{runs[1].folder().path.name}  epoch 2/2, process {os.getpid()} since" in told[1]
    assert told[2].endswith("its process is gone; the same command goes on with it")
    assert told[3] == "time left: 100 s" or told[3] == "time left: 2 min"
    assert status.lines(runs[0].study)[0].endswith("1 DONE, 2 unfinished, 1 not trained")  # let go of


def test_status_needs_no_torch_and_names_a_folder_without_a_study(tmp_path: Path) -> None:
    program = "import sys; from ablate import status, launch; print('torch' in sys.modules)"
    words = [[sys.executable, "-c", program], [sys.executable, "-m", "ablate.status", str(tmp_path)]]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    plain, wrong = (subprocess.run(w, cwd=tmp_path, capture_output=True, text=True, env=env) for w in words)
    assert plain.stdout == "False\n", plain.stderr
    assert wrong.returncode == 2
    assert "holds no study.json" in wrong.stderr

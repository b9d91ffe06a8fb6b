"""Reproducing a run: identical is said of what is identical, and only of that."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest import python

from ablate.environment import code, differences
from ablate.reproduce import compare

Study = tuple[Path, subprocess.CompletedProcess[str]]


def reproduce(run: Path) -> subprocess.CompletedProcess[str]:
    return python("-m", "ablate.reproduce", str(run), cwd=run.parent)


@pytest.fixture
def run(study: Study, tmp_path: Path) -> Path:
    """A finished run, alone: its folder is all there is."""
    source = next(study[0].glob("*lr_0.05*-s0-*"))
    return Path(shutil.copytree(source, tmp_path / source.name))


def test_a_run_is_trained_again_from_its_folder_alone_and_is_identical(run: Path) -> None:
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    done = reproduce(run)
    assert done.returncode == 0, done.stderr
    assert "identical" in done.stdout
    assert "environment, data and code are those of the record" in done.stdout
    assert {p: p.read_bytes() for p in run.rglob("*") if p.is_file()} == before


def edit(run: Path, change: Any) -> None:
    entry = json.loads((run / "record.json").read_text())
    change(entry)
    (run / "record.json").write_text(json.dumps(entry))


@pytest.mark.slow
def test_what_differs_is_named(run: Path) -> None:
    """The twin: another seed in the configuration, other versions and other weights in the record."""
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("\nseed: 0\n", "\nseed: 1\n"))
    edit(run, lambda e: e["environment"]["packages"].update(torch="1.0"))
    edit(run, lambda e: e["data"].update(fingerprint="0123456789abcdef"))
    done = reproduce(run)
    assert done.returncode == 1
    assert "different: final weights differ" in done.stdout
    assert "packages torch: 1.0 then" in done.stdout
    assert "data: fingerprint 0123456789ab then" in done.stdout
    assert "signature:" in done.stdout
    assert "train_loss:" in done.stdout
    assert "from epoch 1 on" in done.stdout


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda r: (r / "record.json").unlink(), "record.json cannot be read"),
        (lambda r: edit(r, lambda e: e.update(state="DIVERGED")), "is DIVERGED, not DONE"),
        (lambda r: (r / "config.yaml").write_text("nonsense: 1"), "nonsense is unknown"),
        (lambda r: (r / "config.yaml").unlink(), "config.yaml cannot be read"),
        (lambda r: (r / "config.yaml").write_text("a: [1"), "config.yaml cannot be read"),
    ],
)
def test_what_cannot_be_tried_is_one_sentence(run: Path, spoil: Any, sentence: str) -> None:
    spoil(run)
    done = reproduce(run)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1


def test_metrics_are_compared_to_the_bit_but_for_the_timings() -> None:
    row = dict.fromkeys(
        (
            "epoch",
            "train_loss",
            "train_accuracy",
            "holdout_loss",
            "holdout_accuracy",
            "test_loss",
            "test_accuracy",
            "lr",
        ),
        0.1,
    ) | {"images_per_second": 1.0, "seconds": 1.0}
    assert compare([row], [row | {"seconds": 2.0, "images_per_second": 3.0}]) == []
    assert len(compare([row], [row | {"test_loss": 0.1 + 1e-18}])) == 0  # the same double
    assert len(compare([row], [row | {"test_loss": 0.10000000000000002}])) == 1
    assert compare([row, row], [row]) == ["2 epochs recorded, 1 trained"]


def test_differences_name_each_entry() -> None:
    then = {"threads": 1, "packages": {"torch": "2.10", "timm": "1"}, "gone": 1}
    now = {"threads": 2, "packages": {"torch": "2.11", "timm": "1"}}
    assert differences(then, now) == [
        "gone: 1 then, None now",
        "packages torch: 2.10 then, 2.11 now",
        "threads: 1 then, 2 now",
    ]


def test_code_outside_a_checkout_has_no_commit_and_is_never_called_clean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ablate

    (tmp_path / "site-packages").mkdir()
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)  # somebody else's repository
    monkeypatch.setattr(ablate, "__file__", str(tmp_path / "site-packages" / "__init__.py"))
    code.cache_clear()
    assert code() == {"version": ablate.__version__, "commit": None, "dirty": None}

"""Reproducing a run: identical is said of what is identical, and only of that."""

import contextlib
import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings

import ablate
from ablate.commands import reproduce as command
from ablate.config.compose import read_config
from ablate.records.run_folder import METRIC_COLUMNS, RunFolder
from ablate.run import environment, reproduction
from ablate.run.environment import differences
from ablate.run.reproduction import Again, Conditions, after, before, compare
from ablate.train.device import choose_device
from tests.given import ROOT, planned, python
from tests.records.test_fuzz import changed, changes

Study = tuple[Path, subprocess.CompletedProcess[str]]
RELEASED = ROOT / "tests" / "records" / "released" / "0.1.0"


def reproduce(run: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """What the command prints and returns, in this process, which has imported torch already."""
    said = StringIO()
    try:
        with contextlib.chdir(run.parent.parent.parent), contextlib.redirect_stdout(said):
            code = command.main([str(run), *words])
    finally:
        torch.set_num_threads(1)
    return subprocess.CompletedProcess(words, code, said.getvalue(), "")


@pytest.fixture
def run(study: Study, tmp_path: Path) -> Path:
    """A finished run, alone: its folder is all there is."""
    source = next(study[0].glob("*lr0.05*-s0-*"))
    return Path(shutil.copytree(source, tmp_path / "outputs" / "main" / source.name))


@pytest.mark.slow
def test_a_run_is_trained_again_from_its_folder_alone_and_is_identical(run: Path) -> None:
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    done = python("-m", "ablate.reproduce", str(run), cwd=run.parent.parent.parent)
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
    edit(run, lambda e: e["environment"]["code"].update(commit="0" * 40))
    (run / "code.diff").write_text("a diff")
    done = reproduce(run)
    assert done.returncode == 1
    assert "with these differences, expect other bits" in done.stdout
    assert "packages torch: 1.0 then" in done.stdout
    assert "signature:" in done.stdout
    assert f"git checkout {'0' * 40}" in done.stdout
    assert f"git apply {run / 'code.diff'}" in done.stdout
    assert "the initial weights differ" in done.stdout
    assert "the weights differ from epoch 1 on" in done.stdout
    assert re.search(r"train_loss: \S+ then, \S+ now, from epoch 1 on; at most \S+ apart", done.stdout)
    assert "the final weights differ" in done.stdout
    assert "the study has no other seed of this combination" in done.stdout


@pytest.mark.fault(50)
@pytest.mark.slow
def test_another_number_of_threads_and_a_changed_image_are_named(
    image_folder: Callable[..., Path], tmp_path: Path
) -> None:
    folder = image_folder(train=40, val=10)
    words = ("backbone=timm", "backbone.name=test_resnet", "batch_size=b32", "data=folder", "data.size=32")
    done = python("-m", "ablate", *words, f"data.path={folder}", "trainer.epochs=2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (record,) = (tmp_path / "outputs" / "runs").glob("*/record.json")
    assert "identical: " in reproduce(record.parent).stdout
    assert "threads: 1 then, 2 now" in reproduce(record.parent, "--threads", "2").stdout
    picture = folder / "train" / "cat" / "0.png"
    picture.write_bytes((folder / "train" / "cat" / "1.png").read_bytes())
    altered = reproduce(record.parent)
    assert altered.returncode == 1
    assert re.search(r"data: fingerprint \w{12} then, \w{12} now", altered.stdout)
    assert "expect other bits" in altered.stdout


@pytest.mark.slow
def test_the_first_epochs_alone_are_a_quick_check(run: Path) -> None:
    done = reproduce(run, "--epochs", "1")
    assert done.returncode == 0, done.stderr
    assert "identical so far: weights and metrics of the first 1 of 2 epochs, to the bit" in done.stdout
    edit(run, lambda e: e["epoch_digests"].__setitem__(0, "0"))
    spoilt = reproduce(run, "--epochs", "1")
    assert spoilt.returncode == 1
    assert "different, in the first 1 of 2 epochs" in spoilt.stdout
    assert "the weights differ from epoch 1 on" in spoilt.stdout


@pytest.mark.slow
def test_some_runs_of_a_study_are_checked(study: Study, tmp_path: Path) -> None:
    """And a difference in one of them is compared with the spread of its seeds."""
    copy = Path(shutil.copytree(study[0], tmp_path / "main"))
    done = reproduce(copy, "--sample", "5")
    assert done.returncode == 0, done.stderr
    assert "2 of 2 runs are identical" in done.stdout  # the others have diverged
    one = next(copy.glob("*lr0.05*-s0-*"))
    edit(one, lambda e: e.update(weights_sha256="0" * 64))
    spoilt = reproduce(one)
    assert spoilt.returncode == 1
    assert re.search(r"within the range of the study's 2 seeds \(.* %, sd .*\)", spoilt.stdout)


@pytest.mark.fault(77)
@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda r: (r / "record.json").unlink(), "record.json cannot be read"),
        (lambda r: edit(r, lambda e: e.update(state="DIVERGED")), "is DIVERGED and has no result"),
        (lambda r: (r / "config.yaml").write_text("nonsense: 1"), "nonsense is unknown"),
        (lambda r: (r / "config.yaml").unlink(), "config.yaml cannot be read"),
        (lambda r: (r / "config.yaml").write_text("a: [1"), "config.yaml cannot be read"),
    ],
)
def test_what_cannot_be_tried_is_one_sentence(tmp_path: Path, spoil: Any, sentence: str) -> None:
    run = tmp_path / "outputs" / "main" / "run"
    shutil.copytree(next(RELEASED.glob("*-s0-*")), run)
    spoil(run)
    with pytest.raises(ValueError, match=re.escape(sentence)) as caught:
        reproduce(run)
    assert "\n" not in str(caught.value)


@pytest.mark.fault(77)
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(changes=changes)
def test_whatever_a_record_says_it_is_compared_or_refused(
    changes: list[tuple[list[int], Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    run = tmp_path_factory.mktemp("odd") / "run"
    shutil.copytree(next(RELEASED.glob("*-s0-*")), run)
    value = json.loads((run / "record.json").read_text())
    for where, new in changes:
        value = changed(value, where, new)
    (run / "record.json").write_text(json.dumps(value), errors="surrogatepass")
    folder = RunFolder(run)
    try:
        record = folder.read()
        if record.has_result():
            before(folder, record, planned(run.parent).config, "x", choose_device("cpu"))
            row = dict.fromkeys(METRIC_COLUMNS, 0.1)
            assert after(folder, record, Again([row, row], ["a", "b"], "x", "y"))[0] == "different"
    except ValueError as error:
        assert str(run) in str(error)


@pytest.mark.fault(69)
def test_a_received_configuration_does_not_say_where_to_write(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run = tmp_path / "outputs" / "main" / "run"
    shutil.copytree(next(RELEASED.glob("*-s0-*")), run)
    config = run / "config.yaml"
    config.write_text(re.sub(r"cache: .*", f"cache: {tmp_path / 'theirs'}", config.read_text()))
    assert read_config(config).data.cache == str(tmp_path / "theirs")
    seen = []

    def load(data: Any, _: int) -> None:
        seen.append(data.cache)
        raise ValueError("enough")

    monkeypatch.setattr(reproduction.datasets, "load", load)
    with pytest.raises(ValueError, match="enough"):
        reproduction.reproduce(run, Conditions(), print)
    assert seen == [None]


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
    (line,) = compare([row, row], [row, row | {"test_loss": 0.2}])
    assert line == "test_loss: 0.1 then, 0.2 now, from epoch 0.1 on; at most 0.1 apart"
    assert compare([row, row], [row]) == ["2 epochs recorded, 1 trained"]


def test_differences_name_each_entry() -> None:
    then = {"threads": 1, "packages": {"torch": "2.10", "timm": "1"}, "gone": 1}
    now = {"threads": 2, "packages": {"torch": "2.11", "timm": "1"}}
    assert differences(then, now) == [
        "gone: 1 then, None now",
        "packages torch: 2.10 then, 2.11 now",
        "threads: 1 then, 2 now",
    ]


def test_what_changes_cuda_alone_is_recorded_there_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU, as far as a CPU can be taken for one."""
    for name in ("gpu", "device_name"):
        monkeypatch.setattr(environment, name, lambda _: "H100")
    trainer = planned(Path()).config.trainer
    now = environment.describe(torch.device("cuda"), trainer)
    assert differences(now | {"cuda_numerics": 0}, now) == ["cuda_numerics: 0 then, 1 now"]
    assert "cuda_numerics" not in environment.describe(torch.device("cpu"), trainer)


def git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    return subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A checkout of this code with a commit of its own, from which it seems to run."""
    top = tmp_path / "checkout"
    for name in ("ablate", "conf"):
        shutil.copytree(ROOT / name, top / name, ignore=shutil.ignore_patterns("__pycache__", "*.npz"))
    git(top.parent, "init", "-q", str(top))
    git(top, "add", "-A")
    git(top, "commit", "-qm", "as it was")
    monkeypatch.setattr(ablate, "__file__", str(top / "ablate" / "__init__.py"))
    yield top
    environment.code.cache_clear()
    environment.code_diff.cache_clear()


def code() -> dict[str, Any]:
    environment.code.cache_clear()
    environment.code_diff.cache_clear()
    return environment.code()


@pytest.mark.fault(51)
def test_uncommitted_code_is_kept_and_can_be_brought_back(checkout: Path, tmp_path: Path) -> None:
    clean = code()
    assert clean == {
        "version": ablate.__version__,
        "commit": git(checkout, "rev-parse", "HEAD").strip(),
        "dirty": False,
    }
    (checkout / "unrelated.txt").write_text("of no matter to training")
    assert code() == clean
    (checkout / "ablate" / "train.py").write_text("changed = 'ü'\n")
    (checkout / "ablate" / "new module.py").write_bytes(bytes(range(256)))
    (checkout / "conf" / "head" / "linear.yaml").unlink()
    git(checkout, "config", "color.ui", "always")  # what a user's git shows is not what is kept
    git(checkout, "config", "diff.noprefix", "true")
    dirty = code()
    assert dirty["dirty"] is True
    assert dirty["diff_sha256"] == hashlib.sha256(environment.code_diff()).hexdigest()
    (tmp_path / "code.diff").write_bytes(environment.code_diff())
    git(tmp_path, "clone", "-q", str(checkout), "back")
    git(tmp_path / "back", "checkout", "-q", dirty["commit"])
    git(tmp_path / "back", "apply", str(tmp_path / "code.diff"))
    for name in ("ablate/train.py", "ablate/new module.py"):
        assert (tmp_path / "back" / name).read_bytes() == (checkout / name).read_bytes()
    assert not (tmp_path / "back" / "conf" / "head" / "linear.yaml").exists()


def test_a_run_of_uncommitted_code_has_the_diff_in_its_folder(checkout: Path, tmp_path: Path) -> None:
    from tests.given import execute

    code()
    assert not execute(tmp_path / "clean")[1].diff.exists()
    (checkout / "ablate" / "new.py").write_text("print('new')\n")
    code()
    _, folder, entry = execute(tmp_path / "dirty")
    assert entry["environment"]["code"]["dirty"] is True
    assert b"+print('new')" in folder.diff.read_bytes()


@pytest.mark.fault(51)
def test_code_outside_a_checkout_has_no_commit_and_is_never_called_clean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "site-packages").mkdir()
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)  # somebody else's repository
    monkeypatch.setattr(ablate, "__file__", str(tmp_path / "site-packages" / "__init__.py"))
    assert code() == {"version": ablate.__version__, "commit": None, "dirty": None}

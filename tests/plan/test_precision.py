"""trainer.precision=auto: decided once, when a study is planned, and written into each run's own words."""

import os
from pathlib import Path

import pytest

from ablate.config.compose import config_folder
from ablate.plan import study_name
from ablate.plan.planned_run import Planned
from ablate.system import hardware
from tests.given import TINY, hydra_of, planned
from tests.plan.planning import plan, signatures, study_json


def machine(monkeypatch: pytest.MonkeyPatch, place: Path, *capabilities: str) -> None:
    """A machine whose driver names GPUs with these compute capabilities."""
    program = place / "bin" / "nvidia-smi"
    program.parent.mkdir(exist_ok=True)
    answers = "\n".join(capabilities)
    program.write_text(f"#!/bin/sh\ncase $1 in *compute_cap*) echo '{answers}';; *) echo 0;; esac\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")


def precisions(found: Planned) -> set[str]:
    """As the configuration, the words and the settings of the runs have it."""
    for run in found.runs:
        value = run.config.trainer.precision
        assert f"trainer.precision={value}" in run.overrides
        assert run.settings["trainer.precision"] == value == run.composed.trainer.precision
        assert run.identity["trainer"].get("precision", "fp32") == value
    return {run.config.trainer.precision for run in found.runs}


@pytest.mark.parametrize(
    ("capabilities", "words", "expected"),
    [
        (["9.0"], (), "bf16"), (["8.0", "8.6"], (), "bf16"), (["8.0", "7.5"], (), "fp32"), (["[N/A]"], (), "fp32"),
        ([], (), "fp32"), (["9.0"], ("trainer.device=cpu",), "fp32"), (["9.0"], ("trainer.device=cuda:0",), "bf16"),
        (["9.0"], ("trainer.precision=fp16",), "fp16"), (["9.0"], ("trainer.precision=auto",), "bf16"),
    ],
)  # fmt: skip
def test_it_is_what_the_gpus_have(
    capabilities: list[str], words: tuple[str, ...], expected: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if capabilities:
        machine(monkeypatch, tmp_path, *capabilities)
    assert precisions(plan(tmp_path, "optimizer=adam,sgd", *words)) == {expected}


def test_without_visible_gpus_it_is_fp32(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    machine(monkeypatch, tmp_path, "9.0")
    assert hardware.has_bf16()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert not hardware.has_bf16()


def test_on_a_cpu_nothing_is_renamed(tmp_path: Path) -> None:
    """The twin: bf16 is another experiment."""
    (run,) = plan(tmp_path, *TINY, "trainer.epochs=2", "batch_size=b32").runs
    assert run.identity["trainer"] == planned(tmp_path).identity["trainer"]
    assert run.label == planned(tmp_path).label
    assert planned(tmp_path, "trainer.precision=bf16").identity["trainer"] != run.identity["trainer"]


def test_in_a_study_that_exists_it_is_what_is_recorded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Named or not; and what a command says is obeyed."""
    for words in (("study.name=main",), ("study.name=auto",)):
        place = tmp_path / words[0].replace("=", "_")
        first = plan(place, "optimizer=adam,sgd", *words)
        with monkeypatch.context() as elsewhere:
            machine(elsewhere, tmp_path, "9.0")
            again = plan(place, "optimizer=adam,sgd", "seeds=2", *words)
            assert precisions(again) == {"fp32"}
            assert {run.config.study.name for run in again.runs} == {first.runs[0].config.study.name}
            assert {run.signature for run in first.runs} < {run.signature for run in again.runs}
            assert precisions(plan(tmp_path / f"new_{place.name}", "optimizer=adam,sgd", *words)) == {"bf16"}
        assert precisions(plan(tmp_path / f"new_{place.name}", "optimizer=adam,sgd", "seeds=2", *words)) == {"bf16"}
    with monkeypatch.context() as elsewhere:
        machine(elsewhere, tmp_path, "9.0")
        other = plan(tmp_path / "study.name_auto", "optimizer=adam,sgd", "trainer.precision=bf16", "study.name=auto")
    assert {run.config.study.name for run in other.runs} == {"optimizer-2"}
    assert "trainer.precision (fp32 there, bf16 here)" in study_name.settled(other).differs


def test_a_preset_given_again_on_a_gpu_adds_no_precision(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    words = ("study=strong", "data=embedded", "backbone.pretrained=false", "seeds=1")
    first = plan(tmp_path, *words)
    machine(monkeypatch, tmp_path, "9.0")
    assert signatures(plan(tmp_path, *words)) == signatures(first)
    assert precisions(plan(tmp_path / "new", *words)) == {"bf16"}


@pytest.mark.parametrize("preset", sorted(path.stem for path in (config_folder() / "study").glob("*.yaml")))
def test_every_preset_leaves_the_precision_to_the_study(preset: str) -> None:
    with hydra_of(f"study={preset}") as (_, master):
        assert master.trainer.precision == "auto"


def test_it_is_no_level_and_no_axis(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    machine(monkeypatch, tmp_path, "9.0")
    found = plan(tmp_path, "optimizer=adam,sgd")
    assert all("trainer.precision" not in run.levels for run in found.runs)
    assert [run.name.rpartition("-s0-")[0] for run in found.runs] == ["adam", "sgd"]
    assert list(study_json(tmp_path)["axes"]) == ["optimizer"]
    assert study_json(tmp_path)["constants"]["trainer.precision"] == "bf16"
    swept = plan(tmp_path / "swept", "trainer.precision=auto,fp32")
    assert swept.axes == {"trainer.precision": ["bf16", "fp32"]}


def test_the_recorded_command_plans_the_same_run_on_any_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with monkeypatch.context() as there:
        machine(there, tmp_path, "9.0")
        run = plan(tmp_path, "optimizer=adam,sgd").runs[0]
    words = run.command().split()[3:]
    assert "trainer.precision=bf16" in words
    (again,) = plan(tmp_path / "else", *(word for word in words if not word.startswith("study.root"))).runs
    assert again.signature == run.signature
    with hydra_of(*run.overrides) as (_, composed):  # as Hydra's own launchers compose it on a node
        assert composed.trainer.precision == "bf16"

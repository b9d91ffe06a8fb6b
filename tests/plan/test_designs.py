"""Studies of each design: what they hold, how they are added to, what they leave out."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from hydra.errors import HydraException

from ablate.config.compose import explain
from ablate.plan.planned_run import Planned
from tests.plan.planning import FIVE, SEVEN, plan, signatures, study_json


@pytest.mark.slow
def test_the_three_designs_of_seven_axes(tmp_path: Path) -> None:
    grid = plan(tmp_path / "g", *SEVEN, remembered=False)
    one = plan(tmp_path / "o", *SEVEN, "study.design=one_at_a_time", remembered=False)
    some = plan(tmp_path / "f", *SEVEN, "study.design=fractional")
    assert (len(grid.runs), len(one.runs), len(some.runs)) == (432, 11, 34)
    assert signatures(some) <= signatures(grid)
    study = study_json(tmp_path / "f")
    assert study["design"] == "fractional"
    assert set(study["aliases"]) == set(study["axes"]) == {word.partition("=")[0] for word in SEVEN}
    assert all(0 < strength < 1 for terms in study["aliases"].values() for strength in terms.values())


def test_a_fraction_whose_main_effects_are_clear_says_so(tmp_path: Path) -> None:
    plan(tmp_path, "optimizer=adam,sgd", "head=linear,mlp512", "study.design=fractional")
    assert study_json(tmp_path)["aliases"] == {"optimizer": "clear", "head": "clear"}


@pytest.mark.slow
def test_more_levels_and_seeds_add_to_a_fraction(tmp_path: Path) -> None:
    words = ("study.design=fractional", *FIVE)
    first = plan(tmp_path, *words)
    assert signatures(plan(tmp_path, *words)) == signatures(first)
    assert len(study_json(tmp_path)["amendments"]) == 1
    seeds = plan(tmp_path, *words, "seeds=2")
    assert signatures(first) < signatures(seeds)
    assert len(seeds.runs) == 2 * len(first.runs)
    wider = tuple(word.replace("lr=0.1", "lr=0.5,0.1") for word in words)
    more = plan(tmp_path, *wider)
    assert signatures(first) < signatures(more)
    assert len(first.runs) < len(more.runs) < 2 * len(first.runs)
    assert sorted(study_json(tmp_path)["axes"]["optimizer.lr"]) == ["0.1", "0.2", "0.3", "0.5"]
    # Its twin: without the plan on disk, another fraction is drawn.
    assert not signatures(first) <= signatures(plan(tmp_path / "elsewhere", *wider))


def test_a_fraction_is_not_taken_for_another_experiments(tmp_path: Path) -> None:
    """The same levels under another setting are other runs: they are no part of the fraction to be added to."""
    words = ("study.design=fractional", *FIVE)
    first = plan(tmp_path, *words)
    longer = plan(tmp_path, *words, "trainer.epochs=5")
    fresh = plan(tmp_path / "elsewhere", *words, "trainer.epochs=5")
    assert signatures(longer) == signatures(fresh)
    assert not signatures(longer) & signatures(first)


def test_the_command_of_a_run_of_a_fraction_plans_that_run_alone(tmp_path: Path) -> None:
    planned = plan(tmp_path, "study.design=fractional", "study.cells=14", *FIVE)
    assert len(planned.runs) == 14
    run = planned.runs[3]
    (alone,) = plan(tmp_path, *run.command().split()[3:], remembered=False).runs
    assert alone.signature == run.signature
    assert "cells" not in run.command()


def test_the_baseline_may_have_more_seeds(tmp_path: Path) -> None:
    words = ("study.design=one_at_a_time", "optimizer=adam,sgd", "head=linear,mlp512")
    planned = plan(tmp_path, *words, "seeds=2", "study.baseline_seeds=4")
    seeds = {json.dumps(c["levels"]): list(c["runs"]) for c in study_json(tmp_path)["cells"]}
    assert sorted(map(len, seeds.values())) == [2, 2, 4]
    assert len(planned.runs) == 8
    baseline = [run for run in planned.runs if run.config.seed == 3]
    assert [(r.levels["optimizer"], r.levels["head"]) for r in baseline] == [("adam", "linear")]
    (alone,) = plan(tmp_path, *baseline[0].command().split()[3:], remembered=False).runs
    assert alone.signature == baseline[0].signature


# -- what is left out ---------------------------------------------------------------------------


def pairs(planned: Planned) -> set[tuple[str, ...]]:
    return {(run.levels["optimizer"], run.levels["head"]) for run in planned.runs}


@pytest.mark.parametrize(
    ("entry", "left"),
    [
        ("optimizer=sgd head=mlp512", {("adam", "linear"), ("adam", "mlp512"), ("sgd", "linear")}),
        ("optimizer!=sgd head=mlp512", {("adam", "linear"), ("sgd", "linear"), ("sgd", "mlp512")}),
        ("head=mlp512", {("adam", "linear"), ("sgd", "linear")}),
    ],
)
def test_combinations_are_left_out_and_the_plan_says_so(tmp_path: Path, entry: str, left: set[tuple[str, ...]]) -> None:
    words = ("optimizer=adam,sgd", "head=linear,mlp512", f"study.exclude=['{entry}']")
    planned = plan(tmp_path, *words, "seeds=2")
    assert pairs(planned) == left
    assert planned.excluded == {entry: 4 - len(left)}
    assert study_json(tmp_path)["excluded"] == [entry]


def test_a_value_is_left_out_however_it_is_spelt(tmp_path: Path) -> None:
    planned = plan(
        tmp_path, "optimizer.lr=0.1,0.01", "head=linear,mlp512", "study.exclude=['optimizer.lr=1e-1 head=linear']"
    )
    assert {(r.config.optimizer.lr, r.levels["head"]) for r in planned.runs} == {
        (0.01, "linear"), (0.01, "mlp512"), (0.1, "mlp512"),
    }  # fmt: skip


@pytest.mark.slow
def test_a_fraction_and_a_study_around_a_baseline_leave_out_too(tmp_path: Path) -> None:
    entry = "study.exclude=['backbone=effnet_b0 batch_size=b128']"
    some = plan(tmp_path / "f", *SEVEN, "study.design=fractional", entry)
    assert not any(r.levels["backbone"] == "effnet_b0" and r.levels["batch_size"] == "b128" for r in some.runs)
    one = plan(tmp_path / "o", *SEVEN, "study.design=one_at_a_time", "study.exclude=['head=mlp512']")
    assert len(one.runs) == 10


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("study.exclude=['optimzer=sgd']",), "optimzer is unknown; did you mean optimizer?"),
        (("study.exclude=['optimizer=sgdd']",), "optimizer has no level sgdd; did you mean sgd?"),
        (("study.exclude=['optimizer.lr=0.1']",), "optimizer.lr is not named in this study"),
        (("optimizer.lr=1,2", "study.exclude=['optimizer.lr=3']"), "has no level 3 .optimizer.lr has 1, 2."),
        (("study.exclude=['sgd']",), "must be conditions as in"),
        (("study.exclude=['optimizer!=sgd','optimizer=sgd']",), "leaves out every combination"),
        (("study.design=one_at_a_time", "study.exclude=['optimizer=adam']"), "leaves out the baseline"),
        (("study.design=fractional", "head=linear,mlp512", "study.exclude=['head=mlp512']"), "cannot estimate the effect of head"),
        (("study.cells=5",), "study.design=fractional alone"),
        (("study.baseline_seeds=5",), "study.design=one_at_a_time alone"),
        (("study.design=one_at_a_time", "seeds=3", "study.baseline_seeds=2"), "fewer than the 3 seeds"),
        (("study.design=one_at_a_time", "seed=0,1", "study.baseline_seeds=4"), "goes with seeds=N"),
        (("study.design=fractionl",), "did you mean fractional"),
        (("study.invalid=run",), "known: refuse, skip"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_design_is_one_sentence(tmp_path: Path, words: Sequence[str], sentence: str) -> None:
    with pytest.raises((ValueError, HydraException)) as caught:
        plan(tmp_path, "optimizer=adam,sgd", *words)
    told = explain(caught.value)
    assert re.search(sentence, told), told
    assert not (tmp_path / "main").exists()


@pytest.mark.fault(30)
def test_invalid_combinations_are_named_and_can_be_skipped(tmp_path: Path) -> None:
    words = ("batch_size=32,64", "batch_size.micro=64", "head=linear,mlp512")  # 64 at once of a batch of 32
    with pytest.raises(ValueError, match=r"2 of 4 .*nothing was started: .*study\.invalid=skip runs the others"):
        plan(tmp_path, *words)
    planned = plan(tmp_path, *words, "study.invalid=skip")
    assert [(r.levels["batch_size"], r.levels["head"]) for r in planned.runs] == [("b64", "linear"), ("b64", "mlp512")]
    ((why, (count, example)),) = planned.invalid.items()
    assert why.startswith("batch_size.micro=64 must be")
    assert (count, example) == (2, "batch_size=b32 head=linear")
    # Left out by name they are no mistake at all.
    assert signatures(plan(tmp_path, *words, "study.exclude=['batch_size=b32']")) == signatures(planned)


@pytest.mark.parametrize("words", [(), ("study.design=one_at_a_time",), ("study.design=fractional",), ("seeds=2",)])
def test_an_invalid_combination_is_named_by_its_axes_alone(words: tuple[str, ...], tmp_path: Path) -> None:
    """Not by what all combinations share, as which the precision and the name of the study are that planning adds."""
    shared = ("batch_size.micro=64", "dry_run=true", "study.name=auto")
    with pytest.raises(ValueError, match=r"nothing was started: \[batch_size=b32 head=\w+\] batch_size\.micro=64 must"):
        plan(tmp_path, "batch_size=b64,b32", "head=linear,mlp512", *shared, *words)


def test_a_slip_of_the_pen_is_never_skipped(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="did you mean resnet50"):
        plan(tmp_path, "backbone=resnt50,resnet18", "study.invalid=skip")


@pytest.mark.slow
def test_an_invalid_combination_is_not_chosen_for_a_fraction_that_skips_them(tmp_path: Path) -> None:
    words = ("study.design=fractional", *FIVE, "batch_size.micro=auto,64")  # 64 at once of a batch of 32
    with pytest.raises(ValueError, match="combinations are invalid"):
        plan(tmp_path, *words)
    planned = plan(tmp_path, *words, "study.invalid=skip")
    assert {(r.config.batch_size.size, r.config.batch_size.micro) for r in planned.runs} == {
        (32, "auto"), (64, "auto"), (64, "64"),
    }  # fmt: skip
    tied = ("optimizer=adam,sgd", "optimizer.momentum=0.9,null", *FIVE[1:])  # momentum goes with sgd and with it alone
    with pytest.raises(ValueError, match=r"cannot estimate the effect of optimizer with optimizer\.momentum;"):
        plan(tmp_path, "study.design=fractional", *tied, "study.invalid=skip")

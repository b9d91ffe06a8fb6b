"""Designs: what each can tell, by its own model matrix; fractions that are added to and never redrawn."""

import itertools
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra.errors import HydraException
from omegaconf import OmegaConf
from test_merge import hydra_of

from ablate import fraction, ledger
from ablate.compose import explain
from ablate.fraction import Row
from ablate.planning import Planned, plan_study

SEVEN = (
    "backbone=resnet18,resnet34,effnet_b0", "optimizer=adam,sgd", "head=linear,mlp512,mlp1024", "batch_size=b64,b128",
    "augment=none,flip,strong", "weight_decay=none,wd1e-4", "scheduler=none,cosine",
)  # fmt: skip


FIVE = (
    "optimizer.lr=0.1,0.2,0.3", "head.dropout=0,0.1", "augment.crop=0,0.1,0.2", "batch_size.size=32,64",
    "weight_decay.value=0,0.1",
)  # fmt: skip


def anything(row: Row) -> bool:
    return True


def plan(root: Path, *words: str, remembered: bool = True) -> Planned:
    """Plan as the command does, and remember it."""
    words = (f"study.root={root}", *words)
    preset_words = [w for w in words if w.startswith(("study", "seeds"))]
    with hydra_of(*preset_words) as (loader, master):
        preset = [f"{k}={v}" for k, v in (OmegaConf.to_container(master.hydra.sweeper).get("params") or {}).items()]
        planned = plan_study(loader, master, preset, words)
        if remembered:
            ledger.remember(planned.runs, dict(master.hydra.runtime.choices), list(planned.excluded))
    return planned


def study_json(root: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((root / "main" / "study.json").read_text())
    return content


def signatures(planned: Planned) -> set[str]:
    return {run.signature for run in planned.runs}


# -- the mathematics of fractions ----------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [(2, 2), (2,) * 7, (3, 2, 3, 2, 3, 2, 2), (3,) * 7, (9, 2, 4, 4, 2)])
def test_a_fraction_tells_every_main_effect_nearly_as_well_as_a_balanced_design(sizes: tuple[int, ...]) -> None:
    rows = fraction.choose(sizes, [], anything, None)
    assert len(set(rows)) == len(rows) <= min(math.prod(sizes), 2 * (fraction.effects(sizes) + fraction.SPARE))
    assert fraction.not_estimable(sizes, rows) == []
    least = min(fraction.effects(sizes) + fraction.SPARE, math.prod(sizes))
    for axis, n in enumerate(sizes):
        worst = fraction.worst_variance(sizes, fraction.model(sizes, rows), axis)
        assert worst <= 2 * n / least / fraction.GOOD + 1e-9
    assert fraction.choose(sizes, [], anything, None) == rows  # nothing is drawn


def test_a_fraction_that_leaves_an_effect_out_is_found_out() -> None:
    rows = [(0, 0, 0), (1, 1, 0), (0, 0, 1), (1, 1, 1)]  # the first two always change together
    assert fraction.not_estimable((2, 2, 2), rows) == [0, 1]
    assert fraction.not_estimable((2, 2, 2), [*rows, (0, 1, 0)]) == []


def test_aliases_are_those_of_the_textbook() -> None:
    """2^(3-1) with C = AB (Box, Hunter and Hunter): each main effect is one two-way interaction; the full grid is clear."""
    half = [(a, b, 1 - (a ^ b)) for a, b in itertools.product((0, 1), repeat=2)]
    assert fraction.aliases((2, 2, 2), half) == [{(1, 2): 1.0}, {(0, 2): 1.0}, {(0, 1): 1.0}]
    assert fraction.aliases((2, 3, 2), list(itertools.product(range(2), range(3), range(2)))) == [{}, {}, {}]
    # 2^(4-1) with D = ABC is of resolution IV: clear of every two-way interaction.
    four = [(a, b, c, a ^ b ^ c) for a, b, c in itertools.product((0, 1), repeat=3)]
    assert fraction.aliases((2,) * 4, four) == [{}] * 4


def test_an_alias_is_the_bias_that_least_squares_shows() -> None:
    sizes = (2, 3, 2)
    rows = fraction.choose(sizes, [], anything, 7)
    index = np.array(rows)
    interaction = fraction.contrasts(2)[index[:, 0], 0] * fraction.contrasts(2)[index[:, 2], 0]
    fitted = np.linalg.lstsq(fraction.model(sizes, rows), interaction, rcond=None)[0]
    for axis in range(3):
        bias = float(np.linalg.norm(fitted[fraction.columns(sizes, axis)]))
        assert fraction.aliases(sizes, rows)[axis].get((0, 2), 0.0) == pytest.approx(bias, abs=0.005)


def test_levels_added_later_extend_the_fraction_and_keep_what_is_there() -> None:
    first = fraction.choose((3, 2, 3, 2, 2), [], anything, None)
    more = fraction.choose((4, 2, 3, 2, 2), first, anything, None)
    assert more[: len(first)] == first
    assert len(first) < len(more) < 2 * len(first)
    assert fraction.not_estimable((4, 2, 3, 2, 2), more) == []
    assert fraction.not_estimable((4, 2, 3, 2, 2), first) == [0]
    assert fraction.choose((4, 2, 3, 2, 2), more, anything, None) == more


def test_a_number_that_cannot_be_had_is_refused() -> None:
    with pytest.raises(ValueError, match=r"study\.cells=3 is too few.* 4 numbers"):
        fraction.choose((2, 2, 2), [], anything, 3)
    with pytest.raises(ValueError, match="more than the 7 combinations"):
        fraction.choose((2, 2, 2), [], lambda row: row != (0, 0, 0), 8)


def test_no_combination_that_does_not_fit_is_chosen() -> None:
    def fits(row: Row) -> bool:
        return row[:2] != (2, 1)

    assert all(fits(row) for row in fraction.choose((3, 2, 3, 2, 2), [], fits, None))
    assert not all(fits(row) for row in fraction.choose((3, 2, 3, 2, 2), [], anything, None))


# -- studies ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_three_designs_of_seven_axes(tmp_path: Path) -> None:
    grid = plan(tmp_path / "g", *SEVEN, remembered=False)
    one = plan(tmp_path / "o", *SEVEN, "study.design=one_at_a_time", remembered=False)
    some = plan(tmp_path / "f", *SEVEN, "study.design=fractional")
    assert (len(grid.runs), len(one.runs), len(some.runs)) == (432, 11, 17)
    assert signatures(some) <= signatures(grid)
    study = study_json(tmp_path / "f")
    assert study["design"] == "fractional"
    assert set(study["aliases"]) == set(study["axes"]) == {word.partition("=")[0] for word in SEVEN}
    assert all(0 < strength < 1 for terms in study["aliases"].values() for strength in terms.values())


def test_a_fraction_whose_main_effects_are_clear_says_so(tmp_path: Path) -> None:
    plan(tmp_path, "optimizer=adam,sgd", "head=linear,mlp512", "study.design=fractional")
    assert study_json(tmp_path)["aliases"] == {"optimizer": "clear", "head": "clear"}


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
        (("study.design=fractional", "head=linear,mlp512", "study.exclude=['head=mlp512']"), "cannot tell what head does"),
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


def test_invalid_combinations_are_named_and_can_be_skipped(tmp_path: Path) -> None:
    words = ("optimizer=adam,sgd", "optimizer.momentum=0.5", "head=linear,mlp512")
    with pytest.raises(ValueError, match=r"2 of 4 .*nothing was started: .*study\.invalid=skip runs the others"):
        plan(tmp_path, *words)
    planned = plan(tmp_path, *words, "study.invalid=skip")
    assert pairs(planned) == {("sgd", "linear"), ("sgd", "mlp512")}
    ((why, (count, example)),) = planned.invalid.items()
    assert "momentum is not read by optimizer.name=adam" in why
    assert (count, "optimizer=adam" in example) == (2, True)
    # Left out by name they are no mistake at all.
    assert pairs(plan(tmp_path, *words, "study.exclude=['optimizer=adam']")) == pairs(planned)


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
    with pytest.raises(ValueError, match=r"cannot tell what optimizer, optimizer\.momentum does"):
        plan(tmp_path, "study.design=fractional", *tied, "study.invalid=skip")

"""Equivalent configurations: each entry of the list gives the same bits, its neighbour does not, one run serves all."""

from pathlib import Path
from typing import Any

import pytest

from ablate.commands.sweep import unique
from ablate.config.signature import identity, signature
from ablate.plan.equivalent import plainest
from ablate.records.files import write_json
from ablate.records.record import State
from ablate.report.study import gather
from tests.given import TINY, config_of, python
from tests.plan.planning import plan, study_json
from tests.train.training import trained

SAME = [
    (("optimizer=adamw", "weight_decay=none"), ("optimizer=adam", "weight_decay=none")),
    (("weight_decay.value=0", "weight_decay.spare=true"), ("weight_decay=none",)),
    (("scheduler=plateau", "scheduler.patience=3"), ("scheduler=none",)),
    (("scheduler=plateau", "scheduler.patience=7", "scheduler.factor=0"), ("scheduler=none",)),
    (("scheduler=step", "scheduler.every=3"), ("scheduler=none",)),
    (("optimizer.lr_base_size=128",), ("optimizer.lr=0.0005",)),
    (("optimizer=sgd", "optimizer.lr_base_size=16"), ("optimizer=sgd", "optimizer.lr=0.1")),
]  # fmt: skip
DIFFERENT = [
    (("optimizer=adamw", "weight_decay=wd1e-2"), ("optimizer=adam", "weight_decay=wd1e-2")),
    (("weight_decay.value=0.1", "weight_decay.spare=true"), ("weight_decay.value=0.1",)),
    (("scheduler=step", "scheduler.every=2"), ("scheduler=none",)),
    (("optimizer=adamw", "optimizer.eps=1e-3"), ("optimizer=adam",)),
    (("optimizer.lr_base_size=128", "optimizer.lr_base_scale=linear"), ("optimizer.lr=0.0005",)),
]


def plain(*words: str) -> str:
    return signature(plainest(identity(config_of(*TINY, "batch_size=b32", "trainer.epochs=3", *words), "images")))


@pytest.mark.slow
@pytest.mark.parametrize(("one", "other"), SAME)
def test_what_is_listed_trains_to_the_same_bits(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    assert plain(*one) == plain(*other)
    epochs = ("trainer.epochs=3", "scheduler=none") if not any("scheduler" in w for w in one) else ("trainer.epochs=3",)
    assert trained(*distinct(epochs, one)) == trained(*distinct(epochs, other))


@pytest.mark.slow
@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_its_neighbours_are_not_listed_and_train_to_others(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    assert plain(*one) != plain(*other)
    assert trained(*distinct(("trainer.epochs=3",), one)) != trained(*distinct(("trainer.epochs=3",), other))


def distinct(some: tuple[str, ...], more: tuple[str, ...]) -> list[str]:
    """Words, the later of which replace the earlier of their key; the base of test_train has one epoch."""
    words = {word.partition("=")[0]: word for word in (*some, *more)}
    return list(words.values())


@pytest.mark.slow
def test_a_plateau_that_may_act_is_not_listed() -> None:
    """And where it does act, with a rate at which the holdout loss soon rises, it trains to other bits."""
    eager = ("scheduler=plateau", "scheduler.patience=0")
    assert plain(*eager) != plain("scheduler=none")
    assert plain("scheduler=plateau", "scheduler.patience=2") != plain("scheduler=none")
    rises = ("trainer.epochs=5", "optimizer=sgd", "optimizer.lr=0.5")
    assert trained(*distinct(rises, eager)) != trained(*distinct(rises, ("scheduler=none",)))


def test_the_plainest_configuration_is_its_own(tmp_path: Path) -> None:
    for words in (("optimizer=sgd",), ("scheduler=cosine",), ("weight_decay=wd5e-4_spare",), ()):
        whole = identity(config_of(*words), "images")
        assert plainest(whole) == whole
        assert plainest(plainest(whole)) == plainest(whole)


# -- in a study -------------------------------------------------------------------------------

FOUR = ("optimizer=adam,adamw", "weight_decay=none,wd1e-2")


def cells(root: Path) -> dict[tuple[str, str], dict[str, Any]]:
    return {(c["levels"]["optimizer"], c["levels"]["weight_decay"]): c for c in study_json(root)["cells"]}


def leave(run: Any, state: State = State.DONE) -> None:
    entry = {"state": state, "signature": run.signature, "levels": run.levels, "seed": run.config.seed, "metrics": {}}
    write_json(run.folder().record, entry | {"identity": run.identity})


def test_one_run_serves_equivalent_combinations_and_the_plan_says_which(tmp_path: Path) -> None:
    planned = plan(tmp_path, *FOUR)
    assert (len(planned.runs), len(unique(planned.runs))) == (4, 3)
    served, servant = (cells(tmp_path)[optimizer, "none"] for optimizer in ("adamw", "adam"))
    assert served["runs"] == servant["runs"]
    assert "own_signatures" not in servant
    alone = plan(tmp_path / "alone", "optimizer=adamw", "weight_decay=none").runs[0]
    assert served["own_signatures"] == {"0": alone.signature}
    assert alone.signature != served["runs"]["0"]
    (trained_run,) = [run for run in unique(planned.runs) if run.signature == servant["runs"]["0"]]
    assert (trained_run.levels["optimizer"], trained_run.config.optimizer.name) == ("adam", "adam")
    assert signature(trained_run.identity) == trained_run.signature


def test_what_is_done_serves_later_sweeps_and_what_has_a_record_stays(tmp_path: Path) -> None:
    first = plan(tmp_path, "optimizer=adamw", "weight_decay=none").runs[0]
    leave(first)
    later = plan(tmp_path, "optimizer=adam", "weight_decay=none").runs[0]
    assert (later.signature, later.folder().path.name) == (first.signature, f"{first.label}-{first.signature}")
    forced = plan(tmp_path, "optimizer=adam", "weight_decay=none", "force=true").runs[0]
    assert forced.signature == signature(forced.identity) != first.signature
    leave(forced)
    assert {run.signature for run in plan(tmp_path, *FOUR).runs} >= {first.signature, forced.signature}


def test_what_is_unfinished_elsewhere_serves_nobody(tmp_path: Path) -> None:
    first = plan(tmp_path, "optimizer=adamw", "weight_decay=none").runs[0]
    leave(first, State.INTERRUPTED)
    assert plan(tmp_path, "optimizer=adam", "weight_decay=none").runs[0].signature != first.signature


def test_a_place_named_in_other_words_never_has_two_runs(tmp_path: Path) -> None:
    """gather refuses such a plan, so planning again in other words must move all names of a place together."""
    plan(tmp_path, "optimizer=adamw", "weight_decay=none")
    plan(tmp_path, *FOUR, "optimizer.lr=0.001")  # served by adam from now on, under both names
    gather.load(tmp_path / "main")
    plan(tmp_path, "optimizer=adamw", "weight_decay=none", "trainer.epochs=3")  # alone again
    study = gather.load(tmp_path / "main")
    assert len(study.runs) == 4


def test_a_fraction_knows_its_combinations_that_are_served(tmp_path: Path) -> None:
    words = ("study.design=fractional", *FOUR, "head.dropout=0,0.1", "augment.crop=0,0.1", "batch_size.size=32,64")
    first = plan(tmp_path, *words)
    again = plan(tmp_path, *words)
    assert [run.levels for run in again.runs] == [run.levels for run in first.runs]
    assert len(study_json(tmp_path)["amendments"]) == 1


@pytest.mark.slow
def test_the_report_shows_every_combination_that_a_run_serves(tmp_path: Path) -> None:
    words = ("-m", "ablate", *TINY, *FOUR, "trainer.epochs=1", "batch_size=b256", "scheduler=none")
    done = python(*words, cwd=tmp_path)
    assert "1 more combinations are the same experiments under another name" in done.stdout
    assert len(list((tmp_path / "outputs" / "optimizer-weight_decay").glob("*/record.json"))) == 3
    study = gather.load(tmp_path / "outputs" / "optimizer-weight_decay")
    assert len(study.finished) == 4
    accuracy = study.finished.set_index(["optimizer", "weight_decay"])["test_accuracy"]
    assert accuracy["adam", "none"] == accuracy["adamw", "none"]
    assert "0 to train" in python(*words, cwd=tmp_path).stdout
    shown = python("-m", "report", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr

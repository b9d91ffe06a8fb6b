"""tune.KEY=…: what is tried, with which seeds, in which study, and what is refused."""

import json
from pathlib import Path

import pytest

from ablate.commands import tuning
from ablate.config.words import for_hydra
from ablate.plan import study_file, study_name
from ablate.plan.planned_run import Planned
from ablate.plan.tuning import space
from ablate.plan.tuning.space import Interval, Knob
from ablate.records import record, study_plan
from ablate.records.record import Record, State
from tests.plan.planning import plan

RATES = "tune.optimizer.lr=x0.1,x0.3,x1,x3"
BOTH = "optimizer=adam,sgd"


def tried(planned: Planned) -> dict[str, list[dict[str, str]]]:
    """{combination: the values tried}."""
    assert planned.search is not None
    return {one.name: one.trials for one in planned.search.combinations}


def rates(planned: Planned) -> dict[str, list[str]]:
    return {name: [values["optimizer.lr"] for values in trials] for name, trials in tried(planned).items()}


def finish(planned: Planned, scores: dict[str, float | None]) -> None:
    """Records of all tuning runs: the holdout's accuracy by the value of the learning rate; None diverged."""
    assert planned.search is not None
    for one in planned.search.combinations:
        for values, runs in zip(one.trials, one.runs, strict=True):
            for seed, run in runs.items():
                score = scores[values["optimizer.lr"]]
                metrics = {} if score is None else {"holdout_accuracy": score, "test_accuracy": 0.5}
                state = State.DIVERGED if score is None else State.DONE
                run.folder().path.mkdir(parents=True, exist_ok=True)
                record.write(run.folder().record, Record(state, run.signature, run.levels, seed, metrics))


def choose(planned: Planned) -> Planned:
    """As a sweep does between its phases."""
    assert planned.search is not None
    after = tuning.chosen(planned, planned.search)
    if after.runs:
        study_file.remember(after)
    return after


# -- what is tried ----------------------------------------------------------------------------


def test_multiples_are_of_each_levels_own_value(tmp_path: Path) -> None:
    planned = plan(tmp_path, BOTH, RATES, "seeds=3", "study.name=t")
    assert rates(planned) == {
        "optimizer=adam": ["0.0001", "0.0003", "0.001", "0.003"],
        "optimizer=sgd": ["0.005", "0.015", "0.05", "0.15"],  # in decimal: 0.05 times 0.3 is 0.015
    }
    fixed = plan(tmp_path, BOTH, "optimizer.lr=0.01", "tune.optimizer.lr=x0.1,x1", "study.name=f")
    assert rates(fixed) == {"optimizer=adam": ["0.001", "0.01"], "optimizer=sgd": ["0.001", "0.01"]}
    numbers = plan(tmp_path, "tune.batch_size=x0.5,x1,x3", "study.name=b")
    assert tried(numbers) == {"the only combination": [{"batch_size": b} for b in ("b32", "b64", "b192")]}


def test_several_keys_are_a_product_and_draws_are_the_same_for_all(tmp_path: Path) -> None:
    words = (BOTH, "tune.optimizer.lr=x1,x3", "tune.scheduler=none,cosine")
    assert tried(plan(tmp_path, *words, "study.name=p"))["optimizer=sgd"] == [
        {"optimizer.lr": "0.05", "scheduler": "none"}, {"optimizer.lr": "0.05", "scheduler": "cosine"},
        {"optimizer.lr": "0.15", "scheduler": "none"}, {"optimizer.lr": "0.15", "scheduler": "cosine"},
    ]  # fmt: skip
    drawn = tried(plan(tmp_path, *words, "study.trials=3", "study.name=d"))
    assert {name: [trial["scheduler"] for trial in trials] for name, trials in drawn.items()} == {
        name: [trial["scheduler"] for trial in drawn["optimizer=adam"]] for name in ("optimizer=adam", "optimizer=sgd")
    }
    assert [len(trials) for trials in drawn.values()] == [3, 3]


def test_an_interval_is_drawn_from_by_the_logarithm_where_it_is_wide(tmp_path: Path) -> None:
    words = (BOTH, "study.trials=5", "study.name=i")
    found = rates(plan(tmp_path, "tune.optimizer.lr=interval(1e-4,1e-1)", *words))
    assert found["optimizer=adam"] == found["optimizer=sgd"]
    assert len(set(found["optimizer=adam"])) == 5
    assert all(1e-4 <= float(rate) <= 1e-1 for rate in found["optimizer=adam"])
    assert min(map(float, found["optimizer=adam"])) < 0.01  # evenly, four of five draws would lie above 0.02
    for word, log in (("interval(0.1,0.9)", False), ("tag(log,interval(0.1,0.9))", True), ("interval(0.1,1)", True),
                      ("tag(uniform,interval(0.1,1))", False), ("interval(0,1)", False)):  # fmt: skip
        planned = plan(
            tmp_path, f"tune.optimizer.lr={word}", "study.trials=2", f"study.name=n{len(word)}", remembered=False
        )
        assert planned.search is not None
        interval = planned.search.asks[0].knob.interval
        assert interval is not None and interval.log is log, word
    knob = Knob("k", ("interval",), Interval(0.0001, 0.1, True))
    assert space.points([knob], 3) == space.points([knob], 5)[:3]  # more trials keep those that there were


def test_a_key_that_a_level_does_not_read_gets_no_trials_there(tmp_path: Path) -> None:
    found = tried(plan(tmp_path, BOTH, "tune.optimizer.lr=x1,x3", "tune.optimizer.momentum=0.8,0.9", "study.name=t"))
    assert [len(trials) for trials in found.values()] == [2, 4]
    alone = plan(tmp_path, BOTH, "tune.optimizer.momentum=0.8,0.9", "study.name=a")
    assert tried(alone)["optimizer=adam"] == []
    assert [run.is_open for run in alone.runs] == [False, True]  # nothing is to be chosen for adam


def test_a_levels_own_values_are_given_under_a_condition(tmp_path: Path) -> None:
    when = "study.when=[optimizer=adam: tune.optimizer.lr=1e-3,3e-3, optimizer=sgd: tune.optimizer.lr=0.05,0.1,0.2]"
    planned = plan(tmp_path, *for_hydra([BOTH, when, "study.name=w"]))
    assert rates(planned) == {"optimizer=adam": ["0.001", "0.003"], "optimizer=sgd": ["0.05", "0.1", "0.2"]}
    assert not planned.nested
    recorded = study_plan.read(tmp_path / "w").tuning
    assert recorded is not None
    assert recorded.space == {"optimizer.lr": ["optimizer=adam: 0.001,0.003", "optimizer=sgd: 0.05,0.1,0.2"]}


@pytest.mark.parametrize("design", ["grid", "one_at_a_time", "cumulative", "fractional"])
def test_every_combination_of_a_design_is_tuned(tmp_path: Path, design: str) -> None:
    words = (BOTH, "augment=none,flip", "scheduler=none,cosine", f"study.design={design}", "study.name=t")
    planned, plain = plan(tmp_path, *words, RATES), plan(tmp_path / "p", *words)
    assert planned.search is not None
    assert [one.named for one in planned.search.combinations] == [run.named for run in plain.runs]
    assert len(planned.search.runs) == 4 * len(plain.runs)
    assert planned.axes == plain.axes


def test_trials_that_are_one_experiment_are_trained_once(tmp_path: Path) -> None:
    planned = plan(tmp_path, "optimizer=adam,adamw", "weight_decay=none", RATES, "study.name=t")
    assert planned.search is not None
    assert len(planned.search.runs) == 8
    assert len({run.signature for run in planned.search.runs}) == 4  # they differ in how weights decay
    finish(planned, SCORES)
    assert [run.config.optimizer.lr for run in choose(planned).runs] == [0.001, 0.001]


def test_a_tuned_fraction_is_added_to(tmp_path: Path) -> None:
    words = (BOTH, "augment=none,flip,flip_crop", "scheduler=none,cosine", "head=linear,mlp256", RATES,
             "study.design=fractional", "study.name=t")  # fmt: skip
    planned = plan(tmp_path, *words)
    finish(planned, SCORES)
    choose(planned)
    more = plan(tmp_path, *words[:1], "augment=none,flip,flip_crop,color", *words[2:])
    assert planned.search is not None and more.search is not None
    before, after = ([one.named for one in found.search.combinations] for found in (planned, more) if found.search)
    assert all(named in after for named in before)
    assert {one.named["augment"] for one in more.search.waiting()} >= {"color"}


# -- seeds and names --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "tuning_seeds", "compared"),
    [
        (("seeds=3",), [0], [1, 2, 3]),
        (("seeds=2", "study.tune_seeds=3"), [0, 1, 2], [3, 4]),
        (("seed=0,2,3",), [1], [0, 2, 3]),
        (("seed=5",), [0], [5]),
        ((), [0], [1]),
    ],
)
def test_no_seed_that_is_compared_was_tuned_on(
    tmp_path: Path, words: tuple[str, ...], tuning_seeds: list[int], compared: list[int]
) -> None:
    planned = plan(tmp_path, BOTH, RATES, "study.name=t", *words)
    assert planned.search is not None
    assert {run.config.seed for run in planned.search.runs} == set(tuning_seeds) == set(planned.search.seeds)
    assert sorted({run.config.seed for run in planned.runs}) == compared


def test_a_study_keeps_its_tuning_seeds_when_seeds_are_added(tmp_path: Path) -> None:
    plan(tmp_path, BOTH, RATES, "seed=0,1", "study.name=t")  # tuned on 2
    more = plan(tmp_path, BOTH, RATES, "seeds=4", "study.name=t")
    assert sorted({run.config.seed for run in more.runs}) == [0, 1, 3, 4]
    with pytest.raises(ValueError, match="seeds 2 tuned on then, compared now"):
        plan(tmp_path, BOTH, RATES, "seed=1,2", "study.name=t")


def test_a_tuned_study_has_a_name_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert study_name.base_name(["optimizer", "backbone"], ["optimizer.lr"]) == "backbone-optimizer-tuned"
    assert study_name.base_name([], ["optimizer.lr"]) == "lr-tuned"
    plan(tmp_path, BOTH, "study.name=s")
    planned = plan(tmp_path, BOTH, RATES, "study.name=s")
    assert planned.runs[0].config.study.name == "s-tuned"
    assert {run.config.study.name for run in planned.search.runs} == {"s-tuned"} if planned.search else False
    assert "study s is not tuned, so this is a study of its own: s-tuned" in capsys.readouterr().out
    assert plan(tmp_path, BOTH, RATES, "study.name=s-tuned").runs[0].config.study.name == "s-tuned"
    with pytest.raises(ValueError, match=r"tuned in another way: tuning optimizer\.lr then, none now"):
        plan(tmp_path, BOTH, "seeds=2", "study.name=s-tuned")


def test_the_runs_of_an_untuned_study_are_its_tuning_runs(tmp_path: Path) -> None:
    before = plan(tmp_path, BOTH, "seeds=1", "study.name=s")
    after = plan(tmp_path, BOTH, RATES, "seeds=1", "study.name=s")
    assert after.search is not None
    assert {run.signature for run in before.runs} <= {run.signature for run in after.search.runs}


# -- choosing ---------------------------------------------------------------------------------

SCORES = {
    "0.0001": 0.1,
    "0.0003": 0.2,
    "0.001": 0.4,
    "0.003": 0.3,
    "0.005": 0.1,
    "0.015": 0.2,
    "0.05": None,
    "0.15": 0.3,
}


def test_what_is_chosen_is_recorded_and_kept(tmp_path: Path) -> None:
    words = (BOTH, RATES, "study.name=t")
    planned = plan(tmp_path, *words, "seeds=2")
    waiting = study_plan.read(tmp_path / "t")
    assert all(not cell.runs and not cell.tuned for cell in waiting.cells)
    assert waiting.axes == {"optimizer": ["adam", "sgd"]}
    finish(planned, SCORES)
    after = choose(planned)
    assert [run.label for run in after.runs] == ["adam-lr0.001-s1", "sgd-lr0.15-s1", "adam-lr0.001-s2", "sgd-lr0.15-s2"]
    cells = study_plan.read(tmp_path / "t").cells
    assert [cell.tuned for cell in cells] == [{"optimizer.lr": "0.001"}, {"optimizer.lr": "0.15"}]
    assert all("optimizer.lr" not in {**cell.named, **cell.levels} for cell in cells)
    finish(planned, SCORES | {"0.0001": 0.9})  # which changes nothing any more
    more = plan(tmp_path, *words, "seeds=3")
    assert more.search is not None and not more.search.waiting()
    assert {run.config.optimizer.lr for run in more.runs} == {0.001, 0.15}
    wider = plan(tmp_path, "optimizer=adam,sgd,adamw", RATES, "seeds=3", "study.name=t")
    assert wider.search is not None
    assert [one.name for one in wider.search.waiting()] == ["optimizer=adamw"]


def test_a_combination_without_a_result_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    planned = plan(tmp_path, BOTH, RATES, "seeds=2", "study.name=t")
    finish(planned, SCORES | dict.fromkeys(("0.005", "0.015", "0.05", "0.15")))
    after = choose(planned)
    assert {run.levels["optimizer"] for run in after.runs} == {"adam"}
    assert "left out: optimizer=sgd, as none of its 4 trials has a result" in capsys.readouterr().out


def test_a_combination_whose_trials_have_not_ended_waits(tmp_path: Path) -> None:
    planned = plan(tmp_path, BOTH, RATES, "seeds=2", "study.name=t")
    finish(planned, SCORES)
    assert planned.search is not None
    run = planned.search.combinations[1].every_run()[0]
    record.write(run.folder().record, Record(State.INTERRUPTED, run.signature, run.levels, 0, {}))
    assert {run.levels["optimizer"] for run in choose(planned).runs} == {"adam"}
    finish(planned, SCORES)
    assert {run.levels["optimizer"] for run in choose(planned).runs} == {"adam", "sgd"}


def test_less_is_better_where_the_metric_says_so(tmp_path: Path) -> None:
    planned = plan(tmp_path, BOTH, RATES, "study.name=t", "study.metric=test_loss", "study.delta=0.1")
    assert planned.search is not None
    for one in planned.search.combinations:
        for run in one.every_run():
            rate = run.config.optimizer.lr
            metrics = {"holdout_accuracy": rate, "test_accuracy": 0.5, "holdout_loss": rate}
            run.folder().path.mkdir(parents=True, exist_ok=True)
            record.write(run.folder().record, Record(State.DONE, run.signature, run.levels, 0, metrics))
    assert [run.config.optimizer.lr for run in choose(planned).runs] == [0.0001, 0.005]
    assert study_plan.read(tmp_path / "t").tuning == planned.search.record()


# -- what is refused --------------------------------------------------------------------------


def test_another_search_into_the_same_study_is_refused(tmp_path: Path) -> None:
    plan(tmp_path, BOTH, RATES, "study.name=t")
    with pytest.raises(ValueError, match=r"tuned in another way: trials of optimizer=adam .* study.name=NAME"):
        plan(tmp_path, BOTH, "tune.optimizer.lr=x1,x3", "study.name=t")
    with pytest.raises(ValueError, match="tuning seeds 0 then, 0, 1 now"):
        plan(tmp_path, BOTH, RATES, "study.tune_seeds=2", "study.name=t")


def test_another_value_in_the_same_combination_is_refused(tmp_path: Path) -> None:
    planned = plan(tmp_path, BOTH, RATES, "study.name=t")
    finish(planned, SCORES)
    choose(planned)
    path = tmp_path / "t" / "study.json"
    content = json.loads(path.read_text())
    content["cells"][0]["tuned"] = {"optimizer.lr": "0.003"}
    path.write_text(json.dumps(content))
    with pytest.raises(
        ValueError, match=r"the values of optimizer=adam optimizer\.lr=0\.003 then, optimizer\.lr=0\.001 now"
    ):
        study_file.remember(planned)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("optimizer.lr=0.1,0.2", RATES), "optimizer.lr is swept, and tune.optimizer.lr chooses it"),
        (("optimizer=adam,sgd", "tune.optimizer=adam,sgd"), "optimizer is swept, and tune.optimizer chooses it"),
        (("tune.seed=1,2",), "a seed is no choice"),
        (("tune.optimizer.lr=0.1",), "has one value, so there is nothing to choose; write optimizer.lr=0.1"),
        (("tune.optimizer.lr=choice(0.1)",), "has one value, so there is nothing to choose"),
        (("tune.scheduler=x0.1,x1",), "scheduler is no number, so it has no multiples"),
        (("optimizer=sgd", "tune.optimizer.nesterov=x1,x2"), "optimizer.nesterov is true here and no number"),
        (("tune.study.delta=0.1,0.2",), "does not change what is trained"),
        (("tune.data.holdout=0.1,0.2",), "the holdout that chooses is a part of the data"),
        (("tune.optimizer.lr=interval(0.1,1)",), "study.trials=N says how many to draw"),
        (("tune.optimizer.lr=interval(1,0.1)", "study.trials=2"), "begins with its low end"),
        (("tune.optimizer.lr=tag(log,interval(0,1))", "study.trials=2"), "takes positive numbers"),
        (("optimizer=adam", "tune.optimizer.momentum=0.8,0.9"), "optimizer.momentum is not read"),
        (("tune.optimizer.rate=0.1,0.2",), "optimizer.rate is unknown"),
    ],
)
def test_what_cannot_be_tuned_is_refused_in_a_sentence(tmp_path: Path, words: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        plan(tmp_path, *words, "study.name=t")


@pytest.mark.parametrize("word", ["tune.optimizer.lr=0.1", "tune.optimizer.rate=x1,x3", "tune=optimizer"])
def test_a_slip_is_answered_before_hydra_reads_it(word: str) -> None:
    with pytest.raises(ValueError, match=r"nothing to choose|is unknown|written in front"):
        for_hydra([word])
    assert for_hydra(["tune.batch_size=64,128", RATES]) == ["tune.batch_size=b64,b128", RATES]


def test_a_value_that_the_command_gives_is_not_tuned_by_its_preset(tmp_path: Path) -> None:
    """As the commands that reports print do, which name a tuned run of original_small."""
    words = ("study=original_small", "backbone=resnet10t", "seed=1")
    found = plan(tmp_path, *words, "optimizer.lr=0.001", "study.name=one")
    assert len(found.runs) == 1 and found.search is None and found.runs[0].config.optimizer.lr == 0.001
    # The twin: without it, the preset's four rates are tried.
    tuned = plan(tmp_path, *words, "study.name=four")
    assert tuned.search is not None and len(tuned.search.runs) == 4

"""Designs that people ask for, typed as they would type them: conditional levels, axes that move together, a baseline.

The threads are where each was asked for; their settings are translated to ours.
"""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from ablate.config.words import for_hydra
from ablate.plan.planned_run import Planned
from tests.plan.planning import plan, signatures, study_json

NESTED = {"optimizer.lr": ["optimizer"]}


def typed(root: Path, command: str, **more: Any) -> Planned:
    """Plan what a user types into bash."""
    return plan(root, *for_hydra(shlex.split(command)), **more)


def rows(planned: Planned) -> list[str]:
    """The combinations, as the levels of their axes, without what they do not read."""
    return [" ".join(levels[axis] for axis in planned.axes if levels[axis] != "n/a") for levels in planned.levels]


@pytest.mark.parametrize(("command", "combinations"), [
    # wandb#1487: a classifier's own parameters, in two levels of depth.
    ("head.hidden=[],[64] head.activation=relu,gelu head.dropout=0,0.1",
     "[] 0|[] 0.1|[64] 0 relu|[64] 0.1 relu|[64] 0 gelu|[64] 0.1 gelu"),
    # wandb#2853: each of two losses with a parameter of its own.
    ("scheduler=step,plateau scheduler.every=1,2 scheduler.patience=0,1 trainer.epochs=4",
     "step 1|step 2|plateau 0|plateau 1"),
    # wandb#3865: another batch size for one optimizer, as it does not fit.
    ("optimizer=sgd,adam batch_size=128 study.when=['optimizer=adam: batch_size=64']", "sgd|adam"),
    # wandb/examples#140, hydra#1052: SGD has a momentum and Adam none.
    ("optimizer=sgd,adam optimizer.momentum=0.8,0.9,0.95", "sgd 0.8|sgd 0.9|sgd 0.95|adam"),
    # optuna#372: learning rates that depend on the optimizer.
    ("optimizer=adam,sgd study.when=['optimizer=adam: optimizer.lr=1e-3,3e-3', 'optimizer=sgd: optimizer.lr=0.05,0.1']",
     "adam 0.001|adam 0.003|sgd 0.05|sgd 0.1"),
    # optuna#1671: one more level where another allows it.
    ("data.resolution=32,48 study.when=['data.resolution=48: backbone=resnet18,resnet34']",
     "resnet18 32|resnet18 48|resnet34 48"),
    # hydra#2888: one value for all levels, which some of them do not have.
    ("optimizer=adam,sgd optimizer.momentum=0.5", "adam|sgd"),
    # hydra#3047: each test set's own values of lambda.
    ("augment=flip,mixup study.when=['augment=flip: weight_decay.value=0,100', 'augment=mixup: weight_decay.value=0,1']",
     "flip 0|flip 100|mixup 0|mixup 1"),
    # A condition of several keys, another with !=, and one on a nested key.
    ("backbone=resnet18,resnet34 head=linear,mlp512 "
     "study.when=['backbone=resnet18 head!=linear: head.dropout=0.1,0.2', 'head.dropout=0.2: head.activation=relu,gelu']",
     "resnet18 linear 0|resnet18 mlp512 0.1 relu|resnet18 mlp512 0.2 relu|resnet18 mlp512 0.2 gelu|"
     "resnet34 linear 0|resnet34 mlp512 0 relu"),
])  # fmt: skip
def test_a_level_has_values_of_its_own(command: str, combinations: str, tmp_path: Path) -> None:
    planned = typed(tmp_path, command)
    assert sorted(rows(planned)) == sorted(combinations.split("|"))
    assert len(signatures(planned)) == len(planned.runs)
    assert typed(tmp_path, command).runs[0].record() is None  # the same command fits the study that it made
    assert len(study_json(tmp_path)["amendments"]) == 1
    words = planned.runs[-1].command().split(maxsplit=3)[3]
    assert signatures(typed(tmp_path, words, remembered=False)) == {planned.runs[-1].signature}


@pytest.mark.parametrize(("command", "axis", "levels"), [
    # hydra#1258: pairs of two keys.
    ("optimizer=adam,sgd scheduler=cosine,step study.zip=['optimizer scheduler']",
     "optimizer+scheduler", ["adam+cosine", "sgd+step"]),
    # hydra#1918, hydra#2625: n=5,10,15 with a=0.5,0.7,0.9.
    ("batch_size=32,64,128 optimizer.lr=0.5,0.7,0.9 study.zip=['batch_size optimizer.lr']",
     "batch_size+optimizer.lr", ["b32+0.5", "b64+0.7", "b128+0.9"]),
    # hydra#3082: train_dataset, test_dataset and a name, three at a time.
    ("backbone=resnet18,resnet34 head=linear,mlp512 data.resolution=32,48 study.zip=['backbone head data.resolution']",
     "backbone+head+data.resolution", ["resnet18+linear+32", "resnet34+mlp512+48"]),
    # wandb#3482: each loss with its number of epochs.
    ("augment=none,flip,strong trainer.epochs=100,200,300 study.zip='augment trainer.epochs'",
     "augment+trainer.epochs", ["none+100", "flip+200", "strong+300"]),
    ("optimizer.lr=0.1,0.2 weight_decay.value=0.01,0.02 study.zip=[optimizer.lr,weight_decay.value]",
     "optimizer.lr+weight_decay.value", ["0.1+0.01", "0.2+0.02"]),
])  # fmt: skip
def test_axes_move_together(command: str, axis: str, levels: list[str], tmp_path: Path) -> None:
    planned = typed(tmp_path, f"{command} seeds=2")
    study = study_json(tmp_path)
    assert study["axes"] == {axis: levels}
    assert study["zipped"] == [axis.split("+")]
    assert len(planned.runs) == 2 * len(levels)
    assert not {*axis.split("+")} - study["cells"][0]["named"].keys()


def test_what_moves_together_multiplies_the_rest(tmp_path: Path) -> None:
    """hydra#2851: two products one after the other are two commands, or two conditions."""
    words = "optimizer.lr=0.1,0.2 weight_decay.value=0.01,0.02 study.zip=['optimizer.lr weight_decay.value']"
    assert len(typed(tmp_path, f"{words} head=linear,mlp512").runs) == 4
    more = ("optimizer=adam,sgd study.zip=['optimizer.lr weight_decay.value'] study.when=["
            "'optimizer=adam: optimizer.lr=1e-3,3e-3 weight_decay.value=0,0.1', "
            "'optimizer=sgd: optimizer.lr=0.05,0.1,0.2 weight_decay.value=0,0.1,0.2']")  # fmt: skip
    assert len(typed(tmp_path / "more", more).runs) == 5


@pytest.mark.parametrize(("command", "sentence"), [
    ("optimizer=adam optimizer.momentum=0.8,0.9", "momentum is not read by optimizer.name=adam"),
    ("optimizer=adam,sgd study.when=['optimizer=adamw: optimizer.lr=1,2']", "never holds"),
    ("optimizer=adam,sgd study.when=['optimizer=adma: optimizer.lr=1,2']", "has no level adma; did you mean adam"),
    ("optimizer=adam,sgd study.when=['optimizer=adam: optimizer.lrr=1,2']", "did you mean optimizer.lr"),
    ("optimizer=adam,sgd study.when=['optimizer=adam: seed=1,2']", "belongs to the whole study"),
    ("optimizer=adam,sgd study.when=['optimizer=adam']", "must be conditions, a colon"),
    ("optimizer=adam,sgd optimizer.lr=1,2 study.when=['optimizer=adam: optimizer.lr=3,4']", "keep one of them"),
    ("optimizer=adam,sgd study.when=['optimizer=adam: optimizer.lr=1,2', 'optimizer!=sgd: optimizer.lr=3']", "both vary"),
    ("study.when=['optimizer.lr=0.1: head=linear,mlp512', 'head=linear: optimizer.lr=0.1,0.2']", "depends on itself"),
    ("optimizer.lr=1,2 weight_decay.value=1,2,3 study.zip=['optimizer.lr weight_decay.value']", "needs equally many"),
    ("optimizer.lr=1,2 study.zip=['optimizer.lr weight_decay.value']", "weight_decay.value has no levels in this study"),
    ("optimizer.lr=1,2 study.zip=['optimizer.lr']", "must be the keys that move together"),
    ("augment=none,flip study.baseline='augment=strong'", "has no level strong in this study"),
    ("augment=none,flip study.baseline='head=linear'", "head is not varied in this study"),
    ("augment=none,flip study.baseline='augmnt=none'", "did you mean augment"),
    ("augment=none,flip study.baseline=none", "must be KEY=LEVEL"),
])  # fmt: skip
def test_what_cannot_be_meant_is_one_sentence(command: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\w") as caught:
        typed(tmp_path, command)
    assert sentence in str(caught.value)
    assert not (tmp_path / "main").exists()


def test_a_level_that_does_not_read_an_axis_says_so(tmp_path: Path) -> None:
    planned = typed(tmp_path, "optimizer=adam,sgd optimizer.momentum=0.8,0.9")
    assert planned.unread == ["optimizer.momentum is not read with optimizer=adam and is left out there"]
    assert [run.label for run in planned.runs] == ["adam-s0", "sgd-momentum0.8-s0", "sgd-momentum0.9-s0"]
    study = study_json(tmp_path)
    assert study["axes"] == {"optimizer": ["adam", "sgd"], "optimizer.momentum": ["0.8", "0.9"]}
    assert study["nested"] == {"optimizer.momentum": ["optimizer"]}
    assert [cell["levels"]["optimizer.momentum"] for cell in study["cells"]] == ["n/a", "0.8", "0.9"]
    # More levels of it, and seeds, add to the same combinations.
    typed(tmp_path, "optimizer=adam,sgd optimizer.momentum=0.9,0.95 seeds=2")
    study = study_json(tmp_path)
    assert [list(cell["runs"]) for cell in study["cells"]] == [["0", "1"], ["0"], ["0", "1"], ["0", "1"]]


def test_a_plain_study_has_nothing_of_it(tmp_path: Path) -> None:
    typed(tmp_path, "optimizer=adam,sgd head=linear,mlp512 study.design=one_at_a_time")
    study = study_json(tmp_path)
    assert not {"nested", "follows", "zipped", "question", "asked"} & study.keys()
    assert not any("unread" in cell for cell in study["cells"])


@pytest.mark.parametrize("commands", [
    ("optimizer=adam,sgd study.when=['optimizer=adam: optimizer.lr=1e-3,3e-3', 'optimizer=sgd: optimizer.lr=0.05,0.1']",),
    ("optimizer=adam optimizer.lr=1e-3,3e-3", "optimizer=sgd optimizer.lr=0.05,0.1"),
])  # fmt: skip
def test_each_optimizer_with_its_own_learning_rates_is_nested(commands: tuple[str, ...], tmp_path: Path) -> None:
    for command in commands:
        typed(tmp_path, f"{command} seeds=3")
    study = study_json(tmp_path)
    assert study["nested"] == NESTED
    assert study["axes"]["optimizer.lr"] == ["0.001", "0.003", "0.05", "0.1"]
    # Its twin: with a value in common they are crossed, though not completely.
    typed(tmp_path / "twin", "optimizer=adam optimizer.lr=1e-3,3e-3")
    typed(tmp_path / "twin", "optimizer=sgd optimizer.lr=3e-3,0.1")
    assert "nested" not in study_json(tmp_path / "twin")


def test_one_value_for_each_level_is_no_axis(tmp_path: Path) -> None:
    typed(
        tmp_path,
        "optimizer=adam,sgd study.when=['optimizer=adam: optimizer.lr=2e-3','optimizer=sgd: optimizer.lr=0.2']",
    )
    study = study_json(tmp_path)
    assert study["axes"] == {"optimizer": ["adam", "sgd"]}
    assert study["follows"] == NESTED
    assert [cell["settings"]["optimizer.lr"] for cell in study["cells"]] == ["0.002", "0.2"]


def test_designs_take_a_nested_axis_as_part_of_the_one_it_is_in(tmp_path: Path) -> None:
    words = "optimizer=adam,sgd optimizer.momentum=0.8,0.9 augment=none,flip"
    around = typed(tmp_path / "around", f"{words} study.design=one_at_a_time")
    assert rows(around) == ["adam flip", "sgd flip 0.8", "sgd flip 0.9", "adam none"]
    some = typed(
        tmp_path / "some", f"{words} head=linear,mlp512 batch_size=32,64 study.design=fractional study.cells=12"
    )
    assert len(some.runs) == 12
    aliases = study_json(tmp_path / "some")["aliases"]
    assert aliases["optimizer"] == aliases["optimizer.momentum"]
    assert signatures(typed(tmp_path / "some", f"{words} head=linear,mlp512 batch_size=32,64 study.design=fractional "
                            "study.cells=12 seeds=2")) > signatures(some)  # fmt: skip
    assert some.at is not None
    assert [run.levels["optimizer"] for run in some.at({"optimizer": "adam", "optimizer.momentum": "n/a"})] == ["adam"]


def test_leave_one_out_from_the_full_method(tmp_path: Path) -> None:
    full = "study.design=one_at_a_time study.baseline='augment=flip trainer.ema=0.99'"
    planned = typed(tmp_path, f"augment=none,flip trainer.ema=0,0.99 {full}")
    assert rows(planned) == ["flip 0.99", "none 0.99", "flip 0"]
    baseline = study_json(tmp_path)["baseline"]
    assert (baseline["augment"], baseline["trainer.ema"], baseline["optimizer"]) == ("flip", "0.99", "adam")
    # Its levels need not be named again.
    assert rows(typed(tmp_path / "short", f"augment=none trainer.ema=0 {full}")) == rows(planned)
    grid = typed(tmp_path / "grid", "augment=none,flip trainer.ema=0,0.99 study.baseline='trainer.ema=0.99'")
    assert len(grid.runs) == 4
    assert study_json(tmp_path / "grid")["baseline"]["trainer.ema"] == "0.99"


def test_components_are_added_in_the_order_given(tmp_path: Path) -> None:
    planned = typed(tmp_path, "trainer.ema=0,0.99 augment=none,flip,strong optimizer=adam,sgd study.design=cumulative")
    assert rows(planned) == ["0 none adam", "0.99 none adam", "0.99 flip adam", "0.99 strong adam", "0.99 strong sgd"]
    study = study_json(tmp_path)
    assert list(study["axes"]) == ["trainer.ema", "augment", "optimizer"]
    assert {axis: study["baseline"][axis] for axis in study["axes"]} == {
        "trainer.ema": "0", "augment": "none", "optimizer": "adam",
    }  # fmt: skip
    other = typed(tmp_path / "other", "augment=none,flip trainer.ema=0,0.99 study.design=cumulative "
                  "study.baseline='augment=flip'")  # fmt: skip
    assert rows(other) == ["flip 0", "none 0", "none 0.99"]


def test_a_question_is_kept_with_its_date(tmp_path: Path) -> None:
    question = "Does it help? (yes, I think: 'mostly')"
    typed(tmp_path, f"optimizer=adam,sgd study.question={shlex.quote(question)}")
    first = study_json(tmp_path)
    assert first["question"] == question
    assert first["asked"].startswith("20")
    typed(tmp_path, "optimizer=adam,sgd study.question='Which one?'")
    study = study_json(tmp_path)
    assert (study["question"], study["asked"]) == ("Which one?", first["asked"])
    assert study["amendments"][-1]["changes"] == {"study.question": question}


def test_a_users_recipe_is_one_axis(tmp_path: Path) -> None:
    """A file that sets keys of several groups, in a group of its own and as a level of one that there is."""
    (tmp_path / "conf" / "recipe").mkdir(parents=True)
    (tmp_path / "conf" / "optimizer").mkdir()
    strong = "# @package _global_\ndefaults:\n  - override /optimizer: sgd\ntrainer:\n  ema: 0.99\n"
    (tmp_path / "conf" / "recipe" / "strong.yaml").write_text(strong)
    (tmp_path / "conf" / "recipe" / "plain.yaml").write_text("# @package _global_\noptimizer:\n  lr: 0.01\n")
    mine = "# @package _global_\noptimizer:\n  name: sgd\n  lr: 0.2\n  momentum: 0.9\n  nesterov: true\nweight_decay:\n  value: 0.05\n"
    (tmp_path / "conf" / "optimizer" / "mine.yaml").write_text(mine)
    own = f"hydra.searchpath=[file://{tmp_path / 'conf'},levels://]"
    for name, words, axes in [
        (
            "a",
            ["+recipe=plain,strong", "head=linear,mlp512"],
            {"recipe": ["plain", "strong"], "head": ["linear", "mlp512"]},
        ),
        ("b", ["optimizer=adam,mine"], {"optimizer": ["adam", "mine"]}),
    ]:
        for _ in range(2):  # the same command fits the study that it made
            planned = plan(tmp_path / name, own, *words)
        study = study_json(tmp_path / name)
        assert {axis: study["axes"][axis] for axis in axes} == study["axes"] == axes
        assert len(study["amendments"]) == 1
        assert len(signatures(planned)) == len(planned.runs) == len(study["cells"])
    # Its twin: a recipe that has been edited is another experiment under the same name.
    (tmp_path / "conf" / "recipe" / "strong.yaml").write_text(strong.replace("0.99", "0.9"))
    with pytest.raises(ValueError, match=r"already holds another experiment .*trainer\.ema"):
        plan(tmp_path / "a", own, "+recipe=plain,strong", "head=linear,mlp512")


def test_a_condition_of_a_preset_gives_way_to_the_command(tmp_path: Path) -> None:
    (tmp_path / "conf" / "study").mkdir(parents=True)
    (tmp_path / "conf" / "study" / "mine.yaml").write_text(
        "# @package _global_\nstudy:\n  name: mine\n  when:\n    - 'optimizer=adam: optimizer.lr=1e-3,3e-3'\n"
        "    - 'optimizer=sgd: optimizer.lr=0.05,0.1'\nhydra:\n  sweeper:\n    params:\n      optimizer: adam,sgd\n"
        "      optimizer.momentum: 0.8,0.9\n"
    )
    own = f"hydra.searchpath=[file://{tmp_path / 'conf'},levels://]"
    assert len(plan(tmp_path, own, "study=mine", remembered=False).runs) == 6
    assert len(plan(tmp_path, own, "study=mine", "optimizer=adam", remembered=False).runs) == 2
    (one,) = plan(tmp_path, own, "study=mine", "optimizer=adam", "optimizer.lr=0.1", remembered=False).runs
    assert json.loads(json.dumps(one.levels))["optimizer.lr"] == "0.1"

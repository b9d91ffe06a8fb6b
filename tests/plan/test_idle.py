"""Levels without an effect are named before training, once each, and nothing is refused for it."""

from pathlib import Path

import pytest

from ablate.commands.sweep import announce, missing
from ablate.config.budget import Budget
from ablate.plan import idle
from ablate.train.optim import Schedule
from tests.given import config_of
from tests.plan.planning import plan

torch = pytest.importorskip("torch")


def rates(word: str, epochs: int, steps: int) -> list[float]:
    """The learning rate that each step is trained with, where the holdout's loss never falls again."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = Schedule(config_of(f"scheduler={word}").scheduler, optimizer, epochs * steps)
    seen = []
    for _ in range(epochs):
        for _ in range(steps):
            seen.append(schedule.lr)
            optimizer.step()
            schedule.after_step()
        schedule.after_epoch(1.0)
    return seen


def settings(word: str) -> dict[str, str]:
    config = config_of(f"scheduler={word}").scheduler
    read = {name: getattr(config, name) for name in ("name", "patience", "every", "warmup")}
    return {name: "null" if value is None else str(value) for name, value in read.items()}


@pytest.mark.parametrize("epochs", [1, 2, 3, 4, 5, 30, 31])
@pytest.mark.parametrize("word", ["plateau", "plateau_eager", "step"])
def test_it_is_said_exactly_where_the_rate_never_falls(word: str, epochs: int) -> None:
    why = idle.never_acts(settings(word), Budget(2 * epochs, 2))
    assert bool(why) == (len(set(rates(word, epochs, 2))) == 1)
    assert not why or f"in {epochs} epoch" in why


@pytest.mark.parametrize("steps", [1, 5, 10, 29, 30, 31, 60])
def test_it_is_said_exactly_where_nothing_warms_up(steps: int) -> None:
    why = idle.never_acts(settings("warmup"), Budget(steps, steps))
    assert bool(why) == (len(set(rates("warmup", 1, steps))) == 1)
    for other in ("cosine", "none"):
        assert idle.never_acts(settings(other), Budget(steps, steps)) == ""


def test_a_warm_up_that_never_ends_is_named() -> None:
    always = settings("warmup_cosine") | {"warmup": "1"}
    assert "warms up in all 10 steps" in idle.never_acts(always, Budget(10, 10))


def test_the_plan_says_it_once_per_level(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    planned = plan(tmp_path, "scheduler=plateau,step,none,cosine", "optimizer=adam,sgd", "seeds=2", remembered=False)
    lines = idle.sentences(planned)
    assert [line.split()[0] for line in lines] == [
        "scheduler=plateau",
        "scheduler=step",
    ]  # none serves them, and acts not
    assert "scheduler.patience=0 or trainer.epochs=5 or more" in lines[0]
    assert "scheduler.every=1 or trainer.epochs=31 or more" in lines[1]
    announce(planned, missing(planned), elsewhere=False)
    assert f"  {lines[0]}\n  {lines[1]}\n" in capsys.readouterr().out


def test_what_helps_helps(tmp_path: Path) -> None:
    assert not idle.sentences(plan(tmp_path, "scheduler=plateau", "scheduler.patience=0", remembered=False))
    assert not idle.sentences(plan(tmp_path, "scheduler=plateau", "trainer.epochs=5", remembered=False))
    assert not idle.sentences(plan(tmp_path, "scheduler=step", "scheduler.every=1", remembered=False))


def test_a_tag_without_pretrained_weights_is_named(tmp_path: Path) -> None:
    (line,) = idle.sentences(plan(tmp_path, "backbone=resnet18.a1_in1k", remembered=False))
    assert line.startswith(
        "backbone=resnet18.a1_in1k names pretrained weights and starts from scratch, as resnet18 does"
    )
    assert not idle.sentences(plan(tmp_path, "backbone=resnet18.a1_in1k", "backbone.pretrained=true", remembered=False))

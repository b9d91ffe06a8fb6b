"""Optimizers and schedules do what their names say."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ablate.config.axes import BackboneConfig, HeadConfig, WeightDecayConfig
from ablate.train.model import build
from ablate.train.optim import Average, Schedule, all_finite, backbone_lr_scales, build_optimizer
from tests.given import config_of


def rates(level: str, losses: list[float], steps: int = 5, **settings: object) -> list[float]:
    """The learning rate of every step, one epoch per holdout loss."""
    config = config_of(f"scheduler={level}", *(f"scheduler.{k}={v}" for k, v in settings.items())).scheduler
    parameter = nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    schedule = Schedule(config, optimizer, len(losses) * steps)
    used = []
    for loss in losses:
        for _ in range(steps):
            used.append(schedule.lr)
            optimizer.step()
            schedule.after_step()
        schedule.after_epoch(loss)
    return used


def test_none_is_constant() -> None:
    assert rates("none", [1.0] * 3) == [1.0] * 15


def test_cosine_falls_from_the_learning_rate_to_zero() -> None:
    used = rates("cosine", [1.0] * 4)
    assert used[0] == 1.0
    assert used == sorted(used, reverse=True)
    assert used[10] == pytest.approx(0.5)
    assert used[-1] < 0.01


def test_one_cycle_peaks_at_the_learning_rate_and_ends_near_zero() -> None:
    used = rates("one_cycle", [1.0] * 4)
    assert 0.95 < max(used) <= 1.0
    assert used.index(max(used)) in (5, 6)  # 0.3 of 20 steps
    assert used[0] < 0.05
    assert used[-1] < 0.02


def test_step_multiplies_after_every_so_many_epochs() -> None:
    assert rates("step", [1.0] * 4, steps=1, every=2, factor=0.1) == pytest.approx([1, 1, 0.1, 0.1])


def test_plateau_follows_the_holdout_loss() -> None:
    falling = rates("plateau", [5.0, 4.0, 3.0, 2.0, 1.0, 0.5], steps=1)
    stuck = rates("plateau", [1.0] * 6, steps=1)
    assert falling == [1.0] * 6
    assert stuck == [1.0, 1.0, 1.0, 1.0, 0.5, 0.5]  # patience 2: acts after the third epoch without progress


@pytest.mark.parametrize(("level", "expected"), [("sgd", 1 - 0.1 * 0.5), ("adamw", 1 - 0.1 * 0.5), ("adam", 1 - 0.1)])
def test_weight_decay_is_what_the_optimizer_makes_of_it(level: str, expected: float) -> None:
    """With no gradient: sgd and adamw shrink by lr * decay, adam takes the penalty for a gradient."""
    overrides = ["optimizer.momentum=0", "optimizer.nesterov=false"] if level == "sgd" else []
    config = config_of(f"optimizer={level}", "optimizer.lr=0.1", *overrides).optimizer
    model = nn.ModuleDict({"backbone": nn.Identity(), "head": nn.Linear(1, 1, bias=False)})
    weight = model.head.weight
    nn.init.ones_(weight)
    optimizer = build_optimizer(config, WeightDecayConfig(0.5), model, BackboneConfig(name="none"))
    weight.grad = torch.zeros_like(weight)
    optimizer.step()
    assert weight.item() == pytest.approx(expected, abs=1e-6)


def test_warmup_rises_in_even_steps_to_the_learning_rate() -> None:
    used = rates("warmup", [1.0] * 4, warmup=0.2)
    assert used[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert used[4:] == [1.0] * 16
    falling = rates("warmup_cosine", [1.0] * 4, warmup=0.2)
    assert falling[:5] == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])
    assert falling[12] == pytest.approx(0.5)
    assert falling[4:] == sorted(falling[4:], reverse=True)
    assert 0 < falling[-1] < 0.02


def groups(spare: bool, **backbone: Any) -> list[tuple[float, float, int]]:
    """(learning rate, weight decay, number of values) of each parameter group."""
    settings = BackboneConfig(name="test_resnet", **backbone)
    model = build(settings, HeadConfig(), 10, 0)
    config = config_of("optimizer=sgd", "optimizer.lr=0.5").optimizer
    optimizer = build_optimizer(config, WeightDecayConfig(0.1, spare=spare), model, settings)
    return [(g["lr"], g["weight_decay"], sum(p.numel() for p in g["params"])) for g in optimizer.param_groups]


def test_learning_rates_and_decay_can_differ_between_parts() -> None:
    model = build(BackboneConfig(name="test_resnet"), HeadConfig(), 10, 0)
    head = sum(p.numel() for p in model.head.parameters())
    body = sum(p.numel() for p in model.backbone.parameters())
    flat = sum(p.numel() for p in model.parameters() if p.ndim == 1)
    assert groups(spare=False, lr_scale=1.0) == [(0.5, 0.1, body + head)]
    assert groups(spare=False, lr_scale=0.1) == [(0.05, 0.1, body), (0.5, 0.1, head)]
    assert groups(spare=True, lr_scale=1.0) == [(0.5, 0.1, body + head - flat), (0.5, 0.0, flat)]
    assert groups(spare=False, lr_scale=1.0, freeze=True) == [(0.5, 0.1, head)]
    assert len(groups(spare=True, lr_scale=0.1)) == 4
    assert groups(spare=True, lr_scale=0.1)[-1] == (0.5, 0.0, 10)  # whose rate is the one that is shown


def test_learning_rates_fall_with_depth_stage_by_stage() -> None:
    """The head's rate, then half of it per stage down to the stem; by hand from the network's own parts."""
    settings = BackboneConfig(name="test_resnet", lr_scale=0.2, lr_decay=0.5)
    scales = backbone_lr_scales(build(settings, HeadConfig(), 10, 0).backbone, settings)
    expected = {"layer4": 0.1, "layer3": 0.05, "layer2": 0.025, "layer1": 0.0125, "conv1": 0.00625, "bn1": 0.00625}
    for name, scale in scales.items():
        assert scale == pytest.approx(expected[name.partition(".")[0]])
    assert sorted({lr for lr, _, _ in groups(spare=False, lr_scale=0.2, lr_decay=0.5)}) == pytest.approx(
        [0.5 * scale for scale in sorted(set(expected.values()))] + [0.5]
    )


def test_the_moving_average_has_the_bits_of_pytorchs_and_its_state() -> None:
    network = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8))
    ours = Average(network, 0.9)
    pytorchs = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)
    for _ in range(4):
        network(torch.randn(5, 4)).sum().backward()
        torch.optim.SGD(network.parameters(), 0.1).step()
        for average in (ours, pytorchs):
            average.update_parameters(network)
    found, expected = ours.state_dict(), pytorchs.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)
    assert not torch.equal(found["module.0.weight"], network.state_dict()["0.weight"])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_weight_that_is_not_finite_is_seen(value: float) -> None:
    model = nn.BatchNorm1d(4)
    assert all_finite(model)
    model.running_var[2] = value  # type: ignore[index]
    assert not all_finite(model)

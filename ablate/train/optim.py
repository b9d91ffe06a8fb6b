"""The optimizer, the schedule of its learning rate and the average of the weights, all of them PyTorch's own."""

import math
from typing import Any

import torch
from timm.models import group_parameters
from torch import nn, optim
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ablate.config.axes import BackboneConfig, OptimizerConfig, SchedulerConfig, WeightDecayConfig


def build_optimizer(
    config: OptimizerConfig, weight_decay: WeightDecayConfig, model: nn.Module, backbone: BackboneConfig
) -> optim.Optimizer:
    """Weight decay means what the optimizer makes of it: an L2 penalty in sgd and adam, decoupled in adamw.

    `config` has the learning rate as it is trained, scaled to the batch size already.
    `model` has the parts `backbone`, a timm model, and `head`, whose parameters come last, in the last group.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    scales = backbone_lr_scales(model.backbone, backbone)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            lr = config.lr * scales.get(name.removeprefix("backbone."), 1.0)
            # One dimension: biases, and the scales and shifts of norms.
            decay = 0.0 if weight_decay.spare and parameter.ndim <= 1 else weight_decay.value
            groups.setdefault((lr, decay), []).append(parameter)
    parameters = [{"params": group, "lr": lr, "weight_decay": decay} for (lr, decay), group in groups.items()]
    # One kernel per step where there are thousands to start. On the CPU the default's bits are on record.
    fused = True if next(model.parameters()).is_cuda else None
    if config.name == "sgd":
        assert config.momentum is not None and config.nesterov is not None
        sgd = optim.SGD(parameters, lr=config.lr, momentum=config.momentum, nesterov=config.nesterov, fused=fused)
        if fused and config.momentum:
            # The fused kernel makes no momentum in a first step that fp16 has to skip, and keeps what was in memory.
            for parameter in (each for group in parameters for each in group["params"]):  # type: ignore[attr-defined]
                sgd.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        return sgd
    assert config.betas is not None and config.eps is not None
    adam = optim.AdamW if config.name == "adamw" else optim.Adam
    return adam(parameters, lr=config.lr, betas=(config.betas[0], config.betas[1]), eps=config.eps, fused=fused)


def backbone_lr_scales(body: Any, config: BackboneConfig) -> dict[str, float]:
    """{parameter of a timm model: its learning rate as a multiple of the head's}.

    With lr_decay, each stage has that share of the rate of the stage above it, the last stage of the
    head's, as in Clark et al., ELECTRA, arXiv 2003.10555.
    """
    names = [name for name, _ in body.named_parameters()]
    if config.lr_decay == 1:
        return dict.fromkeys(names, config.lr_scale)
    stages = group_parameters(body, body.group_matcher(coarse=True))  # {number: names}, the stem first
    return {
        name: config.lr_scale * config.lr_decay**depth
        for depth, number in enumerate(sorted(stages, reverse=True), start=1)
        for name in stages[number]
    }


class Schedule:
    """Moves the learning rate: after each of `steps` steps, after each epoch, or by the holdout loss."""

    def __init__(self, config: SchedulerConfig, optimizer: optim.Optimizer, steps: int):
        self.optimizer = optimizer
        self.per_step: optim.lr_scheduler.LRScheduler | None = None
        self.per_epoch: optim.lr_scheduler.LRScheduler | None = None
        self.plateau: optim.lr_scheduler.ReduceLROnPlateau | None = None
        if config.name == "cosine":
            self.per_step = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
        elif config.name == "one_cycle":
            assert config.warmup is not None
            self.per_step = optim.lr_scheduler.OneCycleLR(
                optimizer,
                max_lr=[group["lr"] for group in optimizer.param_groups],
                total_steps=steps + 1,  # it counts the step after the last one too
                pct_start=config.warmup,
                cycle_momentum=False,  # so that it changes the learning rate alone
            )
        elif config.name in ("warmup", "warmup_cosine"):
            assert config.warmup is not None
            rise, falls = max(1, round(config.warmup * steps)), config.name == "warmup_cosine"

            def factor(step: int) -> float:
                if step < rise:
                    return (step + 1) / rise
                return (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise))) / 2 if falls else 1.0

            self.per_step = optim.lr_scheduler.LambdaLR(optimizer, factor)
        elif config.name == "step":
            assert config.every is not None and config.factor is not None
            self.per_epoch = optim.lr_scheduler.StepLR(optimizer, config.every, gamma=config.factor)
        elif config.name == "plateau":
            assert config.factor is not None and config.patience is not None
            self.plateau = optim.lr_scheduler.ReduceLROnPlateau(
                optimizer, factor=config.factor, patience=config.patience
            )

    @property
    def lr(self) -> float:
        """The learning rate that the head's next step will use."""
        return float(self.optimizer.param_groups[-1]["lr"])

    def state_dict(self) -> dict[str, Any]:
        """How far the schedule has come; the rates themselves are the optimizer's."""
        moved = self.per_step or self.per_epoch or self.plateau
        return moved.state_dict() if moved is not None else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        moved = self.per_step or self.per_epoch or self.plateau
        if moved is not None:
            moved.load_state_dict(state)

    def after_step(self) -> None:
        if self.per_step is not None:
            self.per_step.step()

    def after_epoch(self, holdout_loss: float) -> None:
        if self.per_epoch is not None:
            self.per_epoch.step()
        if self.plateau is not None and math.isfinite(holdout_loss):
            self.plateau.step(holdout_loss)


class Average(AveragedModel):
    """The moving average of a network's parameters and buffers.

    PyTorch's own update copies its count to the device twice, and the host waits for each. This one counts on the host.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        super().__init__(network, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Move the average towards the network; the first update copies it."""
        own, new = ([*each.parameters(), *each.buffers()] for each in (self.module, model))
        pairs = list(zip(own, new, strict=True))
        if self.n_averaged == 0:
            for average, value in pairs:
                average.copy_(value)
        else:
            for floats in (True, False):  # numbers are averaged in one call, counters one by one
                alike = [pair for pair in pairs if pair[0].is_floating_point() == floats]
                if alike:
                    averages, values = map(list, zip(*alike, strict=True))
                    self.multi_avg_fn(averages, values, self.n_averaged)  # type: ignore[misc]
        self.n_averaged += 1


def all_finite(model: nn.Module) -> bool:
    """Whether every parameter and buffer is a finite number; one synchronisation with the device."""
    tensors = [t for t in model.state_dict().values() if t.is_floating_point()]
    return bool(torch.stack([torch.isfinite(t).all() for t in tensors]).all())

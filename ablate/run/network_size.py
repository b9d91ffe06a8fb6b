"""How large a network is: its parameters, and the multiply-adds of one image."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ablate.config.schema import Config
from ablate.records import run_folder
from ablate.train.model import build_head, set_stem_stride

PARTS = ("backbone", "head", "data")  # of an identity: what decides it


@dataclass(frozen=True)
class NetworkSize:
    """parameters: all, frozen ones too. multiply_adds: of one image of the data set, forwards."""

    parameters: int
    multiply_adds: int


def network_size(config: Config, classes: int, study: Path, identity: dict[str, Any]) -> NetworkSize | None:
    """The size of a run's network, from another run of the study that has the same one, as counting takes a while.

    None for a network that cannot be run without memory (on torch's meta device).
    """
    for _, record in run_folder.records(study):
        same = all(record.identity.get(part) == identity.get(part) for part in PARTS)
        if same and record.parameters is not None and record.multiply_adds is not None:
            return NetworkSize(record.parameters, record.multiply_adds)
    try:
        return count(config, classes)
    except (RuntimeError, NotImplementedError):
        return None


def count(config: Config, classes: int) -> NetworkSize:
    """Count on the meta device, where no number is computed."""
    side = config.data.resolution or config.data.size
    with torch.device("meta"):
        body: Any = timm.create_model(config.backbone.name, num_classes=0)
        if config.backbone.stem_stride is not None:
            set_stem_stride(body, config.backbone.name, config.backbone.stem_stride)
        network = nn.Sequential(
            body, build_head(config.head, getattr(body, "head_hidden_size", body.num_features), classes)
        )
        network.eval()
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            network(torch.empty(1, 3, side, side))
    return NetworkSize(sum(p.numel() for p in network.parameters()), counter.get_total_flops() // 2)

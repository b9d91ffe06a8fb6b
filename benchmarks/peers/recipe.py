"""What all peers share: the two folders of images, and one recipe."""

from pathlib import Path
from typing import Any

import timm
import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

SIZE = 64
MOMENTUM, WEIGHT_DECAY = 0.9, 5e-4
EVALUATED_AT_ONCE = 250


def loaders(data: Path, model: str, batch: int, workers: int) -> tuple[DataLoader[Any], DataLoader[Any]]:
    """Training images padded, cropped and mirrored, and validation images as they are, both normalised."""
    expects = timm.get_pretrained_cfg(model)
    assert expects is not None
    to_tensor = [transforms.ToTensor(), transforms.Normalize(expects.mean, expects.std)]
    augmented = [transforms.RandomCrop(SIZE, padding=SIZE // 8), transforms.RandomHorizontalFlip(), *to_tensor]
    more: dict[str, Any] = {"num_workers": workers, "persistent_workers": workers > 0}
    return (
        DataLoader(
            ImageFolder(str(data / "train"), transforms.Compose(augmented)), batch, shuffle=True, drop_last=True, **more
        ),
        DataLoader(ImageFolder(str(data / "val"), transforms.Compose(to_tensor)), EVALUATED_AT_ONCE, **more),
    )


def network(model: str, classes: int, initial: Path) -> nn.Module:
    """The network with the initial weights of the file, in channels_last."""
    built: nn.Module = timm.create_model(model, num_classes=classes)
    built.load_state_dict(torch.load(initial, weights_only=True))
    return built.to(memory_format=torch.channels_last)


def optimizer(network: nn.Module, lr: float) -> torch.optim.Optimizer:
    return torch.optim.SGD(
        network.parameters(), lr, momentum=MOMENTUM, nesterov=True, weight_decay=WEIGHT_DECAY, foreach=False
    )

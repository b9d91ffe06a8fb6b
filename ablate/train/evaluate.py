"""Predictions of a network on a set of images, and what is counted from them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

# Part of the numerics: another batch shape changes the last bits of the logits.
EVALUATION_BATCH = 250


@dataclass(frozen=True)
class Evaluation:
    logits: Tensor  # (N, classes), float32, on the CPU
    loss: float  # mean cross-entropy, in nats
    accuracy: float  # a fraction


def to_network(images: Tensor, channels_last: bool) -> Tensor:
    """Images (B, H, W, C) as the network wants them, (B, C, H, W), in the memory layout of the study."""
    images = images.permute(0, 3, 1, 2)  # a view; its memory is channels_last already
    return images if channels_last else images.contiguous()


def filled(index: Tensor, size: int) -> Tensor:
    """An index (N,) with its last image repeated until it is whole batches of `size`."""
    return torch.cat([index, index[-1:].expand(-len(index) % size)]) if len(index) else index


@torch.inference_mode()
def evaluate(predict: Callable[[Tensor], Any], batches: Iterable[Tensor], truth: Tensor) -> Evaluation:
    """Predict images that come as batches of the network's input; `truth` (N,) are the labels of the first N.

    `predict` gives a batch's logits, in evaluation mode; it may write those of the next over them.
    """
    logits = torch.cat([predict(batch).float().clone() for batch in batches]).cpu()[: len(truth)]
    return Evaluation(
        logits=logits,
        loss=F.cross_entropy(logits, truth).item(),
        accuracy=(logits.argmax(1) == truth).double().mean().item(),
    )


def confusion(logits: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Counts (classes, classes): row = true class, column = predicted class."""
    cells = labels * classes + logits.argmax(1)
    return torch.bincount(cells, minlength=classes * classes).view(classes, classes)

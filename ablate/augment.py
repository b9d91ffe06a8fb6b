"""Augmentation of whole batches, on the device that trains.

The parameters of all images of an epoch are drawn at once and looked up by image, so they depend
neither on the batch size nor on the order of the images. Each kind has a stream of its own: an image
is mirrored in `flip` exactly when it is mirrored in `flip_crop`.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ablate.config import AugmentConfig
from ablate.randomness import generator


@dataclass(frozen=True)
class Draws:
    """Per image: mirrored or not, and the corner of the crop in the padded image, in pixels."""

    flip: Tensor  # (N,) bool
    top: Tensor  # (N,) int64, from 0 to 2 * padding
    left: Tensor  # (N,) int64
    padding: int

    def of(self, index: Tensor, device: torch.device) -> "Draws":
        """The draws of some images, on a device."""
        return Draws(self.flip[index].to(device), self.top[index].to(device), self.left[index].to(device), self.padding)


def draw(config: AugmentConfig, count: int, size: int, seed: int, epoch: int) -> Draws:
    """Draw for `count` images of `size` pixels what happens to each in one epoch."""
    padding = round(config.crop * size)
    corners = torch.randint(0, 2 * padding + 1, (2, count), generator=generator(seed, "crop", epoch))
    flip = torch.rand(count, generator=generator(seed, "flip", epoch)) < 0.5
    return Draws(flip & config.flip, corners[0], corners[1], padding)


def apply(images: Tensor, draws: Draws) -> Tensor:
    """Crop and mirror a batch of images (B, H, W, C) by the draws of its B images.

    Each image is padded with black, cropped back to its size at the drawn corner, then mirrored.
    """
    count, height, width, _ = images.shape
    pad = draws.padding
    padded = F.pad(images, (0, 0, pad, pad, pad, pad)) if pad else images
    rows = draws.top[:, None] + torch.arange(height, device=images.device)
    across = torch.arange(width, device=images.device)
    columns = draws.left[:, None] + torch.where(draws.flip[:, None], across.flip(0), across)
    batch = torch.arange(count, device=images.device)
    return padded[batch[:, None, None], rows[:, :, None], columns[:, None, :]]

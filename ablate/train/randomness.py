"""Stateless randomness: every draw is a function of the seed and of what it is for.

So nothing depends on what ran before, and two runs with one seed see the same images in the same
order, whatever else differs between them.
"""

import hashlib
from dataclasses import dataclass

import torch


def derived_seed(seed: int, *purpose: str | int) -> int:
    """A 63-bit seed for one purpose, such as (seed, "order", epoch)."""
    text = "/".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *purpose: str | int) -> torch.Generator:
    """A CPU generator for one purpose; on the CPU, so that every device gets the same draws."""
    return torch.Generator().manual_seed(derived_seed(seed, *purpose))


@dataclass(frozen=True)
class Chance:
    """The draws of one epoch of a run: a stream of its own for each purpose."""

    seed: int
    epoch: int

    def seed_for(self, purpose: str) -> int:
        """A seed for generators other than torch's."""
        return derived_seed(self.seed, purpose, self.epoch)

    def generator(self, purpose: str) -> torch.Generator:
        """A CPU generator."""
        return generator(self.seed, purpose, self.epoch)


def reseed(device: torch.device, seed: int, *purpose: str | int) -> None:
    """Set what layers such as dropout draw from, on the CPU and on the device.

    As torch.manual_seed, which for each kind of accelerator that is not in use also notes from where it was called:
    on a CPU a per cent of a small network's step.
    """
    value = derived_seed(seed, *purpose)
    torch.default_generator.manual_seed(value)
    if device.type != "cpu":
        torch.get_device_module(device).manual_seed(value)

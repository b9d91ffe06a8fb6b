"""Stateless randomness: every draw is a function of the seed and of what it is for.

So nothing depends on what ran before, and two runs with one seed see the same images in the same
order, whatever else differs between them.
"""

import hashlib

import torch


def derived_seed(seed: int, *purpose: str | int) -> int:
    """A 63-bit seed for one purpose, such as (seed, "order", epoch)."""
    text = "/".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *purpose: str | int) -> torch.Generator:
    """A CPU generator for one purpose; on the CPU, so that every device gets the same draws."""
    return torch.Generator().manual_seed(derived_seed(seed, *purpose))


def reseed(device: torch.device, seed: int, *purpose: str | int) -> None:
    """Set what layers such as dropout draw from, on the CPU and on the device.

    As torch.manual_seed, which for each kind of accelerator that is not in use also notes from where it was called:
    on a CPU a per cent of a small network's step.
    """
    value = derived_seed(seed, *purpose)
    torch.default_generator.manual_seed(value)
    if device.type != "cpu":
        torch.get_device_module(device).manual_seed(value)

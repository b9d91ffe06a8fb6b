"""The device that trains, and the flags that decide which kernels compute on it."""

import os

import torch

from ablate.config.schema import TrainerConfig
from ablate.system.hardware import cpu_model

MIXED = {"bf16": torch.bfloat16, "fp16": torch.float16}


def device_name(device: torch.device) -> str:
    """The model of the GPU or CPU that computes."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_model()


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """A context in which a network computes in a precision; in fp32 it does nothing."""
    return torch.autocast(device.type, dtype=MIXED.get(precision), enabled=precision in MIXED)


def choose_device(name: str) -> torch.device:
    """Resolve `auto` to cuda, then mps, then cpu. Raises ValueError for a device that is not there."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(kind for kind, there in available.items() if there)
    if not available[name.partition(":")[0]]:
        raise ValueError(f"trainer.device={name} is not available here; trainer.device=auto takes what is")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"trainer.device={name} is not there: this machine shows {torch.cuda.device_count()} GPUs")
    return device


def set_flags(trainer: TrainerConfig) -> None:
    """Threads, and the flags that decide which kernels compute: those of the configuration, for the whole process."""
    torch.set_num_threads(trainer.threads)
    torch.use_deterministic_algorithms(trainer.deterministic)
    # It finds reads of uninitialised memory, at the price of a write per tensor.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS has no deterministic products
    precision = "tf32" if trainer.tf32 else "ieee"
    torch.backends.cuda.matmul.fp32_precision = precision
    torch.backends.cudnn.conv.fp32_precision = precision  # type: ignore[attr-defined]

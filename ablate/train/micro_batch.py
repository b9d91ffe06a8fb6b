"""Too little memory: halve what goes through the network at once; the optimizer sees the same batch."""

import ctypes
import gc
import logging
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import torch

from ablate.config.axes import BatchSizeConfig
from ablate.records import run_folder
from ablate.records.record import State, experiment
from ablate.train.graph import NoRoomForGraphs

log = logging.getLogger("ablate")
Result = TypeVar("Result")
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
SMALLEST = 2  # BatchNorm needs two images


# How libraries below torch say that they got no memory: torch's allocator on the CPU, oneDNN, cuBLAS and cuDNN.
PHRASES = (
    "DefaultCPUAllocator", "could not create a primitive", "could not create a memory", "STATUS_ALLOC_FAILED",
    "CUDA error: out of memory",
)  # fmt: skip


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that memory ran out, also where it is a plain RuntimeError."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return (
        isinstance(error, RuntimeError)
        and any(phrase in str(error) for phrase in PHRASES)
        and "descriptor" not in str(error)  # oneDNN's word for what it does not support
    )


def images_at_once(config: BatchSizeConfig) -> int:
    """How many images go through the network at once: a number that is given, else the whole batch."""
    return int(config.micro) if config.micro.isdecimal() else config.size


def first_rung(config: BatchSizeConfig, study: Path, identity: Mapping[str, Any]) -> int:
    """How many images to begin with: what batch_size.micro says, else what the cell's other seeds ended on."""
    if config.micro == "never":
        return config.size
    if config.micro != "auto":
        return int(config.micro)
    rungs = [config.size]
    for _, record in run_folder.records(study):
        same_cell = experiment(record.identity) == experiment(identity)
        if same_cell and record.state == State.DONE and record.batch is not None:
            rungs.append(record.batch.micro)
    return min(rungs)


def keep_freed_memory() -> None:
    """Let glibc keep what is freed: by default it maps every large tensor anew, page by page, in every step."""
    if (libc := _glibc()) is not None:
        libc.mallopt(M_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)


def watch_peak(device: torch.device) -> None:
    """Begin to measure what peak() returns."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif sys.platform == "linux":
        with suppress(OSError):  # some containers forbid it; the peak is then that of the process's whole life
            Path("/proc/self/clear_refs").write_text("5")


def peak(device: torch.device) -> int | None:
    """The most memory in use at once since watch_peak, in bytes: the GPU's, else the whole process's."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device)  # what graphs hold between replays is not allocated
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def give_back() -> None:
    """Return what Python, the C library and torch keep for later use, so that anyone may allocate it."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if (libc := _glibc()) is not None:
        # From now on every large tensor is a mapping of its own, which leaves no holes behind.
        libc.mallopt(M_MMAP_THRESHOLD, 1 << 17)
        libc.mallopt(M_TRIM_THRESHOLD, 1 << 17)
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None


def next_rung(size: int, micro: int) -> int:
    """Half as many images at once, or a few less where a batch of `size` would leave one by itself."""
    micro //= 2
    while micro > SMALLEST and size % micro == 1:
        micro -= 1
    return micro


def descend(
    config: BatchSizeConfig, first: int, attempt: Callable[[int], Result], without_graphs: Callable[[], None]
) -> Result:
    """Return attempt(micro) for the first of `first`, its half, … that fits in memory.

    Every attempt starts anew, so that one run is on one rung. Where CUDA graphs held some of the memory, the same rung
    is tried again after `without_graphs`: they never decide it. Raises what `attempt` raises when that is no lack of
    memory, when batch_size.micro fixes the rung, and when there is none below.
    """
    micro = first
    while True:
        try:
            return attempt(micro)
        except NoRoomForGraphs:
            below = micro
        except Exception as error:
            if not is_out_of_memory(error) or config.micro != "auto" or micro // 2 < SMALLEST:
                raise
            below = next_rung(config.size, micro)
        # Only here, where the exception and all that its frames held are gone.
        give_back()
        if below == micro:
            without_graphs()
            log.warning("out of memory with CUDA graphs; starting again without")
        else:
            log.warning("out of memory with %d images at once; starting again with %d", micro, below)
        micro = below

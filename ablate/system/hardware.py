"""The machine: CPU, cores, memory and NVIDIA's GPUs. No torch, and CUDA is never started."""

import os
import platform
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

CPU_MAX = Path("/sys/fs/cgroup/cpu.max")  # microseconds of CPU time, and in how many


def cpu_model() -> str:
    """The CPU's model as the system names it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def cores() -> int:
    """The CPU cores that this process may use: those it is allowed to run on, or a container's share where less."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):
        quota, period = CPU_MAX.read_text().split()
        allowed = min(allowed, max(1, int(quota) // int(period)))  # "max" where there is no limit
    return allowed


def memory() -> int | None:
    """Bytes of memory that processes here may use: the machine's, or the container's where that is less."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None
    with suppress(OSError, ValueError):
        total = min(total, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return total


def nvidia_smi(field: str) -> list[str]:
    """One property of every GPU, in the driver's order; [] without NVIDIA's driver.

    The driver's own program is asked because a process that forks must not start CUDA.
    """
    if shutil.which("nvidia-smi") is None:
        return []
    query = ["nvidia-smi", f"--query-gpu={field}", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in answer.splitlines() if line.strip()]


def visible_gpus() -> list[str]:
    """NVIDIA's GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    if (chosen := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [gpu for gpu in chosen.split(",") if gpu and gpu != "-1"]
    return nvidia_smi("index")


def gpu_memory() -> int | None:
    """Bytes of the smallest GPU; None where there is none or its driver does not say."""
    try:
        return min(int(mebibytes) for mebibytes in nvidia_smi("memory.total")) << 20
    except ValueError:  # of min(), and of "[N/A]"
        return None


def has_bf16() -> bool:
    """Whether there is an NVIDIA GPU for this process, and all of this machine's compute in bfloat16 (Ampere and later,
    compute capability 8.0)."""
    capabilities = nvidia_smi("compute_cap") if visible_gpus() else []
    with suppress(ValueError):  # "[N/A]"
        return bool(capabilities) and min(map(float, capabilities)) >= 8.0
    return False


def gpu_driver() -> str | None:
    """The version of NVIDIA's driver."""
    return next(iter(nvidia_smi("driver_version")), None)


def oom_kills() -> int:
    """How many processes the system has ended for lack of memory since it was started; 0 where it does not say."""
    try:
        return int(Path("/proc/vmstat").read_text().partition("\noom_kill ")[2].split("\n")[0])
    except (OSError, ValueError):
        return 0

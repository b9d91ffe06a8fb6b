"""What a run was made with: versions, machine, code. Recorded, compared, never hashed."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

import ablate

PACKAGES = (
    "torch", "torchvision", "timm", "numpy", "pillow", "safetensors", "hydra-core", "omegaconf",
)  # fmt: skip


def describe(device: torch.device) -> dict[str, Any]:
    """Everything known to be able to change a run's last bits, as plain types."""
    return {
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu": cpu_model(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "device": str(device),
        "device_name": device_name(device),
        "threads": torch.get_num_threads(),
        "code": code(),
    }


def differences(recorded: dict[str, Any], here: dict[str, Any], prefix: str = "") -> list[str]:
    """One line for each entry that differs: "torch: 2.14.0 then, 2.15.0 now"."""
    lines = []
    for key in sorted(recorded.keys() | here.keys()):
        then, now = recorded.get(key), here.get(key)
        if isinstance(then, dict) and isinstance(now, dict):
            lines += differences(then, now, f"{key} ")
        elif then != now:
            lines.append(f"{prefix}{key}: {then} then, {now} now")
    return lines


def code() -> dict[str, Any]:
    """The version of ablate, and the commit it runs from; commit and dirty are None outside a checkout."""
    folder = Path(ablate.__file__).parent
    commit = dirty = None
    # Only a folder that git tracks: a virtual environment may lie inside somebody else's repository.
    if _git(folder, "ls-files", "--error-unmatch", "__init__.py") is not None:
        commit = _git(folder, "rev-parse", "HEAD")
        status = _git(folder, "status", "--porcelain", "--untracked-files=no")
        dirty = None if status is None else bool(status)
    return {"version": ablate.__version__, "commit": commit, "dirty": dirty}


def _git(folder: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def device_name(device: torch.device) -> str:
    """The model of the GPU or CPU that computes."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_model()


def cpu_model() -> str:
    """The CPU's model as the system names it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()

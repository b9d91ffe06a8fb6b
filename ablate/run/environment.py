"""What a run was made with: versions, machine, code. Recorded, compared, never hashed."""

import hashlib
import os
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path
from typing import Any

import torch

import ablate
from ablate.config.schema import TrainerConfig
from ablate.config.signature import CUDA_NUMERICS
from ablate.system.hardware import cpu_model, gpu_driver
from ablate.train.device import device_name

PACKAGES = (
    "torch", "torchvision", "timm", "numpy", "pillow", "safetensors", "hydra-core", "omegaconf",
)  # fmt: skip
# Variables that choose other kernels; on record when they are set.
VARIABLES = (
    "ATEN_CPU_CAPABILITY", "CUBLAS_WORKSPACE_CONFIG", "MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS", "NVIDIA_TF32_OVERRIDE",
    "ONEDNN_DEFAULT_FPMATH_MODE", "ONEDNN_MAX_CPU_ISA", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
)  # fmt: skip
# The parts of a checkout that training runs on.
CODE = ("ablate", "conf", "hydra_plugins")


def describe(device: torch.device, trainer: TrainerConfig) -> dict[str, Any]:
    """Everything known to be able to change a run's last bits, as plain types, after the flags are set."""
    return {
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu": cpu_model(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "device": str(device),
        "device_name": device_name(device),
        **({"gpu": gpu(device), "cuda_numerics": CUDA_NUMERICS} if device.type == "cuda" else {}),
        "threads": torch.get_num_threads(),
        "flags": {
            "deterministic": torch.are_deterministic_algorithms_enabled(),
            "cudnn_benchmark": torch.backends.cudnn.benchmark,
            "tf32": torch.backends.cuda.matmul.fp32_precision == "tf32",
            "precision": trainer.precision,
            "channels_last": trainer.channels_last,
        },
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
        "code": code(),
    }


def gpu(device: torch.device) -> dict[str, Any]:
    """The GPU's kind and what drives it, with the versions of NVIDIA's libraries that came as packages."""
    major, minor = torch.cuda.get_device_capability(device)
    libraries = {d.name: d.version for d in distributions() if d.name.startswith(("nvidia-", "triton"))}
    return {
        "capability": f"{major}.{minor}",
        "driver": gpu_driver(),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "libraries": libraries,
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


@cache
def code() -> dict[str, Any]:
    """The version of ablate, and the commit it runs from; commit and dirty are None outside a checkout."""
    commit = dirty = None
    if (top := _checkout()) is not None:
        commit = (_git(top, "rev-parse", "HEAD") or "").strip() or None
        status = _git(top, "status", "--porcelain", "--untracked-files=all", "--", *CODE)
        dirty = None if status is None else bool(status)
    described = {"version": ablate.__version__, "commit": commit, "dirty": dirty}
    if dirty:
        described["diff_sha256"] = hashlib.sha256(code_diff()).hexdigest()
    return described


@cache
def code_diff() -> bytes:
    """What brings the commit's code to the code that runs, for `git apply`; new files that git does not ignore too."""
    top = _checkout()
    if top is None:
        return b""
    diff = (
        "-c",
        "core.quotepath=off",
        "diff",
        "--no-ext-diff",
        "--no-color",
        "--binary",
        "--src-prefix=a/",
        "--dst-prefix=b/",
    )
    tracked = _git(top, *diff, "HEAD", "--", *CODE) or ""
    new = _git(top, "ls-files", "--others", "--exclude-standard", "-z", "--", *CODE) or ""
    # Compared with nothing, a file always differs, which git says by its exit code.
    added = [_git(top, *diff, "--no-index", "--", os.devnull, name, ok=1) for name in new.split("\0") if name]
    return "".join(part for part in (tracked, *added) if part).encode(errors="surrogateescape")


def _checkout() -> Path | None:
    """The top folder of the checkout that ablate runs from, if it runs from one."""
    folder = Path(ablate.__file__).parent
    # Only a folder that git tracks: a virtual environment may lie inside somebody else's repository.
    if _git(folder, "ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    top = _git(folder, "rev-parse", "--show-toplevel")
    return Path(top.strip()) if top else None


def _git(folder: Path, *words: str, ok: int = 0) -> str | None:
    """What git prints; None when it cannot be asked or exits with neither 0 nor `ok`."""
    try:
        done = subprocess.run(["git", *words], cwd=folder, capture_output=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode(errors="surrogateescape") if done.returncode in (0, ok) else None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None

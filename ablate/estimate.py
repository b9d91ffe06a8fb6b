"""What planned runs will cost, from records of runs of their kind: time, memory and disk. No torch."""

import os
import statistics
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ablate import record
from ablate.plan import PlannedRun
from ablate.record import State

Kind = tuple[str, int, int, str, str, str]


@dataclass
class Cost:
    """What runs of one kind took."""

    seconds_per_epoch: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)  # bytes at the most
    disk: list[int] = field(default_factory=list)  # bytes that stay
    device: str = "cpu"
    micro: int | None = None  # images at once where the batch did not fit
    out_of_memory: bool = False  # even so


def kind_of(identity: Mapping[str, Any]) -> Kind:
    """Backbone, batch size, resolution and what is frozen, on the same images in the same precision."""
    data, backbone = identity["data"], identity["backbone"]
    return (
        backbone["name"],
        identity["batch_size"]["size"],
        data.get("resolution") or data["size"],
        str(backbone.get("freeze", False)).lower(),
        identity["trainer"].get("precision", "fp32"),
        data["fingerprint"],
    )


def in_words(kind: Kind) -> str:
    name, batch, resolution, freeze, precision, _ = kind
    frozen = {"false": "", "true": ", frozen"}.get(freeze, f", frozen {freeze}")
    return f"{name} x batch {batch} x {resolution} px{frozen}{'' if precision == 'fp32' else f', {precision}'}"


def read(root: Path, wanted: Iterable[Kind]) -> dict[Kind, Cost]:
    """What the records of every study below `root` know of the kinds that are wanted."""
    kinds = list(dict.fromkeys(wanted))
    known: dict[Kind, Cost] = {}
    for path in sorted(root.glob("*/*/record.json")):
        folder = record.RunFolder(path.parent)
        try:
            entry = folder.read()
            kind = kind_of(entry["identity"])
        except (ValueError, KeyError, TypeError):
            continue  # a damaged record is named by the report
        if kind not in kinds or entry["state"] not in (State.DONE, State.OOM):
            continue
        cost = known.setdefault(kind, Cost())
        if entry["state"] == State.OOM:
            cost.out_of_memory = True
            continue
        cost.device = str(entry.get("environment", {}).get("device", "cpu"))
        if entry.get("seconds") and entry.get("epochs_done"):
            cost.seconds_per_epoch.append(entry["seconds"] / entry["epochs_done"])
        if entry.get("peak_memory_bytes"):
            cost.memory.append(entry["peak_memory_bytes"])
        if entry.get("batch", {}).get("micro", 0) < entry.get("batch", {}).get("size", 0):
            cost.micro = entry["batch"]["micro"]
        cost.disk.append(size_of(path.parent))
    return {kind: known[kind] for kind in kinds if kind in known}


def size_of(folder: Path) -> int:
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):  # a run that is being trained replaces its files
                total += os.stat(os.path.join(place, name)).st_size
    return total


def seconds_left(run: PlannedRun, known: Mapping[Kind, Cost], epochs_done: int) -> float | None:
    cost = known.get(kind_of(run.identity))
    if cost is None or not cost.seconds_per_epoch:
        return None
    return statistics.median(cost.seconds_per_epoch) * max(0, run.config.trainer.epochs - epochs_done)


def will_not_fit(known: Mapping[Kind, Cost], at_once: int) -> list[str]:
    """A sentence for each kind that does not fit into memory, or not as often as it is to be trained at once."""
    told = []
    for kind, cost in known.items():
        most = max(cost.memory, default=0)
        there = (gpu_memory() if cost.device.startswith("cuda") else machine_memory()) or 0
        if cost.out_of_memory and not cost.memory:
            told.append(f"{in_words(kind)}: ran out of memory before")
        elif there and most > there:
            told.append(f"{in_words(kind)}: needs {gigabytes(most)}, there are {gigabytes(there)}")
        elif cost.micro:
            told.append(f"{in_words(kind)}: does not fit at once, was trained {cost.micro} images at a time")
        elif there and not cost.device.startswith("cuda") and most * at_once > there:
            told.append(
                f"{in_words(kind)}: {at_once} at once need {gigabytes(most * at_once)}, there are {gigabytes(there)}; "
                f"study.slots={max(1, there // most)} fits"
            )
    return told


def machine_memory() -> int | None:
    """Bytes of memory that processes here may use: the machine's, or the container's where that is less."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None
    with suppress(OSError, ValueError):
        total = min(total, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return total


def gpu_memory() -> int | None:
    """Bytes of the smallest GPU, asked without CUDA."""
    query = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        told = subprocess.run(query, capture_output=True, text=True, timeout=30, check=True).stdout.split()
        return min(int(mebibytes) for mebibytes in told) << 20
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


def gigabytes(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"


def most_memory(known: Mapping[Kind, Cost]) -> int | None:
    return max((size for cost in known.values() for size in cost.memory), default=None)


def disk(runs: Sequence[PlannedRun], known: Mapping[Kind, Cost]) -> float:
    """Bytes that runs not begun yet will leave, as far as their kinds are known."""
    sizes = {kind: statistics.median(cost.disk) for kind, cost in known.items() if cost.disk}
    return sum(sizes.get(kind_of(run.identity), 0.0) for run in runs)

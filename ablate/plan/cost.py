"""What planned runs will cost, from records of runs of their kind: time, memory and disk space."""

import os
import statistics
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ablate.plan.planned_run import PlannedRun
from ablate.records import durations, run_folder
from ablate.records.durations import Kind, Known
from ablate.records.record import State
from ablate.system import hardware


@dataclass
class Cost:
    """What runs of one kind took."""

    seconds_per_epoch: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)  # bytes at the most
    disk: list[int] = field(default_factory=list)  # bytes that stay
    device: str = "cpu"
    micro: int | None = None  # images at once where the batch did not fit
    out_of_memory: bool = False  # even so


def of_kinds(root: Path, kinds: Sequence[Kind]) -> dict[Kind, Cost]:
    """What the records of every study below `root` say about some kinds of runs."""
    known: dict[Kind, Cost] = {}
    for folder, record in (found for study in run_folder.studies(root) for found in run_folder.records(study)):
        try:
            kind = Kind.of_identity(record.identity)
        except (KeyError, TypeError):
            continue  # a record without an identity
        if kind not in kinds or record.state not in (State.DONE, State.OOM) or record.reused_from is not None:
            continue
        cost = known.setdefault(kind, Cost())
        if record.state == State.OOM:
            cost.out_of_memory = True
            continue
        cost.device = str(record.environment.get("device", "cpu"))
        if record.seconds_per_epoch and record.epochs_done:
            cost.seconds_per_epoch.append(record.seconds_per_epoch)
        if record.peak_memory_bytes:
            cost.memory.append(record.peak_memory_bytes)
        if record.batch is not None and record.batch.micro < record.batch.size:
            cost.micro = record.batch.micro
        cost.disk.append(size_of(folder.path))
    return {kind: known[kind] for kind in kinds if kind in known}


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):  # a run that is being trained replaces its files
                total += os.stat(os.path.join(place, name)).st_size
    return total


def longest_first(runs: Sequence[PlannedRun], known: Known) -> list[PlannedRun]:
    """Seed by seed, so that a half-done study has whole seeds; within a seed the longest first, where that is known."""
    seeds = {seed: place for place, seed in enumerate(dict.fromkeys(run.config.seed for run in runs))}
    return sorted(runs, key=lambda run: (seeds[run.config.seed], -(seconds_of(run, known) or 0.0)))


def seconds_of(run: PlannedRun, known: Known) -> float | None:
    """The seconds that a whole run takes, by what is known in its study."""
    return durations.expected(known, run.kind, run.budget.passes)


def seconds_left(run: PlannedRun, known: Mapping[Kind, Cost], epochs_done: float) -> float | None:
    """The seconds that the rest of a run takes; None when no run of its kind has ended."""
    cost = known.get(run.kind)
    if cost is None or not cost.seconds_per_epoch:
        return None
    return statistics.median(cost.seconds_per_epoch) * max(0, run.budget.passes - epochs_done)


def will_not_fit(known: Mapping[Kind, Cost], at_once: int) -> list[str]:
    """A sentence for each kind that does not fit into memory, or not as often as it is to be trained at once."""
    sentences = []
    for kind, cost in known.items():
        most = max(cost.memory, default=0)
        on_gpu = cost.device.startswith("cuda")
        there = (hardware.gpu_memory() if on_gpu else hardware.memory()) or 0
        if cost.out_of_memory and not cost.memory:
            sentences.append(f"{kind}: ran out of memory before")
        elif there and most > there:
            sentences.append(f"{kind}: needs {gigabytes(most)}, there are {gigabytes(there)}")
        elif cost.micro:
            sentences.append(f"{kind}: does not fit at once, was trained {cost.micro} images at a time")
        elif there and not on_gpu and most * at_once > there:
            sentences.append(
                f"{kind}: {at_once} at once need {gigabytes(most * at_once)}, there are {gigabytes(there)}; "
                f"study.slots={max(1, there // most)} fits"
            )
    return sentences


def gigabytes(size: float) -> str:
    """Bytes for people."""
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"


def most_memory(known: Mapping[Kind, Cost]) -> int | None:
    """Bytes of the largest run that is known."""
    return max((size for cost in known.values() for size in cost.memory), default=None)


def disk(runs: Sequence[PlannedRun], known: Mapping[Kind, Cost]) -> float:
    """Bytes that runs not begun yet will leave, as far as their kinds are known."""
    sizes = {kind: statistics.median(cost.disk) for kind, cost in known.items() if cost.disk}
    return sum(sizes.get(run.kind, 0.0) for run in runs)

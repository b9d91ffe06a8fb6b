"""How long a run may take, from those of its kind that have ended. No torch."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ablate import record
from ablate.plan import PlannedRun
from ablate.record import State

# What an epoch's duration depends on most.
KIND = ("backbone.name", "backbone.freeze", "batch_size.size", "data.name", "data.size", "data.resolution")
Kind = tuple[str | None, ...]


def kind_of(settings: Mapping[str, str]) -> Kind:
    return tuple(settings.get(key) for key in KIND)


def read(study: Path) -> dict[Kind, float]:
    """Seconds per epoch of each kind of run that a study's records know, the mean of them."""
    try:
        plan = record.read_json(study / "study.json")
    except ValueError:
        return {}
    kinds = {
        signature: kind_of(plan.get("constants", {}) | cell["settings"])
        for cell in plan["cells"]
        for signature in cell["runs"].values()
    }
    seen: dict[Kind, list[float]] = {}
    for entry in _entries(study):
        if entry["signature"] in kinds and entry["state"] == State.DONE and entry.get("seconds"):
            seen.setdefault(kinds[entry["signature"]], []).append(entry["seconds"] / max(1, entry["epochs_done"]))
    return {kind: sum(values) / len(values) for kind, values in seen.items()}


def learn(known: dict[Kind, float], settings: Mapping[str, str], entry: Mapping[str, Any]) -> bool:
    """Add what a run took that has just ended to what is known; return whether nothing was known of its kind."""
    kind = kind_of(settings)
    if kind in known or entry["state"] != State.DONE or not entry.get("seconds"):
        return False
    known[kind] = entry["seconds"] / max(1, entry["epochs_done"])
    return True


def _entries(study: Path) -> Iterable[dict[str, Any]]:
    for folder in record.run_folders(study):
        try:
            yield folder.read()
        except ValueError:
            continue  # a damaged record is named by the report


def expected(known: Mapping[Kind, float], settings: Mapping[str, str]) -> float | None:
    """The seconds that a run takes; of a kind not seen yet, those of the longest kind; None when nothing is known."""
    if not known:
        return None
    return known.get(kind_of(settings), max(known.values())) * float(settings.get("trainer.epochs", 1))


def longest_first(runs: Sequence[PlannedRun], known: Mapping[Kind, float]) -> list[PlannedRun]:
    """Seed by seed, so that a half-done study has whole seeds; within a seed the longest first, where that is known."""
    seeds = {seed: place for place, seed in enumerate(dict.fromkeys(run.config.seed for run in runs))}
    return sorted(runs, key=lambda run: (seeds[run.config.seed], -(expected(known, run.settings) or 0.0)))


def left(remaining: Sequence[float | None], at_once: int) -> float | None:
    """Seconds until all that remains is done; None when nothing is known of a part of it."""
    if any(seconds is None for seconds in remaining):
        return None
    seconds = [s for s in remaining if s is not None]
    return max(sum(seconds) / max(1, at_once), max(seconds, default=0.0))


def in_words(seconds: float | None) -> str:
    """A duration as it is said: "40 s", "12 min", "3.5 h"."""
    if seconds is None:
        return "unknown"
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"

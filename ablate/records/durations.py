"""How long runs took, by kind, and what that lets expect of others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablate.records import run_folder
from ablate.records.record import Record, State


@dataclass(frozen=True)
class Kind:
    """What a run's time, memory and disk space depend on most: runs of one kind cost about the same."""

    backbone: str
    freeze: str  # as on the command line: true, false or stages:N
    batch_size: int
    resolution: int  # pixels
    precision: str
    data: str  # fingerprint

    @classmethod
    def of_identity(cls, identity: Mapping[str, Any]) -> "Kind":
        """The kind of a planned or recorded run. Raises KeyError for an identity that is none."""
        data, backbone = identity["data"], identity["backbone"]
        return cls(
            backbone["name"],
            str(backbone.get("freeze", False)).lower(),
            identity["batch_size"]["size"],
            data.get("resolution") or data["size"],
            identity["trainer"].get("precision", "fp32"),
            data["fingerprint"],
        )

    @classmethod
    def of_settings(cls, settings: Mapping[str, str], fingerprint: str) -> "Kind":
        """The kind of a run that is only in a plan, where settings are text."""
        resolution = settings.get("data.resolution", "null")
        return cls(
            settings["backbone.name"],
            settings.get("backbone.freeze", "false"),
            int(settings["batch_size.size"]),
            int(settings["data.size"] if resolution == "null" else resolution),
            settings.get("trainer.precision", "fp32"),
            fingerprint,
        )

    def __str__(self) -> str:
        frozen = {"false": "", "true": ", frozen"}.get(self.freeze, f", frozen {self.freeze}")
        precision = "" if self.precision == "fp32" else f", {self.precision}"
        return f"{self.backbone} x batch {self.batch_size} x {self.resolution} px{frozen}{precision}"


Known = dict[Kind, float]  # seconds per epoch


def of_study(study: Path) -> Known:
    """Seconds per epoch of each kind of run that is DONE in a study, the mean of them."""
    seen: dict[Kind, list[float]] = {}
    for _, record in run_folder.records(study):
        if record.state == State.DONE and record.seconds_per_epoch and record.reused_from is None:
            try:
                seen.setdefault(Kind.of_identity(record.identity), []).append(record.seconds_per_epoch)
            except (KeyError, TypeError):
                continue  # a record without an identity
    return {kind: sum(values) / len(values) for kind, values in seen.items()}


def learn(known: Known, kind: Kind, record: Record | None) -> bool:
    """Add what a run took that has just ended to what is known; return whether nothing was known of its kind."""
    if kind in known or record is None or record.state != State.DONE or not record.seconds_per_epoch:
        return False
    known[kind] = record.seconds_per_epoch
    return True


def expected(known: Mapping[Kind, float], kind: Kind, epochs: float) -> float | None:
    """The seconds that so many epochs of a run take; of a kind not seen yet, those of the longest; None when nothing is
    known."""
    return known.get(kind, max(known.values())) * epochs if known else None


def left(remaining: Sequence[float | None], at_once: int) -> float | None:
    """Seconds until all that remains is done; None when nothing is known of a part of it."""
    if any(seconds is None for seconds in remaining):
        return None
    seconds = [s for s in remaining if s is not None]
    return max(sum(seconds) / max(1, at_once), max(seconds, default=0.0))


def in_words(seconds: float | None) -> str:
    """A duration for people: "40 s", "12 min", "3.5 h"."""
    if seconds is None:
        return "unknown"
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"

"""What a data set that lies in files holds, before any is opened."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Entry:
    """A file and its class. `held`: of the data set's own holdout. Pictures of one group stay on one side."""

    path: Path
    label: int
    held: bool = False
    group: str | None = None


@dataclass(frozen=True)
class Listing:
    """Class names, the files that may be pictures of each part, and those that are left out unopened."""

    root: Path
    classes: tuple[str, ...]
    train: list[Entry]  # its own holdout, if it has one, comes last
    test: list[Entry]
    left_out: Counter[str] = field(default_factory=Counter)  # {reason: files}
    examples: dict[str, list[str]] = field(default_factory=dict)  # {reason: some of them}
    notes: tuple[str, ...] = ()

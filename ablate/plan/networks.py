"""Whether the networks of a plan take their pictures and their weights: what to ask, and what was answered before.

The answers need torch; so they are asked for elsewhere, all at once, and kept by the versions that gave them.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ablate.config.pretrained import packaged_file
from ablate.data.sources import cache_root
from ablate.plan.planned_run import PlannedRun
from ablate.records import files

CHECKED = 1  # raised when the same network may get another answer


@dataclass(frozen=True)
class Question:
    """A backbone, and what is to go through it."""

    name: str
    stem_stride: int | None
    freeze: str  # as on the command line
    resolution: int  # pixels
    batch: int  # images in a step
    at_once: int  # of them in the network at once
    weights: str | None  # a file
    weights_sha256: str | None

    @property
    def key(self) -> str:
        """What the answer depends on: a file's content, not its place, and of the batch whether one image is left."""
        facts = dataclasses.asdict(self) | {"weights": None, "batch": None, "at_once": None, "alone": self.one_is_left}
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:20]

    @property
    def one_is_left(self) -> bool:
        """Whether the last of the parts that a batch is cut into is a single image."""
        return self.batch % self.at_once == 1


def question_of(run: PlannedRun) -> Question:
    """What is to be known of a run's network."""
    backbone, data, batch = run.config.backbone, run.config.data, run.config.batch_size
    return Question(
        name=backbone.name,
        stem_stride=backbone.stem_stride,
        freeze=str(backbone.freeze).lower(),
        resolution=data.resolution or data.size,
        batch=batch.size,
        at_once=int(batch.micro) if batch.micro.isdecimal() else batch.size,
        weights=backbone.weights or packaged_file(backbone),
        weights_sha256=run.identity["backbone"].get("weights"),
    )


def known(run: PlannedRun) -> dict[str, str]:
    """{key of a question: what was answered, "" for yes} by these versions of timm and torch."""
    try:
        answers: dict[str, str] = files.read_json(_place(run))["answers"]
        return {str(key): str(answer) for key, answer in answers.items()}
    except (ValueError, KeyError, AttributeError):
        return {}


def remember(run: PlannedRun, answers: Mapping[str, str]) -> None:
    """Keep answers for the next plan; where that cannot be, they are asked for again."""
    try:
        files.write_json(_place(run), {"answers": known(run) | dict(answers)})
    except OSError:
        return


def _place(run: PlannedRun) -> Path:
    versions: Sequence[Any] = (CHECKED, version("timm"), version("torch"))
    return cache_root(run.config.data) / f"networks-{'-'.join(map(str, versions))}.json"

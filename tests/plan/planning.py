"""Studies planned as the command plans them."""

import json
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from ablate.plan import study_file
from ablate.plan.planned_run import Planned
from ablate.plan.planner import plan_study
from tests.given import hydra_of

SEVEN = (
    "backbone=resnet18,resnet34,effnet_b0", "optimizer=adam,sgd", "head=linear,mlp512,mlp1024", "batch_size=b64,b128",
    "augment=none,flip,strong", "weight_decay=none,wd1e-4", "scheduler=none,cosine",
)  # fmt: skip

FIVE = (
    "optimizer.lr=0.1,0.2,0.3", "head.dropout=0,0.1", "augment.crop=0,0.1,0.2", "batch_size.size=32,64",
    "weight_decay.value=0,0.1",
)  # fmt: skip


def plan(root: Path, *words: str, remembered: bool = True) -> Planned:
    """Plan as the command does, and remember it."""
    given = any(word.startswith(("study.name=", "study=")) for word in words)
    words = (f"study.root={root}", *(() if given else ("study.name=main",)), *words)
    preset_words = [w for w in words if w.startswith(("study", "seeds", "hydra."))]
    words = tuple(word for word in words if not word.startswith("hydra."))
    with hydra_of(*preset_words) as (loader, master):
        preset = [f"{k}={v}" for k, v in (OmegaConf.to_container(master.hydra.sweeper).get("params") or {}).items()]
        planned = plan_study(loader, master, preset, words)
        if remembered:
            study_file.remember(planned)
    return planned


def study_json(root: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((root / "main" / "study.json").read_text())
    return content


def signatures(planned: Planned) -> set[str]:
    return {run.signature for run in planned.runs}

"""Seconds to plan a study, to find that a finished one has nothing left to do, and what is left of a broken-off one.

    python -m benchmarks.plan [--json FILE]

Ours is all that the sweeper does before it trains: enumerate, compose, validate, name, look for records, write
study.json. Against it stands what Hydra's own sweeper and launcher do with the same words before training: compose
every combination, twice. That takes minutes for 1,000, so it is timed over 30 combinations and multiplied. Giving the
command again is timed as a whole process: with every run finished, and with half of them interrupted, whose states
would be gone on from (there with dry_run=true, which stops before the first).
"""

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

import ablate.commands.hydra_app  # noqa: F401  registers the schema and the sweeper
from ablate.config.compose import config_folder
from ablate.design import combinations
from ablate.design.combinations import Factor
from ablate.plan import study_file
from ablate.plan.factors.named import named_levels
from ablate.plan.planned_run import PlannedRun, unique
from ablate.plan.planner import plan_study
from ablate.records import record
from ablate.run.outcome import is_settled, opening_record

ROOT = Path(__file__).parent.parent
TIMED = 30  # combinations of which Hydra's composing is timed
STUDIES = {
    10: ("backbone=resnet18,resnet34,resnet50,effnet_b0,effnet_b1", "optimizer=adam,sgd"),
    100: ("backbone=resnet18,resnet34,resnet50,effnet_b0,effnet_b1", "optimizer=adam,sgd", "seed=0,1,2,3,4,5,6,7,8,9"),
    1000: (
        "backbone=resnet18,resnet34,resnet50,effnet_b0,effnet_b1", "optimizer=adam,sgd",
        "head=linear,mlp256,mlp512,mlp1024,mlp2048", "batch_size=b32,b64", "augment=none,flip,flip_crop,strong,mixup",
        "scheduler=none,cosine",
    ),
    10000: (
        "backbone=resnet18,resnet34,resnet50,effnet_b0,effnet_b1", "optimizer=adam,adamw,sgd,sgd_finetune",
        "head=linear,mlp256,mlp512,mlp1024,mlp2048", "batch_size=b32,b64,b128,b256,b512",
        "augment=none,flip,flip_crop,strong,mixup", "weight_decay=wd5e-4,wd1e-4", "scheduler=none,cosine",
    ),
}  # fmt: skip


@contextmanager
def hydra_of(root: str) -> Iterator[tuple[ConfigLoader, DictConfig]]:
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        yield (
            GlobalHydra.instance().config_loader(),
            compose("config", [f"study.root={root}"], return_hydra_config=True),
        )


def plan(root: str, words: Sequence[str]) -> tuple[float, list[PlannedRun]]:
    with hydra_of(root) as (loader, master):
        started = time.perf_counter()
        planned = plan_study(loader, master, [], [f"study.root={root}", *words])
        todo = [run for run in unique(planned.runs) if not is_settled(run)]
        study_file.remember(planned)
        assert len(todo) == len(planned.runs)
        return time.perf_counter() - started, planned.runs


def composed_by_hydra(root: str, words: Sequence[str]) -> float:
    """Seconds that Hydra takes for one combination: its sweeper composes each to validate it, its launcher again."""
    with hydra_of(root) as (loader, master):
        levels = named_levels(loader, [], [f"study.root={root}", *words])
        jobs = combinations.grid([Factor(key, tuple((word,) for word in of_key)) for key, of_key in levels.items()])
        some = jobs[:: max(1, len(jobs) // TIMED)][:TIMED]
        started = time.perf_counter()
        for job in some:
            for _ in range(2):
                loader.load_sweep_config(master, list(job))
        return (time.perf_counter() - started) / len(some)


def leave(runs: Sequence[PlannedRun], state: record.State) -> None:
    """Write for each run a record as large as a real one, and beside an interrupted one's a state to go on from."""
    metrics = dict.fromkeys(("train_loss", "train_accuracy", "holdout_accuracy", "test_accuracy"), 0.5)
    for run in runs:
        opened = opening_record(run, None)
        digests = ["0" * 64] * 30
        left = dataclasses.replace(opened, state=state, metrics=metrics, seconds=60.0, epoch_digests=digests)
        record.write(run.folder().record, left)
        if not state.is_outcome():
            run.folder().checkpoint.write_bytes(b"")


def again(root: str, words: Sequence[str], expected: str) -> float:
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "ablate", f"study.root={root}", *words], capture_output=True, text=True, cwd=root,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert expected in done.stdout, done.stdout[-2000:] + done.stderr
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plan", description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results: dict[int, dict[str, float]] = {}
    print("| runs | planned, s | Hydra's composing, s | times | finished, again, s | half interrupted, again, s |")
    print("| --- | --- | --- | --- | --- | --- |")
    for count, words in STUDIES.items():
        with tempfile.TemporaryDirectory() as root:
            seconds, runs = plan(root, words)
            assert len(runs) == count
            hydra = count * composed_by_hydra(root, words)
            leave(runs, record.State.DONE)
            finished = again(root, words, f"{count} finished, 0 to train")
            leave(runs[::2], record.State.INTERRUPTED)
            half = again(root, [*words, "dry_run=true"], f"to resume: {count // 2}")
        results[count] = {"planned": seconds, "hydra": hydra, "finished": finished, "interrupted": half}
        print(f"| {count} | {seconds:.2f} | {hydra:.0f} | {hydra / seconds:.0f} | {finished:.2f} | {half:.2f} |",
              flush=True)  # fmt: skip
    print(f"\nHydra's from {TIMED} combinations, each composed twice, times the number.")
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()

"""The plan that is printed before anything is paid for: runs, what they can tell, what they cost."""

import dataclasses
import itertools
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ablate.design import fraction, power
from ablate.launch.local import slots
from ablate.plan import preview
from ablate.plan.planned_run import Planned, PlannedRun, unique
from ablate.records import record
from ablate.records.record import BatchSize, State
from ablate.run.measure import measure
from ablate.run.outcome import is_settled, opening_record
from ablate.system import hardware
from tests.given import TINY
from tests.plan.planning import FIVE, SEVEN, plan
from tests.report.stats.tables import frame, judged


def printed(planned: Planned, measured: bool = False) -> list[str]:
    todo = [run for run in unique(planned.runs) if not is_settled(run)]
    return preview.lines(planned, todo, len(slots(todo)), measure if measured else None)


def leave(run: PlannedRun, state: State, accuracy: float = 0.5, **known: Any) -> None:
    """A record as a run leaves it."""
    known = {"state": state, "metrics": {"test_accuracy": accuracy}, "epochs_done": 3} | known
    record.write(run.folder().record, dataclasses.replace(opening_record(run, None), **known))


def after(lines: Sequence[str], start: str) -> str:
    return next(line for line in lines if line.strip().startswith(start))


# -- the runs ---------------------------------------------------------------------------------


def test_runs_are_told_by_what_will_become_of_them(tmp_path: Path) -> None:
    planned = plan(tmp_path, "optimizer.lr=0.1,0.2,0.3,0.4,0.5,0.6", "weight_decay.value=0", "weight_decay=none,wd1e-4")
    runs = unique(planned.runs)
    assert (len(planned.runs), len(runs)) == (12, 6)
    leave(runs[0], State.DONE)
    leave(runs[1], State.DIVERGED)
    leave(runs[2], State.INTERRUPTED)
    runs[2].folder().checkpoint.write_bytes(b"")
    leave(runs[3], State.FAILED)  # without a checkpoint it starts again
    lines = printed(planned)
    heads = [line for line in lines if not line.startswith(" ")][:5]
    assert heads == [
        "finished: 1", "ended without a result, not retried: 1", "to resume: 1", "to train: 3",
        "the same experiment as another run: 6",
    ]  # fmt: skip
    assert f"  DIVERGED  {runs[1].label}-{runs[1].signature}" in lines
    assert f"  INTERRUPTED  {runs[2].label}-{runs[2].signature}" in lines
    again = plan(tmp_path, "optimizer.lr=0.1,0.2,0.3,0.4,0.5,0.6", "weight_decay.value=0", "retry=diverged")
    assert "to train: 4" in printed(again)


@pytest.mark.slow
def test_a_big_plan_stays_on_one_screen(tmp_path: Path) -> None:
    lines = printed(plan(tmp_path, *SEVEN, "study.design=fractional", "seeds=9", remembered=False))
    assert len(lines) <= 40
    assert "  … and 303 more" in lines
    assert max(map(len, lines)) <= 160


# -- what they can tell -----------------------------------------------------------------------


def test_each_design_says_what_it_can_and_cannot_tell(tmp_path: Path) -> None:
    def told(*words: str) -> str:
        return " ".join(printed(plan(tmp_path, *FIVE, *words, remembered=False)))

    assert "all two-way interactions" in told("seeds=2")
    assert "a model in which no three axes interact" in told()
    assert "the two-way interactions that what is left out leaves estimable" in told(
        "seeds=2", "study.exclude=['optimizer.lr=0.1 head.dropout=0']"
    )
    tied = ("study.exclude=['optimizer.lr=0.1 head.dropout=0','optimizer.lr!=0.1 head.dropout=0.1']", "seeds=2")
    assert "not the main effects of optimizer.lr and head.dropout" in told(*tied)
    assert "head.dropout (2 levels): unknown" in told(*tied)
    assert "interactions cannot be estimated" in told("study.design=one_at_a_time", "seeds=2")
    assert "unknown, as nothing estimates the training noise" in told("study.design=one_at_a_time")
    assert re.search(
        r"optimizer\.lr is confounded with [\w.]+ x [\w.]+ \(up to 0\.\d+\)",
        told("study.design=fractional", "study.cells=12"),
    )
    assert "not confounded with any two-way interaction" in told("study.design=fractional")


def test_noise_is_measured_where_two_seeds_have_run_and_assumed_elsewhere(tmp_path: Path) -> None:
    planned = plan(tmp_path, "optimizer.lr=0.1,0.2", "seeds=2")
    assert "0.3 points of noise between seeds (assumed)" in after(printed(planned), "smallest")
    for run, accuracy in zip(planned.runs, (0.50, 0.60, 0.52, 0.62), strict=True):  # seed by seed
        leave(run, State.DONE, accuracy=accuracy)
    assert "1.4 points of noise between seeds (as measured in this study)" in after(printed(planned), "smallest")
    assert power.noise({"a": [1.0], "b": [2.0]}) is None


def simulated_power(
    kind: str, cells: Sequence[tuple[int, ...]], axes: dict[str, list[str]], seeds: int, points: float
) -> float:
    """How often the report claims the first axis, of two levels, at a true difference of `points`."""
    named = [tuple(map(str, cell)) for cell in cells]
    draw = np.random.default_rng(0)
    claimed = []
    for _ in range(250):
        runs = frame(axes, seeds, lambda r: 80 + points * (r["a0"] == "1") + 0.3 * draw.standard_normal(len(r))
                     + draw.standard_normal(seeds)[r["seed"]], named)  # fmt: skip
        low = judged(runs, axes, {"design": kind}, p_values=False).axes[0].contrasts[0].high
        claimed.append(low is not None and low < 0)
    return float(np.mean(claimed))


@pytest.mark.parametrize("kind", ["grid", "fractional"])
def test_a_difference_called_detectable_is_told_in_four_of_five_studies(kind: str) -> None:
    sizes = (2, 3, 2, 3)
    names = [f"a{i}" for i in range(len(sizes))]
    axes = {name: [str(level) for level in range(n)] for name, n in zip(names, sizes, strict=True)}
    every = list(itertools.product(*map(range, sizes)))
    cells = every if kind == "grid" else fraction.choose(sizes, [], lambda _: True, None)
    levels = [dict(zip(names, map(str, cell), strict=True)) for cell in cells]
    points = power.detectable(kind, [(cell, seed) for cell in levels for seed in range(3)], axes, 0.3)["a0"]
    assert points is not None
    assert simulated_power(kind, cells, axes, 3, points) == pytest.approx(0.8, abs=0.08)
    assert simulated_power(kind, cells, axes, 3, 0.7 * points) < 0.6  # its twin


def test_error_terms_are_those_of_the_report() -> None:
    axes = {"a": ["0", "1", "2"], "b": ["0", "1"]}
    cells = [{"a": a, "b": b} for a in axes["a"] for b in axes["b"]]

    def freedom(kind: str, cells: Sequence[dict[str, str]], seeds: int) -> int | None:
        return power.error_freedom(kind, [(cell, seed) for cell in cells for seed in range(seeds)], axes)

    assert freedom("grid", cells, 1) is None  # with two axes no interaction of three is left
    assert freedom("grid", cells, 2) == 5  # replication: cells and seeds
    assert freedom("grid", cells, 3) == 6  # seeds against axes
    around = [cells[0], cells[2], cells[4], cells[1]]
    assert freedom("one_at_a_time", around, 1) is None
    assert freedom("one_at_a_time", around, 3) == 6  # three variants
    more = [(cell, seed) for cell in around for seed in range(3)] + [(around[0], seed) for seed in (3, 4)]
    assert power.error_freedom("one_at_a_time", more, axes) == 8


def test_more_seeds_for_the_baseline_tell_smaller_differences(tmp_path: Path) -> None:
    words = (*FIVE, "study.design=one_at_a_time", "seeds=2")

    def points(*more: str) -> float:
        lines = printed(plan(tmp_path, *words, *more, remembered=False))
        return float(re.search(r"([\d.]+) points", after(lines, "head.dropout")).group(1))  # type: ignore[union-attr]

    assert points("study.baseline_seeds=5") < points()


# -- what they cost ---------------------------------------------------------------------------


def test_time_memory_and_disk_come_from_records_of_their_kind_anywhere_under_the_root(tmp_path: Path) -> None:
    earlier = plan(tmp_path, "study.name=earlier", "trainer.epochs=2", "head.dropout=0.5", "batch_size=b64,b128")
    leave(earlier.runs[0], State.DONE, epochs_done=2, seconds=20.0, peak_memory_bytes=500_000_000)
    (earlier.runs[0].folder().path / "predictions.npz").write_bytes(bytes(10**6))
    planned = plan(tmp_path, "trainer.epochs=12", "head.dropout=0.1,0.2", "study.slots=1")
    lines = printed(planned)
    assert "1 of 1 kinds of runs are on record" in after(lines, "expected cost")
    assert after(lines, "time") == "  time: about 4 min, 1 at once"  # 2 runs of 12 epochs of 10 s
    assert after(lines, "memory") == "  memory: up to 0.5 GB a run"
    assert after(lines, "disk") == "  disk: about 2.0 MB"
    other = printed(plan(tmp_path, "trainer.epochs=12", "batch_size=b128,b64", "study.slots=1"))
    assert after(other, "time") == "  time: about 2 min, 1 at once, for 1 of 2 runs"
    assert "    resnet18 x batch 128 x 32 px" in other


def test_what_will_not_fit_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("batch_size=b64,b128,b256,b512", "study.slots=2")
    planned = plan(tmp_path, *words)
    again = plan(tmp_path, *words, "seed=7").runs
    for run in again[:3]:
        leave(run, State.DONE, seconds=1.0, peak_memory_bytes=run.config.batch_size.size * 10**8)
    leave(again[2], State.DONE, seconds=1.0, peak_memory_bytes=256 * 10**8, batch=BatchSize(256, 32))
    leave(again[3], State.OOM)
    monkeypatch.setattr(hardware, "memory", lambda: 12 * 10**9)
    lines = printed(planned)
    told = lines[lines.index("memory will be short for 4 kinds of runs:") + 1 :]
    assert told == [
        "  resnet18 x batch 64 x 32 px: 2 at once need 12.8 GB, there are 12.0 GB; study.slots=1 fits",
        "  resnet18 x batch 128 x 32 px: needs 12.8 GB, there are 12.0 GB",
        "  resnet18 x batch 256 x 32 px: needs 25.6 GB, there are 12.0 GB",
        "  resnet18 x batch 512 x 32 px: ran out of memory before",
    ]
    monkeypatch.setattr(hardware, "memory", lambda: 10**12)
    lines = printed(planned)
    assert "  resnet18 x batch 256 x 32 px: does not fit at once, was trained 32 images at a time" in lines
    assert not any("needs" in line for line in lines)


def test_a_few_steps_tell_what_no_record_does(tmp_path: Path) -> None:
    planned = plan(tmp_path, *TINY, "trainer.epochs=10", "head.dropout=0,0.5", "batch_size=b64")
    lines = printed(planned, measured=True)
    assert "0 of 1 kinds of runs are on record, 1 were measured over a few steps" in after(lines, "expected cost")
    assert re.search(r"about \d+ (s|min), \d+ at once$", after(lines, "time"))
    assert "up to" in after(lines, "memory")
    assert after(lines, "disk") == "  disk: about 0.4 MB"  # two runs, most of it what is looked at
    kept = printed(plan(tmp_path, *TINY, "trainer.epochs=10", "trainer.keep_weights=all"), measured=True)
    assert after(kept, "disk") == "  disk: about 1.7 MB"  # the network has 1.5
    assert "dry_run=measure" not in " ".join(lines)
    assert not any((tmp_path / "main").glob("*/record.json"))


def test_a_damaged_record_does_not_keep_the_plan_from_being_printed(tmp_path: Path) -> None:
    planned = plan(tmp_path, "optimizer.lr=0.1,0.2")
    folder = planned.runs[0].folder()
    folder.path.mkdir()
    folder.record.write_text("{")
    assert "to train: 2" in printed(planned)
    folder.record.write_text(json.dumps({"state": "DONE", "signature": "x", "levels": {}, "seed": 0, "metrics": {}}))
    assert "finished: 1" in printed(planned)

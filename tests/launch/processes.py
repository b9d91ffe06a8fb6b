"""Sweeps as processes: started, with mishaps if so wished, and waited for."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from ablate.data import datasets
from ablate.train.loop import train
from ablate.train.model import on_cpu, weights_sha256
from tests.given import ROOT, config_of

# Put where Python looks for it at every start: what befalls a run is no part of the product.
MISHAPS = """
import os, sys
without = os.environ.get("WITHOUT")  # a protection, taken away so that its test is seen to fail
if without == "ends": os.kill = lambda *_: None
def befall():
    module = sys.modules.get("ablate.run.attempt")
    if module is None or os.environ.get("MISHAPS") is None:
        return
    if without == "ends": sys.modules["ablate.launch.forkserver"].end_with_parent = lambda _: None
    if without == "locks":
        import contextlib, ablate.run.lifecycle
        ablate.run.lifecycle.hold = lambda _: contextlib.nullcontext()
    import ctypes, pathlib, signal, time, torch
    original = module.train
    here = pathlib.Path(os.environ["MISHAPS"])
    def train(config, images, device, on_epoch, checkpoints):
        seed = config.seed
        with open(here / "trained", "a") as file:
            file.write(f"{seed}\\n")
        if seed == 100: raise RuntimeError("broken")
        if seed == 101: sys.exit(3)
        if seed == 102: os.kill(os.getpid(), signal.SIGKILL)
        if seed == 103: ctypes.string_at(0)
        if seed == 104: time.sleep(1000)
        if seed == 105: config.optimizer.lr = 1e9
        if seed == 106: torch.empty(2**60)
        if seed == 107: os._exit(5)
        if seed == 201 and not (here / "killed").exists():
            calls = []
            def on_second(epoch, on_epoch=on_epoch):
                calls.append(epoch)
                if len(calls) == 2:
                    (here / "killed").touch()
                    os.kill(os.getpid(), signal.SIGKILL)
                on_epoch(epoch)
            return original(config, images, device, on_second, checkpoints)
        return original(config, images, device, on_epoch, checkpoints)
    module.train = train
os.register_at_fork(after_in_child=befall)
"""


def start(folder: Path, *words: str, mishaps: bool = True, slots: int = 2, without: str = "") -> subprocess.Popen[str]:
    path = str(ROOT)
    if mishaps:
        (folder / "site").mkdir(exist_ok=True)
        (folder / "site" / "sitecustomize.py").write_text(MISHAPS)
        path = f"{folder / 'site'}{os.pathsep}{path}"
    return subprocess.Popen(
        [sys.executable, "-m", "ablate", *words, f"study.slots={slots}"], cwd=folder, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": path, "MISHAPS": str(folder), "WITHOUT": without},
    )  # fmt: skip


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=500)
    return process.returncode, out, err


def undisturbed(words: Sequence[str], seed: int = 0) -> str:
    """The hash of a run's final weights, trained in this process, which nothing befalls."""
    config = config_of(*words, f"seed={seed}")
    return weights_sha256(on_cpu(train(config, datasets.load(config.data), torch.device("cpu"), lambda _: None)))


def wait_for(what: Callable[[], object], seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def children_of(pid: int) -> list[int]:
    return [int(p) for p in subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()]


def descendants_of(pid: int) -> list[int]:
    return [pid for child in children_of(pid) for pid in (*descendants_of(child), child)]


def alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def records(folder: Path) -> dict[int, dict[str, Any]]:
    entries = [json.loads(path.read_text()) for path in folder.glob("outputs/main/*/record.json")]
    return {entry["seed"]: entry for entry in entries}

"""A long study that is left alone, and the same one while its processes are killed at random.

    python -m benchmarks.soak [--runs N] [--kill-every SECONDS] [--seed N] [--json FILE]

Both train the same runs. In the second, every few seconds a SIGKILL goes to a run, to the server that runs are forked
from, or to the command itself, or the command gets SIGINT or SIGTERM; a command that has ended before all runs are
finished is given again. At the end, every run's state and weights are compared with those of the study that was left
alone, and processes, temporary files and locks that nothing uses any more are counted. Linux only.
"""

import argparse
import collections
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).parent.parent
LEVELS = 5
WAYS = ("run", "run", "run", "run", "server", "command", "SIGINT", "SIGTERM")  # of ending something


def make_images(folder: Path) -> None:
    """Three classes of pictures of 16 x 16 pixels: 60 to train with, 24 to test on."""
    draw = np.random.default_rng(0)
    for part, count in (("train", 20), ("val", 8)):
        for number, name in enumerate(("cat", "dog", "eel")):
            (folder / part / name).mkdir(parents=True)
            for picture in range(count):
                pixels = draw.integers(0, 200, (16, 16, 3), dtype=np.uint8)
                pixels[..., number] += 50
                Image.fromarray(pixels).save(folder / part / name / f"{picture}.png")


def words(images: Path, runs: int) -> list[str]:
    return [
        "backbone=timm", "backbone.name=test_resnet", "data=folder", f"data.path={images}", "data.size=16",
        "batch_size=b32", "trainer.epochs=3", "trainer.tensorboard=false", "trainer.checkpoint_time=0",
        "optimizer=sgd", "optimizer.lr=" + ",".join(str(0.01 * (n + 1)) for n in range(LEVELS)),
        f"seeds={runs // LEVELS}", "study.name=soak", "study.slots=2",
    ]  # fmt: skip


def start(folder: Path, command: Sequence[str], output: Path) -> subprocess.Popen[bytes]:
    """Give the command in a folder; what it writes goes to a file."""
    with output.open("ab") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "ablate", *command], cwd=folder, stdout=file, stderr=file, start_new_session=True,
            env=os.environ | {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(folder / "cache"), "SOAK": str(folder)},
        )  # fmt: skip


def processes(folder: Path) -> dict[int, int]:
    """{process: its parent} of all that the study's commands have started, wherever they have ended up."""
    found = {}
    mark = f"SOAK={folder}".encode()
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (place / "environ").read_bytes().split(b"\0"):
                found[int(place.name)] = int((place / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it has ended, or is another user's
    return found


def descriptors_and_memory(pid: int) -> tuple[int, int]:
    """How many files a process has open, and the bytes of memory that are its own; zeros when it has ended."""
    try:
        pages = (Path("/proc") / str(pid) / "statm").read_text().split()
        own = (int(pages[1]) - int(pages[2])) * os.sysconf("SC_PAGE_SIZE")
        return len(list((Path("/proc") / str(pid) / "fd").iterdir())), own
    except OSError:
        return 0, 0


def records(folder: Path) -> list[dict[str, Any]]:
    entries = []
    for path in folder.glob("outputs/soak/*/record.json"):
        entries.append(json.loads(path.read_text()))  # a record that is half written would be an error here
    return entries


def end_something(way: str, command: int, tree: dict[int, int], draw: random.Random) -> bool:
    """Send a signal to the command, to its server, or to a run; return whether there was such a process."""
    servers = [pid for pid, parent in tree.items() if parent == command]
    runs = [pid for pid, parent in tree.items() if parent in servers]
    among = {"run": runs, "server": servers}.get(way, [command])
    if not among:
        return False
    try:
        os.kill(draw.choice(among), getattr(signal, way, signal.SIGKILL))
    except ProcessLookupError:
        return False
    return True


def disturbed(folder: Path, command: list[str], runs: int, every: float, seed: int) -> dict[str, Any]:
    """Train the study while its processes are killed; return what was done and seen."""
    draw = random.Random(seed)
    ended: collections.Counter[str] = collections.Counter()
    seen: list[tuple[int, int]] = []  # descriptors and memory of the command, while it lives
    commands, started = 0, time.monotonic()
    while True:
        process = start(folder, command, folder / "output")
        commands += 1
        next_end = time.monotonic() + draw.uniform(0.5, 2 * every)
        while process.poll() is None:
            time.sleep(0.1)
            seen.append(descriptors_and_memory(process.pid))
            if time.monotonic() > next_end:
                way = draw.choice(WAYS)
                ended[way] += end_something(way, process.pid, processes(folder), draw)
                next_end = time.monotonic() + draw.uniform(0.5, 2 * every)
        entries = records(folder)
        print(f"{len(entries)} records, exit code {process.returncode}, {sum(ended.values())} signals", flush=True)
        if process.returncode == 0 and sum(entry["state"] == "DONE" for entry in entries) == runs:
            break
    said = (folder / "output").read_text(errors="replace")
    for part in said.split("Traceback")[1:]:
        print(part[:3000], flush=True)
    alive = [pair for pair in seen if pair != (0, 0)]
    deadline = time.monotonic() + 10
    while processes(folder) and time.monotonic() < deadline:
        time.sleep(0.2)
    files = [path for path in (folder / "outputs").rglob("*") if path.is_file()]
    return {
        "commands": commands, "signals": dict(ended), "seconds": round(time.monotonic() - started),
        "descriptors at most": max(d for d, _ in alive), "own memory at most, MB": max(m for _, m in alive) // 2**20,
        "processes left": len(processes(folder)),
        "checkpoints left": sum(path.name == "checkpoint.pt" for path in files),
        "temporary files left": sum(".tmp" in path.name for path in files),
        "tracebacks": said.count("Traceback"),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--kill-every", type=float, default=4, help="mean seconds between two signals")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        here = Path(place)
        make_images(here / "images")
        command = words(here / "images", options.runs)
        (here / "calm").mkdir()
        (here / "killed").mkdir()
        calm = start(here / "calm", command, here / "calm" / "output")
        if calm.wait():
            sys.exit((here / "calm" / "output").read_text())
        result = disturbed(here / "killed", command, options.runs, options.kill_every, options.seed)
        ours, theirs = ({e["signature"]: e for e in records(here / name)} for name in ("killed", "calm"))
    result["states"] = dict(collections.Counter(entry["state"] for entry in ours.values()))
    result["runs resumed"] = sum(bool(entry["resumed"]) for entry in ours.values())
    result["weights that differ"] = sum(
        key not in ours or ours[key]["weights_sha256"] != entry["weights_sha256"] for key, entry in theirs.items()
    )
    for name, value in result.items():
        print(f"{name:28} {value}")
    if options.json:
        options.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()

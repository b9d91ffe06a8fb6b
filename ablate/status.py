"""Where a study is: what is done, what runs, what failed, what is left. Reads files only, and needs no torch."""

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from ablate import durations, record
from ablate.lock import holder
from ablate.record import RunFolder, State


def lines(study: Path) -> list[str]:
    """What is known of a study, finished or not. Raises ValueError when the folder holds none."""
    if not (study / "study.json").exists():
        raise ValueError(f"{study} holds no study.json; a study is a folder that `python -m ablate` made")
    plan = record.read_json(study / "study.json")
    settings = {
        signature: plan.get("constants", {}) | cell["settings"]
        for cell in plan["cells"]
        for signature in cell["runs"].values()
    }
    folders = {path.name.rpartition("-")[2]: RunFolder(path) for path in sorted(study.iterdir()) if path.is_dir()}
    known = durations.read(study)
    counts: Counter[str] = Counter()
    running, ended, remaining = [], [], []
    for signature, wanted in settings.items():
        folder = folders.get(signature)
        state, told = look(folder) if folder is not None else ("not trained", "")
        counts[state] += 1
        seconds = durations.expected(known, wanted)
        if folder is None:
            remaining.append(seconds)
            continue
        if state == "running":
            done = epochs_done(folder)
            epochs = int(wanted["trainer.epochs"])
            running.append(f"  running  {folder.path.name}  epoch {min(done + 1, epochs)}/{epochs}, {told}")
            remaining.append(None if seconds is None else seconds * (1 - done / epochs))
        elif state != State.DONE:
            ended.append(f"  {state}  {folder.path.name}  {told}".rstrip())
            if not (state in set(State) and State(state).is_outcome()):
                remaining.append(seconds)
    about = durations.in_words(durations.left(remaining, max(1, len(running))))
    summary = ", ".join(f"{count} {state}" for state, count in counts.items())
    return [
        f"study {plan['name']}: {len(settings)} runs planned: {summary}",
        *running,
        *ended,
        f"time left: {about}" if running or not remaining else f"nothing is running; what is left takes: {about}",
    ]


def look(folder: RunFolder) -> tuple[str, str]:
    """(state, more about it) of a run; "running" only while the process that trains it lives."""
    if (who := holder(folder)) is not None:
        return "running", str(who)
    try:
        entry: dict[str, Any] = folder.read()
    except ValueError as error:
        return "not trained", "" if not folder.record.exists() else str(error)
    if entry["state"] == State.RUNNING:
        return "unfinished", "its process is gone; the same command goes on with it"
    return entry["state"], (entry.get("error") or {}).get("message", "")


def epochs_done(folder: RunFolder) -> int:
    try:
        return len(folder.read_metrics())
    except ValueError:
        return 0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m ablate.status", description=__doc__)
    parser.add_argument("study", type=Path, nargs="?", help="as outputs/main; by default the study changed last")
    options = parser.parse_args()
    try:
        print("\n".join(lines(options.study or record.latest_study(Path("outputs")))))
    except ValueError as error:
        print(f"ablate.status: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()

"""`ablate status [STUDY]`: the finished, running, failed and missing runs of a study. Reads files only."""

import argparse
import dataclasses
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ablate.records import durations, files, run_folder, study_plan
from ablate.records.durations import Kind
from ablate.records.lock import holder
from ablate.records.record import State
from ablate.records.run_folder import RunFolder
from ablate.system.terminal import visible

RUNS_ON = {"backbone.name", "batch_size.size", "data.size", "trainer.epochs"}  # what the cost of a run depends on


@dataclass(frozen=True)
class RunStatus:
    """One planned run. `state` is a record's, or "not trained", "running" or "unfinished": no process trains it."""

    run: str  # the folder's name, or the signature of a run that has none
    state: str
    epochs_done: int
    epochs: int
    message: str
    seconds_left: float | None  # of training; None where nothing is known of its kind

    def in_words(self) -> str:
        """One line for a terminal."""
        if self.state == "running":
            epoch = min(self.epochs_done + 1, self.epochs)
            return f"  running  {self.run}  epoch {epoch}/{self.epochs}, {self.message}"
        return f"  {self.state}  {self.run}  {self.message}".rstrip()


@dataclass(frozen=True)
class StudyStatus:
    """Every planned run of a study. waiting: combinations whose runs are planned once their values are chosen."""

    study: str
    folder: str
    runs: list[RunStatus]
    waiting: int = 0

    @property
    def counts(self) -> dict[str, int]:
        """How many runs are in each state."""
        return dict(Counter(run.state for run in self.runs))

    def seconds_left(self) -> float | None:
        """Seconds until everything is trained, as many runs at once as now."""
        remaining = [run.seconds_left for run in self.runs if run.seconds_left != 0]
        return durations.left(remaining, max(1, self.counts.get("running", 0)))


def of_study(folder: Path) -> StudyStatus:
    """What is known of a study, finished or not. Raises ValueError when the folder holds none."""
    plan = study_plan.read(folder)
    known = durations.of_study(folder)
    fingerprint = next((kind.data for kind in known), "")
    runs = []
    trials = plan.tuning.signatures() if plan.tuning is not None else set()
    for signature, settings in plan.settings_by_signature().items():
        if signature in trials and not settings.keys() >= RUNS_ON:  # its group of settings is what is tuned
            runs.append(_look(signature, run_folder.find_run(folder, signature), 0, None))
            continue
        try:
            epochs, kind = int(settings["trainer.epochs"]), Kind.of_settings(settings, fingerprint)
        except (KeyError, ValueError):
            raise ValueError(f"{folder / study_plan.NAME} does not say what {signature} is trained with") from None
        seconds = durations.expected(known, kind, epochs)
        runs.append(_look(signature, run_folder.find_run(folder, signature), epochs, seconds))
    waiting = sum(not cell.runs for cell in plan.cells)
    return StudyStatus(plan.name, str(folder), runs, waiting)


def _look(signature: str, folder: RunFolder | None, epochs: int, seconds: float | None) -> RunStatus:
    """One run; "running" only while the process that trains it lives."""
    if folder is None:
        return RunStatus(signature, "not trained", 0, epochs, "", seconds)
    name = folder.path.name
    if (process := holder(folder)) is not None:
        done = _epochs_done(folder)
        left = None if seconds is None else seconds * (1 - done / epochs)
        return RunStatus(name, "running", done, epochs, str(process), left)
    try:
        record = folder.read()
    except ValueError as error:
        message = str(error) if folder.record.exists() else ""
        return RunStatus(name, "not trained", 0, epochs, message, seconds)
    if record.state == State.RUNNING:
        message = "its process has died; the same command resumes it"
        return RunStatus(name, "unfinished", record.epochs_done, epochs, message, seconds)
    left = 0.0 if record.state.is_outcome() else seconds
    return RunStatus(name, record.state, record.epochs_done, epochs, record.message, left)


def _epochs_done(folder: RunFolder) -> int:
    try:
        return len(folder.read_metrics())
    except ValueError:
        return 0


def lines(status: StudyStatus) -> list[str]:
    """The status for a terminal: the counts, then every run that runs, failed or is unfinished."""
    shown = [run for run in status.runs if run.state not in (State.DONE, "not trained") or run.message]
    shown.sort(key=lambda run: run.state != "running")
    counts = ", ".join(f"{count} {state}" for state, count in status.counts.items())
    about = durations.in_words(status.seconds_left())
    idle = any(run.seconds_left != 0 for run in status.runs) and "running" not in status.counts
    return [
        f"study {status.study}: {len(status.runs)} runs planned: {counts}",
        *(run.in_words() for run in shown),
        *(
            [f"{status.waiting} combinations await their tuned values; the same command compares them"]
            if status.waiting
            else []
        ),
        f"nothing is running; the rest takes: {about}" if idle else f"time left: {about}",
    ]


def main(arguments: Sequence[str]) -> int:
    """Print where a study is. Returns 0. Raises ValueError when the folder holds no study."""
    parser = argparse.ArgumentParser(
        prog="ablate status",
        description="Show the finished, running, failed and missing runs of a study, and the time left.",
    )
    parser.add_argument(
        "study",
        type=Path,
        nargs="?",
        help="its folder, as outputs/main (default: the one in outputs/ that changed last)",
    )
    parser.add_argument("--json", action="store_true", help="print the same as JSON, with every planned run")
    options = parser.parse_intermixed_args(arguments)
    status = of_study(options.study or run_folder.latest_study(Path("outputs")))
    if options.json:
        facts = {"format": 1, **dataclasses.asdict(status), "counts": status.counts}
        print(json.dumps(files.finite(facts | {"seconds_left": status.seconds_left()}), indent=2))
    else:
        print("\n".join(map(visible, lines(status))))
    return 0

"""A study while it is trained: one screen in a terminal, plain lines elsewhere."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ablate.launch.run_state import Ended, InTraining, Progress
from ablate.records.durations import in_words
from ablate.records.record import State
from ablate.system.progress import Silence
from ablate.system.terminal import visible

NAMED = 2  # runs of which a plain line says how far they are


class Screen:
    """While entered, shows what show() is given, and says what ended. In a terminal only failures stay in sight.

    Elsewhere it breaks a long silence with a line about the runs in training.
    """

    def __init__(self, total: int, stream: TextIO) -> None:
        self.total = total
        self.counts: Counter[str] = Counter()
        self.began = time.monotonic()
        self.console = Console(file=stream, highlight=False)
        self.silence = Silence()
        self.live: Live | None = None
        if stream.isatty():
            self.live = Live(console=self.console, refresh_per_second=4, transient=True)

    def __enter__(self) -> "Screen":
        if self.live is not None:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live is not None:
            self.live.stop()

    def ended(self, run: Ended, left: float | None) -> None:
        """A run has ended, here or elsewhere."""
        self.counts[run.state] += 1
        number = f"[{sum(self.counts.values())}/{self.total}]"
        if run.state != State.DONE or run.record is None:
            self.say(f"{number} {run.state} {run.planned.name}  {run.message}")
        elif self.live is None:
            metrics = run.record.metrics
            self.say(
                f"{number} {run.state} {run.planned.name}  test {100 * metrics['test_accuracy']:.1f} %, "
                f"loss {metrics['test_loss']:.3f}, {in_words(run.record.seconds)}; {in_words(left)} left"
            )

    def say(self, line: str) -> None:
        """A line that stays in sight."""
        self.console.print(Text(visible(line)), soft_wrap=True)
        self.silence.broken()

    def show(self, training: Sequence[InTraining], left: Callable[[], float | None]) -> None:
        """Draw the screen anew; outside a terminal, say how far the runs are if nothing was said for long."""
        if self.live is not None:
            self.live.update(self._picture(training, left()))
        elif training and self.silence.is_over():
            of_each = [f"{run.planned.label}: {_in_words(run)}" for run in training[:NAMED]]
            more = [f"{len(training) - NAMED} more in training"] if len(training) > NAMED else []
            self.say(f"[{sum(self.counts.values())}/{self.total}] {'; '.join([*of_each, *more])}")

    def _picture(self, training: Sequence[InTraining], left: float | None) -> Group:
        done = sum(self.counts.values())
        whole = Table.grid(padding=(0, 2))
        counts = ", ".join(f"{n} {state}" for state, n in self.counts.items()) or "none ended"
        whole.add_row(
            Text(f"{done}/{self.total}", style="bold"),
            ProgressBar(self.total, done + sum(run.share() for run in training), width=30),
            Text(counts),
            Text(f"{in_words(time.monotonic() - self.began)} gone, {in_words(left)} left"),
        )
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("run", no_wrap=True, overflow="ellipsis", ratio=1)
        for name in ("epoch", "step", "loss", "test", "images/s"):
            table.add_column(name, no_wrap=True, justify="right")
        for run in training:
            table.add_row(run.planned.label, *_cells(run))
        return Group(whole, table)


def _in_words(run: InTraining) -> str:
    epoch, step, *_ = _cells(run)
    return f"epoch {epoch}, {step}" if epoch else step


def _cells(run: InTraining) -> tuple[str, ...]:
    progress, epochs = run.progress, run.planned.budget.epochs
    if progress is None:
        return ("", "trained by another process", "", "", "")
    if progress == Progress():
        return ("", "starting", "", "", "")
    if not progress.trains:
        return ("", f"{progress.stage}: {progress.done}/{progress.total}", "", "", "")
    epoch = f"{min(progress.epoch + 1, epochs)}/{epochs}"
    step = f"{100 * progress.done / max(1, progress.total):.0f} %"
    if progress.loss is None or progress.accuracy is None or progress.speed is None:
        return (epoch, step, "", "", "")
    return (epoch, step, f"{progress.loss:.3f}", f"{100 * progress.accuracy:.1f} %", f"{progress.speed:.0f}")

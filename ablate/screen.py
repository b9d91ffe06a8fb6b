"""A study while it is trained: one screen in a terminal, plain lines elsewhere."""

import time
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ablate.durations import in_words
from ablate.plan import PlannedRun
from ablate.record import State
from ablate.running import Running


class Screen:
    """While entered, shows what show() is given, and says what ended. In a terminal only failures stay in sight."""

    def __init__(self, total: int, stream: TextIO) -> None:
        self.total = total
        self.counts: Counter[str] = Counter()
        self.began = time.monotonic()
        self.console = Console(file=stream, highlight=False)
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

    def ended(self, run: PlannedRun, entry: dict[str, Any], left: float | None) -> None:
        """A run has come to an end, here or elsewhere."""
        state = entry["state"]
        self.counts[state] += 1
        number = f"[{sum(self.counts.values())}/{self.total}]"
        name = f"{run.label}-{run.signature}"
        if state == State.DONE:
            metrics = entry["metrics"]
            if self.live is None:
                self.say(
                    f"{number} {state} {name}  test {100 * metrics['test_accuracy']:.1f} %, "
                    f"loss {metrics['test_loss']:.3f}, {in_words(entry['seconds'])}; {in_words(left)} left"
                )
        else:
            self.say(f"{number} {state} {name}  {(entry.get('error') or {}).get('message', '')}")

    def retry(self, run: PlannedRun, why: str) -> None:
        self.say(f"going on with {run.label}-{run.signature}  {why}")

    def say(self, line: str) -> None:
        """A line that stays in sight."""
        self.console.print(Text(line), soft_wrap=True)

    def show(self, running: Collection[Running], elsewhere: Sequence[PlannedRun], left: float | None) -> None:
        if self.live is not None:
            self.live.update(self._picture(running, elsewhere, left))

    def _picture(self, running: Collection[Running], elsewhere: Sequence[PlannedRun], left: float | None) -> Group:
        done = sum(self.counts.values())
        whole = Table.grid(padding=(0, 2))
        counts = ", ".join(f"{n} {state}" for state, n in self.counts.items()) or "none ended"
        whole.add_row(
            Text(f"{done}/{self.total}", style="bold"),
            ProgressBar(self.total, done + sum(run.share() for run in running), width=30),
            Text(counts),
            Text(f"{in_words(time.monotonic() - self.began)} gone, {in_words(left)} left"),
        )
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("run", no_wrap=True, overflow="ellipsis", ratio=1)
        for name in ("epoch", "step", "loss", "test", "images/s"):
            table.add_column(name, no_wrap=True, justify="right")
        for run in running:
            table.add_row(run.planned.label, *_cells(run))
        for planned in elsewhere:
            table.add_row(planned.label, "", "trained by another process", "", "", "")
        return Group(whole, table)


def _cells(run: Running) -> tuple[str, ...]:
    told, epochs = run.told, run.planned.config.trainer.epochs
    if not told:
        return ("", "starting", "", "", "")
    if "stage" in told and not told["training"]:
        return ("", f"{told['stage']}: {told['done']}/{told['total']}", "", "", "")
    epoch = min(int(told.get("epoch", 0)) + 1, epochs)
    step = f"{100 * told.get('done', 0) / max(1, told.get('total', 1)):.0f} %"
    if "loss" not in told:
        return (f"{epoch}/{epochs}", step, "", "", "")
    return (
        f"{epoch}/{epochs}", step, f"{told['loss']:.3f}", f"{100 * told['accuracy']:.1f} %", f"{told['speed']:.0f}",
    )  # fmt: skip

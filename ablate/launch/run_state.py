"""What is known of a run while a sweep trains it: how far it is, and how it ended."""

from dataclasses import dataclass

from ablate.plan.planned_run import PlannedRun
from ablate.records.record import Record, State


@dataclass
class Progress:
    """How far a run is, as its process reports or its files show."""

    epoch: int = 0  # epochs done
    stage: str = ""  # what it does now
    done: int = 0  # of that, in its own unit
    total: int = 0
    loss: float | None = None  # of training, in nats, in the last epoch
    accuracy: float | None = None  # on the test set, a fraction
    speed: float | None = None  # images per second

    @property
    def trains(self) -> bool:
        """Whether it is in an epoch, rather than reading data or computing features."""
        return not self.stage or self.stage.startswith("epoch ")


@dataclass(frozen=True)
class InTraining:
    """A run that is trained now; without `progress` by a process that does not report it."""

    planned: PlannedRun
    progress: Progress | None
    guess: float | None = None  # seconds that the whole run takes, from how far it is

    def share(self) -> float:
        """How much of the run is done, a fraction."""
        if self.progress is None:
            return 0.0
        step = self.progress.done / max(1, self.progress.total) if self.progress.trains else 0.0
        budget, epoch = self.planned.budget, self.progress.epoch
        return min(1.0, (budget.steps_until(epoch) + step * budget.steps_of(epoch + 1)) / budget.steps)


@dataclass(frozen=True)
class Ended:
    """A run that is over for this sweep. `record` is None where it left none that can be read."""

    planned: PlannedRun
    state: State
    message: str
    record: Record | None

    @classmethod
    def by_record(cls, planned: PlannedRun) -> "Ended":
        """What the run's own record says; FAILED where it cannot be read."""
        try:
            record = planned.folder().read()
        except ValueError as error:
            return cls(planned, State.FAILED, str(error), None)
        return cls(planned, record.state, record.message, record)

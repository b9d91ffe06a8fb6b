"""How much a run trains: epochs over the training images, or a number of the optimizer's updates."""

from dataclasses import dataclass

from ablate.config.schema import Config


@dataclass(frozen=True)
class Budget:
    """The updates of a run, and how they fall into epochs. Of a budget in steps, the last epoch may be partial."""

    steps: int  # of the optimizer, in all
    steps_per_epoch: int  # images that do not fill a batch wait for another epoch's order

    @classmethod
    def of(cls, config: Config, images: int) -> "Budget":
        """The budget of a run with so many training images, the holdout left out."""
        per_epoch, steps = max(1, images // config.batch_size.size), config.trainer.steps
        if config.trainer.epochs is not None:
            steps = config.trainer.epochs * per_epoch
        assert steps is not None, "a validated configuration has one of the two"
        return cls(steps, per_epoch)

    @property
    def epochs(self) -> int:
        """Epochs that are begun."""
        return -(-self.steps // self.steps_per_epoch)

    @property
    def passes(self) -> float:
        """The same in whole epochs and a share of one, which is what the training takes its time for."""
        return self.steps / self.steps_per_epoch

    def steps_of(self, epoch: int) -> int:
        """The updates of one epoch, counted from 1; 0 after the last."""
        return max(0, min(self.steps_per_epoch, self.steps - (epoch - 1) * self.steps_per_epoch))

    def steps_until(self, epoch: int) -> int:
        """The updates that are made when an epoch has ended."""
        return min(self.steps, epoch * self.steps_per_epoch)

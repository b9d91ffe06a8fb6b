"""TensorBoard: for looking, never the source of truth; when it fails, the run goes on."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

log = logging.getLogger("ablate")


class Board:
    """Scalars and hyperparameters of one run; with no folder, or after a failure, it does nothing."""

    def __init__(self, folder: Path | None) -> None:
        self.writer: SummaryWriter | None = None
        if folder is not None:
            self._try(lambda: setattr(self, "writer", SummaryWriter(str(folder))))

    def scalars(self, row: Mapping[str, float]) -> None:
        """One epoch's metrics, named part/what so that TensorBoard groups them."""
        epoch = int(row["epoch"])
        for name, value in row.items():
            if name != "epoch":
                part, _, what = name.partition("_")
                tag = f"{part}/{what}" if what in ("loss", "accuracy") else f"run/{name}"
                self._write(lambda w, t=tag, v=value: w.add_scalar(t, v, epoch))  # type: ignore[misc]

    def hparams(self, levels: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
        """The run's levels beside its final metrics."""
        finals = {f"final/{name}": value for name, value in metrics.items()}
        # run_name "." keeps it in the run's own folder, where the scalars are.
        self._write(lambda w: w.add_hparams(dict(levels), finals, run_name="."))

    def close(self) -> None:
        self._write(lambda w: w.close())

    def _write(self, write: Callable[[SummaryWriter], object]) -> None:
        writer = self.writer
        if writer is not None:
            self._try(lambda: write(writer))

    def _try(self, action: Callable[[], object]) -> None:
        try:
            action()
        except Exception as error:  # a full disk, too many open files, a bug in a library we only look through
            self.writer = None
            log.warning("TensorBoard is off for this run: %s", error)

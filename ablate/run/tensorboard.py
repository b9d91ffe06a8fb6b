"""TensorBoard: for viewing, never the source of truth; when it fails, the run continues."""

import io
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tensorboard.compat.proto.summary_pb2 import Summary
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams as hparams_summaries

from ablate.records.confusion import Counts
from ablate.run.samples import choose

log = logging.getLogger("ablate")
CURVES = ("loss", "accuracy")  # of each part of the data


class Board:
    """Scalars, hyperparameters and pictures of one run; with no folder, or after a failure, it does nothing."""

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
                tag = f"{part}/{what}" if what in CURVES else f"run/{name}"
                self._write(lambda w, t=tag, v=value: w.add_scalar(t, v, epoch))  # type: ignore[misc]

    def confusion(self, epoch: int, counts: Counts, classes: Sequence[str]) -> None:
        """A picture of the counts (C, C) on the test set: row = true class, column = predicted class."""

        def draw(writer: SummaryWriter) -> None:
            from ablate.run import pictures  # imports matplotlib, and only a run that draws waits for it

            picture = pictures.confusion(counts, classes, epoch)
            _add_picture(writer, "confusion", picture, epoch, colours=128)

        self._write(draw)

    def samples(self, images: np.ndarray, labels: Tensor, logits: Tensor, classes: Sequence[str], epoch: int) -> None:
        """A picture of some test images, half of them predicted right and half wrong where there are enough.

        images: (N, H, W, 3) uint8; labels: (N,); logits: (N, C), on the CPU.
        """

        def draw(writer: SummaryWriter) -> None:
            from ablate.run import pictures

            predicted = logits.argmax(1)
            some = choose((predicted == labels).numpy())
            probability = logits[some].softmax(1).amax(1)
            found = pictures.Predicted(labels[some].numpy(), predicted[some].numpy(), probability.numpy())
            picture = pictures.samples(images[some], found, classes, epoch)
            _add_picture(writer, "samples", picture, epoch)

        self._write(draw)

    def hparams(self, levels: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
        """The run's levels next to its final metrics: a row of the HPARAMS tab over a whole study."""

        def add(writer: SummaryWriter) -> None:
            # Without the first summary, which SummaryWriter.add_hparams writes too: it lists the columns, and
            # TensorBoard would take the list of one run, any one, for the whole study. Left to find out for
            # itself, it has the columns of all runs and shows first those in which they differ.
            _, start, end = hparams_summaries({key: _number(level) for key, level in levels.items()}, {})
            events: Any = writer.file_writer
            events.add_summary(start)
            events.add_summary(end)
            for name, value in metrics.items():
                # The tab takes the last value of each curve too, so only what has none is added. Tags are sorted by
                # the alphabet, and this name comes after those of the curves.
                if name.partition("_")[2] not in CURVES:
                    writer.add_scalar(f"trained/{name}", value)

        self._write(add)

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


def _number(level: Any) -> Any:
    """A level as what it is, so that the tab can sort and filter by it: a number, true or false, else text."""
    try:
        value = json.loads(level) if isinstance(level, str) else level
    except ValueError:
        return level
    return value if isinstance(value, bool | int | float) else level


def _add_picture(
    writer: SummaryWriter, tag: str, pixels: NDArray[np.uint8], epoch: int, colours: int | None = None
) -> None:
    """As SummaryWriter.add_image; with a palette of some `colours`, a figure takes a third of the bytes.

    And of the time: TensorBoard's checksum is a loop over the bytes in Python.
    """
    image = Image.fromarray(pixels)
    if colours is not None:
        image = image.quantize(colours, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)  # a third of the time, a tenth more bytes
    height, width, _ = pixels.shape
    content = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=file.getvalue())
    events: Any = writer.file_writer
    events.add_summary(Summary(value=[Summary.Value(tag=tag, image=content)]), epoch)

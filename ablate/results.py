"""What a trained run leaves beside its record: confusion counts, predictions, weights."""

import io
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from safetensors.torch import save
from torch import Tensor

from ablate import record
from ablate.plan import PlannedRun
from ablate.record import RunFolder


def confusion_path(folder: RunFolder, epoch: int) -> Path:
    return folder.confusion / f"epoch_{epoch:04d}.csv"


def save_confusion(folder: RunFolder, epoch: int, counts: Tensor) -> None:
    """Counts (C, C) after an epoch, row = true class, as CSV."""
    text = "\n".join(",".join(str(n) for n in row) for row in counts.tolist()) + "\n"
    record.write_bytes(confusion_path(folder, epoch), text.encode())


def read_confusion(folder: RunFolder, epoch: int) -> Tensor:
    return torch.from_numpy(np.loadtxt(confusion_path(folder, epoch), delimiter=",", dtype=np.int64, ndmin=2))


def save_predictions(folder: RunFolder, logits: Tensor, labels: Tensor) -> None:
    """The final logits (N, C) as float16 and the labels (N,) of all test images."""
    content = io.BytesIO()
    np.savez_compressed(content, logits=logits.half().numpy(), labels=labels.numpy())
    record.write_bytes(folder.predictions, content.getvalue())


def save_weights(planned: PlannedRun, folder: RunFolder, state: dict[str, Tensor], holdout_accuracy: float) -> None:
    """Keep this run's weights as trainer.keep_weights says; with `best`, those of a run that it beats go."""
    with FileLock(planned.study / ".weights.lock"):  # two that end at once would each see the other as not there
        if not _keeps_weights(planned, folder, holdout_accuracy):
            return
        record.write_bytes(folder.weights, save(state))


def _keeps_weights(planned: PlannedRun, folder: RunFolder, holdout_accuracy: float) -> bool:
    if planned.config.trainer.keep_weights != "best":
        return planned.config.trainer.keep_weights == "all"
    for other in record.run_folders(planned.study):
        if other.weights.exists() and other.path != folder.path:
            try:
                # Not of its record, which comes to its end only after its weights are written.
                best = other.read_metrics()[-1]["holdout_accuracy"]
            except (ValueError, IndexError):
                continue  # a damaged record is named by the report; its weights are not ours to judge
            if best >= holdout_accuracy:
                return False
            other.weights.unlink()
    return True

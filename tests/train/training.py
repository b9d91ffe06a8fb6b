"""Short trainings, and the settings to try them with."""

from collections.abc import Callable

import torch

from ablate.config.compose import config_folder
from ablate.config.schema import AXES
from ablate.train.loop import Epoch, train
from ablate.train.model import on_cpu, weights_sha256
from tests.given import TINY, config_of, some_images

CPU = torch.device("cpu")

FAST = (*TINY, "batch_size=b32", "trainer.epochs=1")


def trained(*overrides: str, on_epoch: Callable[[Epoch], None] = lambda _: None) -> str:
    """The final weights' hash of a short training on 300 real images."""
    return weights_sha256(on_cpu(train(config_of(*FAST, *overrides), some_images(), CPU, on_epoch)))


LEVELS = [f"{axis}={p.stem}" for axis in AXES[1:] for p in sorted((config_folder() / axis).glob("*.yaml"))]

MORE = (
    "data.resolution=48", "data.resolution=20", "backbone.stem_stride=1", "backbone.freeze=true", "backbone.lr_scale=0.1",
    "trainer.label_smoothing=0.1", "weight_decay.spare=true", "trainer.channels_last=false", "backbone.freeze=stages:2",
    "trainer.clip_norm=1", "trainer.ema=0.9", "trainer.precision=bf16", "trainer.tf32=true",
    "backbone.lr_decay=0.8",
)  # fmt: skip

"""A tensor made on another device than the network's fails here, as it would on a GPU.

The `meta` device holds no numbers, but knows where every tensor is. On it run: every augmentation, mixing, the
look-up of images and of stored features, scaling to another resolution, the forward and backward pass, the
loss, clipping, the optimizers (their foreach form, the nearest to the fused one of a GPU) and the moving
average. What cannot run there, for want of numbers, is untested on a GPU: the fused optimizers, autocast and
the loss scaler, pinned copies, evaluation and the counts, whether data fit on the GPU, torch.compile on it, and the
deterministic forms of its kernels.
"""

import dataclasses
from collections.abc import Callable

import pytest
import torch
from torch.nn.utils import clip_grad_norm_
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ablate.config.compose import config_folder
from ablate.config.schema import Config
from ablate.train import inputs
from ablate.train.inputs import Batch, Pixels, StoredFeatures
from ablate.train.loop import training_loss
from ablate.train.model import build
from ablate.train.optim import build_optimizer
from tests.given import TINY, config_of, some_images

META = torch.device("meta")
AUGMENTATIONS = sorted(path.stem for path in (config_folder() / "augment").glob("*.yaml"))
OPTIMIZERS = ("adam", "adamw", "sgd")


def a_step(config: Config) -> Callable[[Batch], None]:
    """What train does with a batch, on the device that holds no numbers."""
    model = build(config.backbone, config.head, 10, config.seed, config.data.resolution).to(META).train()
    optimizer = build_optimizer(config.optimizer, config.weight_decay, model, config.backbone)
    for group in optimizer.param_groups:
        group["foreach"] = True
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)

    def step(batch: Batch) -> None:
        loss, hits = training_loss(model(batch.x), batch, smoothing=0.1)
        loss.backward()
        clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        averaged.update_parameters(model)
        assert loss.device == hits.device == META

    return step


def pixels_of(config: Config) -> Pixels:
    pixels = Pixels(config, some_images(), torch.arange(300), META, torch.zeros(3, device=META))
    pixels.start(1)
    return pixels


@pytest.mark.parametrize("augment", AUGMENTATIONS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_training_step_runs_on_a_device_that_holds_no_numbers(augment: str, optimizer: str) -> None:
    config = config_of(*TINY, f"augment={augment}", f"optimizer={optimizer}", "data.resolution=48")
    batch = pixels_of(config).batch(torch.arange(64))
    assert {value.device for value in vars(batch).values() if value is not None} == {META}
    a_step(config)(batch)


def test_stored_features_are_looked_up_on_the_device_too() -> None:
    config = config_of(*TINY, "augment=flip", "head=mlp512")
    views = {"train": torch.zeros(300, 8), "train_flipped": torch.zeros(300, 8), "test": torch.zeros(100, 8)}
    stored = StoredFeatures(pixels_of(config), views)
    assert stored.pixels.draws.flip[:64].any()
    batch = stored.batch(torch.arange(64))
    assert batch.x.device == batch.y.device == stored.plain("test", torch.arange(8)).device == META


# -- deliberate mistakes ----------------------------------------------------------------------


def test_a_share_left_on_the_host_is_caught() -> None:
    config = config_of(*TINY, "augment=mixup")
    batch = pixels_of(config).batch(torch.arange(64))
    with pytest.raises((RuntimeError, NotImplementedError), match="device"):
        a_step(config)(dataclasses.replace(batch, share=torch.ones(64)))


def test_images_left_on_the_host_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "rows", lambda data, index, _device: data[index])
    config = config_of(*TINY)
    with pytest.raises((RuntimeError, NotImplementedError), match="device"):
        a_step(config)(pixels_of(config).batch(torch.arange(64)))

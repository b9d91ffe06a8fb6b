"""A tensor made on another device than the network's fails here, as it would on a GPU, and so does a step that waits.

The `meta` device holds no numbers, but knows where every tensor is. On it runs the training's own step: every
augmentation, mixing, the look-up of images and of stored features, scaling to another resolution, the forward and
backward pass, the loss, clipping, the optimizers (their foreach form, the nearest to the fused one of a GPU) and the
moving average. What cannot run there, for want of numbers, is left to a GPU: the fused optimizers, autocast and the loss
scaler, pinned copies, evaluation and the counts, whether data fit on the GPU, torch.compile on it, and the deterministic
forms of its kernels.
"""

import dataclasses
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ablate.config.compose import config_folder
from ablate.train import inputs, loop
from ablate.train.inputs import Batch, Pixels, StoredFeatures
from ablate.train.loop import Split, Training
from tests.given import TINY, config_of, some_images

META = torch.device("meta")
EVERYTHING = ("trainer.ema=0.9", "trainer.clip_norm=1", "trainer.label_smoothing=0.1", "data.resolution=48")
AXES = ("optimizer", "head", "augment", "weight_decay", "scheduler")
LEVELS = [[f"{axis}={path.stem}" for path in sorted((config_folder() / axis).glob("*.yaml"))] for axis in AXES]
# Every level of every axis, in as few trainings as the longest axis has levels.
COMBINED = [tuple(levels[i % len(levels)] for levels in LEVELS) for i in range(max(map(len, LEVELS)))]
Started = Callable[..., tuple[Training, list[Batch]]]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    """A training on the device that holds no numbers, and its first batch."""
    monkeypatch.setattr(loop, "autocast", lambda *_: nullcontext())
    monkeypatch.setattr(loop, "reseed", lambda *_: None)

    def start(*words: str) -> tuple[Training, list[Batch]]:
        config = config_of(*TINY, "batch_size.size=32", *EVERYTHING, *words)
        images = some_images()
        training = Training(config, images, Split.of(config, images), META, lambda: None)
        for group in training.optimizer.param_groups:
            group["foreach"] = True
        training.inputs.start(1)
        training.model.train()
        return training, next(inputs.in_advance(training.inputs, torch.arange(64), 32, training.at_once))

    return start


def pixels_of(*words: str) -> Pixels:
    pixels = Pixels(config_of(*TINY, *words), some_images(), torch.arange(300), META, torch.zeros(3, device=META))
    pixels.start(1)
    return pixels


class Watch(TorchDispatchMode):
    """Notes copies between the host and the device; what reads the device's numbers fails by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []
        self.given = GivenByTheHost(self.waits)

    def __enter__(self) -> "Watch":
        self.given.__enter__()
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self.given.__exit__(*error)

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = function(*args, **(kwargs or {}))
        tensors = [value for value in tree_leaves((args, kwargs, found)) if isinstance(value, Tensor)]
        if len({value.device for value in tensors}) > 1:
            self.waits.append(str(function))
        return found


class GivenByTheHost(TorchFunctionMode):
    """Notes tensors made of numbers of the host, which are copied below what a dispatch mode sees."""

    def __init__(self, waits: list[str]) -> None:
        super().__init__()
        self.waits = waits

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = function(*args, **(kwargs or {}))
        if function in (torch.tensor, torch.as_tensor) and found.device == META:
            self.waits.append(function.__name__)
        return found


@pytest.mark.parametrize("words", [*COMBINED, ("batch_size.micro=12",)], ids=" ".join)
def test_a_step_runs_on_the_device_and_never_waits_for_it(words: tuple[str, ...], started: Started) -> None:
    training, batch = started(*words)
    values = [value for chunk in batch for value in vars(chunk).values() if value is not None]
    assert {value.device for value in values} == {META}
    for _ in range(2):  # the first makes the state of the optimizer and of the average
        with Watch() as watch:
            training.step(batch)
        assert watch.waits == []
    assert training.loss_sum.device == training.correct.device == META


@pytest.mark.parametrize(
    ("mistake", "noted"),
    [
        (lambda x: x.index_select(0, torch.zeros(1, dtype=torch.long).to(META)), "aten._to_copy.default"),
        (lambda x: x * torch.tensor(2.0), "aten.mul.Tensor"),
        (lambda x: x.copy_(torch.ones(3)), "aten.copy_.default"),
        (lambda _: torch.tensor([1.0], device=META), "tensor"),
    ],
)
def test_what_waits_is_noted(mistake: Callable[[Tensor], Tensor], noted: str) -> None:
    with Watch() as watch:
        mistake(torch.ones(3, device=META))
    assert watch.waits == [noted]


def test_the_copies_of_pytorchs_own_average_are_noted(started: Started) -> None:
    training, batch = started()
    training.averaged = AveragedModel(training.network, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)  # type: ignore[assignment]
    training.step(batch)
    with Watch() as watch:
        training.step(batch)
    assert watch.waits == ["aten._to_copy.default"] * 2  # its count, for numbers and for counters


@pytest.mark.parametrize("read", [Tensor.item, Tensor.nonzero, lambda x: x[x > 0]])
def test_what_reads_the_device_fails(read: Callable[[Tensor], Any]) -> None:
    with pytest.raises((RuntimeError, NotImplementedError)):
        read(torch.ones(1, device=META))


def test_stored_features_are_looked_up_on_the_device_too() -> None:
    views = {"train": torch.zeros(300, 8), "train_flipped": torch.zeros(300, 8), "test": torch.zeros(100, 8)}
    stored = StoredFeatures(pixels_of("augment=flip"), views)
    assert stored.pixels.draws.flip[:64].any()
    batch = stored.batch(torch.arange(64))
    assert batch.x.device == batch.y.device == stored.plain("test", torch.arange(8)).device == META


# -- deliberate mistakes ----------------------------------------------------------------------


def test_a_share_left_on_the_host_is_caught(started: Started) -> None:
    training, (batch,) = started("augment=mixup")
    with pytest.raises((RuntimeError, NotImplementedError), match="device"):
        training.step([dataclasses.replace(batch, share=torch.ones(32))])


def test_images_left_on_the_host_are_caught(started: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "rows", lambda data, index, _device: data[index])
    training, batch = started()
    with pytest.raises((RuntimeError, NotImplementedError), match="device"):
        training.step(batch)

"""What goes into the part of the network that is trained: batches of pixels, or of a frozen backbone's features."""

import dataclasses
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from ablate.config.schema import Config
from ablate.data.cache import Images
from ablate.train import augment, frozen
from ablate.train.evaluate import to_network
from ablate.train.frozen import Extractor, View
from ablate.train.model import Classifier
from ablate.train.randomness import Chance

# Of a GPU's free memory: data that need no more are copied there once, others as they are needed.
HELD_SHARE = 0.4
# Bytes of images that a GPU augments at once. augment=strong starts about 400 kernels, each in about 10 µs, while a
# small network trains on a batch in 3 ms. What is computed on the way takes about ten times the memory.
WINDOW = 16 << 20


@dataclass(frozen=True)
class Batch:
    """One batch for training: the network's input and its labels; of mixed images, the partners' labels too."""

    x: Tensor
    y: Tensor  # (B,)
    other_y: Tensor | None  # (B,)
    share: Tensor | None  # (B,) the image's own share in the label

    def part(self, first: int, end: int) -> "Batch":
        """The images from `first` to before `end`, in the same memory."""
        cut = {name: value[first:end] for name, value in vars(self).items() if value is not None}
        return dataclasses.replace(self, **cut)


class Inputs(Protocol):
    device: torch.device  # that of the batches
    image_bytes: int  # what one image takes, before it is augmented

    def start(self, epoch: int) -> None:
        """Draw what happens to every training image in this epoch."""

    def batch(self, index: Tensor) -> Batch:
        """Training images, augmented as drawn; `index` lies on the CPU."""

    def plain(self, part: str, index: Tensor) -> Tensor:
        """The network's input for images of the `train` or `test` part, as they are."""


class Pixels:
    """Images, uint8 (N, H, W, 3), augmented batch by batch on the device."""

    def __init__(self, config: Config, images: Images, trained_on: Tensor, device: torch.device, fill: Tensor):
        self.config = config
        self.device = device
        self.trained_on = trained_on  # indices that mixing may take partners from
        self.fill = fill  # (3,) the colour of erased boxes
        self.images = {
            "train": held(torch.from_numpy(images.train_images), device),
            "test": held(torch.from_numpy(images.test_images), device),
        }
        self.labels = torch.from_numpy(images.train_labels)
        self.image_bytes = self.images["train"][0].nbytes

    def start(self, epoch: int) -> None:
        size = self.images["train"].shape[1]
        self.draws = augment.draw(
            self.config.augment, len(self.labels), size, Chance(self.config.seed, epoch), self.trained_on
        )

    def batch(self, index: Tensor) -> Batch:
        pixels, y, other_y, share = self.augmented(index)
        return Batch(to_network(pixels, self.config.trainer.channels_last), y, other_y, share)

    def augmented(self, index: Tensor) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        """Pixels (B, H, W, 3), labels, the partners' labels, and the image's own share in the label."""
        drawn = self.draws.of(index)
        x = augment.apply(rows(self.images["train"], index, self.device), drawn, self.fill)
        y = self.labels[index].to(self.device)
        if drawn.partner is None or drawn.share is None:
            return x, y, None, None
        others = rows(self.images["train"], drawn.partner, self.device)
        x = augment.mix(x, augment.apply(others, self.draws.of(drawn.partner), self.fill), drawn)
        return x, y, self.labels[drawn.partner].to(self.device), drawn.share.to(self.device)

    def plain(self, part: str, index: Tensor) -> Tensor:
        return to_network(rows(self.images[part], index, self.device), self.config.trainer.channels_last)


class StoredFeatures:
    """A frozen backbone's features (N, D) of every view that the augmentation asks for, computed before."""

    def __init__(self, pixels: Pixels, views: dict[View, Tensor]):
        self.pixels = pixels  # for its draws and labels
        self.device = pixels.device
        self.views = {view: held(frozen, pixels.device) for view, frozen in views.items()}
        self.image_bytes = self.views["train"][0].nbytes

    def start(self, epoch: int) -> None:
        self.pixels.start(epoch)

    def batch(self, index: Tensor) -> Batch:
        x = self.plain("train", index)
        flipped = self.pixels.draws.flip[index].nonzero().squeeze(1)
        if len(flipped):
            x[flipped.to(x.device)] = rows(self.views["train_flipped"], index[flipped], self.pixels.device)
        return Batch(x, self.pixels.labels[index].to(self.pixels.device), None, None)

    def plain(self, part: str, index: Tensor) -> Tensor:
        return rows(self.views["test" if part == "test" else "train"], index, self.pixels.device)


class LiveFeatures:
    """A frozen backbone's features, computed from what each epoch's augmentation makes of the images."""

    def __init__(self, pixels: Pixels, extractor: Extractor, views: dict[View, Tensor]):
        self.pixels = pixels
        self.device = pixels.device
        self.extractor = extractor
        self.stored = StoredFeatures(pixels, views)  # evaluation sees images as they are
        self.image_bytes = pixels.image_bytes

    def start(self, epoch: int) -> None:
        self.pixels.start(epoch)

    def batch(self, index: Tensor) -> Batch:
        pixels, y, other_y, share = self.pixels.augmented(index)
        return Batch(self.extractor(pixels), y, other_y, share)

    def plain(self, part: str, index: Tensor) -> Tensor:
        return self.stored.plain(part, index)


def split_network(
    config: Config,
    images: Images,
    model: Classifier,
    train_index: Tensor,
    check: Callable[[], None] = lambda: None,
) -> tuple[Inputs, nn.Module]:
    """What is fed to the trained part of the network, and that part: all of it, or the head of a frozen backbone.

    `check` may raise to stop features from being computed; later, those that are there are not computed again.
    """
    device = model.mean.device
    pixels = Pixels(config, images, train_index, device, model.mean.view(3).round())
    if config.backbone.freeze is not True:
        return pixels, model
    live = config.augment.has_endless_views()
    views = frozen.load(config, images, model, live=live, check=check)
    if not live:
        return StoredFeatures(pixels, views), model.head
    return LiveFeatures(pixels, Extractor(model, config, device), views), model.head


def in_advance(
    inputs: Inputs, order: Tensor, batch: int, at_once: int, own: torch.cuda.Stream | None = None
) -> Iterator[list[Batch]]:
    """Whole batches of training images, in this order, each as micro-batches of `at_once`; `order` lies on the CPU.

    On a GPU, a window of batches is made on the stream `own` while the window before is trained on: to make one waits
    for copies from the host. No more than two steps are under way, so that a signal never waits for many.
    """
    if own is None:
        yield from ([inputs.batch(some) for some in index.split(at_once)] for index in order.split(batch))
        return
    training = torch.cuda.current_stream(inputs.device)
    own.wait_stream(training)
    made = windows(inputs, order, batch, at_once)
    under_way: deque[torch.cuda.Event] = deque()
    with torch.cuda.stream(own):
        window = next(made, [])
    while window:
        training.wait_stream(own)
        for value in (value for chunks in window for chunk in chunks for value in vars(chunk).values()):
            if value is not None:
                value.record_stream(training)
        following: list[list[Batch]] = []
        for number, chunks in enumerate(window):
            yield chunks
            under_way.append(training.record_event())
            if number == 0:
                with torch.cuda.stream(own):
                    following = next(made, [])
            if len(under_way) > 2:
                under_way.popleft().synchronize()
        window = following


def windows(inputs: Inputs, order: Tensor, batch: int, at_once: int) -> Iterator[list[list[Batch]]]:
    """The same batches, as many at a time as WINDOW holds: each time, they are augmented in one call."""
    for index in order.split(batch * max(1, WINDOW // (batch * inputs.image_bytes))):
        whole = inputs.batch(index)
        yield [
            [whole.part(at, min(at + at_once, first + batch)) for at in range(first, first + batch, at_once)]
            for first in range(0, len(index), batch)
        ]


def held(data: Tensor, device: torch.device) -> Tensor:
    """The data on the GPU when they fit there next to a network, else where they are."""
    if device.type == "cuda" and data.nbytes < HELD_SHARE * torch.cuda.mem_get_info(device)[0]:
        return data.to(device)
    return data


def rows(data: Tensor, index: Tensor, device: torch.device) -> Tensor:
    """data[index] on the device; `index` lies on the CPU, the data there or on the device.

    A GPU gets either through pinned memory, by a copy that overlaps with computing. Torch keeps pinned memory for later
    use, and gives it out again only after the copy from it has ended.
    """
    pinned = device.type == "cuda"
    # index_select copies whole rows, eight times as fast on a CPU as data[index], which goes value by value.
    if data.device.type == device.type:
        place = index.pin_memory().to(device, non_blocking=True) if pinned else index.to(device)
        return data.index_select(0, place)
    chosen = torch.empty((len(index), *data.shape[1:]), dtype=data.dtype, pin_memory=pinned)
    return torch.index_select(data, 0, index, out=chosen).to(device, non_blocking=pinned)

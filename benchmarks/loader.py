"""Images per CPU second of one epoch's training batches: ours against what else loads a folder of JPEGs.

    pip install -e '.[peers]' && python -m benchmarks.loader [--rounds 5] [--json FILE]

20 classes of 250 JPEGs of 64 px, batches of 64, padded by 8, cropped, mirrored and normalised, in channels_last. Ours
and ffcv read images that were decoded once (what it costs ours stands below the table); the others decode in every
epoch. The limit is a bare gather of the bytes. All in one process and one thread, interleaved, so that a core's worth
of work is what is compared; wall clocks with worker processes differ with the number of cores. timm's loader cannot
pad and crop: it mirrors alone, less work than the others do. Then the same number of images in few and in many
classes.

ffcv is compiled as it is installed, and is left out where it is not there. On Debian:

    apt-get install libopencv-dev libturbojpeg0-dev pkg-config
    pip install --no-build-isolation ffcv
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
import torchvision
from hydra import compose, initialize_config_dir
from PIL import Image
from timm.data import create_dataset, create_loader
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

import ablate.commands.hydra_app  # noqa: F401  registers the schema
from ablate.config.compose import config_folder, from_omegaconf
from ablate.data.datasets import load
from ablate.train.inputs import Pixels
from ablate.train.micro_batch import keep_freed_memory

ROOT = Path(__file__).parent.parent
CLASSES, EACH, SIZE, BATCH = 20, 250, 64, 64
FEW_AND_MANY = (10, 200)  # classes of the same number of images
PADDING = SIZE // 8
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
Epoch = Callable[[], Iterator[Tensor]]


def write_images(folder: Path, classes: int = CLASSES, each: int = EACH, each_val: int = 5, size: int = SIZE) -> None:
    """Smooth noise, which a JPEG stores in about as many bytes as a photograph of that size."""
    draw = np.random.default_rng(0)
    for part, count in (("train", each), ("val", each_val)):
        for label in range(classes):
            place = folder / part / f"class_{label:03d}"
            place.mkdir(parents=True)
            for i in range(count):
                rough = draw.integers(0, 256, (size // 4, size // 4, 3), dtype=np.uint8)
                Image.fromarray(rough).resize((size, size), Image.Resampling.BICUBIC).save(
                    place / f"{i:03d}.jpg", quality=90
                )


def ours(folder: Path) -> tuple[Epoch, float, float]:
    """Batches as the trainer and the network's first lines make them; the seconds of decoding, once, and of opening."""
    words = [
        "data=folder", f"data.path={folder}", f"data.size={SIZE}", f"data.cache={folder / 'cache'}",
        "augment=flip_crop",
    ]  # fmt: skip
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = from_omegaconf(compose("config", words))
    # By the command that plans a study, as workers would import this module, and with it torch and timm.
    started = time.perf_counter()
    command = [sys.executable, "-m", "ablate", *words, "dry_run=true"]
    subprocess.run(command, check=True, capture_output=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    decoding = time.perf_counter() - started
    started = time.perf_counter()
    images = load(config.data)
    opening = time.perf_counter() - started
    everything = torch.arange(len(images.train_labels))
    pixels = Pixels(config, images, everything, torch.device("cpu"), torch.zeros(3))
    mean, std = (
        (255 * torch.tensor(values).view(1, 3, 1, 1))
        .expand(1, 3, SIZE, SIZE)
        .contiguous(memory_format=torch.channels_last)
        for values in (MEAN, STD)
    )
    count = iter(range(1_000_000))

    def epoch() -> Iterator[Tensor]:
        number = next(count)
        pixels.start(number)
        order = torch.randperm(len(everything), generator=torch.Generator().manual_seed(number))
        for index in order.split(BATCH)[: len(order) // BATCH]:
            yield pixels.batch(index).x.float().sub_(mean).div_(std)

    return epoch, decoding, opening


def bare_gather(folder: Path) -> Epoch:
    """The bytes of each batch, and nothing done to them."""
    (path,) = (folder / "cache").glob("*/train_images.npy")
    images = torch.from_numpy(np.load(path, mmap_mode="c"))

    def epoch() -> Iterator[Tensor]:
        for index in torch.randperm(len(images)).split(BATCH)[: len(images) // BATCH]:
            yield images.index_select(0, index)

    return epoch


def of_torchvision(folder: Path) -> Epoch:
    steps = [
        transforms.RandomCrop(SIZE, padding=PADDING), transforms.RandomHorizontalFlip(), transforms.ToTensor(),
        transforms.Normalize(MEAN, STD),
    ]  # fmt: skip
    dataset = ImageFolder(str(folder / "train"), transforms.Compose(steps))
    loader: Any = DataLoader(dataset, BATCH, shuffle=True, drop_last=True)
    return lambda: (x.to(memory_format=torch.channels_last) for x, _ in loader)


def of_timm(folder: Path) -> Epoch:
    dataset = create_dataset("", root=str(folder / "train"), is_training=True)
    loader: Any = create_loader(
        dataset, (3, SIZE, SIZE), BATCH, is_training=True, scale=(1, 1), ratio=(1, 1), color_jitter=0.0, num_workers=0,
        persistent_workers=False, device=torch.device("cpu"), mean=MEAN, std=STD,
    )  # fmt: skip
    return lambda: (x.to(memory_format=torch.channels_last) for x, _ in loader)


def of_dali(folder: Path) -> Epoch | None:
    try:
        from nvidia.dali import fn, pipeline_def, types
        from nvidia.dali.plugin.pytorch import DALIGenericIterator
    except ImportError:
        return None

    @pipeline_def(batch_size=BATCH, num_threads=1, device_id=None)
    def pipeline() -> Any:
        files, _ = fn.readers.file(file_root=str(folder / "train"), random_shuffle=True, name="files")
        images = fn.decoders.image(files, device="cpu")
        padded = fn.crop(images, crop=(SIZE + 2 * PADDING,) * 2, out_of_bounds_policy="pad")
        return fn.crop_mirror_normalize(
            padded, crop=(SIZE, SIZE), crop_pos_x=fn.random.uniform(range=(0, 1)), output_layout="HWC",
            crop_pos_y=fn.random.uniform(range=(0, 1)), mirror=fn.random.coin_flip(), dtype=types.FLOAT,
            mean=[255 * value for value in MEAN], std=[255 * value for value in STD],
        )  # fmt: skip

    built = pipeline()
    built.build()

    def epoch() -> Iterator[Tensor]:
        loader: Any = DALIGenericIterator(built, ["x"], reader_name="files", auto_reset=True)
        for number, (batch,) in enumerate(loader):
            if number < CLASSES * EACH // BATCH:
                yield batch["x"].permute(0, 3, 1, 2)

    return epoch


def of_ffcv(folder: Path) -> Epoch | None:
    """From its own file of decoded images, which it reads faster than one of JPEGs."""
    try:
        from ffcv.fields import IntField, RGBImageField
        from ffcv.fields.decoders import SimpleRGBImageDecoder
        from ffcv.loader import Loader, OrderOption
        from ffcv.transforms import NormalizeImage, RandomHorizontalFlip, RandomTranslate, ToTensor, ToTorchImage
        from ffcv.writer import DatasetWriter
    except ImportError:
        return None
    file = folder / "images.beton"
    writer = DatasetWriter(str(file), {"x": RGBImageField(write_mode="raw"), "y": IntField()}, num_workers=1)
    writer.from_indexed_dataset(ImageFolder(str(folder / "train")))
    normalise = NormalizeImage(255 * np.array(MEAN), 255 * np.array(STD), np.float32)
    steps = [SimpleRGBImageDecoder(), RandomTranslate(PADDING), RandomHorizontalFlip(), normalise]
    loader = Loader(
        str(file), BATCH, num_workers=1, os_cache=True, order=OrderOption.RANDOM, drop_last=True,
        pipelines={"x": [*steps, ToTensor(), ToTorchImage()], "y": None},
    )  # fmt: skip
    return lambda: (x for (x,) in loader)


def measure(epoch: Epoch) -> float:
    """Images per second of CPU time over one epoch."""
    started, images = time.process_time(), 0
    for x in epoch():
        images += len(x)
    assert images == CLASSES * EACH // BATCH * BATCH, images
    return images / (time.process_time() - started)


def rates_of(ways: Mapping[str, Epoch], rounds: int) -> dict[str, list[float]]:
    """Images per CPU second of each, round by round, interleaved; the round that warms up is left out."""
    rates: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(rounds + 1):
        for way, epoch in ways.items():
            rate = measure(epoch)
            if number:
                rates[way].append(rate)
    return rates


def growth(classes: int, rounds: int) -> dict[str, float]:
    """As many images as ever, in so many classes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_images(folder, classes, CLASSES * EACH // classes)
        mine, decoding, opening = ours(folder)
        rates = rates_of({"ours": mine, "torchvision": of_torchvision(folder)}, rounds)
    return {way: statistics.median(of_way) for way, of_way in rates.items()} | {
        "decoding_s": decoding, "opening_s": opening,
    }  # fmt: skip


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loader", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()  # as every run does; all ways have it
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_images(folder)
        mine, _, _ = ours(folder)
        ways: dict[str, Epoch] = {
            "ours": mine,
            "bare gather (the limit)": bare_gather(folder),
            f"torchvision {torchvision.__version__} ImageFolder, DataLoader": of_torchvision(folder),
            f"timm {timm.__version__} create_loader, prefetcher": of_timm(folder),
        }
        dali = of_dali(folder)
        if dali is not None:
            ways[f"DALI {version('nvidia-dali-cuda120')} on the CPU"] = dali
        ffcv = of_ffcv(folder)
        if ffcv is not None:
            ways[f"ffcv {version('ffcv')}, decoded images"] = ffcv
        rates = rates_of(ways, options.rounds)
    medians = {way: statistics.median(values) for way, values in rates.items()}
    print(f"torch {torch.__version__}, {options.rounds} rounds, medians; {CLASSES * EACH} images of {SIZE} px\n")
    print("| what | images per CPU second | ours against it |\n| --- | --- | --- |")
    for way, median in medians.items():
        print(f"| {way} | {median:,.0f} | {medians['ours'] / median:.2f} |")
    if dali is None:
        print("| DALI on the CPU | not installed | – |")
    print(
        "\n| classes | ours, images per CPU second | torchvision | planning and decoding, once, s | opening, s |\n"
        "| --- | --- | --- | --- | --- |"
    )
    grown = {}
    for classes in FEW_AND_MANY:
        it = grown[classes] = growth(classes, options.rounds)
        print(f"| {classes} | {it['ours']:,.0f} | {it['torchvision']:,.0f} | {it['decoding_s']:.2f} | "
              f"{it['opening_s']:.3f} |")  # fmt: skip
    if options.json:
        options.json.write_text(json.dumps({"rates": rates, "classes": grown}, indent=2) + "\n")
    sys.stdout.flush()
    os._exit(0)  # a thread of ffcv's may never end


if __name__ == "__main__":
    main()

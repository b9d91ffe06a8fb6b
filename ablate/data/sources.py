"""Where images come from: lists of (file, label) pairs, or the arrays that torchvision reads.

No image is decoded here, and torch is imported only where torchvision's own files are read.
"""

import hashlib
import os
import re
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ablate.config.schema import DataConfig
from ablate.data.unpack import unpack
from ablate.system import hints

EXTENSIONS = (".jpg", ".jpeg", ".png")
TINY_IMAGENET = "tiny-imagenet-200"  # the official folder; its archive ends in .zip
# What torchvision reads: its class, and the folder that it keeps the files in.
TORCHVISION = {
    "cifar10": ("CIFAR10", "cifar-10-batches-py"),
    "cifar100": ("CIFAR100", "cifar-100-python"),
    "fashion_mnist": ("FashionMNIST", "FashionMNIST"),
}


@dataclass(frozen=True)
class Listing:
    """What a source holds: class names, and the files of each part with their labels."""

    root: Path
    classes: tuple[str, ...]
    train: list[tuple[Path, int]]
    test: list[tuple[Path, int]]


def cache_root(config: DataConfig) -> Path:
    """Where downloads and decoded images are kept: data.cache, or the user's cache folder."""
    if config.cache is not None:
        return Path(config.cache).expanduser().absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "ablate"


def download_root(config: DataConfig) -> Path:
    """The folder that a downloaded data set lies in: data.path, or where a download puts it by default."""
    if config.path is not None:
        return Path(config.path).expanduser().absolute()
    return cache_root(config) / "torchvision" if config.name in TORCHVISION else cache_root(config)


def list_images(config: DataConfig) -> Listing:
    """List a data set that lies in files. Raises ValueError when the folder is not laid out as it must be."""
    if config.name == "tiny_imagenet":
        listing = _list_tiny_imagenet(_find_tiny_imagenet(config))
    else:
        listing = _list_folder(download_root(config))
    counts = np.bincount([label for _, label in listing.train], minlength=len(listing.classes))
    if len(listing.classes) < 2:
        raise ValueError(f"{listing.root} holds fewer than two classes")
    if not counts.all():
        empty = listing.classes[int(np.argmin(counts))]
        raise ValueError(f"class {empty} of {listing.root} has no training image (JPEG or PNG)")
    if not listing.test:
        raise ValueError(f"{listing.root} holds no test image (JPEG or PNG)")
    return listing


def _list_folder(root: Path) -> Listing:
    """train/<class>/… and val/<class>/… (or test/<class>/… where there is no val)."""
    if not root.is_dir():
        raise ValueError(f"data.path={root} is not a folder")
    test_root = root / "val" if (root / "val").is_dir() else root / "test"
    for part in (root / "train", test_root):
        if not part.is_dir():
            raise ValueError(f"{root} needs the folders train and val (or test), with one folder per class")
    classes = tuple(_class_folders(root / "train"))
    unknown = sorted(set(_class_folders(test_root)) - set(classes))
    if unknown:
        raise ValueError(f"{test_root / unknown[0]} is a class that {root / 'train'} lacks")
    return Listing(root, classes, _list_classes(root / "train", classes), _list_classes(test_root, classes))


def _find_tiny_imagenet(config: DataConfig) -> Path:
    """The official folder: data.path, inside it, or unpacked from a zip; without data.path the downloaded one."""
    root = download_root(config)
    archive = root if root.is_file() else root / f"{TINY_IMAGENET}.zip"
    found = official_folder(root)
    if found is None and archive.is_file():
        status = archive.stat()
        key = hashlib.sha256(f"{archive}\0{status.st_size}\0{status.st_mtime_ns}".encode()).hexdigest()[:16]
        unpacked = cache_root(config) / f"unpacked-{key}"
        try:
            unpack(archive, unpacked)
        except OSError as error:
            raise ValueError(
                f"{archive} cannot be unpacked into {unpacked.parent}: {error.strerror or error}; "
                "name another place with data.cache=DIR"
            ) from None
        found = official_folder(unpacked)
    if found is None:
        raise ValueError(
            f"{root} holds no Tiny ImageNet in its official layout (train/ and val/val_annotations.txt, as a folder "
            f"or zip); `{_download_command(config)}` gets it, data.path=DIR says where else it is"
        )
    return found


def official_folder(root: Path) -> Path | None:
    """The folder in the layout of Tiny ImageNet, `root` or in it, if there is one."""
    for folder in (root / TINY_IMAGENET, root):
        if (folder / "train").is_dir() and (folder / "val" / "val_annotations.txt").is_file():
            return folder
    return None


def _list_tiny_imagenet(root: Path) -> Listing:
    """train/<id>/images/*.JPEG, val/images/*.JPEG, val/val_annotations.txt; test/ has no labels and is not read."""
    ids = _class_folders(root / "train")
    label_of = {wnid: label for label, wnid in enumerate(ids)}
    annotations = root / "val" / "val_annotations.txt"
    test = []
    for line in annotations.read_text().splitlines():
        name, wnid = [*line.split("\t"), ""][:2]
        if wnid not in label_of:
            raise ValueError(f"{annotations} gives {name} the class {wnid!r}, which train/ lacks")
        test.append((root / "val" / "images" / name, label_of[wnid]))
    words = {}
    if (root / "words.txt").is_file():
        for line in (root / "words.txt").read_text().splitlines():
            wnid, _, names = line.partition("\t")
            words[wnid] = names.split(",")[0]
    names_of = [words.get(wnid, wnid) for wnid in ids]
    uses = Counter(names_of)  # a crane is a bird and a machine
    classes = tuple(n if uses[n] == 1 else f"{n} ({wnid})" for n, wnid in zip(names_of, ids, strict=True))
    return Listing(root, classes, _list_classes(root / "train", tuple(ids)), sorted(test))


def _class_folders(root: Path) -> list[str]:
    # Dot folders and macOS's __MACOSX are left by other tools and are no classes.
    names = [p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith((".", "__"))]
    return sorted(names)


def _list_classes(root: Path, classes: tuple[str, ...]) -> list[tuple[Path, int]]:
    return [
        (path, label) for label, name in enumerate(classes) if (root / name).is_dir()
        for path in _files_below(root / name)
        if path.name.lower().endswith(EXTENSIONS) and not path.name.startswith(".")
    ]  # fmt: skip


def _files_below(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders.sort()
        for name in sorted(names):
            yield Path(parent) / name


def torchvision_files(config: DataConfig) -> list[Path]:
    """The files that torchvision reads a data set from, found without it. Raises ValueError when there are none."""
    root = download_root(config)
    folder = TORCHVISION[config.name][1]
    files = list(_files_below(root / folder))
    if not files:
        raise ValueError(
            f"{root} holds no {folder}; `{_download_command(config)}` gets it, data.path=DIR says where else it is"
        )
    return files


def read_torchvision(config: DataConfig) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
    """Class names, and {part}_images and {part}_labels of both parts. Raises ValueError when they cannot be read."""
    arrays = {}
    try:
        for part in ("train", "test"):
            dataset = open_torchvision(config.name, download_root(config), train=part == "train")
            pixels, labels = np.asarray(dataset.data), np.asarray(dataset.targets, dtype=np.int64)
            arrays[f"{part}_images"] = np.ascontiguousarray(pixels) if pixels.ndim == 4 else padded_rgb(pixels)
            arrays[f"{part}_labels"] = labels
            if len(pixels) != len(labels) or not 0 <= labels.min() <= labels.max() < len(dataset.classes):
                raise ValueError(f"its {part} images and labels do not fit each other")
    except Exception as error:  # torchvision lets through whatever its readers raise, AssertionError among them
        raise ValueError(
            f"{config.name} in {download_root(config)} cannot be read ({reason(error)}); "
            f"remove what is damaged, and `{_download_command(config)}` gets it anew"
        ) from None
    return tuple(dataset.classes), arrays


def open_torchvision(name: str, root: Path, train: bool, download: bool = False) -> Any:
    """One part of a data set, as torchvision's own class. Raises whatever that raises."""
    from torchvision import datasets

    with warnings.catch_warnings():
        # CIFAR is published as pickles of an early numpy, which today's warns of.
        warnings.simplefilter("ignore")
        return getattr(datasets, TORCHVISION[name][0])(root, train=train, download=download)


def padded_rgb(gray: np.ndarray) -> np.ndarray:
    """28 pixels to 32, which halve evenly, and one channel to three, which pretrained weights want."""
    return np.repeat(np.pad(gray, ((0, 0), (2, 2), (2, 2)))[..., None], 3, axis=3)


def reason(error: Exception) -> str:
    """What an exception says, on one line."""
    line = " ".join(str(error).split()) or type(error).__name__
    return re.sub(r"<urlopen error ([^>]*)>", r"\1", line)


def _download_command(config: DataConfig) -> str:
    """The command that puts a data set where this configuration looks for it."""
    root = download_root(config)
    default = (config.path is None and config.cache is None) or root.is_file()
    return hints.command("download", config.name, *([] if default else ["--to", str(root)]))

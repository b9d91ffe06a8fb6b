"""Where images come from: lists of (file, label) pairs, or the arrays that torchvision reads.

No image is decoded here, and torch is imported only where torchvision's own files are read.
"""

import hashlib
import os
import re
import warnings
from collections import Counter
from collections.abc import Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np

from ablate.config.schema import DataConfig
from ablate.data.pictures import earlier, tree
from ablate.data.pictures.decode import RULES
from ablate.data.pictures.folders import list_folder, raise_problems
from ablate.data.pictures.listed import list_csv
from ablate.data.pictures.listing import Entry, Listing
from ablate.data.pictures.tree import Found
from ablate.data.unpack import unpack
from ablate.system import hints

TINY_IMAGENET = "tiny-imagenet-200"  # the official folder; its archive ends in .zip
# What torchvision reads: its class, and the folder that it keeps the files in.
TORCHVISION = {
    "cifar10": ("CIFAR10", "cifar-10-batches-py"),
    "cifar100": ("CIFAR100", "cifar-100-python"),
    "fashion_mnist": ("FashionMNIST", "FashionMNIST"),
}


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


def list_images(config: DataConfig, rules: int = RULES) -> Listing:
    """List a data set that lies in files, by the newest rules or those of version 0.1.

    Raises ValueError when the folder is not laid out as it must be.
    """
    if config.name == "tiny_imagenet":
        listing = _list_tiny_imagenet(_find_tiny_imagenet(config), rules)
    else:
        root = download_root(config)
        if rules == earlier.RULES:
            listing = earlier.list_folder(root)
        elif root.is_file() and root.suffix.lower() == ".csv":
            listing = list_csv(root, config)
        else:
            listing = list_folder(root, config)
    if len(listing.classes) < 2:
        only = f" ({listing.classes[0]})" if listing.classes else ""
        raise ValueError(f"{listing.root} holds fewer than two classes{only}")
    return listing


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


def _list_tiny_imagenet(root: Path, rules: int) -> Listing:
    """train/<id>/images/*.JPEG, val/images/*.JPEG, val/val_annotations.txt; test/ has no labels and is not read."""
    found = Found(root)
    ids = tree.class_folders(root / "train", found)
    label_of = {wnid: label for label, wnid in enumerate(ids)}
    annotations = root / "val" / "val_annotations.txt"
    test = []
    for line in annotations.read_text().splitlines():
        name, wnid = [*line.split("\t"), ""][:2]
        if wnid not in label_of:
            raise ValueError(f"{annotations} gives {name} the class {wnid!r}, which train/ lacks")
        test.append(Entry(root / "val" / "images" / name, label_of[wnid]))
    test.sort(key=lambda entry: entry.path)
    _see_that_all_are_there(root, annotations, [entry.path for entry in test])
    words = {}
    if (root / "words.txt").is_file():
        for line in (root / "words.txt").read_text().splitlines():
            wnid, _, names = line.partition("\t")
            words[wnid] = names.split(",")[0]
    names_of = [words.get(wnid, wnid) for wnid in ids]
    uses = Counter(names_of)  # a crane is a bird and a machine
    classes = tuple(n if uses[n] == 1 else f"{n} ({wnid})" for n, wnid in zip(names_of, ids, strict=True))
    if rules == earlier.RULES:
        return Listing(root, classes, earlier.list_classes(root / "train", tuple(ids)), test)
    found.read = [(root / "train").resolve(), (root / "val").resolve()]
    train = [
        Entry(path, label) for label, wnid in enumerate(ids) for path in tree.files_below(root / "train" / wnid, found)
    ]
    _leave_out_the_rest(root, {entry.path for entry in test}, found)
    raise_problems(root, found.problems)
    return Listing(root, classes, train, test, found.left_out, found.examples)


def _see_that_all_are_there(root: Path, annotations: Path, paths: Sequence[Path]) -> None:
    missing = [path for path in paths if not path.is_file()]
    if not missing:
        return
    lists = f"{annotations} lists {len(missing)} files that are not there"
    if any(path.is_dir() and path.name != "images" for path in (root / "val").iterdir()):
        raise ValueError(f"{lists}, and val/ holds class folders: data=folder data.path={root} reads them")
    raise ValueError(f"{lists}, {missing[0]} the first; `{hints.command('download', 'tiny_imagenet')}` gets it anew")


def _leave_out_the_rest(root: Path, listed: Set[Path], found: Found) -> None:
    """What lies in the official folder beside its training images and those that its annotations list."""
    for parent, folders, names in os.walk(root):
        here = Path(parent)
        if here == root:
            folders.remove("train")
        unlabelled = here == root / "test" or root / "test" in here.parents
        for name in names:
            if here / name not in listed:
                found.leave_out("without a label, in test" if unlabelled else "not an image of the set", here / name)


def torchvision_files(config: DataConfig) -> list[Path]:
    """The files that torchvision reads a data set from, found without it. Raises ValueError when there are none."""
    root = download_root(config)
    folder = TORCHVISION[config.name][1]
    files = sorted(path for path in (root / folder).rglob("*") if path.is_file())
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

"""Where images come from: every source is a list of (file, label) pairs. Nothing is opened here."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ablate.config import DataConfig

EXTENSIONS = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True)
class Listing:
    """What a source holds: class names, and the files of each part with their labels."""

    root: Path
    classes: tuple[str, ...]
    train: list[tuple[Path, int]]
    test: list[tuple[Path, int]]


def list_images(config: DataConfig) -> Listing:
    """List a data set that lies in files. Raises ValueError when the folder is not laid out as it must be."""
    assert config.path is not None
    root = Path(config.path).expanduser().absolute()
    if not root.is_dir():
        raise ValueError(f"data.path={config.path} is not a folder")
    listing = _list_tiny_imagenet(root) if config.name == "tiny_imagenet" else _list_folder(root)
    counts = np.bincount([label for _, label in listing.train], minlength=len(listing.classes))
    if len(listing.classes) < 2:
        raise ValueError(f"{root} holds fewer than two classes")
    if not counts.all():
        empty = listing.classes[int(np.argmin(counts))]
        raise ValueError(f"class {empty} of {root} has no training image (JPEG or PNG)")
    if not listing.test:
        raise ValueError(f"{root} holds no test image (JPEG or PNG)")
    return listing


def _list_folder(root: Path) -> Listing:
    """train/<class>/… and val/<class>/… (or test/<class>/… where there is no val)."""
    test_root = root / "val" if (root / "val").is_dir() else root / "test"
    for part in (root / "train", test_root):
        if not part.is_dir():
            raise ValueError(f"{root} needs the folders train and val (or test), with one folder per class")
    classes = tuple(_class_folders(root / "train"))
    unknown = sorted(set(_class_folders(test_root)) - set(classes))
    if unknown:
        raise ValueError(f"{test_root / unknown[0]} is a class that {root / 'train'} lacks")
    return Listing(root, classes, _list_classes(root / "train", classes), _list_classes(test_root, classes))


def _list_tiny_imagenet(root: Path) -> Listing:
    """The official layout: train/<id>/images/*.JPEG, val/images/*.JPEG, val/val_annotations.txt."""
    if (root / "tiny-imagenet-200").is_dir():
        root = root / "tiny-imagenet-200"
    annotations = root / "val" / "val_annotations.txt"
    if not (root / "train").is_dir() or not annotations.is_file():
        raise ValueError(f"{root} is not the official Tiny ImageNet folder: train/ or {annotations} is missing")
    ids = _class_folders(root / "train")
    label_of = {wnid: label for label, wnid in enumerate(ids)}
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
    classes = tuple(words.get(wnid, wnid) for wnid in ids)
    return Listing(root, classes, _list_classes(root / "train", tuple(ids)), sorted(test))


def _class_folders(root: Path) -> list[str]:
    # Dot folders and macOS's __MACOSX are left by other tools and are no classes.
    names = [p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith((".", "__"))]
    return sorted(names)


def _list_classes(root: Path, classes: tuple[str, ...]) -> list[tuple[Path, int]]:
    return [
        (path, label) for label, name in enumerate(classes) if (root / name).is_dir()
        for path in _images_below(root / name)
    ]  # fmt: skip


def _images_below(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders.sort()
        for name in sorted(names):
            if name.lower().endswith(EXTENSIONS) and not name.startswith("."):
                yield Path(parent) / name

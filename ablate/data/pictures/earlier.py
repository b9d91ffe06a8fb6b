"""How version 0.1 listed and decoded pictures, by which its records are reproduced.

It went by names, took what tools leave below a class for pictures of it, and left out what a file says of orientation,
transparency and colour.
"""

import os
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from ablate.data.pictures.listing import Entry, Listing

EXTENSIONS = (".jpg", ".jpeg", ".png")
RULES = 1


def list_folder(root: Path) -> Listing:
    """train/<class>/… and val/<class>/… (or test/<class>/… where there is no val). Raises ValueError."""
    test = root / "val" if (root / "val").is_dir() else root / "test"
    if not ((root / "train").is_dir() and test.is_dir()):
        raise ValueError(f"{root} has no train and val (or test), as it had when the run was trained")
    classes = tuple(
        sorted(p.name for p in (root / "train").iterdir() if p.is_dir() and not p.name.startswith((".", "__")))
    )
    return Listing(root, classes, list_classes(root / "train", classes), list_classes(test, classes))


def list_classes(root: Path, classes: tuple[str, ...]) -> list[Entry]:
    """The files of a part, class by class."""
    return [
        Entry(path, label) for label, name in enumerate(classes) if (root / name).is_dir()
        for path in _files_below(root / name)
        if path.name.lower().endswith(EXTENSIONS) and not path.name.startswith(".")
    ]  # fmt: skip


def _files_below(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders.sort()
        for name in sorted(names):
            yield Path(parent) / name


def rgb(content: bytes) -> Image.Image:
    """A JPEG or PNG in RGB. Raises whatever Pillow does."""
    with Image.open(BytesIO(content), formats=("JPEG", "PNG")) as image:
        return in_rgb(image)


def in_rgb(image: Image.Image) -> Image.Image:
    """A picture in RGB. Raises whatever Pillow does."""
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    return image.convert("RGB")

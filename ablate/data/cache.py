"""Images decoded once, into uint8 arrays on disk that every run memory-maps.

One pass over a source's content gives the data's fingerprint, and fills a folder that the fingerprint
names. A note next to it says what the source's files looked like, so that the next run reads none of
them: it needs no decoder, and for torchvision's data sets no torch.
"""

import dataclasses
import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from numpy.typing import NDArray

from ablate.config.schema import DataConfig
from ablate.config.signature import file_sha256
from ablate.data.pictures.decode import RULES, Decoding
from ablate.data.pictures.listing import Listing
from ablate.data.pictures.store import Content, store
from ablate.data.sources import TORCHVISION, cache_root, list_images, read_torchvision, torchvision_files
from ablate.records import files
from ablate.records.lock import turn
from ablate.records.record import Reading

ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")
VERIFIED = "verified.json"
OPTIONAL = ("held", "groups")


@dataclass(frozen=True)
class Images:
    """Images (N, H, W, 3) uint8 and labels (N,) int64, for training (holdout included) and test."""

    classes: tuple[str, ...]
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    fingerprint: str
    held: NDArray[np.bool_] | None = None  # (N,) the training images that the data set itself holds out
    groups: NDArray[np.int64] | None = None  # (N,) training images of one number belong together
    reading: Reading | None = None  # of picture files


Fill = Callable[[Path], Content]  # fills a folder with the arrays


def load_cached(config: DataConfig, rules: int = RULES) -> Images:
    """The images of a data set that lies in files, decoded now or before; by earlier `rules` for an earlier record.

    Raises ValueError.
    """
    if config.name in TORCHVISION:
        key = _stat_key(config.name, torchvision_files(config))
        return _open_or_build(config, key, f"{config.size}px", lambda folder: _copy(folder, *read_torchvision(config)))
    listing = list_images(config, rules)
    items = listing.train + listing.test
    what: tuple[object, ...] = (str(listing.root), listing.classes, len(listing.train), [item.label for item in items])
    if any(item.held or item.group is not None for item in items):
        what += ([(item.held, item.group) for item in items],)
    decoding = Decoding(config.size, config.background, rules)
    # What is stored depends on the decoder too: two versions may differ in a pixel's last bit.
    variant = f"{config.size}px-pillow{PIL.__version__}"
    if rules > 1:
        ground = "" if config.background == "white" else f"-{config.background.lstrip('#')}"
        variant += f"-rules{rules}{ground}"
    key = _stat_key(what, [item.path for item in items])
    images = _open_or_build(config, key, variant, lambda folder: store(folder, listing, decoding, cache_root(config)))
    if images.reading is None:  # by version 0.1, whose caches hold no account
        return images
    return dataclasses.replace(images, reading=_with_unopened(images.reading, listing))


def _with_unopened(reading: Reading, listing: Listing) -> Reading:
    """What a cache knows of the files that were opened, with those that were not."""
    return dataclasses.replace(
        reading,
        left_out=dict(Counter(reading.left_out) + listing.left_out),
        examples=reading.examples | listing.examples,
        notes=[*listing.notes, *reading.notes],
    )


def _stat_key(what: object, files: Iterable[Path]) -> str:
    """Changes whenever a file is added, removed, resized or written, without reading any."""
    digest = hashlib.sha256(repr(what).encode())
    for path in files:
        try:
            stat = path.stat()
        except OSError:
            raise ValueError(f"{path} is listed but cannot be read") from None
        # The time of the last change of any kind, too: copying and unpacking set that of writing to what they like.
        digest.update(os.fsencode(path) + f"\0{stat.st_size}\0{stat.st_mtime_ns}\0{stat.st_ctime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _open_or_build(config: DataConfig, key: str, variant: str, fill: Fill) -> Images:
    root = cache_root(config)
    seen = root / f"seen-{key}-{variant}.json"
    images = _open(root, seen)
    if images is not None:
        return images
    try:
        root.mkdir(parents=True, exist_ok=True)
        with turn(root / "building.lock"):  # one builds, the others wait
            images = _open(root, seen)
            if images is None:
                for left in root.glob(".building-*"):  # by a process that was killed, as this one holds the lock
                    shutil.rmtree(left, ignore_errors=True)
                _build(root, seen, variant, fill)
                images = _open(root, seen)
    except OSError as error:
        many = error.errno in (errno.EMFILE, errno.ENFILE)
        way_out = "raise the limit, as with ulimit -n 4096" if many else "name another with data.cache=DIR"
        raise ValueError(f"the image cache {root} cannot be written: {error.strerror or error}; {way_out}") from None
    assert images is not None, "a cache just built must open"
    return images


def _open(root: Path, seen: Path) -> Images | None:
    """Memory-map a cache after checking it; None when there is none or it is damaged.

    Every byte is checked once, and again when a file's size or time has changed: of a large data set the check takes
    as long as an epoch on a GPU.
    """
    try:
        entry = json.loads(seen.read_bytes())
        folder = root / entry["folder"]
        meta = json.loads((folder / "meta.json").read_bytes())
        names = sorted({*ARRAYS, *meta["sha256"]})
        stamps = {name: _stamp(folder / f"{name}.npy") for name in names}
        if stamps != _verified(folder):
            for name in names:
                if file_sha256(str(folder / f"{name}.npy")) != meta["sha256"][name]:
                    raise ValueError(f"{name} is damaged")
            with suppress(OSError):  # in a cache that may only be read, every run checks
                files.write_json(folder / VERIFIED, stamps)
        # Copy-on-write: torch warns of arrays that it may not write to, and nothing here writes.
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="c") for name in ARRAYS}
        for name in OPTIONAL:
            if name in meta["sha256"]:
                arrays[name] = np.load(folder / f"{name}.npy")
        reading = None if meta.get("reading") is None else Reading(**meta["reading"])
        return Images(tuple(meta["classes"]), **arrays, fingerprint=meta["fingerprint"], reading=reading)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _stamp(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _verified(folder: Path) -> dict[str, Any] | None:
    """The sizes and times of the files when they were last checked."""
    try:
        return files.read_json(folder / VERIFIED)
    except ValueError:
        return None


def _build(root: Path, seen: Path, variant: str, fill: Fill) -> None:
    with tempfile.TemporaryDirectory(dir=root, prefix=".building-") as temporary:
        folder = Path(temporary) / "cache"
        folder.mkdir()
        content = fill(folder)
        meta = {
            **dataclasses.asdict(content),
            "sha256": {path.stem: file_sha256(str(path)) for path in sorted(folder.glob("*.npy"))},
        }
        files.write_json(folder / "meta.json", meta)
        final = root / f"{content.fingerprint[:16]}-{variant}"
        shutil.rmtree(final, ignore_errors=True)  # damaged, or the same content from another place
        os.rename(folder, final)
    files.write_json(seen, {"folder": final.name})


def _copy(folder: Path, classes: tuple[str, ...], arrays: dict[str, np.ndarray]) -> Content:
    """Store arrays as they are; the fingerprint is that of class names, labels and pixels."""
    digest = hashlib.sha256(json.dumps(classes).encode())
    for name in ARRAYS:
        np.save(folder / f"{name}.npy", arrays[name])
        digest.update(f"{name} {arrays[name].shape}\n".encode())
        digest.update(np.ascontiguousarray(arrays[name]).data)
    return Content(classes, digest.hexdigest())

"""Images decoded once, into uint8 arrays on disk that every run memory-maps.

One pass over a source's content gives the data's fingerprint, and fills a folder that the fingerprint
names. A note next to it says what the source's files looked like, so that the next run reads none of
them: it needs no decoder, and for torchvision's data sets no torch.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL

from ablate.config.schema import DataConfig
from ablate.config.signature import file_sha256
from ablate.data import decode
from ablate.data.sources import TORCHVISION, Listing, cache_root, list_images, read_torchvision, torchvision_files
from ablate.records import files
from ablate.records.lock import turn
from ablate.system.hardware import cores
from ablate.system.progress import progress_bar

# Processes that decode; how many does not show in what they make.
WORKERS = cores()
ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")


@dataclass(frozen=True)
class Images:
    """Images (N, H, W, 3) uint8 and labels (N,) int64, for training (holdout included) and test."""

    classes: tuple[str, ...]
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    fingerprint: str


# Fills a folder with the arrays; returns the class names and the fingerprint.
Fill = Callable[[Path], tuple[tuple[str, ...], str]]


def load_cached(config: DataConfig) -> Images:
    """The images of a data set that lies in files, decoded now or before. Raises ValueError."""
    if config.name in TORCHVISION:
        key = _stat_key(config.name, torchvision_files(config))
        return _open_or_build(config, key, f"{config.size}px", lambda folder: _copy(folder, *read_torchvision(config)))
    listing = list_images(config)
    items = listing.train + listing.test
    what = (str(listing.root), listing.classes, len(listing.train), [label for _, label in items])
    # What is stored depends on the decoder too: two versions may differ in a pixel's last bit.
    variant = f"{config.size}px-pillow{PIL.__version__}"
    key = _stat_key(what, [path for path, _ in items])
    return _open_or_build(config, key, variant, lambda folder: _decode(folder, listing, config.size))


def _stat_key(what: object, files: Iterable[Path]) -> str:
    """Changes whenever a file is added, removed, resized or written, without reading any."""
    digest = hashlib.sha256(repr(what).encode())
    for path in files:
        try:
            stat = path.stat()
        except OSError:
            raise ValueError(f"{path} is listed but cannot be read") from None
        digest.update(f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
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
        raise ValueError(
            f"the image cache {root} cannot be written: {error.strerror or error}; name another with data.cache=DIR"
        ) from None
    assert images is not None, "a cache just built must open"
    return images


def _open(root: Path, seen: Path) -> Images | None:
    """Memory-map a cache after checking every byte of it; None when there is none or it is damaged."""
    try:
        entry = json.loads(seen.read_bytes())
        folder = root / entry["folder"]
        meta = json.loads((folder / "meta.json").read_bytes())
        for name in ARRAYS:
            if file_sha256(str(folder / f"{name}.npy")) != meta["sha256"][name]:
                raise ValueError(f"{name} is damaged")
        # Copy-on-write: torch warns of arrays that it may not write to, and nothing here writes.
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="c") for name in ARRAYS}
        return Images(tuple(meta["classes"]), **arrays, fingerprint=meta["fingerprint"])
    except (OSError, ValueError, KeyError):
        return None


def _build(root: Path, seen: Path, variant: str, fill: Fill) -> None:
    with tempfile.TemporaryDirectory(dir=root, prefix=".building-") as temporary:
        folder = Path(temporary) / "cache"
        folder.mkdir()
        classes, fingerprint = fill(folder)
        meta = {
            "fingerprint": fingerprint,
            "classes": classes,
            "sha256": {name: file_sha256(str(folder / f"{name}.npy")) for name in ARRAYS},
        }
        files.write_json(folder / "meta.json", meta)
        final = root / f"{fingerprint[:16]}-{variant}"
        shutil.rmtree(final, ignore_errors=True)  # damaged, or the same content from another place
        os.rename(folder, final)
    files.write_json(seen, {"folder": final.name})


def _copy(folder: Path, classes: tuple[str, ...], arrays: dict[str, np.ndarray]) -> tuple[tuple[str, ...], str]:
    """Store arrays as they are; the fingerprint is that of class names, labels and pixels."""
    digest = hashlib.sha256(json.dumps(classes).encode())
    for name in ARRAYS:
        np.save(folder / f"{name}.npy", arrays[name])
        digest.update(f"{name} {arrays[name].shape}\n".encode())
        digest.update(np.ascontiguousarray(arrays[name]).data)
    return classes, digest.hexdigest()


def _decode(folder: Path, listing: Listing, size: int) -> tuple[tuple[str, ...], str]:
    """Decode a listing's files; the fingerprint is that of class names, labels and the files' bytes."""
    digest = hashlib.sha256(json.dumps(listing.classes).encode())
    total = len(listing.train) + len(listing.test)
    with progress_bar("decoding images", total, "images") as advance, decode.processes(WORKERS) as pool:
        for part, items in (("train", listing.train), ("test", listing.test)):
            labels = np.array([label for _, label in items], dtype=np.int64)
            np.save(folder / f"{part}_labels.npy", labels)
            paths = [path for path, _ in items]
            hashes = decode.into_array(pool, paths, size, folder / f"{part}_images.npy", advance)
            for label, file_hash in zip(labels, hashes, strict=True):
                digest.update(f"{part} {label} {file_hash}\n".encode())
    return listing.classes, digest.hexdigest()

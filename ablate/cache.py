"""Images decoded once, into uint8 arrays on disk that every run memory-maps.

One pass over a source's content gives the data's fingerprint, and fills a folder that the fingerprint
names. A note beside it tells what the source's files looked like, so that the next run reads none of
them: it needs no decoder, and for torchvision's data sets no torch.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import PIL
from PIL import Image

from ablate import record
from ablate.config import DataConfig
from ablate.interrupt import die_with_parent
from ablate.lock import turn
from ablate.progress import progress_bar
from ablate.signature import file_sha256
from ablate.sources import TORCHVISION, Listing, cache_root, list_images, read_torchvision, torchvision_files

MAX_PIXELS = 64_000_000  # above this, a small file may fill the memory when it is decoded
WORKERS = os.cpu_count()  # processes that decode; how many does not show in what they make
CHUNK = 128  # files that one of them takes at a time
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
        record.write_json(folder / "meta.json", meta)
        final = root / f"{fingerprint[:16]}-{variant}"
        shutil.rmtree(final, ignore_errors=True)  # damaged, or the same content from another place
        os.rename(folder, final)
    record.write_json(seen, {"folder": final.name})


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
    for part, items in (("train", listing.train), ("test", listing.test)):
        labels = np.array([label for _, label in items], dtype=np.int64)
        np.save(folder / f"{part}_labels.npy", labels)
        for (_, label), file_hash in zip(
            items, _decode_all(part, items, size, folder / f"{part}_images.npy"), strict=True
        ):
            digest.update(f"{part} {label} {file_hash}\n".encode())
    return listing.classes, digest.hexdigest()


def _decode_all(part: str, items: list[tuple[Path, int]], size: int, target: Path) -> list[str]:
    """Decode files into one array on disk, in several processes; return each file's hash, in order."""
    np.lib.format.open_memmap(target, mode="w+", dtype=np.uint8, shape=(len(items), size, size, 3)).flush()
    starts = range(0, len(items), CHUNK)
    hashes: dict[int, list[str]] = {}
    with (
        progress_bar(f"decoding {part} images", len(items), "images") as advance,
        ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn"), initializer=die_with_parent) as pool,
    ):
        jobs = {
            pool.submit(_decode_chunk, [p for p, _ in items[start : start + CHUNK]], size, target, start): start
            for start in starts
        }
        try:
            for job in as_completed(jobs):
                hashes[jobs[job]] = job.result()
                advance(len(hashes[jobs[job]]))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return [file_hash for start in starts for file_hash in hashes[start]]


def _decode_chunk(paths: list[Path], size: int, target: Path, start: int) -> list[str]:
    images = np.load(target, mmap_mode="r+")
    hashes = []
    for offset, path in enumerate(paths):
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ValueError(f"{path} cannot be read: {error.strerror}") from None
        hashes.append(hashlib.sha256(content).hexdigest())
        images[start + offset] = decode(content, size, path)
    images.flush()
    return hashes


def decode(content: bytes, size: int, path: Path) -> np.ndarray:
    """Decode one JPEG or PNG to (size, size, 3) uint8: short side scaled (bicubic), centre cropped.

    Raises ValueError, naming `path`, for anything that is not a whole image of a sane size.
    """
    try:
        with Image.open(BytesIO(content), formats=("JPEG", "PNG")) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"{image.width} x {image.height} pixels are too many")
            rgb = _to_rgb(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} cannot be used as an image: {error}") from None
    if rgb.size != (size, size):
        scale = size / min(rgb.size)
        width, height = (max(size, round(side * scale)) for side in rgb.size)
        rgb = rgb.resize((width, height), Image.Resampling.BICUBIC)
        left, top = (width - size) // 2, (height - size) // 2
        rgb = rgb.crop((left, top, left + size, top + size))
    return np.asarray(rgb)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # 16-bit grayscale: Pillow's own conversion clips at 255 where scaling is meant.
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    return image.convert("RGB")

"""Images decoded once, into uint8 arrays on disk that every run memory-maps. No torch.

One pass over the files hashes them, which gives the data's fingerprint, and decodes them into a
folder that the fingerprint names.
"""

import hashlib
import json
import os
import shutil
import tempfile
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import PIL
from filelock import FileLock
from PIL import Image

from ablate import record
from ablate.config import DataConfig
from ablate.progress import progress_bar
from ablate.signature import file_sha256
from ablate.sources import Listing, list_images

MAX_PIXELS = 64_000_000  # above this, a small file may fill the memory when it is decoded
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


def cache_root(config: DataConfig) -> Path:
    """Where decoded images are kept: data.cache, or the user's cache folder."""
    if config.cache is not None:
        return Path(config.cache).expanduser().absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "ablate"


def load_cached(config: DataConfig) -> Images:
    """The images of a data set that lies in files, decoded now or before. Raises ValueError."""
    listing = list_images(config)
    root = cache_root(config)
    # What is stored depends on the decoder too: two versions may differ in a pixel's last bit.
    variant = f"{config.size}px-pillow{PIL.__version__}"
    seen = root / f"seen-{_stat_key(listing)}-{variant}.json"
    images = _open(root, seen)
    if images is not None:
        return images
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / "building.lock"):  # one builds, the others wait
            images = _open(root, seen)
            if images is None:
                _build(listing, config.size, root, variant, seen)
                images = _open(root, seen)
    except OSError as error:
        raise ValueError(
            f"the image cache {root} cannot be written: {error.strerror or error}; name another with data.cache=DIR"
        ) from None
    assert images is not None, "a cache just built must open"
    return images


def _stat_key(listing: Listing) -> str:
    """Changes whenever a file is added, removed, resized or written, without reading any."""
    digest = hashlib.sha256(repr((str(listing.root), listing.classes)).encode())
    for part in (listing.train, listing.test):
        for path, label in part:
            try:
                stat = path.stat()
            except OSError:
                raise ValueError(f"{path} is listed but cannot be read") from None
            digest.update(f"{path}\0{label}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
        digest.update(b"\0")
    return digest.hexdigest()[:16]


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


def _build(listing: Listing, size: int, root: Path, variant: str, seen: Path) -> None:
    parts = {"train": listing.train, "test": listing.test}
    with tempfile.TemporaryDirectory(dir=root, prefix=".building-") as temporary:
        folder = Path(temporary) / "cache"
        folder.mkdir()
        digest = hashlib.sha256(json.dumps(listing.classes).encode())
        for part, items in parts.items():
            labels = np.array([label for _, label in items], dtype=np.int64)
            np.save(folder / f"{part}_labels.npy", labels)
            for (_, label), file_hash in zip(
                items, _decode_all(part, items, size, folder / f"{part}_images.npy"), strict=True
            ):
                digest.update(f"{part} {label} {file_hash}\n".encode())
        meta = {
            "fingerprint": digest.hexdigest(),
            "classes": listing.classes,
            "sha256": {name: file_sha256(str(folder / f"{name}.npy")) for name in ARRAYS},
        }
        record.write_json(folder / "meta.json", meta)
        final = root / f"{digest.hexdigest()[:16]}-{variant}"
        shutil.rmtree(final, ignore_errors=True)  # damaged, or the same content from another place
        os.rename(folder, final)
    record.write_json(seen, {"folder": final.name})


def _decode_all(part: str, items: list[tuple[Path, int]], size: int, target: Path) -> list[str]:
    """Decode files into one array on disk with all cores; return each file's hash, in order."""
    np.lib.format.open_memmap(target, mode="w+", dtype=np.uint8, shape=(len(items), size, size, 3)).flush()
    chunk = 128
    starts = range(0, len(items), chunk)
    hashes: dict[int, list[str]] = {}
    with (
        progress_bar(f"decoding {part} images", len(items), "images") as advance,
        ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool,
    ):
        jobs = {
            pool.submit(_decode_chunk, [p for p, _ in items[start : start + chunk]], size, target, start): start
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

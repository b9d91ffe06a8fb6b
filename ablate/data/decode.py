"""Image files decoded into an array on disk, by processes that import little else."""

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image

from ablate.system.signals import die_with_parent

MAX_PIXELS = 64_000_000  # above this, a small file may fill the memory when it is decoded
CHUNK = 128  # files that a process takes at a time


@contextmanager
def processes(count: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that end with this one, and that finish no more than they hold when this is left by an exception."""
    with ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=die_with_parent) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def into_array(
    pool: ProcessPoolExecutor, paths: list[Path], size: int, target: Path, advance: Callable[[int], None]
) -> list[str]:
    """Decode files into a new array (N, size, size, 3) uint8 at `target`; return each file's SHA-256, in order.

    Calls `advance` with how many more are done. Raises ValueError for a file that cannot be read or decoded.
    """
    array: np.memmap = np.lib.format.open_memmap(target, mode="w+", dtype=np.uint8, shape=(len(paths), size, size, 3))
    place = array.offset  # of the first image in the file
    del array
    starts = range(0, len(paths), CHUNK)
    jobs = {}
    for start in starts:
        some = paths[start : start + CHUNK]
        jobs[pool.submit(_chunk_into_file, some, size, target, place + start * size * size * 3)] = start
    hashes: dict[int, list[str]] = {}
    for job in as_completed(jobs):
        hashes[jobs[job]] = job.result()
        advance(len(hashes[jobs[job]]))
    return [file_hash for start in starts for file_hash in hashes[start]]


def _chunk_into_file(paths: list[Path], size: int, target: Path, place: int) -> list[str]:
    images = np.empty((len(paths), size, size, 3), np.uint8)
    hashes = []
    for image, path in zip(images, paths, strict=True):
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ValueError(f"{path} cannot be read: {error.strerror}") from None
        hashes.append(hashlib.sha256(content).hexdigest())
        image[:] = decode(content, size, path)
    with open(target, "r+b") as file:  # a mapped file would be written page by page, which takes as long as decoding
        file.seek(place)
        file.write(images.data)
    return hashes


def decode(content: bytes, size: int, path: Path) -> np.ndarray:
    """Decode one JPEG or PNG to (size, size, 3) uint8: short side scaled (bicubic), centre cropped.

    Raises ValueError, naming `path`, for anything that is not a whole image of a sane size.
    """
    try:
        with Image.open(BytesIO(content), formats=("JPEG", "PNG")) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"{image.width} x {image.height} pixels are too many")
            rgb = to_rgb(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} cannot be used as an image: {error}") from None
    return squared(rgb, size)


def squared(rgb: Image.Image, size: int) -> np.ndarray:
    """An RGB image as (size, size, 3) uint8: short side scaled (bicubic), centre cropped."""
    if rgb.size != (size, size):
        scale = size / min(rgb.size)
        width, height = (max(size, round(side * scale)) for side in rgb.size)
        rgb = rgb.resize((width, height), Image.Resampling.BICUBIC)
        left, top = (width - size) // 2, (height - size) // 2
        rgb = rgb.crop((left, top, left + size, top + size))
    return np.asarray(rgb)


def to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # 16-bit grayscale: Pillow's own conversion clips at 255 where scaling is meant.
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    return image.convert("RGB")

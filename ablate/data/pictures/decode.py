"""Picture files decoded into an array on disk, by processes that import little else."""

import hashlib
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from ablate.data.pictures import earlier, formats
from ablate.data.pictures.viewed import NotShown, as_shown, open_picture
from ablate.system.signals import die_with_parent

RULES = 2  # the newest rules by which pictures are listed and decoded; raised with each change to what a network sees
MAX_PIXELS = 64_000_000  # above this, a small file may fill the memory when it is decoded
MAX_BYTES = 2**30  # of a file; no compression makes 64 million pixels larger
DARK = 16  # of 255; a picture without a brighter value is mentioned
HEAD = 1 << 16  # bytes, which tell what a file is, and are all of a small picture
CHUNK = 128  # files that a process takes at a time


@dataclass(frozen=True)
class Decoding:
    """By which rules pictures are decoded, to which side in pixels, and on which ground transparent ones are laid."""

    size: int
    background: str = "white"
    rules: int = RULES


@dataclass(frozen=True)
class Look:
    """What one file was found to be: used, `left_out` or `wrong` for the reason given there."""

    sha256: str = ""
    kind: str = ""  # its format, by its content
    sides: tuple[int, int] = (0, 0)  # pixels
    since: int = 1  # the first rules that decode it to what it is decoded to now
    left_out: str = ""
    wrong: str = ""
    note: str = ""

    @property
    def used(self) -> bool:
        return not self.left_out and not self.wrong


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
    pool: ProcessPoolExecutor,
    paths: list[Path],
    decoding: Decoding,
    target: Path,
    advance: Callable[[int], None],
    known: Mapping[int, Look] = {},
) -> list[Look]:
    """Decode files into a new array (N, size, size, 3) uint8 at `target`; return what each was found to be, in order.

    The rows of files that are `known` are left for the caller to fill, and those of files not used hold nothing of
    meaning. Calls `advance` with how many more are done. Raises ValueError when a process that decodes is ended.
    """
    size = decoding.size
    array = np.lib.format.open_memmap(target, mode="w+", dtype=np.uint8, shape=(len(paths), size, size, 3))
    place = array.offset  # of the first image in the file
    del array
    rows = [row for row in range(len(paths)) if row not in known]
    jobs = {}
    looks = dict(known)
    advance(len(known))
    try:
        for start in range(0, len(rows), CHUNK):
            some = rows[start : start + CHUNK]
            job = pool.submit(_chunk_into_file, [paths[row] for row in some], some, decoding, target, place)
            jobs[job] = some
        for job in as_completed(jobs):
            looks.update(zip(jobs[job], job.result(), strict=True))
            advance(len(jobs[job]))
    except BrokenProcessPool:
        raise ValueError(
            "a process that decodes the pictures was ended from outside, as the system does when memory runs out; "
            "the same command tries again"
        ) from None
    return [looks[row] for row in range(len(paths))]


def _chunk_into_file(paths: list[Path], rows: list[int], decoding: Decoding, target: Path, place: int) -> list[Look]:
    images = np.zeros((len(paths), decoding.size, decoding.size, 3), np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, about palettes and damaged EXIF
        looks = [look_at(path, decoding, image) for path, image in zip(paths, images, strict=True)]
    bytes_each = images[0].nbytes
    with open(target, "r+b") as file:  # a mapped file would be written page by page, which takes as long as decoding
        start = 0
        for end in range(1, len(rows) + 1):
            if end == len(rows) or rows[end] != rows[end - 1] + 1:
                file.seek(place + rows[start] * bytes_each)
                file.write(images[start:end].data)
                start = end
    return looks


def look_at(path: Path, decoding: Decoding, into: NDArray[np.uint8]) -> Look:
    """Decode a file `into` (size, size, 3), if it is a picture to be used; else say why it is none."""
    try:
        with open(path, "rb", buffering=0) as file:
            content = file.read(HEAD)
            kind = formats.kind_of(content)
            if decoding.rules == earlier.RULES:
                kind = "JPEG" if kind is None else kind
            elif kind not in formats.READ or (kind == "TIFF" and formats.is_raw(path)):
                return _no_picture(path, kind, content)
            if len(content) == HEAD:
                if os.fstat(file.fileno()).st_size > MAX_BYTES:
                    return Look(kind=str(kind), wrong=f"is larger than {MAX_BYTES >> 20} MiB")
                content += file.readall()
    except OSError as error:
        return Look(wrong=f"cannot be read: {error.strerror}")
    assert kind is not None
    return _decode(content, kind, decoding, into)


def _no_picture(path: Path, kind: str | None, head: bytes) -> Look:
    """A file that is none of the formats that are read: left out, unless its name says that it is one of them."""
    if not formats.promises_a_picture(path) or not formats.is_no_picture(kind):
        return Look(kind=kind or "", left_out=formats.in_words(path, kind))
    if kind == "Git LFS pointer":
        return Look(wrong="is a Git LFS pointer, not the picture; `git lfs pull` downloads it")
    if kind is not None:
        return Look(wrong=f"is a {kind}, not a picture")
    if not head:
        return Look(wrong="is empty")
    return Look(wrong=f"is not a picture in a supported format ({formats.IN_WORDS})")


def _decode(content: bytes, kind: str, decoding: Decoding, into: NDArray[np.uint8]) -> Look:
    digest = hashlib.sha256(content).hexdigest()
    try:
        if decoding.rules == earlier.RULES:
            into[:] = squared(earlier.rgb(content), decoding.size)
            return Look(digest, kind)
        with open_picture(content, kind) as image:
            sides = image.size
            if image.width * image.height > MAX_PIXELS:
                return Look(kind=kind, wrong=f"{image.width} x {image.height} pixels are too many; make it smaller")
            if several := _several(image, kind):
                return Look(digest, kind, sides, left_out=several)
            note = f"an animated {kind}, of which only the first frame is used" if _is_film(image, kind) else ""
            rgb, changed = as_shown(image, decoding.background, content, kind)
        into[:] = squared(rgb, decoding.size)
        since = _since(content, kind, changed or _is_long(rgb.size, decoding.size), into)
        if not note and into.max() < DARK:
            note = "nearly black"
        return Look(digest, kind, sides, since, note=note)
    except NotShown as error:
        return Look(kind=kind, wrong=str(error))
    except MemoryError:
        return Look(kind=kind, wrong="does not fit in memory when it is decoded")
    except Exception as error:  # decoders raise all kinds of errors on damaged bytes
        return Look(kind=kind, wrong=_plainly(error, kind))


def _several(image: Image.Image, kind: str) -> str:
    """Why a file that holds several pictures is left out; "" where the first is what any viewer shows."""
    if kind in ("PNG", "WebP") and getattr(image, "is_animated", False):
        return f"animated {kind}"
    if kind == "TIFF" and getattr(image, "n_frames", 1) > 1:
        image.seek(1)
        thumbnail = bool(image.tag_v2.get(254, 0) & 1)  # type: ignore[attr-defined]
        image.seek(0)
        return "" if thumbnail else "TIFF of several pages"
    return ""


def _is_film(image: Image.Image, kind: str) -> bool:
    return kind == "GIF" and bool(getattr(image, "is_animated", False))


def _since(content: bytes, kind: str, changed: bool, pixels: NDArray[np.uint8]) -> int:
    """The first rules that give these pixels."""
    if kind not in ("JPEG", "PNG"):
        return RULES
    if not changed:
        return earlier.RULES
    try:
        before = squared(earlier.rgb(content), len(pixels))
    except Exception:  # what the earlier rules could not read
        return RULES
    return earlier.RULES if np.array_equal(before, pixels) else RULES


def _plainly(error: Exception, kind: str) -> str:
    """What is wrong with a picture, in words that are not a decoder's."""
    message = str(error)
    if isinstance(error, UnidentifiedImageError):
        return f"is a damaged {kind} file"
    if isinstance(error, Image.DecompressionBombError):
        return "has too many pixels; make it smaller"
    if "MAX_TEXT" in message:
        return "contains more than 1 MiB of text; save it again without"
    return f"is a damaged or truncated {kind} file"


def decode(path: Path, decoding: Decoding) -> NDArray[np.uint8]:
    """One picture file as (size, size, 3) uint8. Raises ValueError, naming it, where it cannot be used."""
    pixels = np.zeros((decoding.size, decoding.size, 3), np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        look = look_at(path, decoding, pixels)
    if not look.used:
        raise ValueError(f"{path} {look.wrong or f'is not read: {look.left_out}'}")
    return pixels


def squared(rgb: Image.Image, size: int) -> NDArray[np.uint8]:
    """An RGB image as (size, size, 3) uint8: short side scaled (bicubic), centre cropped."""
    if rgb.size == (size, size):
        return np.asarray(rgb)
    width, height = _scaled(rgb.size, size)
    left, top = (width - size) // 2, (height - size) // 2
    if _is_long(rgb.size, size):  # scaled as a whole it would fill the memory
        across, down = rgb.width / width, rgb.height / height
        box = (left * across, top * down, (left + size) * across, (top + size) * down)
        return np.asarray(rgb.resize((size, size), Image.Resampling.BICUBIC, box=box))
    rgb = rgb.resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(rgb.crop((left, top, left + size, top + size)))


def _scaled(sides: tuple[int, int], size: int) -> tuple[int, int]:
    scale = size / min(sides)
    width, height = (max(size, round(side * scale)) for side in sides)
    return width, height


def _is_long(sides: tuple[int, int], size: int) -> bool:
    width, height = _scaled(sides, size)
    return width * height > MAX_PIXELS

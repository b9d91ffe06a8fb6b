"""Getting a data set. Nothing is read before its checksum is right."""

import dataclasses
import hashlib
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import BinaryIO
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from filelock import FileLock, Timeout

from ablate.config.schema import FIXED_SIZE, DataConfig
from ablate.data.sources import (
    TINY_IMAGENET,
    download_root,
    official_folder,
    open_torchvision,
    read_torchvision,
    reason,
)
from ablate.data.unpack import unpack
from ablate.system import hints
from ablate.system.progress import progress_bar

TIMEOUT = 30.0  # seconds without a byte
MB = 1_000_000


@dataclass(frozen=True)
class Archive:
    """A file to download: its addresses, best first, and its size and checksum."""

    urls: tuple[str, ...]
    size: int
    md5: str


# Without https, as behind some proxies, the checksum still proves that it is the right file.
OFFICIAL = Archive(
    urls=(
        f"https://cs231n.stanford.edu/{TINY_IMAGENET}.zip",
        f"http://cs231n.stanford.edu/{TINY_IMAGENET}.zip",
    ),
    size=248_100_043,
    md5="90528d7ca1a48142e341f4ef8d21d0de",
)


def download_tiny_imagenet(folder: Path, archive: Archive = OFFICIAL) -> Path:
    """Put Tiny ImageNet into `folder`, resuming an earlier download, and return where it is.

    Raises ValueError when it cannot be had, is not what was published, or is being downloaded already.
    """
    found = official_folder(folder)
    if found is not None:
        print(f"{found} is already there")
        return found
    target = folder / TINY_IMAGENET
    if target.exists():
        raise ValueError(f"{target} is in the way, and not whole; remove it, or name another folder with --to DIR")
    part = folder / f"{TINY_IMAGENET}.zip.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f".{TINY_IMAGENET}.zip.lock", timeout=0):
            fetch(archive, part)
            unpack(part, target, inside=TINY_IMAGENET)
            part.unlink()
    except Timeout:
        raise ValueError(f"another process is downloading into {folder}; wait for it") from None
    except OSError as error:
        raise ValueError(
            f"{folder} cannot be written: {error.strerror or error}; name another folder with --to DIR"
        ) from None
    return target


def fetch(archive: Archive, part: Path) -> None:
    """Download what `part` lacks of an archive, from the first address that has it, and check it.

    Raises ValueError when no address has all of it, and keeps what came; when it came with another
    checksum, and removes it. Raises OSError when `part` cannot be opened.
    """
    problems = []
    with open(part, "ab") as file:
        for url in archive.urls:
            if file.tell() == archive.size:
                break
            print(f"downloading {url} ({archive.size / MB:,.1f} MB)", flush=True)
            try:
                _receive(url, file, archive.size)
            except (OSError, HTTPException) as error:
                problems.append(f"{url}: {reason(error)}")
        received = file.tell()
    if received != archive.size:
        raise ValueError(
            f"{received:,} of {archive.size:,} bytes were received ({'; '.join(problems)}); the same command resumes "
            "the download, and --url URL names another address"
        )
    with open(part, "rb") as file:
        md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if md5 != archive.md5:
        part.unlink()
        raise ValueError(
            f"what came has the MD5 checksum {md5} instead of {archive.md5}: it was damaged on the way or is "
            "another file, and has been removed; the same command starts anew"
        )


def _receive(url: str, file: BinaryIO, size: int) -> None:
    """Append the rest of a file of `size` bytes, or all of it where the server has no ranges."""
    have = file.tell() if file.tell() < size else 0
    request = Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urlopen(request, timeout=TIMEOUT)
    except HTTPError as error:
        error.close()
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and have:
            file.truncate(file.seek(0))  # what is here cannot be its beginning
            return _receive(url, file, size)
        raise
    with response, progress_bar("downloading", size // MB, "MB") as advance:
        start = have if response.status == HTTPStatus.PARTIAL_CONTENT else 0
        length = response.headers["Content-Length"]
        if length is not None and start + int(length) != size:
            raise ConnectionError(f"the file there has {start + int(length):,} bytes")
        file.truncate(file.seek(start))
        advance(start // MB)
        while chunk := response.read1(2**16):  # what has come before a break is kept
            before = file.tell()
            file.write(chunk)
            advance(file.tell() // MB - before // MB)
            if file.tell() > size:
                raise ConnectionError("it sends more than that")
    if file.tell() < size:
        raise ConnectionError("the connection ended early")


def download_torchvision(name: str, folder: Path) -> None:
    """Put CIFAR or Fashion-MNIST into `folder` by torchvision. Raises ValueError when it cannot be had."""
    config = DataConfig(name=name, size=FIXED_SIZE[name], path=str(folder))
    try:
        read_torchvision(config)
        print(f"{name} is already there")
        return
    except ValueError:
        print(f"downloading {name}", flush=True)
    try:
        open_torchvision(name, folder, train=True, download=True)
    except Exception as error:  # torchvision lets through whatever urllib, tarfile and gzip raise
        raise ValueError(
            f"{name} could not be downloaded into {folder}: {reason(error)}; the same command tries again"
        ) from None
    read_torchvision(config)


def download(name: str, to: Path | None, url: str | None) -> None:
    """Get a data set and print where it is and the command that uses it. Raises ValueError when it cannot be had."""
    folder = to.expanduser().absolute() if to else download_root(DataConfig(name=name, size=FIXED_SIZE.get(name, 64)))
    if name == "tiny_imagenet":
        download_tiny_imagenet(folder, dataclasses.replace(OFFICIAL, urls=(url,)) if url else OFFICIAL)
    elif url:
        raise ValueError(f"--url is for tiny_imagenet; torchvision knows where {name} is")
    else:
        download_torchvision(name, folder)
    words = [f"data={name}", *([f"data.path={folder}"] if to else [])]
    print(f"{name} is in {folder}; train on it with: {hints.command(*words)}")

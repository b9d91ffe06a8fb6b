"""Zip archives, unpacked safely and whole or not at all."""

import lzma
import os
import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PureWindowsPath

from filelock import FileLock

from ablate.system.progress import progress_bar

MAX_BYTES = 8 * 2**30  # unpacked; above this, a small archive may fill the disk


def unpack(archive: Path, target: Path, inside: str = "", limit: int = MAX_BYTES) -> None:
    """Unpack a zip archive, or the folder `inside` it, as the folder `target`; do nothing where that is there.

    It is unpacked next to `target` and renamed, so what is there is whole, and of several at once one
    unpacks while the others wait. Raises ValueError, and leaves nothing, for an archive that is damaged,
    unpacks to more than `limit` bytes or holds anything but plain files and folders below it; OSError
    where nothing can be written.
    """
    if target.is_dir():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.unpacking")
    with FileLock(target.with_name(f".{target.name}.lock")):
        if target.is_dir():
            return
        shutil.rmtree(temporary, ignore_errors=True)  # left by a process that was killed
        try:
            with zipfile.ZipFile(archive) as opened:
                _refuse_unsafe(archive, opened.infolist(), limit)
                _write(opened, temporary, limit)
            os.rename(temporary / inside, target)
        except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError) as error:
            raise ValueError(f"{archive} is no whole zip archive that can be read ({error}); get it anew") from None
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _refuse_unsafe(archive: Path, members: list[zipfile.ZipInfo], limit: int) -> None:
    """Look at every member before anything is written."""
    for member in members:
        name = member.orig_filename  # as it is stored; `filename` is already tidied up
        path = PureWindowsPath(name)  # knows drives, and both kinds of slash
        kind = stat.S_IFMT(member.external_attr >> 16)
        if path.anchor or ".." in path.parts or "\\" in name or "\0" in name:
            fault = "which leads outside the folder it is unpacked into"
        elif kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            fault = "which is a link or a device"
        elif member.flag_bits & 0x1:
            fault = "which is encrypted"
        else:
            continue
        raise ValueError(f"{archive} is refused, and nothing of it unpacked: it holds {name!r}, {fault}")
    total = sum(member.file_size for member in members)
    if total > limit:
        raise ValueError(f"{archive} is refused, and nothing of it unpacked: its {total:,} bytes are over {limit:,}")


def _write(opened: zipfile.ZipFile, folder: Path, limit: int) -> None:
    """Write all members; their modes, owners and times are not taken over."""
    members = opened.infolist()
    folder.mkdir()
    left = limit  # the sizes that an archive declares need not be true
    with progress_bar("unpacking", len(members), "files") as advance:
        for member in members:
            path = folder / member.filename
            if member.is_dir():
                path.mkdir(parents=True, exist_ok=True)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                with opened.open(member) as source, open(path, "xb") as file:
                    while chunk := source.read(2**20):
                        left -= len(chunk)
                        if left < 0:
                            raise ValueError(f"{opened.filename} unpacks to more than {limit:,} bytes")
                        file.write(chunk)
            advance(1)

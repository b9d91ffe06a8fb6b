"""How the files of a study are written and read.

A file either holds what was written or what it held before: everything goes through a temporary file, fsync and
rename. Readers never trust a file: what cannot be read raises ValueError with its name.
"""

import json
import math
import os
import stat
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar

from annotated_types import Predicate

Kind = TypeVar("Kind")
Finite = Annotated[float, Predicate(math.isfinite)]
Upgrades = Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]]  # {format: brings it to the next one}


def now() -> str:
    """The time in UTC, to the second, as ISO 8601 text."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def write_bytes(path: Path, *parts: bytes | memoryview) -> None:
    """Replace a file's content at once and for good, or leave it as it was. Raises OSError naming file and size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-", suffix=".tmp")
        with os.fdopen(handle, "wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
        sync_folder(path.parent)
    except BaseException as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError):
            size = sum(len(part) for part in parts)
            raise OSError(error.errno, f"{error.strerror or error} (writing {size} bytes)", str(path)) from error
        raise


def sync_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut, where the system has a way to."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _umask() -> int:
    # There is no way to read it without setting it; mkstemp makes files that only their owner reads.
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def write_json(path: Path, value: Any) -> None:
    """Write strict JSON: a number that is not finite becomes null, never a bare NaN."""
    write_bytes(path, (json.dumps(finite(value), indent=2, allow_nan=False) + "\n").encode())


def finite(value: Any) -> Any:
    """The same plain value with null in place of numbers that JSON does not have."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(k): finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    return value


def _whole(digits: str) -> int:
    """A whole number that a computer counts with: the largest float is far below what JSON may hold."""
    if len(digits) > 20:
        raise ValueError(f"it holds a number of {len(digits)} digits")
    return int(digits)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object. Raises ValueError, naming the file, for anything else."""
    return _object(path, _content(path))


def read_typed(path: Path, kind: type[Kind], newest: int, upgrades: Upgrades) -> Kind:
    """Read a JSON object into a dataclass, every value checked; keys that the class does not have are left out.

    `newest` is the format that this version writes. A file says its own under "format" (1 where it says nothing); an
    older one is brought up to date by `upgrades`. Raises ValueError, naming the file and the place in it, for a newer
    format and for anything that does not fit.
    """
    content = _content(path)
    value = _object(path, content)
    written = value.get("format", 1)
    if type(written) is not int or not 1 <= written <= newest:
        raise ValueError(
            f"{path} has format {written!r}, and this version of ablate reads the formats 1 to {newest}; "
            "a newer version has to read it"
        )
    if written < newest:
        for number in range(written, newest):
            value = upgrades[number](value)
        content = json.dumps(value).encode()
    from pydantic import ValidationError

    try:
        found: Kind = _reader(kind).validate_json(content, strict=True)  # type: ignore[arg-type]
        return found
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        message = "is missing" if first["type"] == "missing" else f"is wrong: {first['msg']}"
        raise ValueError(f"{path} is damaged: {place} {message}") from None


@cache
def _reader(kind: Any) -> Any:
    from pydantic import TypeAdapter  # only where a file is read: it takes a while to import

    return TypeAdapter(kind)


def _content(path: Path) -> bytes:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise ValueError(f"{path} is not a file")  # a pipe would never end
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from None


def _object(path: Path, content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content, parse_int=_whole)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path} does not hold a JSON object")
    return value

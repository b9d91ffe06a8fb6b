"""What lies below a folder: files that may be pictures, and all that is none of them, with the reason.

Every file is one or the other: nothing is passed over in silence.
"""

import os
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

EXAMPLES = 3  # files that stand for all of one reason
# Folders in which systems, network drives and programs keep copies, thumbnails and what was deleted, anywhere in a
# tree; and so are all that begin with a dot or two underscores.
OF_TOOLS = frozenset((
    "@eadir", "@tmp", "@recycle", "@recently-snapshot", "@__thumb", "#recycle", "#snapshot", "$recycle.bin", "recycler",
    "system volume information", "lost+found", "found.000", "network trash folder", "temporary items", "thumbs",
    "thumbnails", "_thumbs", "_thumbnails", "_vti_cnf", "_notes", "_gsdata_", "_svn", "node_modules",
))  # fmt: skip
# Files that programs leave beside the one they work on, and those that are only partly there.
LEFT_BEHIND = ("~", ".bak", ".tmp", ".orig", ".part", ".crdownload", ".download", ".icloud")


@dataclass
class Found:
    """Files left out, by reason, and what cannot be: links that lead nowhere, folders that cannot be listed."""

    root: Path
    left_out: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    read: list[Path] = field(default_factory=list)  # the folders that are read, links resolved

    def leave_out(self, reason: str, path: Path) -> None:
        self.left_out[reason] += 1
        examples = self.examples.setdefault(reason, [])
        if len(examples) < EXAMPLES:
            examples.append(shown(path, self.root))

    def refuse(self, path: Path, why: str) -> None:
        self.problems.append(f"{shown(path, self.root)} {why}")


def shown(path: Path, root: Path) -> str:
    """A path as people read it: below the root, and in characters that a terminal can show."""
    text = str(path.relative_to(root)) if path.is_relative_to(root) and path != root else str(path)
    return text.encode("utf-8", "backslashreplace").decode()


def is_left_by_tools(name: str) -> bool:
    """Whether a folder of this name holds no pictures of anyone's, wherever it lies."""
    return name.startswith((".", "__")) or name.casefold() in OF_TOOLS


def entries(folder: Path, found: Found) -> tuple[list[str], list[str]]:
    """The names in a folder, sorted: (subfolders, all else), links to folders among the former."""
    try:
        with os.scandir(folder) as listed:
            both = [(entry.name, _is_folder(entry)) for entry in listed]
    except OSError as error:
        found.refuse(folder, f"cannot be listed: {error.strerror}")
        return [], []
    return sorted(name for name, there in both if there), sorted(name for name, there in both if not there)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads in a circle
        return False


def class_folders(folder: Path, found: Found) -> list[str]:
    """The names of the folders in a part of the data, but those that tools leave; what lies beside them is left out."""
    folders, others = entries(folder, found)
    for name in others:
        if (folder / name).is_symlink() and not (folder / name).exists() and not name.startswith("."):
            found.refuse(folder / name, "is a broken link")
        else:
            found.leave_out("outside the class folders", folder / name)
    return without_tools(folder, folders, found)


def without_tools(folder: Path, names: list[str], found: Found) -> list[str]:
    """The subfolders that are anyone's; what lies in those that tools leave is left out."""
    for name in filter(is_left_by_tools, names):
        leave_out_below(folder / name, f"in {name}", found)
    return [name for name in names if not is_left_by_tools(name)]


def files_below(folder: Path, found: Found, above: tuple[tuple[int, int], ...] = ()) -> Iterator[Path]:
    """Every file below a folder that may be a picture, in a fixed order; all others go to `found`."""
    try:
        status = folder.stat()
    except OSError as error:
        found.refuse(folder, f"cannot be listed: {error.strerror}")
        return
    here = (status.st_dev, status.st_ino)
    if here in above or (folder.is_symlink() and _leads_back(folder, found)):
        found.refuse(folder, "is a link back into the data's own folders, whose pictures would count twice; remove it")
        return
    folders, names = entries(folder, found)
    for name in names:
        if _may_be_a_picture(folder / name, found):
            yield folder / name
    for name in without_tools(folder, folders, found):
        yield from files_below(folder / name, found, (*above, here))


def _leads_back(link: Path, found: Found) -> bool:
    target = link.resolve()
    return any(target == part or target in part.parents or part in target.parents for part in found.read)


def _may_be_a_picture(path: Path, found: Found) -> bool:
    if path.name.startswith("."):
        found.leave_out("hidden", path)
    elif path.name.endswith(LEFT_BEHIND):
        found.leave_out("left by a program", path)
    else:
        try:
            mode = path.stat().st_mode
        except OSError as error:
            nowhere = path.is_symlink()
            found.refuse(path, "is a broken link" if nowhere else f"cannot be read: {error.strerror}")
            return False
        if stat.S_ISREG(mode):
            return True
        found.leave_out("not a regular file", path)
    return False


def leave_out_below(folder: Path, reason: str, found: Found) -> None:
    """Count every file below a folder as left out; links are not followed."""
    for parent, folders, names in os.walk(folder):
        for name in names + [name for name in folders if os.path.islink(os.path.join(parent, name))]:
            found.leave_out(reason, Path(parent) / name)

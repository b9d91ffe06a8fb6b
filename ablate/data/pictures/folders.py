"""Class folders as people lay them out: which folder is which part, and which file belongs to which class."""

import dataclasses
import os
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ablate.config.checks import did_you_mean
from ablate.config.schema import DataConfig
from ablate.data import split
from ablate.data.pictures import formats, tree
from ablate.data.pictures.listing import Entry, Listing
from ablate.data.pictures.tree import Found

# {what a folder is called: the part it is}; in capitals too, and with "set" or "data" behind it.
PARTS = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
NAMED = 20  # problems, then how many more
SEEN = 5  # folders that a message names
MANY = 20  # folders that are looked into for the right one


def part_of(name: str) -> str | None:
    """The part that a folder of this name is, or None."""
    return PARTS.get(re.sub(r"[ _-]?(set|data|images|imgs|split)$", "", name.casefold()))


@dataclass(frozen=True)
class Layout:
    """The folders of the parts, each with one folder per class; `held` is the data set's own holdout."""

    train: Path
    test: Path | None  # None: to be cut from train
    held: Path | None = None


def list_folder(root: Path, config: DataConfig) -> Listing:
    """List a folder of pictures. Raises ValueError, naming all that is wrong, when it cannot be used as it is."""
    if not root.is_dir():
        raise ValueError(f"data.path={root} is not a folder" + (", nor a .csv list" if root.is_file() else ""))
    found = Found(root)
    layout = find_layout(root, config, found)
    raise_problems(root, found.problems)
    found.read = [part.resolve() for part in (layout.train, layout.held, layout.test) if part is not None]
    classes = tuple(tree.class_folders(layout.train, found))
    notes = list(_nested(layout.train, classes))
    if layout.held is None and layout.test is not None and (aside := _without_labels(root, layout.test, found)):
        notes.append(aside)
    train = _pictures(layout.train, {name: name for name in classes}, classes, found)
    for name in sorted(set(classes) - {classes[entry.label] for entry in train}):
        found.problems.append(f"class {name} has no training image")
    if layout.held is not None:
        held = _pictures(layout.held, _classes_in(layout.held, layout.train, classes, found), classes, found)
        train += [dataclasses.replace(entry, held=True) for entry in held]
    if layout.test is not None:
        named = _classes_in(layout.test, layout.train, classes, found)
        test = _pictures(layout.test, named, classes, found)
        missing = [name for name in classes if name not in named.values()]
        if test and missing:
            notes.append(f"{layout.test.name}/ has no folder for {_some(missing)}, so there is no test image of it")
        for name in set(named.values()) - {classes[entry.label] for entry in test}:
            found.problems.append(f"class {name} has no picture in {layout.test.name}/")
    else:
        names = [os.fspath(entry.path.relative_to(layout.train)) for entry in train]
        train, test = cut_test_set(train, names, classes, config)
    _leave_out_the_rest(root, layout, found)
    for name in classes:
        try:
            name.encode()
        except UnicodeEncodeError:
            found.refuse(layout.train / name, "has a name that is not UTF-8: rename it")
    raise_problems(root, found.problems)
    return Listing(root, classes, train, test, found.left_out, found.examples, tuple(notes))


class Unusable(ValueError):
    """A data set that cannot be used as it is, for all the reasons given."""

    def __init__(self, root: Path, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        for_ = "" if len(problems) == 1 else f", for {len(problems)} reasons"
        more = f"; and {len(problems) - NAMED} more" if len(problems) > NAMED else ""
        super().__init__(f"{root} cannot be used{for_}: {'; '.join(problems[:NAMED])}{more}")


def raise_problems(root: Path, problems: Sequence[str]) -> None:
    """Raise Unusable with all of them, if there are any."""
    if problems:
        raise Unusable(root, problems)


def find_layout(root: Path, config: DataConfig, found: Found) -> Layout:
    """Which folders are the parts. Raises ValueError that says what was seen, and what to give instead."""
    folders = [name for name in tree.entries(root, found)[0] if not tree.is_left_by_tools(name)]
    parts: dict[str, Path] = {}
    for name in folders:
        if (part := part_of(name)) is not None:
            if part in parts:
                raise ValueError(f"{root} has both {parts[part].name} and {name}; rename or move one")
            parts[part] = root / name
    if config.test_share is not None:
        return _in_one_piece(root, folders, parts, config)
    if "train" in parts and "val" in parts and "test" in parts:
        if _has_a_class_of(parts["test"], parts["train"]):
            return Layout(parts["train"], parts["test"], held=parts["val"])
        return Layout(parts["train"], parts["val"])
    if "train" in parts and ("val" in parts or "test" in parts):
        return Layout(parts["train"], parts.get("val", parts.get("test")))
    raise ValueError(_what_was_seen(root, folders, parts))


def _in_one_piece(root: Path, folders: Sequence[str], parts: dict[str, Path], config: DataConfig) -> Layout:
    others = [path.name for part, path in parts.items() if part != "train"]
    if "train" in parts and others:
        raise ValueError(
            f"data.test_share={config.test_share:g} is for a folder of classes that is not split yet, and {root} has "
            f"{parts['train'].name}/ and {' and '.join(f'{name}/' for name in others)}; remove it"
        )
    if list(parts) == ["train"] and len(folders) == 1:
        return Layout(parts["train"], None)
    return Layout(root, None)


def _has_a_class_of(test: Path, train: Path) -> bool:
    of_train = set(map(_normal, _subfolders(train)))
    return any(_normal(name) in of_train for name in _subfolders(test))


def _what_was_seen(root: Path, folders: Sequence[str], parts: dict[str, Path]) -> str:
    """Why a folder is not laid out as it must be, and the nearest thing that is."""
    needs = f"{root} needs the folders train and val (or test), with one folder per class"
    inside = _laid_out(root, folders)
    if inside is not None:
        return f"{needs}; {inside.relative_to(root)} in it has them: data.path={inside}"
    if part_of(root.name) and "train" in map(part_of, _subfolders(root.parent)):
        return f"{needs}; it is one of them itself: data.path={root.parent}"
    lists = sorted(path.name for path in root.glob("*.csv"))
    if "train" in parts:
        return f"{needs}; it has {parts['train'].name} alone: data.test_share=0.2 makes a fifth of it the test set"
    if len(folders) > 1:
        return (
            f"{needs}, and holds {_some(folders)}; if these are the classes, data.test_share=0.2 makes a fifth of each "
            "the test set"
        )
    if lists:
        return f"{needs}; if {lists[0]} lists files and labels: data.path={root / lists[0]}"
    return f"{needs}, and holds {_some(folders) if folders else 'no folder'}"


def _laid_out(root: Path, folders: Sequence[str], depth: int = 3) -> Path | None:
    """The first folder below, not too deep, that has train and another part."""
    for name in folders[:MANY]:
        below = _subfolders(root / name)
        if {"train"} < set(map(part_of, below)) - {None}:
            return root / name
        if depth > 1 and (found := _laid_out(root / name, below, depth - 1)) is not None:
            return found
    return None


def _subfolders(folder: Path) -> list[str]:
    return [name for name in tree.entries(folder, Found(folder))[0] if not tree.is_left_by_tools(name)]


def _without_labels(root: Path, test: Path, found: Found) -> str | None:
    """Count a test folder without class folders, beside a val that has them, as left out; say so."""
    for name in _subfolders(root):
        if part_of(name) == "test" and root / name != test:
            before = sum(found.left_out.values())
            tree.leave_out_below(root / name, f"without a label, in {name}", found)
            count = sum(found.left_out.values()) - before
            return f"{name}/ has no folder named as a class, so that its {count} files have no label"
    return None


def _classes_in(folder: Path, train: Path, classes: Sequence[str], found: Found) -> dict[str, str]:
    """{folder: its class} of a part. A class that training lacks is a problem."""
    known = {_normal(name): name for name in classes}
    named = {}
    for name in tree.class_folders(folder, found):
        if _normal(name) in known:
            named[name] = known[_normal(name)]
        else:
            near = did_you_mean(name, classes)
            found.refuse(folder / name, f"is a class that {train.name}/ lacks{near}")
    if not named and not found.problems:
        flat = sum(count for reason, count in found.left_out.items() if reason == "outside the class folders")
        found.problems.append(
            f"{folder.name}/ has no class folders" + (f", and {flat} files outside any" if flat else "") +
            ": put each picture into a folder named as its class, or list files and labels in a .csv "
            "(data.path=FILE.csv)"
        )  # fmt: skip
    return named


def _normal(name: str) -> str:
    return unicodedata.normalize("NFC", name)  # macOS and others spell an accent differently


def _pictures(folder: Path, named: dict[str, str], classes: Sequence[str], found: Found) -> list[Entry]:
    """The files that may be pictures, class by class; `named` are the part's folders and the class of each."""
    of_class = {class_name: name for name, class_name in named.items()}
    return [
        Entry(path, label)
        for label, class_name in enumerate(classes) if class_name in of_class
        for path in tree.files_below(folder / of_class[class_name], found)
    ]  # fmt: skip


def cut_test_set(
    entries: list[Entry], names: Sequence[str], classes: Sequence[str], config: DataConfig
) -> tuple[list[Entry], list[Entry]]:
    """(training, test) of data in one piece, as data.test_share says; `names` decide which, in no order.

    Only files that are called pictures take part, so that others that come and go change nothing. Raises ValueError,
    naming the class, for one too small.
    """
    share = config.test_share
    assert share is not None
    place = [i for i, entry in enumerate(entries) if formats.promises_a_picture(entry.path)]
    groups = [entries[i].group for i in place]
    numbers = np.unique(np.array(groups), return_inverse=True)[1] if all(groups) and groups else None
    held = split.cut(
        np.array([entries[i].label for i in place], dtype=np.int64),
        split.ranks(f"test/{config.split_seed}/{groups[n] or names[i]}" for n, i in enumerate(place)),
        numbers, split.Share(share, classes, "the test set"),
    )  # fmt: skip
    test = {i for i, taken in zip(place, held, strict=True) if taken}
    return [e for i, e in enumerate(entries) if i not in test], [e for i, e in enumerate(entries) if i in test]


def _nested(train: Path, classes: Sequence[str]) -> list[str]:
    """Classes that hold several folders and no file: often groups of classes, one level too high."""
    names = [name for name in classes if len(_subfolders(train / name)) > 1 and not _files(train / name)]
    if not names:
        return []
    return [f"{_some(names)} in {train.name}/ contain only subfolders; all pictures below each count as one class"]


def _files(folder: Path) -> list[str]:
    return [name for name in tree.entries(folder, Found(folder))[1] if not name.startswith(".")]


def _leave_out_the_rest(root: Path, layout: Layout, found: Found) -> None:
    """What lies in the folder beside its parts."""
    if layout.train == root:
        return
    parts = [layout.train, layout.test, layout.held]
    folders, names = tree.entries(root, found)
    for name in names:
        found.leave_out("outside train, val and test", root / name)
    for name in tree.without_tools(root, folders, found):
        if root / name not in parts and part_of(name) != "test":
            tree.leave_out_below(root / name, "outside train, val and test", found)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SEEN} more" if len(names) > SEEN else ""
    return ", ".join(tree.shown(Path(name), Path("/")) for name in names[:SEEN]) + more

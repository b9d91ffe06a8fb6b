"""A listing's files decoded into arrays, with an account of what each was found to be."""

import dataclasses
import hashlib
import json
import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ablate.data.pictures import decode
from ablate.data.pictures.decode import Decoding, Look
from ablate.data.pictures.folders import raise_problems
from ablate.data.pictures.listing import Entry, Listing
from ablate.data.pictures.tree import EXAMPLES, shown
from ablate.records import files
from ablate.records.record import Reading
from ablate.system.hardware import cores
from ablate.system.progress import progress_bar

# Processes that decode; how many does not show in what they make.
WORKERS = cores()
ROWS = 4096  # copied at a time


@dataclass(frozen=True)
class Content:
    """What a cache's folder holds besides its arrays."""

    classes: tuple[str, ...]
    fingerprint: str
    reading: Reading | None = None


def store(folder: Path, listing: Listing, decoding: Decoding, root: Path) -> Content:
    """Decode a listing's files into `folder`; the fingerprint is that of class names, labels and the files' bytes.

    The rules of decoding enter it only where they change a picture. Raises ValueError that names the files that cannot
    be used, all at once; what was decoded is then kept below `root` for the next try.
    """
    kept = _kept_folder(root, listing, decoding)
    parts = {"train": listing.train, "test": listing.test}
    looks: dict[str, list[Look]] = {}
    total = len(listing.train) + len(listing.test)
    with progress_bar("decoding images", total, "images") as advance, decode.processes(WORKERS) as pool:
        for part, items in parts.items():
            paths, target = [item.path for item in items], folder / f"{part}_images.npy"
            known = _kept_looks(kept, part, paths)
            again = {row: look for row, (look, _) in known.items()}
            looks[part] = decode.into_array(pool, paths, decoding, target, advance, again)
            _copy_rows(kept / f"{part}_images.npy", target, {row: old for row, (_, old) in known.items()})
    if problems := _problems(listing, looks):
        _keep(kept, folder, parts, looks)
        raise_problems(listing.root, problems)
    shutil.rmtree(kept, ignore_errors=True)
    digest = hashlib.sha256(json.dumps(listing.classes).encode())
    used = {part: _store_used(folder, part, items, looks[part]) for part, items in parts.items()}
    for part, both in used.items():
        for item, look in both:
            digest.update(f"{'holdout' if item.held else part} {item.label} {look.sha256}\n".encode())
    reading = _account(listing, looks, used)
    if decoding.background != "white":
        digest.update(f"background {decoding.background}\n".encode())
    if reading.since > 1:
        digest.update(f"rules {reading.since}\n".encode())
    trained = [item for item, _ in used["train"]]
    if any(item.held for item in trained):
        np.save(folder / "held.npy", np.array([item.held for item in trained]))
    if any(item.group is not None for item in trained):
        numbers: dict[str | None, int] = {}
        groups = np.array([numbers.setdefault(item.group, len(numbers)) for item in trained], dtype=np.int64)
        np.save(folder / "groups.npy", groups)
        digest.update(b"groups" + groups.tobytes())
    return Content(listing.classes, digest.hexdigest(), reading)


def _store_used(folder: Path, part: str, items: Sequence[Entry], looks: Sequence[Look]) -> list[tuple[Entry, Look]]:
    """Store the labels of what is used, and close the gaps that all else has left among the images."""
    rows = [row for row, look in enumerate(looks) if look.used]
    np.save(folder / f"{part}_labels.npy", np.array([items[row].label for row in rows], dtype=np.int64))
    path = folder / f"{part}_images.npy"
    if len(rows) < len(items):
        whole = np.load(path, mmap_mode="r")
        closed = folder / f".{part}.npy"
        np.lib.format.open_memmap(closed, mode="w+", dtype=np.uint8, shape=(len(rows), *whole.shape[1:]))
        del whole
        _copy_rows(path, closed, dict(enumerate(rows)))
        os.replace(closed, path)
    return [(items[row], looks[row]) for row in rows]


def _copy_rows(source: Path, target: Path, rows: Mapping[int, int]) -> None:
    """Copy images from one array on disk to another: {row of the target: row of the source}."""
    if rows:
        old, new = np.load(source, mmap_mode="r"), np.load(target, mmap_mode="r+")
        pairs = list(rows.items())
        for start in range(0, len(pairs), ROWS):
            to, come_from = zip(*pairs[start : start + ROWS], strict=True)
            new[list(to)] = old[list(come_from)]


# -- what was found ---------------------------------------------------------------------------


def _problems(listing: Listing, looks: Mapping[str, Sequence[Look]]) -> list[str]:
    """The files that cannot be used, and the classes that are left without any."""
    problems = []
    for part, items in (("train", listing.train), ("test", listing.test)):
        found = list(zip(items, looks[part], strict=True))
        problems += [f"{shown(item.path, listing.root)} {look.wrong}" for item, look in found if look.wrong]
        used = {item.label for item, look in found if look.used or look.wrong}
        wanted = set(range(len(listing.classes))) if part == "train" else {item.label for item in items}
        for label in sorted(wanted - used):
            reasons = Counter(look.left_out for item, look in found if item.label == label)
            others = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
            what = "training" if part == "train" else "test"
            problems.append(
                f"class {listing.classes[label]} has no {what} image" + (f" that is read ({others})" if others else "")
            )
    if not problems and not any(look.used for look in looks["test"]):
        problems.append("it holds no test image")
    return problems


def _account(
    listing: Listing,
    looks: Mapping[str, Sequence[Look]],
    used: Mapping[str, Sequence[tuple[Entry, Look]]],
) -> Reading:
    """What was found in the files that were opened."""
    left_out, examples, notes = Counter[str](), defaultdict[str, list[str]](list), Counter[str]()
    for part, items in (("train", listing.train), ("test", listing.test)):
        for item, look in zip(items, looks[part], strict=True):
            if look.left_out:
                left_out[look.left_out] += 1
                if len(examples[look.left_out]) < EXAMPLES:
                    examples[look.left_out].append(shown(item.path, listing.root))
            elif look.note:
                notes[look.note] += 1
    everything = [*used["train"], *used["test"]]
    labels = defaultdict[str, set[int]](set)
    for item, look in everything:
        labels[look.sha256].add(item.label)
    in_training = {look.sha256 for _, look in used["train"]}
    sides = [side for _, look in everything for side in look.sides if side]
    return Reading(
        since=max(look.since for _, look in everything),
        formats=dict(Counter(look.kind for _, look in everything)),
        left_out=dict(left_out),
        examples=dict(examples),
        sides=[min(sides), max(sides)] if sides else [],
        leaked=sum(look.sha256 in in_training for _, look in used["test"]),
        two_labels=sum(len(labels[look.sha256]) > 1 for _, look in everything),
        notes=[f"{count} {'picture' if count == 1 else 'pictures'}: {note}" for note, count in notes.items()],
    )


# -- what is kept when files are wrong --------------------------------------------------------


def _kept_folder(root: Path, listing: Listing, decoding: Decoding) -> Path:
    """Where what was decoded of a data set lies while some of its files are wrong."""
    what = f"{listing.root}\0{decoding}\0{np.__version__}"
    return root / f"unfinished-{hashlib.sha256(what.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}"


def _keep(kept: Path, folder: Path, parts: Mapping[str, Sequence[Entry]], looks: Mapping[str, Sequence[Look]]) -> None:
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir()
    for part, items in parts.items():
        os.replace(folder / f"{part}_images.npy", kept / f"{part}_images.npy")
        rows = [
            {"file": os.fspath(item.path), "stat": _stat(item.path), "look": dataclasses.asdict(look)}
            for item, look in zip(items, looks[part], strict=True)
        ]
        files.write_json(kept / f"{part}.json", {"rows": rows})


def _kept_looks(kept: Path, part: str, paths: Sequence[Path]) -> dict[int, tuple[Look, int]]:
    """{row: (what was found, the row it is kept in)} of files that have not changed since, and were not wrong."""
    try:
        rows: list[dict[str, Any]] = files.read_json(kept / f"{part}.json")["rows"]
        np.load(kept / f"{part}_images.npy", mmap_mode="r")
    except (ValueError, KeyError, OSError):
        return {}
    before = {row["file"]: (number, row) for number, row in enumerate(rows)}
    known = {}
    for row, path in enumerate(paths):
        number, found = before.get(os.fspath(path), (0, None))
        if found is not None and not found["look"]["wrong"] and found["stat"] == _stat(path):
            known[row] = (Look(**found["look"] | {"sides": tuple(found["look"]["sides"])}), number)
    return known


def _stat(path: Path) -> list[int]:
    try:
        status = path.stat()
    except OSError:
        return []
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns]

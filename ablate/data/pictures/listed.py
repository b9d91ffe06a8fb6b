"""A list of pictures: a .csv with the columns file and label, and, if it likes, part and group."""

import csv
from collections import Counter
from pathlib import Path

from ablate.config.schema import DataConfig
from ablate.data.pictures.folders import cut_test_set, part_of, raise_problems
from ablate.data.pictures.listing import Entry, Listing

COLUMNS = ("file", "label", "part", "group")


def list_csv(path: Path, config: DataConfig) -> Listing:
    """List the files that a .csv names, relative to the folder it lies in.

    Without the column part, data.test_share says how much of each class is the test set. Raises ValueError, naming all
    that is wrong, when it cannot be used as it is.
    """
    rows = _rows(path)
    problems = [f"line {n}: {row['file']} is not there" for n, row in rows if not (path.parent / row["file"]).is_file()]
    problems += [f"line {n} has no label" for n, row in rows if not row["label"]]
    parts = {n: part_of(row.get("part", "train")) for n, row in rows}
    problems += [f"line {n}: part {row['part']!r} is none of train, val, test" for n, row in rows if parts[n] is None]
    for name, count in Counter(row["file"] for _, row in rows).items():
        if count > 1:
            problems.append(f"{name} is listed {count} times")
    grouped = any(row.get("group") for _, row in rows)
    problems += [f"line {n} has no group" for n, row in rows if grouped and not row.get("group")]
    problems += _groups_apart(rows, parts) if grouped else []
    there = set(parts.values())
    if config.test_share is not None and len(there) > 1:
        problems.append(f"data.test_share={config.test_share:g} has no effect with the column part; remove one")
    if config.test_share is None and len(there) == 1:
        problems.append("it names no test set: give it the column part (train, val, test), or data.test_share=0.2")
    raise_problems(path, problems)
    classes = tuple(sorted({row["label"] for _, row in rows}))
    of_part: dict[str, list[tuple[str, Entry]]] = {"train": [], "val": [], "test": []}
    own_holdout = {"val", "test"} <= there
    for n, row in sorted(rows, key=lambda numbered: (numbered[1]["label"], numbered[1]["file"])):
        part = str(parts[n])
        entry = Entry(
            path.parent / row["file"],
            classes.index(row["label"]),
            own_holdout and part == "val",
            row.get("group") or None,
        )
        of_part[part].append((row["file"], entry))
    if config.test_share is not None:
        names, entries = zip(*of_part["train"], strict=True)
        train, test = cut_test_set(list(entries), names, classes, config)
        return Listing(path, classes, train, test)
    train, held, test = ([entry for _, entry in of_part[part]] for part in ("train", "val", "test"))
    return Listing(path, classes, train + held, test) if own_holdout else Listing(path, classes, train, test or held)


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """(line, {column: text}) of every row. Raises ValueError where the file is none, or lacks a column."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not text in UTF-8; save it as that") from None
    first = text.partition("\n")[0]
    reader = csv.DictReader(text.splitlines(), delimiter=max(",;\t", key=first.count), skipinitialspace=True)
    columns = [str(name).strip().casefold() for name in reader.fieldnames or ()]
    if not {"file", "label"} <= set(columns):
        raise ValueError(
            f"{path} needs the columns file and label (and part and group, if you like); its first line has "
            f"{', '.join(columns) or 'none'}"
        )
    reader.fieldnames = columns
    rows = [
        (reader.line_num, {name: (row[name] or "").strip() for name in COLUMNS if name in columns}) for row in reader
    ]
    if not rows:
        raise ValueError(f"{path} lists no picture")
    return rows


def _groups_apart(rows: list[tuple[int, dict[str, str]]], parts: dict[int, str | None]) -> list[str]:
    """Groups that the column part tears apart."""
    seen: dict[str, set[str]] = {}
    for n, row in rows:
        seen.setdefault(row["group"], set()).add(str(parts[n]))
    return [f"group {group} is in {' and in '.join(sorted(where))}" for group, where in seen.items() if len(where) > 1]

"""`ablate inspect DIR`: what a folder of pictures holds, what is left out, and what a network sees. Trains nothing."""

import argparse
import dataclasses
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ablate.config.schema import DataConfig
from ablate.data import datasets
from ablate.data.cache import Images
from ablate.data.pictures.folders import Unusable
from ablate.data.sources import official_folder
from ablate.records.record import Reading
from ablate.system import hints

LISTED = 20  # classes, then how many more


def main(arguments: Sequence[str]) -> int:
    """Print what a folder holds and draw some of it. Returns 0, or 2 when it cannot be used as it is.

    Raises ValueError when the folder is none, or is not laid out as data are.
    """
    parser = argparse.ArgumentParser(
        prog="ablate inspect",
        description="Show what a folder of pictures holds, what is left out, and what a network will see of it.",
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="the folder, or a .csv list of files and labels")
    parser.add_argument("--size", type=int, default=64, metavar="N", help="data.size, in pixels (default: 64)")
    parser.add_argument("--test-share", type=float, metavar="S", help="data.test_share, for data in one piece")
    parser.add_argument("--background", default="white", metavar="COLOUR", help="data.background (default: white)")
    parser.add_argument(
        "--sheet", type=Path, metavar="FILE", help="where the contact sheet goes (default: inspect-DIR.png)"
    )
    parser.add_argument("--json", action="store_true", help="print the same as JSON, and draw nothing without --sheet")
    options = parser.parse_intermixed_args(arguments)
    name = "folder" if official_folder(options.folder) is None else "tiny_imagenet"
    config = DataConfig(name, options.size, path=str(options.folder), background=options.background)
    config = dataclasses.replace(config, test_share=options.test_share)
    try:
        images = datasets.load(config)
        _, held = datasets.holdout_split(images, config)
    except Unusable as error:
        print(f"{options.folder} cannot be used as it is:", *(f"  {problem}" for problem in error.problems), sep="\n")
        return 2
    sheet = options.sheet or (None if options.json else Path(f"inspect-{options.folder.resolve().stem}.png"))
    if sheet is not None:
        draw(images, sheet)
    if options.json:
        print(json.dumps(facts(images, len(held)), indent=2))
    else:
        print("\n".join(lines(config, images, len(held))))
        print(f"a few pictures of each class, as a network sees them: {sheet}")
    sys.stdout.flush()
    return 0


def facts(images: Images, held: int) -> dict[str, object]:
    """Everything that is known, as plain types."""
    return {
        "format": 1,
        "classes": [
            {"name": name, "training_images": trained, "test_images": tested}
            for name, trained, tested in _by_class(images)
        ],
        "training_images": len(images.train_labels),
        "holdout_images": held,
        "test_images": len(images.test_labels),
        "fingerprint": images.fingerprint,
        "reading": None if images.reading is None else dataclasses.asdict(images.reading),
    }


def lines(config: DataConfig, images: Images, held: int) -> list[str]:
    """The same for a terminal."""
    reading = images.reading
    assert reading is not None, "a folder's pictures are read from files"
    classes = _by_class(images)
    width = max(len(name) for name, _, _ in classes[:LISTED])
    some = [f"  {name:<{width}}  {train:>8}  {test:>6}" for name, train, test in classes[:LISTED]]
    more = classes[LISTED:]
    if more:
        some.append(
            f"  and {len(more)} more classes, of {_range([n for _, n, _ in more])} training and "
            f"{_range([n for _, _, n in more])} test images each"
        )
    own = "the folder's own" if images.held is not None else f"data.holdout={config.holdout:g} of each class"
    words = [f"data={config.name}", f"data.path={config.path}", f"data.size={config.size}"]
    words += [f"data.test_share={config.test_share:g}"] if config.test_share is not None else []
    words += [f"data.background='{config.background}'"] if config.background != "white" else []
    return [
        f"{config.path}: {len(classes)} classes",
        f"  {'':<{width}}  training    test",
        *some,
        f"{len(images.train_labels)} training images, of which {held} are held out ({own}); "
        f"{len(images.test_labels)} test images",
        f"sides: {_range(reading.sides)} pixels, scaled and cropped to {config.size} x {config.size}",
        f"formats: {', '.join(f'{count} {kind}' for kind, count in reading.formats.items())}",
        *_left_out(reading),
        *(f"note: {warning}" for warning in reading.warnings()),
        f"to train on it: {hints.command(*words)}",
    ]


def _by_class(images: Images) -> list[tuple[str, int, int]]:
    count = len(images.classes)
    trained, tested = (
        np.bincount(labels, minlength=count).tolist() for labels in (images.train_labels, images.test_labels)
    )
    return list(zip(images.classes, trained, tested, strict=True))


def _range(numbers: Sequence[int]) -> str:
    low, high = min(numbers, default=0), max(numbers, default=0)
    return str(low) if low == high else f"{low} to {high}"


def _left_out(reading: Reading) -> list[str]:
    if not reading.left_out:
        return ["left out: nothing"]
    count = sum(reading.left_out.values())
    found = [f"left out: {count} {'file' if count == 1 else 'files'}"]
    for reason, count in sorted(reading.left_out.items(), key=lambda item: -item[1]):
        named = reading.examples.get(reason, [])
        more = ", …" if count > len(named) else ""
        found.append(f"  {count} {reason}: {', '.join(map(shlex.quote, named))}{more}")
    return found


def draw(images: Images, path: Path) -> None:
    """Write the contact sheet as a PNG. Raises ValueError where it cannot be written."""
    from PIL import Image

    from ablate.run import pictures  # matplotlib, for its font

    try:
        Image.fromarray(pictures.contact_sheet(images)).save(path)
    except OSError as error:
        raise ValueError(f"{path} cannot be written: {error.strerror or error}; name another with --sheet") from None

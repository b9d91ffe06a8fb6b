"""`ablate export STUDY`: a study as one file, to carry to another machine or to publish."""

import argparse
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from ablate.records import archive, run_folder


def main(arguments: Sequence[str]) -> int:
    """Write the archive and print where it is. Returns 0. Raises ValueError without a study, or a place to write."""
    parser = argparse.ArgumentParser(
        prog="ablate export",
        description="Write a study into STUDY.zip, which is a study folder once unpacked: `ablate report`, `ablate "
        "reproduce` and the command that trained it work there; data.path=DIR says where the pictures are.",
    )
    parser.add_argument(
        "study", type=Path, nargs="?", help="its folder (default: the one in outputs/ that changed last)"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="the archive (default: NAME.zip in this folder)")
    parser.add_argument("--weights", action="store_true", help="with the weights and checkpoints that were kept")
    parser.add_argument(
        "--anonymous",
        action="store_true",
        help="without paths, hosts, users and remotes, and without logs and TensorBoard's files, which may hold them",
    )
    parser.add_argument("--json", action="store_true", help="print what was packed as JSON")
    options = parser.parse_intermixed_args(arguments)
    study = options.study or run_folder.latest_study(Path("outputs"))
    target = options.out or Path(f"{study.resolve().name}.zip")
    try:
        done = archive.pack(study, target, weights=options.weights, anonymous=options.anonymous)
    except OSError as error:
        raise ValueError(
            f"{error.filename or target}: {error.strerror or error}; --out FILE is another place"
        ) from None
    if options.json:
        print(json.dumps({"format": 1, **dataclasses.asdict(done), "path": str(done.path)}, indent=2))
    else:
        print(f"{done.path}: {done.runs} runs, {done.files} files, {done.bytes / 1e6:.1f} MB")
        print(
            f"Elsewhere: unzip it, check it with `sha256sum -c {archive.CHECKSUMS}`, and `ablate report {target.stem}`"
        )
    return 0

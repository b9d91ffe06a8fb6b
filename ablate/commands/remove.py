"""`ablate remove STUDY WHAT --reason TEXT`: take a level, a seed or a run out of a study, on the record."""

import argparse
import dataclasses
import json
import shlex
from collections.abc import Sequence
from pathlib import Path

from ablate.plan.removal import remove


def main(arguments: Sequence[str]) -> int:
    """Change a study's plan. Returns 0. Raises ValueError when the study has no such thing."""
    parser = argparse.ArgumentParser(
        prog="ablate remove",
        description="Take runs out of a study: they are neither compared nor missed any more. The study keeps what was "
        "removed, when and why, and the report says so. The runs' folders stay.",
    )
    parser.add_argument("study", type=Path, help="its folder, as outputs/main")
    parser.add_argument("what", help="a level as optimizer.lr=1000, a seed as seed=3, or a run by its folder's name")
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why, for the record")
    parser.add_argument("--json", action="store_true", help="print what was removed as JSON")
    options = parser.parse_intermixed_args(arguments)
    command = shlex.join(["ablate", "remove", *arguments])
    done = remove(options.study, options.what, options.reason, command)
    if options.json:
        print(json.dumps({"format": 1, **dataclasses.asdict(done)}, indent=2))
    else:
        runs = "1 run" if len(done.signatures) == 1 else f"{len(done.signatures)} runs"
        print(f"removed {done.what}: {runs}; the study has {done.left} left")
    return 0

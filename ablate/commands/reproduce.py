"""`ablate reproduce RUN`: train finished runs again, from their folders alone, and compare them bit for bit."""

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ablate.run.reproduction import Conditions, reproduce, sample

PLACES = ("data.path", "data.cache", "backbone.weights")


def main(arguments: Sequence[str]) -> int:
    """Train runs again. Returns 0 when every one is identical to the bit, 1 when one is not.

    Raises ValueError when one cannot be tried.
    """
    parser = argparse.ArgumentParser(
        prog="ablate reproduce",
        description="Train a finished run again, from its folder alone, and compare it bit for bit.",
    )
    parser.add_argument("folder", type=Path, metavar="RUN", help="a finished run's folder, or a study's")
    parser.add_argument(
        "--sample", type=int, metavar="N", help="of a study: how many finished runs, drawn at random (default: 1)"
    )
    parser.add_argument("--epochs", type=int, metavar="N", help="train the first N epochs only")
    parser.add_argument("--device", help="train on another device")
    parser.add_argument("--threads", type=int, metavar="N", help="use another number of CPU threads")
    parser.add_argument(
        "settings",
        nargs="*",
        metavar="SETTING",
        help="where things lie now: data.path=DIR, data.cache=DIR, backbone.weights=FILE",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON; progress goes to stderr")
    options = parser.parse_intermixed_args(arguments)
    for name in ("sample", "epochs", "threads"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            raise ValueError(f"--{name} must be 1 or more")
    if options.sample is None and not (options.folder / "study.json").exists():
        runs = [options.folder]
    else:
        runs = sample(options.folder, options.sample or 1)
    conditions = Conditions(options.epochs, options.device, options.threads, places(options.settings))
    say = partial(print, file=sys.stderr if options.json else sys.stdout, flush=True)
    found = [reproduce(run, conditions, say) for run in runs]
    identical = sum(one.identical for one in found)
    if options.json:
        print(json.dumps({"format": 1, "runs": [dataclasses.asdict(one) for one in found]}, indent=2))
    elif len(runs) > 1:
        print(f"{identical} of {len(runs)} runs are identical")
    return 0 if identical == len(runs) else 1


def places(settings: Sequence[str]) -> dict[str, str]:
    """{setting: absolute path} of what lies elsewhere now. Raises ValueError for any other setting."""
    found = {}
    for setting in settings:
        key, _, value = setting.partition("=")
        if key not in PLACES or not value:
            raise ValueError(
                f"{setting}: only {', '.join(f'{name}=PATH' for name in PLACES)} can be given; all else is recorded"
            )
        found[key] = str(Path(value).expanduser().absolute())
    return found

"""python -m report [STUDY_DIR ...]: write the report of each study, by default of the one changed last."""

import argparse
import sys
from pathlib import Path

from . import effects, gather, render


def main() -> None:
    """Write the reports and print where they are; exit with 2 when a folder holds no study."""
    parser = argparse.ArgumentParser(prog="python -m report", description=__doc__)
    parser.add_argument("study_dir", type=Path, nargs="*", help="default: the study in outputs/ changed last")
    parser.add_argument("--metric", help="judge by another metric than the study's, such as test_loss or seconds")
    parser.add_argument("--delta", type=float, help="the smallest difference worth caring about, in the metric's unit")
    arguments = parser.parse_args()
    try:
        for folder in arguments.study_dir or [gather.latest_study(Path("outputs"))]:
            study = gather.load(folder)
            study.plan = effects.judged_by(study.plan, arguments.metric, arguments.delta)
            path = render.write(study)
            print(f"{len(study.finished)} of {len(study.runs)} runs finished; report: {path}")
    except ValueError as error:
        print(f"report: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()

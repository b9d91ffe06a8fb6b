"""python -m report [STUDY [OTHER]]: write the report of a study, by default of the one changed last; or compare two."""

import argparse
import sys
from pathlib import Path

from . import compare, effects, gather, render


def main() -> None:
    """Write the report and print where it is; exit with 2 when a folder holds no study or cannot be written to."""
    parser = argparse.ArgumentParser(prog="python -m report", description=__doc__)
    parser.add_argument("study_dir", type=Path, nargs="*", help="default: the study in outputs/ changed last")
    parser.add_argument("--metric", help="judge by another metric than the study's, such as test_loss or seconds")
    parser.add_argument("--delta", type=float, help="the smallest difference worth caring about, in the metric's unit")
    arguments = parser.parse_args()
    try:
        if len(arguments.study_dir) > 2:
            raise ValueError("one study is reported, two are compared; more is a command for each")
        studies = [gather.load(folder) for folder in arguments.study_dir or [gather.latest_study(Path("outputs"))]]
        for study in studies:
            study.plan = effects.judged_by(study.plan, arguments.metric, arguments.delta)
        path = compare.write(studies[0], studies[1]) if len(studies) == 2 else render.write(studies[0])
        for study in studies:
            print(f"{study.folder}: {len(study.finished)} of {len(study.runs)} runs finished")
        print(f"report: {path} and {path.with_suffix('.html').name} beside it")
    except ValueError as error:
        _refuse(str(error))
    except OSError as error:
        _refuse(f"{error.filename} cannot be written: {error.strerror}; copy the study to where it can")


def _refuse(reason: str) -> None:
    print(f"report: {reason}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()

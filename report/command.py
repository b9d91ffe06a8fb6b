"""`ablate report [STUDY [OTHER]]`: write the report of a study, or compare two studies."""

import argparse
import json
import webbrowser
from collections.abc import Sequence
from pathlib import Path

from ablate.records import run_folder, study_plan
from ablate.report import compare, write
from ablate.report.analysis import Analysis, analyse
from ablate.report.answers import terminal
from ablate.report.study import gather


def main(arguments: Sequence[str]) -> int:
    """Write the report and print where it is. Returns 0.

    Raises ValueError when a folder holds no study or cannot be written to.
    """
    parser = argparse.ArgumentParser(
        prog="ablate report", description="Write the report of a study, or compare two studies."
    )
    parser.add_argument(
        "study",
        type=Path,
        nargs="*",
        help="its folder, as outputs/main (default: the one in outputs/ that changed last)",
    )
    parser.add_argument("--metric", help="use another metric than the study's, such as test_loss or seconds")
    parser.add_argument("--delta", type=float, help="the smallest difference worth caring about, in the metric's unit")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="where the report of a study goes (default: STUDY/report)"
    )
    parser.add_argument("--open", action="store_true", help="open the page in a browser")
    parser.add_argument("--json", action="store_true", help="print results.json instead of where the report is")
    options = parser.parse_intermixed_args(arguments)
    if len(options.study) > 2:
        raise ValueError("one study is reported, two are compared; more takes one command for each")
    if options.out is not None and len(options.study) == 2:
        raise ValueError("--out is for the report of one study; a comparison goes into the second study's folder")
    folders = options.study or [run_folder.latest_study(Path("outputs"))]
    analyses = [analyse(gather.load(folder), options.metric, options.delta) for folder in folders]
    try:
        if len(analyses) == 2:
            path = compare.write(*analyses)
        else:
            path = write.write(analyses[0], options.out or _beside(analyses[0]))
    except OSError as error:
        raise ValueError(
            f"{error.filename} cannot be written: {error.strerror}; give another place with --out DIR"
        ) from None
    if options.json:
        print(json.dumps(json.loads((path.parent / "results.json").read_bytes()), indent=2))
    else:
        if len(analyses) == 1 and not analyses[0].study.plan.is_list:
            print("\n".join(terminal.lines(analyses[0])) + "\n")
        else:
            print("\n".join([*map(_finished, analyses), *(compare.opening(*analyses) if len(analyses) == 2 else ())]))
        print(f"report: {path} and {path.with_suffix('.html').name}")
    if options.open:
        webbrowser.open(path.with_suffix(".html").resolve().as_uri())
    return 0


def _beside(analysis: Analysis) -> Path | None:
    """Where a report goes that judges by another metric or delta than the study's; None for the study's own."""
    effects, folder = analysis.effects, analysis.study.folder
    own = study_plan.read(folder)
    if (own.metric, own.smallest) == (effects.metric, effects.delta):
        return None
    return folder / "report" / f"by_{effects.metric}_delta_{effects.delta:g}"


def _finished(analysis: Analysis) -> str:
    study = analysis.study
    return f"{study.folder}: {len(study.finished)} of {len(study.runs)} runs finished"

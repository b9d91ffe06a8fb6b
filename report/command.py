"""`ablate report [STUDY [OTHER]]`: write the report of a study, or of runs in a table, or compare two studies."""

import argparse
import json
import webbrowser
from collections.abc import Sequence
from pathlib import Path

from ablate.records import run_folder, study_plan
from ablate.report import compare, write
from ablate.report.analysis import Analysis, analyse
from ablate.report.answers import terminal
from ablate.report.foreign import read
from ablate.report.foreign import study as foreign
from ablate.report.foreign.columns import Said
from ablate.report.page import markdown
from ablate.report.paper import wishes as paper
from ablate.report.sections import summary
from ablate.report.study import gather


def main(arguments: Sequence[str]) -> int:
    """Write the report and print where it is. Returns 0.

    Raises ValueError when a path holds neither a study nor runs, or cannot be written to.
    """
    options = _parser().parse_intermixed_args(arguments)
    if len(options.study) > 2:
        raise ValueError("one study is reported, two are compared; more takes one command for each")
    if options.out is not None and len(options.study) == 2:
        raise ValueError("--out is for the report of one study; a comparison goes into the second study's folder")
    if options.paper is not None and len(options.study) == 2:
        raise ValueError("--paper is for the report of one study; leave it out of a comparison")
    if options.md and (len(options.study) == 2 or options.json):
        raise ValueError("--md prints the answers of one study; leave out --json, and give one study")
    folders = options.study or [run_folder.latest_study(Path("outputs"))]
    analyses = [_analysed(folder, options) for folder in folders]
    if len(analyses) == 2 and any(one.study.origin is not None for one in analyses):
        raise ValueError(
            "two studies of ablate are compared; give runs that others trained as one table, or one by one"
        )
    try:
        if len(analyses) == 2:
            path = compare.write(*analyses)
        else:
            wishes = paper.read(options.paper, analyses[0].study.plan) if options.paper else None
            path = write.write(analyses[0], options.out or _beside(analyses[0]), wishes)
    except OSError as error:
        raise ValueError(
            f"{error.filename} cannot be written: {error.strerror}; give another place with --out DIR"
        ) from None
    if options.json:
        print(json.dumps(json.loads((path.parent / "results.json").read_bytes()), indent=2))
    elif options.md:
        answers = markdown.fragment(summary.section(analyses[0]))
        print(f"**{markdown.text(analyses[0].study.plan.name)}**: {answers}")
    else:
        print("".join(f"{line}\n" for one in analyses for line in _read_as(one)), end="")
        if len(analyses) == 1 and not analyses[0].study.plan.is_list:
            print("\n".join(terminal.lines(analyses[0])) + "\n")
        else:
            print("\n".join([*map(_finished, analyses), *(compare.opening(*analyses) if len(analyses) == 2 else ())]))
        print(f"report: {path} and {path.with_suffix('.html').name}")
    if options.open:
        webbrowser.open(path.with_suffix(".html").resolve().as_uri())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ablate report",
        description="Write the report of a study, or compare two studies. Runs that others trained make a report too: "
        "a .csv table with a row per run, an export of Weights & Biases, a folder of timm's runs, a multirun of Hydra.",
    )
    parser.add_argument(
        "study",
        type=Path,
        nargs="*",
        help="its folder, as outputs/main (default: the one in outputs/ that changed last); or a table, as runs.csv",
    )
    parser.add_argument(
        "--metric", help="use another metric than the study's, such as test_loss; of a table, its column"
    )
    parser.add_argument("--delta", type=float, help="the smallest difference worth caring about, in the metric's unit")
    parser.add_argument(
        "--out", type=Path, metavar="DIR",
        help="where the report goes (default: STUDY/report; of runs.csv, runs-report next to it)",
    )  # fmt: skip
    parser.add_argument(
        "--paper", type=Path, metavar="FILE", help="TOML file with names, order and columns of the tables in paper/"
    )
    parser.add_argument("--open", action="store_true", help="open the page in a browser")
    parser.add_argument("--json", action="store_true", help="print results.json instead of where the report is")
    parser.add_argument("--md", action="store_true", help="print the answers as Markdown, to paste into an issue")
    table = parser.add_argument_group("columns of a table, which are guessed and printed")
    table.add_argument("--axes", type=_names, metavar="A,B", help="the settings that were varied")
    table.add_argument("--seed-column", metavar="COLUMN", help="what repeats a combination")
    table.add_argument(
        "--holdout-metric", metavar="COLUMN", help="what ranks combinations, of images held out for that"
    )
    return parser


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _analysed(path: Path, options: argparse.Namespace) -> Analysis:
    said = Said(options.axes, options.seed_column, options.metric, options.holdout_metric)
    if read.is_foreign(path):
        return analyse(foreign.load(path, said, options.delta))
    if path.suffix in (".csv", ".tsv") and not path.exists():
        raise ValueError(f"there is no file {path}")
    study = gather.load(path)
    for option, value in (("axes", said.axes), ("seed-column", said.seed), ("holdout-metric", said.holdout)):
        if value is not None:
            raise ValueError(
                f"--{option} says what a column of a table is, and {path} is a study of ablate; leave it out"
            )
    return analyse(study, options.metric, options.delta)


def _read_as(analysis: Analysis) -> list[str]:
    """What the columns of a table were taken for; the options that say otherwise."""
    origin = analysis.study.origin
    if origin is None:
        return []
    rows = [f"  {role:24}{text}" for role, text in origin.columns.items()]
    options = "--axes A,B  --seed-column C  --metric C  --holdout-metric C"
    notes = [f"  {note}" for note in origin.notes]
    return [f"{origin.path}: {origin.kind}, read as", *rows, *notes, f"  if that is wrong: {options}", ""]


def _beside(analysis: Analysis) -> Path | None:
    """Where a report goes that is not STUDY/report: that of a table, and one by another metric or delta."""
    origin = analysis.study.origin
    if origin is not None:
        return origin.path.with_name(f"{origin.path.stem}-report") if origin.path.is_file() else origin.path / "report"
    effects, folder = analysis.effects, analysis.study.folder
    own = study_plan.read(folder)
    if (own.metric, own.smallest) == (effects.metric, effects.delta):
        return None
    return folder / "report" / f"by_{effects.metric}_delta_{effects.delta:g}"


def _finished(analysis: Analysis) -> str:
    study = analysis.study
    return f"{study.folder}: {len(study.finished)} of {len(study.runs)} runs finished"

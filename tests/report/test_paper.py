"""The tables and the methods paragraph of a paper."""

import csv
import shutil
import subprocess
from pathlib import Path

import pytest

from ablate.report import command
from ablate.report.analysis import Analysis, analyse
from ablate.report.paper import components, crossed, methods, wishes, write
from ablate.report.paper.table import Value, as_latex, as_markdown
from ablate.report.paper.wishes import Wishes
from ablate.report.study import gather
from tests.report.made_up import HOSTILE, make

NOISE = [0.002, -0.001, -0.001]


def ablation(folder: Path, **more: object) -> Analysis:
    """ema and mixup, each on or off, for two networks; ema gains 2 points, mixup half a point with ema alone."""
    runs = []
    for number, (net, ema, mixup) in enumerate(
        (net, ema, mixup) for net in ("r18", "r50") for ema in ("off", "on") for mixup in ("none", "mixup")
    ):
        gain = 0.70 + 0.05 * (net == "r50") + 0.02 * (ema == "on") + 0.005 * (ema == "on" and mixup != "none")
        levels = {"net": net, "ema": ema, "mixup": mixup}
        runs += [(levels, seed, "DONE", gain + NOISE[(seed + number) % 3]) for seed in range(3)]
    return analyse(gather.load(make(folder, runs, **more)))


def test_components_are_marked_and_compared_with_the_baseline(tmp_path: Path) -> None:
    baseline = {"net": "r18", "ema": "off", "mixup": "none"}
    table = components.table(ablation(tmp_path / "s", baseline=baseline), Wishes())
    assert table is not None
    assert table.header == ("net", "ema", "mixup", "test accuracy, %", "Δ")
    assert [row[:3] for row in table.rows[:4]] == [
        ("r18", "✗", "✗"), ("r18", "✗", "✓"), ("r18", "✓", "✗"), ("r50", "✗", "✗")
    ]  # fmt: skip
    assert table.rows[0][4] == "–"
    ema = table.rows[2]
    assert isinstance(ema[3], Value) and isinstance(ema[4], Value)
    assert ema[3].text.startswith("72.0 ± 0.2") and ema[4].mean == pytest.approx(2.0, abs=0.2)
    assert ema[4].low is not None and ema[4].low > 0 and ema[4].text.startswith("+2.0 [1.")
    best = [row for row in table.rows if isinstance(row[3], Value) and row[3].strong]
    assert ("r50", "✓", "✓") in [row[:3] for row in best] and ("r18", "✗", "✗") not in [row[:3] for row in best]
    assert "All 8 combinations, the baseline first" in table.caption and "over 3 seeds" in table.caption
    assert "standard deviation" in table.caption and "1,000 test images" in table.caption
    # The twin: a plan that names no baseline of the networks, of which none is off, has no differences.
    other = components.table(ablation(tmp_path / "t"), Wishes())
    assert other is not None and "Δ" not in other.header and "the best by the holdout first" in other.caption


def test_one_axis_by_another_has_gains_with_intervals(tmp_path: Path) -> None:
    analysis = ablation(tmp_path / "s")
    table = crossed.table(analysis, Wishes(rows="net", columns="ema", names={"net=r50": "ResNet-50", "ema=on": "EMA"}))
    assert table is not None and table.name == "net_by_ema"
    assert table.header == ("net", "off", "EMA", "Δ")
    name, off, on, gain = table.rows[1]
    assert name == "ResNet-50" and isinstance(off, Value) and isinstance(on, Value) and isinstance(gain, Value)
    assert gain.mean == pytest.approx(on.mean - off.mean) and gain.mean == pytest.approx(2.25, abs=0.2)
    assert gain.low is not None and gain.high is not None and gain.low < gain.mean < gain.high
    assert "averaged over 1 other axis" in table.caption and "simultaneous 95 % intervals" in table.caption


def test_intervals_are_wider_the_more_a_table_holds(tmp_path: Path) -> None:
    analysis = ablation(tmp_path / "s", baseline={"net": "r18", "ema": "off", "mixup": "none"})
    whole = components.table(analysis, Wishes())
    part = components.table(analysis, Wishes(levels={"net": ["r18"], "mixup": ["none"]}))
    assert whole is not None and part is not None and len(part.rows) == 2
    widths = [
        v.high - v.low for t in (whole, part) for v in [t.rows[-1][4]] if isinstance(v, Value) and v.high and v.low
    ]
    assert widths[0] > widths[1]


def test_one_seed_has_no_spread_and_no_interval(tmp_path: Path) -> None:
    runs = [({"ema": ema, "net": net}, 0, "DONE", 0.7 + 0.1 * (ema == "on")) for ema in ("off", "on") for net in "ab"]
    table = components.table(analyse(gather.load(make(tmp_path / "s", runs))), Wishes())
    assert table is not None
    cells = [cell for row in table.rows for cell in row if isinstance(cell, Value)]
    assert cells and all(cell.spread is None and cell.low is None for cell in cells)
    assert "±" not in table.caption


def test_the_file_gives_names_order_and_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = ablation(tmp_path / "s").study.folder
    file = tmp_path / "paper.toml"
    file.write_text(
        'metrics = ["test_accuracy", "holdout_accuracy"]\nspread = "interval"\ncomponents = ["mixup", "ema"]\n'
        'rows = "net"\ncolumns = "mixup"\n[names]\nema = "EMA"\ntest_accuracy = "Top-1"\n[levels]\nnet = ["r50", "r18"]\n'
    )
    assert command.main([str(study), "--paper", str(file)]) == 0
    folder = study / "report" / "paper"
    rows = list(csv.reader((folder / "components.csv").read_text().splitlines()))
    assert rows[0][:4] == ["mixup", "EMA", "Top-1", "Top-1 ±"] and len(rows) == 5
    assert [row[0] for row in list(csv.reader((folder / "net_by_mixup.csv").read_text().splitlines()))[1:]] == [
        "r50",
        "r18",
    ]
    assert "half the 95 % interval" in (folder / "components.md").read_text()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("rows = 'nett'", "nett is no axis of this study, which has net, ema, mixup"),
        ("spread = 'se'", "spread: .*'sd' or 'interval'"),
        ("metrics = ['accuracies']", "there is no metric 'accuracies'"),
        ("[levels]\nnet = ['r34']", "net has no level r34; it has r18, r50"),
        ("title = 'x'", r"title: .*\(keys: metrics, spread"),
        ("rows = ", "is not TOML"),
    ],
)
def test_a_file_that_cannot_be_obeyed_says_why(tmp_path: Path, content: str, sentence: str) -> None:
    file = tmp_path / "paper.toml"
    file.write_text(content)
    plan = ablation(tmp_path / "s").study.plan
    with pytest.raises(ValueError, match=sentence):
        wishes.read(file, plan)
    with pytest.raises(ValueError, match="cannot be read"):
        wishes.read(tmp_path / "gone.toml", plan)


def test_the_paragraph_says_what_was_done(tmp_path: Path) -> None:
    text = methods.paragraph(ablation(tmp_path / "s"))
    assert "net (r18, r50), ema (off, on) and mixup (none, mixup) by every combination of their levels" in text
    assert "8 combinations with 3 random seeds each" in text and "24 of 24 planned runs finished" in text
    assert "within 0.3 points, a margin set before the results were looked at" in text
    late = [{"at": "", "command": "c", "runs_added": 24, "seeds": 3},
            {"at": "", "command": "d", "after_a_report": True, "changes": {"study.delta": "0.1"}}]  # fmt: skip
    assert "set after results had been looked at" in methods.paragraph(ablation(tmp_path / "t", amendments=late))


def test_every_citation_has_an_entry() -> None:
    keys = [*methods.TOOLS, *methods.OF_NETWORKS.values(), *methods.OF_OPTIMIZERS.values()]
    keys += [*methods.OF_AUGMENTATION.values(), *(key for key, _ in methods.OF_DATA.values())]
    keys += ["tukey1953problem", "dunnett1955multiple", "holm1979simple", "berger1982multiparameter"]
    keys = list(dict.fromkeys(keys))
    assert write.bibtex(keys).count("\n@") == len(keys) - 1
    assert write.REFERENCES.read_text().count("@") == len(keys)  # and none that nothing cites
    with pytest.raises(KeyError):
        write.bibtex(["unknown"])


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles_whatever_levels_are_called(tmp_path: Path) -> None:
    runs = [({"a": level, "b": b}, seed, "DONE", 0.5 + number / 50 + seed / 100)
            for number, (level, b) in enumerate((level, b) for level in HOSTILE[:4] for b in ("off", "x_y & 50 %"))
            for seed in (0, 1)]  # fmt: skip
    study = make(tmp_path / "s_1", runs, baseline={"a": HOSTILE[0], "b": "off"})
    command.main([str(study)])
    folder = study / "report" / "paper"
    inputs = "\n".join(rf"\input{{{path.name}}}" for path in sorted(folder.glob("*.tex")))
    (folder / "main.tex").write_text(
        "\\documentclass{article}\\usepackage[T1]{fontenc}\\usepackage{booktabs}\\usepackage{pifont}\\begin{document}\n"
        f"{inputs}\n\\bibliographystyle{{plain}}\\bibliography{{references}}\\end{{document}}\n"
    )
    for tool in (["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "main"], ["bibtex", "main"]):
        done = subprocess.run(tool, cwd=folder, capture_output=True, text=True, errors="replace", timeout=120)
        assert done.returncode == 0, done.stdout[-2000:]
    assert (folder / "main.pdf").stat().st_size > 10_000


def test_nothing_in_a_name_is_markup(tmp_path: Path) -> None:
    runs = [
        ({"a": level, "b": b}, seed, "DONE", 0.5 + seed / 100) for level in HOSTILE for b in "xy" for seed in (0, 1)
    ]
    table = components.table(analyse(gather.load(make(tmp_path / "s", runs))), Wishes())
    assert table is not None
    assert "<script>" not in as_markdown(table) and "$y$" not in as_latex(table)

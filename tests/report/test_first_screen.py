"""The first screen: what a reader has after ten seconds, in the page, in Markdown, in a terminal and as JSON."""

import json
import re
import subprocess
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from ablate.commands.cli import main
from ablate.report.analysis import Analysis, analyse
from ablate.report.answers import best, next_step, rows, terminal
from ablate.report.page import html
from ablate.report.page.blocks import Interval, Page, Paragraph, Part, Section
from ablate.report.study import gather
from tests.report.made_up import cell, make, section, written
from tests.report.test_page import CHROMIUM

Run = tuple[dict[str, str], int, str, float]
SWEEP = "python -m ablate --multirun alpha=x,y beta=1,2 study.name=s seeds=3 force=true"
PLANNED: dict[str, Any] = {"amendments": [{"at": "2026-11-28T08:00:00+00:00", "command": SWEEP, "runs_added": 12}]}


def studied(folder: Path, size: float, noise: float = 0.002, **more: Any) -> Analysis:
    """alpha=y is better by `size`, beta makes no difference; three seeds."""
    runs: list[Run] = [
        (cell(a, b), s, "DONE", 0.7 + size * (a == "y") + noise * (s - 1) * (1 if a + b in ("x1", "y2") else -1))
        for a in "xy"
        for b in "12"
        for s in range(3)
    ]
    return analyse(gather.load(make(folder, runs, **(PLANNED | more))))


def test_a_row_has_the_level_to_take_and_its_lead_over_the_runner_up(tmp_path: Path) -> None:
    three: list[Run] = [
        ({"alpha": a}, s, "DONE", 0.7 + gain + 0.001 * s * (a != "x")) for a, gain in (("x", 0.0), ("y", 0.05), ("z", 0.04)) for s in (0, 1, 2)
    ]  # fmt: skip
    (row,) = rows.rows(analyse(gather.load(make(tmp_path, three))))
    assert (row.badge, row.level, row.over) == ("matters", "y", "z")  # not over the worst
    assert row.lead == pytest.approx(1.0)
    assert row.low is not None
    assert row.low < 1.0
    assert row.sentence == "x is last, 5.10 points behind."


def test_what_is_known_comes_first_in_every_form(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    analysis = studied(tmp_path / "s", 0.05, delta=2.0)
    assert [(row.axis, row.badge) for row in rows.rows(analysis)] == [("alpha", "matters"), ("beta", "negligible")]
    assert main(["report", str(tmp_path / "s")]) == 0
    printed = capsys.readouterr().out
    path = tmp_path / "s" / "report" / "report.md"
    results = json.loads((path.parent / "results.json").read_text())
    for text in (printed, section(path, "Answers"), path.with_suffix(".html").read_text()):
        text = text[text.index("Best: y, ") :]
        assert text.index("matters") < text.index("negligible") < text.index("Next:")
    assert [row["axis"] for row in results["rows"]] == ["alpha", "beta"]
    assert [effect["axis"] for effect in results["axes"]] == ["alpha", "beta"]
    # Twin: the other way around the other axis is first.
    swapped: list[Run] = [({"alpha": l["beta"], "beta": l["alpha"]}, s, "DONE", v)
                          for l, s, v in ((cell(a, b), s, 0.7 + 0.05 * (a == "y") + 0.001 * s)  # noqa: E741
                                          for a in "xy" for b in "12" for s in range(3))]  # fmt: skip
    assert rows.rows(analyse(gather.load(make(tmp_path / "t", swapped))))[0].axis == "beta"


def test_the_next_command_adds_the_seeds_that_would_settle_what_is_open(tmp_path: Path) -> None:
    step = next_step.step(studied(tmp_path / "open", 0.002, noise=0.002, delta=0.3))
    seeds = int(re.findall(r"seeds=(\d+)$", step.command)[0])
    assert step.command == f"python -m ablate alpha=x,y beta=1,2 study.name=s seeds={seeds}"
    assert step.runs == 4 * (seeds - 3)
    assert f"{step.runs} more runs, about {step.runs} min of training" in step.why  # a minute each
    settled = next_step.step(studied(tmp_path / "settled", 0.05, delta=2.0))
    assert settled.command.startswith("python -m ablate reproduce ")
    hopeless = next_step.step(studied(tmp_path / "hopeless", 0.0005, noise=0.05, delta=0.01))
    assert hopeless.command == ""
    assert "to settle at 0.01 points" in hopeless.why


@pytest.mark.parametrize("state", ["FAILED", "INTERRUPTED", "missing"])
def test_a_study_that_is_not_finished_is_continued_by_its_own_command(tmp_path: Path, state: str) -> None:
    runs: list[Run] = [({"alpha": a}, s, state if a == "y" else "DONE", 0.5) for a in "xy" for s in (0, 1)]
    step = next_step.step(analyse(gather.load(make(tmp_path, runs, **PLANNED))))
    assert step.why == "train what is missing (2 more runs, about 2 min of training)."
    assert step.command == "python -m ablate alpha=x,y beta=1,2 study.name=s seeds=3"  # with its seeds


def test_a_command_that_is_not_ours_is_never_proposed(tmp_path: Path) -> None:
    found = studied(tmp_path, 0.002, amendments=[{"command": "rm -rf / alpha=x,y", "runs_added": 12}])
    assert next_step.step(found).command == ""
    assert "rm -rf" not in "\n".join(terminal.lines(found))


def test_the_recommendation_names_its_rivals_and_how_to_train_it(tmp_path: Path) -> None:
    found = best.best(studied(tmp_path, 0.05))
    assert found is not None
    assert found.name.startswith("y, ")
    assert (found.seeds, found.combinations, found.ties) == (3, 4, 1)  # beta makes no difference
    assert found.low is not None
    assert found.low < found.accuracy < (found.high or 0)
    assert found.command == "python -m ablate x"


def test_an_interval_that_is_too_long_for_the_scale_is_cut() -> None:
    drawn = Interval(1.0, -50.0, 2.0, 0.3, -3.0, 3.0)
    assert (drawn.place(-50.0), drawn.place(0.0), drawn.place(3.0)) == (0.0, 50.0, 100.0)


# -- in a browser -----------------------------------------------------------------------------

WITHIN = """<iframe id=f width={0} height={1} src="s/report/report.html"></iframe><script>
f.onload = () => {{ const d = f.contentDocument;
  const ends = [...d.querySelectorAll(".opening > section:first-child > *")].map((e) => e.getBoundingClientRect().bottom);
  const rows = [...d.querySelectorAll(".verdicts tbody tr")].map((e) => e.getBoundingClientRect());
  document.title = [Math.max(...ends) <= {1}, rows.length, d.documentElement.scrollWidth <= {0},
    rows.every((r) => r.bottom <= {1} && r.right <= {0})].join(" "); }};</script>"""


def dumped(path: Path, *options: str) -> str:
    done = subprocess.run(
        [str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={path.parent / 'profile'}",
         "--virtual-time-budget=20000", *options, "--dump-dom", path.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return done.stdout


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
@pytest.mark.parametrize("size", [(1440, 900), (390, 844)])
def test_the_answers_are_seen_without_scrolling(tmp_path: Path, size: tuple[int, int]) -> None:
    studied(tmp_path / "s", 0.05, question="Does alpha help (or beta)?", asked="2026-11-28T08:00:00+00:00")
    written(gather.load(tmp_path / "s"))
    outer = tmp_path / "outer.html"
    outer.write_text(WITHIN.format(*size))
    assert "<title>true 2 true true</title>" in dumped(outer, "--allow-file-access-from-files")


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
def test_axe_finds_nothing_to_complain_of(tmp_path: Path) -> None:
    studied(tmp_path / "s", 0.05)
    page = written(gather.load(tmp_path / "s")).with_suffix(".html").read_text()
    for theme in ("light", "dark"):
        for size in ("1440,900", "390,844"):
            assert complaints(tmp_path / "axe.html", page, theme, size) == []
    # Twin: what axe looks for is there where it is broken.
    faint = page.replace("--quiet: #4d5761", "--quiet: #d0d0d0").replace("<html lang", "<html data-lang")
    assert {"color-contrast", "html-has-lang"} <= set(complaints(tmp_path / "axe.html", faint, "light", "1440,900"))


def complaints(path: Path, page: str, theme: str, size: str) -> list[str]:
    """The rules of axe (WCAG 2 A and AA, and best practices) that a page breaks, in a real browser."""
    axe = (resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
    run = (
        f"document.documentElement.classList.add('{theme}'); axe.run().then((found) => {{ document.title = "
        "'axe ' + found.passes.length + ' ' + JSON.stringify(found.violations.map((v) => v.id)); });"
    )
    scripts = f"<script>{axe}</script><script>addEventListener('load', () => {{ {run} }});</script></body>"
    path.write_text(page.replace("</body>", scripts))
    title = re.search(r"<title>axe (\d+) (.*?)</title>", dumped(path, f"--window-size={size}"))
    assert title is not None
    assert int(title[1]) > 10  # rules that did apply
    return list(json.loads(title[2].replace("&quot;", '"')))


def test_a_page_of_one_part_needs_no_second_menu(tmp_path: Path) -> None:
    parts = (Part("Comparison", (Section("One", (Paragraph("x"),)), Section("Two", ()))),)
    assert html.document(Page("t", (), parts), tmp_path).count("<nav") == 1
    assert html.document(replace(Page("t", (), parts), parts=parts * 2), tmp_path).count("<nav") == 2


def test_where_the_best_number_is_the_last_the_next_one_is_proposed(tmp_path: Path) -> None:
    def rated(folder: str, accuracy: dict[str, float]) -> Analysis:
        command = "python -m ablate optimizer.lr=0.01,0.03,0.1 optimizer=sgd study.name=s seeds=3"
        runs: list[Run] = [
            ({"optimizer.lr": lr}, s, "DONE", mean + 0.001 * (s if lr != "0.03" else -s))
            for lr, mean in accuracy.items()
            for s in range(3)
        ]
        study = make(tmp_path / folder, runs, amendments=[{"command": command, "runs_added": 9}])
        plan = json.loads((study / "study.json").read_text())
        for one in plan["cells"]:
            one["settings"] = dict(one["levels"])
        (study / "study.json").write_text(json.dumps(plan))
        return analyse(gather.load(study))

    edge = rated("edge", {"0.01": 0.5, "0.03": 0.6, "0.1": 0.7})
    assert "The best is the largest lr tried: try 0.3." in rows.rows(edge)[0].sentence
    step = next_step.step(edge)
    assert step.command == "python -m ablate optimizer.lr=0.01,0.03,0.1,0.3 optimizer=sgd study.name=s seeds=3"
    inside = rated("inside", {"0.01": 0.5, "0.03": 0.7, "0.1": 0.6})
    assert "It peaks at 0.03." in rows.rows(inside)[0].sentence
    assert "reproduce" in next_step.step(inside).command

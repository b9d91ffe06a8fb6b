"""Studies of nested axes, settings that move together, steps, a baseline and a question, as the whole report has them."""

import json
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from ablate.records.study_plan import NOT_READ, Finding
from ablate.report.analysis import Analysis, analyse
from ablate.report.answers import findings, rows, terminal
from ablate.report.answers.findings import Judgement
from ablate.report.study import gather, tables
from tests.report.made_up import make, section, written

Run = tuple[dict[str, str], int, str, float]
WHEN = "study.when=[optimizer=adam: optimizer.lr=1e-3,3e-3, optimizer=sgd: optimizer.lr=0.05,0.1]"
COMMAND = f"python -m ablate optimizer=adam,sgd '{WHEN}' seeds=3"
NESTED: dict[str, Any] = {
    "nested": {"optimizer.lr": ["optimizer"], "optimizer.momentum": ["optimizer"]},
    "amendments": [{"at": "2026-11-28T08:00:00+00:00", "command": COMMAND, "runs_added": 18}],
    "question": "Was SGD given a fair chance?",
    "asked": "2026-11-27T08:00:00+00:00",
}


def noise(seed: int, cell: int) -> float:
    return 0.001 * ((7 * cell + 3 * seed) % 5 - 2)


def rates() -> list[Run]:
    """SGD is better by 4 points with the larger rate, by 1 with the smaller; its momentum does nothing."""
    cells = [("adam", "1e-3", NOT_READ, 0.70), ("adam", "3e-3", NOT_READ, 0.70)]
    cells += [("sgd", lr, m, gain) for (lr, gain), m in product((("0.05", 0.71), ("0.1", 0.74)), ("0.8", "0.9"))]
    return [
        ({"optimizer": o, "optimizer.lr": lr, "optimizer.momentum": m}, seed, "DONE", mean + noise(seed, number))
        for number, (o, lr, m, mean) in enumerate(cells)
        for seed in range(3)
    ]


def nested(folder: Path, **more: Any) -> Analysis:
    study = make(folder, rates(), **(NESTED | more))
    plan = json.loads((study / "study.json").read_text())
    plan["axes"]["optimizer.momentum"].remove(NOT_READ)
    (study / "study.json").write_text(json.dumps(plan))
    return analyse(gather.load(study))


@pytest.mark.usefixtures("no_figures")
def test_a_nested_axis_has_its_place_in_its_name_everywhere(tmp_path: Path) -> None:
    found = nested(tmp_path)
    shown = {row.axis: row for row in rows.rows(found)}
    assert set(shown) == {
        "optimizer", "optimizer.lr in optimizer=adam", "optimizer.lr in optimizer=sgd",
        "optimizer.momentum in optimizer=sgd",
    }  # fmt: skip
    assert (shown["optimizer"].level, shown["optimizer"].lead) == ("sgd", pytest.approx(2.5, abs=0.1))
    assert shown["optimizer"].sentence.endswith("Each level is the mean over its own lr and momentum.")
    assert (shown["optimizer.lr in optimizer=sgd"].level, shown["optimizer.lr in optimizer=sgd"].over) == (
        "0.1",
        "0.05",
    )
    path = written(found.study)
    text = path.read_text()
    results = json.loads((path.parent / "results.json").read_text())
    for said in (section(path, "Answers"), "\n".join(terminal.lines(found))):
        assert "lr in optimizer=sgd" in said
        assert said.index("Was SGD given a fair chance? (asked 2026-11-27)") < said.index(
            "Best: sgd, lr=0.1, momentum="
        )
    assert (results["question"], results["asked"]) == ("Was SGD given a fair chance?", "2026-11-27T08:00:00+00:00")
    assert {axis["axis"] for axis in results["axes"]} == set(shown)
    assert "optimizer.lr in optimizer=sgd" in (path.parent / "tables" / "effects.csv").read_text()
    assert "optimizer.lr in optimizer=sgd: lr=0.1 − lr=0.05" not in text  # but as a name and its levels
    assert section(path, "Axis optimizer.lr in optimizer=sgd").count("6 of 6") == 2
    assert NOT_READ not in text
    assert "| adam | 1e-3 | – |" in section(path, "Leaderboard")
    assert "Nested axes" in section(path, "Methods and limits")
    assert "optimizer.lr in" not in (path.parent / "tables" / "runs.csv").read_text()


def test_the_parent_is_shown_over_means_of_whole_places(tmp_path: Path) -> None:
    found = nested(tmp_path)
    table = tables.side_by_side(found.study, "optimizer", "test_accuracy", ["adam", "sgd"])
    assert table.shape == (3, 2)  # a row per seed
    runs = [(levels, seed, "FAILED" if (levels["optimizer.lr"], seed) == ("0.1", 1) else state, value)
            for levels, seed, state, value in rates()]  # fmt: skip
    lost = analyse(gather.load(make(tmp_path / "lost", runs, nested=NESTED["nested"])))
    assert list(tables.side_by_side(lost.study, "optimizer", "test_accuracy", ["adam", "sgd"])["sgd"].isna()) == [
        False,
        True,
        False,
    ]


def test_the_command_that_compares_each_level_at_its_best_tunes_what_is_nested(tmp_path: Path) -> None:
    said = "\n".join(terminal.lines(nested(tmp_path)))
    tuned = WHEN.replace("optimizer.lr", "tune.optimizer.lr")
    assert f"python -m ablate optimizer=adam,sgd '{tuned}' seeds=3" in said
    # Typed as an axis of its own; a condition on the key is no sweep of it.
    plain = (
        "python -m ablate optimizer=adam,sgd optimizer.momentum=0.8,0.9 'study.when=optimizer.momentum=0.8: head=a,b'"
    )
    other = nested(tmp_path / "plain", amendments=[{"command": plain, "runs_added": 6}])
    said = "\n".join(terminal.lines(other))
    assert " tune.optimizer.momentum=0.8,0.9 'study.when=optimizer.momentum=0.8: head=a,b'" in said
    assert "at its best" not in "\n".join(terminal.lines(nested(tmp_path / "x", amendments=[{"command": "rm -rf /"}])))


def steps(folder: Path, **more: Any) -> Analysis:
    """Two components, the second useless."""
    cells = [("none", "off", 0.7), ("flip", "off", 0.75), ("flip", "on", 0.75)]
    runs: list[Run] = [
        ({"augment": a, "ema": e}, seed, "DONE", mean + noise(seed, number))
        for number, (a, e, mean) in enumerate(cells) for seed in range(3)
    ]  # fmt: skip
    plan = {"design": "cumulative", "baseline": {"augment": "none", "ema": "off"}, "delta": 1.0}
    return analyse(gather.load(make(folder, runs, **(plan | more))))


@pytest.mark.usefixtures("no_figures")
def test_a_cumulative_study_says_what_was_added_to_what(tmp_path: Path) -> None:
    found = steps(tmp_path)
    path = written(found.study)
    assert [row.axis for row in rows.rows(found)] == ["augment", "ema"]
    text = section(path, "Each answer in full")
    assert "(3 matched pairs, 3 seeds; added to the baseline.)" in text
    assert "(3 matched pairs, 3 seeds; added to flip.)" in text
    assert text.count("The order matters") == 1
    board = [line.split("|")[2:4] for line in section(path, "Leaderboard").splitlines() if line.startswith("| ")][2:]
    assert [" ".join(cells).split() for cells in board] == [["none", "off"], ["flip", "off"], ["flip", "on"]]
    assert "Δ baseline" in section(path, "Leaderboard")
    assert "cumulative design" in section(path, "Answers")
    assert "Dunnett's against what was there before" in section(path, "Methods and limits")


@pytest.mark.usefixtures("no_figures")
def test_a_given_baseline_of_settings_is_what_differences_refer_to(tmp_path: Path) -> None:
    runs: list[Run] = [
        ({"optimizer.lr+weight_decay.value": pair, "ema.decay": e}, seed, "DONE", mean + noise(seed, number))
        for number, (pair, e, mean) in enumerate((("0.1+0.01", "0", 0.7), ("0.1+0.01", "0.9", 0.8), ("0.3+0", "0", 0.75),
                                                  ("0.3+0", "0.9", 0.85)))
        for seed in range(3)
    ]  # fmt: skip
    baseline = {"optimizer.lr+weight_decay.value": "0.3+0", "ema.decay": "0.9"}
    path = written(gather.load(make(tmp_path, runs, baseline=baseline)))
    board = section(path, "Leaderboard")
    assert "Δ baseline" in board
    assert "−10.0" in next(line for line in board.splitlines() if "| 0.3\\+0 | 0 |" in line)
    # Settings that move together are one axis, by the last words of their keys, without a trend.
    assert "lr\\+weight\\_decay" in section(path, "Answers")
    assert "largest" not in section(path, "Answers")


# -- an earlier study's findings --------------------------------------------------------------

CONFIRMS, CONTRADICTS, OPEN = Judgement.CONFIRMS, Judgement.CONTRADICTS, Judgement.CANNOT_JUDGE


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    """size: large is better than small and medium, which are alike; head makes no difference; noisy hides one."""
    folder = tmp_path_factory.mktemp("judged")
    runs: list[Run] = []
    for number, (size, head, noisy) in enumerate(product(("small", "medium", "large"), "ab", ("off", "on"))):
        runs += [
            ({"size": size, "head": head, "noisy": noisy}, seed, "DONE",
             0.7 + 0.05 * (size == "large") + noise(seed, number) + (0.02 * (seed - 1) + 0.005) * (noisy == "on"))
            for seed in range(3)
        ]  # fmt: skip
    return analyse(gather.load(make(folder, runs, delta=1.0)))


@pytest.mark.parametrize(
    ("claim", "judgement", "reason"),
    [
        ({"axis": "size", "better": ["large"], "worse": ["small"]}, CONFIRMS, "large − small = 5."),
        ({"axis": "size", "better": ["l*"]}, CONFIRMS, "large − "),
        ({"axis": "size", "worse": ["large"]}, CONTRADICTS, " = −5."),
        ({"axis": "size", "better": ["small"], "worse": ["medium"]}, CONTRADICTS, "small − medium"),  # they are alike
        ({"axis": "size", "no_difference": True}, CONTRADICTS, "here it matters"),
        ({"axis": "head", "no_difference": True}, CONFIRMS, "any difference here is at most 1 point"),
        ({"axis": "head", "better": ["b"], "worse": ["a"]}, CONTRADICTS, "a"),
        ({"axis": "noisy", "better": ["on"], "worse": ["off"]}, OPEN, "which noise may explain"),
        ({"axis": "noisy", "no_difference": True}, OPEN, "here it is inconclusive"),
        ({"axis": "size", "better": ["huge*"], "worse": ["small"]}, OPEN, "no run has finished here at huge*"),
        ({"axis": "depth", "better": ["3"]}, OPEN, "depth was not varied here"),
        ({"axis": "size"}, OPEN, "no claim is stated"),
    ],
)
def test_a_finding_is_confirmed_or_contradicted_by_our_verdict(
    judged: Analysis, claim: dict[str, Any], judgement: Judgement, reason: str
) -> None:
    found = findings._judged(judged, Finding(question="?", answer="!", **claim))
    assert found.judgement == judgement, found.reason
    assert reason in found.reason


def test_a_finding_about_a_nested_axis_is_judged_within_its_levels(tmp_path: Path) -> None:
    claim = {"axis": "optimizer.lr", "question": "?", "answer": "!", "better": ["0.1"], "worse": ["0.05"]}
    found = findings.findings(nested(tmp_path, reference={"title": "t", "best": "b", "findings": [claim]}))
    assert [one.judgement for one in found] == [CONFIRMS]
    assert found[0].reason.endswith("(in optimizer=sgd)")  # adam has no such rates


def test_every_claim_of_the_original_is_one_that_can_be_checked() -> None:
    from tests.given import config_of

    reference = config_of("study=original_small").study.reference
    assert reference is not None
    assert len(reference.findings) == 7
    assert all(one.better or one.worse or one.no_difference for one in reference.findings)

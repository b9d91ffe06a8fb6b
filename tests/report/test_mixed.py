"""Runs that are not repetitions of one experiment are named, and never averaged."""

import json
from pathlib import Path

import pytest

from ablate.records.files import write_json
from ablate.report.analysis import analyse
from ablate.report.sections import card
from ablate.report.study import gather
from tests.report.made_up import make, section, written

pytestmark = pytest.mark.usefixtures("no_figures")


def study(folder: Path, **identities: dict[str, object]) -> gather.StudyData:
    """Adam and SGD with three seeds each; `identities` of runs by optimizer and seed, as sgd2={…}."""
    runs = [({"optimizer": o}, s, "DONE", 0.5 + s / 100) for o in ("adam", "sgd") for s in (0, 1, 2)]
    make(folder, runs)
    for path in folder.glob("*/record.json"):
        record = json.loads(path.read_text())
        name = record["levels"]["optimizer"]
        plain = {"numerics": 1, "seed": record["seed"], "data": {"fingerprint": "a" * 64}, "optimizer": {"name": name}}
        record["identity"] = plain | identities.get(f"{name}{record['seed']}", {})
        write_json(path, record)
    return gather.load(folder)


def test_repetitions_of_one_experiment_are_averaged(tmp_path: Path) -> None:
    """The twin of what follows."""
    found = study(tmp_path)
    assert (found.mixed, found.confounded) == ([], [])
    assert len(found.finished) == 6
    assert dict(_rows(found))["only the axes differ"] == "yes"


def test_seeds_on_other_data_are_set_apart_and_named(tmp_path: Path) -> None:
    found = study(tmp_path, sgd2={"data": {"fingerprint": "b" * 64}})
    assert found.mixed == [f"optimizer=sgd: data.fingerprint {'a' * 12} (seeds 0, 1) and {'b' * 12} (seed 2)"]
    assert sorted(found.finished["optimizer"]) == ["adam"] * 3
    assert dict(_rows(found))["only the axes differ"] == "no: data.fingerprint differs too"
    report = written(found).read_text()
    assert "Mixed experiments" in report
    assert "not the same experiment as the other seeds" in section(written(found), "Runs that did not finish")


def test_what_differs_with_an_axis_and_is_not_of_its_group_is_confounded(tmp_path: Path) -> None:
    all_sgd = {f"sgd{seed}": {"data": {"fingerprint": "b" * 64}} for seed in (0, 1, 2)}
    found = study(tmp_path, **all_sgd)
    assert found.mixed == []
    assert found.confounded == ["data.fingerprint"]


def test_the_index_keeps_what_a_run_is(tmp_path: Path) -> None:
    other = {"sgd2": {"numerics": 2}}
    first = study(tmp_path, **other)
    again = gather.load(tmp_path)
    assert first.mixed == again.mixed == ["optimizer=sgd: numerics 1 (seeds 0, 1) and 2 (seed 2)"]


def test_a_difference_below_rounding_is_none(tmp_path: Path) -> None:
    values = {"adam": (0.1 + 0.2, 0.3, 0.5), "sgd": (0.3, 0.1 + 0.2, 0.5)}
    make(tmp_path, [({"optimizer": o}, s, "DONE", values[o][s]) for o in values for s in range(3)])
    effects = analyse(gather.load(tmp_path)).effects
    assert effects.axes[0].contrasts[0].estimate == 0.0
    assert "e−1" not in section(written(gather.load(tmp_path)), "Answers")


def _rows(found: gather.StudyData) -> list[tuple[str, str]]:
    (table,) = card.section(analyse(found)).blocks
    return [(str(row[0]), str(row[1])) for row in table.rows]  # type: ignore[union-attr]


def test_environments_of_which_one_lacks_an_entry_are_compared(tmp_path: Path) -> None:
    """Code that was edited between two seeds: one record has the hash of a diff, the other none."""
    found = study(tmp_path)
    for number, path in enumerate(sorted(tmp_path.glob("*/record.json"))):
        record = json.loads(path.read_text())
        code = {"commit": "c", "dirty": True, "diff_sha256": "d"} if number else {"commit": "c", "dirty": False}
        write_json(path, record | {"environment": {"code": code}})
    found = gather.load(tmp_path)
    assert "code.diff\\_sha256: none, d" in written(found).read_text()

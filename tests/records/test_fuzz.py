"""Records and plans with anything changed in type, size or nesting: a table, or one sentence that names the file."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ablate.commands import ls, status
from ablate.report.study import gather
from tests.report.made_up import make

odd = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=9)
    | st.just(10**400) | st.just("x" * 100_000) | st.just("\x1b[2J\u202e\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
changes = st.lists(st.tuples(st.lists(st.integers(0, 50), min_size=1, max_size=5), odd), min_size=1, max_size=3)


def changed(value: Any, path: list[int], new: Any) -> Any:
    """A copy of a JSON value in which something is replaced: the path picks a key or an element at each level."""
    if not path or not isinstance(value, dict | list) or not value:
        return new
    key = list(value)[path[0] % len(value)] if isinstance(value, dict) else path[0] % len(value)
    inner = changed(value[key], path[1:], new)
    if isinstance(value, dict):
        return value | {key: inner}
    return [*value[:key], inner, *value[key + 1 :]]


def read(folder: Path) -> None:
    """All that reads a study; what it raises has to be ValueError."""
    readers: list[Callable[[Path], object]] = [gather.load, status.of_study, ls.look]
    for reader in readers:
        try:
            reader(folder)
        except ValueError as error:
            assert str(folder) in str(error)


@pytest.mark.fault(61, 72)
@pytest.mark.parametrize("name", ["record.json", "study.json"])
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(changes=changes)
def test_whatever_is_changed_gives_a_table_or_a_sentence(name: str, changes: list[tuple[list[int], Any]]) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = make(Path(place) / "s", [({"optimizer": o}, 0, "DONE", 0.5) for o in ("adam", "sgd")])
        path = next(folder.rglob(name))
        value = json.loads(path.read_text())
        for where, new in changes:
            value = changed(value, where, new)
        path.write_text(json.dumps(value), errors="surrogatepass")
        read(folder)


@pytest.mark.fault(40, 72)
@pytest.mark.parametrize(
    "content", [b"", b"[" * 200_000, b"{}", b"null", b"\0" * 4096, b'{"state": "DONE"', b"\xff\xfe"]
)
def test_whatever_is_no_record_is_named(content: bytes, tmp_path: Path) -> None:
    folder = make(tmp_path / "s", [({"optimizer": o}, 0, "DONE", 0.5) for o in ("adam", "sgd")])
    path = next(folder.glob("*/record.json"))
    path.write_bytes(content)
    found = gather.load(folder)
    assert len(found.finished) == 1
    assert any(str(path) in said for said in found.set_aside)


def test_numbers_beyond_a_computers_and_levels_that_are_missing_are_named(tmp_path: Path) -> None:
    folder = make(tmp_path / "s", [({"optimizer": o}, 0, "DONE", 0.5) for o in ("adam", "sgd")])
    path = next(folder.glob("*/record.json"))
    path.write_text(json.dumps(json.loads(path.read_text()) | {"seconds": 10**400}))
    assert any("a number of 401 digits" in said for said in gather.load(folder).set_aside)
    plan = json.loads((folder / "study.json").read_text())
    plan["cells"][1]["levels"] = {}
    (folder / "study.json").write_text(json.dumps(plan))
    with pytest.raises(ValueError, match=r"cells\.1 has no level of optimizer"):
        gather.load(folder)

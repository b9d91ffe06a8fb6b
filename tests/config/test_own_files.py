"""Configurations that users write: whatever stands in a file, a plan, or one sentence that names what is wrong."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

import ablate
from ablate.commands.arguments import own_folders
from ablate.config.compose import check_own, read_config
from tests.given import planned
from tests.records.test_fuzz import changed, changes, odd
from tests.report.test_received import LAUGHS


def plan(folder: Path, content: bytes) -> None:
    """Plan a study of a level with this content; whatever is wrong with it has to be a ValueError in one line."""
    (folder / "optimizer").mkdir(exist_ok=True)
    (folder / "optimizer" / "mine.yaml").write_bytes(content)
    check_own(folder)
    ablate.create_study("optimizer=mine,sgd", f"hydra.searchpath=[file://{folder}]", root=folder / "outputs")


@pytest.mark.fault(37)
@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"name: [\n", r"mine\.yaml, line 2: expected the node content"),
        (b"name: adam\n\tlr: 3\n", r"mine\.yaml, line 2: found character"),
        (b"name: adam\nname: sgd\n", r"mine\.yaml, line 2: found duplicate key name"),
        (b"name: !!python/object:os.system x\n", r"mine\.yaml, line 1: could not determine a constructor"),
        (b"name: \x00\n", r"mine\.yaml"),
        (b"3\n", "holds one value where settings belong"),
        (b"[]\n", "list is not a subclass of OptimizerConfig"),
        (b"", "optimizer.name must be given"),
        (b"\xff\xfe", "can't decode"),
        (b"name: adam\nlr: {a: 1}\n", "optimizer.lr: Value .* could not be converted to Float"),
        (b"name: adam\nlr: ${nope}\n", "optimizer.lr: Interpolation key 'nope' not found"),
        (b"defaults: [nope]\nname: adam\n", r"Could not load 'optimizer/nope'\."),
        (b"defaults: [{'': null}]\nname: adam\n", "optimizer=mine: "),
        (b"name: ${oc.env:HOME}\n", "optimizer.name reads an environment variable"),
        (b"name: adam\nrate: 3\n", "optimizer.rate is unknown"),
        (b"a: " + b"[" * 3000 + b"]" * 3000, "nested too deeply"),
        (LAUGHS.encode(), "repeats parts of itself"),
    ],
)
def test_a_level_of_ones_own_that_is_none_is_one_sentence(content: bytes, sentence: str, tmp_path: Path) -> None:
    started = time.process_time()
    with pytest.raises(ValueError, match=sentence) as raised:
        plan(tmp_path, content)
    assert "\n" not in str(raised.value)
    assert "Config search path" not in str(raised.value)
    assert time.process_time() - started < 60  # written out, the laughs are 400 million values


def test_what_is_wrong_in_itself_is_not_offered_to_be_skipped(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing was started") as raised:
        plan(tmp_path, b"name: [\n")
    assert "study.invalid=skip" not in str(raised.value)
    with pytest.raises(ValueError, match=r"study\.invalid=skip runs the others"):
        plan(tmp_path, b"name: adam\nlr: -1\n")


def test_a_level_of_ones_own_may_use_anchors(tmp_path: Path) -> None:
    plan(tmp_path, b"name: adam\nlr: &rate 0.01\nbetas: [0.9, 0.99]\neps: *rate\n")
    assert own_folders(["--config-dir", "a", "x=1", "-cd", "b", "--config-dir=c"]) == [Path("a"), Path("b"), Path("c")]


@pytest.mark.slow
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(level=st.dictionaries(st.sampled_from(["name", "lr", "momentum", "betas", "defaults", "x"]), odd, max_size=4))
def test_any_level_is_planned_or_refused(level: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> None:
    text = yaml.safe_dump({"name": "adam"} | json.loads(json.dumps(level)))
    try:
        plan(tmp_path_factory.mktemp("own"), text.encode(errors="surrogatepass"))
    except ValueError as error:
        assert "\n" not in str(error)


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(changes=changes)
def test_any_recorded_configuration_is_read_or_refused(
    changes: list[tuple[list[int], Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("recorded")
    value: Any = OmegaConf.to_container(planned(folder).composed, resolve=False)
    for where, new in changes:
        value = changed(value, where, new)
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(json.loads(json.dumps(value))), errors="surrogatepass")
    try:
        read_config(path)
    except ValueError as error:
        assert "\n" not in str(error)

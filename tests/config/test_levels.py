"""Levels that are no files: any name of timm and any number, each in one spelling, next to the files of conf."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import timm
from hypothesis import given
from hypothesis import strategies as st
from timm.models import _registry

from ablate.config import levels, pretrained
from ablate.config.schema import AXES
from tests.given import ROOT, config_of

# -- timm's names -----------------------------------------------------------------------------


def test_the_names_in_timms_sources_are_those_that_timm_has() -> None:
    assert set(pretrained.timm_models()) == set(timm.list_models())
    assert {name for name in _registry._model_entrypoints if pretrained.timm_knows(name)} == {
        *_registry._model_entrypoints
    }
    with_tags = [name for name in _registry._model_pretrained_cfgs if "." in name]
    assert len(with_tags) > 1000
    assert all(pretrained.timm_has_tag(*name.split(".", 1)) for name in with_tags)


@pytest.mark.parametrize(
    "name", ["resnt50", "resnet", "vit_base_patch16_224.nonsense", "resnet18.augreg_in21k", "", "."]
)
def test_other_names_are_no_levels(name: str) -> None:
    assert levels.content("backbone", name) is None
    assert not levels.is_level("backbone", name)


def test_a_name_of_timm_is_what_backbone_timm_makes_of_it() -> None:
    assert (
        config_of("backbone=convnext_tiny").backbone
        == config_of("backbone=timm", "backbone.name=convnext_tiny").backbone
    )
    tagged = config_of("backbone=vit_base_patch16_224.augreg_in21k").backbone
    assert (tagged.name, tagged.tag) == ("vit_base_patch16_224", "augreg_in21k")


def test_a_file_is_meant_before_timms_model_of_the_same_name() -> None:
    """Its twin: the name without a file has timm's default weights."""
    assert levels.content("backbone", "resnet18") == {"name": "resnet18", "tag": None}
    assert config_of("backbone=resnet18").backbone.tag == "tv_in1k"
    assert config_of("backbone=resnet26").backbone.tag is None


def test_a_file_of_ones_own_is_meant_before_timms_model(tmp_path: Path) -> None:
    (tmp_path / "backbone").mkdir()
    (tmp_path / "backbone" / "convnext_tiny.yaml").write_text("name: resnet10t\n")
    assert (
        config_of(f"hydra.searchpath=[file://{tmp_path},levels://]", "backbone=convnext_tiny").backbone.name
        == "resnet10t"
    )
    assert levels.spelled("backbone", "ConvNeXt_tiny") == "convnext_tiny"
    assert levels.spelled("backbone", "Mine", own=["Mine"]) == "Mine"


def test_names_are_read_without_importing_timm() -> None:
    program = "import sys; from ablate.config import levels as l; print(l.is_level('backbone', 'resnet26'), 'timm' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "True False\n", done.stderr


# -- spellings --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("group", "text", "level"),
    [
        ("batch_size", "128", "b128"), ("batch_size", "128.0", "b128"), ("batch_size", "1.28e2", "b128"),
        ("batch_size", "b128", "b128"), ("batch_size", "192", "b192"), ("batch_size", "b192", "b192"),
        ("weight_decay", "0.05", "wd5e-2"), ("weight_decay", ".05", "wd5e-2"), ("weight_decay", "5E-2", "wd5e-2"),
        ("weight_decay", "0", "none"), ("weight_decay", "0.0", "none"), ("weight_decay", "-0", "none"),
        ("weight_decay", "None", "none"), ("weight_decay", "0.002", "wd2e-3"), ("weight_decay", "wd0.002", "wd2e-3"),
        ("weight_decay", "0.0015", "wd1.5e-3"), ("weight_decay", "1.5", "wd1.5"), ("weight_decay", "wd5e2", "wd500"),
        ("weight_decay", "wd5e-2_spare", "wd5e-2_spare"),
        ("backbone", "ResNet50", "resnet50"), ("backbone", "resnet-50", "resnet50"),
        ("backbone", "ViT-Base-Patch16-224", "vit_base_patch16_224"),
        ("backbone", "timm/resnet50.a1_in1k", "resnet50.a1_in1k"), ("backbone", "hf-hub:timm/resnet26", "resnet26"),
        ("augment", "mixup+cutmix", "mixup_cutmix"), ("optimizer", "Adam", "adam"), ("study", "demo.yaml", "demo"),
        ("optimizer", "adamm", "adamm"), ("head", "512", "512"), ("optimizer", "", ""),
    ],
)  # fmt: skip
def test_a_level_has_one_spelling(group: str, text: str, level: str) -> None:
    assert levels.spelled(group, text) == level


@given(st.floats(min_value=0, max_value=1e6, allow_nan=False))
def test_any_number_has_one_spelling_that_means_it(number: float) -> None:
    level = levels.spelled("weight_decay", repr(number))
    assert levels.spelled("weight_decay", level) == level
    assert levels.spelled("weight_decay", f"{number:.17e}") == level or float(f"{number:.17e}") != number
    held = levels.content("weight_decay", level)
    value = held["value"] if held is not None else config_value(level)
    assert value == number


def config_value(level: str) -> float:
    text = (ROOT / "conf" / "weight_decay" / f"{level}.yaml").read_text()
    return float(re.findall(r"value: (\S+)", text)[0])


@given(st.integers(min_value=2, max_value=10**6))
def test_a_whole_number_stays_whole(number: int) -> None:
    level = levels.spelled("batch_size", str(number))
    assert level == f"b{number}"
    assert levels.content("batch_size", level) == {"size": number}


def test_which_groups_are_numbers() -> None:
    assert [axis for axis in AXES if levels.is_numeric(axis)] == ["batch_size", "weight_decay"]
    assert levels.content("optimizer", "3") is None
    assert levels.content("batch_size", "128") is None  # which is spelled b128


@pytest.mark.parametrize("word", ["batch_size=b128", "weight_decay=wd2e-3", "weight_decay=none"])
def test_a_spelled_level_composes(word: str) -> None:
    config_of(word)

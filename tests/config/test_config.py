"""Configuration: every level is valid, every mistake is one sentence."""

import re

import pytest

from ablate.commands import overview
from ablate.config.compose import config_folder
from ablate.config.levels import is_level
from ablate.config.schema import AXES
from ablate.plan.planned_run import default_levels
from tests.given import ROOT, config_of

NEEDS = {"backbone=timm": ["backbone.name=test_resnet"], "data=folder": ["data.path=x"], "data=tiny_imagenet": ["data.path=x"]}  # fmt: skip
# Presets alone bring a reference; it is in no other defaults list.
LEVELS = [
    f"{'+' * (p.parent.name == 'reference')}{p.parent.name}={p.stem}" for p in sorted(config_folder().glob("*/*.yaml"))
]


@pytest.mark.parametrize("level", LEVELS)
def test_every_level_of_every_group_composes_and_is_valid(level: str) -> None:
    config_of(level, *NEEDS.get(level, []))


def test_every_axis_has_two_levels_and_a_default() -> None:
    for axis in AXES:
        levels = {p.stem for p in (config_folder() / axis).glob("*.yaml")}
        assert len(levels) >= 2
        assert default_levels()[axis] in levels


@pytest.mark.fault(31, 33, 36, 38, 39, 54, 76)
@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("optimizer.lr=nan", "optimizer.lr=nan must be a finite number"),
        ("optimizer.lr=-1", "optimizer.lr=-1.0 must be"),
        ("optimizer.momentum=0.9", "optimizer.momentum is not read by optimizer.name=adam"),
        ("optimizer.name=sgd", "optimizer=sgd sets everything it needs|is not read"),
        ("optimizer.name=sdg", "did you mean sgd"),
        ("backbone.freeze=stages:0", "must be true, false or stages:N"),
        ("backbone.freeze=1", "must be true, false or stages:N"),
        ("batch_size.micro=half", "must be auto, never or a number"),
        ("batch_size.micro=128", "batch_size.micro=128 must be"),
        ("trainer.precision=fp8", "trainer.precision=fp8 is unknown"),
        ("backbone.stem_stride=3", "must be 1, 2 or null"),
        ("head.activation=relu", "without hidden layers"),
        ("head.hidden=[0]", "widths of 1 or more"),
        ("head.dropout=1.5", "head.dropout=1.5"),
        ("batch_size.size=1", "batch_size.size=1"),
        ("scheduler.factor=0.1", "scheduler.factor is not read by scheduler.name=cosine"),
        ("trainer.epochs=0", "trainer.epochs=0"),
        ("trainer.device=gpu", "cuda"),
        ("trainer.keep_weights=al", "did you mean all"),
        ("data.size=64", "leave data.size=32"),
        ("data=folder", "data=folder needs data.path=DIR"),
        ("data.holdout=0", "data.holdout"),
        ("study.name=../up", "may hold letters"),
        ("study.name=a b", "may hold letters"),
        ("seed=-1", "seed=-1"),
        ("retry=oops", "known: oom, diverged"),
        ("+anything=1", "anything is unknown"),
        ("+optimizer._target_=os.system", "optimizer._target_ is unknown"),
        ("seeds=0", "seeds=0 must be"),
        ("seeds=-3", "seeds=-3 must be"),
        ("+optimizer.lrr=1", "did you mean optimizer.lr?"),
        ("backbone=timm", "backbone.name must be given"),
        ("head.activation=${oc.env:HOME}", "reads an environment variable"),
    ],
)
def test_a_mistake_is_one_sentence_that_names_it(override: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as caught:
        config_of(override)
    assert "\n" not in str(caught.value)


def test_an_environment_variable_may_name_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLACE", "somewhere")
    assert config_of("data=folder", "data.path=${oc.env:PLACE}").data.path == "somewhere"


def test_the_help_text_and_the_readme_name_no_level_that_is_not_there() -> None:
    text = (ROOT / "README.md").read_text() + overview.text({})
    groups = {p.name for p in (ROOT / "conf").iterdir() if p.is_dir()}
    for group, levels in re.findall(r"\b(\w+)=([\w,-]+)", text):
        if group in groups:
            for level in levels.split(","):
                assert is_level(group, level) or (group, level) == ("data", "DIR")

"""Configuration: every level is valid, every mistake is one sentence."""

import re
from pathlib import Path

import pytest

from ablate.commands import overview
from ablate.config.checks import as_written, duration
from ablate.config.compose import config_folder, read_config
from ablate.config.levels import is_level
from ablate.config.schema import AXES
from ablate.config.words import for_hydra
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
        ("trainer.steps=0", "trainer.steps=0"),
        ("optimizer.lr_base_scale=sqrt", "not read without optimizer.lr_base_size=N"),
        ("+optimizer={lr_base_size:256,lr_base_scale:root}", "optimizer.lr_base_scale=root is unknown"),
        ("optimizer.lr_base_size=0", "optimizer.lr_base_size=0"),
        ("study.timeout=soon", "study.timeout=soon must be a duration as in 90s, 15m or 2h"),
        ("study.timeout=0.5s", "study.timeout=0.5s must be 1s or more"),
        ("trainer.checkpoint_time=-1m", "must be a duration"),
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


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("90s", 90), ("15m", 900), ("2h", 7200), ("1.5 H", 5400), ("1d", 86400), ("1800", 1800), ("1e3", 1000), ("2.5", 2.5),
     (".5m", 30)],
)  # fmt: skip
def test_durations_are_written_with_their_unit(written: str, seconds: float) -> None:
    assert duration("x", written) == duration("x", as_written(seconds)) == seconds
    assert config_of(f"study.timeout='{written}'").study.timeout == seconds
    assert config_of(f"trainer.checkpoint_time='{written}'").trainer.checkpoint_time == seconds


@pytest.mark.parametrize("wrong", ["", "m", "5x", "1m30s", "nan", "inf", "-3", "1e999", "0x1", "true", "1_0"])
def test_what_is_no_duration_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"^x="):
        duration("x", wrong)
    with pytest.raises(ValueError, match=r"^x="):
        duration("x", True)


def test_a_setting_is_read_by_the_name_that_it_had(tmp_path: Path) -> None:
    for minutes, seconds in (("0.5", 30), ("null", None)):
        (word,) = for_hydra([f"trainer.checkpoint_minutes={minutes}"])
        assert config_of(word).trainer.checkpoint_time == seconds
    (released,) = ROOT.glob("tests/records/released/0.1.0/timm-b256-name_test_resnet-epochs_1-s1-*/config.yaml")
    assert read_config(released).trainer.checkpoint_time == 600


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

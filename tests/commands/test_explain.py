"""`ablate explain`: what a setting, an axis or a level is, from the dataclasses and the files of conf/."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from ablate.commands import explain
from ablate.config import described, hints
from ablate.config.checks import duration
from tests.given import ROOT, config_of


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert explain.main(words) == 0
    return capsys.readouterr().out


def test_a_setting_has_type_default_meaning_levels_identity_and_readers(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "optimizer.lr")
    assert text.startswith("optimizer.lr: float\n  The highest learning rate that the schedule reaches.\n")
    assert "default   0.001 (of optimizer=adam)" in text
    assert "levels    adam 0.001, adamw 0.001, sgd 0.05, sgd_finetune 0.02" in text
    assert "identity  yes" in text
    assert "ablate/train/optim.py" in text
    assert "identity  no" in said(capsys, "trainer.device")


def test_a_group_has_its_levels_and_settings(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "optimizer")
    assert text.startswith("optimizer: an axis; default optimizer=adam\n  levels: adam, adamw, sgd, sgd_finetune\n")
    assert "optimizer.momentum" in text


def test_a_level_has_what_its_file_holds(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "backbone=effnet_b0,convnext_tiny")
    assert "name: tf_efficientnet_b0" in text
    assert "4.0 M parameters" in text
    assert "conf/backbone/effnet_b0.yaml; a copy under another name is a level of your own" in text
    assert "backbone=convnext_tiny\n  A model of timm, by its name." in text


def test_a_level_alone_is_found_by_its_group(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "sgd").startswith("optimizer=sgd\n")


def test_a_level_of_ones_own_is_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "optimizer").mkdir()
    (tmp_path / "optimizer" / "slow.yaml").write_text("# Adam, ten times slower.\ndefaults:\n  - adam\nlr: 0.0001\n")
    text = said(capsys, "optimizer=slow", "--config-dir", str(tmp_path))
    assert "Adam, ten times slower." in text
    assert "lr: 0.0001" in text
    assert "betas: [0.9, 0.999]" in text


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("optimzer.lr", r"optimzer.lr is unknown; did you mean optimizer.lr\?"),
        ("learning_rate", r"did you mean optimizer.lr\?"),
        ("head=mlp", r"head=mlp: no such level; did you mean mlp512\?"),
        ("workers", "workers is no setting: images need no workers"),
        ("qqqq", "qqqq is unknown; ablate --help lists"),
    ],
)
def test_what_there_is_not_is_a_sentence_with_the_nearest(word: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as caught:
        explain.main([word])
    assert "\n" not in str(caught.value)


def test_every_key_of_a_configuration_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    entries = json.loads(said(capsys, "--json"))["explained"]
    explained = {one["key"] for entry in entries for one in entry["settings"]}
    groups = set(described.kinds()) - {""}
    assert explained == {key for key in hints.fields() if key not in groups}


def test_the_defaults_are_those_of_a_plain_command() -> None:
    # The same as composing, which takes Hydra and far longer.
    composed = OmegaConf.to_container(OmegaConf.structured(config_of()))
    assert isinstance(composed, dict)
    for group in described.kinds():
        values = composed[group] if group else composed
        for one in described.settings(group):
            name = one.key.rpartition(".")[2]
            # Some are resolved where a configuration is validated.
            if one.key in ("trainer.precision", "study.delta"):
                continue
            if one.type.startswith("duration"):
                assert duration(one.key, one.default) == values[name]
                continue
            assert yaml.safe_load(one.default) == values[name], one.key


def test_every_setting_of_a_run_is_read_somewhere() -> None:
    unread = [
        one.key for group in described.kinds() for one in described.settings(group) if not described.read_in(one.key)
    ]
    # By words of the command, before there is a configuration, and by its own class, which scales the learning rate.
    assert set(unread) == {"seeds", "dry_run", "optimizer.lr_base_scale"}


def says_what_it_does(text: str) -> bool:
    """Whether a file of conf/ begins with a sentence for people."""
    lines = [line for line in text.splitlines() if not line.startswith("# @")]
    return bool(lines) and re.match(r"# \S+ \S+", lines[0]) is not None


def test_every_file_of_conf_says_what_it_does() -> None:
    paths = sorted((ROOT / "conf").rglob("*.yaml"))
    assert len(paths) > 80
    assert [str(path) for path in paths if not says_what_it_does(path.read_text())] == []
    assert not says_what_it_does("size: 64\n")
    assert not says_what_it_does("# @package _global_\nseeds: 3\n")


def test_it_loads_neither_hydra_nor_torch() -> None:
    program = (
        "import sys; from ablate.commands import cli; cli.main(['explain', 'optimizer.lr']); "
        "print([m for m in ('torch', 'timm', 'hydra') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr

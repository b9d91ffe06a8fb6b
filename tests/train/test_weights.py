"""Weights as others save them: found by names and shapes, and never run."""

import argparse
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor

from ablate.config.axes import BackboneConfig, HeadConfig
from ablate.train.model import build, weights_sha256
from ablate.train.weights import load_weights


class Settings(dict[str, Any]):
    """As configuration libraries have them."""


@pytest.fixture
def source() -> dict[str, Tensor]:
    torch.manual_seed(7)
    return timm.create_model("test_resnet", num_classes=7).state_dict()


def loaded(file: Path) -> str:
    body = build(BackboneConfig(name="test_resnet", weights=str(file)), HeadConfig(), 2, 0).backbone
    return weights_sha256(body.state_dict())


def with_prefix(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + key: value for key, value in state.items()}


def packed(how: str, state: dict[str, Tensor]) -> Any:
    """A checkpoint as a tool writes it."""
    return {
        "plain": state,
        "DataParallel": with_prefix("module.", state),
        "compiled": with_prefix("_orig_mod.", state),
        "both": {"state_dict": with_prefix("module._orig_mod.", state)},
        "timm's train.py": {
            "epoch": 1,
            "state_dict": state,
            "state_dict_ema": state,
            "args": argparse.Namespace(lr=0.1),
        },
        "Lightning": {"state_dict": with_prefix("model.net.", state), "hyper_parameters": Settings(lr=0.1)},
        "MoCo": {"state_dict": with_prefix("module.encoder_q.", state) | {"module.queue": torch.zeros(3)}},
        "a trainer's own": {"model_state_dict": state, "optimizer": {"state": {0: {"step": torch.zeros(())}}}},
        "defaultdict": {"net": defaultdict(list, state), "best": 3.5},
        "old counters": {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")},
    }[how]


HOW = (
    "plain",
    "DataParallel",
    "compiled",
    "both",
    "timm's train.py",
    "Lightning",
    "MoCo",
    "a trainer's own",
    "old counters",
)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before torch 1.6"])
@pytest.mark.parametrize("how", HOW)
def test_weights_are_found_whoever_saved_them(
    how: str, zipped: bool, source: dict[str, Tensor], tmp_path: Path
) -> None:
    torch.save(packed(how, source), tmp_path / "w.pt", _use_new_zipfile_serialization=zipped)
    torch.save(source, tmp_path / "plain.pth")
    assert loaded(tmp_path / "w.pt") == loaded(tmp_path / "plain.pth")


def test_a_files_kind_is_told_by_content(source: dict[str, Tensor], tmp_path: Path) -> None:
    save_file(with_prefix("backbone.", source), tmp_path / "model.bin")
    torch.save(source, tmp_path / "model.safetensors")
    assert loaded(tmp_path / "model.bin") == loaded(tmp_path / "model.safetensors")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (lambda _: timm.create_model("test_efficientnet").state_dict(), r"the file has conv_stem\.weight, bn1\.weight"),
        (lambda _: {"a.b": torch.zeros(2)}, r"its 1 tensors are called a\.b, where \d+ are expected, called conv1\.0\.weight"),
        (lambda _: {"epoch": 3}, "it holds no tensors by name"),
        (lambda s: {"teacher": s, "student": s}, r"several networks that fit test_resnet \(teacher, student\)"),
        (lambda s: {"model": with_prefix("student.", s) | with_prefix("teacher.", s)}, r"\(model\.student, model\.teacher\)"),
        (lambda s: s | {"layer4.7.conv1.weight": torch.zeros(2)}, r"of another network .* layer4\.7\.conv1\.weight the first"),
        (lambda s: s | {"conv1.0.weight": torch.zeros(2)}, r"conv1\.0\.weight the first, which is \(2,\) and not"),
    ],
    ids=["another family", "another's names", "no weights", "two networks", "two in one", "a deeper network", "another shape"],
)  # fmt: skip
def test_what_does_not_fit_is_shown_beside_what_was_expected(
    content: Any, sentence: str, source: dict[str, Tensor], tmp_path: Path
) -> None:
    torch.save(content(source), tmp_path / "w.pth")
    with pytest.raises(ValueError, match=sentence):
        loaded(tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty and holds no weights"),
        (b"version https://git-lfs.github.com/spec/v1", "is a Git LFS pointer and holds no weights"),
        (b"<!DOCTYPE html>", "is a web page and holds no weights"),
        (b"\x93NUMPY and more", "no whole file of PyTorch or safetensors"),
    ],
)
def test_a_file_of_another_kind_is_named(content: bytes, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(ValueError, match=sentence):
        loaded(tmp_path / "w.pth")


class Runs:
    """Runs something when it is unpickled."""

    def __init__(self, function: Any, *given: Any) -> None:
        self.reduced = (function, given)

    def __reduce__(self) -> Any:
        return self.reduced


def test_code_in_a_file_is_not_run_and_need_not_be(source: dict[str, Tensor], tmp_path: Path) -> None:
    import os

    trap = tmp_path / "executed"
    torch.save(
        {"state_dict": source, "x": Runs(eval, f"__import__('pathlib').Path({str(trap)!r}).touch()")},
        tmp_path / "eval.pth",
    )
    torch.save({"state_dict": source, "x": Runs(os.system, f"touch {trap}")}, tmp_path / "system.pth")
    torch.save(source, tmp_path / "plain.pth")
    assert loaded(tmp_path / "eval.pth") == loaded(tmp_path / "plain.pth")
    with pytest.raises(ValueError, match="contains code, which is never run"):
        loaded(tmp_path / "system.pth")
    assert not trap.exists()
    # The twin: the file is armed.
    torch.load(tmp_path / "eval.pth", weights_only=False)
    assert trap.exists()


def test_checking_changes_nothing(source: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save(source, tmp_path / "w.pth")
    body = build(BackboneConfig(name="test_resnet"), HeadConfig(), 2, 0).backbone
    before = weights_sha256(body.state_dict())
    load_weights(body, "test_resnet", str(tmp_path / "w.pth"), only_check=True)
    assert weights_sha256(body.state_dict()) == before

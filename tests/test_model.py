"""The network: every level builds, weights come from where they are said to come."""

from pathlib import Path

import pytest
import torch
from conftest import TINY, config_of
from safetensors.torch import save_file

from ablate.config import BackboneConfig, HeadConfig
from ablate.model import build, weights_sha256
from ablate.plan import config_folder

BACKBONES = sorted(p.stem for p in (config_folder() / "backbone").glob("*.yaml") if p.stem != "timm")
TEST = BackboneConfig(name="test_resnet")


@pytest.mark.parametrize("level", BACKBONES)
def test_every_backbone_builds_and_maps_images_to_logits(level: str) -> None:
    config = config_of(f"backbone={level}")
    with torch.device("meta"):  # shapes without the cost of the numbers
        model = build(config.backbone, config.head, 200, seed=0)
        logits = model(torch.empty(2, 3, 64, 64, dtype=torch.uint8))
    assert logits.shape == (2, 200)


def test_heads_have_the_layers_that_they_name() -> None:
    def layers(head: str) -> list[str]:
        return [type(m).__name__ for m in build(TEST, config_of(f"head={head}").head, 10, 0).head]

    assert layers("linear") == ["Linear"]
    assert layers("mlp512") == ["Linear", "ReLU", "Linear"]
    assert layers("mlp512x2") == ["Dropout", "Linear", "ReLU", "Dropout", "Linear", "ReLU", "Dropout", "Linear"]


def test_initial_weights_depend_on_the_seed_and_on_each_part_alone() -> None:
    def backbone(seed: int, head: HeadConfig) -> str:
        return weights_sha256(build(TEST, head, 10, seed).backbone.state_dict())

    deep = HeadConfig(hidden=[32], activation="gelu")
    assert backbone(0, HeadConfig()) == backbone(0, deep)
    assert backbone(0, deep) != backbone(1, deep)


def test_the_network_normalises_its_input_itself() -> None:
    model = build(TEST, HeadConfig(), 10, 0).eval()
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    cfg = model.backbone.pretrained_cfg
    mean, std = (torch.tensor(cfg[k]).view(1, 3, 1, 1) for k in ("mean", "std"))
    by_hand = model.head(model.backbone((images / 255 - mean) / std))
    torch.testing.assert_close(model(images), by_hand)


@pytest.mark.parametrize("kind", ["pth", "safetensors", "run"])
def test_weights_come_from_a_local_file(tmp_path: Path, kind: str) -> None:
    source = build(TEST, HeadConfig(), 10, seed=7)
    file = tmp_path / f"weights.{'pth' if kind == 'pth' else 'safetensors'}"
    if kind == "pth":
        torch.save({"state_dict": source.backbone.state_dict()}, file)
    else:
        save_file(source.state_dict() if kind == "run" else source.backbone.state_dict(), file)
    loaded = build(BackboneConfig(name="test_resnet", weights=str(file)), HeadConfig(), 10, seed=0)
    assert weights_sha256(loaded.backbone.state_dict()) == weights_sha256(source.backbone.state_dict())


def test_a_file_of_another_network_is_refused_by_name(tmp_path: Path) -> None:
    torch.save(build(TEST, HeadConfig(), 10, 0).backbone.state_dict(), tmp_path / "w.pth")
    with pytest.raises(ValueError, match="does not fit resnet10t"):
        build(BackboneConfig(name="resnet10t", weights=str(tmp_path / "w.pth")), HeadConfig(), 10, 0)


def test_a_weights_file_can_run_no_code(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "executed",))  # type: ignore[return-value]

    torch.save(Payload(), tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"w\.pth cannot be read"):
        build(BackboneConfig(name="test_resnet", weights=str(tmp_path / "w.pth")), HeadConfig(), 10, 0)
    assert not (tmp_path / "executed").exists()


def test_pretrained_weights_without_a_network_name_the_ways_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    config = config_of(*TINY, "backbone.pretrained=true")
    with pytest.raises(ValueError, match=r"backbone\.weights=FILE .* backbone\.pretrained=false"):
        build(config.backbone, config.head, 10, 0)


def test_an_unknown_model_gets_a_suggestion() -> None:
    with pytest.raises(ValueError, match="did you mean resnet50"):
        build(BackboneConfig(name="resnt50"), HeadConfig(), 10, 0)


def test_the_weights_hash_sees_every_bit_name_and_type() -> None:
    state = {"a": torch.ones(3), "b": torch.zeros(2)}
    flipped = {"a": torch.ones(3), "b": torch.tensor([0.0, 1e-45])}
    renamed = {"a": torch.ones(3), "c": torch.zeros(2)}
    halved = {"a": torch.ones(3), "b": torch.zeros(2).half()}
    assert weights_sha256(state) == weights_sha256(dict(reversed(state.items())))
    assert len({weights_sha256(s) for s in (state, flipped, renamed, halved)}) == 4

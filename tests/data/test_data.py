"""Data: what is read, what is refused, and a cache that never lies."""

import dataclasses
import gzip
import hashlib
import io
import json
import os
import pickle
import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import datasets

from ablate.config.schema import DataConfig
from ablate.data import cache, sources
from ablate.data.cache import Images, load_cached
from ablate.data.datasets import EMBEDDED, fingerprint, holdout_split, load
from ablate.data.pictures import decode as decoding
from ablate.data.pictures import store
from ablate.data.pictures.decode import Decoding, decode
from ablate.records.run_folder import TIMINGS
from ablate.train.loop import train
from tests.data.archives import fashion_files, make_tiny_imagenet, zipped
from tests.given import TINY, config_of, python

Maker = Callable[..., Path]


def read(path: Path, name: str = "folder", size: int = 16, into: str = "cache") -> Images:
    return load(DataConfig(name=name, size=size, path=str(path), cache=str(path.parent / into)))


# -- embedded ---------------------------------------------------------------------------------


def test_the_embedded_images_are_balanced_and_never_change() -> None:
    images = load(config_of().data)
    assert images.train_images.shape == (4000, 32, 32, 3)
    assert images.test_images.shape == (1000, 32, 32, 3)
    assert np.bincount(images.train_labels).tolist() == [400] * 10
    assert np.bincount(images.test_labels).tolist() == [100] * 10
    assert images.fingerprint == "97e87e70a842c363165a80980805502b0400823174a37e949db4c49dbd315f28"


def test_the_embedded_images_ship_with_their_licence() -> None:
    assets = Path(cache.__file__).parent / "assets"
    assert (assets / EMBEDDED).stat().st_size < 3_000_000
    assert "Zalando" in (assets / "LICENSE-fashion-mnist").read_text()


# -- holdout ----------------------------------------------------------------------------------


def test_the_holdout_is_stratified_fixed_and_apart_from_training() -> None:
    images, config = load(config_of().data), config_of().data
    labels = images.train_labels
    train, holdout = holdout_split(images, config)
    assert np.bincount(labels[holdout]).tolist() == [40] * 10
    assert sorted([*train, *holdout]) == list(range(4000))
    assert (holdout_split(images, config)[1] == holdout).all()
    assert (holdout_split(images, dataclasses.replace(config, split_seed=1))[1] != holdout).any()


def test_a_class_too_small_to_split_is_named() -> None:
    images = dataclasses.replace(load(config_of().data), train_labels=np.array([0, 0, 0, 1]))
    with pytest.raises(
        ValueError,
        match=r"class Trouser has 1 training image and the holdout needs 1, so none is left .* add a second one",
    ):
        holdout_split(images, config_of().data)


# -- folders ----------------------------------------------------------------------------------


def test_class_folders_are_read_scaled_and_cropped(image_folder: Maker) -> None:
    images = read(image_folder())
    assert images.classes == ("cat", "dog")
    assert images.train_images.shape == (12, 16, 16, 3)
    assert images.train_labels.tolist() == [0] * 6 + [1] * 6
    assert images.test_labels.tolist() == [0, 0, 1, 1]


def test_an_image_of_the_right_size_is_stored_as_it_is(image_folder: Maker) -> None:
    root = image_folder()
    pixels = np.random.default_rng(1).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(root / "train" / "cat" / "0.png")
    assert (read(root).train_images[0] == pixels).all()


@pytest.mark.fault(24)
def test_stray_files_and_folders_are_no_classes_and_no_images(image_folder: Maker) -> None:
    root = image_folder()
    before = read(root).fingerprint
    (root / "train" / ".DS_Store").write_bytes(b"x")
    (root / "train" / "cat" / "Thumbs.db").write_bytes(b"x")
    (root / "train" / "cat" / "._0.png").write_bytes(b"x")
    (root / "train" / "__MACOSX").mkdir()
    assert read(root).fingerprint == before


def test_the_fingerprint_follows_content_not_place(image_folder: Maker, tmp_path: Path) -> None:
    root = image_folder()
    before = read(root).fingerprint
    shutil.copytree(root, tmp_path / "copy")
    assert read(tmp_path / "copy").fingerprint == before
    Image.new("RGB", (20, 24)).save(root / "train" / "dog" / "3.png")
    after = read(root)
    assert after.fingerprint != before
    assert not after.train_images[9].any()


def test_the_fingerprint_is_computed_as_in_every_version(image_folder: Maker) -> None:
    """It is part of every run's signature: another algorithm would orphan all recorded runs."""
    root = image_folder()
    digest = hashlib.sha256(json.dumps(["cat", "dog"]).encode())
    for part, folder in (("train", "train"), ("test", "val")):
        for label, name in enumerate(("cat", "dog")):
            for file in sorted((root / folder / name).iterdir()):
                digest.update(f"{part} {label} {hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    assert read(root).fingerprint == digest.hexdigest()


def test_another_size_is_another_cache_of_the_same_data(image_folder: Maker) -> None:
    root = image_folder()
    assert read(root, size=16).fingerprint == read(root, size=8).fingerprint
    assert read(root, size=8).train_images.shape == (12, 8, 8, 3)


@pytest.mark.fault(21)
@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda r: shutil.rmtree(r / "val"), "needs the folders train and val"),
        (lambda r: shutil.rmtree(r / "train" / "dog"), r"val/dog is a class that train/ lacks"),
        (lambda r: (r / "train" / "empty").mkdir(), "class empty has no training image"),
        (lambda r: (r / "train" / "cat" / "0.png").write_bytes(b""), r"0\.png is empty"),
        (
            lambda r: (r / "train" / "cat" / "0.png").write_bytes(b"GIF89a"),
            r"0\.png is a damaged (or truncated )?GIF file",
        ),
        (lambda r: os.truncate(r / "train" / "cat" / "0.png", 700), r"0\.png is a damaged or truncated PNG file"),
        (lambda r: shutil.rmtree(r), "is not a folder"),
    ],
    ids=["no val", "class only in val", "empty class", "zero bytes", "not an image", "truncated", "no folder"],
)
def test_what_cannot_be_used_is_named(image_folder: Maker, spoil: Callable[[Path], None], sentence: str) -> None:
    root = image_folder()
    spoil(root)
    with pytest.raises(ValueError, match=sentence):
        read(root)


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def encoded(image: Image.Image, kind: str) -> bytes:
    content = io.BytesIO()
    image.save(content, kind)
    return content.getvalue()


@pytest.mark.fault(23)
@pytest.mark.parametrize(
    ("image", "kind", "expected"),
    [
        (Image.new("L", (8, 8), 100), "JPEG", (100, 100, 100)),
        (Image.new("CMYK", (8, 8), (0, 0, 0, 255)), "JPEG", (0, 0, 0)),
        (Image.new("RGBA", (8, 8), (10, 20, 30, 255)), "PNG", (10, 20, 30)),
        (Image.new("P", (8, 8), 0), "PNG", (0, 0, 0)),
        (Image.fromarray(np.full((8, 8), 51_400, np.uint16)), "PNG", (200, 200, 200)),
    ],
    ids=["grayscale", "cmyk", "rgba", "palette", "16 bit"],
)
def test_every_kind_of_image_becomes_rgb(
    image: Image.Image, kind: str, expected: tuple[int, ...], tmp_path: Path
) -> None:
    pixels = decode(written(tmp_path / "x", encoded(image, kind)), Decoding(8))
    assert pixels.shape == (8, 8, 3)
    assert np.abs(pixels.astype(int) - expected).max() <= 2


@pytest.mark.fault(20)
def test_a_decompression_bomb_is_refused(tmp_path: Path) -> None:
    content = encoded(Image.new("1", (9000, 9000)), "PNG")
    assert len(content) < 100_000
    with pytest.raises(ValueError, match="pixels are too many"):
        decode(written(tmp_path / "bomb.png", content), Decoding(8))


# -- the cache --------------------------------------------------------------------------------


def test_a_second_load_decodes_nothing(image_folder: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    root = image_folder()
    first = read(root)
    monkeypatch.setattr(cache, "_build", lambda *_: pytest.fail("decoded again"))
    second = read(root)
    assert (second.train_images == first.train_images).all()
    assert isinstance(second.train_images, np.memmap)


@pytest.mark.fault(29)
@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_a_damaged_cache_is_built_again(image_folder: Maker, tmp_path: Path, damage: str) -> None:
    root = image_folder()
    before = np.array(read(root).train_images)
    file = next((tmp_path / "cache").glob("*/train_images.npy"))
    content = bytearray(file.read_bytes())
    if damage == "flip":
        content[-1] ^= 1
        file.write_bytes(content)
    elif damage == "truncate":
        file.write_bytes(content[:-10])
    else:
        file.unlink()
    assert (read(root).train_images == before).all()


def test_a_cache_that_was_checked_is_not_checked_again_until_it_changes(
    image_folder: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = image_folder()
    read(root)
    hashed: list[str] = []
    whole = cache.file_sha256
    monkeypatch.setattr(cache, "file_sha256", lambda path: hashed.append(path) or whole(path))
    before = np.array(read(root).train_images)
    assert hashed == []
    file = next((tmp_path / "cache").glob("*/train_images.npy"))
    status, content = file.stat(), bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))  # the same size and time of change
    assert (read(root).train_images == before).all()
    assert hashed


def test_one_and_three_processes_decode_the_same_bytes(image_folder: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    root = image_folder()
    started = []

    def pool(workers: int, **options: Any) -> ProcessPoolExecutor:
        started.append(workers)
        return ProcessPoolExecutor(workers, **options)

    monkeypatch.setattr(decoding, "ProcessPoolExecutor", pool)
    monkeypatch.setattr(decoding, "CHUNK", 2)
    found = []
    for workers in (1, 3):
        monkeypatch.setattr(store, "WORKERS", workers)
        found.append(read(root, into=f"cache{workers}"))
    one, three = found
    assert started == [1, 3]
    assert one.fingerprint == three.fingerprint
    for name in cache.ARRAYS:
        assert getattr(one, name).tobytes() == getattr(three, name).tobytes()
        assert getattr(one, name).any()
    assert epoch_on(one) == epoch_on(three)
    # The twin: chunks that lie where they arrived, not where they belong, would be noticed.
    assert epoch_on(dataclasses.replace(three, train_images=np.roll(three.train_images, 2, axis=0))) != epoch_on(one)


def epoch_on(images: Images) -> dict[str, float]:
    """The figures of one epoch of training, all but the timings."""
    rows: list[dict[str, float]] = []
    config = config_of(*TINY, "batch_size.size=4", "trainer.epochs=1", "augment=strong")
    train(config, images, torch.device("cpu"), lambda epoch: rows.append(epoch.row))
    return {name: value for name, value in rows[0].items() if name not in TIMINGS}


@pytest.mark.fault(28)
def test_two_builds_at_once_make_one_cache(image_folder: Maker, tmp_path: Path) -> None:
    root = image_folder(train=100)
    program = (
        "from ablate.config.schema import DataConfig; from ablate.data.datasets import load\n"
        "if __name__ == '__main__':\n"
        f"    print(load(DataConfig(name='folder', size=16, path={str(root)!r}, cache={str(tmp_path / 'c')!r})).fingerprint)"
    )
    (tmp_path / "program.py").write_text(program)
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda _: python("program.py", cwd=tmp_path), range(2)))
    assert [d.returncode for d in done] == [0, 0], done
    assert done[0].stdout == done[1].stdout
    assert len(list((tmp_path / "c").glob("*/meta.json"))) == 1
    assert not list((tmp_path / "c").glob(".building-*"))


@pytest.mark.fault(16)
def test_a_cache_that_cannot_be_written_says_so(image_folder: Maker, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ValueError, match=r"data\.cache=DIR"):
        load_cached(DataConfig(name="folder", size=16, path=str(image_folder()), cache=str(tmp_path / "file")))


# -- Tiny ImageNet ----------------------------------------------------------------------------


@pytest.fixture
def tiny_imagenet(tmp_path: Path) -> Path:
    return make_tiny_imagenet(tmp_path)


def test_tiny_imagenet_is_read_in_its_official_layout(tiny_imagenet: Path) -> None:
    images = read(tiny_imagenet, "tiny_imagenet", 64)
    assert images.train_labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert images.test_labels.tolist() == [0, 1, 2, 3]
    assert (images.train_images[3] == 9).all()
    assert (images.test_images == 7).all()


def test_classes_of_one_name_are_told_apart(tiny_imagenet: Path) -> None:
    # A name outside the classes, as n00's, makes no other ambiguous.
    config = DataConfig(name="tiny_imagenet", size=64, path=str(tiny_imagenet))
    assert sources.list_images(config).classes == ("goldfish", "tench", "crane (n03)", "crane (n04)")


@pytest.mark.fault(22)
def test_a_label_outside_the_classes_is_named(tiny_imagenet: Path) -> None:
    with open(tiny_imagenet / "val" / "val_annotations.txt", "a") as file:
        file.write("val_x.JPEG\tn99\t0\t0\t0\t0\n")
    with pytest.raises(ValueError, match=r"val_x\.JPEG the class 'n99'"):
        read(tiny_imagenet, "tiny_imagenet", 64)


def test_folder_and_zip_are_one_data_set(tiny_imagenet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = zipped(tiny_imagenet, tmp_path / "zips" / "tiny-imagenet-200.zip")
    unpacked = []
    unpack = sources.unpack
    monkeypatch.setattr(sources, "unpack", lambda *given: (unpacked.append(not given[1].exists()), unpack(*given)))
    found = {
        fingerprint(DataConfig(name="tiny_imagenet", size=64, path=str(place), cache=str(tmp_path / "cache")))
        for place in (tiny_imagenet, tiny_imagenet.parent, archive, archive, archive.parent)
    }
    assert len(found) == 1
    assert unpacked == [True, False, False]


def test_a_zip_that_changed_is_unpacked_again(tiny_imagenet: Path, tmp_path: Path) -> None:
    archive = zipped(tiny_imagenet, tmp_path / "some.zip")
    before = read(archive, "tiny_imagenet", 64).fingerprint
    Image.new("RGB", (64, 64)).save(tiny_imagenet / "train" / "n01" / "images" / "n01_0.JPEG")
    zipped(tiny_imagenet, archive)
    assert read(archive, "tiny_imagenet", 64).fingerprint != before


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda z: os.truncate(z, 5000), r"some\.zip is no whole zip archive"),
        (lambda z: z.write_bytes(b"not a zip"), r"some\.zip is no whole zip archive"),
        (lambda z: z.unlink(), r"some\.zip holds no Tiny ImageNet"),
        (lambda z: (z.parent / "cache").write_bytes(b""), r"cannot be unpacked into .*data\.cache=DIR"),
    ],
    ids=["truncated", "no zip", "missing", "no place"],
)
def test_a_zip_that_cannot_be_used_is_named(tiny_imagenet: Path, spoil: Callable[[Path], None], sentence: str) -> None:
    archive = zipped(tiny_imagenet, tiny_imagenet.parent / "some.zip")
    spoil(archive)
    with pytest.raises(ValueError, match=sentence):
        read(archive, "tiny_imagenet", 64)


# -- what torchvision reads -------------------------------------------------------------------


def make_cifar(root: Path, kind: type, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """A few images in the layout of CIFAR, whose checksums the class takes for right; returns its first image."""
    (root / kind.base_folder).mkdir(parents=True)
    draw = np.random.default_rng(3)
    first = None
    labels = "labels" if kind is datasets.CIFAR10 else "fine_labels"

    def write(name: str, value: object) -> str:
        content = pickle.dumps(value, protocol=2)
        # As the published files, pickled by an early numpy, of which today's warns.
        content = content.replace(b"\x89\x88\x87", b"K\x00K\x01\x87")
        (root / kind.base_folder / name).write_bytes(content)
        return hashlib.md5(content).hexdigest()

    for attribute in ("train_list", "test_list"):
        checked = []
        for name, _ in getattr(kind, attribute):
            pixels = draw.integers(0, 256, (4, 3072), dtype=np.uint8)
            first = pixels[0] if first is None else first
            checked.append([name, write(name, {"data": pixels, labels: [0, 1, 2, 1]})])
        monkeypatch.setattr(kind, attribute, checked)
    meta = kind.meta | {"md5": write(kind.meta["filename"], {kind.meta["key"]: ["ant", "bee", "cow"]})}
    monkeypatch.setattr(kind, "meta", meta)
    assert first is not None
    return first.reshape(3, 32, 32).transpose(1, 2, 0)


@pytest.fixture
def fashion(tmp_path: Path) -> Path:
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for name, content in fashion_files().items():
        (raw / name).write_bytes(content)
        (raw / f"{name}.gz").write_bytes(gzip.compress(content))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "kind", "batches"), [("cifar10", datasets.CIFAR10, 5), ("cifar100", datasets.CIFAR100, 1)]
)
def test_cifar_is_read_by_torchvision(
    name: str, kind: type, batches: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make_cifar(tmp_path / "sets", kind, monkeypatch)
    images = read(tmp_path / "sets", name, 32)
    assert images.classes == ("ant", "bee", "cow")
    assert (images.train_images[0] == first).all()
    assert isinstance(images.train_images, np.memmap)
    assert images.train_labels.tolist() == [0, 1, 2, 1] * batches
    assert images.test_labels.tolist() == [0, 1, 2, 1]
    assert images.test_images.shape == (4, 32, 32, 3)


def test_a_damaged_cifar_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_cifar(tmp_path / "sets", datasets.CIFAR10, monkeypatch)
    os.truncate(tmp_path / "sets" / "cifar-10-batches-py" / "data_batch_3", 100)
    with pytest.raises(ValueError, match=r"cifar10 in .*sets cannot be read .*python -m ablate download cifar10"):
        read(tmp_path / "sets", "cifar10", 32)


def test_fashion_mnist_is_padded_as_the_embedded_images_are(fashion: Path) -> None:
    images = read(fashion, "fashion_mnist", 32)
    assert images.classes == load(config_of().data).classes
    assert images.train_images.shape == images.test_images.shape == (4, 32, 32, 3)
    assert images.train_labels.tolist() == [9, 0, 1, 2]
    inside = images.train_images[:, 2:30, 2:30]
    assert (inside == inside[..., :1]).all()
    assert inside.all()
    assert inside.astype(int).sum() == images.train_images.astype(int).sum()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("train-images-idx3-ubyte", fashion_files()["train-images-idx3-ubyte"][:-10]),
        ("train-images-idx3-ubyte", b""),
        ("train-labels-idx1-ubyte", fashion_files()["train-labels-idx1-ubyte"][:-1] + b"\x0a"),
        ("t10k-labels-idx1-ubyte", b"\0\0\x08\x01\0\0\0\x03\0\1\2"),
    ],
    ids=["short", "empty", "label outside the classes", "a label too few"],
)
def test_a_damaged_fashion_mnist_is_refused(fashion: Path, name: str, content: bytes) -> None:
    (fashion / "FashionMNIST" / "raw" / name).write_bytes(content)
    with pytest.raises(
        ValueError, match=r"fashion_mnist in .* cannot be read .*python -m ablate download fashion_mnist"
    ):
        read(fashion, "fashion_mnist", 32)


def test_the_fingerprint_of_arrays_follows_pixels_and_labels(fashion: Path) -> None:
    before = read(fashion, "fashion_mnist", 32).fingerprint
    shutil.copytree(fashion / "FashionMNIST", fashion / "copy" / "FashionMNIST")
    assert read(fashion / "copy", "fashion_mnist", 32).fingerprint == before
    raw = fashion / "FashionMNIST" / "raw"
    for file in (raw / "train-images-idx3-ubyte", raw / "train-labels-idx1-ubyte"):
        content = file.read_bytes()
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        os.utime(file, (1, 1))  # one byte changed, and no size: what tells it is the time of writing
        after = read(fashion, "fashion_mnist", 32).fingerprint
        assert after != before
        before = after


@pytest.mark.slow
def test_a_second_plan_imports_no_torch(fashion: Path) -> None:
    config = f"DataConfig(name='fashion_mnist', size=32, path={str(fashion)!r}, cache={str(fashion / 'cache')!r})"
    program = (
        "import sys; from ablate.config.schema import DataConfig; from ablate.data.datasets import fingerprint\n"
        f"print(fingerprint({config}), *sorted({{'torch', 'torchvision'}} & set(sys.modules)))"
    )
    first, second = (python("-c", program, cwd=fashion).stdout.split() for _ in range(2))
    assert first[1:] == ["torch", "torchvision"]
    assert second == first[:1]


@pytest.mark.parametrize("name", ["tiny_imagenet", "cifar10", "cifar100", "fashion_mnist"])
def test_data_that_is_not_there_names_the_command(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    size = 64 if name == "tiny_imagenet" else 32
    with pytest.raises(ValueError, match=rf"`python -m ablate download {name}` gets it, data\.path=DIR"):
        load(DataConfig(name=name, size=size))
    with pytest.raises(ValueError, match=rf"`python -m ablate download {name} --to {tmp_path / 'sets'}` gets it"):
        load(DataConfig(name=name, size=size, path=str(tmp_path / "sets")))

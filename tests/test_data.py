"""Data: what is read, what is refused, and a cache that never lies."""

import io
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from conftest import config_of, python
from PIL import Image

from ablate import cache
from ablate.cache import Images, decode, load_cached
from ablate.config import DataConfig
from ablate.data import EMBEDDED, fingerprint, holdout_split, load

Maker = Callable[..., Path]


def read(path: Path, name: str = "folder", size: int = 16) -> Images:
    return load(DataConfig(name=name, size=size, path=str(path), cache=str(path.parent / "cache")))


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
    labels = load(config_of().data).train_labels
    train, holdout = holdout_split(labels, 0.1, 0)
    assert np.bincount(labels[holdout]).tolist() == [40] * 10
    assert sorted([*train, *holdout]) == list(range(4000))
    assert (holdout_split(labels, 0.1, 0)[1] == holdout).all()
    assert (holdout_split(labels, 0.1, 1)[1] != holdout).any()


def test_a_class_too_small_to_split_is_named() -> None:
    with pytest.raises(ValueError, match="class 1 has 1 training images"):
        holdout_split(np.array([0, 0, 0, 1]), 0.1, 0)


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


def test_another_size_is_another_cache_of_the_same_data(image_folder: Maker) -> None:
    root = image_folder()
    assert read(root, size=16).fingerprint == read(root, size=8).fingerprint
    assert read(root, size=8).train_images.shape == (12, 8, 8, 3)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda r: shutil.rmtree(r / "val"), "needs the folders train and val"),
        (lambda r: shutil.rmtree(r / "train" / "dog"), r"val/dog is a class that .*train lacks"),
        (lambda r: (r / "train" / "empty").mkdir(), "class empty .* has no training image"),
        (lambda r: (r / "train" / "cat" / "0.png").write_bytes(b""), r"0\.png cannot be used as an image"),
        (lambda r: (r / "train" / "cat" / "0.png").write_bytes(b"GIF89a"), r"0\.png cannot be used as an image"),
        (lambda r: os.truncate(r / "train" / "cat" / "0.png", 700), r"0\.png cannot be used as an image"),
        (lambda r: shutil.rmtree(r), "is not a folder"),
    ],
    ids=["no val", "class only in val", "empty class", "zero bytes", "not an image", "truncated", "no folder"],
)
def test_what_cannot_be_used_is_named(image_folder: Maker, spoil: Callable[[Path], None], sentence: str) -> None:
    root = image_folder()
    spoil(root)
    with pytest.raises(ValueError, match=sentence):
        read(root)


def encoded(image: Image.Image, kind: str) -> bytes:
    content = io.BytesIO()
    image.save(content, kind)
    return content.getvalue()


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
def test_every_kind_of_image_becomes_rgb(image: Image.Image, kind: str, expected: tuple[int, ...]) -> None:
    pixels = decode(encoded(image, kind), 8, Path("x"))
    assert pixels.shape == (8, 8, 3)
    assert np.abs(pixels.astype(int) - expected).max() <= 2


def test_a_decompression_bomb_is_refused() -> None:
    content = encoded(Image.new("1", (9000, 9000)), "PNG")
    assert len(content) < 100_000
    with pytest.raises(ValueError, match="pixels are too many"):
        decode(content, 8, Path("bomb.png"))


# -- the cache --------------------------------------------------------------------------------


def test_a_second_load_decodes_nothing(image_folder: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    root = image_folder()
    first = read(root)
    monkeypatch.setattr(cache, "_build", lambda *_: pytest.fail("decoded again"))
    second = read(root)
    assert (second.train_images == first.train_images).all()
    assert isinstance(second.train_images, np.memmap)


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


def test_two_builds_at_once_make_one_cache(image_folder: Maker, tmp_path: Path) -> None:
    root = image_folder(train=100)
    program = (
        "from ablate.config import DataConfig; from ablate.data import load\n"
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


def test_a_cache_that_cannot_be_written_says_so(image_folder: Maker, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ValueError, match=r"data\.cache=DIR"):
        load_cached(DataConfig(name="folder", size=16, path=str(image_folder()), cache=str(tmp_path / "file")))


# -- Tiny ImageNet ----------------------------------------------------------------------------


@pytest.fixture
def tiny_imagenet(tmp_path: Path) -> Path:
    root = tmp_path / "tiny-imagenet-200"
    draw = np.random.default_rng(0)
    lines = []
    (root / "val" / "images").mkdir(parents=True)
    for wnid in ("n02", "n01"):
        (root / "train" / wnid / "images").mkdir(parents=True)
        (root / "train" / wnid / f"{wnid}_boxes.txt").write_text("boxes")
        for i in range(3):
            pixels = draw.integers(0, 256, (64, 64, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / "train" / wnid / "images" / f"{wnid}_{i}.JPEG")
        Image.new("L", (64, 64), 7).save(root / "val" / "images" / f"val_{wnid}.JPEG")
        lines.append(f"val_{wnid}.JPEG\t{wnid}\t0\t1\t2\t3")
    (root / "val" / "val_annotations.txt").write_text("\n".join(lines) + "\n")
    (root / "words.txt").write_text("n01\tgoldfish, Carassius auratus\nn02\ttench\n")
    return root


def test_tiny_imagenet_is_read_in_its_official_layout(tiny_imagenet: Path) -> None:
    images = read(tiny_imagenet, "tiny_imagenet", 64)
    assert images.classes == ("goldfish", "tench")
    assert images.train_labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert images.test_labels.tolist() == [0, 1]
    assert fingerprint(DataConfig(name="tiny_imagenet", size=64, path=str(tiny_imagenet.parent))) == images.fingerprint


def test_a_label_outside_the_classes_is_named(tiny_imagenet: Path) -> None:
    with open(tiny_imagenet / "val" / "val_annotations.txt", "a") as file:
        file.write("val_x.JPEG\tn99\t0\t0\t0\t0\n")
    with pytest.raises(ValueError, match=r"val_x\.JPEG the class 'n99'"):
        read(tiny_imagenet, "tiny_imagenet", 64)

"""Data sets as their publishers pack them, small."""

import shutil
from pathlib import Path

import numpy as np
from PIL import Image


def make_tiny_imagenet(folder: Path) -> Path:
    """Four classes in the official layout, with what is in the real one: grayscale, stray files, double names."""
    root = folder / "tiny-imagenet-200"
    draw = np.random.default_rng(0)
    lines = []
    (root / "val" / "images").mkdir(parents=True)
    (root / "test" / "images").mkdir(parents=True)
    for wnid in ("n02", "n01", "n04", "n03"):
        (root / "train" / wnid / "images").mkdir(parents=True)
        (root / "train" / wnid / f"{wnid}_boxes.txt").write_text("boxes")
        for i in range(3):
            pixels = draw.integers(0, 256, (64, 64, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / "train" / wnid / "images" / f"{wnid}_{i}.JPEG")
        Image.new("L", (64, 64), 7).save(root / "val" / "images" / f"val_{wnid}.JPEG")
        lines.append(f"val_{wnid}.JPEG\t{wnid}\t0\t1\t2\t3")
    Image.new("L", (64, 64), 9).save(root / "train" / "n02" / "images" / "n02_0.JPEG")
    Image.new("RGB", (64, 64)).save(root / "test" / "images" / "test_0.JPEG")
    (root / "train" / ".DS_Store").write_bytes(b"x")
    (root / "train" / "n01" / "images" / "Thumbs.db").write_bytes(b"x")
    (root / "val" / "val_annotations.txt").write_text("\n".join(lines) + "\n")
    (root / "wnids.txt").write_text("n02\nn01\nn04\nn03\n")
    (root / "words.txt").write_text(
        "n00\ttench\nn01\tgoldfish, Carassius auratus\nn02\ttench\nn03\tcrane\nn04\tcrane, derrick\n"
    )
    return root


def zipped(root: Path, archive: Path) -> Path:
    return Path(shutil.make_archive(str(archive.with_suffix("")), "zip", root.parent, root.name))


def fashion_files() -> dict[str, bytes]:
    """Four images in the format of Fashion-MNIST."""
    pixels = np.random.default_rng(4).integers(1, 256, (4, 28, 28), dtype=np.uint8)
    images = b"\0\0\x08\x03" + np.array([4, 28, 28], ">i4").tobytes() + pixels.tobytes()
    labels = b"\0\0\x08\x01" + np.array([4], ">i4").tobytes() + bytes([9, 0, 1, 2])
    return {
        f"{part}-{what}-ubyte": content
        for part in ("train", "t10k")
        for what, content in (("images-idx3", images), ("labels-idx1", labels))
    }

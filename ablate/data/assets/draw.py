"""Draw the embedded data set from the original Fashion-MNIST files.

    python ablate/data/assets/draw.py FOLDER_WITH_THE_FOUR_GZ_FILES

The first 400 training and the first 100 test images of each class, in file order: a rule
that needs no random generator, so anyone can draw the same subset again.
"""

import gzip
import sys
from pathlib import Path

import numpy as np

PER_CLASS = {"train": 400, "t10k": 100}


def read_idx(path: Path) -> np.ndarray:
    """Read one gzipped IDX file of unsigned bytes (magic, one size per dimension, values)."""
    raw = gzip.decompress(path.read_bytes())
    dimensions = raw[3]
    shape = np.frombuffer(raw, ">u4", count=dimensions, offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def draw(folder: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the chosen images (N, 28, 28) uint8 and labels (N,) uint8 of one part."""
    images = read_idx(folder / f"{part}-images-idx3-ubyte.gz")
    labels = read_idx(folder / f"{part}-labels-idx1-ubyte.gz")
    chosen = np.concatenate([np.flatnonzero(labels == c)[: PER_CLASS[part]] for c in range(10)])
    chosen.sort()
    return images[chosen], labels[chosen]


if __name__ == "__main__":
    source = Path(sys.argv[1])
    train_images, train_labels = draw(source, "train")
    test_images, test_labels = draw(source, "t10k")
    np.savez_compressed(
        Path(__file__).with_name("fashion_mnist_5000.npz"),
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
    )

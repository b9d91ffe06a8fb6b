"""The data sets: images as uint8 arrays, and the holdout that is cut from them."""

from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from ablate.config.schema import DataConfig
from ablate.config.signature import file_sha256
from ablate.data import split
from ablate.data.cache import Images, load_cached
from ablate.data.pictures.decode import RULES
from ablate.data.sources import padded_rgb
from ablate.data.split import Share

EMBEDDED = "fashion_mnist_5000.npz"
EMBEDDED_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip

Index = NDArray[np.intp]


def load(config: DataConfig, rules: int = RULES) -> Images:
    """Return the images of a data set, decoding them first if no cache holds them.

    `rules` are those of listing and decoding; those of an earlier version bring back what its runs saw. Raises
    ValueError, naming the file or folder, for anything that cannot be used as it is.
    """
    if config.name == "embedded":
        return _load_embedded()
    return load_cached(config, rules)


def fingerprint(config: DataConfig) -> str:
    """The hash of a data set's content (not of where it lies). Raises ValueError like load."""
    return load(config).fingerprint


def holdout_split(images: Images, config: DataConfig) -> tuple[Index, Index]:
    """Split the training images into (train, holdout), as sorted indices.

    The holdout is what the data set names as such, else the share `data.holdout` of every class, where images of one
    group stay together. Raises ValueError, naming the class, where that leaves nothing on one side.
    """
    labels, held = images.train_labels, images.held
    if held is None:
        ranks = split.ranks(f"{config.split_seed}/{i}" for i in range(len(labels)))
        held = split.cut(labels, ranks, images.groups, Share(config.holdout, images.classes, "the holdout"))
    return np.flatnonzero(~held), np.flatnonzero(held)


def _load_embedded() -> Images:
    path = files("ablate.data") / "assets" / EMBEDDED
    with np.load(str(path)) as arrays:
        return Images(
            classes=EMBEDDED_CLASSES,
            train_images=padded_rgb(arrays["train_images"]),
            train_labels=arrays["train_labels"].astype(np.int64),
            test_images=padded_rgb(arrays["test_images"]),
            test_labels=arrays["test_labels"].astype(np.int64),
            fingerprint=file_sha256(str(path)),
        )

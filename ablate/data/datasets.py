"""The data sets: images as uint8 arrays, and the holdout that is cut from them."""

import hashlib
from importlib.resources import files

import numpy as np

from ablate.config.schema import DataConfig
from ablate.config.signature import file_sha256
from ablate.data.cache import Images, load_cached
from ablate.data.sources import padded_rgb

EMBEDDED = "fashion_mnist_5000.npz"
EMBEDDED_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip


def load(config: DataConfig) -> Images:
    """Return the images of a data set, decoding them first if no cache holds them.

    Raises ValueError, naming the file or folder, for anything that cannot be used as it is.
    """
    if config.name == "embedded":
        return _load_embedded()
    return load_cached(config)


def fingerprint(config: DataConfig) -> str:
    """The hash of a data set's content (not of where it lies). Raises ValueError like load."""
    return load(config).fingerprint


def holdout_split(labels: np.ndarray, share: float, split_seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split training indices into (train, holdout), the same share of every class, sorted.

    Images are ranked by a hash of their index, so that no library's random generator, which may
    change between versions, decides what is held out. Raises ValueError for a class too small.
    """
    rank = np.array(
        [int.from_bytes(hashlib.sha256(f"{split_seed}/{i}".encode()).digest()[:8], "big") for i in range(len(labels))],
        dtype=np.uint64,
    )
    held = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        count = max(1, round(share * len(members)))
        if count >= len(members):
            raise ValueError(
                f"class {label} has {len(members)} training images, too few to hold out {share:.0%} "
                "and train on the rest; add images or lower data.holdout"
            )
        held[members[np.argsort(rank[members])[:count]]] = True
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

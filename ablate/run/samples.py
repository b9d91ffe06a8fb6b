"""Some test images that a run leaves, to be shown with what it predicts of them."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ablate.data.cache import Images
from ablate.records import files
from ablate.records.run_folder import RunFolder

SHOWN, SIDE = 12, 64  # images, and pixels of their longer side


def choose(right: NDArray[np.bool_], count: int = 24) -> NDArray[np.intp]:
    """Indices into a test set, right ones first: half and half where there are enough, spread evenly over the set."""
    hits, misses = np.flatnonzero(right), np.flatnonzero(~right)
    wrong = min(len(misses), max(count // 2, count - len(hits)))
    return np.concatenate([spread(hits, min(len(hits), count - wrong)), spread(misses, wrong)])


def spread(index: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    """`count` of some indices, evenly over them."""
    return index[np.arange(count) * len(index) // max(count, 1)]


def save(folder: RunFolder, images: Images, right: NDArray[np.bool_]) -> None:
    """Write samples.npz: the indices of some test images, and their pixels (N, H, W, 3) uint8, small enough to keep.

    right: (N,) of the test set, whether each was classified right.
    """
    some = choose(right, SHOWN)
    kept = []
    for image in images.test_images[np.sort(some)]:
        small = Image.fromarray(image)
        small.thumbnail((SIDE, SIDE))
        kept.append(np.asarray(small))
    content = io.BytesIO()
    np.savez_compressed(content, index=np.sort(some), images=np.array(kept))
    files.write_bytes(folder.samples, content.getvalue())

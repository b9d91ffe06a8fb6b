"""Which images are held back, of a training set for the holdout or of a whole data set for the test set.

Images are ranked by a hash, so that no library's random generator, which may change between versions, has a say.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


def ranks(names: Iterable[str]) -> NDArray[np.uint64]:
    """A number for each name that looks drawn at random, and is always the same."""
    digests = (hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest() for name in names)
    return np.array([int.from_bytes(digest[:8], "big") for digest in digests], dtype=np.uint64)


@dataclass(frozen=True)
class Share:
    """How much of every class is held back, and for what."""

    of_each: float
    classes: Sequence[str]
    purpose: str


def cut(
    labels: NDArray[np.int64], rank: NDArray[np.uint64], groups: NDArray[np.int64] | None, share: Share
) -> NDArray[np.bool_]:
    """Mark the share of every class that is held back: at least one image, and never all.

    labels (N,), rank (N,): the lowest are held back. Images of one group, by its number (N,), stay together. Raises
    ValueError, naming the class, where nothing would be left on one side.
    """
    counts = np.bincount(labels, minlength=len(share.classes))
    wanted = np.maximum(1, np.round(share.of_each * counts)).astype(int)
    for few in map(int, np.flatnonzero((counts > 0) & (wanted >= counts))):
        has = "1 training image" if counts[few] == 1 else f"{counts[few]} training images"
        out = "add a second one or remove the class" if counts[few] == 1 else "add images or lower the share"
        raise ValueError(
            f"class {share.classes[few]} has {has} and {share.purpose} needs {wanted[few]}, so none is left to train "
            f"on; {out}"
        )
    if groups is not None:
        return _whole_groups(labels, rank, groups, wanted, share)
    held = np.zeros(len(labels), dtype=bool)
    for label in np.flatnonzero(counts):
        members = np.flatnonzero(labels == label)
        held[members[np.argsort(rank[members])[: wanted[label]]]] = True
    return held


def _whole_groups(
    labels: NDArray[np.int64],
    rank: NDArray[np.uint64],
    groups: NDArray[np.int64],
    wanted: NDArray[np.int_],
    share: Share,
) -> NDArray[np.bool_]:
    """Mark whole groups, in the order of their first image's rank, each that brings the classes closer to their share;
    then one more for each class that has none."""
    members = {group: np.flatnonzero(groups == group) for group in np.unique(groups)}
    counts = {group: np.bincount(labels[index], minlength=len(share.classes)) for group, index in members.items()}
    total, held = sum(counts.values()), np.zeros(len(share.classes), dtype=int)
    order, taken = sorted(members, key=lambda group: rank[members[group][0]]), set()
    for group in order:
        after = held + counts[group]
        closer = np.abs(wanted - after).sum() < np.abs(wanted - held).sum()
        if closer and not np.any((after == total) & (counts[group] > 0)):
            taken.add(group)
            held = after
    for label in map(int, np.flatnonzero((total > 0) & (held == 0))):
        for group in order:
            after = held + counts[group]
            if group not in taken and counts[group][label] and not np.any((after == total) & (counts[group] > 0)):
                taken.add(group)
                held = after
                break
        else:
            raise ValueError(
                f"the groups of class {share.classes[label]} cannot be split into some for training and some for "
                f"{share.purpose}; it needs pictures of more groups"
            )
    return np.isin(groups, sorted(taken))

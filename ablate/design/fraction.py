"""A fraction of a grid that still estimates every main effect: which combinations, and what they cannot separate.

Chosen by D-optimality, the exchange of single coordinates of Meyer and Nachtsheim (Technometrics 37, 1995): from a
start, each level of each combination in turn becomes the one that raises the determinant of the main effects'
information most, until none does. It takes axes of 2 to 9 levels mixed and any number of combinations, leaves out what
is excluded, and adds to combinations that are there: no regular fraction (of 2 levels) and no generalised subset design
(Surowiec et al., Anal. Chem. 89, 2017) can do all that; pyDOE3 has both. The starts are hashes, not random numbers, so
that the same command always draws the same fraction. A combination is a tuple of its levels' indices.
"""

import hashlib
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

Row = tuple[int, ...]
SPARE = 6  # degrees of freedom beyond the main effects, from which an error can be estimated even with one seed
GOOD = 0.8  # of the precision of a balanced orthogonal design, for the worst pair of levels of every axis
RIDGE = 1e-8  # makes the information of too few combinations invertible, and every new direction welcome
FEW = 4096  # a grid that is listed rather than searched


def contrasts(levels: int) -> np.ndarray:
    """Orthogonal contrasts of an axis (levels, levels - 1); over levels in equal shares each has mean square 1."""
    table = np.zeros((levels, levels - 1))
    for k in range(1, levels):  # Helmert: level k against the mean of those before it
        table[:k, k - 1], table[k, k - 1] = -1, k
    scaled: np.ndarray = table / np.sqrt((table**2).mean(axis=0))
    return scaled


def model(sizes: Sequence[int], rows: Sequence[Row]) -> np.ndarray:
    """The main effects' model matrix: a column of ones, then the contrasts of each axis."""
    index = np.array(rows, dtype=int).reshape(len(rows), len(sizes))
    return np.hstack([np.ones((len(rows), 1)), *(contrasts(n)[index[:, axis]] for axis, n in enumerate(sizes))])


def effects(sizes: Sequence[int]) -> int:
    """How many numbers the main effects are, the mean included."""
    return 1 + sum(n - 1 for n in sizes)


def columns(sizes: Sequence[int], axis: int) -> slice:
    first = 1 + sum(n - 1 for n in sizes[:axis])
    return slice(first, first + sizes[axis] - 1)


def not_estimable(sizes: Sequence[int], rows: Sequence[Row]) -> list[int]:
    """The axes whose main effects the combinations do not determine, by the rank of the model matrix."""
    x = model(sizes, rows)
    rank = np.linalg.matrix_rank(x)
    axes = range(len(sizes))
    without = {axis: np.delete(x, columns(sizes, axis), axis=1) for axis in axes}
    return [axis for axis in axes if rank - np.linalg.matrix_rank(without[axis]) < sizes[axis] - 1]


def worst_variance(sizes: Sequence[int], x: np.ndarray, axis: int) -> float:
    """The largest variance of a difference between two of an axis's levels, in units of one run's."""
    covariance = np.linalg.pinv(x.T @ x)[columns(sizes, axis), columns(sizes, axis)]
    pairs = [a - b for a, b in itertools.combinations(contrasts(sizes[axis]), 2)]
    return max(float(pair @ covariance @ pair) for pair in pairs)


def aliases(sizes: Sequence[int], rows: Sequence[Row]) -> list[dict[tuple[int, int], float]]:
    """For each axis, how far its main effect is confounded with each two-way interaction: 1 is fully, left out is not.

    The alias matrix of Box and Wilson; per pair of axes its largest singular value, which is the bias of the main
    effect, as a mean square over its levels, that an interaction of mean square 1 can cause.
    """
    x = model(sizes, rows)
    inverse = np.linalg.pinv(x)
    found: list[dict[tuple[int, int], float]] = [{} for _ in sizes]
    for a, b in itertools.combinations(range(len(sizes)), 2):
        left, right = x[:, columns(sizes, a)], x[:, columns(sizes, b)]
        products = (left[:, :, None] * right[:, None, :]).reshape(len(rows), -1)
        bias = inverse @ products
        for axis in range(len(sizes)):
            strength = float(np.linalg.norm(bias[columns(sizes, axis)], 2))
            if strength > 1e-6:
                found[axis][a, b] = round(strength, 2)
    return found


def choose(sizes: Sequence[int], kept: Sequence[Row], fits: Callable[[Row], bool], wanted: int | None) -> list[Row]:
    """The combinations of a fraction: those `kept` from earlier, and as many more as it takes, or as are `wanted`.

    Enough is when every main effect can be estimated, with SPARE more combinations than effects, and GOOD precision.
    Raises ValueError when the combinations that fit cannot do it, or are fewer than wanted.
    """
    whole = math.prod(sizes)
    least = min(effects(sizes) + SPARE, whole)
    if wanted is not None and wanted < effects(sizes):
        raise ValueError(f"study.cells={wanted} is too few: the mean and the main effects are {effects(sizes)} numbers")
    listed = [row for row in itertools.product(*map(range, sizes)) if fits(row)] if whole <= FEW else None
    there = len(listed) if listed is not None else whole
    if wanted is not None and wanted > there:
        raise ValueError(f"study.cells={wanted} is more than the {there} combinations that there are")
    if listed is not None and not_estimable(sizes, listed):
        return listed  # no fraction can estimate what all of them cannot
    most = max(len(kept), min(there, 4 * least))
    limit = [2 * n / least / GOOD for n in sizes]
    count = max(len(kept), wanted or min(least, there))
    while True:
        rows = list(listed) if listed is not None and count >= there else _best(Grid(sizes, fits, listed), kept, count)
        x = model(sizes, rows)
        good = all(worst_variance(sizes, x, axis) <= limit[axis] for axis in range(len(sizes)))
        if wanted or count >= most or (good and not not_estimable(sizes, rows)):
            return rows
        count += max(1, effects(sizes) // 16)  # one by one would take long where there are many


@dataclass(frozen=True)
class Grid:
    """What combinations may be chosen from: the axes' sizes, those that fit, and all of them where they are listed."""

    sizes: Sequence[int]
    fits: Callable[[Row], bool]
    listed: list[Row] | None


def _best(grid: Grid, kept: Sequence[Row], count: int) -> list[Row]:
    """The best of a few starts: the largest determinant, then the least aliasing, then the first."""
    if count <= len(kept):
        return list(kept)
    found = []
    for start in range(max(1, 120 // effects(grid.sizes))):
        rows = _exchange(grid, kept, _start(grid, kept, count, start))
        x = model(grid.sizes, rows)
        _, size = np.linalg.slogdet(x.T @ x + RIDGE * np.eye(x.shape[1]))
        mixed = sum(strength**2 for terms in aliases(grid.sizes, rows) for strength in terms.values())
        found.append((-round(float(size), 6), round(mixed, 6), start, rows))
    return min(found)[3]


def _start(grid: Grid, kept: Sequence[Row], count: int, start: int) -> list[Row]:
    taken = dict.fromkeys(kept)
    if grid.listed is not None:
        stream: Iterator[Row] = iter(sorted(grid.listed, key=lambda row: _hash(f"{start}/{row}")))
    else:
        sizes = grid.sizes
        stream = (tuple(_hash(f"{start}/{i}/{axis}") % n for axis, n in enumerate(sizes)) for i in range(1000 * count))
    new: dict[Row, None] = {}
    for row in stream:
        if len(taken) + len(new) == count:
            break
        if row not in taken and grid.fits(row):
            new[row] = None
    return list(new)


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def _exchange(grid: Grid, kept: Sequence[Row], new: list[Row]) -> list[Row]:
    sizes, fits = grid.sizes, grid.fits
    rows = [*kept, *new]
    taken = set(rows)
    x = model(sizes, rows)
    improved = True
    while improved:
        improved = False
        for i in range(len(kept), len(rows)):
            rest = x.T @ x - np.outer(x[i], x[i]) + RIDGE * np.eye(x.shape[1])
            inverse = np.linalg.inv(rest)
            for axis, n in enumerate(sizes):
                others = [(*rows[i][:axis], level, *rows[i][axis + 1 :]) for level in range(n)]
                candidates = model(sizes, others)
                gains = ((candidates @ inverse) * candidates).sum(axis=1)
                best = rows[i][axis]
                for level in range(n):
                    # By a margin, so that rounding, which differs between machines, decides nothing.
                    if gains[level] > gains[best] * (1 + 1e-7) and others[level] not in taken and fits(others[level]):
                        best = level
                if best != rows[i][axis]:
                    taken.remove(rows[i])
                    rows[i] = others[best]
                    taken.add(rows[i])
                    x[i] = candidates[best]
                    improved = True
    return [*kept, *sorted(rows[len(kept) :])]

"""A fraction of a grid that still estimates every main effect: which combinations, and what they cannot separate.

Chosen by D-optimality, the exchange of single coordinates of Meyer and Nachtsheim (Technometrics 37, 1995): from a
start, each level of each combination in turn becomes the one that raises the determinant of the information most, until
none does, with two-way interactions as terms that may be there, so that main effects stay clear of them. It takes axes
of 2 to 9 levels mixed and any number of combinations, leaves out what is excluded, and adds to combinations that are
there: no regular fraction (of 2 levels) and no generalised subset design (Surowiec et al., Anal. Chem. 89, 2017) can do
all that; pyDOE3 has both. The starts are hashes, not random numbers, so that the same command always draws the same
fraction. A combination is a tuple of its levels' indices.
"""

import hashlib
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

Row = tuple[int, ...]
SPARE = 6  # degrees of freedom beyond the main effects, from which an error can be estimated even with one seed
GOOD = 0.8  # of the precision of a balanced orthogonal design, for the worst pair of levels of every axis
RIDGE = 1e-8  # makes the information of too few combinations invertible, and every new direction welcome
CLEAR = 0.2  # of a two-way interaction, up to which a main effect counts as clear of it
LITTLE = 0.005  # of an interaction, which is none
PASSES = 30
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
            if strength >= LITTLE:
                found[axis][a, b] = round(strength, 2)
    return found


def extended(sizes: Sequence[int], rows: Sequence[Row]) -> np.ndarray:
    """The main effects' model matrix with a column for each product of two axes' contrasts behind it."""
    x = model(sizes, rows)
    return np.hstack([x, *(products(sizes, x, pair) for pair in itertools.combinations(range(len(sizes)), 2))])


def products(sizes: Sequence[int], x: np.ndarray, pair: tuple[int, int]) -> np.ndarray:
    """The columns of one two-way interaction, from the main effects' model matrix."""
    left, right = (x[:, columns(sizes, axis)] for axis in pair)
    return np.asarray((left[:, :, None] * right[:, None, :]).reshape(len(x), -1))


def separable(sizes: Sequence[int], rows: Sequence[Row]) -> list[tuple[int, int]]:
    """The two-way interactions that can be separated from the main effects and from every other one."""
    x = model(sizes, rows)
    terms = {pair: products(sizes, x, pair) for pair in itertools.combinations(range(len(sizes)), 2)}
    rank = np.linalg.matrix_rank(np.hstack([x, *terms.values()]))
    found = []
    for pair, own in terms.items():
        rest = np.hstack([x, *(other for name, other in terms.items() if name != pair)])
        if rank - np.linalg.matrix_rank(rest) == own.shape[1]:
            found.append(pair)
    return found


def choose(sizes: Sequence[int], kept: Sequence[Row], fits: Callable[[Row], bool], wanted: int | None) -> list[Row]:
    """The combinations of a fraction: those `kept` from earlier, and as many more as it takes, or as are `wanted`.

    Enough is when every main effect can be estimated with GOOD precision and SPARE more combinations than effects, and
    is clear of two-way interactions: confounded with none by more than CLEAR, or, where mixed numbers of levels do not
    allow that, with twice as many combinations. Combinations that were enough without the last are not added to.
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
    if wanted is None and len(kept) >= least and _is_precise(sizes, kept, least):
        return list(kept)
    grid = Grid(sizes, fits, listed)
    twice, most = (max(len(kept), min(there, times * least)) for times in (2, 4))
    count = max(len(kept), wanted or min(least, there))
    while True:
        rows = list(listed) if listed is not None and count >= there else _best(grid, kept, count)
        if wanted or count >= most:
            return rows
        if _is_precise(sizes, rows, least) and (count >= twice or worst_alias(sizes, rows) <= CLEAR):
            return rows
        count = min(count + max(1, least // 6), most if count >= twice else twice)


def worst_alias(sizes: Sequence[int], rows: Sequence[Row]) -> float:
    """The largest share of any two-way interaction with which a main effect is confounded."""
    return max((share for terms in aliases(sizes, rows) for share in terms.values()), default=0.0)


def _is_precise(sizes: Sequence[int], rows: Sequence[Row], least: int) -> bool:
    x = model(sizes, rows)
    good = all(worst_variance(sizes, x, axis) <= 2 * n / least / GOOD for axis, n in enumerate(sizes))
    return good and not not_estimable(sizes, rows)


@dataclass(frozen=True)
class Grid:
    """What combinations may be chosen from: the axes' sizes, those that fit, and all of them where they are listed."""

    sizes: Sequence[int]
    fits: Callable[[Row], bool]
    listed: list[Row] | None
    seen: dict[Row, np.ndarray] = field(default_factory=dict)

    def vectors(self, rows: Sequence[Row]) -> np.ndarray:
        """`extended` of some combinations, each computed once."""
        if new := [row for row in rows if row not in self.seen]:
            self.seen.update(zip(new, extended(self.sizes, new), strict=True))
        return np.array([self.seen[row] for row in rows])


def _best(grid: Grid, kept: Sequence[Row], count: int) -> list[Row]:
    """The best of a few starts: the least aliasing, then the largest determinant, then the first."""
    if count <= len(kept):
        return list(kept)
    found = []
    for start in range(max(2, 120 // effects(grid.sizes))):
        rows = _exchange(grid, kept, _start(grid, kept, count, start))
        if start == 0:
            rows = _folded(grid, kept, count) or rows
        x = model(grid.sizes, rows)
        lost = len(not_estimable(grid.sizes, rows))
        _, size = np.linalg.slogdet(x.T @ x + RIDGE * np.eye(x.shape[1]))
        mixed = sum(strength**2 for terms in aliases(grid.sizes, rows) for strength in terms.values())
        found.append((lost, round(mixed, 6), -round(float(size), 6), start, rows))
    return min(found)[4]


def _folded(grid: Grid, kept: Sequence[Row], count: int) -> list[Row]:
    """Half as many combinations and their mirror images, which keep main effects of two levels clear of every two-way
    interaction (Box and Wilson, J. R. Stat. Soc. B 13, 1951); [] where there is no such set."""
    if kept or count % 2 or set(grid.sizes) != {2}:
        return []
    found = []
    for start in range(8):
        half = _exchange(grid, [], _start(grid, [], count // 2, start), alone=True)
        rows = dict.fromkeys([*half, *(tuple(1 - level for level in row) for row in half)])
        if len(rows) == count and all(map(grid.fits, rows)):
            x = model(grid.sizes, list(rows))
            found.append((-round(float(np.linalg.slogdet(x.T @ x + RIDGE * np.eye(x.shape[1]))[1]), 6), sorted(rows)))
    return min(found)[1] if found else []


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


def _exchange(grid: Grid, kept: Sequence[Row], new: list[Row], alone: bool = False) -> list[Row]:
    """Row by row and axis by axis the level that raises the determinant most, until none does.

    Two-way interactions are in the model as terms that are likely to be small (a prior variance of 1, as a main effect
    of that mean square), so that main effects stay apart from them: Bayesian D-optimality (DuMouchel and Jones,
    Technometrics 36, 1994). With `alone`, main effects are all there is.
    """
    sizes, fits = grid.sizes, grid.fits
    rows = [*kept, *new]
    taken = set(rows)
    width = effects(sizes) if alone else None
    x = grid.vectors(rows)[:, :width]
    prior = np.concatenate([np.full(effects(sizes), RIDGE), np.ones(x.shape[1] - effects(sizes))])
    for _ in range(PASSES):
        improved = False
        inverse = np.linalg.inv(x.T @ x + np.diag(prior))
        for i in range(len(kept), len(rows)):
            inverse = _without(inverse, x, i, prior)
            for axis, n in enumerate(sizes):
                others = [(*rows[i][:axis], level, *rows[i][axis + 1 :]) for level in range(n)]
                candidates = grid.vectors(others)[:, :width]
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
            pull = inverse @ x[i]
            inverse = inverse - np.outer(pull, pull) / (1 + x[i] @ pull)
        if not improved:
            break
    return [*kept, *sorted(rows[len(kept) :])]


def _without(inverse: np.ndarray, x: np.ndarray, i: int, prior: np.ndarray) -> np.ndarray:
    """The inverse of the information without a row (Sherman and Morrison); anew where the row is all there is of it."""
    pull = inverse @ x[i]
    left = 1 - x[i] @ pull
    if left < 1e-4:
        rest = np.delete(x, i, axis=0)
        return np.asarray(np.linalg.inv(rest.T @ rest + np.diag(prior)))
    return np.asarray(inverse + np.outer(pull, pull) / left)

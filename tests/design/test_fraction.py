"""Fractions: what each can tell, by its own model matrix; they are added to and never redrawn."""

import itertools
import math

import numpy as np
import pytest

from ablate.design import fraction
from ablate.design.fraction import Row


def anything(row: Row) -> bool:
    return True


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [(2, 2), (2,) * 7, (3, 2, 3, 2, 3, 2, 2), (3,) * 7, (9, 2, 4, 4, 2)])
def test_a_fraction_tells_every_main_effect_nearly_as_well_as_a_balanced_design(sizes: tuple[int, ...]) -> None:
    rows = fraction.choose(sizes, [], anything, None)
    assert len(set(rows)) == len(rows) <= min(math.prod(sizes), 2 * (fraction.effects(sizes) + fraction.SPARE))
    assert fraction.not_estimable(sizes, rows) == []
    least = min(fraction.effects(sizes) + fraction.SPARE, math.prod(sizes))
    for axis, n in enumerate(sizes):
        worst = fraction.worst_variance(sizes, fraction.model(sizes, rows), axis)
        assert worst <= 2 * n / least / fraction.GOOD + 1e-9
    assert fraction.choose(sizes, [], anything, None) == rows  # nothing is drawn


def test_a_fraction_that_leaves_an_effect_out_is_found_out() -> None:
    rows = [(0, 0, 0), (1, 1, 0), (0, 0, 1), (1, 1, 1)]  # the first two always change together
    assert fraction.not_estimable((2, 2, 2), rows) == [0, 1]
    assert fraction.not_estimable((2, 2, 2), [*rows, (0, 1, 0)]) == []


def test_aliases_are_those_of_the_textbook() -> None:
    """2^(3-1) with C = AB (Box, Hunter and Hunter): each main effect is one two-way interaction; the full grid is clear."""
    half = [(a, b, 1 - (a ^ b)) for a, b in itertools.product((0, 1), repeat=2)]
    assert fraction.aliases((2, 2, 2), half) == [{(1, 2): 1.0}, {(0, 2): 1.0}, {(0, 1): 1.0}]
    assert fraction.aliases((2, 3, 2), list(itertools.product(range(2), range(3), range(2)))) == [{}, {}, {}]
    # 2^(4-1) with D = ABC is of resolution IV: clear of every two-way interaction.
    four = [(a, b, c, a ^ b ^ c) for a, b, c in itertools.product((0, 1), repeat=3)]
    assert fraction.aliases((2,) * 4, four) == [{}] * 4


def test_an_alias_is_the_bias_that_least_squares_shows() -> None:
    sizes = (2, 3, 2)
    rows = fraction.choose(sizes, [], anything, 7)
    index = np.array(rows)
    interaction = fraction.contrasts(2)[index[:, 0], 0] * fraction.contrasts(2)[index[:, 2], 0]
    fitted = np.linalg.lstsq(fraction.model(sizes, rows), interaction, rcond=None)[0]
    for axis in range(3):
        bias = float(np.linalg.norm(fitted[fraction.columns(sizes, axis)]))
        assert fraction.aliases(sizes, rows)[axis].get((0, 2), 0.0) == pytest.approx(bias, abs=0.005)


def test_levels_added_later_extend_the_fraction_and_keep_what_is_there() -> None:
    first = fraction.choose((3, 2, 3, 2, 2), [], anything, None)
    more = fraction.choose((4, 2, 3, 2, 2), first, anything, None)
    assert more[: len(first)] == first
    assert len(first) < len(more) < 2 * len(first)
    assert fraction.not_estimable((4, 2, 3, 2, 2), more) == []
    assert fraction.not_estimable((4, 2, 3, 2, 2), first) == [0]
    assert fraction.choose((4, 2, 3, 2, 2), more, anything, None) == more


def test_a_number_that_cannot_be_had_is_refused() -> None:
    with pytest.raises(ValueError, match=r"study\.cells=3 is too few.* 4 numbers"):
        fraction.choose((2, 2, 2), [], anything, 3)
    with pytest.raises(ValueError, match="more than the 7 combinations"):
        fraction.choose((2, 2, 2), [], lambda row: row != (0, 0, 0), 8)


def test_no_combination_that_does_not_fit_is_chosen() -> None:
    def fits(row: Row) -> bool:
        return row[:2] != (2, 1)

    assert all(fits(row) for row in fraction.choose((3, 2, 3, 2, 2), [], fits, None))
    assert not all(fits(row) for row in fraction.choose((3, 2, 3, 2, 2), [], anything, None))

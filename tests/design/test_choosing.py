"""The rule by which tuned values are chosen."""

import pytest

from ablate.design.choosing import choose


@pytest.mark.parametrize(
    ("scores", "less_is_better", "chosen"),
    [
        ([[0.5], [0.7], [0.6]], False, 1),
        ([[0.5], [0.7], [0.6]], True, 0),
        ([[0.5, 0.9], [0.8, 0.8]], False, 1),  # the mean over tuning seeds, not the best run
        ([[0.7], [0.7]], False, 0),  # of equals the first
        ([[0.7], [0.7]], True, 0),
        ([[None], [0.1]], False, 1),  # without a result it loses
        ([[0.9, None], [0.5, 0.5]], False, 1),  # which lacks one loses to which lacks none
        ([[0.2, None], [0.5, None]], False, 1),
        ([[None], [None]], False, None),
        ([], False, None),
    ],
)
def test_the_trial_with_the_best_mean_is_chosen(
    scores: list[list[float | None]], less_is_better: bool, chosen: int | None
) -> None:
    assert choose(scores, less_is_better=less_is_better) == chosen

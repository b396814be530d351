"""The arithmetic of comparisons: medians, their intervals, and verdicts."""

import math
import random

import pytest

from tests.benchmarks.goals import Figure
from tests.benchmarks.ratios import BETTER, SURE, UNDECIDED, WORSE, Ratios, added_ratios, quartiles, ratios, verdict

STEADY = Ratios((1.0,) * 10)


def around(middle: float, spread: float = 0.01) -> Ratios:
    """Return ten ratios, evenly spread."""
    return Ratios(tuple(middle + spread * (number - 4.5) for number in range(10)))


def test_ratio_is_the_median_of_the_rounds_ratios() -> None:
    found = ratios([1, 2, 30], [2, 2, 10])

    assert found.values == (0.5, 1, 3)
    assert found.median == 1


def test_added_ratio_leaves_out_what_the_provider_takes() -> None:
    found = added_ratios([3, 5], [2, 2], [1, 3])

    assert found.values == (2, math.inf)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param([7], (7, 7), id="one"),
        pytest.param([3, 1, 2, 5, 4], (2, 4), id="five"),
        pytest.param(range(1, 11), (3, 8), id="ten"),
        pytest.param([1, 2, math.inf, math.inf], (2, math.inf), id="infinite"),
    ],
)
def test_quartiles_are_values_as_far_from_both_ends(values: list[float], expected: tuple[float, float]) -> None:
    assert quartiles(values) == expected


@pytest.mark.parametrize(
    ("rounds", "expected"),
    [
        pytest.param(5, None, id="5 are too few"),
        pytest.param(6, (1, 6), id="6"),
        pytest.param(8, (1, 8), id="8"),
        pytest.param(9, (2, 8), id="9"),
        pytest.param(10, (2, 9), id="10"),
        pytest.param(20, (6, 15), id="20"),  # as in tables of the sign test
    ],
)
def test_interval_is_that_of_the_sign_test(rounds: int, expected: tuple[float, float] | None) -> None:
    assert Ratios(tuple(range(1, rounds + 1))).interval == expected


def test_interval_encloses_the_true_median_as_often_as_it_says() -> None:
    chance = random.Random(7)  # noqa: S311
    trials = 2_000
    enclosed = 0

    for _ in range(trials):
        interval = Ratios(tuple(chance.lognormvariate(0, 0.3) for _ in range(12))).interval
        assert interval is not None
        enclosed += interval[0] <= 1 <= interval[1]

    assert SURE <= enclosed / trials < 0.98


@pytest.mark.parametrize(
    ("found", "itself", "expected"),
    [
        pytest.param(around(0.8), STEADY, BETTER, id="less"),
        pytest.param(around(1.2), STEADY, WORSE, id="more"),
        pytest.param(around(1.02), STEADY, UNDECIDED, id="an interval around 1"),
        pytest.param(around(0.8, spread=0.1), STEADY, UNDECIDED, id="rounds too far apart"),
        pytest.param(around(0.8), around(0.85), BETTER, id="beyond the noise"),
        pytest.param(around(0.9), around(0.85), UNDECIDED, id="within the noise"),
        pytest.param(around(1.1), around(0.85), UNDECIDED, id="within the noise, in the other direction"),
        pytest.param(around(0.8), Ratios((-1.0,) * 10), UNDECIDED, id="noise without measure"),
        pytest.param(Ratios((0.5,) * 5), Ratios((1.0,) * 5), UNDECIDED, id="too few rounds"),
    ],
)
def test_verdict_needs_a_difference_larger_than_the_noise(found: Ratios, itself: Ratios, expected: str) -> None:
    assert verdict(found, itself) == expected


def test_verdict_of_a_rate_is_the_other_way_round() -> None:
    assert verdict(around(1.2), STEADY, larger_is_better=True) == BETTER
    assert verdict(around(0.8), STEADY, larger_is_better=True) == WORSE


def test_same_code_is_seldom_called_better_or_worse() -> None:
    chance = random.Random(3)  # noqa: S311
    trials = 1_000

    def noise() -> Ratios:
        return Ratios(tuple(chance.lognormvariate(0, 0.3) for _ in range(10)))

    decided = sum(verdict(noise(), noise()) != UNDECIDED for _ in range(trials))

    assert decided / trials < 0.02


@pytest.mark.parametrize(
    ("value", "interval", "expected"),
    [
        pytest.param(0.7, None, "aim", id="aim, no interval"),
        pytest.param(0.7, (0.6, 0.74), "aim", id="aim"),
        pytest.param(0.7, (0.6, 0.8), "aim?", id="aim, perhaps"),
        pytest.param(0.8, (0.76, 0.89), "at least", id="at least"),
        pytest.param(1.0, (0.85, 1.1), "NO?", id="perhaps not"),
        pytest.param(1.0, (0.95, 1.1), "NO", id="not"),
    ],
)
def test_goal_that_lies_within_the_interval_is_in_doubt(
    value: float, interval: tuple[float, float] | None, expected: str
) -> None:
    assert Figure("CPU", value, "x", 0.9, 0.75, interval=interval).reached == expected

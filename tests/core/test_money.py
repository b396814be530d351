"""Amounts are printed exactly, alone and in a column."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hero_broker.core.money import NANO, exact_text, usd_column

AMOUNTS = st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("nano_usd", "column"),
    [
        ([], []),
        ([0], ["0.00"]),
        ([1_500_000_000, 25_970], ["1.50000000", "0.00002597"]),
        ([1_234_567_000_000_000], ["1,234,567.00"]),
        ([-25_970, NANO], ["-0.00002597", "1.00000000"]),
    ],
)
def test_column_has_as_many_places_as_its_longest_amount(nano_usd: list[int], column: list[str]) -> None:
    assert usd_column(nano_usd) == column


@given(AMOUNTS)
def test_column_is_exact_and_has_one_line_of_points(nano_usd: list[int]) -> None:
    column = usd_column(nano_usd)

    assert [Decimal(text.replace(",", "")) * NANO for text in column] == nano_usd
    assert len({len(text.partition(".")[2]) for text in column}) == 1


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        pytest.param(Fraction(0), "0", id="zero"),
        pytest.param(Fraction(1200), "1200", id="integer"),
        pytest.param(Fraction(59, 10**8), "0.00000059", id="small"),
        pytest.param(Fraction(-5, 4), "-1.25", id="negative"),
        pytest.param(Fraction(-1, 10**9), "-0.000000001", id="small and negative"),
        pytest.param(Fraction(1, 3), "1/3", id="no decimal"),
        pytest.param(Fraction(10**30 + 1, 10**15), "1000000000000000.000000000000001", id="31 digits"),
    ],
)
def test_amount_is_exact_without_an_exponent(amount: Fraction, text: str) -> None:
    assert exact_text(amount) == text

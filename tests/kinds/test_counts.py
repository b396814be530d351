"""Numbers that a provider reports are believed within bounds."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hero_broker.core.usage import MAX_UNITS
from hero_broker.kinds.counts import ImplausibleError, count, details, milliseconds
from tests.kinds.targets import NO_COUNTS


@given(value=st.integers(-10, MAX_UNITS + 10) | st.sampled_from([0, MAX_UNITS, MAX_UNITS + 1, -1]))
def test_count_is_an_integer_from_zero_to_the_maximum(value: int) -> None:
    if 0 <= value <= MAX_UNITS:
        assert count(value) == value
    else:
        with pytest.raises(ImplausibleError):
            count(value)


@pytest.mark.parametrize("value", NO_COUNTS)
def test_another_value_is_no_count(value: object) -> None:
    with pytest.raises(ImplausibleError):
        count(value, may_be_null=False)
    assert count(None) is None


@given(ms=st.integers(0, MAX_UNITS), zeros=st.integers(0, 15))
def test_duration_is_rounded_up(ms: int, zeros: int) -> None:
    seconds = Decimal(ms) / 1000

    assert milliseconds(seconds) == milliseconds(str(seconds)) == ms
    if ms > 0:
        assert milliseconds(f"{ms - 1}.{'0' * zeros}1e-3") == ms


@pytest.mark.parametrize(
    "value", [-1, MAX_UNITS, "1e999999", "1e9999999999999999999", "", "1s", "NaN", True, 1.5, None, b"1"]
)
def test_implausible_duration_is_refused(value: object) -> None:
    with pytest.raises(ImplausibleError):
        milliseconds(value)


@pytest.mark.parametrize(("value", "expected"), [({"a": 1}, {"a": 1}), ([1], {}), (None, {}), ("a", {})])
def test_details_of_another_type_are_empty(value: object, expected: dict[str, int]) -> None:
    assert details({"x": value}, "x") == expected
    assert details({}, "x") == {}

"""A price is its rates: equal rates are one price, and can be read back."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hero_broker.pricing.price import RATES, Price, RateSource

D = Decimal


def test_equal_rates_have_one_id_whatever_their_spelling_and_source() -> None:
    price = Price(input_per_million=D("0.590"), output_per_million=D("1E+1"), per_request=D("0.00"), source="a")
    same = Price(input_per_million=D("0.59"), output_per_million=D(10), per_request=D(0), source="b", version="1")

    assert price.rates == '{"input_per_million":"0.59","output_per_million":"10","per_request":"0"}'
    assert price.price_id == same.price_id
    assert price == same
    assert len(price.price_id) == 32
    assert price.price_id != Price(input_per_million=D("0.59")).price_id


@given(st.fixed_dictionaries({}, optional={name: st.decimals(0, 10**9, places=12) for name in RATES}))
def test_rates_are_read_back(rates: dict[str, Any]) -> None:
    price = Price(**rates, source="page", version="1")

    again = Price.from_rates(price.rates, source="page", version="1")

    assert again == price
    assert again.price_id == price.price_id
    assert (again.source, again.version) == ("page", "1")


def test_rates_that_a_price_lacks_come_from_the_defaults_with_their_source() -> None:
    price = Price(D(1), D(2), source="list", version="1")
    defaults = Price(output_per_million=D(9), per_image=D(3), source="page", version="2")

    completed = price.with_defaults(defaults)

    assert completed == Price(D(1), D(2), per_image=D(3))
    assert completed.source_of("per_image") == RateSource("page", "2")
    assert completed.source_of("output_per_million") == RateSource("list", "1")
    assert (completed.source, completed.version) == ("list", "1, 2")
    assert completed.with_defaults(defaults) is completed


def test_factor_changes_each_rate_exactly_and_no_minimum() -> None:
    price = Price(D("0.59"), audio_per_minute=D(1), audio_minimum_s=D(10), source="list", version="1")

    dearer = price.with_defaults(Price(per_image=D("0.02"), source="page", version="2")).times(D("1.10"))

    assert dearer == Price(D("0.649"), audio_per_minute=D("1.1"), audio_minimum_s=D(10), per_image=D("0.022"))
    assert dearer.source_of("input_per_million") == RateSource("list", "1 × 1.1")
    assert dearer.version == "1, 2 × 1.1"
    assert dearer.source_of("per_image") == RateSource("page", "2 × 1.1")


@pytest.mark.parametrize(
    ("rates", "price_id"),
    [
        ('{"input_per_million":"0.59","output_per_million":"0.79"}', "93187ebb2d6bf21d07a8e544809f3b2f"),
        (
            '{"cache_write_per_million":"3.75","cached_input_per_million":"0.3",'
            '"input_per_million":"3","output_per_million":"15"}',
            "2767f678ebff6e01ae5345a6488d6dc0",
        ),
    ],
)
def test_prices_of_existing_ledgers_keep_their_ids(rates: str, price_id: str) -> None:
    price = Price.from_rates(rates)

    assert (price.rates, price.price_id) == (rates, price_id)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        pytest.param("[]", "must be a JSON object", id="list"),
        pytest.param('{"input_per_token":"1"}', "not input_per_token", id="unknown rate"),
        pytest.param('{"input_per_million":1}', "input_per_million must be a decimal string", id="number"),
        pytest.param('{"input_per_million":"a"}', "input_per_million must be a decimal string", id="no number"),
        pytest.param('{"input_per_million":"-1"}', "not '-1'", id="negative"),
        pytest.param('{"input_per_million":"NaN"}', "not 'NaN'", id="NaN"),
        pytest.param("{", "Expecting property name", id="no JSON"),
    ],
)
def test_other_texts_are_refused(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        Price.from_rates(text)

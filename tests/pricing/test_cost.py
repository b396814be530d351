"""Every unit is charged once, exactly."""

from collections.abc import Sequence
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hero_broker.core.usage import Usage
from hero_broker.pricing.cost import cost_of
from hero_broker.pricing.price import Price

D = Decimal
CHAT = Price(input_per_million=D("0.59"), output_per_million=D("0.79"))
COUNTS = st.none() | st.integers(0, 10**9)
RATES = st.none() | st.decimals(0, 1000, places=4)


def token_price(rates: Sequence[Decimal | None]) -> Price:
    a, b, c, d, e, f, g = rates
    return Price(a, b, c, d, e, f, g)


def test_founding_example() -> None:
    assert cost_of(Usage(input_tokens=40, output_tokens=3), CHAT) == 25_970


@pytest.mark.parametrize(
    ("usage", "price", "nano_usd"),
    [
        pytest.param(Usage(), CHAT, 0, id="nothing used"),
        pytest.param(Usage(output_tokens=1), Price(input_per_million=D(1)), None, id="no rate"),
        pytest.param(Usage(input_tokens=1), Price(input_per_million=D(0)), 0, id="zero is a price"),
        pytest.param(
            Usage(input_tokens=100, cached_input_tokens=60, cache_write_tokens=10, audio_input_tokens=5),
            Price(
                input_per_million=D(1),
                cached_input_per_million=D("0.1"),
                cache_write_per_million=D(2),
                audio_input_per_million=D(10),
            ),
            25_000 + 6_000 + 20_000 + 50_000,
            id="input parts",
        ),
        pytest.param(
            Usage(output_tokens=10, reasoning_tokens=4, audio_output_tokens=2),
            Price(output_per_million=D(1), reasoning_per_million=D(3), audio_output_per_million=D(7)),
            4_000 + 12_000 + 14_000,
            id="output parts",
        ),
        pytest.param(
            Usage(input_tokens=10, cached_input_tokens=8, audio_input_tokens=10),
            Price(input_per_million=D(1), cached_input_per_million=D(0), audio_input_per_million=D(5)),
            10_000,
            id="cached audio counts once",
        ),
        pytest.param(Usage(cached_input_tokens=5), CHAT, 2_950, id="parts without their sum"),
        pytest.param(Usage(input_tokens=1), Price(input_per_million=D("0.0005")), 0, id="half to even, down"),
        pytest.param(Usage(input_tokens=3), Price(input_per_million=D("0.0005")), 2, id="half to even, up"),
        pytest.param(
            Usage(characters=1000, input_tokens=7), Price(characters_per_million=D(15)), 15_000_000, id="characters"
        ),
        pytest.param(Usage(characters=1000, input_tokens=100), CHAT, 59_000, id="tokens for characters"),
        pytest.param(Usage(characters=1000), CHAT, None, id="characters without rate"),
        pytest.param(Usage(audio_ms=90_000), Price(audio_per_minute=D("0.006")), 9_000_000, id="audio"),
        pytest.param(Usage(audio_ms=20_000), Price(audio_per_minute=D("0.000001")), 333, id="third of a minute"),
        pytest.param(
            Usage(audio_ms=1), Price(audio_per_minute=D("0.006"), audio_minimum_s=D(10)), 1_000_000, id="audio minimum"
        ),
        pytest.param(
            Usage(audio_ms=0), Price(audio_per_minute=D("0.006"), audio_minimum_s=D(10)), 0, id="no audio, no minimum"
        ),
        pytest.param(Usage(search_units=2), Price(per_thousand_searches=D(2)), 4_000_000, id="searches"),
        pytest.param(Usage(input_tokens=9), Price(per_thousand_searches=D(2)), 2_000_000, id="default search unit"),
        pytest.param(Usage(search_units=2), CHAT, None, id="searches without rate"),
        pytest.param(Usage(search_units=2, input_tokens=100), CHAT, 59_000, id="tokens for searches"),
        pytest.param(
            Usage(input_tokens=100),
            Price(input_per_million=D("0.59"), per_thousand_searches=D(2)),
            59_000,
            id="tokens that make no search",
        ),
        pytest.param(
            Usage(input_tokens=100),
            Price(input_per_million=D("0.59"), per_request=D("0.01")),
            10_059_000,
            id="per request",
        ),
    ],
)
def test_cost(usage: Usage, price: Price, nano_usd: int | None) -> None:
    assert cost_of(usage, price) == nano_usd


@pytest.mark.parametrize("price", [Price(per_request=D(1)), Price(per_thousand_searches=D(1))])
def test_failed_call_has_no_request_and_no_default_search(price: Price) -> None:
    assert cost_of(Usage(), price, ok=False) == 0


@given(st.tuples(*[st.integers(0, 10**9)] * 2), st.tuples(*[COUNTS] * 5), st.tuples(*[RATES] * 7))
def test_parts_never_cost_more_than_all_tokens_at_the_highest_rate(
    totals: tuple[int, ...], parts: tuple[int | None, ...], rates: tuple[Decimal | None, ...]
) -> None:
    price = token_price(rates)
    highest = max((rate for rate in rates if rate is not None), default=D(0))

    cost = cost_of(Usage(*totals, *parts), price)

    assert cost is None or 0 <= cost <= sum(totals) * highest * 1000 + 1


@given(st.tuples(*[st.integers(0, 10**9)] * 2), st.tuples(*[COUNTS] * 5), st.decimals(0, 1000, places=4))
def test_parts_at_equal_rates_change_nothing(
    totals: tuple[int, ...], parts: tuple[int | None, ...], rate: Decimal
) -> None:
    whole = cost_of(Usage(*totals), Price(rate, rate))

    assert cost_of(Usage(*totals, *parts), token_price([rate] * 7)) == whole
    assert cost_of(Usage(*totals, *parts), Price(rate, rate)) == whole


def test_equal_rates_have_one_id_whatever_their_spelling_and_source() -> None:
    price = Price(input_per_million=D("0.590"), output_per_million=D("1E+1"), per_request=D("0.00"), source="a")
    same = Price(input_per_million=D("0.59"), output_per_million=D(10), per_request=D(0), source="b")

    assert price.rates_json() == '{"input_per_million":"0.59","output_per_million":"10","per_request":"0"}'
    assert price.price_id == same.price_id
    assert len(price.price_id) == 32
    assert price.price_id != CHAT.price_id

"""Every unit is charged once, exactly."""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hero_broker.core.money import NANO
from hero_broker.core.usage import Usage
from hero_broker.pricing.cost import CostPart, cost_of, cost_parts
from hero_broker.pricing.price import RATES, Price

D = Decimal
CHAT = Price(input_per_million=D("0.59"), output_per_million=D("0.79"))
COUNTS = st.none() | st.integers(0, 10**9)
ANY_RATE = st.none() | st.decimals(0, 1000, places=4)
USAGES = st.builds(Usage, **dict.fromkeys(Usage.__struct_fields__, COUNTS))
PRICES = st.builds(Price, **{name: st.none() | st.decimals(0, 1000, places=6) for name in RATES})
INPUT_UNITS = {"input_tokens", "cached_input_tokens", "cache_write_tokens", "audio_input_tokens"}
OUTPUT_UNITS = {"output_tokens", "reasoning_tokens", "audio_output_tokens"}


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
        pytest.param(
            Usage(characters=1000, input_tokens=200, output_tokens=100),
            Price(characters_per_million=D(15), input_per_million=D(1), output_per_million=D(2)),
            15_000_000 + 200_000,
            id="characters stand for the input",
        ),
        pytest.param(
            Usage(characters=0, input_tokens=1), Price(characters_per_million=D(15)), 0, id="no characters, no tokens"
        ),
        pytest.param(
            Usage(characters=1000, audio_ms=60_000),
            Price(audio_per_minute=D("0.006")),
            6_000_000,
            id="audio for characters",
        ),
        pytest.param(
            Usage(audio_ms=60_000, input_tokens=110, audio_input_tokens=100, output_tokens=50),
            Price(audio_per_minute=D("0.004"), input_per_million=D("0.1"), output_per_million=D("0.4")),
            4_000_000 + 1_000 + 20_000,
            id="audio time stands for audio tokens",
        ),
        pytest.param(
            Usage(audio_ms=60_000, input_tokens=100, output_tokens=50),
            Price(audio_per_minute=D("0.006")),
            6_000_000,
            id="audio for tokens",
        ),
        pytest.param(Usage(audio_ms=60_000), CHAT, None, id="audio without rate"),
        pytest.param(
            Usage(audio_ms=60_000, input_tokens=9),
            Price(audio_per_minute=D("0.006"), per_thousand_searches=D(2)),
            6_000_000,
            id="audio that makes no search",
        ),
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
        pytest.param(
            Usage(input_tokens=100, characters=5), Price(per_request=D("0.01")), 10_000_000, id="only per request"
        ),
        pytest.param(
            Usage(audio_ms=1),
            Price(audio_per_minute=D("0.06"), audio_minimum_s=D("0.0015")),
            1_500,
            id="audio minimum in fractions of a millisecond",
        ),
    ],
)
def test_cost(usage: Usage, price: Price, nano_usd: int | None) -> None:
    assert cost_of(usage, price) == nano_usd


@pytest.mark.parametrize("price", [Price(per_request=D(1)), Price(per_thousand_searches=D(1))])
def test_failed_call_has_no_request_and_no_default_search(price: Price) -> None:
    assert cost_of(Usage(), price, ok=False) == 0


@given(st.tuples(*[st.integers(0, 10**9)] * 2), st.tuples(*[COUNTS] * 5), st.tuples(*[ANY_RATE] * 7))
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


def test_parts_tell_which_rate_is_charged_for_what() -> None:
    usage = Usage(input_tokens=100, cached_input_tokens=60, output_tokens=10, reasoning_tokens=4, search_units=0)
    price = Price(input_per_million=D(1), cached_input_per_million=D("0.1"), output_per_million=D(2), per_request=D(3))

    assert cost_parts(usage, price) == [
        CostPart("cached_input_tokens", 60, "cached_input_per_million", D("0.1"), 1_000_000),
        CostPart("input_tokens", 40, "input_per_million", D(1), 1_000_000),
        CostPart("reasoning_tokens", 4, "output_per_million", D(2), 1_000_000),
        CostPart("output_tokens", 6, "output_per_million", D(2), 1_000_000),
        CostPart("request", 1, "per_request", D(3), 1),
    ]


def test_part_without_rate_names_the_rate_that_is_missing() -> None:
    [fresh, reasoning] = cost_parts(Usage(input_tokens=1, reasoning_tokens=2), Price(input_per_million=D(0)))

    assert (fresh.rate, fresh.usd) == (D(0), Fraction(0))
    assert (reasoning.rate_name, reasoning.rate, reasoning.usd) == ("output_per_million", None, None)


def test_audio_is_billed_with_its_minimum() -> None:
    [part] = cost_parts(Usage(audio_ms=1), Price(audio_per_minute=D("0.006"), audio_minimum_s=D(10)))

    assert (part.unit, part.units, part.per) == ("audio_ms", 10_000, 60_000)
    assert part.usd == Fraction(1, 1000)


@given(USAGES, PRICES, st.booleans())
def test_parts_add_up_to_the_cost(usage: Usage, price: Price, ok: bool) -> None:
    amounts = [part.usd for part in cost_parts(usage, price, ok=ok)]

    exact = None if None in amounts else round(sum((one for one in amounts if one is not None), Fraction(0)) * NANO)
    assert cost_of(usage, price, ok=ok) == exact


@given(USAGES, PRICES, st.booleans())
def test_parts_are_disjoint_and_not_empty(usage: Usage, price: Price, ok: bool) -> None:
    parts = cost_parts(usage, price, ok=ok)

    assert len({part.unit for part in parts}) == len(parts)
    assert all(part.units > 0 for part in parts)
    assert all(part.rate == getattr(price, part.rate_name) for part in parts)


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.tuples(*[COUNTS] * 5), st.tuples(*[ANY_RATE] * 7))
def test_every_token_is_in_one_part(
    input_tokens: int, output_tokens: int, included: tuple[int | None, ...], rates: tuple[Decimal | None, ...]
) -> None:
    parts = cost_parts(Usage(input_tokens, output_tokens, *included), token_price(rates))

    assert sum(part.units for part in parts if part.unit in INPUT_UNITS) == input_tokens
    assert sum(part.units for part in parts if part.unit in OUTPUT_UNITS) == output_tokens


@given(USAGES, st.booleans())
def test_zero_is_a_price_for_every_unit(usage: Usage, ok: bool) -> None:
    rates: dict[str, Any] = dict.fromkeys(RATES, D(0))
    free = Price(**rates)

    assert cost_of(usage, free, ok=ok) == 0

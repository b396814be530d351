"""Every unit is charged once, exactly."""

import json
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
DURATIONS = st.integers(0, 86_400_000)
USAGES = st.builds(Usage, **dict.fromkeys(Usage.__struct_fields__, COUNTS))
PRICES = st.builds(Price, **{name: st.none() | st.decimals(0, 1000, places=6) for name in RATES})
INPUT_UNITS = {
    "input_tokens",
    "cached_input_tokens",
    "cache_write_1h_tokens",
    "cache_write_tokens",
    "audio_input_tokens",
    "image_input_tokens",
}
OUTPUT_UNITS = {"output_tokens", "reasoning_tokens", "audio_output_tokens", "image_output_tokens"}


def token_price(rates: Sequence[Decimal | None]) -> Price:
    a, b, c, d, e, f, g = rates
    return Price(a, b, c, d, e, f, g)


def plain_sum(usage: Usage, price: Price, *, ok: bool, duration_ms: int) -> Fraction | None:
    """Return the cost in USD by the rules of the page on pricing, computed in another way; None if it is unpriced."""
    rates = {name: Fraction(Decimal(rate)) for name, rate in json.loads(price.rates).items()}
    rates.pop("audio_minimum_s", None)
    gpus = rates.pop("gpus", Fraction(1))
    by_call = rates.get("per_request", Fraction(0)) if ok else Fraction(0)
    by_call += Fraction(duration_ms, 1000) * (rates.get("per_second", 0) + gpus * rates.get("per_gpu_second", 0))
    if rates and not rates.keys() - {"per_request", "per_second", "per_gpu_second"}:
        return by_call
    u = {unit: getattr(usage, unit) or 0 for unit in Usage.__struct_fields__}
    has_tokens = usage.input_tokens is not None or usage.output_tokens is not None
    by_characters = usage.characters is not None and "characters_per_million" in rates
    by_audio = usage.audio_ms is not None and "audio_per_minute" in rates
    by_images = usage.images is not None and "per_image" in rates
    is_measured = by_characters or by_audio or by_images
    due: list[tuple[Fraction | int, list[str], int]] = []  # units, rates of which the first known applies, and per

    if by_characters or not (has_tokens or by_audio):
        due.append((u["characters"], ["characters_per_million"], 10**6))
    if by_audio or not (has_tokens or by_characters):
        least = 0 if price.audio_minimum_s is None or not u["audio_ms"] else Fraction(price.audio_minimum_s) * 1000
        due.append((max(least, u["audio_ms"]), ["audio_per_minute"], 60_000))
    if by_images or not u["image_output_tokens"]:
        due.append((u["images"], ["per_image"], 1))
    due.append((u["web_searches"], ["web_searches_per_thousand"], 1000))
    due.append((u["file_searches"], ["file_searches_per_thousand"], 1000))
    searches = u["search_units"]
    by_searches = "per_thousand_searches" in rates
    if by_searches and usage.search_units is None:
        searches = 1 if ok and not is_measured and not (has_tokens and "input_per_million" in rates) else 0
    if by_searches or not (is_measured or has_tokens):
        due.append((searches, ["per_thousand_searches"], 1000))

    written = u["cache_write_1h_tokens"] if usage.cache_write_tokens is None else usage.cache_write_tokens
    for_1h = min(written, u["cache_write_1h_tokens"])
    token_parts = (
        (
            "input_tokens",
            [
                ("cached_input_tokens", u["cached_input_tokens"], ["cached_input_per_million"]),
                ("cache_write_1h_tokens", for_1h, ["cache_write_1h_per_million", "cache_write_per_million"]),
                ("cache_write_tokens", written - for_1h, ["cache_write_per_million"]),
                ("audio_input_tokens", u["audio_input_tokens"], ["audio_input_per_million"]),
                ("image_input_tokens", u["image_input_tokens"], ["image_input_per_million"]),
            ],
        ),
        (
            "output_tokens",
            [
                ("audio_output_tokens", u["audio_output_tokens"], ["audio_output_per_million"]),
                ("image_output_tokens", u["image_output_tokens"], ["image_output_per_million"]),
                ("reasoning_tokens", u["reasoning_tokens"], ["reasoning_per_million"]),
            ],
        ),
    )
    if not by_searches or {"input_per_million", "output_per_million"} & rates.keys():
        for whole, parts in token_parts:
            if whole == "input_tokens" and by_characters:
                continue
            left = sum(count for _, count, _ in parts) if getattr(usage, whole) is None else u[whole]
            for unit, count, names in [*parts, (whole, 10**18, [])]:
                units = min(count, left)
                left -= units
                names = [*names, f"{whole.removesuffix('_tokens')}_per_million"]
                is_replaced = (by_audio and unit == "audio_input_tokens") or (
                    by_images and unit == "image_output_tokens"
                )
                if not is_replaced and not (is_measured and not rates.keys() & set(names)):
                    due.append((units, names, 10**6))

    total = by_call
    for units, names, per in due:
        if units:
            rate = next((rates[name] for name in names if name in rates), None)
            if rate is None:
                return None
            total += units * rate / per
    return total


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
        pytest.param(Usage(audio_ms=0, cached_input_tokens=5), CHAT, 2_950, id="no audio without rate, a part"),
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
            Usage(input_tokens=100, cache_write_tokens=60, cache_write_1h_tokens=50),
            Price(input_per_million=D(1), cache_write_per_million=D("1.25"), cache_write_1h_per_million=D(2)),
            40_000 + 12_500 + 100_000,
            id="one-hour cache writes",
        ),
        pytest.param(
            Usage(input_tokens=100, cache_write_tokens=60, cache_write_1h_tokens=50),
            Price(input_per_million=D(1), cache_write_per_million=D("1.25")),
            40_000 + 75_000,
            id="one-hour cache writes as other writes",
        ),
        pytest.param(
            Usage(input_tokens=100, cache_write_tokens=60, cache_write_1h_tokens=80),
            Price(input_per_million=D(1), cache_write_1h_per_million=D(2)),
            40_000 + 120_000,
            id="no more one-hour writes than writes",
        ),
        pytest.param(
            Usage(input_tokens=100, cache_write_1h_tokens=60),
            Price(input_per_million=D(1), cache_write_1h_per_million=D(2)),
            40_000 + 120_000,
            id="one-hour cache writes without all writes",
        ),
        pytest.param(
            Usage(50, 400, image_input_tokens=30, image_output_tokens=300),
            Price(D(5), D(10), image_input_per_million=D(8), image_output_per_million=D(32)),
            100_000 + 240_000 + 1_000_000 + 9_600_000,
            id="image tokens",
        ),
        pytest.param(Usage(50, 400, image_input_tokens=30, images=0), CHAT, 345_500, id="image tokens as other input"),
        pytest.param(Usage(images=2), Price(per_image=D("0.04")), 80_000_000, id="images"),
        pytest.param(Usage(images=2), CHAT, None, id="images without rate"),
        pytest.param(Usage(10, 20, images=2), CHAT, None, id="images without rate beside text"),
        pytest.param(
            Usage(10, 272, image_output_tokens=272, images=1), Price(D(5), D(40)), 10_930_000, id="tokens for images"
        ),
        pytest.param(
            Usage(10, 280, image_output_tokens=272, images=1),
            Price(D(5), D(10), image_output_per_million=D(40), per_image=D("0.04")),
            50_000 + 80_000 + 40_000_000,
            id="images stand for their tokens",
        ),
        pytest.param(
            Usage(10, 280, images=1), Price(per_image=D("0.04")), 40_000_000, id="tokens beside images without rate"
        ),
        pytest.param(
            Usage(40, 3, web_searches=2, file_searches=4),
            Price(D("0.59"), D("0.79"), web_searches_per_thousand=D(10), file_searches_per_thousand=D("2.5")),
            25_970 + 20_000_000 + 10_000_000,
            id="web and file searches",
        ),
        pytest.param(Usage(40, 3, web_searches=1), CHAT, None, id="web search without rate"),
        pytest.param(Usage(40, 3, file_searches=1), CHAT, None, id="file search without rate"),
        pytest.param(Usage(40, 3, web_searches=0, file_searches=0, images=0), CHAT, 25_970, id="none is no search"),
        pytest.param(
            Usage(40, 3, web_searches=1), Price(per_request=D("0.01")), 10_000_000, id="search within the request"
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


@pytest.mark.parametrize(
    ("price", "nano_usd"),
    [
        pytest.param(Price(per_second=D("0.0001")), 123_400, id="per second"),  # 1.234 s × 100,000
        pytest.param(Price(per_gpu_second=D("0.0008")), 987_200, id="one GPU"),  # 1.234 s × 800,000
        pytest.param(Price(per_gpu_second=D("0.0008"), gpus=D(8)), 7_897_600, id="eight GPUs"),
        pytest.param(Price(per_gpu_second=D("0.0008"), gpus=D("0.25")), 246_800, id="a quarter of a GPU"),
        pytest.param(Price(per_gpu_second=D("0.0008"), gpus=D(0)), 0, id="no GPU"),
        pytest.param(Price(D("0.59"), D("0.79"), per_second=D("0.0001")), 149_370, id="beside tokens"),  # + 25,970
        pytest.param(Price(per_request=D("0.01"), per_second=D("0.0001")), 10_123_400, id="beside requests"),
        pytest.param(Price(per_second=D("0.0000005")), 617, id="rounded once"),  # 1.234 × 500
        pytest.param(Price(per_second=D("0.00000125")), 1542, id="half to even"),  # 1,542.5
        pytest.param(CHAT, 25_970, id="tokens alone"),
    ],
)
def test_time_of_a_call_is_charged_at_its_rate(price: Price, nano_usd: int) -> None:
    assert cost_of(Usage(40, 3), price, duration_ms=1234) == nano_usd


def test_failed_call_costs_its_time_but_no_request() -> None:
    price = Price(per_request=D(1), per_second=D("0.001"))

    assert cost_of(Usage(), price, ok=False, duration_ms=2000) == 2_000_000
    assert cost_of(Usage(), price, ok=False) == 0


def test_time_of_gpus_is_a_part_of_its_own() -> None:
    price = Price(per_second=D("0.0001"), per_gpu_second=D("0.0008"), gpus=D(2))

    assert cost_parts(Usage(40, 3), price, duration_ms=1500) == [
        CostPart("duration_ms", 1500, "per_second", D("0.0001"), 1000),
        CostPart("gpu_ms", 3000, "per_gpu_second", D("0.0008"), 1000),
    ]


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


@given(USAGES, PRICES, st.booleans(), DURATIONS)
def test_parts_add_up_to_the_cost(usage: Usage, price: Price, ok: bool, duration_ms: int) -> None:
    amounts = [part.usd for part in cost_parts(usage, price, ok=ok, duration_ms=duration_ms)]

    exact = None if None in amounts else round(sum((one for one in amounts if one is not None), Fraction(0)) * NANO)
    assert cost_of(usage, price, ok=ok, duration_ms=duration_ms) == exact


@given(USAGES, PRICES, st.booleans(), DURATIONS)
def test_cost_is_the_plain_sum_of_units_times_rates(usage: Usage, price: Price, ok: bool, duration_ms: int) -> None:
    exact = plain_sum(usage, price, ok=ok, duration_ms=duration_ms)

    assert cost_of(usage, price, ok=ok, duration_ms=duration_ms) == (None if exact is None else round(exact * NANO))


@given(USAGES, PRICES, st.booleans(), DURATIONS)
def test_parts_are_disjoint_and_not_empty(usage: Usage, price: Price, ok: bool, duration_ms: int) -> None:
    parts = cost_parts(usage, price, ok=ok, duration_ms=duration_ms)

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

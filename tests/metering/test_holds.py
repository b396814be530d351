"""What a call may use: no less than what it then costs, as far as its request bounds that."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hero_broker.core.usage import Usage
from hero_broker.kinds.json_body import read_json
from hero_broker.kinds.kind import Request
from hero_broker.kinds.registry import KINDS
from hero_broker.limits.limit import HOLDS, NO_HOLD
from hero_broker.metering.holds import (
    BOUND_RULES,
    MAX_COPIES,
    highest_cost,
    highest_output_cost,
    most_output,
    output_bound,
    usage_bound,
)
from hero_broker.pricing.cost import cost_of
from hero_broker.pricing.price import Price
from hero_broker.pricing.tariff import PricePeriod, Tariff

PRICE = Price(input_per_million=Decimal(1), output_per_million=Decimal(10))
TARIFF = Tariff.fixed(PRICE)
SAFE, WORST = BOUND_RULES["safe"], BOUND_RULES["worst"]
TEXT = "x" * 986


def request(kind: str = "chat", **members: object) -> Request:
    body = {"model": "m", "messages": [{"role": "user", "content": "hello"}], **members}
    return KINDS[kind].read(read_json(msgspec.json.encode(body)))


def bound(
    asked: Request, *tariffs: Tariff | None, kind: str = "chat", hold: str = "safe"
) -> tuple[int | None, int, int]:
    return usage_bound(KINDS[kind], asked, tariffs or (TARIFF,), 0, BOUND_RULES.get(hold))


def test_every_hold_of_the_settings_has_a_rule_or_none() -> None:
    assert set(HOLDS) == {*BOUND_RULES, NO_HOLD}


def test_text_has_a_token_for_each_byte_or_two() -> None:
    asked = request(messages=[{"role": "user", "content": TEXT}], max_tokens=7)

    size = asked.input_bytes
    assert bound(asked, hold="worst") == (size * 1000 + 7 * 10_000, size, 7)
    assert bound(asked) == (-(-size // 2) * 1000 + 7 * 10_000, -(-size // 2), 7)
    assert bound(asked, hold="mean") == (-(-size // 4) * 1000 + 7 * 10_000, -(-size // 4), 7)
    assert bound(asked, hold="none") == (0, 0, 0)


@pytest.mark.parametrize(
    ("kind", "members", "tokens"),
    [
        ("chat", {}, 4096),
        ("chat", {"max_tokens": 5}, 5),
        ("chat", {"max_completion_tokens": 6}, 6),
        ("chat", {"max_completion_tokens": 6, "max_tokens": 5}, 6),
        ("chat", {"max_completion_tokens": 5, "max_tokens": 6}, 6),
        ("chat", {"max_completion_tokens": 0, "max_tokens": 5}, 5),
        ("chat", {"max_tokens": 0}, 4096),
        ("chat", {"max_tokens": -1}, 4096),
        ("chat", {"max_tokens": 50_000.0}, 50_000),
        ("chat", {"max_tokens": 50_000.5}, 50_001),
        ("chat", {"max_tokens": "50000"}, 50_000),
        ("chat", {"max_tokens": " 50_000 "}, 50_000),
        ("chat", {"max_tokens": "5e4"}, 50_000),
        ("chat", {"max_tokens": 1e30}, 10**18),
        ("chat", {"max_tokens": 2**63}, 922_337_203_685_477_580),
        ("chat", {"max_tokens": "Infinity"}, 10**18),
        ("chat", {"max_tokens": "0" * 100 + "50000"}, 10**18),
        ("chat", {"max_tokens": "nan"}, 4096),
        ("chat", {"max_tokens": "abc"}, 4096),
        ("chat", {"max_tokens": True}, 4096),
        ("chat", {"max_tokens": [5]}, 4096),
        ("chat", {"max_tokens": 5, "n": 3}, 15),
        ("chat", {"max_tokens": 5, "n": 10**9}, 5 * MAX_COPIES),
        ("chat", {"max_tokens": None, "n": "2"}, 8192),
        ("completion", {"prompt": "p", "max_tokens": 5, "n": 2, "best_of": 4}, 20),
        ("messages", {"max_tokens": 9}, 9),
        ("responses", {"input": "p", "max_output_tokens": 8}, 8),
        ("embedding", {"input": "p", "max_tokens": 8}, 0),
    ],
)
def test_output_is_bounded_by_the_members_of_the_request(kind: str, members: dict[str, object], tokens: int) -> None:
    assert output_bound(KINDS[kind], request(kind, **members), SAFE) == tokens


def test_output_without_a_bound_is_that_of_the_rule() -> None:
    assert output_bound(KINDS["chat"], request(), WORST) == 131_072


@pytest.mark.parametrize(
    ("kind", "members", "tokens"),
    [
        ("chat", {}, 1000),
        ("chat", {"max_tokens": 5}, 5),
        ("chat", {"max_tokens": 5000, "n": 3}, 3000),
        ("chat", {"n": 2}, 2000),
        ("embedding", {"input": "p"}, 0),
    ],
)
def test_model_that_answers_at_most_so_many_tokens_bounds_the_output(
    kind: str, members: dict[str, object], tokens: int
) -> None:
    for rule in (SAFE, WORST):
        assert output_bound(KINDS[kind], request(kind, **members), rule, 1000) == tokens


def test_bound_of_the_model_is_priced() -> None:
    asked = request()

    used = usage_bound(KINDS["chat"], asked, (TARIFF,), 0, WORST, 1000)

    assert used == (asked.input_bytes * 1000 + 1000 * 10_000, asked.input_bytes, 1000)


def test_dearest_tier_length_and_target_count() -> None:
    long = Price(input_per_million=Decimal(3), output_per_million=Decimal(10))
    priority = Price(input_per_million=Decimal(5), output_per_million=Decimal(10))
    tiers = {"priority": (PricePeriod((priority,)),)}
    by_length = Tariff((PricePeriod((PRICE, long), (100,)),))
    with_tiers = Tariff.fixed(PRICE, {"priority": priority})
    asked = request(messages=[{"role": "user", "content": TEXT}], max_tokens=1)
    tokens = -(-asked.input_bytes // 2)

    assert bound(asked, by_length)[0] == tokens * 3000 + 10_000
    assert (
        bound(asked, with_tiers)[0]
        == bound(asked, Tariff((PricePeriod((PRICE,), tiers=tiers),)))[0]
        == tokens * 5000 + 10_000
    )
    assert bound(asked, TARIFF, with_tiers)[0] == tokens * 5000 + 10_000
    assert bound(request(max_tokens=1), by_length)[0] == -(-request().input_bytes // 2) * 1000 + 10_000


def test_target_without_a_price_leaves_no_cost() -> None:
    asked = request(max_tokens=1)

    assert bound(asked, TARIFF, None) == (None, -(-asked.input_bytes // 2), 1)
    assert bound(asked, None) == (None, -(-asked.input_bytes // 2), 1)
    assert bound(asked, None, hold="none") == (None, 0, 0)


def test_speech_and_rerank_are_known_before() -> None:
    speech = KINDS["tts"].read(read_json(b'{"model":"m","input":"hello","voice":"v"}'))
    by_character = Tariff.fixed(Price(characters_per_million=Decimal(15)))
    rerank = KINDS["rerank"].read(read_json(b'{"model":"m","query":"q","documents":["a","b"]}'))
    by_search = Tariff.fixed(Price(per_thousand_searches=Decimal(2)))

    assert bound(speech, by_character, kind="tts") == (5 * 15_000, 0, 0)
    assert bound(rerank, by_search, kind="rerank") == (2_000_000, 0, 0)


def test_audio_is_as_long_as_its_bytes_can_be() -> None:
    by_minute = Tariff.fixed(Price(audio_per_minute=Decimal("0.6"), audio_minimum_s=Decimal(10)))
    upload = Request("m", 120_000)

    assert bound(upload, by_minute, kind="stt")[0] == 600_000_000  # 60 s at 2,000 bytes a second
    assert bound(upload, by_minute, kind="stt", hold="worst")[0] == 1_600_000_000
    assert bound(Request("m", 2), by_minute, kind="stt")[0] == 100_000_000


RATES = st.sampled_from([None, Decimal(0), Decimal("0.59"), Decimal(3), Decimal(15)])
PRICES = st.builds(
    Price,
    input_per_million=st.sampled_from([Decimal("0.59"), Decimal(3)]),
    output_per_million=st.sampled_from([Decimal("0.79"), Decimal(15)]),
    cached_input_per_million=RATES,
    cache_write_per_million=RATES,
    cache_write_1h_per_million=RATES,
    reasoning_per_million=RATES,
    audio_input_per_million=RATES,
    audio_output_per_million=RATES,
    image_input_per_million=RATES,
    per_request=RATES,
)
PARTS = st.integers(0, 1000)


@settings(deadline=None)
@given(PRICES, PARTS, PARTS, st.tuples(PARTS, PARTS, PARTS, PARTS, PARTS), PARTS, PARTS)
def test_no_split_of_the_tokens_costs_more(
    price: Price, tokens_in: int, tokens_out: int, parts: tuple[int, ...], reasoning: int, audio: int
) -> None:
    cached, written, for_1h, audio_in, image_in = parts
    usage = Usage(
        input_tokens=tokens_in,
        output_tokens=tokens_out,
        cached_input_tokens=cached,
        cache_write_tokens=max(written, for_1h),
        cache_write_1h_tokens=for_1h,
        audio_input_tokens=audio_in,
        image_input_tokens=image_in,
        reasoning_tokens=reasoning,
        audio_output_tokens=audio,
    )

    cost = cost_of(usage, price)

    assert cost is not None
    assert cost <= highest_cost(Usage(input_tokens=tokens_in, output_tokens=tokens_out), price)


@pytest.mark.parametrize(
    ("members", "most", "tokens"),
    [
        ({}, None, None),
        ({"max_tokens": 0}, None, None),
        ({"max_tokens": 100}, None, 100),
        ({"max_tokens": 100, "n": 3}, None, 300),
        ({"max_tokens": 100}, 50, 50),
        ({}, 50, 50),
    ],
)
def test_most_output_is_what_the_request_or_the_model_bounds(
    members: dict[str, Any], most: int | None, tokens: int | None
) -> None:
    assert most_output(KINDS["chat"], request(**members), most) == tokens


def test_output_costs_its_dearest_rate_at_the_dearest_target() -> None:
    cheap = Tariff.fixed(Price(input_per_million=Decimal(9), output_per_million=Decimal("0.5")))
    dear = Tariff.fixed(Price(output_per_million=Decimal(1), reasoning_per_million=Decimal("2.0000001")))

    assert highest_output_cost(request(), [cheap, dear, None], 0, SAFE, 10) == 20_001
    assert highest_output_cost(request(), [None], 0, SAFE, 10) == 0

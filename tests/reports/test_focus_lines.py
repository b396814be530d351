"""What a day's calls are divided into, and that nothing is lost on the way."""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hero_broker.core.addresses import ip_key
from hero_broker.core.calls import Outcome
from hero_broker.core.focus import FocusLine
from hero_broker.core.records import PeriodPart, PriceRecord, RequestLog
from hero_broker.core.usage import Usage, UsageSource
from hero_broker.pricing.cost import cost_of
from hero_broker.pricing.price import Price
from hero_broker.reports.focus_lines import DayLines, divide
from hero_broker.store import focus
from hero_broker.store.database import open_database
from tests.ledger.rows import row

FOUNDING = Price(input_per_million=Decimal("0.59"), output_per_million=Decimal("0.79"))
CACHED = Price(
    input_per_million=Decimal("2.5"), output_per_million=Decimal(10), cached_input_per_million=Decimal("1.25")
)
AUDIO = Price(audio_per_minute=Decimal("0.00185"), audio_minimum_s=Decimal(10))
TINY = Price(input_per_million=Decimal("0.0003"), output_per_million=Decimal("0.0001"))
SEARCHES = Price(per_thousand_searches=Decimal(2))
REQUEST = Price(per_request=Decimal("0.01"), input_per_million=Decimal(1))
TOOLS = Price(
    input_per_million=Decimal(3),
    cache_write_1h_per_million=Decimal(6),
    web_searches_per_thousand=Decimal(10),
    per_image=Decimal("0.04"),
)
MACHINE = Price(per_second=Decimal("0.0001"), per_gpu_second=Decimal("0.0008"), gpus=Decimal(8))
PRICES = (FOUNDING, CACHED, AUDIO, TINY, SEARCHES, REQUEST, TOOLS, MACHINE)


def priced(price: Price, usage: Usage, duration_ms: Any = 0, **changes: object) -> RequestLog:
    """Return the row of a call as its meter makes it."""
    is_ok = changes.get("outcome", Outcome.OK) is Outcome.OK
    units = {name: getattr(usage, name) for name in Usage.__struct_fields__}
    cost = cost_of(usage, price, ok=is_ok, duration_ms=duration_ms)
    computed = {"cost_nano_usd": cost, "price_id": price.price_id, "duration_ms": duration_ms}
    return row(**{**units, **computed, **changes})


def chat(price: Price = FOUNDING, **changes: object) -> RequestLog:
    return priced(price, Usage(input_tokens=40, output_tokens=3), **changes)


def lines_of(database_url: str, rows: Sequence[RequestLog]) -> tuple[FocusLine, ...]:
    """Return the lines of rows that are read from a store."""
    sums = DayLines({price.price_id: price for price in PRICES})
    with open_database(database_url) as database:
        database.append(rows, [PriceRecord(price.price_id, price.rates, "", "") for price in PRICES])
        with database.reading(None) as connection:
            for one in focus.rows(connection, PeriodPart(1, len(rows), None, None), 0, 2**62, None, len(rows)):
                sums.add(one)
    return sums.lines({"192.0.2.1": "printer"}.get)


def brief(lines: Sequence[FocusLine]) -> list[tuple[str, Fraction | int, Fraction | int, int, int]]:
    return [(line.unit, line.consumed, line.billed, line.cost_nano_usd, line.requests) for line in lines]


def test_call_with_a_price_is_a_line_for_each_unit_and_counted_once(database_url: str) -> None:
    lines = lines_of(database_url, [chat(), chat()])

    assert brief(lines) == [("input_tokens", 80, 80, 47_200, 2), ("output_tokens", 6, 6, 4_740, 0)]
    assert [(line.rate_usd, line.per) for line in lines] == [
        (Fraction("0.59"), 1_000_000),
        (Fraction("0.79"), 1_000_000),
    ]
    assert {line.price_id for line in lines} == {FOUNDING.price_id}


def test_cached_input_is_a_line_of_its_own_at_its_rate(database_url: str) -> None:
    usage = Usage(input_tokens=1_000, output_tokens=10, cached_input_tokens=400)
    lines = lines_of(database_url, [priced(CACHED, usage)])

    assert brief(lines) == [
        ("cached_input_tokens", 400, 400, 500_000, 1),
        ("input_tokens", 600, 600, 1_500_000, 0),
        ("output_tokens", 10, 10, 100_000, 0),
    ]


def test_audio_below_the_minimum_is_billed_as_the_minimum_and_consumed_as_it_was(database_url: str) -> None:
    lines = lines_of(database_url, [priced(AUDIO, Usage(audio_ms=ms)) for ms in (2_000, 60_000)])

    assert brief(lines) == [("audio_ms", 62_000, 70_000, 2_158_333, 2)]


@pytest.mark.parametrize(
    ("call", "lines"),
    [
        pytest.param(
            priced(SEARCHES, Usage()), [("search_units", 1, 1, 2_000_000, 1)], id="search that nobody counted"
        ),
        pytest.param(
            priced(REQUEST, Usage(input_tokens=5, output_tokens=0)),
            [("input_tokens", 5, 5, 5_000, 1), ("request", 1, 1, 10_000_000, 0)],
            id="per request",
        ),
        pytest.param(
            priced(REQUEST, Usage(input_tokens=5, output_tokens=0), outcome=Outcome.INTERRUPTED),
            [("input_tokens", 5, 5, 5_000, 1)],
            id="per request that failed",
        ),
        pytest.param(
            priced(MACHINE, Usage(input_tokens=5, output_tokens=0), 1234),
            [("duration_ms", 1234, 1234, 123_400, 1), ("gpu_ms", 9872, 9872, 7_897_600, 0)],
            id="by time",
        ),
        pytest.param(
            priced(REQUEST, Usage(), usage_source=UsageSource.NONE),
            [("request", 1, 1, 10_000_000, 1)],
            id="per request without usage",
        ),
        pytest.param(chat(cost_source="provider", price_id=None), [("calls", 1, 25_970, 25_970, 1)], id="provider"),
        pytest.param(chat(cost_source="imported", price_id=None), [("calls", 1, 25_970, 25_970, 1)], id="imported"),
        pytest.param(chat(cost_source="mixed", price_id=None), [("calls", 1, 25_970, 25_970, 1)], id="mixed"),
        pytest.param(chat(cost_source="free", price_id=None, cost_nano_usd=0), [("calls", 1, 0, 0, 1)], id="free"),
        pytest.param(chat(cost_nano_usd=None, cost_source=None, price_id=None), [("calls", 1, 0, 0, 1)], id="unpriced"),
        pytest.param(
            row(
                outcome=Outcome.PROVIDER_ERROR,
                usage_source=UsageSource.NONE,
                input_tokens=None,
                output_tokens=None,
                cost_nano_usd=0,
                price_id=FOUNDING.price_id,
            ),
            [("calls", 1, 0, 0, 1)],
            id="failed without usage",
        ),
        pytest.param(chat(price_id="of another ledger"), [("calls", 1, 25_970, 25_970, 1)], id="unknown price"),
        pytest.param(chat(cost_nano_usd=25_971), [("calls", 1, 25_971, 25_971, 1)], id="cost that the price denies"),
        pytest.param(
            priced(FOUNDING, Usage(input_tokens=0, output_tokens=0)), [("calls", 1, 0, 0, 1)], id="nothing used"
        ),
    ],
)
def test_call_is_made_of_what_its_price_charges_else_it_is_one_call(
    database_url: str, call: RequestLog, lines: list[tuple[str, int, int, int, int]]
) -> None:
    assert brief(lines_of(database_url, [call])) == lines


def test_counts_of_failed_estimated_and_unpriced_calls_stand_where_the_call_is_counted(database_url: str) -> None:
    calls = [
        chat(outcome=Outcome.INTERRUPTED, usage_source=UsageSource.ESTIMATED),
        chat(cost_nano_usd=None, cost_source=None, price_id=None),
        chat(),
    ]
    lines = lines_of(database_url, calls)

    counts = [
        (line.unit, line.requests, line.failed_requests, line.estimated_requests, line.unpriced_requests)
        for line in lines
    ]
    assert counts == [("calls", 1, 0, 0, 1), ("input_tokens", 2, 1, 1, 0), ("output_tokens", 0, 0, 0, 0)]


def test_lines_are_by_address_model_provider_and_price_with_the_label_of_the_address(database_url: str) -> None:
    calls = [
        chat(ip="192.0.2.9", ip_key=ip_key("192.0.2.9")),
        chat(ip="192.0.2.1", ip_key=ip_key("192.0.2.1"), model="b"),
        chat(ip="192.0.2.1", ip_key=ip_key("192.0.2.1"), model="a", provider="openai"),
        chat(ip="192.0.2.1", ip_key=ip_key("192.0.2.1"), model="a"),
        chat(CACHED, ip="192.0.2.1", ip_key=ip_key("192.0.2.1"), model="a"),
    ]
    lines = lines_of(database_url, calls)

    keys = [(line.ip, line.label, line.model, line.provider, line.price_id) for line in lines if line.requests]
    two = sorted([FOUNDING.price_id, CACHED.price_id])
    assert keys == [
        ("192.0.2.1", "printer", "a", "groq", two[0]),
        ("192.0.2.1", "printer", "a", "groq", two[1]),
        ("192.0.2.1", "printer", "a", "openai", FOUNDING.price_id),
        ("192.0.2.1", "printer", "b", "groq", FOUNDING.price_id),
        ("192.0.2.9", None, "llama-3.3-70b", "groq", FOUNDING.price_id),
    ]


def test_calls_that_are_each_rounded_to_nothing_make_no_line_negative(database_url: str) -> None:
    lines = lines_of(database_url, [priced(TINY, Usage(input_tokens=1, output_tokens=1)) for _ in range(100)])

    assert brief(lines) == [("input_tokens", 100, 100, 0, 100), ("output_tokens", 100, 100, 0, 0)]


amounts = st.lists(st.fractions(0, 10**12, max_denominator=10**6), min_size=1, max_size=6)


@given(st.integers(0, 10**18), amounts)
def test_shares_add_up_and_none_is_a_unit_off_its_proportion(total: int, exact: list[Fraction]) -> None:
    shares = divide(total, exact)

    assert sum(shares) == total
    if any(exact):
        assert all(abs(share - total * one / sum(exact)) < 1 for share, one in zip(shares, exact, strict=True))
        assert all(share == 0 for share, one in zip(shares, exact, strict=True) if not one)
    assert min(shares) >= 0

"""Headers that state what is left of limits."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hero_broker.limits.counters import LimitCounters, RateCounter, SlotCounter
from hero_broker.limits.headers import OF_REQUESTS, ietf_headers, openai_headers, rate_headers, reset_text
from hero_broker.limits.limit import CONCURRENT, REQUESTS, Dimensions, Limit
from hero_broker.limits.refusals import seconds

NOW_NS = 5_000_000_000


def rate(name: str, amount: int, burst: int, taken: int = 0) -> RateCounter:
    counter = LimitCounters(Limit(name, REQUESTS, amount, burst=burst)).counter(Dimensions("10.0.0.1"))
    assert isinstance(counter, RateCounter)
    for _ in range(taken):
        counter.take(NOW_NS)
    return counter


@pytest.mark.parametrize(
    ("duration_ns", "text"),
    [
        (0, "0ms"),
        (1, "1ms"),
        (20_000_000, "20ms"),
        (999_000_001, "1s"),
        (1_500_000_000, "1.5s"),
        (59_999_000_000, "59.999s"),
        (59_999_000_001, "1m0s"),
        (360_000_000_000, "6m0s"),
        (3_661_000_000_000, "1h1m1s"),
    ],
)
def test_reset_is_written_as_openai_writes_it(duration_ns: int, text: str) -> None:
    assert reset_text(duration_ns) == text


def test_openai_headers_are_those_of_the_tightest_rate() -> None:
    rates = [rate("wide", 600, 100, taken=1), rate("tight", 60, 3, taken=2)]

    assert openai_headers(rates, OF_REQUESTS, NOW_NS) == [
        (b"x-ratelimit-limit-requests", b"60"),
        (b"x-ratelimit-remaining-requests", b"1"),
        (b"x-ratelimit-reset-requests", b"2s"),
    ]


def test_ietf_headers_list_all_rates_and_calls_in_flight() -> None:
    slot = LimitCounters(Limit("at-once", CONCURRENT, 4, per=("ip",))).counter(Dimensions("10.0.0.1"))
    assert isinstance(slot, SlotCounter)
    slot.in_flight = 1

    assert ietf_headers([slot], [rate("minute", 60, 2, taken=2)], NOW_NS) == [
        (b"ratelimit-policy", b'"minute";q=60;w=60, "at-once";q=4;qu="concurrent-requests"'),
        (b"ratelimit", b'"minute";r=0;t=1, "at-once";r=3'),
    ]


def test_nothing_remains_is_never_negative() -> None:
    slot = LimitCounters(Limit("at-once", CONCURRENT, 1, mode="shadow")).counter(Dimensions("10.0.0.1"))
    assert isinstance(slot, SlotCounter)
    slot.in_flight = 3

    assert ietf_headers([slot], [], NOW_NS)[1] == (b"ratelimit", b'"at-once";r=0')


@given(
    st.lists(st.tuples(st.integers(1, 10**6), st.integers(1, 50), st.integers(0, 60)), max_size=4),
    st.integers(0, 10**12),
)
def test_headers_say_what_the_counters_say(limits: list[tuple[int, int, int]], later_ns: int) -> None:
    rates = [rate(f"r{number}", *one) for number, one in enumerate(limits)]
    now_ns = NOW_NS + later_ns

    pairs = dict(rate_headers((), rates, now_ns, OF_REQUESTS, sends_ietf=True))

    if not rates:
        assert pairs == {}
        return
    tightest = min(rates, key=lambda one: one.remaining(now_ns))
    assert [pairs[name] for name in OF_REQUESTS] == [
        str(tightest.amount).encode(),
        str(max(0, tightest.remaining(now_ns))).encode(),
        reset_text(tightest.full_ns(now_ns)).encode(),
    ]
    assert pairs[b"ratelimit"].decode().split(", ") == [
        f'"{one.of.limit.name}";r={one.remaining(now_ns)};t={seconds(one.next_ns(now_ns))}' for one in rates
    ]
    assert pairs[b"ratelimit-policy"].decode().split(", ") == [
        f'"{one.of.limit.name}";q={one.amount};w=60' for one in rates
    ]


def test_headers_follow_a_limit_that_changes() -> None:
    counter = rate("r", 60, 3)
    before = openai_headers([counter], OF_REQUESTS, NOW_NS)
    counter.of.limit = replace(counter.of.limit, amount=90)

    after = openai_headers([counter], OF_REQUESTS, NOW_NS)

    assert (before[0][1], after[0][1]) == (b"60", b"90")


def test_caller_without_limits_gets_no_headers() -> None:
    assert (openai_headers([], OF_REQUESTS, NOW_NS), ietf_headers([], [], NOW_NS)) == ([], [])

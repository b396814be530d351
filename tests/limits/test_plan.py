"""Matching: the cache and the index of addresses find what a plain look through all limits finds."""

from ipaddress import ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hero_broker.limits import plan
from hero_broker.limits.counters import MINUTE_NS, LimitCounters, RateCounter, SlotCounter
from hero_broker.limits.limit import CONCURRENT, REQUESTS, Dimensions, Limit, LimitMatch
from hero_broker.limits.plan import Matcher

IPS = st.sampled_from(["10.0.0.1", "10.0.0.2", "10.1.0.1", "400::1", "400::2", "unknown"])
NETWORKS = st.sampled_from([ip_network(text) for text in ("10.0.0.0/8", "10.0.0.0/31", "400::/7", "0.0.0.0/0")])
CONTEXTS, MODELS = st.none() | st.sampled_from(["a", "b"]), st.sampled_from(["m", "n"])
CALLS = st.builds(Dimensions, IPS, CONTEXTS, MODELS, st.sampled_from(["p", "q"]), st.sampled_from(["chat", "tts"]))
MATCHES = st.builds(
    LimitMatch,
    st.none() | IPS,
    st.none() | NETWORKS,
    CONTEXTS,
    st.none() | MODELS,
    st.sampled_from([None, "p", "q"]),
    st.sampled_from([None, "chat", "tts"]),
)
PER = st.lists(st.sampled_from(["ip", "prefix", "context", "model", "provider", "kind"]), unique=True).map(tuple)
LIMITS = st.lists(
    st.builds(Limit, st.uuids().map(str), st.sampled_from([REQUESTS, CONCURRENT]), st.just(1), MATCHES, PER)
)


def matcher(limits: list[Limit], now_ns: int = 0) -> Matcher:
    return Matcher([LimitCounters(limit) for limit in limits], lambda: now_ns, lambda: 0)


@settings(deadline=None)
@given(LIMITS, st.lists(CALLS, max_size=20))
def test_call_has_the_counters_of_the_limits_that_a_plain_search_finds(
    limits: list[Limit], calls: list[Dimensions]
) -> None:
    matching = matcher(limits)
    counters: dict[object, SlotCounter | RateCounter] = {}
    for call in calls:
        matched = matching.cached.get(call) or matching.match(call, call)

        both: list[SlotCounter | RateCounter] = [*matched.rates, *matched.slots]
        found = [(one.of.limit, one.subject) for one in both]
        wanted = [one for one in limits if one.match.covers(call)]
        in_order = sorted(wanted, key=lambda limit: limit.unit == CONCURRENT)
        assert found == [(limit, limit.subject(call)) for limit in in_order]
        for one in both:
            assert counters.setdefault((one.of.limit.name, one.subject), one) is one


def test_cache_is_bounded_and_a_used_rate_outlives_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "MAX_CACHED", 2)
    now_ns = MINUTE_NS
    matching = Matcher([LimitCounters(Limit("r", REQUESTS, 1, per=("ip",), burst=1))], lambda: now_ns, lambda: 0)
    calls = [Dimensions(f"10.0.0.{number}") for number in range(5)]
    matching.match(0, calls[0]).rates[0].take(now_ns)
    for number in range(1, 5):
        matching.match(number, calls[number])

    again = matching.match(0, calls[0]).rates[0]

    assert len(matching.cached) == 2
    assert again.wait_ns(now_ns) == MINUTE_NS


def test_rate_that_is_full_again_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "MAX_CACHED", 1)
    now_ns = MINUTE_NS
    limit = LimitCounters(Limit("r", REQUESTS, 1, per=("ip",), burst=1))
    matching = Matcher([limit], lambda: now_ns, lambda: 0)
    for number in range(10):
        matching.match(number, Dimensions(f"10.0.0.{number}")).rates[0].take(now_ns)
    used = limit.subjects

    now_ns += MINUTE_NS
    matching.match(10, Dimensions("10.0.1.0"))

    assert (used, limit.subjects) == (10, 1)


def test_caller_that_comes_and_goes_keeps_one_counter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "MAX_CACHED", 1)
    now_ns = MINUTE_NS
    matching = Matcher([LimitCounters(Limit("r", REQUESTS, 1, per=("ip",), burst=100))], lambda: now_ns, lambda: 0)
    counters = set[RateCounter]()
    for number in range(20):
        (counter,) = matching.match(number, Dimensions(f"10.0.0.{number % 2}")).rates
        counter.take(now_ns)
        counters.add(counter)

    assert len(counters) == 2
    assert {100 - counter.remaining(now_ns) for counter in counters} == {10}

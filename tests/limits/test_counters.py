"""Counters of limits: how many requests a rate admits, when it admits the next, and how many subjects a limit has."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hero_broker.limits import counters
from hero_broker.limits.counters import MINUTE_NS, LimitCounters, RateCounter, SlotCounter
from hero_broker.limits.limit import CONCURRENT, REQUESTS, Dimensions, Limit

RATES = st.builds(
    lambda amount, burst: rate(amount, burst), st.integers(1, 1_000_000), st.integers(1, 1000) | st.just(1_000_000)
)
PAUSES = st.lists(st.integers(0, 3) | st.integers(0, MINUTE_NS), max_size=60)
START_NS = 7_000_000_000


def rate(amount: int, burst: int) -> RateCounter:
    counter = LimitCounters(Limit("r", REQUESTS, amount, burst=burst)).counter(Dimensions("10.0.0.1"))
    assert isinstance(counter, RateCounter)
    return counter


def admitted(counter: RateCounter, pauses: list[int]) -> list[int]:
    """Return when requests were admitted, of those that came after each pause."""
    now_ns, times = START_NS, []
    for pause in pauses:
        now_ns += pause
        if counter.wait_ns(now_ns) == 0:
            counter.take(now_ns)
            times.append(now_ns)
    return times


@settings(deadline=None)
@given(RATES, PAUSES)
def test_no_window_has_more_than_its_share_and_a_burst(counter: RateCounter, pauses: list[int]) -> None:
    burst = counter.of.limit.burst
    times = admitted(counter, pauses)

    for first, begin in enumerate(times):
        for number, end in enumerate(times[first:], start=1):
            assert number <= (end - begin) * counter.amount / MINUTE_NS + burst


@settings(deadline=None)
@given(RATES, PAUSES)
def test_request_is_admitted_exactly_when_it_was_told_and_not_before(counter: RateCounter, pauses: list[int]) -> None:
    now_ns = max([START_NS, *admitted(counter, pauses)])
    for _ in range(min(counter.remaining(now_ns), 2000)):
        counter.take(now_ns)
    wait_ns = counter.wait_ns(now_ns)

    assert counter.wait_ns(now_ns + wait_ns) == 0
    assert wait_ns == 0 or counter.wait_ns(now_ns + wait_ns - 1) == 1


@settings(deadline=None)
@given(RATES, PAUSES, st.integers(0, MINUTE_NS))
def test_remaining_requests_are_admitted_at_once_and_no_other(
    counter: RateCounter, pauses: list[int], later_ns: int
) -> None:
    now_ns = max([START_NS, *admitted(counter, pauses)]) + later_ns
    remaining = counter.remaining(now_ns)

    assert 0 <= remaining <= counter.of.limit.burst
    if remaining <= 2000:
        taken = 0
        while counter.wait_ns(now_ns) == 0:
            counter.take(now_ns)
            taken += 1
        assert taken == remaining


@settings(deadline=None)
@given(RATES, PAUSES)
def test_one_more_is_admitted_after_the_next_and_a_whole_burst_at_the_reset(
    counter: RateCounter, pauses: list[int]
) -> None:
    now_ns = max([START_NS, *admitted(counter, pauses)])
    burst, remaining = counter.of.limit.burst, counter.remaining(now_ns)
    next_ns, full_ns = counter.next_ns(now_ns), counter.full_ns(now_ns)

    assert counter.remaining(now_ns + full_ns) == burst
    if remaining < burst:
        assert counter.remaining(now_ns + next_ns - 1) == remaining
        assert counter.remaining(now_ns + next_ns) > remaining
        assert counter.wait_ns(now_ns) in (0, next_ns)


def test_request_that_was_not_made_leaves_no_trace() -> None:
    counter = rate(60, 1)
    counter.take(START_NS)

    counter.give_back()

    assert (counter.wait_ns(START_NS), counter.full_ns(START_NS)) == (0, 0)


def test_subjects_have_counters_of_their_own_and_equal_ones_share_theirs() -> None:
    limit = LimitCounters(Limit("c", CONCURRENT, 1, per=("ip", "model")))
    calls = [Dimensions("10.0.0.1", None, model) for model in ("a", "b", "a")]

    one, other, same = (limit.counter(call) for call in calls)

    assert (one is same, one is other, limit.subjects) == (True, False, 2)


def test_counter_that_nobody_refers_to_is_forgotten() -> None:
    limit = LimitCounters(Limit("c", CONCURRENT, 1, per=("ip",)))

    for number in range(1000):
        limit.counter(Dimensions(f"10.0.{number // 256}.{number % 256}"))

    assert limit.subjects <= 1


def test_subjects_beyond_the_bound_share_a_counter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "MAX_SUBJECTS", 2)
    limit = LimitCounters(Limit("c", CONCURRENT, 1, per=("ip",)))

    first, second, third, fourth = (limit.counter(Dimensions(f"10.0.0.{number}")) for number in range(4))

    assert isinstance(third, SlotCounter)
    assert third is fourth
    assert len({id(first), id(second), id(third)}) == 3
    assert (limit.subjects, limit.shared, third.subject) == (2, 2, ("others",))
    assert limit.counter(Dimensions("10.0.0.0")) is first

"""Tokens per minute: taken as held, corrected when the call has its row."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hero_broker.core.calls import Caller
from hero_broker.core.errors import RateLimitExceeded, RequestExceedsRate
from hero_broker.limits import plan
from hero_broker.limits.admission import Admission
from hero_broker.limits.counters import MINUTE_NS, LimitCounters, TokenRateCounter, Used
from hero_broker.limits.headers import IETF, OPENAI
from hero_broker.limits.limit import REQUESTS, Dimensions, Limit, LimitMatch
from hero_broker.limits.states import LimitStates
from tests.limits.known import subjects_of
from tests.limits.test_budgets import IP, NOW, Row, begin

SECOND_NS = 1_000_000_000
SIXTY = Limit("sixty", "tokens", 60, per=("ip",), burst=60)  # one a second


class Clock:
    """Monotonic time, which a test sets."""

    def __init__(self) -> None:
        self.ns = 10**15

    def __call__(self) -> int:
        return self.ns

    def pass_s(self, seconds: int) -> None:
        self.ns += seconds * SECOND_NS


def limited(*limits: Limit) -> tuple[Admission, Clock]:
    clock = Clock()
    return Admission(limits, (OPENAI, IETF), clock, lambda: NOW), clock


def tokens(count: int) -> Used:
    return Used(0, count, 0)


def remaining(admitting: Admission) -> int:
    (one,) = subjects_of(LimitStates(admitting), "sixty", 1, {})[1]
    assert (one.used, one.held) == (60 - one.remaining, 0)
    return one.remaining


def test_call_takes_what_it_may_use_and_the_rest_is_admitted() -> None:
    admitting, clock = limited(SIXTY)
    slots = [begin(admitting, used=tokens(40))]

    with pytest.raises(RateLimitExceeded) as refused:
        begin(admitting, used=tokens(21))
    slots.append(begin(admitting, used=tokens(20)))
    with pytest.raises(RateLimitExceeded):
        admitting.check(Caller(IP, None))
    clock.pass_s(1)
    admitting.check(Caller(IP, None))

    assert refused.value.retry_after_s == 1
    assert (refused.value.status, refused.value.may_retry) == (429, True)
    assert refused.value.message == (
        "The limit 'sixty' of 60 tokens per minute is reached for 10.0.0.1; try again in 1 s."
    )
    assert len(slots) == 2


@pytest.mark.parametrize(
    ("unit", "row"),
    [
        ("tokens", Row(0, input_tokens=7, output_tokens=3)),
        ("input_tokens", Row(0, input_tokens=10, output_tokens=99)),
        ("output_tokens", Row(0, input_tokens=99, output_tokens=10)),
    ],
)
def test_row_corrects_what_was_taken(unit: str, row: Row) -> None:
    admitting, _ = limited(replace(SIXTY, unit=unit))
    slot = begin(admitting, used=Used(0, 40, 0) if unit != "output_tokens" else Used(0, 0, 40))
    taken = remaining(admitting)

    slot.settle(row)
    slot.end()

    assert (taken, remaining(admitting)) == (20, 50)


def test_call_that_used_more_than_it_took_is_counted_in_full() -> None:
    admitting, clock = limited(SIXTY)
    slot = begin(admitting, used=tokens(10))
    clock.pass_s(120)

    slot.settle(Row(0, input_tokens=80))
    slot.end()

    assert remaining(admitting) == 0
    with pytest.raises(RateLimitExceeded) as refused:
        begin(admitting, used=tokens(1))
    assert refused.value.retry_after_s == 11  # 70 were counted, of a burst of 60


def test_tokens_count_though_the_counter_left_the_cache_before_they_were_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "MAX_CACHED", 1)
    admitting, _ = limited(replace(SIXTY, hold="none"))
    slot = begin(admitting, used=tokens(1))

    begin(admitting, used=tokens(1), ip="10.0.0.2").end()
    slot.settle(Row(0, input_tokens=60))
    slot.end()
    del slot  # as the broker does; a slot refers to its counters
    begin(admitting, used=tokens(1), ip="10.0.0.3").end()

    with pytest.raises(RateLimitExceeded):
        begin(admitting, used=tokens(1))


def test_nothing_is_given_back_once_a_whole_burst_was_admitted_again() -> None:
    admitting, clock = limited(SIXTY)
    first = begin(admitting, used=tokens(60))
    clock.pass_s(60)
    begin(admitting, used=tokens(60))

    first.settle(Row(0))
    first.end()

    assert remaining(admitting) == 0


def test_call_that_was_not_made_gives_back_what_it_took() -> None:
    admitting, _ = limited(SIXTY)
    begin(admitting, used=tokens(60)).give_back()
    begin(admitting, used=tokens(60)).end()

    assert remaining(admitting) == 60


def test_call_that_may_use_more_than_a_burst_is_refused_for_good() -> None:
    admitting, _ = limited(SIXTY)
    shared, _ = limited(replace(SIXTY, per=()))

    with pytest.raises(RequestExceedsRate) as own:
        begin(admitting, used=tokens(61))
    with pytest.raises(RequestExceedsRate) as others:
        begin(shared, used=tokens(61))

    assert (own.value.status, own.value.code, own.value.may_retry) == (429, "request_exceeds_limit", False)
    assert own.value.retry_after_s is None
    advice = "a smaller max_tokens or a shorter request may fit."
    assert own.value.message == (
        f"The limit 'sixty' of 60 tokens at once is less than this call may use, 61 tokens; {advice}"
    )
    assert others.value.message == (
        f"The limit 'sixty' of this broker's operator is less than this call may use; {advice}"
    )


def test_without_holds_calls_pass_until_the_tokens_are_used() -> None:
    admitting, _ = limited(replace(SIXTY, hold="none"))
    slot = begin(admitting, used=tokens(1000))
    begin(admitting, used=tokens(1000)).end()
    slot.settle(Row(0, input_tokens=60))

    with pytest.raises(RateLimitExceeded):
        begin(admitting, used=tokens(1))


def test_refused_call_takes_nothing_of_another_limit() -> None:
    admitting, _ = limited(SIXTY, replace(SIXTY, name="ten", amount=10, burst=10, match=LimitMatch(model="m")))

    with pytest.raises(RequestExceedsRate):
        begin(admitting, used=tokens(11))

    assert remaining(admitting) == 60


def test_shadow_counts_what_it_would_refuse_and_takes_nothing_of_it() -> None:
    admitting, _ = limited(replace(SIXTY, mode="shadow"))

    begin(admitting, used=tokens(61)).end()

    assert (admitting.limits[0].would_refuse, remaining(admitting)) == (1, 60)


def test_headers_have_requests_and_tokens() -> None:
    admitting, _ = limited(SIXTY, Limit("rate", REQUESTS, 10, burst=10))
    slot = begin(admitting, used=tokens(15))

    headers = dict(admitting.headers(slot))

    assert headers == {
        b"x-ratelimit-limit-requests": b"10",
        b"x-ratelimit-remaining-requests": b"9",
        b"x-ratelimit-reset-requests": b"6s",
        b"x-ratelimit-limit-tokens": b"60",
        b"x-ratelimit-remaining-tokens": b"45",
        b"x-ratelimit-reset-tokens": b"15s",
        b"ratelimit-policy": b'"rate";q=10;w=60',
        b"ratelimit": b'"rate";r=9;t=6',
    }


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 30)), max_size=40))
def test_no_time_has_more_tokens_than_the_burst_and_what_came_back(calls: list[tuple[int, int]]) -> None:
    """Calls use what they may use: between any two of them, tokens are at most the burst and one a second."""
    counter = LimitCounters(replace(SIXTY, burst=30)).counter(Dimensions(IP))
    assert isinstance(counter, TokenRateCounter)
    now_ns, admitted = 10**15, list[tuple[int, int]]()
    for pause_s, count in calls:
        now_ns += pause_s * SECOND_NS
        wait_ns = counter.wait_for_ns(now_ns, count)
        if wait_ns:
            assert counter.wait_for_ns(now_ns + wait_ns, count) == 0 < counter.wait_for_ns(now_ns + wait_ns - 1, count)
        else:
            counter.take_many(now_ns, count)
            admitted.append((now_ns, count))

    for first, (since_ns, _) in enumerate(admitted):
        for last, (until_ns, _) in enumerate(admitted[first:], first):
            total = sum(count for _, count in admitted[first : last + 1])
            assert total * MINUTE_NS <= 30 * MINUTE_NS + (until_ns - since_ns) * 60


def test_absurd_report_of_a_provider_refuses_for_an_hour_at_most() -> None:
    admitting, clock = limited(SIXTY)
    slot = begin(admitting, used=tokens(1))
    slot.settle(Row(0, input_tokens=10**9))
    slot.end()

    with pytest.raises(RateLimitExceeded) as refused:
        begin(admitting, used=tokens(1))
    clock.pass_s(3_601)
    begin(admitting, used=tokens(1)).end()

    assert 3_600 <= (refused.value.retry_after_s or 0) <= 3_601

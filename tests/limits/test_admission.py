"""Admission: what is refused and how, what a call holds, and that a refused call takes nothing."""

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from ipaddress import ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hero_broker.core.calls import Caller
from hero_broker.core.errors import BrokerError, Overloaded, RateLimitExceeded, TooManyCalls
from hero_broker.limits.admission import Admission, Slot
from hero_broker.limits.counters import SlotCounter, Used
from hero_broker.limits.headers import IETF, OPENAI
from hero_broker.limits.limit import CONCURRENT, REQUESTS, Dimensions, Limit, LimitMatch, server_limits

IP = "10.0.0.1"
SECOND_NS = 1_000_000_000


class Time:
    """Monotonic time that a test sets."""

    ns = 60 * SECOND_NS

    def __call__(self) -> int:
        return self.ns


def admission(*limits: Limit, max_calls: int = 100, share: int = 100, time: Time | None = None) -> Admission:
    return Admission([*server_limits(max_calls, share), *limits], (OPENAI,), time or Time())


def enter(admitting: Admission, ip: str = IP) -> Slot:
    return admitting.enter(Caller(ip, None))


def no_bound(_hold: str) -> Used:
    raise AssertionError("only budgets need to know what a call may use")


def admit(
    admitting: Admission, slot: Slot, ip: str = IP, model: str = "m", context: str | None = None
) -> Sequence[tuple[bytes, bytes]]:
    return admitting.admit(slot, ip, context, model, "p", "chat", 1_700_000_000, no_bound)


def admitted(admitting: Admission, ip: str = IP, model: str = "m", context: str | None = None) -> Slot:
    """Let a call pass all limits; free its slots if one refuses it."""
    slot = enter(admitting, ip)
    try:
        admit(admitting, slot, ip, model, context)
    except BrokerError:
        slot.end()
        raise
    return slot


def in_flight(admitting: Admission, ip: str = IP, model: str = "m") -> dict[str, int]:
    """Return the calls in flight of the limits of a call."""
    counters = {one.limit.name: one.counter(Dimensions(ip, None, model, "p", "chat")) for one in admitting.limits}
    return {name: one.in_flight for name, one in counters.items() if isinstance(one, SlotCounter) and one.in_flight}


def test_call_beyond_all_calls_is_refused_and_holds_nothing() -> None:
    admitting = admission(max_calls=1, share=1)
    slot = enter(admitting)

    with pytest.raises(Overloaded, match="1 calls are in flight"):
        enter(admitting, "10.0.0.2")
    slot.end()

    assert in_flight(admitting) == in_flight(admitting, "10.0.0.2") == {}


@pytest.mark.parametrize("ip", [IP, "400::1", "unknown"])
def test_address_that_holds_its_share_is_refused_and_others_are_not(ip: str) -> None:
    admitting = admission(max_calls=4, share=2)
    slots = [enter(admitting, ip), enter(admitting, ip)]

    with pytest.raises(TooManyCalls, match=f"2 calls of {ip} are in flight"):
        enter(admitting, ip)
    slots += [enter(admitting, "10.0.0.2"), enter(admitting, "400::2")]

    assert in_flight(admitting, ip) == {"server.max_calls_per_address": 2, "server.max_calls": 4}
    for slot in slots:
        slot.end()
    assert in_flight(admitting, ip) == {}


def test_share_beyond_all_calls_is_all_of_them() -> None:
    admitting = admission(max_calls=1, share=100)
    slot = enter(admitting)

    with pytest.raises(TooManyCalls, match="1 calls"):
        enter(admitting)
    slot.end()


def test_slot_is_freed_once_however_often_it_ends() -> None:
    admitting = admission(Limit("at-once", CONCURRENT, 5))
    slot, other = admitted(admitting), admitted(admitting)

    slot.release()
    slot.end()
    slot.release()
    slot.end()

    assert set(in_flight(admitting).values()) == {1}
    other.end()


def test_client_that_leaves_frees_the_share_of_its_address_and_not_the_limit_of_the_operator() -> None:
    admitting = admission(Limit("at-once", CONCURRENT, 5), Limit("model", CONCURRENT, 5, LimitMatch(model="m")))
    slot = admitted(admitting)

    slot.release()

    assert in_flight(admitting) == {"at-once": 1, "model": 1}
    slot.end()
    assert in_flight(admitting) == {}


def test_rate_refuses_before_the_body_and_tells_exactly_when_it_admits() -> None:
    time = Time()
    admitting = admission(Limit("per-machine", REQUESTS, 8, per=("ip",), burst=2), time=time)
    admitted(admitting).end()
    admitted(admitting).end()
    time.ns += SECOND_NS

    with pytest.raises(RateLimitExceeded) as refused:
        enter(admitting)

    assert refused.value.retry_after_s == 7  # of 7.5 s, one has passed: 6.5, rounded up
    assert refused.value.message == (
        "The limit 'per-machine' of 8 requests per minute is reached for 10.0.0.1; try again in 7 s."
    )
    assert refused.value.headers == (
        (b"x-ratelimit-limit-requests", b"8"),
        (b"x-ratelimit-remaining-requests", b"0"),
        (b"x-ratelimit-reset-requests", b"14s"),
    )
    assert (refused.value.status, refused.value.code, refused.value.may_retry) == (429, "rate_limit_exceeded", True)
    enter(admitting, "10.0.0.2").end()
    time.ns += 7 * SECOND_NS
    admitted(admitting).end()


def test_refusal_by_a_limit_of_several_addresses_has_no_numbers() -> None:
    admitting = admission(Limit("everybody", REQUESTS, 1234, burst=1))
    admitted(admitting).end()

    with pytest.raises(RateLimitExceeded) as refused:
        enter(admitting, "10.0.0.2")

    assert refused.value.message == "The limit 'everybody' of this broker's operator is reached; try again in 1 s."


@pytest.mark.parametrize(
    ("limit", "subject"),
    [
        (Limit("l", CONCURRENT, 1, per=("ip", "model")), "10.0.0.1 with the model m"),
        (Limit("l", CONCURRENT, 1, LimitMatch(ip=IP)), "10.0.0.1"),
        (Limit("l", CONCURRENT, 1, LimitMatch(ip=IP), ("kind",)), "10.0.0.1 with the kind chat"),
    ],
)
def test_refusal_names_the_subject_of_an_own_limit(limit: Limit, subject: str) -> None:
    admitting = admission(limit)
    slot = admitted(admitting)

    with pytest.raises(TooManyCalls) as refused:
        admitted(admitting)

    assert refused.value.message == f"The limit 'l' of 1 calls in flight is reached for {subject}; try again shortly."
    assert refused.value.retry_after_s == 1
    slot.end()


def test_limit_of_a_model_leaves_other_models_alone() -> None:
    admitting = admission(Limit("small", REQUESTS, 1, LimitMatch(model="m"), burst=1))
    admitted(admitting).end()

    with pytest.raises(RateLimitExceeded):
        admitted(admitting)
    admitted(admitting, model="n").end()


def test_look_at_a_caller_takes_nothing() -> None:
    admitting = admission(Limit("r", REQUESTS, 1, burst=1), Limit("c", CONCURRENT, 1))
    for _ in range(3):
        admitting.check(Caller(IP, None))
        enter(admitting).end()

    slot = admitted(admitting)

    with pytest.raises(TooManyCalls):
        admitting.check(Caller(IP, None))
    slot.end()
    with pytest.raises(RateLimitExceeded):
        admitting.check(Caller(IP, None))
    assert [one.refused for one in admitting.limits] == [0, 0, 0, 0]


def test_two_calls_that_looked_at_the_same_last_request_do_not_both_get_it() -> None:
    admitting = admission(Limit("r", REQUESTS, 1, burst=1))
    one, other = enter(admitting), enter(admitting)
    admit(admitting, one)

    with pytest.raises(RateLimitExceeded):
        admit(admitting, other)
    one.end()
    other.end()


def test_call_that_one_limit_refuses_uses_up_no_other() -> None:
    wide = Limit("wide", REQUESTS, 60, burst=2)
    admitting = admission(wide, Limit("narrow", REQUESTS, 60, LimitMatch(model="m"), burst=1))
    admitted(admitting).end()
    for _ in range(5):
        with pytest.raises(RateLimitExceeded, match="narrow"):
            admitted(admitting)

    admitted(admitting, model="n").end()

    with pytest.raises(RateLimitExceeded, match="wide"):
        admitted(admitting, model="n")


def test_call_that_could_not_be_noted_is_given_back() -> None:
    admitting = admission(Limit("r", REQUESTS, 1, burst=1))
    slot = admitted(admitting)

    slot.give_back()
    slot.give_back()
    slot.end()

    admitted(admitting).end()
    with pytest.raises(RateLimitExceeded):
        enter(admitting)


@pytest.mark.parametrize(
    "limit",
    [
        Limit("l", REQUESTS, 1, burst=1),
        Limit("l", CONCURRENT, 1),
        Limit("l", REQUESTS, 1, LimitMatch(model="m"), burst=1),
        Limit("l", CONCURRENT, 1, LimitMatch(model="m")),
    ],
    ids=["early rate", "early slots", "late rate", "late slots"],
)
def test_shadow_counts_what_it_would_refuse_and_refuses_nothing(limit: Limit) -> None:
    admitting = admission(replace(limit, mode="shadow"))
    slots = [admitted(admitting) for _ in range(4)]
    admitting.check(Caller(IP, None))

    (counters,) = admitting.limits[2:]
    assert (counters.refused, counters.would_refuse) == (0, 3)
    for slot in slots:
        slot.end()
    assert in_flight(admitting) == {}


def test_refusals_are_counted_and_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    time = Time()
    admitting = admission(Limit("c", CONCURRENT, 1, LimitMatch(network=ip_network("10.0.0.0/8"))), time=time)
    slot = admitted(admitting)
    with caplog.at_level(logging.WARNING):
        for wait_s, ip in ((0, IP), (0, IP), (0, "10.0.0.2"), (59, IP), (1, IP)):
            time.ns += wait_s * SECOND_NS
            with pytest.raises(TooManyCalls):
                enter(admitting, ip)

    assert [one.refused for one in admitting.limits] == [0, 0, 5]
    assert [record.getMessage() for record in caplog.records] == [
        "limits: c refuses a call of 10.0.0.1; refused of all callers since the start: 1",
        "limits: c refuses a call of 10.0.0.2; refused of all callers since the start: 3",
        "limits: c refuses a call of 10.0.0.1; refused of all callers since the start: 5",
    ]
    slot.end()


def test_only_limits_of_the_operator_are_asked_after_the_body() -> None:
    assert not admission().is_asked_late
    assert admission(Limit("r", REQUESTS, 1, burst=1)).is_asked_late


def test_context_is_looked_at_if_a_limit_names_it() -> None:
    admitting = admission(Limit("r", REQUESTS, 1, per=("ip", "context"), burst=1))
    admitted(admitting, context="a").end()
    admitted(admitting, context="b").end()

    with pytest.raises(RateLimitExceeded):
        admitted(admitting, context="a")


def test_headers_are_of_the_forms_of_the_settings() -> None:
    limit = Limit("r", REQUESTS, 60, burst=2)
    names = []
    for forms in ((), (OPENAI,), (IETF,), (OPENAI, IETF)):
        admitting = Admission([limit], forms, Time())
        slot = enter(admitting)
        names.append([name.decode() for name, _ in admit(admitting, slot)])

    openai = [f"x-ratelimit-{what}-requests" for what in ("limit", "remaining", "reset")]
    assert names == [[], openai, ["ratelimit-policy", "ratelimit"], [*openai, "ratelimit-policy", "ratelimit"]]


def test_call_that_no_limit_counts_has_no_headers() -> None:
    admitting = admission(Limit("r", REQUESTS, 60, LimitMatch(model="other"), burst=2))
    slot = enter(admitting)

    assert admit(admitting, slot) == ()
    slot.end()


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["10.0.0.1", "10.0.0.2"]),
        st.sampled_from(["m", "n"]),
        st.integers(0, 20 * SECOND_NS),
        st.sampled_from(["go on", "leave", "end", "give back"]),
    ),
    max_size=60,
)


@settings(deadline=None)
@given(STEPS)
def test_slots_in_use_are_those_of_the_calls_in_flight(steps: list[tuple[str, str, int, str]]) -> None:
    time = Time()
    limits = [
        Limit("all", CONCURRENT, 5),
        Limit("own", CONCURRENT, 3, per=("ip",)),
        Limit("model", CONCURRENT, 2, LimitMatch(model="m"), ("ip",)),
        Limit("rate", REQUESTS, 30, per=("ip",), burst=4),
    ]
    admitting = admission(*limits, max_calls=6, share=4, time=time)
    open_calls: list[tuple[str, str, Slot]] = []
    for ip, model, pause_ns, then in steps:
        time.ns += pause_ns
        with suppress(BrokerError):
            open_calls.append((ip, model, admitted(admitting, ip, model)))
        if then == "leave" and open_calls:
            open_calls[0][2].release()
        elif then != "go on" and open_calls:
            slot = open_calls.pop(0)[2]
            if then == "give back":
                slot.give_back()
            slot.end()

        for ip in ("10.0.0.1", "10.0.0.2"):
            own = [one for one in open_calls if one[0] == ip]
            assert in_flight(admitting, ip).get("all", 0) == len(open_calls) <= 5
            assert in_flight(admitting, ip).get("own", 0) == len(own) <= 3
            assert in_flight(admitting, ip).get("model", 0) == sum(one[1] == "m" for one in own) <= 2
            assert in_flight(admitting, ip).get("server.max_calls", 0) <= 6


def test_address_that_a_match_excepts_is_not_counted() -> None:
    match = LimitMatch(network=ip_network("10.0.0.0/24"), excepted=(ip_network("10.0.0.9/32"),))
    admitting = admission(Limit("one", CONCURRENT, 1, match))
    slots = [enter(admitting, ip) for ip in ("10.0.0.1", "10.0.0.9", "10.0.0.9")]

    with pytest.raises(TooManyCalls):
        enter(admitting, "10.0.0.2")

    assert slots[0].slots[0].in_flight == 1
    for slot in slots:
        slot.end()

"""What operators see of limits and of their counters."""

from ipaddress import ip_network
from zoneinfo import ZoneInfo

import pytest

from hero_broker.core.calls import Caller
from hero_broker.core.errors import NotRecorded
from hero_broker.core.limits import LimitState, SubjectState
from hero_broker.limits.admission import Admission
from hero_broker.limits.limit import CONCURRENT, REQUESTS, Limit, LimitMatch
from hero_broker.limits.states import LimitStates
from tests.limits.test_budgets import NOW, TEN, begin, finish
from tests.limits.test_budgets import admission as with_budgets

MATCH = LimitMatch(network=ip_network("10.0.0.0/8"), kind="chat")


def test_limit_is_shown_with_its_fields_and_as_a_sentence() -> None:
    limit = Limit("r", REQUESTS, 60, MATCH, ("ip", "model"), 10, mode="shadow")

    (state,) = LimitStates(Admission([limit])).limits()

    assert state == LimitState(
        name="r",
        unit="requests",
        amount=60,
        window="minute",
        tz=None,
        hold=None,
        burst=10,
        match={"network": "10.0.0.0/8", "kind": "chat"},
        per=("ip", "model"),
        mode="shadow",
        description="at most 60 requests per minute, 10 at once, for each address and each model; "
        "it counts calls from 10.0.0.0/8 of the kind chat; in shadow mode, so it refuses nothing",
        subjects=0,
        refused=0,
        would_refuse=0,
        overshoots=0,
    )


def test_limits_of_a_window_and_of_calls_in_flight_have_no_burst() -> None:
    month = Limit("m", "usd", 1, window="month", zone=ZoneInfo("Europe/Brussels"), hold="worst")
    states = LimitStates(Admission([Limit("c", CONCURRENT, 4), month])).limits()

    assert [(one.window, one.tz, one.hold, one.burst) for one in states] == [
        (None, None, None, None),
        ("month", "Europe/Brussels", "worst", None),
    ]


def test_budget_shows_who_spent_most_of_the_present_window() -> None:
    admitting = with_budgets(TEN)
    slots = [begin(admitting, 9, ip="10.0.0.2"), begin(admitting, 2, ip="10.0.0.3")]
    finish(begin(admitting, 4), 25)
    finish(begin(admitting, 4, at=NOW - 86_400), 1, started_at=NOW - 86_400)

    limit, subjects = LimitStates(admitting).subjects("ten", 2)

    day = TEN.window_at(NOW)
    assert (limit.name, limit.subjects, limit.overshoots) == ("ten", 3, 1)
    assert subjects == [
        SubjectState({"ip": "10.0.0.1"}, 25, 0, 0, *day),
        SubjectState({"ip": "10.0.0.2"}, 0, 9, 1, *day),
    ]
    for slot in slots:
        slot.end()


def test_budget_for_ever_has_no_end() -> None:
    admitting = with_budgets(Limit("all", "tokens", 10, window="ever"))
    slot = begin(admitting)

    assert LimitStates(admitting).subjects("all", 9)[1] == [SubjectState({}, 0, 0, 10, 0, None)]
    slot.end()


def test_rates_and_calls_in_flight_show_what_is_left() -> None:
    limits = [Limit("r", REQUESTS, 60, per=("ip",), burst=5), Limit("c", CONCURRENT, 2)]
    admitting = Admission(limits, (), lambda: 10**12)
    slots = [admitting.enter(Caller("10.0.0.1", None)) for _ in range(2)]
    admitting.admit(slots[0], "10.0.0.1", None, "m", "p", "chat", NOW, None)

    states = LimitStates(admitting)

    assert states.subjects("r", 9)[1] == [SubjectState({"ip": "10.0.0.1"}, 1, 0, 4, None, None)]
    assert states.subjects("c", 9)[1] == [SubjectState({}, 2, 0, 0, None, None)]
    for slot in slots:
        slot.end()


def test_unknown_limit_is_not_there() -> None:
    with pytest.raises(NotRecorded):
        LimitStates(with_budgets(TEN)).subjects("eleven", 9)

"""What operators see of limits and of their counters."""

import asyncio
import gc
from decimal import Decimal
from ipaddress import ip_network
from zoneinfo import ZoneInfo

import pytest

from hero_broker.core.calls import Caller
from hero_broker.core.errors import NotRecorded
from hero_broker.core.limits import LimitState, OwnLimit, SubjectState
from hero_broker.limits import counters
from hero_broker.limits.admission import Admission
from hero_broker.limits.counters import BudgetCounter
from hero_broker.limits.limit import CONCURRENT, REQUESTS, Dimensions, Limit, LimitMatch, server_limits
from hero_broker.limits.states import MAX_OWN_COUNTERS, LimitStates
from hero_broker.util import turns
from tests.limits.known import subjects_of
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
        source="file",
        warn_at=(),
        on_exceed=None,
        unpriced=None,
        on_limits_unavailable=None,
        description="at most 60 requests per minute, 10 at once, for each address and each model; "
        "it counts calls from 10.0.0.0/8 of the kind chat; in shadow mode, so it refuses nothing",
        subjects=0,
        refused=0,
        would_refuse=0,
        overshoots=0,
        warned=0,
    )


def test_exceptions_of_a_match_are_shown_as_operators_write_them() -> None:
    excepted = (ip_network("10.0.0.9/32"), ip_network("10.1.0.0/16"))

    (state,) = LimitStates(Admission([Limit("c", CONCURRENT, 4, LimitMatch(excepted=excepted))])).limits()

    assert state.match == {"exclude": "10.0.0.9, 10.1.0.0/16"}


def test_limits_of_a_window_and_of_calls_in_flight_have_no_burst() -> None:
    month = Limit("m", "usd", 1, window="month", zone=ZoneInfo("Europe/Brussels"), hold="worst")
    states = LimitStates(Admission([Limit("c", CONCURRENT, 4), month])).limits()

    assert [(one.window, one.tz, one.hold, one.burst, one.unpriced, one.on_exceed) for one in states] == [
        (None, None, None, None, None, None),
        ("month", "Europe/Brussels", "worst", None, "refuse", "finish"),
    ]


def test_budget_shows_who_spent_most_of_the_present_window() -> None:
    admitting = with_budgets(TEN)
    slots = [begin(admitting, 9, ip="10.0.0.2"), begin(admitting, 2, ip="10.0.0.3")]
    finish(begin(admitting, 4), 25)
    finish(begin(admitting, 4, at=NOW - 86_400), 1, started_at=NOW - 86_400)

    limit, subjects = subjects_of(LimitStates(admitting), "ten", 2, {})

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

    assert subjects_of(LimitStates(admitting), "all", 9, {})[1] == [SubjectState({}, 0, 0, 10, 0, None)]
    slot.end()


def test_rates_and_calls_in_flight_show_what_is_left() -> None:
    limits = [Limit("r", REQUESTS, 60, per=("ip",), burst=5), Limit("c", CONCURRENT, 2)]
    admitting = Admission(limits, (), lambda: 10**12)
    slots = [admitting.enter(Caller("10.0.0.1", None)) for _ in range(2)]
    admitting.admit(slots[0], "10.0.0.1", None, "m", "p", "chat", NOW, None)

    states = LimitStates(admitting)

    assert subjects_of(states, "r", 9, {})[1] == [SubjectState({"ip": "10.0.0.1"}, 1, 0, 4, None, None)]
    assert subjects_of(states, "c", 9, {})[1] == [SubjectState({}, 2, 0, 0, None, None)]
    for slot in slots:
        slot.end()


def test_unknown_limit_is_not_there() -> None:
    with pytest.raises(NotRecorded):
        subjects_of(LimitStates(with_budgets(TEN)), "eleven", 9, {})


MINE = "10.0.0.1"


def seen(admitting: Admission, ip: str = MINE) -> list[OwnLimit]:
    """Return what a caller sees of the limits that are not the server's own."""
    return [one for one in LimitStates(admitting).of_caller(ip) if not one.name.startswith("server.")]


def amounts(admitting: Admission, ip: str = MINE) -> list[tuple[str, object, int | None, int | None, int | None]]:
    """Return what a caller sees of its limits: names, which calls, what is used, held and left."""
    return [(one.name, one.calls, one.used, one.held, one.remaining) for one in seen(admitting, ip)]


def test_caller_sees_what_it_spent_of_a_budget_of_its_own() -> None:
    admitting = with_budgets(TEN)
    finish(begin(admitting, 4, ip=MINE), 3)
    slot = begin(admitting, 2, ip=MINE)
    other = begin(admitting, 9, ip="10.0.0.2")

    (mine,) = seen(admitting)

    assert mine == OwnLimit("ten", "usd", "day", TEN.zone.key, {}, 10, 3, 2, 5, *TEN.window_at(NOW))
    for one in (slot, other):
        one.end()


def test_caller_without_calls_has_used_nothing_and_gets_no_counter() -> None:
    admitting = with_budgets(TEN)

    assert amounts(admitting) == [("ten", {}, 0, 0, 10)]
    assert admitting.limits[-1].subjects == 0


def test_amounts_of_what_callers_share_are_hidden() -> None:
    shared = [
        Limit("all", "tokens", 777, window="month"),
        Limit("prefix", REQUESTS, 60, per=("prefix",), burst=5),
        Limit("network", CONCURRENT, 3, MATCH),
    ]
    states = seen(with_budgets(*shared))

    assert [one.name for one in states] == ["all", "prefix", "network"]
    assert {(one.amount, one.used, one.held, one.remaining) for one in states} == {(None, None, None, None)}
    assert [one.window_end is None for one in states] == [False, True, True]
    assert states[2].calls == {"kind": "chat"}


def test_limits_of_others_and_those_that_refuse_nothing_are_left_out() -> None:
    limits = [
        Limit("shadow", CONCURRENT, 3, per=("ip",), mode="shadow"),
        Limit("warn", "usd", 3, per=("ip",), window="day", mode="warn", warn_at=(Decimal(1),)),
        Limit("other", CONCURRENT, 3, LimitMatch(ip="10.0.0.2")),
        Limit("far", CONCURRENT, 3, LimitMatch(network=ip_network("192.0.2.0/24"))),
        Limit("mine", CONCURRENT, 3, LimitMatch(ip=MINE)),
    ]

    assert amounts(Admission(limits)) == [("mine", {}, 0, 0, 3)]
    assert amounts(Admission(limits), "unknown") == []


def test_each_counter_of_a_caller_is_a_line() -> None:
    admitting = with_budgets(Limit("m", "tokens", 10**6, window="day", per=("model", "ip")))
    slots = [begin(admitting, ip=ip, model=model) for ip, model in ((MINE, "a"), (MINE, "b"), ("10.0.0.2", "c"))]

    assert [line[:2] for line in amounts(admitting)] == [("m", {"model": "a"}), ("m", {"model": "b"})]
    for slot in slots:
        slot.end()


def test_budget_that_is_not_known_yet_shows_no_amounts() -> None:
    admitting = Admission([TEN])

    assert amounts(admitting) == [("ten", {}, None, None, None)]


def test_caller_who_may_share_a_counter_sees_no_amounts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "MAX_SUBJECTS", 1)
    admitting = with_budgets(TEN)
    slots = [begin(admitting, 1, ip=ip) for ip in (MINE, "10.0.0.2")]

    assert amounts(admitting) == [("ten", {}, 0, 1, 9)]
    assert amounts(admitting, "10.0.0.2") == [("ten", {}, None, None, None)]
    for slot in slots:
        slot.end()


def test_counters_of_an_address_go_with_its_calls() -> None:
    admitting = with_budgets(Limit("m", "tokens", 10**6, window="day", per=("ip", "model")))
    (limit,) = (one for one in admitting.limits if one.limit.name == "m")
    kept = [limit.counter(Dimensions(MINE, model=model)) for model in "ab"]

    assert [line[1] for line in amounts(admitting)] == [{"model": "a"}, {"model": "b"}]
    kept.pop()
    gc.collect()
    assert [line[1] for line in amounts(admitting)] == [{"model": "a"}]
    kept.clear()
    gc.collect()
    assert [line[1] for line in amounts(admitting)] == [{}]
    assert len(limit._of_ip) == 0


def test_few_of_many_counters_are_shown() -> None:
    admitting = with_budgets(Limit("c", CONCURRENT, 9, per=("ip", "context")))
    (limit,) = (one for one in admitting.limits if one.limit.name == "c")
    kept = [limit.counter(Dimensions(MINE, str(number))) for number in range(MAX_OWN_COUNTERS + 1)]

    assert len(seen(admitting)) == MAX_OWN_COUNTERS < len(kept)


def test_grants_are_shown_beside_what_they_add_up_to() -> None:
    admitting = with_budgets(TEN)
    finish(begin(admitting, 4), 4)
    (counter,) = admitting.limits[-1].counters()
    counter.amount += 5
    states = LimitStates(admitting)

    (subject,) = subjects_of(states, "ten", 9, {})[1]
    own = next(one for one in states.of_caller("10.0.0.1") if one.name == "ten")

    assert (subject.granted, subject.remaining) == (5, 11)
    assert (own.amount, own.remaining) == (15, 11)


def test_subjects_may_be_those_with_some_values() -> None:
    admitting = with_budgets(Limit("b", "usd", 10, per=("ip", "model"), window="day"))
    for ip, model in (("10.0.0.1", "m"), ("10.0.0.1", "n"), ("10.0.0.2", "m")):
        finish(begin(admitting, 1, ip=ip, model=model), 1)
    states = LimitStates(admitting)

    assert len(subjects_of(states, "b", 9, {"ip": "::ffff:10.0.0.1"})[1]) == 2
    assert [one.subject for one in subjects_of(states, "b", 9, {"ip": "10.0.0.2", "model": None})[1]] == [
        {"ip": "10.0.0.2", "model": "m"}
    ]
    assert subjects_of(states, "b", 9, {"ip": "10.0.0.9"})[1] == []


def test_one_subject_is_shown_before_its_first_use_unless_the_limit_does_not_count_it() -> None:
    network = LimitMatch(network=ip_network("10.0.0.0/24"))
    admitting = with_budgets(Limit("b", "usd", 10, network, ("ip",), window="day"), Limit("all", CONCURRENT, 3))
    states = LimitStates(admitting)

    (unused,) = subjects_of(states, "b", 9, {"ip": "::ffff:10.0.0.1"})[1]

    assert (unused.subject, unused.used, unused.remaining) == ({"ip": "10.0.0.1"}, 0, 10)
    assert subjects_of(states, "b", 9, {"ip": "10.0.1.1"})[1] == subjects_of(states, "b", 9, {})[1] == []
    assert [one.remaining for one in subjects_of(states, "all", 9, {})[1]] == [3]
    assert [one.subjects for one in admitting.limits if not one.limit.is_of_server] == [0, 0]


def test_subjects_with_grants_are_shown_before_their_first_use() -> None:
    admitting = with_budgets(Limit("b", "usd", 10, LimitMatch(model="m"), ("ip", "model"), window="day"))
    admitting.limits[-1].grant({("10.0.0.2", "m"): 5, ("10.0.0.3", "n"): 5})
    finish(begin(admitting, 1, ip="10.0.0.1", model="m"), 1)
    states = LimitStates(admitting)

    listed = [(one.subject["ip"], one.used, one.granted, one.remaining) for one in subjects_of(states, "b", 9, {})[1]]

    assert listed == [("10.0.0.1", 1, 0, 9), ("10.0.0.2", 0, 5, 15)]
    assert len(subjects_of(states, "b", 1, {})[1]) == 1
    assert [one.granted for one in subjects_of(states, "b", 9, {"ip": "10.0.0.2"})[1]] == [5]


def test_subject_whose_use_is_not_known_or_shared_is_not_shown_as_unused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert subjects_of(LimitStates(Admission([TEN])), "ten", 9, {"ip": MINE})[1] == []
    monkeypatch.setattr(counters, "MAX_SUBJECTS", 1)
    admitting = with_budgets(TEN)
    slots = [begin(admitting, 1, ip=ip) for ip in (MINE, "10.0.0.2")]

    assert subjects_of(LimitStates(admitting), "ten", 9, {"ip": "10.0.0.2"})[1] == []
    for slot in slots:
        slot.end()


def test_source_of_a_limit_is_shown() -> None:
    limits = [*server_limits(9, 9), Limit("f", CONCURRENT, 1), Limit("r", CONCURRENT, 1, is_set=True)]

    states = LimitStates(Admission(limits)).limits()

    assert [one.source for one in states] == ["server", "server", "file", "rpc"]


def test_many_subjects_are_looked_at_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "TURN_S", 0)
    admitting = with_budgets(TEN)
    (limit,) = admitting.budgets
    kept = [limit.of_subject((f"10.0.{number >> 8}.{number & 255}",)) for number in range(3000)]
    for number, counter in enumerate(kept):
        assert isinstance(counter, BudgetCounter)
        counter.at(NOW).spent = number

    async def main() -> tuple[int, list[int]]:
        asking, others = asyncio.create_task(LimitStates(admitting).subjects("ten", 3, {})), 0
        while not asking.done():
            await asyncio.sleep(0)
            others += 1
        return others, [one.used for one in asking.result()[1]]

    others, used = asyncio.run(main())
    assert others > 3000
    assert used == [2999, 2998, 2997]

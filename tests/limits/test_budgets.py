"""Budgets: what admits a call, what it holds while it runs, and what is counted when it has its row."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hero_broker.core.calls import Caller
from hero_broker.core.errors import (
    BrokerError,
    BudgetExceeded,
    BudgetReserved,
    LimitsUnavailable,
    ModelNotPriced,
    RateLimitExceeded,
    RequestExceedsLimit,
)
from hero_broker.limits import counters, plan
from hero_broker.limits.admission import Admission, Slot
from hero_broker.limits.counters import BudgetCounter, Used, WindowSum
from hero_broker.limits.headers import budget_left
from hero_broker.limits.limit import REQUESTS, Dimensions, Limit, LimitMatch, server_limits
from tests.limits.known import know

IP = "10.0.0.1"
NOW = 1_796_000_000  # 2026-11-30T00:53:20Z
DAY_S = 86_400
TEN = Limit("ten", "usd", 10, per=("ip",), window="day")


@dataclass(frozen=True)
class Row:
    """The members of a row that settle a call."""

    cost_nano_usd: int | None = 1
    ip: str = IP
    context: str | None = None
    model: str = "m"
    provider: str = "p"
    kind: str = "chat"
    started_at: int = NOW
    input_tokens: int | None = 0
    output_tokens: int | None = 0


class Now:
    """The time of the clock, which a test sets."""

    at = NOW

    def __call__(self) -> int:
        return self.at


def admission(*limits: Limit, now: Now | None = None, knows: bool = True) -> Admission:
    admitting = Admission([*server_limits(1000, 1000), *limits], (), lambda: 10**12, now or Now())
    if knows:
        know(admitting)
    return admitting


def begin(
    admitting: Admission,
    cost: int | None = 1,
    *,
    ip: str = IP,
    model: str = "m",
    provider: str = "p",
    at: int = NOW,
    used: Used | None = None,
) -> Slot:
    """Begin a call that may cost this much; free its slots if a limit refuses it."""
    slot = admitting.enter(Caller(ip, None))
    bound = used or Used(cost, 0, 0)
    try:
        admitting.admit(
            slot,
            ip,
            None,
            model,
            provider,
            "chat",
            at,
            lambda hold: bound._replace(input_tokens=0, output_tokens=0) if hold == "none" else bound,
        )
    except BrokerError:
        slot.end()
        raise
    return slot


def finish(slot: Slot, cost: int | None = 1, **members: object) -> None:
    """End a call that cost this much."""
    slot.settle(replace(Row(cost), **members))  # type: ignore[arg-type]
    slot.end()


def window(admitting: Admission, name: str = "ten", call: Dimensions | None = None, at: int = NOW) -> WindowSum:
    """Return what is spent and held of a budget."""
    (limit,) = (one for one in admitting.limits if one.limit.name == name)
    counter = limit.counter(call or Dimensions(IP, None, "m", "p", "chat"))
    assert isinstance(counter, BudgetCounter)
    return counter.at(at)


def state(admitting: Admission, name: str = "ten", call: Dimensions | None = None, at: int = NOW) -> tuple[int, int]:
    one = window(admitting, name, call, at)
    return one.spent, one.held


@pytest.mark.parametrize(
    ("unit", "bound", "row"),
    [
        ("usd", Used(2, 0, 0), Row(2)),
        ("tokens", Used(0, 1, 1), Row(0, input_tokens=1, output_tokens=1)),
        ("input_tokens", Used(0, 2, 9), Row(0, input_tokens=2, output_tokens=9)),
        ("output_tokens", Used(0, 9, 2), Row(0, input_tokens=9, output_tokens=2)),
        ("requests", Used(0, 9, 9, 1), Row(0)),
    ],
)
def test_call_that_reaches_the_amount_passes_and_the_next_is_refused(unit: str, bound: Used, row: Row) -> None:
    amount = 5 if unit == "requests" else 10
    admitting = admission(replace(TEN, unit=unit, amount=amount))
    for _ in range(5):
        slot = begin(admitting, used=bound)
        slot.settle(row)
        slot.end()

    with pytest.raises(BudgetExceeded) as refused:
        begin(admitting, used=bound)

    assert state(admitting) == (amount, 0)
    assert refused.value.retry_after_s == window(admitting).ends - NOW
    assert (refused.value.status, refused.value.may_retry, refused.value.type) == (402, False, "insufficient_quota")


def test_refusal_of_an_own_budget_says_what_is_left_and_when_it_ends() -> None:
    limit = replace(TEN, amount=20_000_000_000, zone=ZoneInfo("Europe/Zurich"))
    admitting = admission(limit)
    finish(begin(admitting, 10), 19_500_000_000)

    with pytest.raises(BudgetExceeded) as left:
        begin(admitting, 600_000_000)
    finish(begin(admitting, 500_000_000), 500_000_000)
    with pytest.raises(BudgetExceeded) as spent:
        begin(admitting, 1)

    name, ends = "The budget 'ten' of 20 USD a day for 10.0.0.1", "the window ends at 2026-12-01T00:00:00+01:00."
    assert left.value.message == f"{name} has 0.5 USD left, and this call may use 0.6 USD; {ends}"
    assert spent.value.message == f"{name} is spent; {ends}"


def test_refusal_of_a_shared_budget_has_no_amounts() -> None:
    admitting = admission(replace(TEN, per=(), window="ever"))
    first = begin(admitting, 9)

    with pytest.raises(BudgetReserved) as held:
        begin(admitting, 5)
    finish(first, 9)
    with pytest.raises(BudgetExceeded) as left:
        begin(admitting, 5)
    with pytest.raises(RequestExceedsLimit) as larger:
        begin(admitting, 11)

    name = "budget 'ten' of this broker's operator"
    assert held.value.message == (
        f"The {name} has enough left, but calls in flight hold part of it; try again shortly."
    )
    assert left.value.message == f"What is left of the {name} does not cover this call."
    assert left.value.retry_after_s is None
    assert larger.value.message == (
        f"The {name} is less than this call may use; a lower limit of output tokens (max_tokens, max_output_tokens) or "
        "a shorter request may fit."
    )


def test_caller_without_a_counter_of_its_own_learns_no_amounts_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "MAX_SUBJECTS", 1)
    admitting = admission(replace(TEN, window="ever"))
    own = begin(admitting, 1)
    first = begin(admitting, 7, ip="10.0.0.2")
    with pytest.raises(BudgetReserved) as held:
        begin(admitting, 5, ip="10.0.0.3")
    finish(first, 7)
    with pytest.raises(BudgetExceeded) as left:
        begin(admitting, 5, ip="10.0.0.3")
    other = begin(admitting, 1, ip="10.0.0.3")

    name = "budget 'ten' of this broker's operator"
    assert [held.value.message, left.value.message] == [
        f"The {name} has enough left, but calls in flight hold part of it; try again shortly.",
        f"What is left of the {name} does not cover this call.",
    ]
    assert (budget_left(own.held or ()), budget_left(other.held or ())) == (9, None)


def test_open_holds_alone_are_another_refusal_that_may_be_retried_soon() -> None:
    admitting = admission(TEN)
    first = begin(admitting, 8)

    with pytest.raises(BudgetReserved) as refused:
        begin(admitting, 3)
    finish(first, 0)
    finish(begin(admitting, 3), 3)

    assert (refused.value.status, refused.value.retry_after_s, refused.value.may_retry) == (429, 2, True)
    assert "has enough left, but calls in flight hold 0.000000008 USD of it" in refused.value.message
    assert state(admitting) == (3, 0)


def test_call_that_alone_may_use_more_than_the_budget_is_refused_for_good() -> None:
    with pytest.raises(RequestExceedsLimit, match=r"may use, 0\.000000011 USD; a lower limit of output") as refused:
        begin(admission(TEN), 11)

    assert (refused.value.status, refused.value.retry_after_s, refused.value.may_retry) == (402, None, False)


def test_spent_budget_gives_no_advice_that_would_not_help() -> None:
    admitting = admission(TEN)
    finish(begin(admitting, 10), 10)

    with pytest.raises(BudgetExceeded, match="is spent; the window ends at"):
        begin(admitting, 11)


def test_without_holds_calls_pass_until_the_amount_is_spent() -> None:
    admitting = admission(replace(TEN, hold="none"))
    slots = [begin(admitting, 100) for _ in range(3)]

    assert state(admitting) == (0, 0)
    for slot in slots:
        finish(slot, 6)
    with pytest.raises(BudgetExceeded, match="is spent"):
        begin(admitting, 100)
    assert admitting.limits[2].overshoots == 0


def test_call_that_costs_more_than_its_hold_is_counted_in_full() -> None:
    admitting = admission(TEN)

    finish(begin(admitting, 4), 25)

    assert (state(admitting), admitting.limits[2].overshoots) == ((25, 0), 1)


def test_operator_chooses_the_status_of_a_spent_budget() -> None:
    requests = replace(TEN, name="requests", unit="requests", amount=1)
    admitting = Admission([TEN, requests], (), lambda: 10**12, Now(), budget_status=429)
    know(admitting)

    with pytest.raises(RequestExceedsLimit) as larger:
        begin(admitting, 11)
    slot = begin(admitting, 9)
    finish(slot, 9)
    with pytest.raises(BudgetExceeded) as spent:
        admitting.enter(Caller(IP, None))

    assert [(one.value.status, one.value.code, one.value.may_retry) for one in (larger, spent)] == [
        (429, "request_exceeds_limit", False),
        (429, "budget_exceeded", False),
    ]
    assert spent.value.retry_after_s == window(admitting, "ten").ends - NOW


def test_call_of_which_no_row_came_is_free_again() -> None:
    admitting = admission(TEN)
    slot = begin(admitting, 10)

    slot.end()

    assert state(admitting) == (0, 0)
    finish(begin(admitting, 10), 10)


def test_call_that_was_not_made_is_given_back_once() -> None:
    admitting = admission(TEN)
    slot = begin(admitting, 10)

    slot.give_back()
    slot.end()

    assert state(admitting) == (0, 0)


def test_row_is_counted_once() -> None:
    admitting = admission(TEN)
    slot = begin(admitting, 5)

    finish(slot, 5)
    finish(slot, 5)

    assert state(admitting) == (5, 0)


def test_call_counts_in_the_window_of_its_begin() -> None:
    now = Now()
    admitting = admission(TEN, now=now)
    slot = begin(admitting, 10)

    now.at += DAY_S
    finish(begin(admitting, 10, at=now.at), 7, started_at=now.at)
    finish(slot, 10)

    assert (state(admitting), state(admitting, at=now.at)) == ((10, 0), (7, 0))


def test_clock_that_goes_back_finds_what_was_spent() -> None:
    admitting = admission(TEN)
    finish(begin(admitting, 10), 10)
    finish(begin(admitting, 5, at=NOW + DAY_S), 5, started_at=NOW + DAY_S)

    with pytest.raises(BudgetExceeded):
        begin(admitting, 1)


def test_budget_holds_though_the_clock_goes_back_by_several_windows() -> None:
    admitting = admission(TEN)
    for days in (0, 1, -5):
        at = NOW + days * DAY_S
        finish(begin(admitting, 10, at=at), 10, started_at=at)

        with pytest.raises(BudgetExceeded):
            begin(admitting, 1, at=at)


@pytest.mark.parametrize(
    ("zone", "name", "begins", "ends"),
    [
        ("UTC", "hour", "2026-11-30T00:00+00:00", "2026-11-30T01:00+00:00"),
        ("Asia/Kolkata", "hour", "2026-11-30T06:00+05:30", "2026-11-30T07:00+05:30"),
        ("America/New_York", "day", "2026-11-29T00:00-05:00", "2026-11-30T00:00-05:00"),
        ("Europe/Zurich", "week", "2026-11-30T00:00+01:00", "2026-12-07T00:00+01:00"),
        ("Europe/Zurich", "month", "2026-11-01T00:00+01:00", "2026-12-01T00:00+01:00"),
    ],
)
def test_windows_are_those_of_reports(zone: str, name: str, begins: str, ends: str) -> None:
    limit = replace(TEN, window=name, zone=ZoneInfo(zone))

    assert limit.window_at(NOW) == tuple(int(datetime.fromisoformat(text).timestamp()) for text in (begins, ends))


def test_day_of_a_clock_change_has_25_hours() -> None:
    begins, ends = replace(TEN, zone=ZoneInfo("Europe/Zurich")).window_at(1_792_900_000)  # 2026-10-25

    assert ends - begins == 25 * 3600


def test_all_budgets_must_admit_and_a_refused_call_takes_from_none() -> None:
    wide = replace(TEN, name="wide", per=(), amount=100)
    admitting = admission(wide, TEN, Limit("r", REQUESTS, 60, burst=3))
    for _ in range(5):
        with pytest.raises(RequestExceedsLimit):
            begin(admitting, 11)

    finish(begin(admitting, 10), 10)

    assert (state(admitting, "wide"), state(admitting)) == ((10, 0), (10, 0))
    with pytest.raises(BudgetExceeded):
        begin(admitting, 5)
    assert state(admitting, "wide") == (10, 0)


def test_rate_that_refuses_leaves_budgets_alone() -> None:
    admitting = admission(TEN, Limit("r", REQUESTS, 60, LimitMatch(model="m"), burst=1))
    finish(begin(admitting, 1), 1)

    with pytest.raises(RateLimitExceeded):
        begin(admitting, 1)

    assert state(admitting) == (1, 0)


def test_model_without_a_price_is_refused_under_a_budget_of_money_alone() -> None:
    with pytest.raises(ModelNotPriced):
        begin(admission(TEN), None)
    with pytest.raises(ModelNotPriced):
        begin(admission(replace(TEN, hold="none")), None)

    finish(begin(admission(replace(TEN, mode="shadow")), None), None)
    finish(begin(admission(replace(TEN, unit="tokens")), None), None)


@pytest.mark.parametrize("hold", ["safe", "none"])
def test_budget_that_allows_calls_without_a_price_counts_them_as_nothing(hold: str) -> None:
    allowing = replace(TEN, unpriced="allow", hold=hold)
    admitting = admission(allowing, replace(TEN, name="requests", unit="requests"))

    finish(begin(admitting, None), None)
    finish(begin(admitting, 4), 4)

    assert (state(admitting), state(admitting, "requests")) == ((4, 0), (2, 0))
    with pytest.raises(ModelNotPriced):
        begin(admission(allowing, replace(TEN, name="strict")), None)


def test_model_that_costs_nothing_passes_a_spent_budget() -> None:
    admitting = admission(TEN)
    finish(begin(admitting, 10), 12)

    finish(begin(admitting, 0), 0)


@pytest.mark.parametrize("unit", ["tokens", "requests"])
def test_spent_budget_by_address_refuses_before_the_body(unit: str) -> None:
    admitting = admission(replace(TEN, unit=unit, amount=1))
    finish(begin(admitting, used=Used(0, 1, 0)), 0, input_tokens=1)

    with pytest.raises(BudgetExceeded):
        admitting.enter(Caller(IP, None))
    with pytest.raises(BudgetExceeded):
        admitting.check(Caller(IP, None))


def test_shadow_counts_and_refuses_nothing() -> None:
    admitting = admission(replace(TEN, mode="shadow"))
    for _ in range(3):
        finish(begin(admitting, 8), 8)

    assert (state(admitting), admitting.limits[2].would_refuse, admitting.limits[2].refused) == ((24, 0), 2, 0)


def test_budget_admits_nothing_before_it_is_known_and_others_go_on() -> None:
    admitting = admission(replace(TEN, match=LimitMatch(model="m")), knows=False)

    with pytest.raises(LimitsUnavailable) as refused:
        begin(admitting, 1)
    finish(begin(admitting, 1, model="n"), 1, model="n")
    know(admitting)
    finish(begin(admitting, 1), 1)

    assert (refused.value.status, refused.value.retry_after_s, refused.value.may_retry) == (503, 5, True)
    assert state(admitting) == (1, 0)


def test_what_was_spent_before_the_start_counts_in_its_window() -> None:
    month = replace(TEN, name="month", window="month", per=("model",), match=LimitMatch(kind="chat"))
    admitting = admission(TEN, month, knows=False)
    day_begins, month_begins = TEN.window_at(NOW)[0], month.window_at(NOW)[0]
    call, other = Dimensions(IP, None, "m", "p", "chat"), Dimensions("10.0.0.2", None, "m", "p", "tts")

    know(
        admitting,
        [
            (day_begins, call, Used(4, 0, 0)),
            (day_begins, other, Used(5, 0, 0)),
            (month_begins, call, Used(7, 0, 0)),
            (month_begins, other, Used(100, 0, 0)),
        ],
    )

    assert (state(admitting), state(admitting, "month")) == ((4, 0), (7, 0))
    assert state(admitting, call=other) == (5, 0)


def test_what_was_spent_outlives_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "MAX_CACHED", 1)
    now = Now()
    admitting = admission(TEN, now=now)
    finish(begin(admitting, 5), 5)
    for number in range(2, 6):
        finish(begin(admitting, 5, ip=f"10.0.0.{number}"), 5, ip=f"10.0.0.{number}")

    kept = state(admitting)
    now.at += 2 * DAY_S
    for number in range(6, 10):
        finish(begin(admitting, 5, ip=f"10.0.0.{number}", at=now.at), 0, ip=f"10.0.0.{number}", started_at=now.at)

    assert kept == (5, 0)
    assert admitting.limits[2].subjects <= 2


def test_address_with_many_contexts_uses_up_no_counters_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "MAX_SUBJECTS", 5)
    monkeypatch.setattr(counters, "MAX_OWN", 2)
    admitting = admission(replace(TEN, per=("context", "ip"), amount=10))
    slots = []
    for number in range(6):
        slots.append(admitting.enter(Caller(IP, None)))
        call = (IP, str(number), "m", "p", "chat", NOW)
        admitting.admit(slots[-1], *call, lambda _hold: Used(2, 0, 0))
        finish(slots[-1], 2, context=str(number))
    other = begin(admitting, 10, ip="10.0.0.2")
    (limit,) = admitting.budgets

    assert {one.subject: one.at(NOW).spent for one in limit.counters() if isinstance(one, BudgetCounter)} == {
        ("0", IP): 2,
        ("1", IP): 2,
        ("others", IP): 8,
        (None, "10.0.0.2"): 0,
    }
    assert other.held
    know(
        admitting,
        [(TEN.window_at(NOW)[0], Dimensions(IP, str(number), "m", "p", "chat"), Used(3, 0, 0)) for number in range(6)],
    )
    assert {one.subject: one.at(NOW).spent for one in limit.counters() if isinstance(one, BudgetCounter)} == {
        ("0", IP): 3,
        ("1", IP): 3,
        ("others", IP): 12,
        (None, "10.0.0.2"): 0,
    }


def test_call_of_a_shared_counter_is_counted_though_its_provider_may_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "MAX_SUBJECTS", 1)
    admitting = admission(replace(TEN, per=("ip", "provider")))
    own = begin(admitting, 1)
    finish(begin(admitting, 7, ip="10.0.0.2"), 7, ip="10.0.0.2")

    with pytest.raises(BudgetExceeded):
        begin(admitting, 7, ip="10.0.0.2")
    assert own.held


def test_counter_of_a_long_window_keeps_none_of_shorter_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "MAX_CACHED", 1)
    now = Now()
    hour = replace(TEN, name="hour", window="hour")
    admitting = admission(replace(TEN, name="ever", window="ever"), hour, now=now)
    for number in range(40):
        ip = f"10.0.0.{number}"
        finish(begin(admitting, 5, ip=ip, at=now.at), 5, ip=ip, started_at=now.at)
        now.at += 3600

    assert [one.subjects for one in admitting.budgets if one.limit.window == "ever"] == [40]
    assert [one.subjects for one in admitting.budgets if one.limit.window == "hour"] < [6]


def test_counters_of_a_limit_that_is_removed_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "MAX_CACHED", 1)
    admitting = admission(replace(TEN, window="ever"))
    (removed,) = admitting.budgets
    for number in range(5):
        finish(begin(admitting, 5, ip=f"10.0.0.{number}"), 5, ip=f"10.0.0.{number}")
    spent = removed.subjects
    admitting.use_limits([])
    for number in range(5, 10):
        begin(admitting, 5, ip=f"10.0.0.{number}").end()

    assert (spent, removed.subjects) == (5, 0)


@pytest.mark.parametrize("match", [LimitMatch(), LimitMatch(provider="q")], ids=["per", "match"])
def test_call_that_another_provider_answers_counts_for_that_one(match: LimitMatch) -> None:
    limit = replace(TEN, per=("provider",), match=match)
    admitting = admission(limit)

    finish(begin(admitting, 4), 3, provider="q")

    assert state(admitting, call=Dimensions(IP, None, "m", "q", "chat")) == (3, 0)
    if match == LimitMatch():
        assert state(admitting) == (0, 0)


STEPS = st.lists(
    st.tuples(
        st.sampled_from([IP, "10.0.0.2"]),
        st.integers(0, 7),
        st.integers(0, 9),
        st.sampled_from(["begin", "begin", "settle", "settle", "end", "give back", "next day"]),
    ),
    max_size=80,
)


@settings(deadline=None)
@given(STEPS, st.booleans())
def test_held_is_what_open_calls_hold_and_spent_is_the_sum_of_the_rows(
    steps: Sequence[tuple[str, int, int, str]], may_exceed: bool
) -> None:
    now = Now()
    limits = [TEN, replace(TEN, name="all", per=(), amount=15), replace(TEN, name="ever", window="ever", amount=40)]
    admitting = admission(*limits, now=now)
    open_calls: list[tuple[str, int, int, Slot]] = []
    rows: list[Row] = []
    for ip, bound, cost, step in steps:
        if step == "begin":
            with suppress(BudgetExceeded, BudgetReserved, RequestExceedsLimit):
                open_calls.append((ip, bound, now.at, begin(admitting, bound, ip=ip, at=now.at)))
        elif step == "next day":
            now.at += DAY_S
        elif open_calls:
            caller, held, began, slot = open_calls.pop(cost % len(open_calls))
            if step == "settle":
                row = Row(cost if may_exceed else min(cost, held), caller, started_at=began)
                rows.append(row)
                slot.settle(row)
            elif step == "give back":
                slot.give_back()
            slot.end()

        day = TEN.window_at(now.at)
        for ip_ in (IP, "10.0.0.2"):
            for name, of_all, since in (("ten", False, day[0]), ("all", True, day[0]), ("ever", False, 0)):
                spent, held = state(admitting, name, Dimensions(ip_, None, "m", "p", "chat"), now.at)
                mine = [row for row in rows if (of_all or row.ip == ip_) and row.started_at >= since]
                holding = [one for one in open_calls if (of_all or one[0] == ip_) and one[2] >= since]
                assert spent == sum(row.cost_nano_usd or 0 for row in mine)
                assert held == sum(one[1] for one in holding)
                if not may_exceed:
                    assert spent + held <= {"ten": 10, "all": 15, "ever": 40}[name]


def test_call_without_a_hold_is_counted_though_its_counter_left_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "MAX_CACHED", 1)
    admitting = admission(replace(TEN, hold="none"))
    slot = begin(admitting, 6)

    begin(admitting, 1, ip="10.0.0.2").end()
    finish(slot, 6)
    del slot  # as the broker does; a slot refers to its counters
    begin(admitting, 1, ip="10.0.0.3").end()

    assert state(admitting) == (6, 0)


def test_budget_that_says_so_admits_calls_before_it_is_known_and_counts_them() -> None:
    admitting = admission(replace(TEN, on_limits_unavailable="allow"), knows=False)
    finish(begin(admitting, 4), 4)
    running = begin(admitting, 3)
    know(admitting, [(TEN.window_at(NOW)[0], Dimensions(IP), Used(6, 0, 0))])  # what the rows say by now

    assert state(admitting) == (6, 3)
    with pytest.raises(BudgetReserved):
        begin(admitting, 2)
    finish(running, 3)
    assert state(admitting) == (9, 0)


def test_budget_of_nothing_admits_what_is_granted() -> None:
    admitting = admission(replace(TEN, amount=0, window="ever", warn_at=(Decimal(1),)))
    with pytest.raises(BudgetExceeded):
        begin(admitting, 1)
    finish(begin(admitting, 0), 0)  # a model that costs nothing
    admitting.limits[2].grant({(IP,): 5})
    finish(begin(admitting, 5), 5)

    assert state(admitting) == (5, 0)
    with pytest.raises(BudgetExceeded):
        begin(admitting, 1)

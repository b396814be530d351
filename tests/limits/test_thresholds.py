"""Warnings of budgets: each threshold once for each subject and window, by what is spent alone."""

import logging
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hero_broker.core.errors import BudgetExceeded
from hero_broker.core.labels import LabelIndex
from hero_broker.core.limits import SubjectState
from hero_broker.limits.admission import Admission
from hero_broker.limits.counters import Used
from hero_broker.limits.limit import Dimensions, Limit, LimitMatch
from hero_broker.limits.states import LimitStates
from tests.limits.known import know, subjects_of
from tests.limits.test_budgets import DAY_S, IP, NOW, TEN, Now, admission, begin, finish, state

HALF, MOST, ALL = Decimal("0.5"), Decimal("0.8"), Decimal(1)
WARNING = replace(TEN, warn_at=(HALF, MOST, ALL))


def spend(admitting: Admission, *costs: int, **members: object) -> None:
    for cost in costs:
        finish(begin(admitting, cost), cost, **members)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the texts of the warnings about thresholds, once."""
    texts = [one.getMessage() for one in caplog.records if one.name == "hero_broker.limits.thresholds"]
    caplog.clear()
    return texts


def test_each_threshold_that_is_reached_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    admitting = admission(WARNING)
    spend(admitting, 4)
    before = warnings(caplog)

    spend(admitting, 1)
    half = warnings(caplog)
    spend(admitting, 1, 1, 1)
    most = warnings(caplog)

    assert before == []
    assert half == ["limits: ten: 50 % is reached for 10.0.0.1, with 0.000000005 USD of 0.00000001 USD spent"]
    assert most == ["limits: ten: 80 % is reached for 10.0.0.1, with 0.000000008 USD of 0.00000001 USD spent"]
    assert admitting.limits[2].warned == 2


def test_row_that_reaches_several_thresholds_logs_all_of_them(caplog: pytest.LogCaptureFixture) -> None:
    admitting = admission(replace(WARNING, per=(), unit="tokens"))

    finish(begin(admitting, used=Used(0, 0, 1)), 0, input_tokens=9, output_tokens=3)

    assert warnings(caplog) == [
        f"limits: ten: {part} is reached for all together, with 12 tokens of 10 tokens spent"
        for part in ("50 %", "80 %", "100 %")
    ]


def test_what_is_held_warns_of_nothing(caplog: pytest.LogCaptureFixture) -> None:
    admitting = admission(WARNING)

    slot = begin(admitting, 10)
    slot.end()

    assert warnings(caplog) == []


def test_each_subject_and_each_window_has_its_own_warnings(caplog: pytest.LogCaptureFixture) -> None:
    now = Now()
    admitting = admission(WARNING, now=now)
    spend(admitting, 5)
    finish(begin(admitting, 5, ip="10.0.0.2"), 5, ip="10.0.0.2")
    now.at += DAY_S
    finish(begin(admitting, 5, at=now.at), 5, started_at=now.at)

    assert [text.split(": ")[2].partition(",")[0] for text in warnings(caplog)] == [
        f"50 % is reached for 10.0.0.{number}" for number in (1, 2, 1)
    ]


def test_window_that_is_over_warns_no_more(caplog: pytest.LogCaptureFixture) -> None:
    now = Now()
    admitting = admission(WARNING, now=now)
    slot = begin(admitting, 9)

    now.at += DAY_S
    finish(slot, 9)

    assert (warnings(caplog), state(admitting)) == ([], (9, 0))


def test_threshold_that_was_reached_before_the_start_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    admitting, since = admission(WARNING, knows=False), TEN.window_at(NOW)[0]
    call = Dimensions(IP, None, "m", "p", "chat")

    know(admitting, [(since, call, Used(3, 0, 0)), (since, call, Used(3, 0, 0))])
    spend(admitting, 1)

    assert warnings(caplog) == [
        "limits: ten: 50 % is reached for 10.0.0.1, with 0.000000006 USD of 0.00000001 USD spent"
    ]


def test_warn_mode_refuses_nothing_and_counts_no_refusals(caplog: pytest.LogCaptureFixture) -> None:
    admitting = admission(replace(WARNING, mode="warn"))

    spend(admitting, 8, 8, 8)
    finish(begin(admitting, None), None)

    assert (state(admitting), admitting.limits[2].would_refuse, admitting.limits[2].refused) == ((24, 0), 0, 0)
    assert len(warnings(caplog)) == 3


def test_warn_mode_of_a_budget_by_address_does_not_refuse_before_the_body() -> None:
    admitting = admission(replace(WARNING, mode="warn", unit="requests", amount=1))
    spend(admitting, 0, 0)

    assert state(admitting) == (2, 0)


def test_enforced_budget_warns_and_refuses(caplog: pytest.LogCaptureFixture) -> None:
    admitting = admission(WARNING)
    spend(admitting, 10)

    with pytest.raises(BudgetExceeded):
        begin(admitting, 1)

    assert len(warnings(caplog)) == 3


def test_row_of_another_provider_warns_where_it_counts(caplog: pytest.LogCaptureFixture) -> None:
    admitting = admission(replace(WARNING, per=(), match=LimitMatch(provider="q")))

    finish(begin(admitting, 4), 5, provider="q")

    assert [text[:36] for text in warnings(caplog)] == ["limits: ten: 50 % is reached for all"]


def test_labels_that_move_spent_money_warn(caplog: pytest.LogCaptureFixture) -> None:
    limit = replace(WARNING, per=("label",))
    admitting = Admission([limit], (), lambda: 10**12, Now())
    labels = LabelIndex([])
    admitting.use_labels(labels)
    know(admitting)

    know(admitting, [(TEN.window_at(NOW)[0], Dimensions(IP), Used(8, 0, 0))], labels)

    assert [text[:35] for text in warnings(caplog)] == [f"limits: ten: {part} % is reached for no" for part in (50, 80)]


def test_operators_see_which_thresholds_are_reached_and_how_often_a_limit_warned() -> None:
    admitting = admission(WARNING)
    spend(admitting, 8)
    finish(begin(admitting, 5, ip="10.0.0.2"), 5, ip="10.0.0.2")
    finish(begin(admitting, 4, ip="10.0.0.3"), 4, ip="10.0.0.3")

    limit, subjects = subjects_of(LimitStates(admitting), "ten", 9, {})

    assert (limit.warn_at, limit.warned) == ((HALF, MOST, ALL), 3)
    assert [one.warnings for one in subjects] == [(HALF, MOST), (HALF,), ()]
    assert isinstance(subjects[0], SubjectState)


def test_threshold_that_a_grant_moves_is_reached_again(caplog: pytest.LogCaptureFixture) -> None:
    admitting = admission(WARNING)
    spend(admitting, 8)
    admitting.limits[2].grant({(IP,): 10})
    spend(admitting, 1)
    between = len(warnings(caplog))
    spend(admitting, 7)
    admitting.limits[2].change(replace(WARNING, amount=6))
    spend(admitting, 0)

    assert (between, [text[13:17] for text in warnings(caplog)]) == (2, ["50 %", "80 %", "100 "])


@given(
    st.integers(1, 10**18),
    st.decimals("0.000000000001", 10, places=12).filter(bool),
)
def test_part_is_the_least_amount_that_reaches_its_threshold(amount: int, threshold: Decimal) -> None:
    admitting = admission(Limit("l", "usd", amount, window="day", warn_at=(threshold,)))
    counter = admitting.limits[2].counter(Dimensions(IP))

    part = counter.part(threshold)  # type: ignore[union-attr]

    numerator, denominator = threshold.as_integer_ratio()
    assert part * denominator >= amount * numerator > (part - 1) * denominator


def test_budget_without_thresholds_does_not_look_at_them(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    admitting = admission(TEN)

    spend(admitting, 10)

    assert warnings(caplog) == []

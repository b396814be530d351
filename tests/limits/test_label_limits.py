"""Limits that look at the labels of addresses: by the labels as they are now."""

from dataclasses import replace

import pytest

from hero_broker.core.calls import Caller
from hero_broker.core.errors import BudgetExceeded, LimitsUnavailable, RateLimitExceeded, TooManyCalls
from hero_broker.core.labels import LabelIndex
from hero_broker.limits.admission import Admission
from hero_broker.limits.counters import Used
from hero_broker.limits.limit import CONCURRENT, REQUESTS, Dimensions, Limit, LimitMatch
from tests.limits.known import know
from tests.limits.test_budgets import NOW, TEN, admission, begin, finish, state

ONE, TWO, THREE = "10.0.0.1", "10.0.0.2", "10.0.0.3"
LAB = Limit("lab", "usd", 10, LimitMatch(label="lab"), window="day")
EACH = Limit("each", "usd", 10, per=("label",), window="day")
LABELS = LabelIndex([("10.0.0.1", "lab"), ("10.0.0.2", "lab")])
OTHERS = LabelIndex([("10.0.0.2", "lab"), ("10.0.0.3", "lab"), ("10.0.0.1", "office")])


def labelled(*limits: Limit) -> Admission:
    admitting = admission(*limits)
    admitting.use_labels(LABELS)
    return admitting


def call(ip: str, label: str | None) -> Dimensions:
    return Dimensions(ip, None, "m", "p", "chat", label)


def test_addresses_of_a_label_share_its_budget_and_others_have_none() -> None:
    admitting = labelled(LAB)
    finish(begin(admitting, 6, ip=ONE), 6, ip=ONE)
    finish(begin(admitting, 4, ip=TWO), 4, ip=TWO)

    with pytest.raises(BudgetExceeded):
        begin(admitting, 1, ip=ONE)
    begin(admitting, 1000, ip=THREE).end()

    assert state(admitting, "lab", call(ONE, "lab")) == (10, 0)


def test_each_label_has_a_budget_and_addresses_without_a_label_share_one() -> None:
    admitting = labelled(EACH)
    finish(begin(admitting, 6, ip=ONE), 6, ip=ONE)
    finish(begin(admitting, 3, ip=THREE), 3, ip=THREE)
    finish(begin(admitting, 4, ip="unknown"), 4, ip="unknown")

    assert state(admitting, "each", call(TWO, "lab")) == (6, 0)
    assert state(admitting, "each", call("unknown", None)) == (7, 0)


def test_message_to_an_address_without_a_label_says_so() -> None:
    admitting = labelled(replace(EACH, per=("ip", "label")))
    finish(begin(admitting, 9, ip=THREE), 10, ip=THREE)

    with pytest.raises(BudgetExceeded, match=r"of 0\.00000001 USD a day for 10\.0\.0\.3 with no label is spent"):
        begin(admitting, 1, ip=THREE)


def test_limits_of_labels_that_are_not_known_yet_refuse_what_they_may_count() -> None:
    admitting = admission(replace(LAB, match=LimitMatch(label="lab", model="m")), knows=False)
    only_shadow = admission(replace(LAB, mode="shadow"))

    with pytest.raises(LimitsUnavailable, match="which label the address has"):
        begin(admitting, ip=ONE)
    begin(admitting, ip=ONE, model="another").end()
    begin(only_shadow, ip=ONE).end()
    admitting.use_labels(LABELS)
    with pytest.raises(LimitsUnavailable, match="what is spent"):
        begin(admitting, ip=ONE)
    know(admitting, [(NOW - NOW % 86_400, Dimensions(TWO, None, "m", "p", "chat"), Used(9, 0, 0))])
    begin(admitting, ip=ONE).end()
    with pytest.raises(BudgetExceeded):
        begin(admitting, 2, ip=ONE)


def test_address_is_refused_early_while_labels_are_not_known() -> None:
    with pytest.raises(LimitsUnavailable):
        admission(LAB).check(Caller(ONE, None))


def test_move_counts_what_is_spent_by_the_labels_as_they_are_now() -> None:
    admitting = labelled(LAB, EACH)
    finish(begin(admitting, 6, ip=ONE), 6, ip=ONE)
    finish(begin(admitting, 4, ip=TWO), 4, ip=TWO)
    begins = NOW - NOW % 86_400
    groups = [(begins, Dimensions(ip, None, "m", "p", "chat"), Used(cost, 0, 0)) for ip, cost in ((ONE, 6), (TWO, 4))]

    know(admitting, groups, OTHERS)

    assert state(admitting, "lab", call(TWO, "lab")) == (4, 0)
    assert state(admitting, "each", call(TWO, "lab")) == (4, 0)
    assert state(admitting, "each", call(ONE, "office")) == (6, 0)
    finish(begin(admitting, 6, ip=THREE), 6, ip=THREE)
    with pytest.raises(BudgetExceeded):
        begin(admitting, 1, ip=TWO)


@pytest.mark.parametrize("match", [LimitMatch(label="lab"), LimitMatch(label="lab", model="m")], ids=["early", "late"])
def test_call_in_flight_is_counted_by_the_label_that_its_address_has_at_its_end(match: LimitMatch) -> None:
    admitting = labelled(replace(LAB, match=match), EACH)
    leaving, coming, staying = (begin(admitting, 3, ip=ip) for ip in (ONE, THREE, TWO))

    know(admitting, [], OTHERS)
    held = state(admitting, "lab", call(TWO, "lab"))
    finish(leaving, 1, ip=ONE)
    finish(coming, 2, ip=THREE)
    finish(staying, 3, ip=TWO)

    assert held == (0, 6)
    assert state(admitting, "lab", call(TWO, "lab")) == (5, 0)
    assert state(admitting, "each", call(TWO, "lab")) == (5, 0)
    assert state(admitting, "each", call(ONE, "office")) == (1, 0)
    assert state(admitting, "each", call(ONE, None)) == (0, 0)


def test_change_of_labels_gives_no_new_burst_and_no_new_budget() -> None:
    rate = Limit("rate", REQUESTS, 1, per=("ip",), burst=1)
    late = Limit("late", "usd", 10, LimitMatch(model="m"), ("ip",), window="day")
    admitting = labelled(LAB, rate, late)
    finish(begin(admitting, 9, ip=THREE), 10, ip=THREE)

    admitting.use_labels(LABELS)

    assert state(admitting, "late", call(THREE, None)) == (10, 0)
    with pytest.raises(RateLimitExceeded):
        begin(admitting, 1, ip=THREE)


def test_calls_in_flight_of_a_label_are_bounded_together() -> None:
    admitting = labelled(Limit("at-once", CONCURRENT, 1, LimitMatch(label="lab")))
    first = begin(admitting, ip=ONE)

    with pytest.raises(TooManyCalls):
        begin(admitting, ip=TWO)
    begin(admitting, ip=THREE).end()
    admitting.use_labels(OTHERS)
    with pytest.raises(TooManyCalls):
        begin(admitting, ip=THREE)
    begin(admitting, ip=ONE).end()
    first.end()
    begin(admitting, ip=THREE).end()


def test_call_without_a_hold_is_counted_though_labels_changed_while_it_ran() -> None:
    admitting = admission(replace(TEN, hold="none"), LAB)
    admitting.use_labels(LABELS)
    slot = begin(admitting, 6)

    admitting.use_labels(OTHERS)
    finish(slot, 6)
    del slot  # as the broker does; a slot refers to its counters

    assert state(admitting) == (6, 0)

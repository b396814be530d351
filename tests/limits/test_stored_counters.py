"""What is stored of budgets belongs to the right counters in memory, and a shape says all that a sum depends on."""

from dataclasses import replace
from ipaddress import ip_network
from zoneinfo import ZoneInfo

import pytest

from hero_broker.core.labels import LabelIndex
from hero_broker.limits.limit import Dimensions, Limit, LimitMatch
from hero_broker.limits.stored_counters import StoredBudgets, StoredCounters

CALL = Dimensions("10.0.0.1", 'a"b\x00', "m", "p", "chat")
LABELS = LabelIndex([("10.0.0.0/24", "lab")])
PLAIN = Limit("n", "usd", 1, window="month")
SHAPES = [
    PLAIN,
    replace(PLAIN, per=("ip",)),
    replace(PLAIN, per=("prefix", "model"), prefix_v4=24),
    replace(PLAIN, per=("prefix", "model"), prefix_v6=48),
    replace(PLAIN, per=("context", "ip")),
    replace(PLAIN, window="hour"),
    replace(PLAIN, window="billing_period"),
    replace(PLAIN, zone=ZoneInfo("Asia/Kolkata")),
    replace(PLAIN, match=LimitMatch(ip="10.0.0.1")),
    replace(PLAIN, match=LimitMatch(network=ip_network("10.0.0.0/8"))),
    replace(PLAIN, match=LimitMatch(network=ip_network("10.0.0.0/8"), excepted=(ip_network("10.0.0.9/32"),))),
    replace(PLAIN, match=LimitMatch(excepted=(ip_network("10.0.0.9/32"), ip_network("2001:db8::/32")))),
    replace(PLAIN, match=LimitMatch(context="c", model="m", provider="p", kind="chat")),
]


@pytest.mark.parametrize("limit", SHAPES)
def test_counters_are_built_again_from_their_shape(limit: Limit) -> None:
    stored = StoredCounters(limit)
    again = StoredCounters.of_shape("n", stored.shape)
    calls = [CALL, CALL._replace(ip="10.0.0.9"), CALL._replace(ip="2001:db8::1", context="c"), Dimensions("unknown")]

    assert again.shape == stored.shape
    assert [again.subject(call) for call in calls] == [stored.subject(call) for call in calls]
    assert again.window_at(1_796_000_000) == stored.window_at(1_796_000_000)


def test_every_shape_is_another_and_amounts_have_none() -> None:
    shapes = [StoredCounters(limit).shape for limit in SHAPES]

    assert len(set(shapes)) == len(shapes)
    assert StoredCounters(replace(PLAIN, amount=9, unit="tokens", hold="worst", mode="shadow")).shape == shapes[0]


@pytest.mark.parametrize(
    ("per", "match", "expected"),
    [
        (("ip", "context"), LimitMatch(), ("10.0.0.1", 'a"b\x00')),
        (("label",), LimitMatch(), ("lab",)),
        (("model", "label", "prefix"), LimitMatch(), ("m", "lab", "10.0.0.1/32")),
        ((), LimitMatch(label="lab"), ()),
        (("ip",), LimitMatch(label="office"), None),
        (("prefix", "kind"), LimitMatch(), ("10.0.0.1/32", "chat")),
    ],
)
def test_stored_subject_is_the_one_in_memory_by_the_labels_of_now(
    per: tuple[str, ...], match: LimitMatch, expected: tuple[str | None, ...] | None
) -> None:
    limit = replace(PLAIN, per=per, match=match)
    stored = StoredCounters(limit)
    subject = stored.subject(CALL)

    assert subject is not None
    assert stored.in_memory(subject, LABELS) == expected
    if expected is not None:
        assert limit.subject(CALL._replace(label="lab")) == expected


def test_row_is_counted_by_all_budgets_that_match_it() -> None:
    budgets = StoredBudgets(StoredCounters(limit) for limit in SHAPES)
    found = [one.limit for one, _ in budgets.counters(CALL[:5])]

    assert found == [limit for limit in SHAPES if limit.match.covers(CALL)]
    assert budgets.counters(CALL[:5]) is budgets.counters(CALL[:5])

"""Limits: the subject of a call, what is early, and what fields contradict each other."""

from ipaddress import ip_network

import pytest

from hero_broker.limits.limit import CONCURRENT, REQUESTS, Dimensions, Limit, LimitMatch, faults_of, server_limits

CALL = Dimensions("10.0.0.1", "tests", "m", "p", "chat")


@pytest.mark.parametrize(
    ("per", "subject"),
    [
        ((), ()),
        (("ip",), ("10.0.0.1",)),
        (("ip", "context"), ("10.0.0.1", "tests")),
        (("model", "provider", "kind"), ("m", "p", "chat")),
    ],
)
def test_subject_has_the_values_of_per_in_their_order(per: tuple[str, ...], subject: tuple[str, ...]) -> None:
    assert Limit("l", REQUESTS, 1, per=per).subject(CALL) == subject


@pytest.mark.parametrize(
    ("ip", "prefix"),
    [("10.1.2.3", "10.1.0.0/16"), ("400:1:2:3:4::5", "400:1:2::/48"), ("unknown", "unknown")],
)
def test_prefix_has_the_bits_of_the_address_family(ip: str, prefix: str) -> None:
    limit = Limit("l", REQUESTS, 1, per=("prefix",), prefix_v4=16, prefix_v6=48)

    assert limit.subject(Dimensions(ip)) == (prefix,)


@pytest.mark.parametrize(
    ("match", "is_covered"),
    [
        (LimitMatch(), True),
        (LimitMatch(ip="10.0.0.1"), True),
        (LimitMatch(ip="10.0.0.2"), False),
        (LimitMatch(network=ip_network("10.0.0.0/8")), True),
        (LimitMatch(network=ip_network("400::/7")), False),
        (LimitMatch(excepted=(ip_network("10.0.0.1/32"),)), False),
        (LimitMatch(network=ip_network("10.0.0.0/8"), excepted=(ip_network("10.0.0.0/30"),)), False),
        (LimitMatch(excepted=(ip_network("10.0.0.2/32"), ip_network("400::/7"))), True),
        (LimitMatch(model="m", provider="p", kind="chat", context="tests"), True),
        (LimitMatch(model="m", provider="p", kind="chat", context="other"), False),
    ],
)
def test_match_covers_calls_that_agree_with_every_field(match: LimitMatch, is_covered: bool) -> None:
    assert match.covers(CALL) is is_covered


def test_callers_without_an_address_are_in_no_network() -> None:
    assert not LimitMatch(network=ip_network("0.0.0.0/0")).covers(Dimensions("unknown"))
    assert LimitMatch(ip="unknown").covers(Dimensions("unknown"))
    assert LimitMatch(excepted=(ip_network("0.0.0.0/0"), ip_network("::/0"))).covers(Dimensions("unknown"))


@pytest.mark.parametrize(
    ("limit", "is_early"),
    [
        (Limit("l", REQUESTS, 1), True),
        (Limit("l", REQUESTS, 1, LimitMatch(ip="10.0.0.1"), ("prefix",)), True),
        (Limit("l", REQUESTS, 1, LimitMatch(model="m")), False),
        (Limit("l", REQUESTS, 1, per=("ip", "context")), False),
    ],
)
def test_limits_by_address_are_early(limit: Limit, is_early: bool) -> None:
    assert limit.is_early is is_early


@pytest.mark.parametrize(
    ("limit", "fields"),
    [
        (Limit("l", REQUESTS, 1, per=("ip", "context")), []),
        (Limit("l", REQUESTS, 1, per=("context",)), ["per"]),
        (Limit("l", REQUESTS, 1, per=("model", "model")), ["per"]),
        (Limit("l", REQUESTS, 1, per=("ip", "prefix")), ["per"]),
        (Limit("l", REQUESTS, 1, LimitMatch(ip="10.0.0.1", network=ip_network("10.0.0.0/8"))), ["match"]),
    ],
)
def test_fields_that_contradict_each_other_are_named(limit: Limit, fields: list[str]) -> None:
    assert [name for name, _ in faults_of(limit)] == fields


def test_server_bounds_calls_in_flight_by_address_and_in_all() -> None:
    share, whole = server_limits(4, 100)

    assert [(one.unit, one.amount, one.per) for one in (share, whole)] == [
        (CONCURRENT, 4, ("ip",)),
        (CONCURRENT, 4, ()),
    ]

"""Warnings of limits that bound nobody."""

from dataclasses import replace
from ipaddress import ip_network

import pytest

from hero_broker.core.labels import Network
from hero_broker.limits.doubts import doubts_about
from hero_broker.limits.limit import CONCURRENT, REQUESTS, Limit, LimitMatch

MYCELIUM = ip_network("400::/7")
ALLOWED: tuple[Network, ...] = (ip_network("10.0.0.0/8"), ip_network("fe80::/10"), MYCELIUM)
PER_ADDRESS = Limit("own", REQUESTS, 60, LimitMatch(network=MYCELIUM), ("ip",), 60)
POOL = Limit("pool", REQUESTS, 600, LimitMatch(network=MYCELIUM), (), 600)
FREE = (
    "limits.own: addresses of 400::/7 cost nothing, and each new one has a counter of its own; "
    "add a limit without per for the network beside it"
)


def doubts(*limits: Limit) -> list[str]:
    return list(doubts_about(limits, ALLOWED, 1000, 750))


@pytest.mark.parametrize(
    "limits",
    [
        [PER_ADDRESS],
        [replace(PER_ADDRESS, match=LimitMatch())],
        [replace(PER_ADDRESS, per=("prefix",))],
        [PER_ADDRESS, replace(POOL, unit=CONCURRENT, amount=10)],
        [PER_ADDRESS, replace(POOL, mode="shadow")],
        [PER_ADDRESS, replace(POOL, per=("prefix",), match=LimitMatch(ip="400::1"))],
        [PER_ADDRESS, replace(POOL, match=LimitMatch(network=ip_network("400::/8")))],
        [PER_ADDRESS, replace(POOL, match=LimitMatch(model="m"))],
        [replace(PER_ADDRESS, match=LimitMatch()), POOL],
        [PER_ADDRESS, replace(POOL, match=LimitMatch(network=MYCELIUM, excepted=(ip_network("400:1::/64"),)))],
    ],
)
def test_limit_by_address_needs_one_for_all_where_addresses_cost_nothing(limits: list[Limit]) -> None:
    assert doubts(*limits) == [FREE]


@pytest.mark.parametrize(
    "limits",
    [
        [PER_ADDRESS, POOL],
        [PER_ADDRESS, replace(POOL, match=LimitMatch())],
        [
            replace(PER_ADDRESS, match=LimitMatch(network=MYCELIUM, excepted=(ip_network("400:1::/48"),))),
            replace(POOL, match=LimitMatch(network=MYCELIUM, excepted=(ip_network("400:1::/64"),))),
        ],
        [PER_ADDRESS, replace(POOL, per=("model",))],
        [replace(PER_ADDRESS, match=LimitMatch(network=ip_network("10.0.0.0/24")))],
        [replace(PER_ADDRESS, match=LimitMatch(network=ip_network("400:1::/65")))],
        [replace(PER_ADDRESS, match=LimitMatch(network=ip_network("fe80::/64")))],
        [replace(PER_ADDRESS, match=LimitMatch(ip="400::1"))],
        [Limit("l", REQUESTS, 1, LimitMatch(ip="unknown"), burst=1)],
    ],
)
def test_limits_without_doubt(limits: list[Limit]) -> None:
    assert doubts(*limits) == []


@pytest.mark.parametrize("match", [LimitMatch(ip="192.0.2.1"), LimitMatch(network=ip_network("2001:db8::/32"))])
def test_limit_of_addresses_that_may_not_call_bounds_nobody(match: LimitMatch) -> None:
    assert doubts(Limit("l", REQUESTS, 1, match, burst=1)) == [
        "limits.l: no address that may call is in its match, so the limit bounds nobody"
    ]


@pytest.mark.parametrize(
    ("amount", "per", "texts"),
    [
        (1000, (), ["limits.l: server.max_calls is 1000, so the limit is never reached"]),
        (999, (), []),
        (750, ("ip",), ["limits.l: server.max_calls_per_address is 750, so the limit is never reached"]),
        (749, ("ip",), []),
    ],
)
def test_limit_that_the_server_reaches_first_is_never_reached(
    amount: int, per: tuple[str, ...], texts: list[str]
) -> None:
    assert doubts(Limit("l", CONCURRENT, amount, LimitMatch(network=ip_network("10.0.0.0/8")), per)) == texts


def test_limit_whose_every_address_is_excepted_bounds_nobody() -> None:
    lan = LimitMatch(network=ip_network("10.0.0.0/24"), excepted=(ip_network("10.0.0.0/16"),))
    everywhere = LimitMatch(excepted=(*ALLOWED, ip_network("192.0.2.1")))

    assert doubts(Limit("lan", REQUESTS, 1, lan), Limit("all", REQUESTS, 1, everywhere)) == [
        f"limits.{name}: no address that may call is in its match, so the limit bounds nobody"
        for name in ("lan", "all")
    ]


def test_exception_from_where_no_call_is_counted_does_nothing() -> None:
    excepted = (ip_network("10.0.0.9"), ip_network("10.0.1.0/24"), ip_network("400::/8"))

    assert doubts(Limit("lan", REQUESTS, 1, LimitMatch(network=ip_network("10.0.0.0/24"), excepted=excepted))) == [
        "limits.lan: no call comes from 10.0.1.0/24, so the exception does nothing",
        "limits.lan: no call comes from 400::/8, so the exception does nothing",
    ]

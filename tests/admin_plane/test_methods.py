"""Pages, windows and money of the billing methods."""

import asyncio
import base64
import json
from typing import Any

import msgspec
import pytest

from hero_broker.admin_plane.admin import Admin
from hero_broker.admin_plane.billing import usage_for_ip
from hero_broker.admin_plane.contract import Contract, load_document
from hero_broker.admin_plane.registry import dispatch
from hero_broker.core.calls import Caller
from hero_broker.core.errors import InvalidParams
from hero_broker.core.money import usd_text
from hero_broker.core.records import IpUsage, UsageByIp, UsageForIp, UsageTotals
from tests.admin_plane.fakes import NoBooks, NoLabels, NoReports, ServedFake, no_calls, other_prices

SPEND = [("198.51.100.1", 9), ("192.0.2.1", 5), ("192.0.2.2", 5), ("2001:db8::1", 0)]
AS_OF = 1000
CONTRACT = Contract(load_document())


class Spend(NoReports):
    """Four addresses, two of which spent the same."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    async def usage_by_ip(
        self, since: int | None, until: int | None, limit: int, after: tuple[int, str] | None
    ) -> UsageByIp:
        self.asked.append((since, until, limit, after))
        rows = [(ip, cost) for ip, cost in SPEND if after is None or (-cost, ip) > (-after[0], after[1])]
        items = tuple(IpUsage(ip, UsageTotals(cost_nano_usd=cost)) for ip, cost in rows[:limit])
        end = AS_OF + 1 if until is None else until
        return UsageByIp(items, UsageTotals(cost_nano_usd=19), AS_OF, len(rows) > limit, end)

    async def usage_for_ip(self, ip: str, since: int | None, until: int | None) -> UsageForIp:
        self.asked.append(ip)
        return UsageForIp((), UsageTotals(), AS_OF)


def admin(spend: Spend) -> Admin:
    return Admin(
        reports=spend,
        books=NoBooks(),
        labels=NoLabels(),
        served=ServedFake(),
        health=dict,
        info=dict,
        unrecorded=no_calls,
        document={},
        refresh_prices=other_prices,
    )


def ask(spend: Spend, **params: Any) -> Any:
    encoded = asyncio.run(dispatch(admin(spend), CONTRACT, "billing.usage_by_ip", params, Caller("192.0.2.7", None)))
    return msgspec.json.decode(encoded)


@pytest.mark.parametrize("limit", [1, 2, 3, 4])
def test_pages_hold_every_address_once_and_the_windows_totals(limit: int) -> None:
    spend = Spend()
    seen = []
    page = ask(spend, limit=limit)
    seen += page["data"]
    while page["next_cursor"] is not None:
        page = ask(spend, cursor=page["next_cursor"])
        seen += page["data"]
        assert page["totals"]["total_cost_nano_usd"] == "19"

    assert [row["ip"] for row in seen] == [ip for ip, _ in SPEND]


def test_cursor_freezes_the_window() -> None:
    spend = Spend()

    ask(spend, since=7, cursor=ask(spend, since=7, limit=2)["next_cursor"])

    assert spend.asked == [(7, None, 2, None), (7, AS_OF + 1, 2, (5, "192.0.2.1"))]


@pytest.mark.parametrize("other", [{"since": 1}, {"until": 5}, {"limit": 3}])
def test_cursor_of_another_query_is_refused(other: dict[str, int]) -> None:
    cursor = ask(Spend(), limit=2)["next_cursor"]

    with pytest.raises(InvalidParams, match="Invalid params") as caught:
        ask(Spend(), cursor=cursor, **other)

    assert caught.value.param == "cursor"


def cursor_of(position: object, method: str = "billing.usage_by_ip", **params: object) -> str:
    frozen = {"method": method, "params": params, "position": position}
    return base64.urlsafe_b64encode(json.dumps(frozen).encode()).decode()


@pytest.mark.parametrize(
    "cursor",
    [
        "!",
        "é",
        "AAAA",
        "e30=",
        cursor_of([1, "192.0.2.1"], until=2**60),
        cursor_of([1, "192.0.2.1"], until=-1),
        cursor_of([1, "192.0.2.1"], limit=0),
        cursor_of([1, "192.0.2.1"], limit=10_001),
        cursor_of([1, "192.0.2.1"], self=1),
        cursor_of([1, "192.0.2.1"], "billing.usage"),
        cursor_of([2**63, "192.0.2.1"]),
        cursor_of([1, "1" * 1001]),
        cursor_of(["192.0.2.1", 1]),
        cursor_of("x"),
    ],
)
def test_malformed_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidParams):
        ask(Spend(), cursor=cursor)


def test_without_limit_ten_thousand_are_asked_for() -> None:
    spend = Spend()

    assert ask(spend)["next_cursor"] is None
    assert spend.asked == [(None, None, 10_000, None)]


@pytest.mark.parametrize(
    ("given", "canonical"),
    [("::ffff:192.0.2.1", "192.0.2.1"), ("2001:DB8:0::1", "2001:db8::1"), ("unknown", "unknown")],
)
def test_address_is_asked_for_in_its_one_spelling(given: str, canonical: str) -> None:
    spend = Spend()

    result: Any = asyncio.run(usage_for_ip(admin(spend), given))

    assert spend.asked == [canonical]
    assert result["data"]["ip"] == canonical
    assert result["data"]["models"] == []


@pytest.mark.parametrize("ip", ["nobody", "", "1.2.3", "192.0.2.0/24", "[::1]"])
def test_what_is_no_address_is_refused(ip: str) -> None:
    with pytest.raises(InvalidParams):
        asyncio.run(usage_for_ip(admin(Spend()), ip))


def test_window_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(InvalidParams):
        asyncio.run(usage_for_ip(admin(Spend()), "unknown", 2, 1))


@pytest.mark.parametrize(
    ("nano", "text"),
    [(0, "0"), (1, "0.000000001"), (25970, "0.00002597"), (10**9, "1"), (10**10, "10"), (-15 * 10**8, "-1.5")],
)
def test_usd_is_plain_decimal(nano: int, text: str) -> None:
    assert usd_text(nano) == text

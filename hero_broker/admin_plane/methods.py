"""One function per method of `openrpc.json`; RPC and REST call the same."""

import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

import msgspec

from hero_broker.admin_plane.contract import Contract, Document
from hero_broker.core.addresses import UNKNOWN, canonical_ip
from hero_broker.core.errors import InvalidParams
from hero_broker.core.money import usd_text
from hero_broker.core.records import ExplainedRequest, RequestLog, UsageByIp, UsageForIp, UsageTotals

MAX_ADDRESSES = 10_000
_HIDDEN = ("ip_key",)  # the same address as `ip`, in bytes


class Reports(Protocol):
    """What the admin plane asks of the ledger; see `metering.reports`."""

    async def usage_by_ip(
        self, since: int | None, until: int | None, limit: int, after: tuple[int, str] | None
    ) -> UsageByIp:
        """Return spend per address."""
        ...

    async def usage_for_ip(self, ip: str, since: int | None, until: int | None) -> UsageForIp:
        """Return one address's spend by model."""
        ...

    async def request(self, request_id: str) -> ExplainedRequest:
        """Return one row with how its cost was computed."""
        ...


@dataclass(frozen=True, slots=True)
class Admin:
    """What the methods need."""

    reports: Reports
    health: Callable[[], Mapping[str, object]]
    info: Callable[[], Mapping[str, object]]
    document: Document


_Seconds = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]


class _Cursor(msgspec.Struct, frozen=True):
    since: _Seconds | None
    until: _Seconds
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_ADDRESSES)]
    after: tuple[Annotated[int, msgspec.Meta(ge=-(2**62), le=2**62)], Annotated[str, msgspec.Meta(max_length=100)]]


_CURSOR = msgspec.json.Decoder(_Cursor)


def _totals(totals: UsageTotals) -> dict[str, object]:
    return {
        "requests": totals.requests,
        "failed_requests": totals.failed_requests,
        "estimated_requests": totals.estimated_requests,
        "unpriced_requests": totals.unpriced_requests,
        "input_tokens": totals.input_tokens,
        "output_tokens": totals.output_tokens,
        "total_tokens": totals.input_tokens + totals.output_tokens,
        "total_cost_usd": msgspec.Raw(usd_text(totals.cost_nano_usd).encode()),
        "total_cost_nano_usd": str(totals.cost_nano_usd),
        "first_seen": totals.first_seen,
        "last_seen": totals.last_seen,
    }


def _check_window(since: int | None, until: int | None) -> None:
    if since is not None and until is not None and since > until:
        raise InvalidParams("since", "must not be later than until")


async def usage_by_ip(
    admin: Admin,
    since: int | None = None,
    until: int | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> dict[str, object]:
    """Return spend per address, largest first, with the window's totals."""
    _check_window(since, until)
    size, after = limit or MAX_ADDRESSES, None
    if cursor is not None:
        page = _read_cursor(cursor)
        if (since not in (None, page.since)) or (until not in (None, page.until)) or (limit not in (None, page.limit)):
            raise InvalidParams("cursor", "belongs to another query")
        since, until, size, after = page.since, page.until, page.limit, page.after
        _check_window(since, until)
    found = await admin.reports.usage_by_ip(since, until, size, after)
    following = None
    if found.more:
        last = found.items[-1]
        frozen = found.as_of + 1 if until is None else until
        following = _Cursor(since, frozen, size, (last.totals.cost_nano_usd, last.ip))
    return {
        "data": [{"ip": item.ip, "label": None, **_totals(item.totals)} for item in found.items],
        "totals": _totals(found.totals),
        "as_of": found.as_of,
        "next_cursor": None if following is None else _write_cursor(following),
    }


def _write_cursor(cursor: _Cursor) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(cursor)).decode()


def _read_cursor(text: str) -> _Cursor:
    try:
        return _CURSOR.decode(base64.b64decode(text.encode(), altchars=b"-_", validate=True))
    except (msgspec.DecodeError, binascii.Error, ValueError) as error:
        raise InvalidParams("cursor", "must be the next_cursor of an answer") from error


async def usage_for_ip(admin: Admin, ip: str, since: int | None = None, until: int | None = None) -> dict[str, object]:
    """Return one address's spend by model, largest first."""
    _check_window(since, until)
    try:
        address = ip if ip == UNKNOWN else canonical_ip(ip)
    except ValueError as error:
        raise InvalidParams("ip", 'must be an IPv4 or IPv6 address, or "unknown"') from error
    found = await admin.reports.usage_for_ip(address, since, until)
    models = [{"model": item.model, **_totals(item.totals)} for item in found.models]
    data = {"ip": address, "label": None, "totals": _totals(found.totals), "models": models}
    return {"data": data, "as_of": found.as_of}


async def request(admin: Admin, request_id: str) -> dict[str, object]:
    """Return one row with how its cost was computed."""
    found = await admin.reports.request(request_id.strip().lower())
    price = found.price
    cost = {
        "source": found.row.cost_source,
        "price_source": None if price is None else price.source or None,
        "price_version": None if price is None else price.version or None,
        "lines": [
            {
                "unit": line.unit,
                "units": line.units,
                "rate": line.rate,
                "usd": line.usd,
                "per": line.per,
                "amount_usd": line.amount_usd,
            }
            for line in found.lines
        ],
        "exact_usd": found.exact_usd,
        "rounding": "to 1e-9 USD, once, half to even",
    }
    return {"data": {"seq": found.seq, **_row(found.row), "cost": cost}, "as_of": found.as_of}


def _row(row: RequestLog) -> dict[str, object]:
    """Return a row as the contract shows it: its columns, the address's key left out, the cost as USD too."""
    shown = {name: getattr(row, name) for name in row.__struct_fields__ if name not in _HIDDEN}
    cost = row.cost_nano_usd
    shown["cost_usd"] = None if cost is None else msgspec.Raw(usd_text(cost).encode())
    shown["cost_nano_usd"] = None if cost is None else str(cost)
    return shown


async def health(admin: Admin) -> dict[str, object]:
    """Return the state of the ledger."""
    return dict(admin.health())


async def info(admin: Admin) -> dict[str, object]:
    """Return what runs here."""
    return dict(admin.info())


async def discover(admin: Admin) -> dict[str, object]:
    """Return the contract."""
    return admin.document


Method = Callable[..., Awaitable[dict[str, object]]]

METHODS: Mapping[str, Method] = {
    "rpc.discover": discover,
    "billing.usage_by_ip": usage_by_ip,
    "billing.usage_for_ip": usage_for_ip,
    "billing.request": request,
    "system.health": health,
    "system.info": info,
}


async def answer(
    admin: Admin, contract: Contract, method: str, params: list[Any] | dict[str, Any]
) -> dict[str, object]:
    """Check parameters by the contract and answer.

    Raises:
        AdminError: with its JSON-RPC code and HTTP status.
    """
    return await METHODS[method](admin, **contract.arguments(method, params))

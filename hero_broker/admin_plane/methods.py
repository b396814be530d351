"""One function per method of `openrpc.json`; RPC and REST call the same."""

from asyncio import to_thread
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Protocol

import msgspec

from hero_broker.admin_plane import cursors, params, views
from hero_broker.admin_plane.contract import Contract, Document
from hero_broker.core.errors import InvalidParams
from hero_broker.core.inventory import InventoryModel, InventoryProvider
from hero_broker.core.labels import Label
from hero_broker.core.queries import Bucket, Dimension, RowsQuery, UsageQuery
from hero_broker.core.records import (
    ExplainedRequest,
    Period,
    Rows,
    UsageByIp,
    UsageForIp,
    UsageReport,
    Verification,
)

MAX_ADDRESSES = 10_000
ROWS_PER_PAGE = 100
DEFAULT_PREFIX_BITS = (24, 64)


class ReportsInterface(Protocol):
    """What the admin plane needs from the ledger; see `reports.usage`."""

    async def usage_by_ip(
        self, since: int | None, until: int | None, limit: int, after: tuple[int, str] | None
    ) -> UsageByIp:
        """Return spend per address."""
        ...

    async def usage_for_ip(self, ip: str, since: int | None, until: int | None) -> UsageForIp:
        """Return one address's spend by model."""
        ...

    async def usage(self, query: UsageQuery) -> UsageReport:
        """Return usage by group and bucket."""
        ...

    async def rows(self, query: RowsQuery) -> Rows:
        """Return a page of the ledger."""
        ...

    def every_row(self, query: RowsQuery) -> AsyncIterator[Rows]:
        """Yield the ledger page by page."""
        ...

    async def request(self, request_id: str) -> ExplainedRequest:
        """Return one row with how its cost was computed."""
        ...


class BooksInterface(Protocol):
    """What the admin plane needs from the books; see `reports.billing_periods`."""

    async def unbilled(self) -> tuple[Period, int]:
        """Return what is in no billing period yet, and when that was."""
        ...

    async def periods(self) -> tuple[list[Period], int]:
        """Return all billing periods, and when that was."""
        ...

    async def mark_billed(self, reference: str, to_seq: int) -> tuple[Period, int]:
        """Close a billing period; return it, and when that was."""
        ...

    async def verify(self, since: int | None, until: int | None) -> Verification:
        """Compare rows, roll-ups and billing periods."""
        ...

    async def rebuild(self) -> int:
        """Start a rebuild of the roll-ups; return its start."""
        ...


class LabelsInterface(Protocol):
    """What the admin plane needs from labels; see `reports.labels`."""

    async def set(self, target: str, label: str) -> tuple[Label, int]:
        """Name an address or a network; return its label, and when that was."""
        ...

    async def remove(self, target: str) -> tuple[Label, int]:
        """Remove a label; return it, and when that was."""
        ...

    async def list(self) -> tuple[list[Label], int]:
        """Return all labels, and when that was."""
        ...


class InventoryInterface(Protocol):
    """What the admin plane needs from models and providers; see `providers.inventory`."""

    def models(self) -> list[InventoryModel]:
        """Return the models that are served. Takes long if the price list is long: not for the event loop."""
        ...

    def providers(self) -> list[InventoryProvider]:
        """Return the providers that are configured."""
        ...


@dataclass(frozen=True, slots=True)
class Admin:
    """What the methods need."""

    reports: ReportsInterface
    books: BooksInterface
    labels: LabelsInterface
    served: InventoryInterface
    health: Callable[[], Mapping[str, object]]
    info: Callable[[], Mapping[str, object]]
    document: Document


_Cost = Annotated[int, msgspec.Meta(ge=-(2**62), le=2**62)]
_Seq = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
_Text = Annotated[str, msgspec.Meta(max_length=1000, pattern="^[^\\0]*$")]  # a null character has no place in a store


async def usage_by_ip(
    admin: Admin,
    since: int | None = None,
    until: int | None = None,
    limit: int | None = None,
    cursor: Any = None,
) -> dict[str, object]:
    """Return spend per address, largest first, with the window's totals."""
    params.check_window(since, until, is_frozen=cursor is not None)
    after = cursors.parse_position(cursor, tuple[_Cost, _Text])
    result = await admin.reports.usage_by_ip(since, until, limit or MAX_ADDRESSES, after)
    following = None
    if result.more:
        last = result.items[-1]
        frozen = {"since": since, "until": result.until, "limit": limit}
        following = cursors.encode_cursor("billing.usage_by_ip", frozen, (last.totals.cost_nano_usd, last.ip))
    return {
        "data": await to_thread(views.addresses, result.items),
        "totals": views.usage(result.totals),
        "as_of": result.as_of,
        "next_cursor": following,
    }


async def usage_for_ip(admin: Admin, ip: str, since: int | None = None, until: int | None = None) -> dict[str, object]:
    """Return one address's spend by model, largest first."""
    params.check_window(since, until)
    address = params.parse_address(ip)
    result = await admin.reports.usage_for_ip(address, since, until)
    data = {
        "ip": address,
        "label": result.label,
        "totals": views.usage(result.totals),
        "models": views.models(result.models),
    }
    return {"data": data, "as_of": result.as_of}


async def usage(
    admin: Admin,
    group_by: list[str],
    since: int | None = None,
    until: int | None = None,
    bucket: Bucket | None = None,
    tz: str | None = None,
    filter: dict[str, Any] | None = None,  # noqa: A002 - the contract's word
    limit: int | None = None,
    cursor: Any = None,
    prefix_v4: int | None = None,
    prefix_v6: int | None = None,
    dense: bool | None = None,
) -> dict[str, object]:
    """Return usage by any dimensions and buckets of time."""
    params.check_window(since, until, is_frozen=cursor is not None)
    if dense and bucket is None:
        raise InvalidParams("dense", "needs a bucket")
    v4, v6 = DEFAULT_PREFIX_BITS
    query = UsageQuery(
        group_by=tuple(Dimension(name) for name in group_by),
        since=since,
        until=until,
        bucket=bucket,
        zone=params.parse_zone(tz),
        filter=params.parse_filter(filter),
        prefix_bits=(v4 if prefix_v4 is None else prefix_v4, v6 if prefix_v6 is None else prefix_v6),
        dense=bool(dense),
        limit=limit or MAX_ADDRESSES,
        after=cursors.parse_position(cursor, tuple[_Seq, _Cost, tuple[_Text | None, ...]]),
    )
    if query.after is not None and len(query.after[2]) != len(group_by):
        raise InvalidParams("cursor", "must be the next_cursor of an answer")
    result = await admin.reports.usage(query)
    following = None
    if result.more:
        last = result.groups[-1]
        frozen = {
            "group_by": group_by,
            "since": since,
            "until": result.until,
            "bucket": bucket,
            "tz": tz,
            "filter": filter,
            "limit": limit,
            "prefix_v4": prefix_v4,
            "prefix_v6": prefix_v6,
            "dense": dense,
        }
        following = cursors.encode_cursor(
            "billing.usage", frozen, (last.start or 0, last.totals.cost_nano_usd, last.key)
        )
    data = await to_thread(views.groups, group_by, result.groups)
    return {"data": data, "totals": views.usage(result.totals), "as_of": result.as_of, "next_cursor": following}


def rows_query(
    since: int | None = None,
    until: int | None = None,
    filter: dict[str, Any] | None = None,  # noqa: A002 - the contract's word
    limit: int | None = None,
) -> RowsQuery:
    """Return the query for rows.

    Raises:
        InvalidParams: the window ends before it begins, or the filter names no address or network.
    """
    params.check_window(since, until)
    return RowsQuery(since=since, until=until, filter=params.parse_filter(filter), limit=limit or ROWS_PER_PAGE)


async def requests(
    admin: Admin,
    since: int | None = None,
    until: int | None = None,
    filter: dict[str, Any] | None = None,  # noqa: A002 - the contract's word
    limit: int | None = None,
    cursor: Any = None,
) -> dict[str, object]:
    """Return rows of the ledger, newest first, as they were when the first page was requested."""
    query = rows_query(since, until, filter, limit)
    left = cursors.parse_position(cursor, tuple[_Seq, _Seq])
    result = await admin.reports.rows(replace(query, left=left))
    following = None
    if result.left is not None:
        frozen = {"since": since, "until": until, "filter": filter, "limit": limit}
        following = cursors.encode_cursor("billing.requests", frozen, result.left)
    data = await to_thread(views.rows, result.rows)
    return {"data": data, "as_of": result.as_of, "next_cursor": following}


async def request(admin: Admin, request_id: str) -> dict[str, object]:
    """Return one row with how its cost was computed."""
    result = await admin.reports.request(request_id.strip().lower())
    return {"data": views.explanation(result), "as_of": result.as_of}


async def unbilled(admin: Admin) -> dict[str, object]:
    """Return what is in no billing period yet."""
    result, as_of = await admin.books.unbilled()
    data = {"from_seq": result.from_seq, "to_seq": result.to_seq, "totals": views.counts(result.totals)}
    return {"data": data, "as_of": as_of}


async def mark_billed(admin: Admin, reference: str, to_seq: int) -> dict[str, object]:
    """Close a billing period under the operator's reference."""
    result, as_of = await admin.books.mark_billed(params.parse_name("reference", reference), to_seq)
    return {"data": views.period(result), "as_of": as_of}


async def periods(admin: Admin) -> dict[str, object]:
    """Return all billing periods, the oldest first."""
    result, as_of = await admin.books.periods()
    return {"data": [views.period(period) for period in result], "as_of": as_of}


async def verify(admin: Admin, since: int | None = None, until: int | None = None) -> dict[str, object]:
    """Return whether rows, roll-ups and billing periods agree."""
    params.check_window(since, until)
    result = await admin.books.verify(since, until)
    data = {
        "ok": result.differences == 0,
        "rows": result.rows,
        "differences": result.differences,
        "behind": result.behind,
        "listed": [views.difference(one) for one in result.listed],
    }
    return {"data": data, "as_of": result.as_of}


async def rebuild(admin: Admin) -> dict[str, object]:
    """Rebuild the roll-ups from all rows, while reports go on."""
    return {"data": {"rebuilding": True}, "as_of": await admin.books.rebuild()}


async def list_models(admin: Admin) -> dict[str, object]:
    """Return the models that are served, with their current prices."""
    return {"data": await to_thread(lambda: [views.model(model) for model in admin.served.models()])}


async def list_providers(admin: Admin) -> dict[str, object]:
    """Return the providers that are configured, and their health."""
    return {"data": [views.provider(provider) for provider in admin.served.providers()]}


async def set_label(admin: Admin, target: str, label: str) -> dict[str, object]:
    """Name an address or a network; a name that it had is replaced."""
    result, as_of = await admin.labels.set(params.parse_target(target), params.parse_name("label", label))
    return {"data": views.label(result), "as_of": as_of}


async def list_labels(admin: Admin) -> dict[str, object]:
    """Return all labels."""
    result, as_of = await admin.labels.list()
    return {"data": [views.label(label) for label in result], "as_of": as_of}


async def remove_label(admin: Admin, target: str) -> dict[str, object]:
    """Remove the name of an address or a network."""
    result, as_of = await admin.labels.remove(params.parse_target(target))
    return {"data": views.label(result), "as_of": as_of}


async def health(admin: Admin) -> dict[str, object]:
    """Return the state of the ledger."""
    return dict(admin.health())


async def info(admin: Admin) -> dict[str, object]:
    """Return the name and version of the broker."""
    return dict(admin.info())


async def discover(admin: Admin) -> dict[str, object]:
    """Return the contract."""
    return admin.document


Method = Callable[..., Awaitable[dict[str, object]]]

METHODS: Mapping[str, Method] = {
    "rpc.discover": discover,
    "billing.usage_by_ip": usage_by_ip,
    "billing.usage_for_ip": usage_for_ip,
    "billing.usage": usage,
    "billing.requests": requests,
    "billing.request": request,
    "billing.unbilled": unbilled,
    "billing.mark_billed": mark_billed,
    "billing.periods": periods,
    "billing.verify": verify,
    "billing.rebuild": rebuild,
    "models.list": list_models,
    "providers.list": list_providers,
    "labels.set": set_label,
    "labels.list": list_labels,
    "labels.remove": remove_label,
    "system.health": health,
    "system.info": info,
}


async def dispatch(admin: Admin, contract: Contract, method: str, params: list[Any] | dict[str, Any]) -> bytes:
    """Check parameters by the contract and answer, in JSON.

    Encoding runs in a thread: a result of thousands of rows would block every call meanwhile.

    Raises:
        QueryError: the query failed; `errors.codes` has its JSON-RPC code and HTTP status.
    """
    arguments = cursors.resume(contract, method, contract.arguments(method, params))
    return await to_thread(msgspec.json.encode, await METHODS[method](admin, **arguments))

"""The methods `billing.*`: usage, the rows of the ledger, and billing periods."""

from asyncio import to_thread
from dataclasses import replace
from typing import Annotated, Any

import msgspec

from hero_broker.admin_plane import cursors, params, views
from hero_broker.admin_plane.admin import Admin
from hero_broker.admin_plane.method import method
from hero_broker.core.errors import InvalidParams
from hero_broker.core.queries import Bucket, Dimension, RowsQuery, UsageQuery

MAX_ADDRESSES = 10_000
ROWS_PER_PAGE = 100
DEFAULT_PREFIX_BITS = (24, 64)

_Cost = Annotated[int, msgspec.Meta(ge=-(2**62), le=2**62)]
_Seq = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
_Text = Annotated[str, msgspec.Meta(max_length=1000, pattern="^[^\\0]*$")]  # a null character has no place in a store


@method("billing.usage_by_ip", rest="GET /billing/usage", scope="usage:read", offline=True)
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


@method("billing.usage_for_ip", rest="GET /billing/usage/{ip:path}", scope="usage:read", offline=True)
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


@method("billing.usage", rest="GET /billing/report", scope="usage:read", offline=True)
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
    )
    position = cursors.parse_position(cursor, tuple[_Seq, _Cost, tuple[_Text | None, ...], bool])
    if position is not None:
        start, cost, key, is_open = position
        query = replace(query, after=(start, cost, key), is_open=is_open)
        if len(key) != len(group_by):
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
            "billing.usage",
            frozen,
            (last.start or 0, last.totals.cost_nano_usd, last.key, query.is_open or until is None),
        )
    data = await to_thread(views.groups, group_by, result.groups)
    return {
        "data": data,
        "totals": views.usage(result.totals),
        "as_of": result.as_of,
        "labels": "close" if result.has_labels_of_close else "now",
        "next_cursor": following,
    }


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


@method("billing.requests", rest="GET /billing/requests", scope="requests:read", offline=True)
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


@method("billing.request", rest="GET /billing/requests/{request_id}", scope="requests:read", offline=True)
async def request(admin: Admin, request_id: str) -> dict[str, object]:
    """Return one row with how its cost was computed."""
    result = await admin.reports.request(request_id.strip().lower())
    return {"data": views.explanation(result), "as_of": result.as_of}


@method("billing.unbilled", rest="GET /billing/unbilled", scope="billing:read", offline=True)
async def unbilled(admin: Admin, until: int | None = None) -> dict[str, object]:
    """Return what is in no billing period yet."""
    params.check_window(None, until)
    result, as_of = await admin.books.unbilled(until)
    data = {"from_seq": result.from_seq, "to_seq": result.to_seq, "totals": views.counts(result.totals)}
    return {"data": data, "as_of": as_of}


@method("billing.periods", rest="GET /billing/periods", scope="billing:read", offline=True)
async def periods(admin: Admin) -> dict[str, object]:
    """Return all billing periods, the oldest first."""
    result, as_of = await admin.books.periods()
    return {"data": [views.period(period) for period in result], "as_of": as_of}


@method("billing.close", rest="POST /billing/close", scope="billing:write")
async def close(
    admin: Admin, reference: str, until: int, tz: str | None = None, dry_run: bool | None = None
) -> dict[str, object]:
    """Close a month: record what began before its end and is in no period yet."""
    params.check_window(None, until)
    name, zone = params.parse_name("reference", reference), params.parse_zone(tz)
    params.check_month_end(name, until, zone)
    result, as_of = await admin.books.close_period(name, until, zone.key, dry_run=bool(dry_run))
    data = {
        "period": views.period(result.period),
        "late": views.counts(result.late),
        "held_over": views.counts(result.held_over),
        "unlabelled": views.counts(result.unlabelled),
        "open_calls": admin.unrecorded(until),
        "sees_all_journals": admin.books.has_one_broker,
        "dry_run": bool(dry_run),
        "already_closed": result.was_closed,
    }
    return {"data": data, "as_of": as_of}


@method("billing.mark_billed", rest="POST /billing/periods", scope="billing:write")
async def mark_billed(admin: Admin, reference: str, to_seq: int) -> dict[str, object]:
    """Record what is in no period yet, up to a position, under the operator's reference."""
    result, as_of = await admin.books.mark_billed(params.parse_name("reference", reference), to_seq)
    return {"data": views.period(result), "as_of": as_of}


@method("billing.verify", rest="GET /billing/verify", scope="billing:read", offline=True)
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


@method("billing.rebuild", rest="POST /billing/rebuild", scope="billing:write")
async def rebuild(admin: Admin) -> dict[str, object]:
    """Rebuild the roll-ups from all rows, while reports go on."""
    return {"data": {"rebuilding": True}, "as_of": await admin.books.rebuild()}

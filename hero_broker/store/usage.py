"""Sums usage over a window, by dimensions and buckets of time; exact at any moment.

A sum adds up the blocks of a roll-up, the rows of part hours at the window's edges, and the rows above the watermark.
If no roll-up has the query's dimensions, all rows of the window replace the first two. A query runs in one read
transaction, so that the roll-ups, the watermark and the rows above it are consistent.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgspec
from msgspec.structs import replace as replace_in
from sqlalchemy import Connection, Table, select

from hero_broker.core.errors import TooWide
from hero_broker.core.labels import LabelIndex
from hero_broker.core.records import PeriodPart, UsageTotals
from hero_broker.store import rollups
from hero_broker.store.address_labels import LABEL, NO_LABEL, label_values
from hero_broker.store.schema import ADDRESSES, ALL_TIME, HOUR, REQUEST_LOGS, ROLLUPS, SUMS, USAGE_BY_MODEL
from hero_broker.store.sums import CANNOT_BE_SUMMED, COST, LARGEST
from hero_broker.store.usage_statement import KEY, PREFIX, Shape, statement
from hero_broker.store.window_cover import Cover, WindowEdge, all_time, cover_window

TimeWindow = tuple[int, int]  # unix seconds, half-open
NO_LIMIT = 2**62
MANY_ADDRESSES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class UsagePlan:
    """What to sum; not validated here."""

    group_by: tuple[str, ...] = ()  # columns of `request_logs`, "prefix" or "label"
    filters: Mapping[str, str] = field(default_factory=dict)  # column, or "label" → value; `NO_LABEL` for no label
    names: LabelIndex | None = None  # the labels, if "label" is used
    within: tuple[bytes, bytes] | None = None  # the first and last `ip_key` to include
    parts: Sequence[PeriodPart] | None = None  # only rows of a billing period; None: all
    is_priced: bool | None = None  # only rows with a cost, or only those without one; None: all
    since: int | None = None
    until: int | None = None
    buckets: Sequence[TimeWindow] | None = None  # neighbouring windows, ascending; None: no buckets
    prefix_bits: tuple[int, int] = (32, 128)  # of IPv4 and of IPv6 addresses, for "prefix"
    limit: int = NO_LIMIT
    after: tuple[int, int, tuple[str | None, ...]] | None = (
        None  # bucket, cost and key of the last group of the page before
    )


class Group(msgspec.Struct, frozen=True, gc=False):
    """The sums of one group in one bucket."""

    bucket: int
    key: tuple[str | None, ...]  # in the order of `group_by`; a prefix as `prefixes` formats it
    totals: UsageTotals


def rollup_for(plan: UsagePlan) -> Table | None:
    """Return the smallest roll-up that can answer a plan, with `_rest_for` it; None if only rows can."""
    dimensions = {"ip" if name in (PREFIX, LABEL) else name for name in (*plan.group_by, *plan.filters)}
    if plan.within is not None:
        dimensions.add("ip")
    if plan.parts is not None or plan.is_priced is not None or _are_odd_hours(plan.buckets or ()):
        return None
    return next((table for table in ROLLUPS if dimensions <= set(table.info["dimensions"])), None)


def _are_odd_hours(buckets: Sequence[TimeWindow]) -> bool:
    """Return whether buckets are hours of a zone whose offset is not whole hours, so that no block lies in any of them.

    Larger buckets of such a zone read a part of an hour from rows at each of their ends.
    """
    return len(buckets) > 2 and buckets[1][0] % HOUR != 0 and buckets[1][1] - buckets[1][0] <= HOUR


def _rest_for(plan: UsagePlan, table: Table | None) -> Table | None:
    """Return the roll-up of all rows if the plan has a group of the rows that `table` lacks."""
    has = None if table is None else table.info["has"]
    return None if has is None or has in plan.filters else USAGE_BY_MODEL


def extent(connection: Connection) -> TimeWindow | None:
    """Return the narrowest window that contains all rows; None without rows."""
    return _extent(rollups.rollup_state(connection))


def groups(connection: Connection, plan: UsagePlan) -> list[Group]:
    """Return the sums of each group that has rows: by bucket, then largest cost first, then by key.

    Raises:
        TooWide: a sum of costs exceeds the integers of the store.
    """
    state = rollups.rollup_state(connection)
    whole = _extent(state)
    if whole is None:
        return []
    window = _clipped(whole, plan.since, plan.until)
    windows = [_clipped(window, *bucket) for bucket in plan.buckets] if plan.buckets is not None else [window]
    rows = [WindowEdge(since, until, number) for number, (since, until) in enumerate(windows) if since < until]
    if not rows:
        return []
    table = rollup_for(plan)
    rest = _rest_for(plan, table)
    cover, recent = Cover([], rows), False
    if table is not None:
        spans = table.info["spans"]
        is_all = window == whole and plan.buckets is None and ALL_TIME in spans
        cover = all_time() if is_all else cover_window(_widened(windows, whole, max(spans)), spans)
        recent = state.last_seq > state.folded_seq
    parts = (bool(cover.blocks), bool(cover.edges), recent)
    after = None if plan.after is None else tuple(value is None for value in plan.after[2])
    shape = Shape(
        dialect=connection.dialect.name,
        table=table,
        rest=rest,
        group_by=plan.group_by,
        has_buckets=plan.buckets is not None,
        filters=tuple(plan.filters),
        is_within=plan.within is not None,
        period=None if plan.parts is None else tuple(_bounds(part) for part in plan.parts),
        is_priced=plan.is_priced,
        prefix_bits=plan.prefix_bits,
        parts=parts,
        is_distinct=parts == (True, False, False) and len(cover.blocks) == 1 and rest is None,
        after=after,
        has_few_recent=state.unfolded <= rollups.FEW_ROWS,
        is_unlabelled=plan.filters.get(LABEL) == NO_LABEL,
    )
    width = 1 + len(plan.group_by)
    values = _values(plan, state, cover, rows)
    if not shape.is_distinct and _are_few_of_many(connection, plan):
        # Two passes: rank by cost, then compute the other sums for the addresses on this page only.
        largest = statement(replace(shape, sums=("cost_nano_usd",))).rows(connection, values)
        shape, values["among"] = replace(shape, is_among=True), json.dumps([row[1] for row in largest])
    records = statement(shape).rows(connection, values)
    cost = width + SUMS.index(COST)
    if any(row[cost] == LARGEST for row in records):
        raise TooWide(CANNOT_BE_SUMMED)
    found = [Group(row[0], row[1:width], UsageTotals(*row[width:])) for row in records]
    return found if rest is None else [_with_times(connection, plan, windows[one.bucket], one) for one in found]


def _with_times(connection: Connection, plan: UsagePlan, window: TimeWindow, group: Group) -> Group:
    """Return a group with the times of its first and its last row, which the rest of a roll-up does not have."""
    values = dict(zip(plan.group_by, group.key, strict=True))
    if values[KEY] is not None:
        return group
    c = REQUEST_LOGS.c
    inside = [c.started_at >= window[0], c.started_at < window[1]]
    inside.extend(c[name] == value for name, value in {**values, **plan.filters}.items())
    # In the order of the index: among rows without a key, the first that is read is the result.
    times = [
        connection.execute(select(c.started_at).where(*inside).order_by(order).limit(1)).scalar_one()
        for order in (c.started_at, c.started_at.desc())
    ]
    return replace_in(group, totals=replace_in(group.totals, first_seen=times[0], last_seen=times[1]))


def _are_few_of_many(connection: Connection, plan: UsagePlan) -> bool:
    """Return whether a plan wants one page of addresses, and there are several times as many."""
    if plan.group_by != ("ip",) or plan.buckets is not None or plan.limit == NO_LIMIT:
        return False
    others = select(ADDRESSES.c.ip).limit(1).offset(MANY_ADDRESSES * plan.limit)
    return connection.execute(others).one_or_none() is not None


def _widened(windows: Sequence[TimeWindow], whole: TimeWindow, span_s: int) -> list[TimeWindow]:
    """Widen the first and the last window to whole blocks if no rows lie beyond them."""
    wide = list(windows)
    if wide[0][0] <= whole[0]:
        wide[0] = (wide[0][0] // span_s * span_s, wide[0][1])
    if wide[-1][1] >= whole[1]:
        wide[-1] = (wide[-1][0], -(-wide[-1][1] // span_s) * span_s)
    return wide


def _extent(state: rollups.RollupState) -> TimeWindow | None:
    if state.first_seen is None or state.last_seen is None:
        return None
    return state.first_seen, state.last_seen + 1


def _clipped(whole: TimeWindow, since: int | None, until: int | None) -> TimeWindow:
    return (
        whole[0] if since is None else max(since, whole[0]),
        whole[1] if until is None else min(until, whole[1]),
    )


def _bounds(part: PeriodPart) -> tuple[bool, bool]:
    return part.since is not None, part.until is not None


def _values(
    plan: UsagePlan, state: rollups.RollupState, cover: Cover, rows: Sequence[WindowEdge]
) -> dict[str, str | int | bytes | None]:
    values: dict[str, str | int | bytes | None] = {
        "generation": state.generation,
        "folded": state.folded_seq,
        "blocks": json.dumps(cover.blocks),
        "edges": json.dumps(cover.edges),
        "recent": json.dumps(rows),
        "limit": plan.limit,
    }
    values.update((f"is_{name}", value) for name, value in plan.filters.items())
    if plan.names is not None and LABEL in (*plan.group_by, *plan.filters):
        values.update(label_values(plan.names))
    if plan.within is not None:
        values["first_key"], values["last_key"] = plan.within
    for at, part in enumerate(plan.parts or ()):
        values.update((f"{name}_{at}", value) for name, value in part._asdict().items())
    if plan.after is not None:
        values["after_bucket"], values["after_cost"], key = plan.after
        values.update((f"after_{at}", value) for at, value in enumerate(key))
    return values

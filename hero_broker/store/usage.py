"""Sums over a window, by dimensions and buckets of time, exact at any moment.

The blocks of a roll-up are added to the rows of part hours at the window's edges and to the rows above the watermark.
Where no roll-up has the dimensions that are asked for, all rows of the window stand in for the first two. A question is
answered within one read transaction, so that the watermark and what lies on either side of it belong together.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgspec
from sqlalchemy import Connection, Table, select

from hero_broker.core.errors import TooWide
from hero_broker.core.records import UsageTotals
from hero_broker.store import rollups
from hero_broker.store.schema import ADDRESSES, ALL_TIME, HOUR, ROLLUPS, SUMS
from hero_broker.store.sums import CANNOT_BE_SUMMED, COST, LARGEST
from hero_broker.store.usage_statement import PREFIX, Shape, statement
from hero_broker.store.window_cover import Cover, WindowEdge, all_time, cover_window

TimeWindow = tuple[int, int]  # unix seconds, half-open
NO_LIMIT = 2**62
MANY_ADDRESSES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class UsagePlan:
    """What to sum. Nothing is checked here."""

    group_by: tuple[str, ...] = ()  # columns of `request_logs`, or "prefix"
    filters: Mapping[str, str] = field(default_factory=dict)  # column → value
    within: tuple[bytes, bytes] | None = None  # the first and last `ip_key` of the addresses that count
    seqs: tuple[int, int] | None = None  # the first and last `seq` that count; None: all
    since: int | None = None
    until: int | None = None
    buckets: Sequence[TimeWindow] | None = None  # neighbouring windows, ascending; None: one for all
    prefix_bits: tuple[int, int] = (32, 128)  # of IPv4 and of IPv6 addresses, for "prefix"
    limit: int = NO_LIMIT
    after: tuple[int, int, tuple[str | None, ...]] | None = None  # bucket, cost and group of the one seen last


class Group(msgspec.Struct, frozen=True, gc=False):
    """The sums of one group in one bucket."""

    bucket: int
    key: tuple[str | None, ...]  # in the order of `group_by`; a prefix as `prefixes` writes it
    totals: UsageTotals


def rollup_for(question: UsagePlan) -> Table | None:
    """Return the smallest roll-up that answers a question; None where rows must."""
    asked = {"ip" if name == PREFIX else name for name in (*question.group_by, *question.filters)}
    if question.within is not None:
        asked.add("ip")
    if question.seqs is not None or any(since % HOUR for since, _ in (question.buckets or ())[1:]):
        return None
    return next((table for table in ROLLUPS if asked <= set(table.info["dimensions"])), None)


def extent(connection: Connection) -> TimeWindow | None:
    """Return the window that holds all rows, as narrow as it is; None where there are none."""
    return _extent(rollups.rollup_state(connection))


def groups(connection: Connection, question: UsagePlan) -> list[Group]:
    """Return the sums of each group: by bucket, then largest cost first, then by group. Groups without rows are not.

    Raises:
        TooWide: a cost is more than the store can sum.
    """
    standing = rollups.rollup_state(connection)
    whole = _extent(standing)
    if whole is None:
        return []
    window = _clipped(whole, question.since, question.until)
    windows = [_clipped(window, *bucket) for bucket in question.buckets] if question.buckets is not None else [window]
    rows = [WindowEdge(since, until, number) for number, (since, until) in enumerate(windows) if since < until]
    if not rows:
        return []
    table = rollup_for(question)
    covered, recent = Cover([], rows), False
    if table is not None:
        spans = table.info["spans"]
        is_all = window == whole and question.buckets is None and ALL_TIME in spans
        covered = all_time() if is_all else cover_window(_widened(windows, whole, max(spans)), spans)
        recent = standing.last_seq > standing.folded_seq
    parts = (bool(covered.blocks), bool(covered.edges), recent)
    after = None if question.after is None else tuple(value is None for value in question.after[2])
    shape = Shape(
        dialect=connection.dialect.name,
        table=table,
        group_by=question.group_by,
        has_buckets=question.buckets is not None,
        filters=tuple(question.filters),
        is_within=question.within is not None,
        has_seqs=question.seqs is not None,
        prefix_bits=question.prefix_bits,
        parts=parts,
        is_distinct=parts == (True, False, False) and len(covered.blocks) == 1,
        after=after,
    )
    width = 1 + len(question.group_by)
    values = _values(question, standing, covered, rows)
    if not shape.is_distinct and _are_few_of_many(connection, question):
        # Sums that nobody sees are not made: first whose cost is the largest, then all of their sums.
        largest = statement(replace(shape, sums=("cost_nano_usd",))).rows(connection, values)
        shape, values["among"] = replace(shape, is_among=True), json.dumps([row[1] for row in largest])
    found = statement(shape).rows(connection, values)
    cost = width + SUMS.index(COST)
    if any(row[cost] == LARGEST for row in found):
        raise TooWide(CANNOT_BE_SUMMED)
    return [Group(row[0], row[1:width], UsageTotals(*row[width:])) for row in found]


def _are_few_of_many(connection: Connection, question: UsagePlan) -> bool:
    """Whether a question asks for some of the addresses, and there are several times as many."""
    if question.group_by != ("ip",) or question.buckets is not None or question.limit == NO_LIMIT:
        return False
    others = select(ADDRESSES.c.ip).limit(1).offset(MANY_ADDRESSES * question.limit)
    return connection.execute(others).one_or_none() is not None


def _widened(windows: Sequence[TimeWindow], whole: TimeWindow, span_s: int) -> list[TimeWindow]:
    """Let the first and the last window reach to whole blocks where there are no rows beyond them."""
    wide = list(windows)
    if wide[0][0] <= whole[0]:
        wide[0] = (wide[0][0] // span_s * span_s, wide[0][1])
    if wide[-1][1] >= whole[1]:
        wide[-1] = (wide[-1][0], -(-wide[-1][1] // span_s) * span_s)
    return wide


def _extent(standing: rollups.RollupState) -> TimeWindow | None:
    if standing.first_seen is None or standing.last_seen is None:
        return None
    return standing.first_seen, standing.last_seen + 1


def _clipped(whole: TimeWindow, since: int | None, until: int | None) -> TimeWindow:
    return (
        whole[0] if since is None else max(since, whole[0]),
        whole[1] if until is None else min(until, whole[1]),
    )


def _values(
    question: UsagePlan, standing: rollups.RollupState, covered: Cover, rows: Sequence[WindowEdge]
) -> dict[str, str | int | bytes | None]:
    values: dict[str, str | int | bytes | None] = {
        "generation": standing.generation,
        "folded": standing.folded_seq,
        "blocks": json.dumps(covered.blocks),
        "edges": json.dumps(covered.edges),
        "recent": json.dumps(rows),
        "limit": question.limit,
    }
    values.update((f"is_{name}", value) for name, value in question.filters.items())
    if question.within is not None:
        values["first_key"], values["last_key"] = question.within
    if question.seqs is not None:
        values["first_seq"], values["last_seq"] = question.seqs
    if question.after is not None:
        values["after_bucket"], values["after_cost"], key = question.after
        values.update((f"after_{at}", value) for at, value in enumerate(key))
    return values

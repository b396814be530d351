"""The one query of the reports: sums over a window, by dimensions and buckets of time, exact at any moment.

SELECT bucket, dimensions, sum(…) FROM (
    blocks of a roll-up UNION ALL rows of part hours UNION ALL rows above the watermark
) GROUP BY bucket, dimensions ORDER BY bucket, cost DESC, dimensions LIMIT …

Where no roll-up has the dimensions that are asked for, all rows of the window stand in for the first two. A question is
answered within one read transaction, so that the watermark and what lies on either side of it belong together.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    LargeBinary,
    Select,
    Table,
    Text,
    and_,
    cast,
    collate,
    desc,
    func,
    literal,
    or_,
    select,
    true,
    union_all,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.sql.selectable import CTE

from hero_broker.core.records import UsageTotals
from hero_broker.store import rollups
from hero_broker.store.blocks import Block, Cover, Edge, all_time, cover
from hero_broker.store.prefixes import prefix_of
from hero_broker.store.prepared import Prepared, prepare, value_of
from hero_broker.store.schema import ADDRESSES, ALL_TIME, BIG, HOUR, REQUEST_LOGS, ROLLUPS, SUMS
from hero_broker.store.sums import of_rollup, of_row, summed

Window = tuple[int, int]  # unix seconds, half-open
PREFIX = "prefix"
_NULLABLE = frozenset(column.name for column in REQUEST_LOGS.c if column.nullable)
NO_LIMIT = 2**62


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What to sum. Nothing is checked here."""

    group_by: tuple[str, ...] = ()  # columns of `request_logs`, or "prefix"
    filters: Mapping[str, str] = field(default_factory=dict)  # column → value
    within: tuple[bytes, bytes] | None = None  # the first and last `ip_key` of the addresses that count
    seqs: tuple[int, int] | None = None  # the first and last `seq` that count; None: all
    since: int | None = None
    until: int | None = None
    buckets: Sequence[Window] | None = None  # neighbouring windows, ascending; None: one for all
    prefix_bits: tuple[int, int] = (32, 128)  # of IPv4 and of IPv6 addresses, for "prefix"
    limit: int = NO_LIMIT
    after: tuple[int, int, tuple[str | None, ...]] | None = None  # bucket, cost and group of the one seen last


class Group(msgspec.Struct, frozen=True, gc=False):
    """The sums of one group in one bucket."""

    bucket: int
    key: tuple[str | None, ...]  # in the order of `group_by`; a prefix as `prefixes` writes it
    totals: UsageTotals


def rollup_for(question: Question) -> Table | None:
    """Return the smallest roll-up that answers a question; None where rows must."""
    asked = {"ip" if name == PREFIX else name for name in (*question.group_by, *question.filters)}
    if question.within is not None:
        asked.add("ip")
    if question.seqs is not None or any(since % HOUR for since, _ in (question.buckets or ())[1:]):
        return None
    return next((table for table in ROLLUPS if asked <= set(table.info["dimensions"])), None)


def extent(connection: Connection) -> Window | None:
    """Return the window that holds all rows, as narrow as it is; None where there are none."""
    return _extent(rollups.standing(connection))


def groups(connection: Connection, question: Question) -> list[Group]:
    """Return the sums of each group: by bucket, then largest cost first, then by group. Groups without rows are not."""
    standing = rollups.standing(connection)
    whole = _extent(standing)
    if whole is None:
        return []
    window = _clipped(whole, question.since, question.until)
    windows = [_clipped(window, *bucket) for bucket in question.buckets] if question.buckets is not None else [window]
    rows = [Edge(since, until, number) for number, (since, until) in enumerate(windows) if since < until]
    if not rows:
        return []
    table = rollup_for(question)
    covered, recent = Cover([], rows), False
    if table is not None:
        spans = table.info["spans"]
        is_all = window == whole and question.buckets is None and ALL_TIME in spans
        covered = all_time() if is_all else cover(_widened(windows, whole, max(spans)), spans)
        recent = standing.last_seq > standing.folded_seq
    parts = (bool(covered.blocks), bool(covered.edges), recent)
    after = None if question.after is None else tuple(value is None for value in question.after[2])
    shape = _Shape(
        dialect=connection.dialect.name,
        table=table,
        group_by=question.group_by,
        filters=tuple(question.filters),
        is_within=question.within is not None,
        has_seqs=question.seqs is not None,
        prefix_bits=question.prefix_bits,
        parts=parts,
        is_distinct=parts == (True, False, False) and len(covered.blocks) == 1,
        after=after,
    )
    width = 1 + len(question.group_by)
    found = _prepared(shape).rows(connection, _values(question, standing, covered, rows))
    return [Group(row[0], row[1:width], UsageTotals(*row[width:])) for row in found]


def _widened(windows: Sequence[Window], whole: Window, span_s: int) -> list[Window]:
    """Let the first and the last window reach to whole blocks where there are no rows beyond them."""
    wide = list(windows)
    if wide[0][0] <= whole[0]:
        wide[0] = (wide[0][0] // span_s * span_s, wide[0][1])
    if wide[-1][1] >= whole[1]:
        wide[-1] = (wide[-1][0], -(-wide[-1][1] // span_s) * span_s)
    return wide


def _extent(standing: rollups.Standing) -> Window | None:
    if standing.first_seen is None or standing.last_seen is None:
        return None
    return standing.first_seen, standing.last_seen + 1


def _clipped(whole: Window, since: int | None, until: int | None) -> Window:
    return (
        whole[0] if since is None else max(since, whole[0]),
        whole[1] if until is None else min(until, whole[1]),
    )


@dataclass(frozen=True, slots=True)
class _Shape:
    """What decides the text of a statement; all else is bound when it runs."""

    dialect: str
    table: Table | None  # the roll-up that is read
    group_by: tuple[str, ...]
    filters: tuple[str, ...]
    is_within: bool
    has_seqs: bool
    prefix_bits: tuple[int, int]
    parts: tuple[bool, bool, bool]  # blocks, rows of edges, rows above the watermark
    is_distinct: bool  # the only part is one block, in which each key of the roll-up stands once
    after: tuple[bool, ...] | None  # which values of the group seen last are NULL


def _values(
    question: Question, standing: rollups.Standing, covered: Cover, rows: Sequence[Edge]
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


@lru_cache(maxsize=512)
def _prepared(shape: _Shape) -> Prepared:
    c = REQUEST_LOGS.c
    parts = []
    if shape.table is None:
        # A range of `seq` is read in its order, a window in the order of time.
        by_seq = [c.seq >= value_of("first_seq", BIG), c.seq <= value_of("last_seq", BIG)]
        started_at, condition = (c.started_at + 0, and_(*by_seq)) if shape.has_seqs else (c.started_at, true())
        return prepare(shape.dialect, _grouped(shape, [_rows(shape, "edges", started_at, condition)]))
    if shape.parts[0]:
        parts.append(_blocks(shape, shape.table))
    if shape.parts[1]:
        parts.append(_rows(shape, "edges", c.started_at, c.seq <= value_of("folded", BIG)))
    if shape.parts[2]:
        # The watermark chooses few rows: no index on time is to be used instead.
        parts.append(_rows(shape, "recent", c.started_at + 0, c.seq > value_of("folded", BIG)))
    return prepare(shape.dialect, _grouped(shape, parts))


def _blocks(shape: _Shape, table: Table) -> Select[Any]:
    """SELECT bucket, dimensions, sums FROM blocks JOIN rollup ON (generation, span_s, begins_at)."""
    c = table.c
    blocks = _listed(shape, "blocks", Block._fields)
    source = blocks.join(table, and_(c.span_s == blocks.c.span_s, c.begins_at == blocks.c.begins_at))
    if PREFIX in shape.group_by:
        source = source.join(ADDRESSES, ADDRESSES.c.ip == c.ip)
    part = select(blocks.c.bucket, *_dimensions(shape, table, ADDRESSES.c.ip_key), *of_rollup(table)).select_from(
        source
    )
    part = part.where(c.generation == value_of("generation", BIG), *_filters(shape, table))
    if shape.is_within:
        part = part.where(c.ip.in_(select(ADDRESSES.c.ip).where(_within(ADDRESSES.c.ip_key))))
    return part


def _rows(shape: _Shape, name: str, started_at: ColumnElement[int], condition: ColumnElement[bool]) -> Select[Any]:
    """SELECT bucket, dimensions, contributions FROM windows JOIN request_logs ON started_at."""
    windows = _listed(shape, name, Edge._fields)
    source = windows.join(REQUEST_LOGS, and_(started_at >= windows.c.since, started_at < windows.c.until))
    part = select(windows.c.bucket, *_dimensions(shape, REQUEST_LOGS, REQUEST_LOGS.c.ip_key), *of_row())
    part = part.select_from(source).where(condition, *_filters(shape, REQUEST_LOGS))
    return part.where(_within(REQUEST_LOGS.c.ip_key)) if shape.is_within else part


def _listed(shape: _Shape, name: str, fields: Sequence[str]) -> CTE:
    """Return a list of integers' tuples as a table; it travels as one JSON text: the statement stays the same."""
    text = value_of(name, Text)
    values: list[ColumnElement[Any]]
    if shape.dialect == "sqlite":
        each = func.json_each(text).table_valued("value", name=f"each_{name}")
        values = [func.json_extract(each.c.value, literal(f"$[{at}]")) for at in range(len(fields))]
    else:
        each = func.jsonb_array_elements(cast(text, postgresql.JSONB)).table_valued("value", name=f"each_{name}")
        values = [cast(each.c.value.op("->>")(cast(at, Integer)), BigInteger) for at in range(len(fields))]
    labelled = [value.label(field) for field, value in zip(fields, values, strict=True)]
    # Materialised, or SQLite reads the roll-up first and this list once for each of its rows.
    return select(*labelled).select_from(each).cte(name).prefix_with("MATERIALIZED")


def _dimensions(shape: _Shape, table: Table, ip_key: ColumnElement[Any]) -> list[ColumnElement[str]]:
    found: list[ColumnElement[str]] = []
    for at, name in enumerate(shape.group_by):
        column = prefix_of(shape.dialect, ip_key, shape.prefix_bits) if name == PREFIX else table.c[name]
        # Texts are ordered by their bytes, as SQLite does.
        found.append((column if shape.dialect == "sqlite" else collate(column, "C")).label(f"dimension_{at}"))
    return found


def _filters(shape: _Shape, table: Table) -> list[ColumnElement[bool]]:
    return [table.c[name] == value_of(f"is_{name}", Text) for name in shape.filters]


def _within(ip_key: ColumnElement[Any]) -> ColumnElement[bool]:
    first, last = (value_of(name, LargeBinary) for name in ("first_key", "last_key"))
    return and_(ip_key >= first, ip_key <= last)


def _grouped(shape: _Shape, parts: Sequence[Select[Any]]) -> Select[Any]:
    source = (union_all(*parts) if len(parts) > 1 else parts[0]).subquery("parts")
    dimensions = [source.c[f"dimension_{at}"] for at in range(len(shape.group_by))]
    sums: list[ColumnElement[int]] = [source.c[name] for name in SUMS]
    is_grouped = not (
        shape.is_distinct and shape.table is not None and shape.group_by == shape.table.info["dimensions"]
    )
    if is_grouped:
        # PostgreSQL sums to NUMERIC.
        totals = zip(SUMS, summed(sums), strict=True)
        sums = [one if shape.dialect == "sqlite" else cast(one, BigInteger).label(name) for name, one in totals]
    cost = sums[SUMS.index("cost_nano_usd")]
    query = select(source.c.bucket, *dimensions, *sums)
    keys: list[ColumnElement[Any]] = [source.c.bucket, desc(cost)]
    for name, dimension in zip(shape.group_by, dimensions, strict=True):
        if name in _NULLABLE:  # those without come first, on both stores
            keys.append(dimension.is_not(None))
        keys.append(dimension)
    if is_grouped:
        query = query.group_by(source.c.bucket, *dimensions)
    if shape.after is not None:
        later = _later(shape.after, source.c.bucket, cost, dimensions)
        query = query.having(later) if is_grouped else query.where(later)
    return query.order_by(*keys).limit(value_of("limit", BIG))


def _later(
    nulls: tuple[bool, ...],
    bucket: ColumnElement[int],
    cost: ColumnElement[int],
    dimensions: Sequence[ColumnElement[str]],
) -> ColumnElement[bool]:
    """Return the condition on groups that come after another in the order of the answer."""
    seen_bucket, seen_cost = (value_of(f"after_{name}", BIG) for name in ("bucket", "cost"))
    steps: list[tuple[ColumnElement[bool], ColumnElement[bool]]] = [
        (bucket > seen_bucket, bucket == seen_bucket),
        (cost < seen_cost, cost == seen_cost),
    ]
    for at, (dimension, is_null) in enumerate(zip(dimensions, nulls, strict=True)):
        value = value_of(f"after_{at}", Text)
        is_later, is_equal = dimension > value, dimension == value
        steps.append((dimension.is_not(None), dimension.is_(None)) if is_null else (is_later, is_equal))
    alternatives: list[ColumnElement[bool]] = []
    equal_so_far: list[ColumnElement[bool]] = [true()]
    for is_later, is_equal in steps:
        alternatives.append(and_(*equal_so_far, is_later))
        equal_so_far.append(is_equal)
    return or_(*alternatives)

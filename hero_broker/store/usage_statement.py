"""The SQL of usage queries: one statement per shape of query, built and compiled once.

SELECT bucket, dimensions, sum(…) FROM (
    blocks of a roll-up UNION ALL rows of part hours UNION ALL rows above the watermark
) GROUP BY bucket, dimensions ORDER BY bucket, cost DESC, dimensions LIMIT …
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
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
    null,
    or_,
    select,
    true,
    union_all,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.sql.selectable import FromClause

from hero_broker.store.address_labels import LABEL, has_label, label_of, with_labels
from hero_broker.store.json_lists import INTEGER, listed
from hero_broker.store.prefixes import prefix_column
from hero_broker.store.prepared import Prepared, parameter, prepare
from hero_broker.store.schema import ADDRESSES, BIG, REQUEST_LOGS, SUMS
from hero_broker.store.sums import priced, rollup_sums, row_sums, subtracted_sums, summed
from hero_broker.store.window_cover import Block, WindowEdge

PREFIX = "prefix"  # as `LABEL`, a dimension of an address, without a column of its own
KEY = "api_key_id"
_NULLABLE = frozenset([LABEL, *(column.name for column in REQUEST_LOGS.c if column.nullable)])


@dataclass(frozen=True, slots=True)
class Shape:
    """All that the text of a statement depends on; everything else is a bound value."""

    dialect: str
    table: Table | None  # the roll-up that is read
    rest: Table | None  # a roll-up of all rows, if `table` lacks those without a key and they are a group of the report
    group_by: tuple[str, ...]
    has_buckets: bool
    filters: tuple[str, ...]
    is_within: bool
    period: tuple[tuple[bool, bool], ...] | None  # which bounds of time each part of a billing period has
    prefix_bits: tuple[int, int]
    parts: tuple[bool, bool, bool]  # blocks, rows of edges, rows above the watermark
    is_distinct: bool  # the only part is one block, in which each key of the roll-up occurs once
    after: tuple[bool, ...] | None  # which values in the key of the last group before are NULL
    has_few_recent: bool = True  # rows above the watermark are read in the order of `seq`, not by the index on time
    is_unlabelled: bool = False  # the filter of labels includes the addresses without one
    is_priced: bool | None = None  # only rows with a cost, or only those without one; no roll-up is read then
    is_among: bool = False  # restricted to a list of addresses
    sums: tuple[str, ...] = SUMS  # the selected sums; always with the cost


@lru_cache(maxsize=512)
def statement(shape: Shape) -> Prepared:
    """Return the statement of a shape; its parameters are the `parameter`s below."""
    c = REQUEST_LOGS.c
    parts = []
    if shape.table is None:
        edges = listed(shape.dialect, "edges", dict.fromkeys(WindowEdge._fields, INTEGER))
        if shape.period is None:
            return prepare(shape.dialect, _grouped(shape, [_rows(shape, edges, c.started_at, true())]))
        # A range of `seq` is read in its order. With buckets it would be read once for each, so the rows of a period
        # that ends at a time are read in the order of time. `+ 0` keeps the planner from an index.
        by_time = shape.has_buckets and all(has_until for _, has_until in shape.period)
        started_at, seq = (c.started_at, c.seq + 0) if by_time else (c.started_at + 0, c.seq)
        parts = [
            _rows(shape, edges, started_at, _is_in_part(seq, started_at, at, *bounds))
            for at, bounds in enumerate(shape.period)
        ]
        return prepare(shape.dialect, _grouped(shape, parts))
    if shape.parts[0]:
        blocks = listed(shape.dialect, "blocks", dict.fromkeys(Block._fields, INTEGER))
        parts.append(_blocks(shape, blocks, shape.table, rollup_sums(shape.table)))
        if shape.rest is not None:
            parts.append(_blocks(shape, blocks, shape.rest, rollup_sums(shape.rest), is_rest=True))
            parts.append(_blocks(shape, blocks, shape.table, subtracted_sums(shape.table), is_rest=True))
    if shape.parts[1]:
        edges = listed(shape.dialect, "edges", dict.fromkeys(WindowEdge._fields, INTEGER))
        parts.append(_rows(shape, edges, c.started_at, c.seq <= parameter("folded", BIG)))
    if shape.parts[2]:
        # `+ 0` keeps the planner from an index.
        few = shape.has_few_recent
        started_at, seq = (c.started_at + 0, c.seq) if few else (c.started_at, c.seq + 0)
        recent = listed(shape.dialect, "recent", dict.fromkeys(WindowEdge._fields, INTEGER))
        parts.append(_rows(shape, recent, started_at, seq > parameter("folded", BIG)))
    return prepare(shape.dialect, _grouped(shape, parts))


def _blocks(
    shape: Shape, blocks: CTE, table: Table, sums: Mapping[str, ColumnElement[int]], *, is_rest: bool = False
) -> Select[Any]:
    """SELECT bucket, dimensions, sums FROM blocks JOIN rollup ON (generation, span_s, begins_at).

    In a part of the rest, all rows are in the group without a key.
    """
    c = table.c
    source: FromClause = blocks.join(table, and_(c.span_s == blocks.c.span_s, c.begins_at == blocks.c.begins_at))
    if PREFIX in shape.group_by:
        source = source.join(ADDRESSES, ADDRESSES.c.ip == c.ip)
    source = _with_labels(shape, source, table)
    dimensions = _dimensions(shape, table, ADDRESSES.c.ip_key, is_rest=is_rest)
    part = select(blocks.c.bucket, *dimensions, *_sums(shape, sums))
    part = part.select_from(source).where(c.generation == parameter("generation", BIG), *_filters(shape, table))
    if shape.is_within:
        part = part.where(c.ip.in_(select(ADDRESSES.c.ip).where(_within(ADDRESSES.c.ip_key))))
    return part.where(c.ip.in_(_among(shape))) if shape.is_among else part


def _is_in_part(
    seq: ColumnElement[int], started_at: ColumnElement[int], at: int, has_since: bool, has_until: bool
) -> ColumnElement[bool]:
    """Return the condition for rows of a part of a billing period, a `PeriodPart`."""
    bounds = [seq >= parameter(f"first_seq_{at}", BIG), seq <= parameter(f"last_seq_{at}", BIG)]
    if has_since:
        bounds.append(started_at >= parameter(f"since_{at}", BIG))
    if has_until:
        bounds.append(started_at < parameter(f"until_{at}", BIG))
    return and_(*bounds)


def _rows(shape: Shape, windows: CTE, started_at: ColumnElement[int], condition: ColumnElement[bool]) -> Select[Any]:
    """SELECT bucket, dimensions, contributions FROM windows JOIN request_logs ON started_at."""
    source: FromClause = windows.join(REQUEST_LOGS, and_(started_at >= windows.c.since, started_at < windows.c.until))
    source = _with_labels(shape, source, REQUEST_LOGS)
    part = select(windows.c.bucket, *_dimensions(shape, REQUEST_LOGS, REQUEST_LOGS.c.ip_key), *_sums(shape, row_sums()))
    part = part.select_from(source).where(condition, *_filters(shape, REQUEST_LOGS))
    if shape.is_within:
        part = part.where(_within(REQUEST_LOGS.c.ip_key))
    if shape.is_priced is not None:
        part = part.where(priced(shape.is_priced))
    return part.where(REQUEST_LOGS.c.ip.in_(_among(shape))) if shape.is_among else part


def _with_labels(shape: Shape, source: FromClause, table: Table) -> FromClause:
    """Return a source whose rows have the label of their address, if they are grouped by it."""
    if LABEL not in shape.group_by:
        return source
    return with_labels(shape.dialect, source, table.c.ip)


def _sums(shape: Shape, contributions: Mapping[str, ColumnElement[int]]) -> list[ColumnElement[int]]:
    return [contributions[name] for name in shape.sums]


def _among(shape: Shape) -> Select[Any]:
    """Return the addresses of the list, which is one JSON parameter too."""
    text = parameter("among", Text)
    if shape.dialect == "sqlite":
        return select(func.json_each(text).table_valued("value", name="each_among").c.value)
    return select(func.jsonb_array_elements_text(cast(text, postgresql.JSONB)).column_valued("each_among"))


def _dimensions(
    shape: Shape, table: Table, ip_key: ColumnElement[Any], *, is_rest: bool = False
) -> list[ColumnElement[str]]:
    columns: list[ColumnElement[str]] = []
    for at, name in enumerate(shape.group_by):
        column: ColumnElement[Any]
        if name == PREFIX:
            column = prefix_column(shape.dialect, ip_key, shape.prefix_bits)
        elif name == KEY and is_rest:
            column = cast(null(), Text)
        else:
            column = label_of(shape.dialect, table.c.ip) if name == LABEL else table.c[name]
        # Compare texts by bytes, as SQLite does.
        columns.append((column if shape.dialect == "sqlite" else collate(column, "C")).label(f"dimension_{at}"))
    return columns


def _filters(shape: Shape, table: Table) -> list[ColumnElement[bool]]:
    return [
        has_label(shape.dialect, table.c.ip, is_unlabelled=shape.is_unlabelled)
        if name == LABEL
        else table.c[name] == parameter(f"is_{name}", Text)
        for name in shape.filters
    ]


def _within(ip_key: ColumnElement[Any]) -> ColumnElement[bool]:
    first, last = (parameter(name, LargeBinary) for name in ("first_key", "last_key"))
    return and_(ip_key >= first, ip_key <= last)


def _grouped(shape: Shape, parts: Sequence[Select[Any]]) -> Select[Any]:
    source = (union_all(*parts) if len(parts) > 1 else parts[0]).subquery("parts")
    dimensions = [source.c[f"dimension_{at}"] for at in range(len(shape.group_by))]
    sums: list[ColumnElement[int]] = [source.c[name] for name in shape.sums]
    is_grouped = not (
        shape.is_distinct and shape.table is not None and shape.group_by == shape.table.info["dimensions"]
    )
    if is_grouped:
        sums = summed({name: source.c[name] for name in shape.sums})
        if shape.dialect != "sqlite":  # PostgreSQL sums to NUMERIC
            sums = [cast(one, BigInteger).label(name) for name, one in zip(shape.sums, sums, strict=True)]
    cost = sums[shape.sums.index("cost_nano_usd")]
    buckets: list[ColumnElement[int]] = [source.c.bucket] if shape.has_buckets else []
    columns: list[ColumnElement[Any]] = [*(buckets or [literal(0)]), *dimensions, *sums]
    query: Select[Any] = select(*columns)
    keys: list[ColumnElement[Any]] = [*buckets, desc(cost)]
    for name, dimension in zip(shape.group_by, dimensions, strict=True):
        if name in _NULLABLE:  # NULL sorts first, on both stores
            keys.append(dimension.is_not(None))
        keys.append(dimension)
    if is_grouped:
        # An aggregate without GROUP BY returns a row even without input.
        query = query.group_by(*(buckets + dimensions or [source.c.bucket]))
    if shape.rest is not None:  # the rest is a group even if it has no rows
        query = query.having(func.sum(source.c.requests) > 0)
    if shape.after is not None:
        later = _later(shape.after, buckets, cost, dimensions)
        query = query.having(later) if is_grouped else query.where(later)
    return query.order_by(*keys).limit(parameter("limit", BIG))


def _later(
    nulls: tuple[bool, ...],
    buckets: Sequence[ColumnElement[int]],
    cost: ColumnElement[int],
    dimensions: Sequence[ColumnElement[str]],
) -> ColumnElement[bool]:
    """Return the condition for groups that sort after the last group of the page before."""
    last_bucket, last_cost = (parameter(f"after_{name}", BIG) for name in ("bucket", "cost"))
    steps: list[tuple[ColumnElement[bool], ColumnElement[bool]]] = [
        *((bucket > last_bucket, bucket == last_bucket) for bucket in buckets),
        (cost < last_cost, cost == last_cost),
    ]
    for at, (dimension, is_null) in enumerate(zip(dimensions, nulls, strict=True)):
        value = parameter(f"after_{at}", Text)
        is_later, is_equal = dimension > value, dimension == value
        steps.append((dimension.is_not(None), dimension.is_(None)) if is_null else (is_later, is_equal))
    alternatives: list[ColumnElement[bool]] = []
    equal_so_far: list[ColumnElement[bool]] = [true()]
    for is_later, is_equal in steps:
        alternatives.append(and_(*equal_so_far, is_later))
        equal_so_far.append(is_equal)
    return or_(*alternatives)

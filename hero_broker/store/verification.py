"""Compares roll-ups with the rows that they sum, block by block.

Each comparison is one statement in its own transaction, with the watermark of that moment: a fold in between changes
both sides at once.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, case, func, literal, or_, select, union_all

from hero_broker.core.records import Difference, UsageTotals
from hero_broker.store import rollups
from hero_broker.store.schema import ALL_TIME, COUNTS, HOUR, REQUEST_LOGS, ROLLUPS, SUMS
from hero_broker.store.sums import bounded, rollup_sums, row_sums

STEP_ROWS = 50_000
ACTUAL, EXPECTED = 0, 1

SeqWindow = tuple[int, int]  # unix seconds, half-open, whole hours


def extent(connection: Connection) -> SeqWindow | None:
    """Return the hours from the first to the last that have rows or roll-ups; None if there are none."""
    state = rollups.rollup_state(connection)
    bounds = [] if state.first_seen is None else [state.first_seen, state.last_seen]
    started_at = REQUEST_LOGS.c.started_at
    bounds.extend(connection.execute(select(func.min(started_at), func.max(started_at))).one())
    for table in ROLLUPS:
        c = table.c
        hours = select(func.min(c.begins_at), func.max(c.begins_at))
        bounds.extend(connection.execute(hours.where(c.generation == state.generation, c.span_s == HOUR)).one())
    present = [bound for bound in bounds if bound is not None]
    return (min(present) // HOUR * HOUR, (max(present) // HOUR + 1) * HOUR) if present else None


def step(connection: Connection, since: int, until: int) -> tuple[int, int]:
    """Return the end of a step of about `STEP_ROWS` rows from `since`, at a full hour, and its number of rows."""
    started_at = REQUEST_LOGS.c.started_at
    inside = select(started_at).where(started_at >= since, started_at < until).order_by(started_at)
    following = connection.execute(inside.limit(1).offset(STEP_ROWS)).scalar_one_or_none()
    end = until if following is None else min(until, max(following // HOUR * HOUR, since + HOUR))
    counted = select(func.count()).where(started_at >= since, started_at < end)
    return end, connection.execute(counted).scalar_one()


def behind(connection: Connection, since: int | None, until: int | None, ended_at: int) -> int:
    """Return how many rows of the window ended before `ended_at` (unix seconds) and are not folded."""
    _, folded = rollups.watermark(connection)
    c = REQUEST_LOGS.c
    counted = select(func.count()).where(c.seq > folded, c.started_at + c.duration_ms // 1000 < ended_at)
    if since is not None:
        counted = counted.where(c.started_at >= since)
    if until is not None:
        counted = counted.where(c.started_at < until)
    return int(connection.execute(counted).scalar_one())


def hours(connection: Connection, table: Table, window: SeqWindow, limit: int) -> tuple[int, list[Difference]]:
    """Compare a roll-up's hours with the rows; return how many differ, and the first `limit` of them."""
    generation, folded = rollups.watermark(connection)
    c, started_at = table.c, REQUEST_LOGS.c.started_at
    keys = [REQUEST_LOGS.c[name] for name in table.info["dimensions"]]
    hour = (started_at - started_at % HOUR).label("begins_at")
    actual = _side(table, ACTUAL, c.begins_at).where(
        c.generation == generation, c.span_s == HOUR, c.begins_at >= window[0], c.begins_at < window[1]
    )
    expected: Select[Any] = select(literal(EXPECTED).label("side"), hour, *keys, *row_sums().values())
    expected = expected.where(started_at >= window[0], started_at < window[1], REQUEST_LOGS.c.seq <= folded)
    if (has := table.info["has"]) is not None:
        expected = expected.where(REQUEST_LOGS.c[has].is_not(None))
    return _compare(connection, table, HOUR, [actual, expected], limit)


def blocks(
    connection: Connection, table: Table, span_s: int, window: SeqWindow, limit: int
) -> tuple[int, list[Difference]]:
    """Compare the blocks of a span that begin in the window with the sums of the next smaller blocks inside them.

    The window consists of whole blocks of the span.
    """
    generation, _ = rollups.watermark(connection)
    spans = table.info["spans"]
    smaller = spans[spans.index(span_s) - 1]
    c = table.c
    is_all = span_s == ALL_TIME
    begins_at: ColumnElement[int] = literal(0) if is_all else c.begins_at - c.begins_at % span_s
    actual = _side(table, ACTUAL, c.begins_at).where(c.generation == generation, c.span_s == span_s)
    expected = _side(table, EXPECTED, begins_at).where(c.generation == generation, c.span_s == smaller)
    sides = [actual, expected]
    if not is_all:
        sides = [side.where(c.begins_at >= window[0], c.begins_at < window[1]) for side in sides]
    return _compare(connection, table, span_s, sides, limit)


def blocks_step(connection: Connection, table: Table, span_s: int, since: int, until: int) -> int:
    """Return the end of a step of about `STEP_ROWS` next smaller blocks, at a whole block of `span_s`."""
    if span_s == ALL_TIME:
        return until
    generation, _ = rollups.watermark(connection)
    c, spans = table.c, table.info["spans"]
    smaller = select(c.begins_at).where(
        c.generation == generation, c.span_s == spans[spans.index(span_s) - 1], c.begins_at >= since
    )
    following = connection.execute(smaller.order_by(c.begins_at).limit(1).offset(STEP_ROWS)).scalar_one_or_none()
    return until if following is None else min(until, max(following // span_s * span_s, since + span_s))


def _side(table: Table, side: int, begins_at: ColumnElement[int]) -> Select[Any]:
    keys = [table.c[name] for name in table.info["dimensions"]]
    return select(literal(side).label("side"), begins_at.label("begins_at"), *keys, *rollup_sums(table).values())


def _compare(
    connection: Connection, table: Table, span_s: int, sides: Sequence[Select[Any]], limit: int
) -> tuple[int, list[Difference]]:
    names = table.info["dimensions"]
    both = union_all(*sides).subquery("both")
    keys = [both.c.begins_at, *(both.c[name] for name in names)]
    actual, expected = (
        bounded(connection.dialect.name, {name: case((both.c.side == side, both.c[name])) for name in SUMS})
        for side in (ACTUAL, EXPECTED)
    )
    differ = or_(*(one.is_distinct_from(other) for one, other in zip(actual, expected, strict=True)))
    columns = [
        one.label(f"{prefix}_{name}")
        for prefix, side in (("actual", actual), ("expected", expected))
        for name, one in zip(SUMS, side, strict=True)
    ]
    query = select(*keys, *columns, func.count().over().label("differences")).group_by(*keys).having(differ)
    rows = connection.execute(query.order_by(*keys).limit(max(1, limit))).all()
    width = 1 + len(names)
    listed = [
        Difference(
            str(table.name),
            span_s,
            row[0],
            dict(zip(names, row[1:width], strict=True)),
            expected=_totals(row[width + len(SUMS) : width + 2 * len(SUMS)]),
            found=_totals(row[width : width + len(SUMS)]),
        )
        for row in rows[:limit]
    ]
    return (rows[0].differences if rows else 0), listed


def _totals(values: Sequence[Any]) -> UsageTotals:
    counts = [int(value or 0) for value in values[: len(COUNTS)]]
    return UsageTotals(*counts, *values[len(COUNTS) :])

"""Reads the rows of a FOCUS export in the order of time, in short pages.

Rows never change, so an export that stays below the `seq` at which it began sees one state of the ledger in any number
of short transactions.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, or_, select

from hero_broker.core.records import PeriodPart
from hero_broker.core.usage import Usage
from hero_broker.store import rollups
from hero_broker.store.schema import PRICES, REQUEST_LOGS

Position = tuple[int, int]  # `started_at` and `seq` of a row
_CALL = (
    "started_at",
    "seq",
    "ip",
    "provider",
    "model",
    "outcome",
    "usage_source",
    "cost_nano_usd",
    "cost_source",
    "price_id",
    "duration_ms",
)


def window_part(connection: Connection, since: int | None, until: int | None) -> PeriodPart:
    """Return the part of the ledger that has the rows of a window, as they are now."""
    return PeriodPart(1, rollups.rollup_state(connection).last_seq, since, until)


def extent(connection: Connection, parts: Iterable[PeriodPart], *, by_time: bool) -> tuple[int, int] | None:
    """Return the first and the last `started_at` of the parts; None if they have no rows.

    With `by_time`, the index on `started_at` is read from both ends: right for a window. Without it, the rows of the
    parts are read if they are fewer: right for a billing period, whose rows may be far from both ends.
    """
    started_at = REQUEST_LOGS.c.started_at
    bounds: list[int] = []
    for part in parts:
        conditions = _inside(part, by_time=by_time)
        for order in (started_at, started_at.desc()):
            query = select(started_at).where(*conditions).order_by(order).limit(1)
            bounds.extend(connection.execute(query).scalars())
    return (min(bounds), max(bounds)) if bounds else None


def next_start(connection: Connection, parts: Iterable[PeriodPart], since: int, until: int) -> int | None:
    """Return the first `started_at` of the parts in a window; None if there is none."""
    started_at = REQUEST_LOGS.c.started_at
    in_window = (started_at >= since, started_at < until)
    query = select(started_at).order_by(started_at).limit(1)
    starts = [
        connection.execute(query.where(*_inside(part, by_time=True), *in_window)).scalar_one_or_none() for part in parts
    ]
    return min((start for start in starts if start is not None), default=None)


def rows(
    connection: Connection, part: PeriodPart, since: int, until: int, after: Position | None, limit: int
) -> Sequence[Row[Any]]:
    """Return at most `limit` rows of a part that began in a window, in order, after the position of the last page.

    SELECT … WHERE seq BETWEEN … AND started_at >= … AND (started_at > … OR seq > …) ORDER BY started_at, seq LIMIT …
    """
    c = REQUEST_LOGS.c
    conditions = [
        *_inside(part, by_time=True),
        c.started_at >= (since if after is None else after[0]),
        c.started_at < until,
    ]
    if after is not None:
        conditions.append(or_(c.started_at > after[0], c.seq > after[1]))
    columns = [c[name] for name in (*_CALL, *Usage.__struct_fields__)]
    query = select(*columns).where(*conditions).order_by(c.started_at, c.seq).limit(limit)
    return connection.execute(query).all()


def rates(connection: Connection, price_ids: Iterable[str]) -> dict[str, str]:
    """Return the rates of prices, as JSON, by `price_id`; without those that the ledger does not have."""
    c = PRICES.c
    query = select(c.price_id, c.rates).where(c.price_id.in_(sorted(price_ids)))
    return {row.price_id: row.rates for row in connection.execute(query)}


def _inside(part: PeriodPart, *, by_time: bool) -> list[ColumnElement[bool]]:
    c = REQUEST_LOGS.c
    seq: ColumnElement[int] = c.seq + 0 if by_time else c.seq  # by the index on `started_at`, not in the order of `seq`
    conditions = [seq >= part.first_seq, seq <= part.last_seq]
    if part.since is not None:
        conditions.append(c.started_at >= part.since)
    if part.until is not None:
        conditions.append(c.started_at < part.until)
    return conditions

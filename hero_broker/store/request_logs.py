"""Statements on `request_logs`: insert, and the GROUP BY queries of the reports."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from msgspec.structs import astuple
from sqlalchemy import ColumnElement, Connection, Engine, Row, and_, case, func, or_, select, true
from sqlalchemy.dialects import postgresql, sqlite

from hero_broker.core.calls import FAILED_OUTCOMES, CallKind, Outcome
from hero_broker.core.records import IpUsage, ModelUsage, PriceRecord, RequestLog, UsageTotals
from hero_broker.core.usage import UsageSource
from hero_broker.store.engine import WRITES
from hero_broker.store.schema import PRICES, REQUEST_LOGS

COLUMNS = RequestLog.__struct_fields__
_ENUMS = [COLUMNS.index(name) for name in ("kind", "outcome", "usage_source")]
_STREAM = COLUMNS.index("stream")


def append(engine: Engine, rows: Sequence[RequestLog], prices: Iterable[PriceRecord]) -> None:
    """Add rows in one transaction; a `request_id` or `price_id` that is already there is left as it is."""
    insert = sqlite.insert if engine.dialect.name == "sqlite" else postgresql.insert
    # Plain values in the order of COLUMNS go to the driver as they are: Core's way through dicts takes three times
    # as long, in a thread that holds up the event loop.
    values = [_values(row) for row in rows]
    parameters: Any = values if engine.dialect.positional else [dict(zip(COLUMNS, one, strict=True)) for one in values]
    with engine.execution_options(**WRITES).begin() as connection:
        new_prices = [asdict(price) for price in prices]
        if new_prices:
            connection.execute(insert(PRICES).on_conflict_do_nothing(), new_prices)
        connection.exec_driver_sql(_insert_statement(engine), parameters)


def _values(row: RequestLog) -> tuple[Any, ...]:
    values = list(astuple(row))
    for at in _ENUMS:
        values[at] = values[at].value
    values[_STREAM] = int(values[_STREAM])
    return tuple(values)


def _insert_statement(engine: Engine) -> str:
    """Return the INSERT for the driver, its parameters in the order of COLUMNS or by their names."""
    insert = sqlite.insert if engine.dialect.name == "sqlite" else postgresql.insert
    statement = insert(REQUEST_LOGS).on_conflict_do_nothing(index_elements=["request_id"]).inline()
    return str(statement.compile(dialect=engine.dialect, column_keys=list(COLUMNS)))


def _sums() -> list[ColumnElement[int | None]]:
    c = REQUEST_LOGS.c
    return [
        func.count().label("requests"),
        func.coalesce(func.sum(case((c.outcome.in_([str(o) for o in FAILED_OUTCOMES]), 1), else_=0)), 0),
        func.coalesce(func.sum(case((c.usage_source == UsageSource.ESTIMATED.value, 1), else_=0)), 0),
        func.coalesce(func.sum(case((c.cost_nano_usd.is_(None), 1), else_=0)), 0),
        func.coalesce(func.sum(c.input_tokens), 0),
        func.coalesce(func.sum(c.output_tokens), 0),
        func.coalesce(func.sum(c.cost_nano_usd), 0).label("cost"),
        func.min(c.started_at),
        func.max(c.started_at),
    ]


def _totals(values: Sequence[int | None]) -> UsageTotals:
    counts = [int(value or 0) for value in values[:7]]
    return UsageTotals(
        requests=counts[0],
        failed_requests=counts[1],
        estimated_requests=counts[2],
        unpriced_requests=counts[3],
        input_tokens=counts[4],
        output_tokens=counts[5],
        cost_nano_usd=counts[6],
        first_seen=values[7],
        last_seen=values[8],
    )


def _within(since: int | None, until: int | None, ip: str | None = None) -> ColumnElement[bool]:
    c = REQUEST_LOGS.c
    bounds: list[ColumnElement[bool]] = [true()]
    if ip is not None:
        bounds.append(c.ip == ip)
    if since is not None:
        bounds.append(c.started_at >= since)
    if until is not None:
        bounds.append(c.started_at < until)
    return and_(*bounds)


def totals(connection: Connection, since: int | None, until: int | None, ip: str | None = None) -> UsageTotals:
    """Sum the window's rows, of one address if `ip` is given."""
    return _totals(connection.execute(select(*_sums()).where(_within(since, until, ip))).one())


def usage_by_ip(
    connection: Connection, since: int | None, until: int | None, limit: int, after: tuple[int, str] | None
) -> list[IpUsage]:
    """Sum the window's rows by address: largest cost first, then by ip; `after` is the last (cost, ip) already seen."""
    c = REQUEST_LOGS.c
    cost = func.coalesce(func.sum(c.cost_nano_usd), 0)
    query = select(c.ip, *_sums()).where(_within(since, until)).group_by(c.ip)
    if after is not None:
        query = query.having(or_(cost < after[0], and_(cost == after[0], c.ip > after[1])))
    found = connection.execute(query.order_by(cost.desc(), c.ip).limit(limit))
    return [IpUsage(row[0], _totals(row[1:])) for row in found]


def usage_by_model(connection: Connection, ip: str, since: int | None, until: int | None) -> list[ModelUsage]:
    """Sum one address's rows in the window by model: largest cost first, then by model."""
    c = REQUEST_LOGS.c
    cost = func.coalesce(func.sum(c.cost_nano_usd), 0)
    query = select(c.model, *_sums()).where(_within(since, until, ip)).group_by(c.model).order_by(cost.desc(), c.model)
    return [ModelUsage(row[0], _totals(row[1:])) for row in connection.execute(query)]


def find(connection: Connection, request_id: str) -> tuple[int, RequestLog, PriceRecord | None] | None:
    """Return one row with its `seq` and its price; None where there is none."""
    c = REQUEST_LOGS.c
    found = connection.execute(select(REQUEST_LOGS).where(c.request_id == request_id)).one_or_none()
    if found is None:
        return None
    price = connection.execute(select(PRICES).where(PRICES.c.price_id == found.price_id)).one_or_none()
    record = None
    if price is not None:
        record = PriceRecord(price.price_id, price.rates, price.source or "", price.version or "")
    return found.seq, _row(found), record


def _row(found: Row[Any]) -> RequestLog:
    values = {name: getattr(found, name) for name in COLUMNS}
    values["kind"] = CallKind(values["kind"])
    values["outcome"] = Outcome(values["outcome"])
    values["usage_source"] = UsageSource(values["usage_source"])
    values["stream"] = bool(values["stream"])
    return RequestLog(**values)

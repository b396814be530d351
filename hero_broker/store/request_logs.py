"""Statements on `request_logs`: insert, and find."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from msgspec.structs import astuple
from sqlalchemy import Connection, Engine, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect

from hero_broker.core.calls import CallKind, Outcome
from hero_broker.core.records import PriceRecord, RequestLog
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
        connection.exec_driver_sql(_insert_statement(engine.dialect), parameters)


def _values(row: RequestLog) -> tuple[Any, ...]:
    values = list(astuple(row))
    for at in _ENUMS:
        values[at] = str.__str__(values[at])
    values[_STREAM] = int(values[_STREAM])
    return tuple(values)


@lru_cache(maxsize=2)
def _insert_statement(dialect: Dialect) -> str:
    """Return the INSERT for the driver, its parameters in the order of COLUMNS or by their names."""
    insert = sqlite.insert if dialect.name == "sqlite" else postgresql.insert
    statement = insert(REQUEST_LOGS).on_conflict_do_nothing(index_elements=["request_id"]).inline()
    return str(statement.compile(dialect=dialect, column_keys=list(COLUMNS)))


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
    return found.seq, row_of(found[1:]), record


def row_of(values: Sequence[Any]) -> RequestLog:
    """Return the record of a row's values, given in the order of COLUMNS."""
    found = dict(zip(COLUMNS, values, strict=True))
    found["kind"] = CallKind(found["kind"])
    found["outcome"] = Outcome(found["outcome"])
    found["usage_source"] = UsageSource(found["usage_source"])
    found["stream"] = bool(found["stream"])
    return RequestLog(**found)

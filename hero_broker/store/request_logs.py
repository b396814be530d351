"""Statements on `request_logs`: insert rows, and find one."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from functools import lru_cache
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, Engine, Row, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError

from hero_broker.core.calls import Outcome
from hero_broker.core.errors import RowsRejected
from hero_broker.core.records import PriceRecord, RequestLog
from hero_broker.core.usage import UsageSource
from hero_broker.store.engine import WRITES
from hero_broker.store.prepared import is_about_data
from hero_broker.store.schema import PRICES, REQUEST_LOGS

COLUMNS = RequestLog.__struct_fields__  # columns are addressed by these names, whatever their order in the table
_ENUMS = ("kind", "outcome", "usage_source")


def append(engine: Engine, rows: Sequence[RequestLog], prices: Iterable[PriceRecord]) -> None:
    """Add rows in one transaction; an existing `request_id` or `price_id` is left as it is.

    Raises:
        RowsRejected: the database rejects a value of a row or of a price; nothing was added.
    """
    with engine.execution_options(**WRITES).begin() as connection:
        try:
            _insert(connection, rows, prices)
        except Exception as error:  # drivers raise various errors for a value that they cannot send
            if is_about_data(error):
                cause = error.orig if isinstance(error, DBAPIError) else error
                raise RowsRejected(type(cause).__name__) from error
            raise


def _insert(connection: Connection, rows: Sequence[RequestLog], prices: Iterable[PriceRecord]) -> None:
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    new_prices = [asdict(price) for price in prices]
    if new_prices:
        connection.execute(insert(PRICES).on_conflict_do_nothing(), new_prices)
    statement, names = _insert_statement(connection.dialect)
    # Pass plain values to the driver: through Core's dicts an insert takes three times as long, in a thread that delays
    # the event loop.
    values = _plain(rows, names)
    is_positional = connection.dialect.positional
    parameters: Any = values if is_positional else [dict(zip(names, one, strict=True)) for one in values]
    connection.exec_driver_sql(statement, parameters)


def _plain(rows: Sequence[RequestLog], names: Sequence[str]) -> list[tuple[Any, ...]]:
    """Return the fields of rows, in the order of `names`, as drivers accept them."""
    take, enums, stream = attrgetter(*names), [names.index(name) for name in _ENUMS], names.index("stream")
    plain = []
    for row in rows:
        values = list(take(row))
        for at in enums:
            values[at] = str.__str__(values[at])
        values[stream] = int(values[stream])
        plain.append(tuple(values))
    return plain


@lru_cache(maxsize=2)
def _insert_statement(dialect: Dialect) -> tuple[str, tuple[str, ...]]:
    """Return the INSERT for the driver, and its columns in the order of its parameters."""
    insert = sqlite.insert if dialect.name == "sqlite" else postgresql.insert
    statement = insert(REQUEST_LOGS).on_conflict_do_nothing(index_elements=["request_id"]).inline()
    compiled: Any = statement.compile(dialect=dialect, column_keys=list(COLUMNS))
    return str(compiled), tuple(compiled.positiontup or COLUMNS)


def find(connection: Connection, request_id: str) -> tuple[int, RequestLog, PriceRecord | None] | None:
    """Return one row with its `seq` and its price; None if there is no such row."""
    c = REQUEST_LOGS.c
    row = connection.execute(select(REQUEST_LOGS).where(c.request_id == request_id)).one_or_none()
    if row is None:
        return None
    price = connection.execute(select(PRICES).where(PRICES.c.price_id == row.price_id)).one_or_none()
    record = None
    if price is not None:
        record = PriceRecord(price.price_id, price.rates, price.source or "", price.version or "")
    return row.seq, build_row(row), record


def build_row(row: Row[Any]) -> RequestLog:
    """Return the record of a database row; columns are read by name."""
    values = row._mapping
    fields: dict[str, Any] = {name: values[name] for name in COLUMNS}
    fields["outcome"] = Outcome(fields["outcome"])
    fields["usage_source"] = UsageSource(fields["usage_source"])
    fields["stream"] = bool(fields["stream"])
    return RequestLog(**fields)

"""Statements on `request_logs`: insert rows, and find one."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from itertools import groupby
from operator import attrgetter
from typing import Any

from msgspec.structs import asdict, astuple
from sqlalchemy import Connection, Engine, Row, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError

from hero_broker.core.cost_shares import decode_shares
from hero_broker.core.records import ROW_FIELDS, PriceRecord, RequestLog, StoredResponse
from hero_broker.store import responses
from hero_broker.store.engine import WRITES
from hero_broker.store.limit_usage import Budgets, count_new
from hero_broker.store.prepared import DATA_ERRORS, is_about_data
from hero_broker.store.schema import PRICES, REQUEST_LOGS

log = logging.getLogger(__name__)

COLUMNS = tuple(field.name for field in ROW_FIELDS)  # addressed by these names, whatever their order in the table
# Few rows have any of these; chats of OpenAI have the others, if only as 0. A column takes SQLite a fifth of a
# microsecond even if it is NULL, so rows that have none of these are inserted without them.
_RARE = (
    "cache_write_tokens",
    "characters",
    "audio_ms",
    "search_units",
    "image_input_tokens",
    "image_output_tokens",
    "cache_write_1h_tokens",
    "images",
    "web_searches",
    "file_searches",
    "requested_model",
    "first_error",
    "unexplained_tokens",
    "cut_counts",
    "cost_shares",
)
_COMMON = tuple(name for name in COLUMNS if name not in _RARE)
_ENUMS = tuple(field for field in ROW_FIELDS if issubclass(field.type, StrEnum))
_BOOLEANS = tuple(field for field in ROW_FIELDS if issubclass(field.type, bool))
_take_rare = attrgetter(*_RARE)
_NOTHING_RARE = (None,) * len(_RARE)
_TYPED = _ENUMS + _BOOLEANS  # drivers return their values as text and integers; none of them is nullable
# A batch with a value that the database rejects is inserted in groups, and a group with one row by row. A group has
# about the square root of a batch: one such row costs 45 statements, and a batch of them hardly more than one each.
GROUP_ROWS = 25


def append(
    engine: Engine,
    rows: Sequence[RequestLog],
    prices: Iterable[PriceRecord],
    stored: Sequence[StoredResponse] = (),
    budgets: Budgets[Any] | None = None,
) -> dict[str, str]:
    """Add rows in one transaction; an existing `request_id` or `price_id` is left as it is.

    `stored` are the responses of these rows that providers keep; each is added with its row. `budgets` count the rows.

    Return why the database rejects a value of a row or of its price, by `request_id`; all other rows are added.
    """
    known = {price.price_id: price for price in prices}
    writing = engine.execution_options(**WRITES)
    try:
        with writing.begin() as connection:
            _insert(connection, rows, known)
            if stored:
                responses.put(connection, stored)
            _count(connection, budgets)
    except DATA_ERRORS as error:
        if not is_about_data(error):
            raise
    else:
        return {}
    with writing.begin() as connection:
        rejected = _insert_in_groups(connection, rows, known)
        accepted = [one for one in stored if one.request_id not in rejected]
        if accepted:
            responses.put(connection, accepted)
        _count(connection, budgets)
    return rejected


def _count(connection: Connection, budgets: Budgets[Any] | None) -> None:
    """Let budgets count the new rows. What fails because of data must not keep rows from the store: it is logged."""
    if budgets is None:
        return
    try:
        with connection.begin_nested():
            count_new(connection, budgets)
    except DATA_ERRORS as error:
        if not is_about_data(error):
            raise
        log.error("store: cannot count rows for budgets: %s", type(error).__name__)


def _insert_in_groups(
    connection: Connection, rows: Sequence[RequestLog], prices: Mapping[str, PriceRecord]
) -> dict[str, str]:
    """Insert the rows that the database accepts, in order; return the reasons for the others by `request_id`."""
    rejected = {}
    missing = dict(prices)  # each is inserted once, with the first row that is accepted: a statement is a round trip
    for at in range(0, len(rows), GROUP_ROWS):
        group = rows[at : at + GROUP_ROWS]
        if _try_insert(connection, group, missing) is not None:
            for row in group:
                reason = _try_insert(connection, [row], missing)
                if reason is not None:
                    rejected[row.request_id] = reason
    return rejected


def _try_insert(connection: Connection, rows: Sequence[RequestLog], prices: dict[str, PriceRecord]) -> str | None:
    """Insert rows under a savepoint, and remove their prices from `prices`.

    If the database rejects a value, undo the insert and return the error's name.
    """
    try:
        with connection.begin_nested():
            _insert(connection, rows, prices)
    except DATA_ERRORS as error:
        if not is_about_data(error):
            raise
        return type(error.orig if isinstance(error, DBAPIError) else error).__name__
    for row in rows:
        if row.price_id is not None:
            prices.pop(row.price_id, None)
    return None


def _insert(connection: Connection, rows: Sequence[RequestLog], prices: Mapping[str, PriceRecord]) -> None:
    """Insert rows and those of the prices that they have."""
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    ids = {row.price_id for row in rows if row.price_id is not None}
    for row in rows:
        if row.cost_shares is not None:
            ids.update(share.price_id for share in decode_shares(row.cost_shares))
    new_prices = [asdict(prices[price_id]) for price_id in sorted(ids) if price_id in prices]
    if new_prices:
        connection.execute(insert(PRICES).on_conflict_do_nothing(), new_prices)
    for columns, run in groupby(rows, _columns):  # in the order of the rows
        statement, names = _insert_statement(connection.dialect, columns)
        # Pass plain values to the driver: through Core's dicts an insert takes three times as long, in a thread that
        # delays the event loop.
        values = _plain(run, names)
        is_positional = connection.dialect.positional
        parameters: Any = values if is_positional else [dict(zip(names, one, strict=True)) for one in values]
        connection.exec_driver_sql(statement, parameters)


def _columns(row: RequestLog) -> tuple[str, ...]:
    """Return the columns that a row needs; those that it has no value for may be among them."""
    return _COMMON if _take_rare(row) == _NOTHING_RARE else COLUMNS


def _plain(rows: Iterable[RequestLog], names: Sequence[str]) -> list[tuple[Any, ...]]:
    """Return the fields of rows, in the order of `names`, as drivers accept them."""
    take: Callable[[RequestLog], tuple[Any, ...]] = astuple if names == COLUMNS else attrgetter(*names)
    enums, booleans = ([names.index(field.name) for field in fields] for fields in (_ENUMS, _BOOLEANS))
    plain = []
    for row in rows:
        values = list(take(row))
        for at in enums:
            values[at] = str.__str__(values[at])
        for at in booleans:
            values[at] = int(values[at])
        plain.append(tuple(values))
    return plain


@lru_cache(maxsize=4)
def _insert_statement(dialect: Dialect, columns: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Return the INSERT of some columns for the driver, and the columns in the order of its parameters."""
    insert = sqlite.insert if dialect.name == "sqlite" else postgresql.insert
    statement = insert(REQUEST_LOGS).on_conflict_do_nothing(index_elements=["request_id"]).inline()
    compiled: Any = statement.compile(dialect=dialect, column_keys=list(columns))
    return str(compiled), tuple(compiled.positiontup or columns)


def find(
    connection: Connection, request_id: str, ip: str | None = None
) -> tuple[int, RequestLog, PriceRecord | None] | None:
    """Return one row with its `seq` and its price; None if there is no such row, or if it is not of `ip`."""
    c = REQUEST_LOGS.c
    query = select(REQUEST_LOGS).where(c.request_id == request_id)
    row = connection.execute(query if ip is None else query.where(c.ip == ip)).one_or_none()
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
    for field in _TYPED:
        if fields[field.name] is not None:
            fields[field.name] = field.type(fields[field.name])
    return RequestLog(**fields)

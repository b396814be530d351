"""Copies a ledger into another store, in the order of `seq`, and compares every row. A copy can be resumed.

Roll-ups are not copied: the broker that opens the target folds them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from sqlalchemy import Connection, Engine, Row, Table, delete, func, insert, select, text
from sqlalchemy.exc import DBAPIError

from hero_broker.store import responses
from hero_broker.store.engine import WRITES
from hero_broker.store.prepared import is_about_data
from hero_broker.store.schema import (
    BILLING_LINES,
    BILLING_PERIODS,
    LABELS,
    LIMIT_DEFINITIONS,
    LIMIT_GRANTS,
    PRICES,
    REQUEST_LOGS,
    RESPONSES,
    SUMS_SINCE_5,
)
from hero_broker.store.sums import parts_of, whole_of

BATCH_ROWS = 5_000


class LedgersDiffer(Exception):
    """The target has rows or billing periods that are not the source's, or does not take one of the source's rows."""


@dataclass(frozen=True, slots=True)
class LedgerSums:
    """What a ledger holds."""

    rows: int
    cost_nano_usd: int


def ledger_sums(connection: Connection) -> LedgerSums:
    """Return the sums of all rows."""
    rows, high, low = connection.execute(select(func.count(), *parts_of(REQUEST_LOGS.c.cost_nano_usd))).one()
    return LedgerSums(rows, whole_of(high, low))


def copy_ledger(source: Engine, target: Engine) -> Iterator[LedgerSums]:
    """Copy the rows that `target` lacks, `seq` included; yield the target's sums after each batch.

    Billing periods are copied too, and the source's labels, limits, grants and stored responses take the place of the
    target's. The rows that the target has already are compared with the source's first, and those that are copied are
    read back: equal sums prove little.

    A copy that was interrupted goes on from its last batch. The source may be in use: rows that arrive later are for
    the next run. The target must not be in use.

    Raises:
        LedgersDiffer: the target's rows or periods are not the beginning of the source's, or are not what was written.
    """
    last = _compare(source, target)
    with source.connect() as reading, target.connect() as check:
        done = ledger_sums(check)
        prices = [row._asdict() for row in reading.execute(select(PRICES))]
        known = {row.price_id for row in check.execute(select(PRICES.c.price_id))}
    missing = [price for price in prices if price["price_id"] not in known]
    if missing:
        with target.execution_options(**WRITES).begin() as writing:
            writing.execute(insert(PRICES), missing)
    while batch := _read(source, last):
        _write(target, batch)
        last = batch[-1].seq
        _refuse_difference(batch, _read(target, batch[0].seq - 1))
        cost = sum(row.cost_nano_usd or 0 for row in batch)
        done = LedgerSums(done.rows + len(batch), done.cost_nano_usd + cost)
        yield done
    with source.connect() as reading, target.connect() as check:
        # Read after the rows: a period that was marked meanwhile may end above what was copied.
        whole = [period for period in _periods(reading) if period["to_seq"] <= last]
        there = _periods(check)
    if _marked(whole[: len(there)]) != _marked(there):
        raise LedgersDiffer("the target has billing periods that are not the source's")
    if len(whole) > len(there):
        with target.execution_options(**WRITES).begin() as writing:
            writing.execute(insert(BILLING_PERIODS), whole[len(there) :])
            lines = _lines(source, [period["number"] for period in whole[len(there) :]])
            if lines:
                writing.execute(insert(BILLING_LINES), lines)
    _copy_responses(source, target)
    for table in (LABELS, LIMIT_DEFINITIONS, LIMIT_GRANTS):
        _replace(source, target, table)


def _replace(source: Engine, target: Engine, table: Table) -> None:
    """Let a table of the target have the lines of the source's, which all fit into memory."""
    with source.connect() as reading:
        lines = [row._asdict() for row in reading.execute(select(table))]
    with target.execution_options(**WRITES).begin() as writing:
        writing.execute(delete(table))
        if lines:
            writing.execute(insert(table), lines)


def _copy_responses(source: Engine, target: Engine) -> None:
    with target.execution_options(**WRITES).begin() as writing:
        writing.execute(delete(RESPONSES))
    last = ("", "")
    while True:
        with source.connect() as reading:
            batch = responses.page(reading, last, BATCH_ROWS)
        if not batch:
            return
        with target.execution_options(**WRITES).begin() as writing:
            writing.execute(insert(RESPONSES), batch)
        last = str(batch[-1]["response_id"]), str(batch[-1]["owner"])


def _compare(source: Engine, target: Engine) -> int:
    """Compare all rows of the target with the source's; return the `seq` of the last one, 0 if there is none.

    Raises:
        LedgersDiffer: a row is in the target alone, or differs.
    """
    last = 0
    while there := _read(target, last):
        _refuse_difference(_read(source, last, up_to_seq=there[-1].seq), there)
        last = there[-1].seq
    return last


def _refuse_difference(expected: Sequence[Row[Any]], there: Sequence[Row[Any]]) -> None:
    for one, other in zip_longest(expected, there):
        if one != other:
            first = min(row.seq for row in (one, other) if row is not None)
            last = max(rows[-1].seq for rows in (expected, there) if rows)
            raise LedgersDiffer(
                f"the rows of seq {first} to {last} differ: the target is not the beginning of the source; "
                "copy into an empty ledger"
            )


def _read(engine: Engine, after_seq: int, *, up_to_seq: int | None = None) -> Sequence[Row[Any]]:
    """Return the next rows in a transaction of their own: a long one would hold up the checkpoints of a SQLite file.

    With `up_to_seq` it returns the rows up to it; one more than a batch shows that there are too many.
    """
    seq = REQUEST_LOGS.c.seq
    query = select(REQUEST_LOGS).where(seq > after_seq).order_by(seq)
    query = query.limit(BATCH_ROWS) if up_to_seq is None else query.where(seq <= up_to_seq).limit(BATCH_ROWS + 1)
    with engine.connect() as connection:
        return connection.execute(query).all()


def _write(target: Engine, batch: Sequence[Row[Any]]) -> None:
    try:
        with target.execution_options(**WRITES).begin() as writing:
            writing.execute(insert(REQUEST_LOGS), [row._asdict() for row in batch])
            _advance_sequence(writing)
    except (DBAPIError, ValueError) as error:  # a driver has no class of its own for text that is no Unicode
        if is_about_data(error):
            raise LedgersDiffer(
                f"the target rejects a row of seq {batch[0].seq} to {batch[-1].seq}, because of a value in it"
            ) from error
        raise


def _periods(connection: Connection) -> list[dict[str, Any]]:
    return [row._asdict() for row in connection.execute(select(BILLING_PERIODS).order_by(BILLING_PERIODS.c.number))]


def _lines(engine: Engine, numbers: Sequence[int]) -> list[dict[str, Any]]:
    query = select(BILLING_LINES).where(BILLING_LINES.c.number.in_(numbers))
    with engine.connect() as connection:
        return [row._asdict() for row in connection.execute(query)]


def _marked(periods: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return periods without the sums that a broker may have completed since they were copied."""
    late = ("summed_to_seq", *SUMS_SINCE_5)
    return [{name: value for name, value in period.items() if name not in late} for period in periods]


def _advance_sequence(connection: Connection) -> None:
    # SQLite's AUTOINCREMENT follows by itself.
    if connection.dialect.name == "postgresql":
        connection.execute(
            text("SELECT setval(pg_get_serial_sequence('request_logs', 'seq'), (SELECT max(seq) FROM request_logs))")
        )

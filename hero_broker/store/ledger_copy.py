"""Copies a ledger into another store: in the order of `seq`, resumable, verified by sums.

Roll-ups are not copied; the broker that opens the target builds them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, delete, func, insert, select, text

from hero_broker.store.engine import WRITES
from hero_broker.store.schema import BILLING_PERIODS, LABELS, PRICES, REQUEST_LOGS

BATCH_ROWS = 5_000


class LedgersDiffer(Exception):
    """The target has rows that the source lacks, or the sums differ."""


@dataclass(frozen=True, slots=True)
class LedgerSums:
    """Sums over the rows of a ledger up to a `seq`."""

    rows: int
    cost_nano_usd: int
    input_tokens: int
    output_tokens: int
    last_seq: int  # 0 if there are no rows


def ledger_sums(connection: Connection, up_to_seq: int | None = None) -> LedgerSums:
    """Return the sums of all rows, or of those up to and including `up_to_seq`."""
    c = REQUEST_LOGS.c
    query = select(
        func.count(),
        func.coalesce(func.sum(c.cost_nano_usd), 0),
        func.coalesce(func.sum(c.input_tokens), 0),
        func.coalesce(func.sum(c.output_tokens), 0),
        func.coalesce(func.max(c.seq), 0),
    )
    if up_to_seq is not None:
        query = query.where(c.seq <= up_to_seq)
    return LedgerSums(*(int(value) for value in connection.execute(query).one()))


def copy_ledger(source: Engine, target: Engine) -> Iterator[LedgerSums]:
    """Copy the rows that `target` lacks, with their `seq`; yield the target's sums after each committed batch.

    Billing periods are copied too, and the source's labels replace the target's.

    A copy that was stopped resumes where it ended. The source may be in use; a later run copies the rows that arrive
    meanwhile. The target must not be in use.

    Raises:
        LedgersDiffer: the rows in the target are not the first rows of the source, or the sums differ afterwards.
    """
    with source.connect() as reading, target.connect() as check:
        copied = ledger_sums(check)
        if ledger_sums(reading, copied.last_seq) != copied:
            raise LedgersDiffer(
                "the rows in the target are not the first rows of the source; copy into an empty database"
            )
        prices = [row._asdict() for row in reading.execute(select(PRICES))]
        known = {row.price_id for row in check.execute(select(PRICES.c.price_id))}
    missing = [price for price in prices if price["price_id"] not in known]
    if missing:
        with target.execution_options(**WRITES).begin() as writing:
            writing.execute(insert(PRICES), missing)
    last = copied.last_seq
    while True:
        with source.connect() as reading:  # one transaction per batch: a long one would delay the source's checkpoints
            query = select(REQUEST_LOGS).where(REQUEST_LOGS.c.seq > last).order_by(REQUEST_LOGS.c.seq)
            batch = [row._asdict() for row in reading.execute(query.limit(BATCH_ROWS))]
        if not batch:
            break
        with target.execution_options(**WRITES).begin() as writing:
            writing.execute(insert(REQUEST_LOGS), batch)
            _advance_sequence(writing)
        last = batch[-1]["seq"]
        with target.connect() as check:
            yield ledger_sums(check)
    with source.connect() as reading, target.connect() as check:
        if ledger_sums(reading, last) != ledger_sums(check):
            raise LedgersDiffer("the sums of the two ledgers differ")
        # Read after the rows: a period that was marked meanwhile may end above the last copied row.
        complete = [period for period in _periods(reading) if period["to_seq"] <= last]
        existing = _periods(check)
    if complete[: len(existing)] != existing:
        raise LedgersDiffer("the target has billing periods that the source lacks")
    if len(complete) > len(existing):
        with target.execution_options(**WRITES).begin() as writing:
            writing.execute(insert(BILLING_PERIODS), complete[len(existing) :])
    with source.connect() as reading:
        labels = [row._asdict() for row in reading.execute(select(LABELS))]
    with target.execution_options(**WRITES).begin() as writing:
        writing.execute(delete(LABELS))
        if labels:
            writing.execute(insert(LABELS), labels)


def _periods(connection: Connection) -> list[dict[str, Any]]:
    return [row._asdict() for row in connection.execute(select(BILLING_PERIODS).order_by(BILLING_PERIODS.c.number))]


def _advance_sequence(connection: Connection) -> None:
    # SQLite's AUTOINCREMENT advances by itself.
    if connection.dialect.name == "postgresql":
        connection.execute(
            text("SELECT setval(pg_get_serial_sequence('request_logs', 'seq'), (SELECT max(seq) FROM request_logs))")
        )

"""Rows offered equal rows stored, whatever fails between."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from hero_broker.core.records import RequestLog
from hero_broker.metering.journal import DueRow, Journal
from hero_broker.metering.ledger import Ledger
from hero_broker.store import request_logs
from hero_broker.store.engine import open_engine
from tests.metering.rows import row


@pytest.fixture
def engines() -> Iterator[ExitStack]:
    """Close the engines that a test opened."""
    with ExitStack() as stack:
        yield stack


def journal_in(directory: Path) -> Journal:
    return Journal(directory, max_bytes=100_000_000, max_calls=10)


def ids_in(database: Path) -> list[str]:
    with sqlite3.connect(database) as connection:
        found = connection.execute("SELECT request_id FROM request_logs ORDER BY seq").fetchall()
    connection.close()
    return [request_id for (request_id,) in found]


def test_rows_reach_the_store_in_order_and_leave_the_journal(tmp_path: Path, engines: ExitStack) -> None:
    engine = engines.enter_context(open_engine(f"sqlite:///{tmp_path}/ledger.db"))
    journal = journal_in(tmp_path / "journal")
    offered = [DueRow(row(), '{"input":"1"}') for _ in range(1200)]

    with Ledger.running(journal, lambda rows, prices: request_logs.append(engine, rows, prices)) as ledger:
        for due in offered:
            ledger.begin(due)
            assert ledger.offer(due)
    journal.close()

    assert ids_in(tmp_path / "ledger.db") == [due.row.request_id for due in offered]
    assert list((tmp_path / "journal").iterdir()) == []


def test_batch_that_the_store_refused_is_offered_again_and_none_is_doubled(tmp_path: Path, engines: ExitStack) -> None:
    engine = engines.enter_context(open_engine(f"sqlite:///{tmp_path}/ledger.db"))
    journal = journal_in(tmp_path / "journal")
    tries = 0

    def unreliable(rows: Sequence[RequestLog], prices: Sequence[tuple[str, str]]) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise OperationalError("insert", {}, Exception("database is locked"))
        request_logs.append(engine, rows, prices)
        if tries == 2:
            raise OperationalError("commit", {}, Exception("the outcome is not known"))

    offered = [DueRow(row(), None) for _ in range(5)]
    ledger = Ledger(journal, unreliable)
    ledger._writer.start()
    for due in offered:
        ledger.offer(due)
    while ledger.pending:
        pass
    ledger._closing.set()
    with ledger._arrived:
        ledger._arrived.notify()
    ledger._writer.join()
    journal.close()

    assert tries >= 3
    assert sorted(ids_in(tmp_path / "ledger.db")) == sorted(due.row.request_id for due in offered)


def test_rows_that_the_store_did_not_take_are_there_after_the_next_start(tmp_path: Path, engines: ExitStack) -> None:
    engine = engines.enter_context(open_engine(f"sqlite:///{tmp_path}/ledger.db"))
    due = DueRow(row(), None)

    def refusing(rows: Sequence[RequestLog], prices: Sequence[tuple[str, str]]) -> None:
        raise OperationalError("insert", {}, Exception("disk full"))

    journal = journal_in(tmp_path / "journal")
    with Ledger.running(journal, refusing) as ledger:
        ledger.offer(due)
    journal.close()
    again = journal_in(tmp_path / "journal")
    with Ledger.running(again, lambda rows, prices: request_logs.append(engine, rows, prices)):
        pass
    again.close()

    assert ids_in(tmp_path / "ledger.db") == [due.row.request_id]


@pytest.mark.parametrize("start", [1, 2])
def test_replayed_row_is_stored_once(tmp_path: Path, engines: ExitStack, start: int) -> None:
    engine = engines.enter_context(open_engine(f"sqlite:///{tmp_path}/ledger.db"))
    due = row()

    for _ in range(start):
        request_logs.append(engine, [due], [])

    assert ids_in(tmp_path / "ledger.db") == [due.request_id]

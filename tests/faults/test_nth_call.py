"""Every n-th call to the database failing: rows offered equal rows stored, to the nano-dollar, none twice."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg.errors
import pytest
from sqlalchemy import Engine, event

from hero_broker.ledger import ledger as ledger_module
from hero_broker.ledger.journal import Journal
from hero_broker.ledger.ledger import Ledger
from hero_broker.ledger.rows import PendingRow
from hero_broker.metering.billing_row import interrupted_row
from hero_broker.store.database import open_database
from tests.ledger.rows import note_of, row
from tests.stores import query
from tests.waits import wait_until

ROWS = 300

FAULTS: dict[str, dict[str, Callable[[], Exception]]] = {
    "locked": {
        "sqlite": lambda: sqlite3.OperationalError("database is locked"),
        "postgresql": lambda: psycopg.errors.LockNotAvailable("canceling statement due to lock timeout"),
    },
    "io error": {
        "sqlite": lambda: sqlite3.OperationalError("disk I/O error"),
        "postgresql": lambda: psycopg.errors.IoError("could not write block"),
    },
    "full": {
        "sqlite": lambda: sqlite3.OperationalError("database or disk is full"),
        "postgresql": lambda: psycopg.errors.DiskFull("could not extend file"),
    },
}


class FailingCalls:
    """Makes every `nth` statement of an engine fail, before it runs or, every other time, after it.

    Ends after `most` faults: where each transaction has a statement that fails, nothing can be stored before.
    """

    def __init__(self, engine: Engine, nth: int, fault: Callable[[], Exception], most: int = 25) -> None:
        self.faults = 0
        self._calls = 0
        self._nth = nth
        self._fault = fault
        self._most = most
        event.listen(engine, "do_execute", self._execute)
        event.listen(engine, "do_execute_no_params", self._execute_without)
        event.listen(engine, "do_executemany", self._execute_many)

    def _execute(self, cursor: Any, statement: str, parameters: Any, _context: object) -> bool:
        return self._run(lambda: cursor.execute(statement, parameters))

    def _execute_without(self, cursor: Any, statement: str, _context: object) -> bool:
        return self._run(lambda: cursor.execute(statement))

    def _execute_many(self, cursor: Any, statement: str, parameters: Any, _context: object) -> bool:
        return self._run(lambda: cursor.executemany(statement, parameters))

    def _run(self, statement: Callable[[], object]) -> bool:
        self._calls += 1
        fails = self._calls % self._nth == 0 and self.faults < self._most
        self.faults += fails
        if fails and self.faults % 2:
            raise self._fault()
        statement()
        if fails:
            raise self._fault()
        return True  # the statement has run; SQLAlchemy does not run it again


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("nth", [1, 2, 3, 5, 8, 13])
def test_rows_are_stored_once_whatever_call_fails(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch, nth: int, fault: str
) -> None:
    monkeypatch.setattr(ledger_module, "BACK_OFF_FIRST_S", 0.001)
    monkeypatch.setattr(ledger_module, "BACK_OFF_MAX_S", 0.01)
    monkeypatch.setattr(ledger_module, "BATCH_ROWS", 20)
    offered = [PendingRow(row(), "{}") for _ in range(ROWS)]
    journal = Journal(tmp_path / "journal", interrupted_row, max_bytes=100_000_000, max_calls=10)
    with open_database(database_url) as database:
        failing = FailingCalls(database.engine, nth, FAULTS[fault][database.engine.dialect.name])
        with Ledger.running(journal, database) as ledger:
            for due in offered:
                ledger.begin(note_of(due.row, due.rates))
                assert ledger.offer(due)
            wait_until(lambda: not ledger.pending)
    journal.close()

    assert failing.faults > 0
    assert query(database_url, "SELECT count(*), count(DISTINCT request_id) FROM request_logs") == [(ROWS, ROWS)]
    assert query(database_url, "SELECT sum(cost_nano_usd) FROM request_logs") == [(ROWS * 25_970,)]

"""SQLite's write-ahead log does not grow without end."""

from pathlib import Path

import pytest

from hero_broker.store import database as database_module
from hero_broker.store import engine
from hero_broker.store.database import open_database
from tests.ledger.rows import row


def test_write_ahead_log_is_emptied_once_it_has_grown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "SQLITE_WAL_BOUND_BYTES", 200_000)
    path = tmp_path / "ledger.db"
    sizes = []

    with open_database(f"sqlite:///{path}") as database:
        for _ in range(10):
            database.append([row() for _ in range(100)], [])
            sizes.append((tmp_path / "ledger.db-wal").stat().st_size)

    assert 0 in sizes
    assert max(sizes) <= 200_000


def test_reader_that_stays_keeps_no_row_from_being_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "SQLITE_WAL_BOUND_BYTES", 1)
    monkeypatch.setattr(engine, "LOCK_TIMEOUT_MS", 10)

    with open_database(f"sqlite:///{tmp_path}/ledger.db") as database:
        database.append([row()], [])
        with database.reading() as connection:
            before = connection.exec_driver_sql("SELECT count(*) FROM request_logs").scalar_one()
            database.append([row()], [])
            meanwhile = connection.exec_driver_sql("SELECT count(*) FROM request_logs").scalar_one()
        with database.reading() as connection:
            after = connection.exec_driver_sql("SELECT count(*) FROM request_logs").scalar_one()

    assert (before, meanwhile, after) == (1, 1, 2)


def test_log_that_a_reader_keeps_from_being_emptied_is_seen_until_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "SQLITE_WAL_BOUND_BYTES", 1)
    monkeypatch.setattr(engine, "LOCK_TIMEOUT_MS", 10)
    monkeypatch.setattr(database_module, "SQLITE_WAL_LIMIT_BYTES", 1)

    with open_database(f"sqlite:///{tmp_path}/ledger.db") as database:
        database.append([row()], [])
        with database.reading() as connection:
            connection.exec_driver_sql("SELECT count(*) FROM request_logs").scalar_one()
            database.append([row()], [])
            meanwhile = database.wal.is_failing
        database.append([row()], [])

    assert meanwhile
    assert "prevents emptying it" in str(database.wal.last_error)
    assert not database.wal.is_failing

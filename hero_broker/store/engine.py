"""Makes engines from URLs: SQLite with WAL and full synchronisation, or a PostgreSQL pool."""

import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

# A writer that waits longer retries by itself, and reports meanwhile that it is degraded.
LOCK_TIMEOUT_MS = 2_000
STATEMENT_TIMEOUT_MS = 60_000
CONNECT_TIMEOUT_S = 5
SQLITE_WAL_LIMIT_BYTES = 64 * 1024 * 1024
# If reports follow each other closely, one of them always prevents the reuse of the write-ahead log. From this size on
# the writer waits for the running ones; reports that begin meanwhile read the database file and do not matter.
SQLITE_WAL_BOUND_BYTES = 40 * 1024 * 1024
# One writing transaction at a time on PostgreSQL, so that `seq` grows in commit order; the bytes of "HEROLEDG".
ADVISORY_LOCK = int.from_bytes(b"HEROLEDG", "big")
LEAST_POSTGRESQL = 15  # the oldest that the tests run on
# Set for each transaction, not for the session: a pooler such as PgBouncer rejects start-up options, and gives each
# transaction any free session. Compiling a report's statement takes PostgreSQL longer than answering it.
_REPEATABLE_READ = 3  # psycopg's IsolationLevel.REPEATABLE_READ; psycopg is imported only if it is used
_BOUNDS = (
    f"set_config('lock_timeout', '{LOCK_TIMEOUT_MS}', true), "
    f"set_config('statement_timeout', '{STATEMENT_TIMEOUT_MS}', true), "
    "set_config('jit', 'off', true)"
)

# Execution options of writing connections: WRITES for rows, which are ordered by commit, FOLDS for roll-ups alone.
WRITES = {"writes": True}
FOLDS = {"folds": True}
COUNTS = {"counts": True}  # of a connection that counts in a temporary table, and then may write


class UnsupportedServer(Exception):
    """The server is older than the oldest supported version."""


def make_engine(url: str, *, read_only: bool = False) -> Engine:
    """Return an engine for `url`, without connecting yet. A `read_only` engine can change nothing."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        engine = create_engine(parsed, hide_parameters=True)  # an error must not quote a row
        event.listen(engine, "connect", _only_read if read_only else _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    engine = create_engine(
        parsed.set(drivername="postgresql+psycopg"),
        pool_pre_ping=True,
        hide_parameters=True,  # an error must not quote a row
        connect_args={"connect_timeout": CONNECT_TIMEOUT_S, "application_name": "hero-broker"},
    )
    event.listen(engine, "connect", _prepare_postgresql)
    event.listen(engine, "begin", _begin_postgresql)
    return engine


def sqlite_path(engine: Engine) -> Path | None:
    """Return the file of a SQLite engine; None for other stores."""
    return Path(engine.url.database or "") if engine.dialect.name == "sqlite" else None


def bound_wal(engine: Engine, path: Path) -> int:
    """Empty SQLite's write-ahead log if it has grown, and return its size in bytes afterwards.

    Waits for readers, for at most `LOCK_TIMEOUT_MS`.
    """
    size = _wal_size(path)
    if size <= SQLITE_WAL_BOUND_BYTES:
        return size
    connection = engine.raw_connection()
    try:
        with suppress(sqlite3.OperationalError):  # the rows are committed; the log is emptied later
            connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()
    return _wal_size(path)


def _wal_size(path: Path) -> int:
    try:
        return os.stat(f"{path}-wal").st_size  # noqa: PTH116 - one call on the writer's path
    except FileNotFoundError:
        return 0


def _prepare_sqlite(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # `_begin_sqlite` begins transactions, not the driver
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {LOCK_TIMEOUT_MS}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute(f"PRAGMA journal_size_limit = {SQLITE_WAL_LIMIT_BYTES}")
    cursor.close()


def _only_read(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # as in `_prepare_sqlite`
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {LOCK_TIMEOUT_MS}")
    cursor.execute("PRAGMA query_only = ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and writes later fails at once if another has written in between. So writers take
    # the lock when they begin; readers never wait.
    connection.exec_driver_sql("BEGIN IMMEDIATE" if _has(connection, WRITES | FOLDS) else "BEGIN")


def _prepare_postgresql(connection: Any, _entry: ConnectionPoolEntry) -> None:
    """Reject a server that is too old; disable prepared statements if a pooler stands before the server.

    A pooler invents the process id that cancels a statement, because its sessions are not the server's: a difference
    reveals it. In transaction mode, the session that has a prepared statement may serve another client by the time it
    is executed.
    """
    version = connection.info.server_version // 10_000
    if version < LEAST_POSTGRESQL:
        connection.close()
        raise UnsupportedServer(
            f"the server is PostgreSQL {version}; the oldest supported version is PostgreSQL {LEAST_POSTGRESQL}"
        )
    process_id = connection.execute("SELECT pg_backend_pid()", prepare=False).fetchone()[0]
    connection.rollback()
    if process_id != connection.info.backend_pid:
        connection.prepare_threshold = None


def _begin_postgresql(connection: Connection) -> None:
    writes = _has(connection, WRITES)
    # Readers see one state of the ledger in all their statements, as on SQLite. The driver's BEGIN sets both.
    driver: Any = connection.connection.driver_connection
    reads = not writes and not _has(connection, FOLDS | COUNTS)
    driver.set_read_only(reads or None)
    driver.set_isolation_level(_REPEATABLE_READ if reads else None)
    lock = f", pg_advisory_xact_lock({ADVISORY_LOCK})" if writes else ""
    connection.exec_driver_sql(f"SELECT {_BOUNDS}{lock}")


def _has(connection: Connection, options: dict[str, bool]) -> bool:
    return not options.keys().isdisjoint(connection.get_execution_options())

"""URL → engine: SQLite with WAL and full synchronisation; the seam where PostgreSQL joins."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from hero_broker.store.migrations import DatabaseTooNew, migrate

SQLITE_BUSY_TIMEOUT_MS = 5_000
SQLITE_WAL_LIMIT_BYTES = 64 * 1024 * 1024


class DatabaseUnusable(Exception):
    """The database is not one, or is newer than the program; it was left as it was."""


@contextmanager
def open_engine(url: str) -> Iterator[Engine]:
    """Open the ledger at `url`, its schema brought up to date, for the time of the block.

    Raises:
        DatabaseUnusable: the file is no database, or a newer program wrote it.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite" and parsed.database:
        path = Path(parsed.database)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600, exist_ok=True)
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    try:
        _migrate(engine)
        yield engine
    finally:
        engine.dispose()


def _migrate(engine: Engine) -> None:
    try:
        migrate(engine)
    except DatabaseTooNew as error:
        raise DatabaseUnusable(str(error)) from error
    except DBAPIError as error:
        shown = engine.url.render_as_string()
        raise DatabaseUnusable(f"the database at {shown} cannot be used: {error.orig}") from error


def _prepare_sqlite(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # transactions begin where `_begin_sqlite` says so, not where the driver guesses
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {SQLITE_BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute(f"PRAGMA journal_size_limit = {SQLITE_WAL_LIMIT_BYTES}")
    cursor.close()


def _begin_sqlite(connection: object) -> None:
    # A transaction that reads first and writes later fails at once when another has written between: writers ask for
    # the lock when they begin (`store.request_logs.append` says so by the option), readers never wait.
    options = connection.get_execution_options()  # type: ignore[attr-defined]
    connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("writes") else "BEGIN")  # type: ignore[attr-defined]

"""The ledger's database: transactions on it, and checks that it is there and is still the one that was opened."""

import logging
import os
import socket
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from weakref import WeakSet

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

from hero_broker.core.duties import Duty
from hero_broker.core.errors import DatabaseUnusable, StoreUnavailable, TooWide
from hero_broker.core.records import PriceRecord, RequestLog, StoredResponse
from hero_broker.store import billing_periods, request_logs, responses, rollups
from hero_broker.store.causes import cause_of
from hero_broker.store.counting import STOPPING, CountingSession
from hero_broker.store.engine import (
    SQLITE_WAL_LIMIT_BYTES,
    WRITES,
    UnsupportedServer,
    bound_wal,
    make_engine,
    sqlite_path,
)
from hero_broker.store.limit_usage import Budgets
from hero_broker.store.migrations import WrongVersion, check_version, migrate
from hero_broker.store.prepared import driver_errors, is_overflow
from hero_broker.store.statement_timeout import time_limit
from hero_broker.store.sums import CANNOT_BE_SUMMED
from hero_broker.util.private_files import make_directory, make_file

log = logging.getLogger(__name__)


class Database:
    """A database that may fail and come back. A deleted SQLite file is never created again silently, without its rows.

    Safe for one thread that appends and other threads that read.
    """

    def __init__(self, engine: Engine, prepare: Callable[[Engine], None] = migrate) -> None:
        """Take an engine, and the function that brings its schema up to date or rejects it."""
        self.engine = engine
        self._prepare = prepare
        self._path = sqlite_path(engine)
        self._errors: tuple[type[Exception], ...] = (*driver_errors(engine), sqlite3.Error)
        self._lock = threading.Lock()
        self._drivers: WeakSet[Any] = WeakSet()  # open connections to a server
        self._is_disconnected = False
        self._opened: tuple[int, int] | None = None  # device and inode of the SQLite file whose schema was checked
        self._has_schema = False
        self.rollups: rollups.Progress | None = None  # as of the last fold
        self.budgets: Budgets[Any] | None = None  # that rows are counted by as they are appended
        self.wal = Duty("wal", "SQLite's write-ahead log is emptied")
        if self._path is None:
            event.listen(engine, "do_connect", self._check_connected)
            event.listen(engine, "connect", self._connected, insert=True)  # before any statement waits for the server

    def append(
        self, rows: Sequence[RequestLog], prices: Sequence[PriceRecord], stored: Sequence[StoredResponse] = ()
    ) -> dict[str, str]:
        """Add rows and their `stored` responses in one transaction.

        Return why the database rejects a value of the others, by `request_id`.

        Raises:
            StoreUnavailable: the database does not answer, or was replaced meanwhile; the rows may be stored or not.
        """
        with self._translated():
            self._ensure_schema()
            rejected = request_logs.append(self.engine, rows, prices, stored, self.budgets)
            self._bound_wal()
        self._check_file()  # an insert into a deleted file succeeds, and is lost with the file
        return rejected

    def remove_responses(self, keys: Sequence[tuple[str, str]], expired_at: int, max_expired: int) -> int:
        """Remove stored responses, each given by its id and owner, and at most `max_expired` that have expired by then.

        Return how many of the latter were removed.

        Raises:
            StoreUnavailable: the database does not answer, or was replaced meanwhile.
        """
        with self.writing() as connection:
            if keys:
                responses.remove(connection, keys)
            return responses.remove_expired(connection, expired_at, max_expired) if max_expired else 0

    def fold(self, max_rows: int) -> int:
        """Fold about `max_rows` rows into the roll-ups, or into a billing period that lacks sums; return how many.

        0 means that both are up to date.

        Raises:
            StoreUnavailable: the database does not answer.
        """
        with self._translated():
            self._ensure_schema()
            size, self.rollups = rollups.fold(self.engine, max_rows)
            size = size or billing_periods.complete(self.engine, max_rows)
            self._bound_wal()
            return size

    @property
    def has_one_broker(self) -> bool:
        """Whether no other broker can write this database: a SQLite file has one, whose state directory is locked."""
        return self._path is not None

    def start_rebuild(self) -> None:
        """Have the next folds rebuild the roll-ups from all rows.

        Raises:
            StoreUnavailable: the database does not answer.
        """
        with self._translated():
            self._ensure_schema()
            rollups.start_rebuild(self.engine)

    def check(self) -> None:
        """Check that the database answers and is the one that was opened.

        Raises:
            StoreUnavailable: the database does not answer, or was deleted or replaced.
        """
        with self._translated():
            self._ensure_schema()
            with self.engine.connect() as connection:
                connection.exec_driver_sql("SELECT 1")
            if self._path is not None:
                _reopen(self._path)
        self._check_file()

    @contextmanager
    def reading(self, deadline_s: float | None = None) -> Iterator[Connection]:
        """Open one read transaction; all its statements see the same rows.

        Raises:
            StoreUnavailable: the database does not answer.
            TooWide: a statement ran longer than `deadline_s`, or computed a sum that the store cannot hold.
        """
        with self._translated():
            self._ensure_schema()
            with self.engine.begin() as connection, time_limit(connection, deadline_s):
                try:
                    yield connection
                except self._errors as error:
                    if is_overflow(error):
                        raise TooWide(CANNOT_BE_SUMMED) from error
                    raise

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Open one writing transaction; it is committed at the end of the block.

        Raises:
            StoreUnavailable: the database does not answer, or was replaced meanwhile.
        """
        with self._translated():
            self._ensure_schema()
            with self.engine.execution_options(**WRITES).begin() as connection:
                yield connection
        self._check_file()

    @contextmanager
    def counting(self, deadline_s: float, is_stopping: Callable[[], bool]) -> Iterator[CountingSession]:
        """Open a session that counts in steps, none of which may run longer than `deadline_s`, and then may write.

        What is not committed at the end of the block is undone. No step begins once `is_stopping` is true.

        Raises:
            StoreUnavailable: the database does not answer, or was replaced meanwhile, or the broker is stopping.
            TooWide: a step ran longer than `deadline_s`.
        """
        with self._translated():
            self._ensure_schema()
            with self.engine.connect() as connection:
                try:
                    yield CountingSession(connection, deadline_s, is_stopping)
                finally:
                    connection.invalidate()  # its temporary tables end with it
        self._check_file()

    def open(self) -> None:
        """Bring the schema up to date. If PostgreSQL does not answer, log that; rows wait in the journal.

        Raises:
            DatabaseUnusable: the file is not a database, or a newer version of the program wrote it.
        """
        if self._path is not None:
            try:
                make_directory(self._path.parent)
                make_file(self._path)  # SQLite gives its -wal and -shm the mode of this file
            except OSError as error:
                raise DatabaseUnusable(
                    f"the database at {self._redacted_url} cannot be written: {error.strerror}"
                ) from error
            if (mode := stat.S_IMODE(self._path.stat().st_mode)) & 0o077:
                log.warning("the database file %s has mode %04o: other users may read it", self._path, mode)
        try:
            self._check_schema()
        except StoreUnavailable as error:  # a PostgreSQL server that may still come up
            log.warning("%s: %s; rows wait in the journal until it answers", self._redacted_url, error)

    def open_for_reading(self) -> None:
        """Check that the ledger exists and can be read.

        Raises:
            DatabaseUnusable: there is no ledger, or another version of the program wrote it.
        """
        try:
            is_missing = self._path is not None and not self._path.is_file()
        except OSError as error:
            raise DatabaseUnusable(f"the ledger at {self._redacted_url} cannot be read: {error.strerror}") from error
        if is_missing:
            raise DatabaseUnusable(f"there is no ledger at {self._redacted_url}")
        try:
            self._check_schema()
        except StoreUnavailable as error:
            raise DatabaseUnusable(f"{self._redacted_url}: {error}") from error

    def disconnect(self) -> None:
        """End all statements that wait for a server, and refuse new connections to it.

        A server that stands still takes no cancel, and a thread that waits for it would keep the process from ending.
        """
        self._is_disconnected = True
        for driver in list(self._drivers):
            with suppress(*self._errors, OSError), socket.socket(fileno=os.dup(driver.fileno())) as connected:
                connected.shutdown(socket.SHUT_RDWR)

    def _check_connected(self, *_target: object) -> None:
        if self._is_disconnected:
            raise StoreUnavailable(STOPPING)

    def _connected(self, driver: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        self._drivers.add(driver)

    def _bound_wal(self) -> None:
        if self._path is None:
            return
        size = bound_wal(self.engine, self._path)
        if size > SQLITE_WAL_LIMIT_BYTES:
            self.wal.failed(f"it has {size} bytes, because a reader or a full disk prevents emptying it")
        else:
            self.wal.succeeded()

    @property
    def _redacted_url(self) -> str:
        return self.engine.url.render_as_string()  # hides the password

    def _check_schema(self) -> None:
        try:
            self._ensure_schema()
        except (WrongVersion, UnsupportedServer) as error:
            raise DatabaseUnusable(str(error)) from error
        except OperationalError as error:
            if self._path is not None:
                raise DatabaseUnusable(f"the database at {self._redacted_url} cannot be used: {error.orig}") from error
            raise StoreUnavailable(f"the database does not answer: {cause_of(error)}") from error
        except DBAPIError as error:
            raise DatabaseUnusable(f"the database at {self._redacted_url} cannot be used: {error.orig}") from error

    def _ensure_schema(self) -> None:
        with self._lock:
            if self._path is not None:
                identity = _identity(self._path)
                if self._opened is not None and identity != self._opened:
                    log.warning("the database file %s was replaced; opening it again", self._path)
                    self.engine.dispose()
                    self._has_schema = False
            if not self._has_schema:
                self._prepare(self.engine)
                self._opened = None if self._path is None else _identity(self._path)
                self._has_schema = True

    def _check_file(self) -> None:
        if self._path is not None and _identity(self._path) != self._opened:
            raise StoreUnavailable("the database file was deleted or replaced")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except self._errors as error:
            raise StoreUnavailable(f"the database does not answer: {cause_of(error)}") from error
        except (WrongVersion, UnsupportedServer) as error:
            raise StoreUnavailable(str(error)) from error


@contextmanager
def open_database(url: str) -> Iterator[Database]:
    """Open the ledger at `url` for the duration of the block. After it, no statement waits for a server.

    Raises:
        DatabaseUnusable: the file is not a database, or a newer version of the program wrote it.
    """
    engine = make_engine(url)
    database = Database(engine)
    try:
        database.open()
        yield database
    finally:
        database.disconnect()
        engine.dispose()


@contextmanager
def open_for_reading(url: str) -> Iterator[Database]:
    """Open the ledger at `url` read-only for the duration of the block, whether its broker runs or not.

    Raises:
        DatabaseUnusable: there is no ledger at `url`, or another version of the program wrote it.
    """
    engine = make_engine(url, read_only=True)
    try:
        database = Database(engine, check_version)
        database.open_for_reading()
        yield database
    finally:
        engine.dispose()


def _identity(path: Path) -> tuple[int, int]:
    try:
        status = os.stat(path)  # noqa: PTH116 - one call on the writer's path
    except FileNotFoundError as error:
        raise StoreUnavailable("the database file does not exist") from error
    return status.st_dev, status.st_ino


def _reopen(path: Path) -> None:
    """Read the file through a new connection: an open one does not notice an overwritten header."""
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()

"""A connection that counts in temporary tables, step by step, and then may write what it counted."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from hero_broker.core.errors import StoreUnavailable
from hero_broker.store.engine import ADVISORY_LOCK, COUNTS, WRITES
from hero_broker.store.statement_timeout import time_limit

STOPPING = "the broker is stopping"


class CountingSession:
    """Steps and one writing transaction on one connection."""

    def __init__(self, connection: Connection, deadline_s: float, is_stopping: Callable[[], bool]) -> None:
        """Take a new connection, how long a step may run, and whether no further step may begin."""
        self.connection = connection
        self._deadline_s = deadline_s
        self._is_stopping = is_stopping
        connection.execution_options(**COUNTS)
        self._is_sqlite = connection.dialect.name == "sqlite"

    @contextmanager
    def step(self) -> Iterator[Connection]:
        """Run a step. On SQLite it is a transaction: a long one would keep the write-ahead log from being emptied.

        PostgreSQL has one transaction for all: a pooler may give the next transaction another session.

        Raises:
            StoreUnavailable: the broker is stopping.
            TooWide: the step ran longer than the deadline.
        """
        self._check_running()
        with time_limit(self.connection, self._deadline_s):
            yield self.connection
        if self._is_sqlite:
            self.connection.commit()

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Write what was counted, after the last step; it is committed at the end of the block.

        While it runs, no other connection writes to the ledger.

        Raises:
            StoreUnavailable: the broker is stopping, and nothing is written.
        """
        self._check_running()
        if self._is_sqlite:
            self.connection.execution_options(**WRITES)
        else:
            self.connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})")
        yield self.connection
        self._check_running()
        self.connection.commit()

    def _check_running(self) -> None:
        if self._is_stopping():
            raise StoreUnavailable(STOPPING)

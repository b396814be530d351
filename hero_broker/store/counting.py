"""A connection that counts in temporary tables, step by step, and then may write what it counted."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from hero_broker.store.engine import ADVISORY_LOCK, COUNTS, WRITES
from hero_broker.store.statement_timeout import time_limit


class CountingSession:
    """Steps and one writing transaction on one connection."""

    def __init__(self, connection: Connection, deadline_s: float) -> None:
        """Take a new connection, and how long a step may run."""
        self.connection = connection
        self._deadline_s = deadline_s
        connection.execution_options(**COUNTS)
        self._is_sqlite = connection.dialect.name == "sqlite"

    @contextmanager
    def step(self) -> Iterator[Connection]:
        """Run a step. On SQLite it is a transaction: a long one would keep the write-ahead log from being emptied.

        PostgreSQL has one transaction for all: a pooler may give the next transaction another session.

        Raises:
            TooWide: the step ran longer than the deadline.
        """
        with time_limit(self.connection, self._deadline_s):
            yield self.connection
        if self._is_sqlite:
            self.connection.commit()

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Write what was counted, after the last step; it is committed at the end of the block.

        While it runs, no other connection writes to the ledger.
        """
        if self._is_sqlite:
            self.connection.execution_options(**WRITES)
        else:
            self.connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})")
        yield self.connection
        self.connection.commit()

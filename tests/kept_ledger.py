"""An open ledger that many tests change in turn: after each of them, it is put back to the rows that it began with.

Its engine stays the same, so a statement is compiled once, and not again for each test.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import delete, func, insert, select, text

from hero_broker.store.database import Database
from hero_broker.store.schema import METADATA, REQUEST_LOGS

_NEXT_SEQ = {
    "sqlite": "UPDATE sqlite_sequence SET seq = :last WHERE name = 'request_logs'",
    "postgresql": "SELECT setval(pg_get_serial_sequence('request_logs', 'seq'), :last + 1, false)",
}


class KeptLedger:
    """A ledger as it is now; tests may change all its rows, and none of its tables."""

    def __init__(self, database: Database) -> None:
        self._database = database
        with database.reading() as connection:
            self._rows = {
                table: [row._asdict() for row in connection.execute(select(table))] for table in METADATA.sorted_tables
            }
            self._last = connection.execute(select(func.coalesce(func.max(REQUEST_LOGS.c.seq), 0))).scalar_one()

    @contextmanager
    def lent(self) -> Iterator[Database]:
        """Yield it for the time of the block, and put its rows back."""
        yield self._database
        with self._database.writing() as connection:
            for table, rows in self._rows.items():
                connection.execute(delete(table))
                if rows:
                    connection.execute(insert(table), rows)
            connection.execute(text(_NEXT_SEQ[connection.dialect.name]), {"last": self._last})

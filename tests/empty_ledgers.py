"""Ledgers without rows, for tests that do not care how a ledger is made: making one takes longer than most tests."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from hero_broker.store.database import open_database
from hero_broker.store.schema import METADATA
from tests.stores import PooledServer, PostgresServer

_END_SESSIONS = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
# All that a test may have made, altered or set, other than rows.
_SCHEMA = """
SELECT
  (SELECT md5(string_agg(concat_ws(' ', c.relname, c.relkind, a.attnum, a.attname, a.atttypid, a.attnotnull), ','
    ORDER BY c.relname, a.attnum)) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.relnamespace = 'public'::regnamespace),
  (SELECT md5(string_agg(pg_get_constraintdef(oid), ',' ORDER BY conrelid::regclass::text, conname))
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace),
  (SELECT md5(string_agg(pg_get_indexdef(indexrelid), ',' ORDER BY indexrelid::regclass::text))
    FROM pg_index JOIN pg_class c ON c.oid = indrelid WHERE c.relnamespace = 'public'::regnamespace),
  (SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal),
  (SELECT count(*) FROM pg_proc), (SELECT count(*) FROM pg_rewrite), (SELECT count(*) FROM pg_namespace
    WHERE nspname NOT LIKE 'pg_t%'),
  (SELECT count(*) FROM pg_db_role_setting), (SELECT count(*) FROM pg_prepared_xacts)
"""
_RESTART_SEQUENCES = """
SELECT setval(oid::regclass, 1, false) FROM pg_class
WHERE relkind = 'S' AND relnamespace = 'public'::regnamespace
"""


class EmptyLedgers:
    """Empty ledgers on one PostgreSQL, each lent to one test at a time."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._free: list[str] = []
        self._schema: object = None
        self._emptying: sql.SQL | sql.Composed = sql.SQL("")

    @contextmanager
    def lent(self) -> Iterator[str]:
        """Yield the URL of an empty ledger for the time of the block."""
        url = self._free.pop() if self._free else self._new()
        yield url
        if not isinstance(self._server, PooledServer) and self._is_empty_again(url):  # it has sessions of its own
            self._free.append(url)

    def _new(self) -> str:
        url = self._server.new_database()
        with open_database(url):
            pass
        with psycopg.connect(url, autocommit=True) as connection:
            self._schema = connection.execute(_SCHEMA).fetchone()
            self._emptying = sql.SQL("BEGIN; {} {} COMMIT").format(
                sql.SQL(" ").join(_as_it_is(connection, table) for table in METADATA.tables),
                sql.SQL(f"{_RESTART_SEQUENCES};"),
            )
        return url

    def _is_empty_again(self, url: str) -> bool:
        """Give a ledger the rows of a new one, unless a test has changed more than rows."""
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(_END_SESSIONS)
            if connection.execute(_SCHEMA).fetchone() != self._schema:
                return False
            connection.execute(self._emptying)
        return True


def _as_it_is(connection: psycopg.Connection, table: str) -> sql.Composed:
    """Return the statements that give a table the rows that it has now."""
    name = sql.Identifier(table)
    rows = connection.execute(sql.SQL("SELECT * FROM {}").format(name)).fetchall()
    insert = sql.SQL("INSERT INTO {} VALUES ({});")
    return sql.Composed(
        [
            sql.SQL("DELETE FROM {};").format(name),
            *(insert.format(name, sql.SQL(", ").join(sql.Literal(value) for value in row)) for row in rows),
        ]
    )


def copy_of_empty(made: Path, to: Path) -> None:
    """Make an empty SQLite ledger at `to`, a copy of the one at `made`, which is made first if need be."""
    if not made.exists():
        with open_database(f"sqlite:///{made}"):
            pass
    to.parent.mkdir(mode=0o700)
    shutil.copy(made, to)

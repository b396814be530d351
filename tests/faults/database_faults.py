"""Databases that fail under load, and come back; the books are compared afterwards.

`python -m tests.faults.database_faults` prints the figures of every fault, a full disk included where it may mount one.
"""

import resource
import shutil
import socket
import sqlite3
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import psycopg

from tests.e2e_support import Broker, broker
from tests.faults.calls import COST, make_call
from tests.stores import PostgresServer, locked, postgres, query

CLIENTS = 4
PAUSE_S = 0.02  # of a client between two calls: the proxy, in this process too, must keep up with the rows
CALLS_AFTER_NOTICED = 40
LOG_BYTES = 2_000_000  # far more than the journal has, and less than where SQLite begins its log anew
PATIENCE_S = 60

Fault = Callable[["Scene"], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True)
class Scene:
    """Where a fault takes place."""

    url: str  # of the database, as a bystander reaches it
    broker_url: str  # as the broker does: through the proxy, where there is one
    server: PostgresServer | None
    proxy: "CuttingProxy | None"
    broker_pid: int = 0


@dataclass(frozen=True, slots=True)
class Books:
    """What the clients saw, against what the ledger has."""

    fault: str
    store: str
    noticed: tuple[str, ...]  # what /health/ready said meanwhile
    statuses: dict[int, int]  # answers by status
    rows: int
    without_row: int
    doubled: int
    cost_nano_usd: int

    @property
    def are_right(self) -> bool:
        """Whether every call was answered, and each has its row and its cost."""
        answered = self.statuses.get(200, 0)
        is_complete = set(self.statuses) == {200} and self.rows == answered
        return is_complete and not self.without_row and not self.doubled and self.cost_nano_usd == answered * COST


class CuttingProxy:
    """A Unix socket before a PostgreSQL; cuts connections at a COMMIT, or holds answers back."""

    def __init__(self, upstream: str, directory: Path) -> None:
        self._upstream = upstream
        self._directory = directory
        self.cuts_left = 0
        self.delay_s = 0.0
        self._waiter = threading.Event()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(directory / ".s.PGSQL.5432"))
        self._listener.listen(16)
        self._accepting = threading.Thread(target=self._accept, name="proxy", daemon=True)
        self._accepting.start()

    def close(self) -> None:
        """Listen no longer."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(self._upstream)
            except OSError:  # the server is down
                client.close()
                server.close()
                continue
            for source, sink, is_request in ((client, server, True), (server, client, False)):
                arguments = (source, sink, is_request)
                threading.Thread(target=self._forward, args=arguments, name="proxy", daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket, is_request: bool) -> None:
        try:
            while data := source.recv(65536):
                if is_request and b"COMMIT" in data and self.cuts_left > 0:
                    self.cuts_left -= 1
                    if self.cuts_left % 2:  # the server commits, and nobody is told
                        source.shutdown(socket.SHUT_RDWR)
                        sink.sendall(data)
                    break
                if not is_request and self.delay_s:
                    self._waiter.wait(self.delay_s)
                sink.sendall(data)
        except OSError:
            pass
        finally:
            for one in (source, sink):
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)  # wakes the thread that reads it; closing alone does not
                one.close()


@contextmanager
def database_locked(scene: Scene) -> Iterator[None]:
    """Another process holds the lock of writers."""
    with locked(scene.url):
        yield


def _sqlite_files(scene: Scene) -> list[Path]:
    path = Path(scene.url.removeprefix("sqlite:///"))
    return [one for suffix in ("", "-wal", "-shm") if (one := path.with_name(path.name + suffix)).exists()]


@contextmanager
def file_moved_away(scene: Scene) -> Iterator[None]:
    """The database file is gone, and comes back as it was."""
    with tempfile.TemporaryDirectory(dir=Path(scene.url.removeprefix("sqlite:///")).parent) as aside:
        moved = [(one, Path(shutil.move(one, aside))) for one in _sqlite_files(scene)]
        yield
        for where, one in moved:
            one.rename(where)


@contextmanager
def replaced_by_no_database(scene: Scene) -> Iterator[None]:
    """Another file, which is no database, stands in the database's place for a while."""
    with file_moved_away(scene):
        path = Path(scene.url.removeprefix("sqlite:///"))
        path.write_bytes(b"this is no database" * 1000)
        yield
        for one in _sqlite_files(scene):
            one.unlink()


@contextmanager
def file_size_limited(scene: Scene) -> Iterator[None]:
    """No file of the broker may grow beyond where its write-ahead log ends (RLIMIT_FSIZE); its journal is shorter."""
    database = Path(scene.url.removeprefix("sqlite:///"))
    with closing(sqlite3.connect(database, timeout=PATIENCE_S)) as bystander:
        bystander.execute("PRAGMA wal_autocheckpoint = 0")  # a log that begins anew has room again
        with bystander:
            bystander.execute("CREATE TABLE bulk (bytes BLOB)")
            bystander.execute("INSERT INTO bulk VALUES (zeroblob(?))", (LOG_BYTES,))
    size = database.with_name(f"{database.name}-wal").stat().st_size
    soft, hard = resource.prlimit(scene.broker_pid, resource.RLIMIT_FSIZE)
    resource.prlimit(scene.broker_pid, resource.RLIMIT_FSIZE, (size, hard))
    yield
    resource.prlimit(scene.broker_pid, resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def server_stopped(scene: Scene) -> Iterator[None]:
    """PostgreSQL is shut down at once, and started again later."""
    assert scene.server is not None
    scene.server.stop()
    yield
    scene.server.start()


@contextmanager
def database_read_only(scene: Scene) -> Iterator[None]:
    """Every transaction is read-only, as on a stand-by."""
    assert scene.server is not None
    name = scene.url.partition("?")[0].rpartition("/")[2]
    with psycopg.connect(scene.server.server.get_uri(name), autocommit=True) as connection:
        kick = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        connection.execute(kick)
        yield
        connection.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
        connection.execute(kick)


@contextmanager
def commits_cut(scene: Scene) -> Iterator[None]:
    """Connections break in the middle of a commit, whose outcome is then unknown."""
    assert scene.proxy is not None
    scene.proxy.cuts_left = 6
    yield
    waiter, deadline = threading.Event(), time.monotonic() + PATIENCE_S
    while scene.proxy.cuts_left:
        assert time.monotonic() < deadline, "no commit was cut"
        waiter.wait(0.01)


@contextmanager
def answers_slow(scene: Scene) -> Iterator[None]:
    """Each answer of the server takes 0.2 s."""
    assert scene.proxy is not None
    scene.proxy.delay_s = 0.2
    yield
    scene.proxy.delay_s = 0.0


# Each with what /health/ready must have said while it lasted.
ON_SQLITE: dict[str, tuple[Fault, str | None]] = {
    "locked": (database_locked, "degraded"),
    "file moved away": (file_moved_away, "degraded"),
    "replaced by no database": (replaced_by_no_database, "degraded"),
    "file size limited": (file_size_limited, "degraded"),
}
ON_POSTGRESQL: dict[str, tuple[Fault, str | None]] = {
    "locked": (database_locked, "degraded"),
    "server stopped": (server_stopped, "degraded"),
    "read-only": (database_read_only, "degraded"),
    "commits cut": (commits_cut, None),
    "slow": (answers_slow, None),
}


def run(name: str, fault: Fault, awaited: str | None, state: Path, scene: Scene) -> Books:
    """Run a broker under load, let the fault happen and pass, and return the books."""
    answers: list[tuple[int, str]] = []
    stop = threading.Event()
    with broker(state, HERO_BROKER_DATABASE_URL=scene.broker_url) as running:
        running.usage()
        clients = [threading.Thread(target=_calls, args=(running, answers, stop)) for _ in range(CLIENTS)]
        for client in clients:
            client.start()
        try:
            with (
                fault(replace(scene, broker_pid=running.process.pid)),
                httpx.Client(base_url=running.url, timeout=30) as observer,
            ):
                noticed = [] if awaited is None else [_await_status(observer, awaited)]
                _await_calls(answers, len(answers) + CALLS_AFTER_NOTICED)
            with httpx.Client(base_url=running.url, timeout=30) as observer:
                noticed.append(_await_status(observer, "ok"))
        finally:
            stop.set()
            for client in clients:
                client.join()
        running.usage()
    rows = query(scene.url, "SELECT request_id, cost_nano_usd FROM request_logs")
    times = Counter(request_id for request_id, _ in rows)
    return Books(
        fault=name,
        store=scene.url.partition(":")[0],
        noticed=tuple(noticed),
        statuses=dict(Counter(status for status, _ in answers)),
        rows=len(rows),
        without_row=sum(request_id not in times for _, request_id in answers),
        doubled=sum(count > 1 for count in times.values()),
        cost_nano_usd=sum(cost for _, cost in rows),
    )


def _calls(running: Broker, answers: list[tuple[int, str]], stop: threading.Event) -> None:
    with httpx.Client(base_url=running.url, timeout=30) as client:
        number = 0
        while not stop.wait(PAUSE_S):
            number += 1
            told = make_call(client, number)
            answers.append((told.status_code, told.headers["x-request-id"]))


def _await_status(observer: httpx.Client, status: str) -> str:
    deadline = time.monotonic() + PATIENCE_S
    while (found := observer.get("/health/ready").json()["status"]) != status:
        assert time.monotonic() < deadline, f"/health/ready still says {found}, not {status}"
    return str(found)


def _await_calls(answers: list[tuple[int, str]], count: int) -> None:
    waiter, deadline = threading.Event(), time.monotonic() + PATIENCE_S
    while len(answers) < count:
        assert time.monotonic() < deadline, "calls are no longer answered"
        waiter.wait(0.01)


@contextmanager
def on_postgresql(server: PostgresServer, folder: Path) -> Iterator[Scene]:
    """Yield a scene with a database of its own, reached through a proxy."""
    url = server.new_database()
    with tempfile.TemporaryDirectory(prefix="hb-px-", dir=folder) as directory, ExitStack() as stack:
        proxy = CuttingProxy(server.socket_path, Path(directory))
        stack.callback(proxy.close)
        yield Scene(url, url.replace(str(Path(server.socket_path).parent), directory), server, proxy)


def main() -> None:
    """Print the books of every fault."""
    with tempfile.TemporaryDirectory(prefix="hb-") as text, postgres() as server:
        folder = Path(text)
        for number, (name, (fault, awaited)) in enumerate(ON_SQLITE.items()):
            url = f"sqlite:///{folder}/sqlite-{number}/ledger.db"
            _print(run(name, fault, awaited, folder / f"state-{number}", Scene(url, url, None, None)))
        for number, (name, (fault, awaited)) in enumerate(ON_POSTGRESQL.items(), start=100):
            with on_postgresql(server, folder) as scene:
                _print(run(name, fault, awaited, folder / f"state-{number}", scene))
        disk = folder / "small-disk"
        disk.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], check=False)
        if mounted.returncode == 0:
            try:
                url = f"sqlite:///{disk}/ledger.db"
                scene = Scene(url, url, None, None)
                _print(run("disk full", _disk_filled(disk), "degraded", folder / "state-full", scene))
            finally:
                subprocess.run(["umount", "-l", str(disk)], check=True)


def _disk_filled(disk: Path) -> Fault:
    @contextmanager
    def filled(_scene: Scene) -> Iterator[None]:
        ballast = disk / "ballast"
        with ballast.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 4096)
            except OSError:
                pass
        yield
        ballast.unlink()
        subprocess.run(["mount", "-o", "remount,size=200m", str(disk)], check=True)

    return filled


def _print(books: Books) -> None:
    print("right" if books.are_right else "WRONG", books)  # noqa: T201


if __name__ == "__main__":
    main()

"""The candidates: the broker's reports, and three databases that get plain SQL."""

import asyncio
import csv
import importlib
import io
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

import psycopg

from hero_broker.core.clock import SystemClock
from hero_broker.core.queries import Dimension, UsageQuery
from hero_broker.core.records import UsageTotals
from hero_broker.reports.labels import LabelBook
from hero_broker.reports.usage import Reports
from hero_broker.store.database import Database, open_database
from tests.benchmarks.reports.files import coming, url, warm
from tests.benchmarks.reports.questions import COST, DAY, By, ByIp, ForIp, Line, Question, sql
from tests.benchmarks.reports.rows import COLUMNS, DAY_S
from tests.stores import PostgresServer

OURS, PLAIN, POSTGRESQL, DUCKDB = "ours", "SQLite, GROUP BY", "PostgreSQL", "DuckDB"
DUCKDB_THREADS = 2
CHUNK_ROWS = 200_000


class Candidate(Protocol):
    """Answers questions."""

    def ask(self, question: Question) -> tuple[float, list[Line]]:
        """Return the milliseconds that it took, and the answer."""
        ...


class Ours:
    """The broker's reports, as the admin plane calls them."""

    def __init__(self, database: Database) -> None:
        self._reports = Reports(database, LabelBook(database, SystemClock()), SystemClock())
        self._loop = asyncio.new_event_loop()

    def ask(self, question: Question) -> tuple[float, list[Line]]:
        """Return the milliseconds from the call to its answer on the event loop, and the answer."""
        return self._loop.run_until_complete(self._ask(question))

    def close(self) -> None:
        """End the threads."""
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    async def _ask(self, question: Question) -> tuple[float, list[Line]]:
        window = question.window
        began = time.perf_counter()
        match question:
            case ByIp():
                by_ip = await self._reports.usage_by_ip(window.since, window.until, question.limit, None)
                took_s = time.perf_counter() - began
                return took_s * 1000, [_line(item.ip, item.totals) for item in by_ip.items]
            case ForIp():
                for_ip = await self._reports.usage_for_ip(question.ip, window.since, window.until)
                took_s = time.perf_counter() - began
                return took_s * 1000, [_line(item.model, item.totals) for item in for_ip.models]
            case By():
                by_day = question.column == DAY
                asked = UsageQuery(
                    group_by=() if by_day else (Dimension(question.column),),
                    since=window.since,
                    until=window.until,
                    bucket="day" if by_day else None,
                )
                usage = await self._reports.usage(asked)
                took_s = time.perf_counter() - began
                groups = [
                    _line(_day(group.start) if by_day else str(group.key[0]), group.totals) for group in usage.groups
                ]
                # Days come in their order.
                return took_s * 1000, sorted(groups, key=lambda line: (-line[COST], line[0]))


def _day(start: int | None) -> str:
    assert start is not None
    return str(start - start % DAY_S)


def _line(key: str, totals: UsageTotals) -> Line:
    assert totals.first_seen is not None
    assert totals.last_seen is not None
    return (
        key,
        totals.requests,
        totals.failed_requests,
        totals.estimated_requests,
        totals.unpriced_requests,
        totals.input_tokens,
        totals.output_tokens,
        totals.cost_nano_usd,
        totals.first_seen,
        totals.last_seen,
    )


class Rival:
    """A database that gets plain SQL."""

    def __init__(self, run: Callable[[str], Sequence[Sequence[Any]]], collation: str = "") -> None:
        self._run = run
        self._collation = collation

    def ask(self, question: Question) -> tuple[float, list[Line]]:
        """Return the milliseconds until all rows of the answer were fetched, and the answer."""
        statement = sql(question, self._collation)
        began = time.perf_counter()
        found = self._run(statement)
        took_s = time.perf_counter() - began
        return took_s * 1000, [_plain_line(*row) for row in found]


def _plain_line(key: str, *sums: Any) -> Line:
    # PostgreSQL sums to NUMERIC, which arrives as Decimal.
    one, two, three, four, five, six, seven, first, last = (int(value) for value in sums)
    return key, one, two, three, four, five, six, seven, first, last


@contextmanager
def ours(path: Path) -> Iterator[Ours]:
    """Open the broker's reports on a file."""
    with open_database(url(path)) as database:
        candidate = Ours(database)
        try:
            yield candidate
        finally:
            candidate.close()


@contextmanager
def plain(path: Path) -> Iterator[Rival]:
    """Ask the broker's own file by plain SQL, on a connection such as the broker's."""
    with open_database(url(path)) as database, database.engine.connect() as connection:

        def run(statement: str) -> Sequence[Sequence[Any]]:
            with connection.begin():
                return connection.exec_driver_sql(statement).all()

        yield Rival(run)


@contextmanager
def postgresql(folder: Path, source: Path) -> Iterator[Rival]:
    """Ask a PostgreSQL with the rows of a file and the same indexes; its data stay in the folder.

    It is as it comes, but for the memory that sorts and hashes may take.
    """
    server = PostgresServer(folder / "postgresql", durable=True)
    server.start()  # one that was stopped before in this process
    try:
        name = f"rows_{source.stem.replace('-', '_')}"
        with psycopg.connect(server.server.get_uri(), autocommit=True) as connection:
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
            if found is None:
                connection.execute(f"DROP DATABASE IF EXISTS partial_{name}")
                connection.execute(f"CREATE DATABASE partial_{name}")
                _fill_postgresql(server.server.get_uri(f"partial_{name}"), source)
                connection.execute(f"ALTER DATABASE partial_{name} RENAME TO {name}")
        with psycopg.connect(server.server.get_uri(name), autocommit=True) as connection:
            connection.execute("SET work_mem = '64MB'")
            yield Rival(lambda statement: connection.execute(statement).fetchall(), ' COLLATE "C"')
    finally:
        server.stop()


def _fill_postgresql(server_url: str, source: Path) -> None:
    with open_database(server_url):
        pass  # it has its tables now
    with psycopg.connect(server_url, autocommit=True) as connection:
        indexes = connection.execute(
            "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'request_logs'"
            " AND indexname NOT IN (SELECT conname FROM pg_constraint)"
        ).fetchall()
        for index, _ in indexes:
            connection.execute(f"DROP INDEX {index}")
        names = ", ".join(COLUMNS)
        with connection.cursor().copy(f"COPY request_logs ({names}) FROM STDIN (FORMAT csv)") as copy:
            for text in _texts(source, COLUMNS):
                copy.write(text)
        for _, statement in indexes:
            connection.execute(statement)
        connection.execute("VACUUM (ANALYZE) request_logs")


@contextmanager
def duckdb(folder: Path, source: Path) -> Iterator[Rival | None]:
    """Ask a DuckDB with the rows of a file in a table of its own, the addresses' keys left out; None without DuckDB."""
    try:
        module: Any = importlib.import_module("duckdb")
    except ImportError:
        yield None
        return
    path = folder / f"{source.stem}.duckdb"
    if not path.exists():
        with coming(path) as partial, closing(module.connect(str(partial))) as connection:
            _fill_duckdb(connection, source, folder / "partial-rows.csv")
    with closing(module.connect(str(path), read_only=True)) as connection:
        connection.execute(f"SET threads = {DUCKDB_THREADS}")
        yield Rival(lambda statement: connection.execute(statement).fetchall())


def _fill_duckdb(connection: Any, source: Path, chunk: Path) -> None:
    with closing(sqlite3.connect(source)) as ledger:
        declared = dict(ledger.execute("SELECT name, type FROM pragma_table_info('request_logs')").fetchall())
    names = [name for name in COLUMNS if name != "ip_key"]
    types = {"TEXT": "VARCHAR", "INTEGER": "BIGINT"}
    columns = ", ".join(f"{name} {types[declared[name]]}" for name in names)
    connection.execute(f"CREATE TABLE request_logs ({columns})")
    for text in _texts(source, names):
        chunk.write_text(text)
        connection.execute(f"COPY request_logs FROM '{chunk}' (FORMAT csv, HEADER false)")
    chunk.unlink()


def _texts(source: Path, names: Sequence[str]) -> Iterator[str]:
    """Yield the rows of a file as CSV, in the order of `seq`; an address's key as PostgreSQL reads it."""
    shown = ", ".join(r"'\x' || hex(ip_key)" if name == "ip_key" else name for name in names)
    with closing(sqlite3.connect(source)) as ledger:
        rows = ledger.execute(f"SELECT {shown} FROM request_logs ORDER BY seq")
        while chunk := rows.fetchmany(CHUNK_ROWS):
            text = io.StringIO()
            csv.writer(text).writerows(chunk)
            yield text.getvalue()


@contextmanager
def candidates(folder: Path, source: Path, folded: Path) -> Iterator[dict[str, Candidate]]:
    """Open all candidates on the same rows: ours and the plain one on the folded file, the others on their own."""
    warm(folded)
    with ExitStack() as stack:
        found: dict[str, Candidate] = {
            OURS: stack.enter_context(ours(folded)),
            PLAIN: stack.enter_context(plain(folded)),
            POSTGRESQL: stack.enter_context(postgresql(folder, source)),
        }
        duck = stack.enter_context(duckdb(folder, source))
        if duck is None:
            print("DuckDB is not installed (tests/benchmarks/requirements.txt): its column is left out")
        else:
            found[DUCKDB] = duck
        yield found

"""Ledgers in files that are made once and kept: others work on copies."""

import fcntl
import shutil
import sqlite3
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hero_broker.store.database import open_database
from hero_broker.store.migrations import STEPS
from hero_broker.store.schema import REQUEST_LOGS
from tests.benchmarks.reports.rows import COLUMNS, Plan, plain

ADDRESSES = 5000
FOLD_ROWS = 100_000  # at a time, when a file is made
IP, CALL = COLUMNS.index("ip"), COLUMNS.index("peer_ip")  # where a row's address and its call begin
SUFFIXES = ("", "-wal", "-shm", "-journal", ".wal")


def url(path: Path) -> str:
    """Return the store's URL of a file."""
    return f"sqlite:///{path}"


def short(count: int) -> str:
    """Return a number as file names say it: 10m, 250k, 1234."""
    for size, letter in ((1_000_000, "m"), (1000, "k")):
        if count % size == 0:
            return f"{count // size}{letter}"
    return str(count)


def name(plan: Plan) -> str:
    """Return the file's name; that of a ledger with other than the usual number of addresses says how many."""
    return f"{short(plan.rows)}.db" if plan.addresses == ADDRESSES else f"{short(plan.addresses)}-addresses.db"


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Have a folder for oneself: another run would write the same files, and be measured along.

    Ends the program if there is one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit(f"another run uses {folder}")
        yield


@contextmanager
def coming(path: Path) -> Iterator[Path]:
    """Yield where to write a file that is not there yet; it gets its name when it is complete."""
    partial = path.with_name(f"partial-{path.name}")
    remove(partial)
    yield partial
    partial.rename(path)


def remove(path: Path) -> None:
    """Delete a database's file, and those beside it, if they are there."""
    for suffix in SUFFIXES:
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def made(folder: Path, plan: Plan) -> Path:
    """Return the file with the plan's rows, without roll-ups; it is made if it is not there."""
    path = folder / name(plan)
    if not path.exists():
        began = time.perf_counter()
        with coming(path) as partial:
            _fill(partial, plan)
        took_s = time.perf_counter() - began
        each = path.stat().st_size / plan.rows
        print(f"{path.name}: {plan.rows:,} rows in {took_s:,.0f} s; a row with its indexes: {each:.0f} bytes")
    return path


def folded(folder: Path, plan: Plan) -> Path:
    """Return a copy of the plan's file whose rows are all in the roll-ups; it is made if it is not there.

    Its name says the version of the schema: another one has other roll-ups.
    """
    source = made(folder, plan)
    path = folder / f"{source.stem}-v{len(STEPS)}-folded.db"
    if not path.exists():
        began = time.perf_counter()
        with coming(path) as partial:
            shutil.copyfile(source, partial)
            with open_database(url(partial)) as database:
                while database.fold(FOLD_ROWS):
                    continue
        took_s = time.perf_counter() - began
        added = (path.stat().st_size - source.stat().st_size) / plan.rows
        print(f"{path.name}: {plan.rows:,} rows folded in {took_s:,.0f} s; roll-ups: {added:.0f} bytes a row")
    return path


@contextmanager
def copied(path: Path) -> Iterator[Path]:
    """Yield a copy of a file that may be written to, for the time of the block."""
    copy = path.with_name(f"copy-{path.name}")
    remove(copy)
    try:
        shutil.copyfile(path, copy)
        yield copy
    finally:
        remove(copy)


def warm(path: Path) -> None:
    """Read a file once, so that its pages are in the system's memory."""
    with path.open("rb") as file:
        while file.read(1 << 24):
            continue


def _fill(path: Path, plan: Plan) -> None:
    with open_database(url(path)):
        pass  # it has its tables now
    with closing(sqlite3.connect(path, isolation_level=None)) as ledger:
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -1000000", "temp_store = MEMORY"):
            ledger.execute(f"PRAGMA {pragma}")
        indexes = ledger.execute(
            "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL",
            [REQUEST_LOGS.name],
        ).fetchall()
        for index, _ in indexes:
            ledger.execute(f"DROP INDEX {index}")
        ledger.execute("BEGIN")
        prices = [asdict(model.price) for model in plan.models]
        ledger.executemany("INSERT INTO prices VALUES (:price_id, :rates, :source, :version)", prices)
        _number(ledger, "ips", COLUMNS[IP:CALL], plan.ips)
        _number(ledger, "calls", COLUMNS[CALL:], (plain(call)[CALL:] for call in plan.calls))
        insert = (
            f"INSERT INTO request_logs ({', '.join(COLUMNS)}) SELECT ?1, ?2, {', '.join(COLUMNS[IP:])}"
            " FROM temp.ips, temp.calls WHERE ips.place = ?3 AND calls.place = ?4"
        )
        for batch in plan.numbers():
            ledger.executemany(insert, batch)
        ledger.execute("COMMIT")
        for _, statement in indexes:
            ledger.execute(statement)


def _number(ledger: sqlite3.Connection, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Keep rows under their places: a driver that is handed two numbers a row takes half as long."""
    ledger.execute(f"CREATE TEMP TABLE {table} (place INTEGER PRIMARY KEY, {', '.join(columns)})")
    marks = ", ".join("?" * (len(columns) + 1))
    numbered = ((place, *row) for place, row in enumerate(rows))
    ledger.executemany(f"INSERT INTO temp.{table} VALUES ({marks})", numbered)

"""What a row takes on disk, with its indexes and without the roll-ups, in a file that grew as the broker's does."""

import sqlite3
from contextlib import closing
from pathlib import Path

from hero_broker.store.database import open_database
from tests.benchmarks.goals import Figure
from tests.benchmarks.reports.bench import Bench
from tests.benchmarks.reports.files import remove, url

APPEND_ROWS = 500


def row_bytes(path: Path, rows: int) -> dict[str, float]:
    """Return the bytes for each row of `request_logs` and of each of its indexes; of the whole file without dbstat."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as ledger:
        named = ledger.execute("SELECT name FROM sqlite_schema WHERE tbl_name = 'request_logs'").fetchall()
        try:
            found = ledger.execute("SELECT name, total(pgsize) FROM dbstat GROUP BY name").fetchall()
        except sqlite3.OperationalError:  # this SQLite was built without it
            return {"the whole file": path.stat().st_size / rows}
    return {name: size / rows for name, size in found if (name,) in named}


def measure(bench: Bench) -> list[Figure]:
    """Let a ledger grow batch by batch, and count its pages."""
    plan = bench.smaller
    path = bench.folder / "grown.db"
    remove(path)
    prices = [model.price for model in plan.models]
    try:
        with open_database(url(path)) as database:
            for records in plan.records():
                for first in range(0, len(records), APPEND_ROWS):
                    database.append(records[first : first + APPEND_ROWS], prices)
        grown = row_bytes(path, plan.rows)
    finally:
        remove(path)
    shown = ", ".join(f"{name} {size:.0f}" for name, size in grown.items())
    packed = sum(row_bytes(bench.source(bench.plan), bench.rows).values())
    print(f"bytes a row, of {plan.rows:,}: {shown}; of {bench.rows:,}, indexes made afterwards: {packed:.0f}")
    return [Figure("a row with its indexes, roll-ups apart", sum(grown.values()), "bytes", 400, 320)]

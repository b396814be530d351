"""Ledgers of earlier versions, as the programs of then made them.

Each has 16 rows, of which 11 are folded; two billing periods, of 5 and 4 rows; and a label. That of 0.3 was amid a
rebuild of its roll-ups; those of 0.5 and 0.7 have one period that was closed at a time, with its lines, and that of 0.7
has a stored response.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg

from hero_broker.store.engine import make_engine, sqlite_path

SAMPLES = Path(__file__).parent / "samples"
VERSIONS = ("0.1", "0.3", "0.5", "0.7")
ROWS = 16


def make_old_ledger(url: str, version: str) -> None:
    """Fill an empty database, or a file that does not exist, with the ledger of a version."""
    engine = make_engine(url)
    path = sqlite_path(engine)
    store = engine.dialect.name
    engine.dispose()
    dump = (SAMPLES / f"ledger-of-{version}.{store}.sql").read_text()
    if path is None:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(dump.encode())
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path)) as file:
            file.executescript(dump)

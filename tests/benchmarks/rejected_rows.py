"""How long a journal with many rows takes that the database rejects. `python -m tests.benchmarks.rejected_rows`.

For each store: the seconds from the start of the ledger until the journal is empty, and the flushes of the disk by
which the rejected rows were kept. All rows are checked: each is in the database or in the file, once.
"""

import argparse
import json
import logging
import os
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

from hero_broker.ledger.journal import REJECTED, Journal
from hero_broker.ledger.ledger import Ledger
from hero_broker.ledger.rows import PendingRow
from hero_broker.metering.billing_row import interrupted_row
from hero_broker.store.database import open_database
from tests.ledger.rows import row
from tests.stores import postgres, query
from tests.waits import wait_until

UNSTORABLE = 2**63  # nano-USD; an integer of a database has 63 bits
WITHIN_S = 600


def open_journal(directory: Path) -> Journal:
    """Open the journal of a broker with the default number of calls."""
    return Journal(directory, interrupted_row, max_bytes=1_000_000_000, max_calls=1000)


def replay(url: str, directory: Path, rows: int, every: int) -> tuple[float, int]:
    """Return (seconds, flushes) for a journal of so many rows, of which the database rejects every so-manieth."""
    journal = open_journal(directory)
    ids: tuple[list[str], list[str]] = ([], [])
    for number in range(rows):
        is_bad = number % every == 0
        due = PendingRow(row(cost_nano_usd=UNSTORABLE if is_bad else 1), "{}", "benchmark", "1")
        ids[is_bad].append(due.row.request_id)
        journal.settle(due)
    journal.close()
    journal = open_journal(directory)
    with open_database(url) as database, mock.patch("os.fsync", wraps=os.fsync) as flush:
        began = time.perf_counter()
        with Ledger.running(journal, database, close_within_s=WITHIN_S) as ledger:
            wait_until(lambda: not ledger.pending, within_s=WITHIN_S)
            took_s = time.perf_counter() - began
    journal.close()
    stored = [one for (one,) in query(url, "SELECT request_id FROM request_logs ORDER BY seq")]
    kept = [json.loads(line)["request_id"] for line in (directory / REJECTED).read_text().splitlines()]
    if (stored, kept) != ids:
        sys.exit(f"{len(stored)} rows are stored and {len(kept)} are kept, which are not those of the journal")
    return took_s, flush.call_count


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--every", type=int, nargs="+", default=[2, 500], help="which rows the database rejects")
    options = parser.parse_args()
    logging.disable(logging.ERROR)  # a line for each rejected row
    with tempfile.TemporaryDirectory(prefix="hb-") as text, postgres() as server:
        for every in options.every:
            urls = {"sqlite": f"sqlite:///{text}/{every}.db", "postgresql": server.new_database()}
            for store, url in urls.items():
                took_s, flushes = replay(url, Path(text) / f"{store}-{every}", options.rows, every)
                bad = -(-options.rows // every)
                print(f"{store}: {bad:,} of {options.rows:,} rows rejected: {took_s:.1f} s, {flushes} flushes")


if __name__ == "__main__":
    main()

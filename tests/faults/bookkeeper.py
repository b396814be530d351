"""Keeps the books of a ledger until it is killed. `python -m tests.faults.bookkeeper URL fold|mark|close`.

`fold` appends rows and folds them in small steps, and makes the roll-ups anew now and then; `mark` records
billing periods by position, and `close` by time. Each prints a line when it begins, and these two a line for each
period that they were told is recorded.
"""

import asyncio
import os
import random
import sys
import time
from contextlib import suppress

from hero_broker.core.addresses import ip_key
from hero_broker.core.clock import SystemClock
from hero_broker.core.errors import Conflict, InvalidParams, StoreUnavailable
from hero_broker.reports.billing_periods import Books
from hero_broker.store.database import Database, open_database
from tests.ledger.rows import row

ADDRESSES = [f"192.0.2.{number}" for number in range(20)] + ["2001:db8::1", "unknown"]
FIRST_AT = 1_700_000_000
chance = random.Random()  # noqa: S311 - it chooses moments, not secrets


def fold(database: Database) -> None:
    """Append and fold without end; some rows are late."""
    while True:
        time.sleep(0.02)  # SQLite's lock is not handed on in turn: who asks for it without a pause has it alone
        rows = []
        for _ in range(20):
            ip = chance.choice(ADDRESSES)
            rows.append(row(ip=ip, ip_key=ip_key(ip), started_at=FIRST_AT + chance.randrange(40 * 86_400)))
        with suppress(StoreUnavailable):  # locked
            database.append(rows, [])
            if chance.random() < 0.05:
                database.start_rebuild()
            database.fold(chance.choice([7, 30, 100]))


def mark(database: Database) -> None:
    """Record billing periods by position without end."""
    books = Books(database, SystemClock())
    while True:
        unbilled, _ = asyncio.run(books.unbilled())
        if unbilled.to_seq < unbilled.from_seq:
            continue
        reference, to_seq = os.urandom(8).hex(), chance.randint(unbilled.from_seq, unbilled.to_seq)
        try:
            asyncio.run(books.mark_billed(reference, to_seq))
        except (Conflict, StoreUnavailable):
            continue
        print(reference, flush=True)  # noqa: T201


def close(database: Database) -> None:
    """Close billing periods without end, each a little later than the one before."""
    books = Books(database, SystemClock())
    while True:
        with suppress(StoreUnavailable):
            until = max((one.until or FIRST_AT for one in asyncio.run(books.periods())[0]), default=FIRST_AT)
            break
    while True:
        until += chance.randrange(1, 3 * 86_400)
        reference = os.urandom(8).hex()
        try:
            asyncio.run(books.close_period(reference, min(until, FIRST_AT + 3_000 * 86_400), "UTC"))
        except (Conflict, InvalidParams, StoreUnavailable):
            continue
        print(reference, flush=True)  # noqa: T201


def main() -> None:
    """Run one of them."""
    url, role = sys.argv[1:]
    with open_database(url) as database:
        print("begun", flush=True)  # noqa: T201
        {"fold": fold, "mark": mark, "close": close}[role](database)


if __name__ == "__main__":
    main()

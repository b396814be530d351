"""A ledger's writer that dies at a step of a rejection: `python -m tests.ledger.dying_writer JOURNAL DATABASE STEP`."""

import os
import stat
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from hero_broker.core.records import PriceRecord, RequestLog, StoredResponse
from hero_broker.ledger.journal import Journal
from hero_broker.ledger.ledger import Ledger
from hero_broker.metering.billing_row import interrupted_row
from hero_broker.store.database import Database, open_database

STEPS = ("before the commit", "after the commit", "half written", "written", "flushed")
EXIT_CODE = 9


class DyingStore:
    """A database whose process dies before or after it has taken rows."""

    def __init__(self, database: Database, step: str) -> None:
        self._database = database
        self._step = step

    def append(
        self, rows: Sequence[RequestLog], prices: Sequence[PriceRecord], stored: Sequence[StoredResponse] = ()
    ) -> Mapping[str, str]:
        """Add the rows, and die before or after."""
        if self._step == "before the commit":
            os._exit(EXIT_CODE)
        rejected = self._database.append(rows, prices, stored)
        if self._step == "after the commit":
            os._exit(EXIT_CODE)
        return rejected

    def check(self) -> None:
        """Check the database."""
        self._database.check()

    def remove_responses(self, keys: Sequence[tuple[str, str]], expired_at: int, max_expired: int) -> int:
        """Remove stored responses."""
        return self._database.remove_responses(keys, expired_at, max_expired)

    def fold(self, max_rows: int) -> int:
        """Fold rows."""
        return self._database.fold(max_rows)


def die_at(step: str, path: Path) -> None:
    """Have this process die when it writes the file of rejected rows, or flushes it."""
    write, fsync = os.write, os.fsync

    def is_kept(fd: int) -> bool:
        return path.exists() and os.path.samestat(os.fstat(fd), path.stat())

    def dying_write(fd: int, data: bytes) -> int:
        if step == "half written" and is_kept(fd):
            write(fd, data[: len(data) // 2])
            os._exit(EXIT_CODE)
        written = write(fd, data)
        if step == "written" and is_kept(fd):
            os._exit(EXIT_CODE)
        return written

    def dying_fsync(fd: int) -> None:
        fsync(fd)
        if step == "flushed" and stat.S_ISREG(os.fstat(fd).st_mode) and is_kept(fd):
            os._exit(EXIT_CODE)

    os.write, os.fsync = dying_write, dying_fsync  # type: ignore[assignment]


def main() -> None:
    """Replay the journal, and die."""
    directory, url, step = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    die_at(step, directory / "rejected.jsonl")
    journal = Journal(directory, interrupted_row, max_bytes=100_000_000, max_calls=10)
    with open_database(url) as database, Ledger.running(journal, DyingStore(database, step)):
        threading.Event().wait(30)
    sys.exit("the writer has not died")


if __name__ == "__main__":
    main()

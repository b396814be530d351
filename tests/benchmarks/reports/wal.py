"""How large the write-ahead log becomes when reports run back to back while rows are written."""

import asyncio
import tempfile
import threading
import time
from pathlib import Path

from hero_broker.core.clock import SystemClock
from hero_broker.ledger.journal import Journal
from hero_broker.ledger.ledger import Ledger
from hero_broker.ledger.rows import PendingRow
from hero_broker.metering.billing_row import interrupted_row
from hero_broker.reports.labels import LabelBook
from hero_broker.reports.usage import Reports
from hero_broker.store.database import Database, open_database
from tests.benchmarks.goals import Figure
from tests.benchmarks.reports.bench import Bench
from tests.benchmarks.reports.files import copied, url
from tests.benchmarks.reports.questions import PAGE
from tests.benchmarks.reports.windows import ALL_TIME, windows
from tests.ledger.rows import note_of
from tests.stores import query

MIB = 1 << 20
ROWS_PER_S, TURN_S = 2000, 0.01
DRAIN_WITHIN_S = 60
MAX_CALLS = 1000
JOURNAL_BYTES = 2_000_000_000


class _Watch:
    """Remembers the largest size that a file had."""

    def __init__(self, path: Path) -> None:
        self.peak_bytes = 0
        self._path = path
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "_Watch":
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.005):
            if self._path.exists():
                self.peak_bytes = max(self.peak_bytes, self._path.stat().st_size)


def measure(bench: Bench) -> list[Figure]:
    """Write with the broker's own ledger, and ask for every window in turn meanwhile."""
    with copied(bench.folded(bench.plan)) as path:
        rows = int(bench.seconds * ROWS_PER_S)
        with open_database(url(path)) as database, _Watch(path.with_name(f"{path.name}-wal")) as watch:
            asked, written_s = asyncio.run(_write_and_ask(bench, database, rows))
        count = query(url(path), "SELECT count(*) FROM request_logs")[0][0]
    assert count == bench.rows + rows, f"{count - bench.rows} rows of {rows}"
    print(f"WAL: {rows:,} rows in {written_s:.1f} s and {asked} reports meanwhile; {watch.peak_bytes / MIB:.1f} MiB")
    return [Figure(f"WAL, reports back to back, {ROWS_PER_S:,} rows/s", watch.peak_bytes / MIB, "MiB", 64, 32)]


async def _write_and_ask(bench: Bench, database: Database, rows: int) -> tuple[int, float]:
    """Return how many reports were answered, and the seconds until the last row was stored."""
    rates = {model.price.price_id: model.price for model in bench.plan.models}
    due = []
    for records in bench.plan.records(bench.rows, rows):
        for row in records:
            price = None if row.price_id is None else rates[row.price_id]
            due.append(PendingRow(row, None if price is None else price.rates))
    with tempfile.TemporaryDirectory(prefix="hb-") as text:
        journal = Journal(Path(text), interrupted_row, max_bytes=JOURNAL_BYTES, max_calls=MAX_CALLS)
        with Ledger.running(journal, database) as ledger:
            asking = asyncio.create_task(
                _ask_until_cancelled(Reports(database, LabelBook(database, SystemClock()), SystemClock()))
            )
            began = time.perf_counter()
            offered = 0
            while offered < rows:
                await asyncio.sleep(TURN_S)
                wanted = min(rows, int((time.perf_counter() - began) * ROWS_PER_S))
                for made in due[offered:wanted]:
                    ledger.begin(note_of(made.row, made.rates))
                    assert ledger.offer(made)
                offered = wanted
            await asyncio.to_thread(_wait_until_stored, ledger)
            written_s = time.perf_counter() - began
            asking.cancel()
            (asked,) = await asyncio.gather(asking)
        journal.close()
    return asked, written_s


def _wait_until_stored(ledger: Ledger) -> None:
    deadline = time.monotonic() + DRAIN_WITHIN_S
    while ledger.pending:
        assert time.monotonic() < deadline, f"{ledger.pending} rows wait"
        time.sleep(TURN_S)


async def _ask_until_cancelled(reports: Reports) -> int:
    asked = 0
    try:
        while True:
            for window in (ALL_TIME, *windows()):
                await reports.usage_by_ip(window.since, window.until, PAGE, None)
                asked += 1
    except asyncio.CancelledError:
        return asked

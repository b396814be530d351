"""How long calls wait while budgets are added up. `python -m tests.benchmarks.budget_loading`.

A ledger in a temporary SQLite file has one row of each of many addresses. Two budgets count them, one by address and
one by address and label. A task of the event loop that wakes every millisecond sees how late it wakes: while the
budgets are added up from rows at the first start, while they are read from the stored counters at the second, and while
a label moves all addresses. Medians and the worst of the rounds are printed, and the memory of a subject. Then, what
the writer takes for a row without budgets and with both of them: each address has one row in a batch, which is the
worst case.
"""

import argparse
import asyncio
import gc
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path

from hero_broker.cli.runner import tune_process
from hero_broker.core.clock import SystemClock
from hero_broker.core.records import RequestLog
from hero_broker.ledger.journal import Journal
from hero_broker.ledger.ledger import Ledger
from hero_broker.limits.admission import Admission
from hero_broker.limits.definitions import Definitions
from hero_broker.limits.limit import USD, Limit
from hero_broker.metering.billing_row import interrupted_row
from hero_broker.reports.labels import LabelBook
from hero_broker.server.limit_following import LimitFollowing
from hero_broker.store.database import Database, open_database
from tests.ledger.rows import row

TICK_S = 0.001
BATCH, BATCHES = 500, 10
LIMITS = (
    Limit("by-address", USD, 10**18, per=("ip",), window="month"),
    Limit("by-label", USD, 10**18, per=("ip", "label"), window="month"),
)


def rows(count: int, now: int) -> list[RequestLog]:
    """Return a row of each of so many addresses."""
    return [row(ip=f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", started_at=now) for number in range(count)]


async def longest_pause_ms(work: Callable[[], Coroutine[None, None, None]]) -> tuple[float, float]:
    """Return by how much the loop was late at worst while some work ran, and how long that took; both in ms."""
    late = [0.0]

    async def tick() -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(TICK_S)
            late.append(time.monotonic() - before - TICK_S)

    ticking = asyncio.create_task(tick())
    began = time.monotonic()
    await work()
    took = time.monotonic() - began
    ticking.cancel()
    with suppress(asyncio.CancelledError):
        await ticking
    return max(late) * 1000, took * 1000


class Start:
    """A broker's limits after a start."""

    def __init__(self, database: Database, directory: Path) -> None:
        self.admission = Admission(LIMITS)
        self.labels = LabelBook(database, SystemClock())
        journal = Journal(directory / "journal", interrupted_row, max_bytes=100_000_000, max_calls=1000)
        self.following = LimitFollowing(
            self.admission, database, Ledger(journal, database), self.labels.names, lambda _: Definitions(), _nothing
        )


def _nothing() -> None:
    """Do nothing."""


async def pauses(directory: Path, subjects: int, now: int) -> list[tuple[str, float, float]]:
    """Return the longest pauses, and the durations, of one round."""
    found = []
    with open_database(f"sqlite:///{directory / 'ledger.db'}") as database:
        some = rows(subjects, now)
        for at in range(0, subjects, BATCH):
            database.append(some[at : at + BATCH], [])
        del some
        for name in ("added up from rows", "read at a start"):
            start = Start(database, directory / name)
            gc.collect()
            found.append((name, *await longest_pause_ms(start.following.follow)))
        await start.labels.set("10.0.0.0/8", "lab")
        found.append(("moved by a label", *await longest_pause_ms(start.following.follow)))
        start.labels.close()
    return found


async def memory_of_a_subject(directory: Path, subjects: int, now: int) -> float:
    """Return the bytes of a subject of both budgets."""
    with open_database(f"sqlite:///{directory / 'ledger.db'}") as database:
        for at in range(0, subjects, BATCH):
            database.append(rows(subjects, now)[at : at + BATCH], [])
        start = Start(database, directory)
        gc.collect()
        tracemalloc.start()
        await start.following.follow()
        gc.collect()
        taken = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        start.labels.close()
    return taken / subjects


async def writer_us(directory: Path, now: int) -> tuple[float, float]:
    """Return microseconds of CPU time of the writer for a row: without budgets, and with both."""
    times = []
    with open_database(f"sqlite:///{directory / 'ledger.db'}") as database:
        start = Start(database, directory)
        await start.following.follow()
        database.append(rows(BATCH, now), [])  # the addresses are known from here on
        for budgets in (None, database.budgets):
            database.budgets = budgets
            batches = [rows(BATCH, now) for _ in range(BATCHES)]
            began = time.thread_time_ns()
            for batch in batches:
                database.append(batch, [])
            times.append((time.thread_time_ns() - began) / BATCHES / BATCH / 1000)
        start.labels.close()
    return times[0], times[1]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subjects", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=10)
    asked = parser.parse_args()
    tune_process()
    now = int(time.time())
    seen: dict[str, list[tuple[float, float]]] = {}
    writer = []
    for _ in range(asked.rounds):
        with tempfile.TemporaryDirectory() as folder:
            for name, pause, took in asyncio.run(pauses(Path(folder), asked.subjects, now)):
                seen.setdefault(name, []).append((pause, took))
        with tempfile.TemporaryDirectory() as folder:
            writer.append(asyncio.run(writer_us(Path(folder), now)))
    print(f"{asked.subjects} subjects, ms{'pause':>20}{'worst':>9}{'in all':>9}")
    for name, figures in seen.items():
        pauses_ms = [pause for pause, _ in figures]
        took_ms = statistics.median(took for _, took in figures)
        print(f"{name:32}{statistics.median(pauses_ms):9.1f}{max(pauses_ms):9.1f}{took_ms:9.0f}")
    with tempfile.TemporaryDirectory() as folder:
        taken = asyncio.run(memory_of_a_subject(Path(folder), asked.subjects, now))
    print(f"{'bytes of a subject, both budgets':32}{taken:9.0f}")
    without, with_both = (statistics.median(times) for times in zip(*writer, strict=True))
    print(f"{'us of the writer for a row':32}{without:9.1f}{with_both:9.1f}")


if __name__ == "__main__":
    main()

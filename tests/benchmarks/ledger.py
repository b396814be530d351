"""What journal and ledger cost, and how many rows they carry. `python -m tests.benchmarks.ledger`.

For each store and number of calls at once: rows per second from the first `begin` to the last commit, and the CPU time
that `begin` and `offer` take of the thread that calls them (the event loop's, in a broker). Beside it: the calls that
one broker process can make per second of its own CPU, billing on, each row checked. Candidates run in turn, round by
round; medians and ratios are printed, because on a shared machine an absolute time means little.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections import deque
from contextlib import ExitStack
from pathlib import Path

from hero_broker.ledger.journal import Journal
from hero_broker.ledger.ledger import Ledger
from hero_broker.ledger.rows import PendingRow
from hero_broker.metering.billing_row import interrupted_row
from hero_broker.store.database import open_database
from tests.benchmarks.processes import started
from tests.benchmarks.scenarios import scenarios, settings
from tests.benchmarks.turns import Bill, Candidate, check, cpu_us, turn
from tests.e2e_support import started_broker
from tests.ledger.rows import FOUNDING, note_of, row
from tests.stores import postgres, query
from tests.waits import wait_until

AT_ONCE = (1, 16, 256)
COST_NANO_USD = FOUNDING.cost_nano_usd or 0  # of each row
BOOKS = "SELECT count(*), sum(cost_nano_usd) FROM request_logs"
RATES = '{"input_per_million":"0.59","output_per_million":"0.79"}'


def carry(url: str, folder: Path, calls: int, at_once: int) -> tuple[float, float]:
    """Return (rows per second, CPU microseconds a call) for `calls` calls, `at_once` of them open at any time."""
    rows = [row() for _ in range(calls)]
    calls_made = [(note_of(made, RATES), PendingRow(made, RATES)) for made in rows]
    with open_database(url) as database:
        before = query(url, BOOKS)[0]
        with tempfile.TemporaryDirectory(dir=folder) as journal_dir:
            journal = Journal(Path(journal_dir), interrupted_row, max_bytes=2_000_000_000, max_calls=1000)
            open_calls: deque[PendingRow] = deque()
            with Ledger.running(journal, database) as ledger:
                began, cpu_began = time.perf_counter(), time.thread_time()
                for note, due in calls_made:
                    ledger.begin(note)
                    open_calls.append(due)
                    if len(open_calls) == at_once:
                        ledger.offer(open_calls.popleft())
                while open_calls:
                    ledger.offer(open_calls.popleft())
                cpu_s = time.thread_time() - cpu_began
                wait_until(lambda: not ledger.pending, within_s=600)
                took_s = time.perf_counter() - began
            journal.close()
    expected = (before[0] + calls, (before[1] or 0) + calls * COST_NANO_USD)
    if query(url, BOOKS)[0] != expected:
        sys.exit(f"rows and nano-USD {query(url, BOOKS)[0]}, not {expected}")
    return calls / took_s, cpu_s / calls * 1e6


def broker_calls_per_cpu_s(folder: Path, seconds: float) -> float:
    """Return how many calls one broker process makes per second of its CPU, on SQLite, each with its row."""
    scenario = scenarios([16])[0]
    with ExitStack() as stack:
        _, port = stack.enter_context(started("tests.benchmarks.provider"))
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=folder)))
        config = place / "hero-broker.toml"
        config.write_text(settings(f"http://127.0.0.1:{port}/v1"))
        running = stack.enter_context(started_broker(place / "state", "--config", str(config)))
        candidate = Candidate(running.process.pid, int(running.url.rpartition(":")[2]), running)
        warm, measured = (turn(candidate, [], scenario, length) for length in (0.5, seconds))
        calls = warm.answered + measured.answered
        check(running, Bill(calls, calls * scenario.cost_nano_usd))
        print(f"  broker: rows {calls:,} of {calls:,}, cost as expected")
    return 1e6 / cpu_us(measured)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=10_000)
    asked = parser.parse_args()
    figures: dict[tuple[str, int], list[tuple[float, float]]] = {}
    broker_rates = []
    with tempfile.TemporaryDirectory(prefix="hb-") as text, postgres() as server:
        folder = Path(text)
        urls = {"sqlite": f"sqlite:///{folder}/ledger.db", "postgresql": server.new_database()}
        for _ in range(asked.rounds):
            for store, url in urls.items():
                for at_once in AT_ONCE:
                    figures.setdefault((store, at_once), []).append(carry(url, folder, asked.calls, at_once))
            broker_rates.append(broker_calls_per_cpu_s(folder, 2.0))
        books = {store: query(url, BOOKS)[0] for store, url in urls.items()}
    one_broker = statistics.median(broker_rates)
    print(f"one broker process: {one_broker:,.0f} calls per second of its CPU (c=16, SQLite, every row checked)")
    print("store       at once   rows/s   x one broker   CPU us/call on the loop's thread")
    for (store, at_once), found in figures.items():
        rate = statistics.median(one[0] for one in found)
        ratio = statistics.median(one[0] / broker_rate for one, broker_rate in zip(found, broker_rates, strict=True))
        cpu_us = statistics.median(one[1] for one in found)
        print(f"{store:<12}{at_once:>7}{rate:>9,.0f}{ratio:>15.1f}{cpu_us:>12.1f}")
    calls = asked.rounds * len(AT_ONCE) * asked.calls
    for store, (rows, cost) in books.items():
        print(f"{store}: rows {rows:,} of {calls:,}, {cost:,} nano-USD as expected")


if __name__ == "__main__":
    main()

"""What a batch of a hundred slow reports does to the calls of the same broker. `python -m tests.benchmarks.batch`.

The ledger has 200,000 calls of 10,000 addresses. Chats are made one after another on one connection, without a batch
and with batches back to back, in turn, and the time to the first byte of each answer is taken. Printed are median, 99th
percentile and maximum of each round, and the memory that batches add. Each chat must have its row.
"""

import argparse
import http.client
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from hero_broker.store.database import open_database
from tests.benchmarks.loadgen import percentile
from tests.benchmarks.processes import (
    MEASURED_CORE,
    OTHER_CORE,
    forget_peak,
    paused,
    peak_rss_bytes,
    pin,
    rss_bytes,
    started,
)
from tests.benchmarks.reports.rows import Plan
from tests.benchmarks.scenarios import scenarios, settings
from tests.e2e_support import started_broker

MIB = 1 << 20
GOAL_MS = 50.0
FOLD_ROWS = 100_000
WARM_UP_S = 1.0


def fill(url: str, rows: int, addresses: int) -> None:
    """Write calls to a ledger, and fold them."""
    plan = Plan(rows, addresses)
    prices = [model.price for model in plan.models]
    with open_database(url) as database:
        for records in plan.records():
            database.append(records, prices)
        while database.fold(FOLD_ROWS):
            continue


def chats(port: int, seconds: float) -> tuple[list[float], int]:
    """Chat for some seconds; return each first byte's milliseconds, sorted, warm-up left out; and the calls made."""
    (scenario,) = (one for one in scenarios([1]) if one.at_once == 1)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    found = []
    began = time.perf_counter()
    while (asked_at := time.perf_counter()) < began + WARM_UP_S + seconds:
        connection.request("POST", "/v1/chat/completions", scenario.body, {"content-type": "application/json"})
        answer = connection.getresponse()  # has read the first line, and with it all, of so short an answer
        found.append((asked_at, (time.perf_counter() - asked_at) * 1000))
        text = answer.read()
        assert answer.status == 200, text
    connection.close()
    return sorted(took for asked_at, took in found if asked_at > began + WARM_UP_S), len(found)


def figures(waits: Sequence[float]) -> list[float]:
    return [percentile(waits, 0.5), percentile(waits, 0.99), waits[-1]]


def shown(values: Sequence[float]) -> str:
    return " / ".join(f"{value:6.1f}" for value in values)


def main() -> None:
    """Run the rounds and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--addresses", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=8.0, help="for each round, with batches and without")
    asked = parser.parse_args()
    pin(os.getpid(), OTHER_CORE)
    with started("tests.benchmarks.provider") as (provider_pid, provider_port), tempfile.TemporaryDirectory() as text:
        pin(provider_pid, OTHER_CORE)
        folder = Path(text)
        config = folder / "hero-broker.toml"
        config.write_text(settings(f"http://127.0.0.1:{provider_port}/v1"))
        url = f"sqlite:///{folder / 'ledger.db'}"
        fill(url, asked.rows, asked.addresses)
        with started_broker(folder / "state", "--config", str(config), "--database", url) as running:
            pid, port = running.process.pid, int(running.url.rpartition(":")[2])
            pin(pid, MEASURED_CORE)
            told = folder / "batches"
            before = rss_bytes(pid)
            forget_peak(pid)
            print("time to first byte: median / p99 / max, ms")
            calls = 0
            every: tuple[list[float], list[float]] = ([], [])
            with started("tests.benchmarks.batch_asker", str(port), str(told)) as (asker_pid, _):
                pin(asker_pid, OTHER_CORE)
                for number in range(1, asked.rounds + 1):
                    with paused(asker_pid):
                        quiet, quiet_calls = chats(port, asked.seconds)
                    busy, busy_calls = chats(port, asked.seconds)
                    calls += quiet_calls + busy_calls
                    later = [slow - usual for slow, usual in zip(figures(busy), figures(quiet), strict=True)]
                    every[0].extend(quiet)
                    every[1].extend(busy)
                    print(
                        f"round {number}: alone {shown(figures(quiet))}; beside batches {shown(figures(busy))};"
                        f" later by {shown(later)}"
                    )
            added = (peak_rss_bytes(pid) - before) / MIB
            total = running.usage()["totals"]["requests"]
        lines = [line.split() for line in told.read_text().splitlines()]
    quiet, busy = (figures(sorted(waits)) for waits in every)
    later = [slow - usual for slow, usual in zip(busy, quiet, strict=True)]
    print(f"all: alone {shown(quiet)}; beside batches {shown(busy)}; later by {shown(later)} (at most {GOAL_MS:.0f})")
    sizes = ", ".join(f"{float(took):.0f} s and {int(size) / MIB:.0f} MiB" for took, size in lines)
    print(f"memory +{added:.1f} MiB; {len(lines)} batches answered whole: {sizes or 'none'}")
    if total != asked.rows + calls:
        sys.exit(f"rows {total - asked.rows:,} of {calls:,}")
    print(f"rows {calls:,} of {calls:,}")


if __name__ == "__main__":
    main()

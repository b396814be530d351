"""How the close of a whole ledger slows down the calls of the same broker, of which there are 500 a second.

After each turn with a close its period is removed from the database, which the program itself never does.
"""

import http.client
import json
import os
import sqlite3
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from itertools import pairwise
from pathlib import Path
from statistics import median

from tests.benchmarks.goals import Figure
from tests.benchmarks.loadgen import Load, percentile
from tests.benchmarks.processes import MEASURED_CORE, OTHER_CORE, cpu_s, pin, started
from tests.benchmarks.reports.asker import START_BYTES, TIMEOUT_S
from tests.benchmarks.reports.bench import Bench
from tests.benchmarks.reports.beside_calls import P50, P99, Pair
from tests.benchmarks.reports.files import copied, url
from tests.benchmarks.reports.rows import LAST_AT
from tests.benchmarks.scenarios import Scenario, scenarios, settings
from tests.benchmarks.turns import Candidate, turn
from tests.e2e_support import started_broker

CALLS_PER_S, AT_ONCE = 500, 16
IDLE_S, IDLE_CHECKS = 0.3, 200
BUSY_S = 60


def measure(bench: Bench) -> list[Figure]:
    """Put one broker under load, in turns without a close and turns that begin with one."""
    cores = os.sched_getaffinity(0)
    pin(os.getpid(), OTHER_CORE)
    try:
        pairs, closes_ms = _rounds(bench)
    finally:
        os.sched_setaffinity(0, cores)
    for which, name in enumerate(("without a close", "with a close")):
        p50, p99 = (median(percentile(pair[which].took_ms, part) for pair in pairs) for part in (P50, P99))
        rate = median(len(pair[which].took_ms) / pair[which].window_s for pair in pairs)
        print(f"{rate:,.0f} calls/s, {name}: p50 {p50:.2f} ms, p99 {p99:.2f} ms")
    ratio = median(_ratio(quiet, busy) for quiet, busy in pairs)
    itself = median(_ratio(one[0], other[0]) for one, other in pairwise(pairs))
    print(f"p99 of two turns without a close: {itself:.2f}")
    return [
        Figure(f"close of {bench.rows:,} calls", median(closes_ms) / 1000, "s"),
        Figure(f"p99 of {CALLS_PER_S} calls/s with a close : without", ratio, "x", 1.2, 1.1),
    ]


def _ratio(quiet: Load, busy: Load) -> float:
    return percentile(busy.took_ms, P99) / percentile(quiet.took_ms, P99)


def _wait_until_idle(pid: int) -> None:
    """Wait until a process has hardly used its core for a moment."""
    for _ in range(IDLE_CHECKS):
        before = cpu_s(pid)
        time.sleep(IDLE_S)
        if cpu_s(pid) - before < IDLE_S / 20:
            return
    raise AssertionError("the broker is never idle")


def _close(port: int) -> float:
    """Close all calls of the ledger; return the milliseconds."""
    body = json.dumps({"reference": "all", "until": LAST_AT, "tz": "Europe/Zurich"}).encode()
    began = time.perf_counter()
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)) as connection:
        connection.request("POST", "/billing/close", body, {"content-type": "application/json"})
        answer = connection.getresponse()
        start = answer.read()[:START_BYTES]
    assert answer.status == 200, start
    return (time.perf_counter() - began) * 1000


def _reopen(ledger: Path) -> None:
    with closing(sqlite3.connect(ledger, timeout=BUSY_S)) as database:
        with database:
            database.execute("DELETE FROM billing_lines")
            database.execute("DELETE FROM billing_periods")
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _rounds(bench: Bench) -> tuple[Sequence[Pair], Sequence[float]]:
    scenario: Scenario = scenarios([AT_ONCE])[0]
    pairs: list[Pair] = []
    with ExitStack() as stack:
        ledger = stack.enter_context(copied(bench.folded(bench.plan)))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hb-")))
        provider_pid, provider_port = stack.enter_context(started("tests.benchmarks.provider"))
        pin(provider_pid, OTHER_CORE)
        config = folder / "hero-broker.toml"
        config.write_text(settings(f"http://127.0.0.1:{provider_port}/v1"))
        arguments = ("--config", str(config), "--database", url(ledger))
        running = stack.enter_context(started_broker(folder / "state", *arguments))
        pin(running.process.pid, MEASURED_CORE)
        candidate = Candidate(running.process.pid, int(running.url.rpartition(":")[2]), running)
        closer = stack.enter_context(ThreadPoolExecutor(1))
        closes_ms: list[float] = []
        calls = 0
        for _ in range(bench.rounds):
            _wait_until_idle(running.process.pid)
            quiet = turn(candidate, [], scenario, bench.seconds, calls_per_s=CALLS_PER_S)
            closed = closer.submit(_close, candidate.port)
            busy = turn(candidate, [], scenario, bench.seconds, calls_per_s=CALLS_PER_S)
            closes_ms.append(closed.result(TIMEOUT_S))
            _reopen(ledger)
            pairs.append((quiet, busy))
            calls += quiet.answered + busy.answered
        requests = running.usage()["totals"]["requests"]
        assert requests == bench.rows + calls, f"rows {requests - bench.rows} of {calls}"
    print(f"rows {calls:,} of {calls:,}; {len(closes_ms):,} closes, median {median(closes_ms) / 1000:.2f} s")
    return pairs, closes_ms

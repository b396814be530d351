"""How the close of a whole ledger slows down the calls of the same broker, of which there are 500 a second."""

import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from statistics import median

from tests.benchmarks.goals import Figure
from tests.benchmarks.loadgen import Load, percentile
from tests.benchmarks.processes import MEASURED_CORE, OTHER_CORE, cpu_s, paused, pin, started
from tests.benchmarks.reports.bench import Bench
from tests.benchmarks.reports.beside_calls import P50, P99, Pair
from tests.benchmarks.reports.files import copied, url
from tests.benchmarks.scenarios import Scenario, scenarios, settings
from tests.benchmarks.turns import Candidate, turn
from tests.e2e_support import started_broker

CALLS_PER_S, AT_ONCE = 500, 16
IDLE_S, IDLE_CHECKS = 0.3, 200


def measure(bench: Bench) -> list[Figure]:
    """Put one broker under load, with closes that follow each other and without in turn."""
    cores = os.sched_getaffinity(0)
    pin(os.getpid(), OTHER_CORE)
    try:
        pairs, closes_ms = _rounds(bench)
    finally:
        os.sched_setaffinity(0, cores)
    for which, name in enumerate(("without closes", "with closes")):
        p50, p99 = (median(percentile(pair[which].took_ms, part) for pair in pairs) for part in (P50, P99))
        rate = median(len(pair[which].took_ms) / pair[which].window_s for pair in pairs)
        print(f"{rate:,.0f} calls/s, {name}: p50 {p50:.2f} ms, p99 {p99:.2f} ms")
    ratio = median(_ratio(quiet, busy) for quiet, busy in pairs)
    itself = median(_ratio(one[0], other[0]) for one, other in pairwise(pairs))
    print(f"p99 of two turns without closes: {itself:.2f}")
    return [
        Figure(f"close of {bench.rows:,} calls", median(closes_ms) / 1000, "s"),
        Figure(f"p99 of {CALLS_PER_S} calls/s with closes : without", ratio, "x", 1.2, 1.1),
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
        told = folder / "closes"
        closer = ("tests.benchmarks.reports.closer", str(candidate.port), str(ledger), str(told))
        closer_pid, _ = stack.enter_context(started(*closer))
        pin(closer_pid, OTHER_CORE)
        calls = 0
        for _ in range(bench.rounds):
            with paused(closer_pid):
                _wait_until_idle(running.process.pid)  # a close that has begun goes on
                quiet = turn(candidate, [], scenario, bench.seconds, calls_per_s=CALLS_PER_S)
            busy = turn(candidate, [], scenario, bench.seconds, calls_per_s=CALLS_PER_S)
            pairs.append((quiet, busy))
            calls += quiet.answered + busy.answered
        closes_ms = [float(line) for line in told.read_text().splitlines()]
        requests = running.usage()["totals"]["requests"]
        assert requests == bench.rows + calls, f"rows {requests - bench.rows} of {calls}"
    print(f"rows {calls:,} of {calls:,}; {len(closes_ms):,} closes, median {median(closes_ms) / 1000:.2f} s")
    return pairs, closes_ms

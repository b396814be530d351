"""How reports that run back to back slow down the calls of the same broker."""

import os
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from tests.benchmarks.goals import Figure
from tests.benchmarks.loadgen import Load, percentile
from tests.benchmarks.processes import MEASURED_CORE, OTHER_CORE, paused, pin, started
from tests.benchmarks.reports.bench import Bench
from tests.benchmarks.reports.files import copied, url
from tests.benchmarks.scenarios import Scenario, scenarios, settings
from tests.benchmarks.turns import Candidate, turn
from tests.e2e_support import started_broker

AT_ONCE = (1, 16)
P50, P99 = 0.5, 0.99

Pair = tuple[Load, Load]  # without reports, with reports


def measure(bench: Bench) -> list[Figure]:
    """Put one broker under load, with reports and without in turn; each call must have its row."""
    cores = os.sched_getaffinity(0)
    pin(os.getpid(), OTHER_CORE)
    try:
        found = _rounds(bench)
    finally:
        os.sched_setaffinity(0, cores)
    figures = []
    for scenario, pairs in found.items():
        for which, name in enumerate(("without reports", "with reports")):
            p50, p99 = (median(percentile(pair[which].took_ms, part) for pair in pairs) for part in (P50, P99))
            rate = median(len(pair[which].took_ms) / pair[which].window_s for pair in pairs)
            print(f"{scenario.title}, {name}: {rate:,.0f} calls/s; p50 {p50:.2f} ms, p99 {p99:.2f} ms")
        ratio = median(percentile(busy.took_ms, P99) / percentile(quiet.took_ms, P99) for quiet, busy in pairs)
        figures.append(Figure(f"p99 of calls with reports : without, {scenario.at_once} at once", ratio, "x", 1.5, 1.1))
    return figures


def _rounds(bench: Bench) -> Mapping[Scenario, list[Pair]]:
    loads = [one for one in scenarios(list(AT_ONCE)) if not one.events]
    found: dict[Scenario, list[Pair]] = {scenario: [] for scenario in loads}
    calls = 0
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
        told = folder / "reports"
        asker = ("tests.benchmarks.reports.asker", str(candidate.port), bench.ips[0], str(told))
        asker_pid, _ = stack.enter_context(started(*asker))
        pin(asker_pid, OTHER_CORE)
        for _ in range(bench.rounds):
            for scenario in loads:
                with paused(asker_pid):
                    quiet = turn(candidate, [], scenario, bench.seconds)
                busy = turn(candidate, [], scenario, bench.seconds)
                found[scenario].append((quiet, busy))
                calls += quiet.answered + busy.answered
        took_ms = sorted(map(float, told.read_text().splitlines()))
        requests = running.usage()["totals"]["requests"]
        assert requests == bench.rows + calls, f"rows {requests - bench.rows} of {calls}"
    p50, p99 = (percentile(took_ms, part) for part in (P50, P99))
    print(f"rows {calls:,} of {calls:,}; {len(took_ms):,} reports, p50 {p50:.1f} ms, p99 {p99:.1f} ms")
    return found

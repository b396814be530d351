"""Reports by label beside the same reports by address, with 200 labels on networks within each other."""

import asyncio
import random
import time
from collections.abc import Sequence
from ipaddress import ip_network
from statistics import median

from hero_broker.core.addresses import UNKNOWN
from hero_broker.core.clock import SystemClock
from hero_broker.core.labels import Label, canonical_target
from hero_broker.core.queries import Dimension, UsageQuery
from hero_broker.core.records import UsageReport
from hero_broker.reports.labels import LabelBook
from hero_broker.reports.usage import Reports
from hero_broker.store import labels
from hero_broker.store.database import Database, open_database
from tests.benchmarks.goals import Figure
from tests.benchmarks.reports.bench import Bench
from tests.benchmarks.reports.files import copied, url, warm
from tests.benchmarks.reports.windows import ALL_TIME, Window, windows

LABELS, DEPARTMENTS = 200, 50
BITS = {4: (8, 12, 16, 24, 32), 6: (10, 12, 16, 64, 128)}  # of the networks


def measure(bench: Bench) -> list[Figure]:
    """Find the largest ratio of the windows: all of them run once, the one with the largest in every round."""
    figures = []
    with copied(bench.folded(bench.plan)) as ledger, open_database(url(ledger)) as database:
        warm(ledger)
        _name(database, bench.ips)
        clock = SystemClock()
        reports = Reports(database, LabelBook(database, clock), clock)
        for more in ((), (Dimension.MODEL,)):
            worst = max((ALL_TIME, *windows()), key=lambda window: _ratio(reports, window, more))
            ratio = median(_ratio(reports, worst, more) for _ in range(bench.rounds))
            what = "+".join(("label", *more))
            print(f"by {what}: {ratio:.2f} times as long as by {'+'.join(('ip', *more))}, in {worst}")
            figures.append(Figure(f"report by {what} : by address, worst window", ratio, "x", 1.5, 1.0))
        reports.close()
    return figures


def _name(database: Database, ips: Sequence[str]) -> None:
    source = random.Random(1)  # noqa: S311 - data that can be made again, no secrets
    targets: dict[str, str] = {}
    while len(targets) < LABELS:
        ip = source.choice(ips)
        if ip != UNKNOWN:
            bits = source.choice(BITS[6 if ":" in ip else 4])
            target = canonical_target(str(ip_network(f"{ip}/{bits}", strict=False)))
            targets[target] = f"department {source.randrange(DEPARTMENTS)}"
    with database.writing() as connection:
        labels.put_many(connection, [Label(target, label, 0) for target, label in targets.items()])


def _ratio(reports: Reports, window: Window, more: Sequence[Dimension]) -> float:
    """Return how many times as long a report by label takes as that by address; their totals must be equal."""
    (by_ip_ms, by_ip), (by_label_ms, by_label) = (
        _ask(reports, UsageQuery(group_by=(dimension, *more), since=window.since, until=window.until))
        for dimension in (Dimension.IP, Dimension.LABEL)
    )
    assert by_ip.totals == by_label.totals
    assert by_label.more or sum(one.totals.cost_nano_usd for one in by_label.groups) == by_ip.totals.cost_nano_usd
    return by_label_ms / by_ip_ms


def _ask(reports: Reports, query: UsageQuery) -> tuple[float, UsageReport]:
    began = time.perf_counter()
    report = asyncio.run(reports.usage(query))
    return (time.perf_counter() - began) * 1000, report

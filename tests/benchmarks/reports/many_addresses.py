"""`usage_by_ip` of a ledger with an address for every ten rows: its first page, whole and short."""

from statistics import median

from tests.benchmarks.goals import Figure
from tests.benchmarks.reports.bench import Bench
from tests.benchmarks.reports.candidates import DUCKDB, duckdb, ours
from tests.benchmarks.reports.files import warm
from tests.benchmarks.reports.questions import PAGE, ByIp
from tests.benchmarks.reports.rounds import ask_some, check
from tests.benchmarks.reports.windows import ALL_TIME, windows

PAGES = (PAGE, 100)


def measure(bench: Bench) -> list[Figure]:
    """Find the slowest window for each size of page: all run once, the slowest of each length in every round."""
    plan = bench.many_addresses
    source, folded = bench.source(plan), bench.folded(plan)
    warm(folded)
    figures = []
    with ours(folded) as candidate, duckdb(bench.folder, source) as rival:
        for size in PAGES:
            slowest: dict[str, tuple[float, ByIp]] = {}
            for question in (ByIp(window, size) for window in (ALL_TIME, *windows())):
                took_ms, answer = ask_some(candidate, question)
                if rival is not None:
                    check(question, DUCKDB, answer, rival.ask(question)[1])
                slowest.setdefault(question.window.title, (0, question))
                if took_ms > slowest[question.window.title][0]:
                    slowest[question.window.title] = took_ms, question
            medians = {
                title: median(ask_some(candidate, question)[0] for _ in range(bench.rounds))
                for title, (_, question) in slowest.items()
            }
            what = f"usage_by_ip, {plan.addresses:,} addresses, page of {size:,}"
            print(f"{what}: {'; '.join(f'{title} {took_ms:,.0f} ms' for title, took_ms in medians.items())}")
            figures.append(Figure(f"{what}, slowest window", max(medians.values()), "ms", 2000, 300))
    return figures

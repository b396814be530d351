"""`usage_for_ip` of the address with the most calls, and of one with few."""

from tests.benchmarks.goals import Figure
from tests.benchmarks.reports.bench import Bench
from tests.benchmarks.reports.candidates import OURS, candidates
from tests.benchmarks.reports.questions import ForIp
from tests.benchmarks.reports.rounds import ask_beside
from tests.benchmarks.reports.windows import ALL_TIME, month, windows

GOALS = {"heavy": (5.0, 2.0), "light": (0.5, 0.2)}


def measure(bench: Bench) -> list[Figure]:
    """Compare the candidates; the slowest of all time and of some windows of 30 days counts."""
    asked = [ALL_TIME, month(), *(window for window in windows() if window.title == "30 d")]
    figures = []
    with candidates(bench.folder, bench.source(bench.plan), bench.folded(bench.plan)) as found:
        for which, ip in {"heavy": bench.ips[0], "light": bench.ips[-1]}.items():
            seen = []
            for window in asked:
                seen.append(ask_beside(found, ForIp(ip, window), bench.rounds))
                print(f"usage_for_ip, {which}, {window.title}: {seen[-1].shown()}")
            worst = max(times.ms(OURS) for times in seen)
            figures.append(Figure(f"usage_for_ip, {which} address, all time or 30 d", worst, "ms", *GOALS[which]))
    return figures

"""`usage_by_ip` beside other databases: of all time, and of windows whose edges lie inside hours."""

from tests.benchmarks.goals import Figure
from tests.benchmarks.reports.bench import Bench
from tests.benchmarks.reports.candidates import DUCKDB, OURS, PLAIN, POSTGRESQL, candidates
from tests.benchmarks.reports.questions import ByIp
from tests.benchmarks.reports.rounds import Times, ask_beside, ask_in_turn
from tests.benchmarks.reports.windows import ALL_TIME, Window, windows


def measure_all_time(bench: Bench) -> list[Figure]:
    """Compare the candidates."""
    with candidates(bench.folder, bench.source(bench.plan), bench.folded(bench.plan)) as found:
        times = ask_in_turn(found, ByIp(ALL_TIME), bench.rounds, slow=[PLAIN], slow_rounds=bench.slow_rounds)
    print(f"usage_by_ip, all time: {times.shown()}")
    goals = {PLAIN: (800, 2000), DUCKDB: (4, 10), POSTGRESQL: (None, None)}
    return [
        Figure(f"usage_by_ip, all time: {name} : ours", times.ratio(name, OURS), "x", *goal, larger_is_better=True)
        for name, goal in goals.items()
        if name in times.by_name
    ]


def measure_windows(bench: Bench) -> list[Figure]:
    """Find the window that takes longest; the plain candidate, which takes as long for each as for all, sits out."""
    seen: list[tuple[Window, Times]] = []
    with candidates(bench.folder, bench.source(bench.plan), bench.folded(bench.plan)) as found:
        asked = {name: one for name, one in found.items() if name != PLAIN}
        seen.extend((window, ask_beside(asked, ByIp(window), bench.rounds)) for window in windows())
    print("usage_by_ip, slowest window of each length:")
    for title in dict.fromkeys(window.title for window, _ in seen):
        slowest = max((times for window, times in seen if window.title == title), key=lambda times: times.ms(OURS))
        print(f"  {title:>5}: {slowest.shown()}")
    window, worst = max(seen, key=lambda one: one[1].ms(OURS))
    print(f"  slowest of all: {window}")
    return [Figure("usage_by_ip, slowest window from 1 h to 90 d", worst.ms(OURS), "ms", 300, 100)]

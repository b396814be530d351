"""Whether reports take longer the more rows there are: each on ten times the rows."""

from contextlib import ExitStack

from tests.benchmarks.goals import Figure
from tests.benchmarks.reports.bench import SMALLER, Bench
from tests.benchmarks.reports.candidates import Candidate, duckdb, ours
from tests.benchmarks.reports.questions import DAY, By, ByIp, ForIp, Question
from tests.benchmarks.reports.rounds import Times, ask_some, check
from tests.benchmarks.reports.windows import ALL_TIME, month


def questions(bench: Bench) -> dict[str, Question]:
    """Return every report that roll-ups answer."""
    return {
        "usage_by_ip, all time": ByIp(ALL_TIME),
        "usage_by_ip, 30 d": ByIp(month()),
        "usage_for_ip, all time": ForIp(bench.ips[0], ALL_TIME),
        "usage_for_ip, 30 d": ForIp(bench.ips[0], month()),
        **{
            f"usage by {column}, {window.title}": By(column, window)
            for column in ("model", "provider", "kind", DAY)
            for window in (ALL_TIME, month())
        },
    }


def measure(bench: Bench) -> list[Figure]:
    """Ask both ledgers in turn; the larger one's answers are compared with DuckDB's."""
    figures = []
    few, many = f"{bench.rows // SMALLER:,} rows", f"{bench.rows:,} rows"
    with ExitStack() as stack:
        ledgers: dict[str, Candidate] = {
            few: stack.enter_context(ours(bench.folded(bench.smaller))),
            many: stack.enter_context(ours(bench.folded(bench.plan))),
        }
        rival = stack.enter_context(duckdb(bench.folder, bench.source(bench.plan)))
        for what, question in questions(bench).items():
            times = Times({name: [] for name in ledgers})
            for number in range(bench.rounds + 1):
                for name, ledger in ledgers.items():
                    took_ms, answer = ask_some(ledger, question)
                    if number:  # after the first round, what it needs is in memory
                        times.by_name[name].append(took_ms)
            if rival is not None:  # of the larger ledger, which was asked last
                check(question, many, rival.ask(question)[1], answer)
            print(f"{what}: {times.shown()}")
            figures.append(Figure(f"{what}: {SMALLER} x rows : rows", times.ratio(many, few), "x", 1.5, 1.1))
    return figures

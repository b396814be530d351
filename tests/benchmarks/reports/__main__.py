"""What reports cost on a ledger of ten million rows, held against goals. `python -m tests.benchmarks.reports`.

Ledgers are made from a seed and kept in a folder, with the same rows in PostgreSQL and, where it is installed, DuckDB:
some 25 GB for ten million rows, made within the hour. Candidates answer in turn, round by round, and must give equal
answers; medians, and medians of the ratios within a round, are printed, because on a shared machine an absolute time
means little. What is slow by nature is asked once unless told otherwise.
"""

import argparse
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.benchmarks.goals import Figure, table
from tests.benchmarks.reports import (
    beside_calls,
    by_ip,
    by_label,
    closing,
    for_ip,
    growth,
    many_addresses,
    size,
    wal,
    writing,
)
from tests.benchmarks.reports.bench import Bench
from tests.benchmarks.reports.files import alone

FOLDER = Path(__file__).parents[3] / "build" / "reports"
MEASURES: Mapping[int, Callable[[Bench], list[Figure]]] = {
    1: by_ip.measure_all_time,
    2: by_ip.measure_all_time,
    3: by_ip.measure_windows,
    4: for_ip.measure,
    5: writing.measure,
    6: growth.measure,
    7: many_addresses.measure,
    8: wal.measure,
    9: size.measure,
    10: beside_calls.measure,
    11: by_label.measure,
    12: closing.measure,
}


def main() -> None:
    """Measure and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--only", default=",".join(map(str, MEASURES)), help="the figures' numbers, such as 1,3")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where ledgers are kept")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--slow-rounds", type=int, default=1, help="of them, with the plain GROUP BY over all rows")
    parser.add_argument("--seconds", type=float, default=5.0, help="under load, for each round and kind of load")
    asked = parser.parse_args()
    bench = Bench(asked.folder.resolve(), asked.rows, asked.rounds, asked.slow_rounds, asked.seconds)
    measures = dict.fromkeys(MEASURES[int(number)] for number in asked.only.split(","))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # servers are stopped, and copies removed
    figures: list[Figure] = []
    with alone(bench.folder):
        try:
            for measure in measures:
                figures.extend(measure(bench))
        finally:
            print(f"\n{table(figures)}")


if __name__ == "__main__":
    main()

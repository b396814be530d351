"""What folding takes of the rows per second that the store takes."""

import random
import time
from collections.abc import Iterable, Iterator, Sequence
from statistics import median

from hero_broker.core.records import PriceRecord, RequestLog
from hero_broker.ledger.ledger import FOLD_EVERY_S, FOLD_ROWS, FOLD_ROWS_LEAST, FOLD_STEP_S
from hero_broker.store.database import Database, open_database
from tests.benchmarks.goals import Figure
from tests.benchmarks.reports.bench import Bench
from tests.benchmarks.reports.files import copied, url
from tests.stores import query

ROUND_ROWS = 60_000
GROUP_ROWS = (100, 500)  # from, to


def groups(records: Sequence[RequestLog], seed: int) -> Iterator[Sequence[RequestLog]]:
    """Cut rows into groups as they reach the writer."""
    source = random.Random(seed)  # noqa: S311 - sizes that can be made again, no secrets
    first = 0
    while first < len(records):
        size = source.randint(*GROUP_ROWS)
        yield records[first : first + size]
        first += size


class _Folds:
    """Folds as often as the ledger's writer does, in steps of the same size."""

    def __init__(self, database: Database) -> None:
        self.longest_s = 0.0
        self._database = database
        self._waiting = 0
        self._step_rows = FOLD_ROWS
        self._due_at = time.monotonic() + FOLD_EVERY_S

    def after(self, rows: int) -> None:
        """Take a step if it is due after so many more rows."""
        self._waiting += rows
        if self._waiting < self._step_rows and time.monotonic() < self._due_at:
            return
        self._waiting = 0
        is_behind, took_s = self._step()
        self._due_at = time.monotonic() + (0 if is_behind else FOLD_EVERY_S)
        if took_s > FOLD_STEP_S:
            self._step_rows = max(FOLD_ROWS_LEAST, int(self._step_rows * FOLD_STEP_S / took_s))
        elif is_behind:
            self._step_rows = min(FOLD_ROWS, self._step_rows * 2)

    def all(self) -> None:
        """Take all steps that are left."""
        while self._database.fold(FOLD_ROWS):
            continue

    def _step(self) -> tuple[bool, float]:
        began = time.monotonic()
        done = self._database.fold(self._step_rows)
        took_s = time.monotonic() - began
        self.longest_s = max(self.longest_s, took_s)
        return done >= self._step_rows, took_s


def append_s(
    database: Database, parts: Iterable[Sequence[RequestLog]], prices: Sequence[PriceRecord], folds: _Folds | None
) -> float:
    """Append groups; return the seconds until all are stored, and in the roll-ups if there are `folds`."""
    began = time.perf_counter()
    for part in parts:
        database.append(part, prices)
        if folds is not None:
            folds.after(len(part))
    if folds is not None:
        folds.all()
    return time.perf_counter() - began


def measure(bench: Bench) -> list[Figure]:
    """Append to one file in turn, with folds and without; what was not folded is folded in between."""
    ratios, rates = [], []
    longest_s = 0.0
    prices = [model.price for model in bench.plan.models]
    position = bench.rows
    with copied(bench.folded(bench.plan)) as path, open_database(url(path)) as database:
        for number in range(bench.rounds):
            took: dict[bool, float] = {}
            for with_folds in (False, True) if number % 2 else (True, False):
                records = [one for batch in bench.plan.records(position, ROUND_ROWS) for one in batch]
                position += ROUND_ROWS
                parts = list(groups(records, number))
                folds = _Folds(database)
                took[with_folds] = append_s(database, parts, prices, folds if with_folds else None)
                longest_s = max(longest_s, folds.longest_s)
                folds.all()
            ratios.append(took[False] / took[True])
            rates.append((ROUND_ROWS / took[False], ROUND_ROWS / took[True]))
        count = query(url(path), "SELECT count(*) FROM request_logs")[0][0]
    assert count == position, f"{count} rows of {position}"
    without, with_folds_too = (median(one[which] for one in rates) for which in (0, 1))
    print(f"rows/s: {without:,.0f} without folds, {with_folds_too:,.0f} with; longest fold {longest_s * 1000:,.0f} ms")
    return [Figure("rows/s with folds : without", median(ratios), "x", 0.6, 0.9, larger_is_better=True)]

"""What was spent before the start is known at once, or as soon as the database answers."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest
from sqlalchemy import Connection

from hero_broker.core.calls import Caller
from hero_broker.core.clock import SystemClock
from hero_broker.core.errors import BrokerError, BudgetExceeded, LimitsUnavailable, StoreUnavailable
from hero_broker.core.records import RequestLog
from hero_broker.limits.admission import Admission
from hero_broker.limits.counters import BudgetCounter, Used
from hero_broker.limits.limit import Dimensions, Limit
from hero_broker.reports.labels import LabelBook
from hero_broker.server.budget_loading import BudgetLoading
from hero_broker.store.database import Database, open_database
from tests.ledger.rows import row

NOW = 1_796_000_000
MONTH = Limit("month", "usd", 100_000, per=("ip",), window="month")
CALL = Dimensions("127.0.0.1", None, "llama-3.3-70b", "groq", "chat")


def spent(admission: Admission) -> int:
    counter = admission.limits[0].counter(CALL)
    assert isinstance(counter, BudgetCounter)
    return counter.at(NOW).spent


def error(admission: Admission, cost: int) -> type[BrokerError] | None:
    """Return why a call is refused that may cost this much."""
    slot = admission.enter(Caller(CALL.ip, None))
    try:
        admission.admit(slot, *CALL[:5], NOW, lambda _hold: Used(cost, 0, 0))  # type: ignore[arg-type]
    except BrokerError as refused:
        return type(refused)
    finally:
        slot.end()
    return None


def load(admission: Admission, database: Database, recovered: list[RequestLog]) -> None:
    async def main() -> None:
        async with BudgetLoading(admission, database, recovered, LabelBook(database, SystemClock()).names).running():
            pass

    asyncio.run(main())


def test_rows_of_ledger_and_journal_count_once(database_url: str) -> None:
    both, waiting = row(started_at=NOW), row(started_at=NOW - 1, cost_nano_usd=7)
    earlier = row(started_at=NOW - 40 * 86_400)
    admission = Admission([MONTH], now=lambda: NOW)
    with open_database(database_url) as database:
        database.append([both, row(started_at=NOW - 60), earlier], [])
        load(admission, database, [both, waiting, earlier])

    assert spent(admission) == 2 * 25_970 + 7
    assert error(admission, 100_000 - spent(admission)) is None
    assert error(admission, 100_000 - spent(admission) + 1) is BudgetExceeded


class FailingDatabase:
    """A database that does not answer at first."""

    def __init__(self, database: Database, failures: int) -> None:
        self._database = database
        self._failures = failures

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Fail, or read."""
        self._failures -= 1
        if self._failures >= 0:
            raise StoreUnavailable("no answer")
        with self._database.reading() as connection:
            yield connection


@pytest.mark.parametrize("failures", [1, 3])
def test_budgets_refuse_until_the_database_answers(tmp_path: Path, failures: int) -> None:
    admission = Admission([MONTH], now=lambda: NOW)

    async def main(database: Database) -> tuple[object, bool, int]:
        failing = cast(Database, FailingDatabase(database, failures))
        loading = BudgetLoading(admission, failing, [], LabelBook(database, SystemClock()).names, retry_s=0.001)
        async with loading.running():
            refused, is_failing = error(admission, 1), loading.loading.is_failing
            ends_at = time.monotonic() + 20
            while error(admission, 1) is not None:
                assert time.monotonic() < ends_at
                await asyncio.sleep(0)
            assert not loading.loading.is_failing
            return refused, is_failing, loading.loading.failures

    with open_database(f"sqlite:///{tmp_path / 'ledger.db'}") as database:
        database.append([row(started_at=NOW)], [])
        refused, is_failing, count = asyncio.run(main(database))

    assert (refused, is_failing, count) == (LimitsUnavailable, True, failures)
    assert spent(admission) == 25_970


def test_end_ends_the_attempts(tmp_path: Path) -> None:
    admission = Admission([MONTH], now=lambda: NOW)
    with open_database(f"sqlite:///{tmp_path / 'ledger.db'}") as database:
        load(admission, cast(Database, FailingDatabase(database, 1000)), [])

    assert error(admission, 1) is LimitsUnavailable

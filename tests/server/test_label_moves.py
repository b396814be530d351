"""After a change of labels, a budget counts what the report by label says."""

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest
from sqlalchemy import Connection

from hero_broker.core.calls import Caller
from hero_broker.core.clock import SystemClock
from hero_broker.core.errors import StoreUnavailable
from hero_broker.core.ids import new_request_id
from hero_broker.core.labels import LabelIndex
from hero_broker.core.queries import Dimension, UsageQuery
from hero_broker.ledger.journal import Journal
from hero_broker.ledger.ledger import Ledger
from hero_broker.ledger.rows import PendingRow
from hero_broker.limits.admission import Admission
from hero_broker.limits.counters import BudgetCounter, Used
from hero_broker.limits.limit import Dimensions, Limit, LimitMatch
from hero_broker.metering.billing_row import interrupted_row
from hero_broker.reports.labels import LabelBook
from hero_broker.reports.usage import Reports
from hero_broker.server.budget_loading import BudgetLoading
from hero_broker.server.label_moves import LabelMoves
from hero_broker.store.database import Database, open_database
from tests.ledger.rows import note_of, row
from tests.waits import wait_until

NOW = 1_796_000_000  # 2026-11-30T00:53:20Z
MONTH_BEGINS, MONTH_ENDS = 1_793_491_200, 1_796_083_200
EACH = Limit("each", "usd", 10**15, per=("label",), window="month")
LAB = Limit("lab", "usd", 10**15, LimitMatch(label="lab", kind="chat"), window="month")
IPS = [f"10.0.0.{number}" for number in range(1, 7)]


class Running:
    """A ledger with its labels, and limits that follow them."""

    def __init__(self, database: Database, ledger: Ledger, *limits: Limit) -> None:
        self.database, self.ledger = database, ledger
        self.now = NOW
        self.book = LabelBook(database, SystemClock())
        self.reports = Reports(database, self.book, SystemClock())
        self.admission = Admission(limits, now=lambda: self.now)
        self.moves = LabelMoves(self.admission, database, ledger, self.book.names, every_s=0.001)

    async def load(self) -> None:
        async with BudgetLoading(self.admission, self.database, [], self.book.names).running():
            pass

    def call(self, ip: str, cost: int, started_at: int = NOW) -> Callable[[], None]:
        """Begin a call; return what ends it."""
        slot = self.admission.enter(Caller(ip, None))
        one = row(ip=ip, cost_nano_usd=cost, started_at=started_at, request_id=new_request_id())
        call = (one.model, one.provider, one.kind, started_at, lambda _hold: Used(cost, 0, 0))
        self.admission.admit(slot, ip, None, *call)
        self.ledger.begin(note_of(one))

        def end() -> None:
            self.ledger.offer(PendingRow(one, None))
            slot.settle(one)
            slot.end()

        return end

    def spent(self, label: str | None, limit: int = 0) -> int:
        counter = self.admission.limits[limit].counter(Dimensions("", None, "m", "p", "chat", label))
        assert isinstance(counter, BudgetCounter)
        window = counter.at(self.now)
        assert window.held == 0
        return window.spent

    async def reported(self) -> dict[str | None, int]:
        """Return what the report of the month says for each label."""
        await asyncio.to_thread(wait_until, lambda: not self.ledger.pending)
        query = UsageQuery(since=MONTH_BEGINS, until=MONTH_ENDS, group_by=(Dimension.LABEL,))
        report = await self.reports.usage(query)
        return {one.group[0]: one.totals.cost_nano_usd for one in report.groups}

    def close(self) -> None:
        self.book.close()
        self.reports.close()


def journal_in(directory: Path) -> Journal:
    return Journal(directory / "journal", interrupted_row, max_bytes=100_000_000, max_calls=1000)


@contextmanager
def running(url: str, directory: Path, *limits: Limit) -> Iterator[Running]:
    with (
        open_database(url) as database,
        Ledger.running(journal_in(directory), database) as ledger,
    ):
        one = Running(database, ledger, *limits)
        try:
            yield one
        finally:
            one.close()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_budgets_of_labels_are_what_the_report_says_whatever_moves_meanwhile(
    database_url: str, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311 - a walk that can be repeated

    async def walk(one: Running) -> dict[str | None, int]:
        await one.load()
        open_calls: list[Callable[[], None]] = []
        following: list[asyncio.Task[None]] = []
        for step in range(400):
            open_calls.append(
                one.call(chance.choice(IPS), chance.randrange(10**9), NOW - chance.randrange(20 * 86_400))
            )
            if chance.random() < 0.8:
                open_calls.pop(chance.randrange(len(open_calls)))()
            if step % 20 == 0:
                await one.book.set(chance.choice([*IPS, "10.0.0.0/29"]), chance.choice(["lab", "office", "shop"]))
            if step % 7 == 0 and all(task.done() for task in following):
                following.append(asyncio.create_task(one.moves.follow()))
            await asyncio.sleep(0)
        await asyncio.gather(*following)
        await one.moves.follow()
        for end in open_calls:
            end()
        assert not one.moves.following.is_failing
        return await one.reported()

    with running(database_url, tmp_path, EACH, LAB) as one:
        reported = asyncio.run(walk(one))

        assert len(reported) >= 2
        assert {label: one.spent(label) for label in reported} == reported
        assert one.spent("lab", 1) == reported.get("lab", 0)


def test_labels_are_loaded_at_the_start_and_budgets_count_by_them(database_url: str, tmp_path: Path) -> None:
    async def main(one: Running) -> None:
        await one.book.set("10.0.0.0/31", "lab")
        await one.load()

    with running(database_url, tmp_path, EACH) as one:
        calls = [row(ip=ip, cost_nano_usd=5, started_at=NOW) for ip in ("10.0.0.0", "10.0.0.1", "10.0.0.2")]
        one.database.append(calls, [])
        asyncio.run(main(one))

        assert (one.spent("lab"), one.spent(None)) == (10, 5)


def nothing() -> None:
    """Do nothing."""


class Interposed:
    """A database around whose readings something else happens, in the thread that reads."""

    def __init__(self, database: Database, before: Callable[[], None], after: Callable[[], None] = nothing) -> None:
        self._database = database
        self._before = before
        self._after = after

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Do one thing, read, and do the other thing."""
        self._before()
        with self._database.reading() as connection:
            yield connection
        self._after()


@pytest.mark.parametrize("written", [0, 1, 2], ids=["neither", "one", "both"])
def test_rows_count_once_whether_the_database_has_them_or_not(database_url: str, tmp_path: Path, written: int) -> None:
    """No writer runs, so that the journal keeps both rows; the database gets them before it is read."""

    async def main(one: Running) -> None:
        await one.load()
        one.call("10.0.0.1", 7)()
        one.call("10.0.0.1", 8)()
        with one.ledger.copying() as rows:
            waiting = rows[:written]

        def write() -> None:
            one.database.append(waiting, [])

        await one.book.set("10.0.0.1", "lab")
        await LabelMoves(
            one.admission, cast(Database, Interposed(one.database, write)), one.ledger, one.book.names
        ).follow()

    with open_database(database_url) as database:
        one = Running(database, Ledger(journal_in(tmp_path), database), EACH)
        asyncio.run(main(one))
        one.close()

    assert (one.spent("lab"), one.spent(None)) == (15, 0)


def test_call_that_ends_after_the_reading_is_counted(database_url: str, tmp_path: Path) -> None:
    async def main(one: Running) -> None:
        await one.load()
        loop, ends = asyncio.get_running_loop(), [one.call("10.0.0.1", 7), one.call("10.0.0.1", 8)]

        async def end() -> None:
            ends.pop()()

        def end_one() -> None:
            asyncio.run_coroutine_threadsafe(end(), loop).result(20)

        await one.book.set("10.0.0.1", "lab")
        await LabelMoves(
            one.admission, cast(Database, Interposed(one.database, nothing, end_one)), one.ledger, one.book.names
        ).follow()

    with running(database_url, tmp_path, EACH) as one:
        asyncio.run(main(one))

        assert (one.spent("lab"), one.spent(None)) == (15, 0)


def test_window_that_ends_during_the_reading_is_not_counted_twice(tmp_path: Path) -> None:
    async def main(one: Running) -> None:
        await one.load()
        one.call("10.0.0.1", 7)()
        await one.book.set("10.0.0.1", "lab")

        def turn_month() -> None:
            one.now = MONTH_ENDS

        late = LabelMoves(
            one.admission, cast(Database, Interposed(one.database, turn_month)), one.ledger, one.book.names
        )
        before = one.admission.labels
        await late.follow()
        one.call("10.0.0.1", 3, MONTH_ENDS)()
        await late.follow()

        assert isinstance(before, LabelIndex)
        assert one.spent("lab") == 3

    with running(f"sqlite:///{tmp_path / 'ledger.db'}", tmp_path, EACH) as one:
        asyncio.run(main(one))


def test_labels_are_followed_while_it_runs_and_a_silent_database_is_a_failing_duty(tmp_path: Path) -> None:
    failures = iter([True, False])

    def fail_once() -> None:
        if next(failures, False):
            raise StoreUnavailable("no answer")

    def has_label(one: Running) -> bool:
        return one.admission.labels is not None and one.admission.labels.lookup("10.0.0.1") == "lab"

    async def main(one: Running) -> tuple[int, bool]:
        failing = cast(Database, Interposed(one.database, fail_once))
        moves = LabelMoves(one.admission, failing, one.ledger, one.book.names, every_s=0.001)
        await one.load()
        async with moves.running():
            await one.book.set("10.0.0.1", "lab")
            await asyncio.to_thread(wait_until, lambda: has_label(one))
            await asyncio.to_thread(wait_until, lambda: not moves.following.is_failing)
        return moves.following.failures, has_label(one)

    with running(f"sqlite:///{tmp_path / 'ledger.db'}", tmp_path, EACH) as one:
        assert asyncio.run(main(one)) == (1, True)


def test_nothing_is_followed_before_budgets_are_loaded(tmp_path: Path) -> None:
    with running(f"sqlite:///{tmp_path / 'ledger.db'}", tmp_path, EACH) as one:
        asyncio.run(one.moves.follow())

        assert one.admission.labels is None

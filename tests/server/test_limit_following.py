"""What is spent of budgets is known at the start, and is what reports say after labels, periods and limits change."""

import asyncio
import random
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import cast

import pytest
from sqlalchemy import Connection, delete, select

from hero_broker.core.calls import Caller
from hero_broker.core.clock import SystemClock
from hero_broker.core.errors import (
    BrokerError,
    BudgetExceeded,
    LimitsUnavailable,
    RequestExceedsLimit,
    StoreUnavailable,
)
from hero_broker.core.ids import new_request_id
from hero_broker.core.labels import LabelIndex
from hero_broker.core.money import NANO
from hero_broker.core.queries import Dimension, UsageQuery
from hero_broker.ledger.journal import Journal
from hero_broker.ledger.ledger import Ledger
from hero_broker.ledger.rows import PendingRow
from hero_broker.limits.admission import Admission, Slot
from hero_broker.limits.counters import BudgetCounter, Used
from hero_broker.limits.limit import Dimensions, Limit, LimitMatch
from hero_broker.metering.billing_row import interrupted_row
from hero_broker.reports.billing_periods import Books
from hero_broker.reports.labels import LabelBook
from hero_broker.reports.limit_book import LimitBook
from hero_broker.reports.usage import Reports
from hero_broker.server.limit_following import LimitFollowing
from hero_broker.server.limits_copy import LimitsCopy
from hero_broker.settings.limits import read_definition
from hero_broker.store import limit_usage
from hero_broker.store.database import Database, open_database
from hero_broker.store.schema import LIMIT_COUNTS, LIMIT_DEFINITIONS, LIMIT_USAGE
from tests.ledger.rows import note_of, row
from tests.waits import wait_until

NOW = 1_796_000_000  # 2026-11-30T00:53:20Z
MONTH_BEGINS, MONTH_ENDS = 1_793_491_200, 1_796_083_200
EACH = Limit("each", "usd", 10**15, per=("label",), window="month")
LAB = Limit("lab", "usd", 10**15, LimitMatch(label="lab", kind="chat"), window="month")
IPS = [f"10.0.0.{number}" for number in range(1, 7)]


def defined(name: str, definition: str) -> Limit:
    """Return a limit that is set while the broker runs."""
    return read_definition(name, definition, ["groq"], may_share_ledger=False)


class Running:
    """A ledger with its labels, and limits that follow them."""

    def __init__(self, database: Database, ledger: Ledger, directory: Path, *limits: Limit) -> None:
        self.database, self.ledger = database, ledger
        self.now = NOW
        self.book = LabelBook(database, SystemClock())
        self.reports = Reports(database, self.book, SystemClock())
        self.admission = Admission(limits, now=lambda: self.now)
        self.limits = LimitBook(database, SystemClock(), limits, defined)
        self.copy = LimitsCopy(self.limits, directory)
        self.changes = 0
        self.slots: list[Slot] = []
        self.following = self.follower(database)

    def follower(self, database: object) -> LimitFollowing:
        follower = LimitFollowing(
            self.admission,
            cast(Database, database),
            self.ledger,
            self.book.names,
            self.copy.current,
            self.use_limits,
            self.copy.kept,
            every_s=0.001,
        )
        self.limits.on_change = follower.use_definitions
        return follower

    def use_limits(self) -> None:
        self.changes += 1
        for slot in self.slots:
            slot.expect_row()

    def call(self, ip: str, cost: int, started_at: int = NOW) -> Callable[[], None]:
        """Begin a call; return what ends it."""
        slot = self.admission.enter(Caller(ip, None))
        self.slots.append(slot)
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
        self.limits.close()
        self.reports.close()


def journal_in(directory: Path) -> Journal:
    return Journal(directory / "journal", interrupted_row, max_bytes=100_000_000, max_calls=1000)


@contextmanager
def running(url: str, directory: Path, *limits: Limit) -> Iterator[Running]:
    with (
        open_database(url) as database,
        Ledger.running(journal_in(directory), database) as ledger,
    ):
        one = Running(database, ledger, directory, *limits)
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
        await one.following.follow()
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
                following.append(asyncio.create_task(one.following.follow()))
            await asyncio.sleep(0)
        await asyncio.gather(*following)
        await one.following.follow()
        for end in open_calls:
            end()
        assert not one.following.following.is_failing
        return await one.reported()

    with running(database_url, tmp_path, EACH, LAB) as one:
        reported = asyncio.run(walk(one))

        assert len(reported) >= 2
        assert {label: one.spent(label) for label in reported} == reported
        assert one.spent("lab", 1) == reported.get("lab", 0)


def test_labels_are_loaded_at_the_start_and_budgets_count_by_them(database_url: str, tmp_path: Path) -> None:
    async def main(one: Running) -> None:
        await one.book.set("10.0.0.0/31", "lab")
        await one.following.follow()

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

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Write."""
        with self._database.writing() as connection:
            yield connection


@pytest.mark.parametrize("written", [0, 1, 2], ids=["neither", "one", "both"])
def test_rows_count_once_whether_the_database_has_them_or_not(database_url: str, tmp_path: Path, written: int) -> None:
    """No writer runs, so that the journal keeps both rows; the database gets them before it is read."""

    async def main(one: Running) -> None:
        await one.following.follow()
        one.call("10.0.0.1", 7)()
        one.call("10.0.0.1", 8)()
        with one.ledger.copying() as rows:
            waiting = rows[:written]

        def write() -> None:
            one.database.append(waiting, [])

        await one.book.set("10.0.0.1", "lab")
        await one.follower(Interposed(one.database, write)).follow()

    with open_database(database_url) as database:
        one = Running(database, Ledger(journal_in(tmp_path), database), tmp_path, EACH)
        asyncio.run(main(one))
        one.close()

    assert (one.spent("lab"), one.spent(None)) == (15, 0)


def test_call_that_ends_after_the_reading_is_counted(database_url: str, tmp_path: Path) -> None:
    async def main(one: Running) -> None:
        await one.following.follow()
        loop, ends = asyncio.get_running_loop(), [one.call("10.0.0.1", cost) for cost in (1, 2, 4, 8, 16)]

        async def end() -> None:
            if ends:
                ends.pop()()

        def end_one() -> None:
            asyncio.run_coroutine_threadsafe(end(), loop).result(20)

        await one.book.set("10.0.0.1", "lab")
        await one.follower(Interposed(one.database, nothing, end_one)).follow()
        for end_it in ends:
            end_it()

    with running(database_url, tmp_path, EACH) as one:
        asyncio.run(main(one))

        assert (one.spent("lab"), one.spent(None)) == (31, 0)


def test_window_that_ends_during_the_reading_is_not_counted_twice(tmp_path: Path) -> None:
    async def main(one: Running) -> None:
        await one.following.follow()
        one.call("10.0.0.1", 7)()
        await one.book.set("10.0.0.1", "lab")

        def turn_month() -> None:
            one.now = MONTH_ENDS

        late = one.follower(Interposed(one.database, turn_month))
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
        moves = one.follower(Interposed(one.database, fail_once))
        await one.following.follow()
        async with moves.running():
            await one.book.set("10.0.0.1", "lab")
            await asyncio.to_thread(wait_until, lambda: has_label(one))
            await asyncio.to_thread(wait_until, lambda: not moves.following.is_failing)
        return moves.following.failures, has_label(one)

    with running(f"sqlite:///{tmp_path / 'ledger.db'}", tmp_path, EACH) as one:
        assert asyncio.run(main(one)) == (1, True)


MONTH = Limit("month", "usd", 100_000, per=("ip",), window="month")
CALL = Dimensions("127.0.0.1", None, "llama-3.3-70b", "groq", "chat")


def month_spent(one: Running, limit: int = 0, at: int = NOW) -> int:
    counter = one.admission.limits[limit].counter(CALL)
    assert isinstance(counter, BudgetCounter)
    return counter.at(at).spent


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


@contextmanager
def not_writing(url: str, directory: Path, *limits: Limit) -> Iterator[Running]:
    """Run without the ledger's writer, so that rows wait in the journal."""
    with open_database(url) as database:
        one = Running(database, Ledger(journal_in(directory), database), directory, *limits)
        try:
            yield one
        finally:
            one.close()


def test_rows_of_ledger_and_journal_count_once_at_the_start(database_url: str, tmp_path: Path) -> None:
    both, waiting = row(started_at=NOW), row(started_at=NOW - 1, cost_nano_usd=7)
    earlier = row(started_at=NOW - 40 * 86_400)
    with not_writing(database_url, tmp_path, MONTH) as one:
        one.database.append([both, row(started_at=NOW - 60), earlier], [])
        for recovered in (both, waiting, earlier):
            one.ledger.offer(PendingRow(recovered, None))
        asyncio.run(one.following.follow())

        assert month_spent(one) == 2 * 25_970 + 7
        assert error(one.admission, 100_000 - month_spent(one)) is None
        assert error(one.admission, 100_000 - month_spent(one) + 1) is BudgetExceeded


@pytest.mark.parametrize("failures", [1, 3])
def test_budgets_refuse_until_the_database_answers(tmp_path: Path, failures: int) -> None:
    left = iter([True] * failures)

    def fail() -> None:
        if next(left, False):
            raise StoreUnavailable("no answer")

    async def main(one: Running) -> tuple[object, bool, int]:
        following = one.follower(Interposed(one.database, fail))
        async with following.running():
            refused, is_failing = error(one.admission, 1), following.following.is_failing
            await asyncio.to_thread(wait_until, lambda: one.admission.limits[0].is_known)
            await asyncio.to_thread(wait_until, lambda: not following.following.is_failing)
            assert error(one.admission, 1) is None
            return refused, is_failing, following.following.failures

    with not_writing(f"sqlite:///{tmp_path / 'ledger.db'}", tmp_path, MONTH) as one:
        one.database.append([row(started_at=NOW)], [])

        assert asyncio.run(main(one)) == (LimitsUnavailable, True, failures)
        assert month_spent(one) == 25_970


@pytest.mark.parametrize("before_s", [40 * 86_400, 3600])
def test_start_before_the_clock_is_set_forgets_nothing_that_is_spent(
    database_url: str, tmp_path: Path, before_s: int
) -> None:
    day = replace(MONTH, window="day")
    with not_writing(database_url, tmp_path, day) as one:
        one.database.append([row(started_at=NOW)], [])
        one.now = NOW - before_s
        asyncio.run(one.following.follow())
        one.now = NOW
        asyncio.run(one.following.follow())

        assert month_spent(one) == 25_970


def test_clock_that_was_ahead_for_several_windows_forgets_nothing_that_is_spent(
    database_url: str, tmp_path: Path
) -> None:
    async def main(one: Running) -> None:
        await one.following.follow()
        for one.now in (NOW, NOW + 365 * 86_400, NOW + 366 * 86_400, NOW):
            one.call(CALL.ip, 10, one.now)()
            await one.following.follow()

    with running(database_url, tmp_path, replace(MONTH, window="day")) as one:
        asyncio.run(main(one))

        assert month_spent(one) == 20


GRANT = "INSERT INTO limit_grants VALUES (1, 'month', '{}', 'usd', 5, 1, NULL, 'by hand', 1)"
DEFINITION = "INSERT INTO limit_definitions VALUES ('odd', '{}', 1, 1)"


@pytest.mark.parametrize(
    "statement",
    [
        *(GRANT.format(text) for text in ("{", "null", "[1]", '{"ip": [5]}')),
        *(DEFINITION.format(text) for text in ("{", "[1]", "5", "[" * 100_000)),
        DEFINITION.format('{"unit": "usd", "amount": null, "window": null}'),
    ],
)
def test_what_was_written_by_hand_bounds_nothing_and_keeps_nobody_from_starting(
    tmp_path: Path, statement: str, caplog: pytest.LogCaptureFixture
) -> None:
    with not_writing(f"sqlite:///{tmp_path / 'ledger.db'}", tmp_path, MONTH) as one:
        with one.database.writing() as connection:
            connection.exec_driver_sql(statement)
        asyncio.run(one.following.follow())

        assert error(one.admission, 100_000) is None
        assert error(one.admission, 100_001) is RequestExceedsLimit
    assert any("cannot" in record.getMessage() for record in caplog.records)


def test_stored_counter_that_cannot_be_read_is_a_failing_duty_and_its_budget_refuses(tmp_path: Path) -> None:
    with not_writing(f"sqlite:///{tmp_path / 'ledger.db'}", tmp_path, MONTH) as one:
        one.database.append([row(started_at=NOW)], [])
        asyncio.run(one.following.follow())
        with one.database.writing() as connection:
            connection.exec_driver_sql("UPDATE limit_usage SET subject = '{'")
    with not_writing(f"sqlite:///{tmp_path / 'ledger.db'}", tmp_path, MONTH) as one:
        asyncio.run(one.following.follow())

        assert one.following.following.is_failing
        assert error(one.admission, 1) is LimitsUnavailable


def stored_usage(one: Running) -> dict[str, int]:
    """Return what the stored counters of the latest windows have, by subject."""
    with one.database.reading() as connection:
        query = select(LIMIT_USAGE.c.subject, LIMIT_USAGE.c.cost_nano_usd, LIMIT_COUNTS.c.latest).join(
            LIMIT_COUNTS, LIMIT_COUNTS.c.limit_id == LIMIT_USAGE.c.limit_id
        )
        rows = connection.execute(query.where(LIMIT_USAGE.c.window_start == LIMIT_COUNTS.c.latest)).all()
    return {subject: int(cost) for subject, cost, _ in rows}


def test_rows_are_counted_in_the_transaction_that_adds_them_whoever_adds_them(
    database_url: str, tmp_path: Path
) -> None:
    with not_writing(database_url, tmp_path, MONTH) as one:
        one.database.append([row(started_at=NOW)], [])
        asyncio.run(one.following.follow())
        again = row(started_at=NOW)
        one.database.append([again, row(started_at=NOW, ip="10.0.0.9", cost_nano_usd=None)], [])
        one.database.append([again], [])
        counted = stored_usage(one)
        with open_database(database_url) as other:  # another broker, which has no limits
            other.append([row(started_at=NOW)], [])
        unchanged = stored_usage(one)
        one.database.append([row(started_at=NOW)], [])

        assert counted == {'["127.0.0.1"]': 2 * 25_970, '["10.0.0.9"]': 0}
        assert unchanged == counted
        assert stored_usage(one)['["127.0.0.1"]'] == 4 * 25_970


def test_start_reads_stored_counters_and_rows_that_they_lack(database_url: str, tmp_path: Path) -> None:
    with not_writing(database_url, tmp_path, MONTH) as one:
        one.database.append([row(started_at=NOW)], [])
        asyncio.run(one.following.follow())
    with not_writing(database_url, tmp_path, MONTH, EACH) as one:
        one.database.append([row(started_at=NOW)], [])  # nobody counts it: the limits are not known yet
        lacking = stored_usage(one)
        asyncio.run(one.following.follow())
        one.database.append([row(started_at=NOW)], [])

        assert lacking == {'["127.0.0.1"]': 25_970}
        assert month_spent(one) == 2 * 25_970
        assert stored_usage(one) == {'["127.0.0.1"]': 3 * 25_970}


def test_stored_windows_that_are_over_are_removed_but_for_one(database_url: str, tmp_path: Path) -> None:
    hour = replace(MONTH, window="hour", per=())
    with not_writing(database_url, tmp_path, hour) as one:
        asyncio.run(one.following.follow())
        begins = hour.window_at(NOW)[0]
        for number in range(4):
            rows = [row(started_at=begins + number * 3600), row(started_at=begins + number * 3600 - 7200)]
            one.database.append(rows, [])
        with one.database.reading() as connection:
            c = LIMIT_USAGE.c
            kept = connection.execute(select(c.window_start, c.requests).order_by(c.window_start)).all()

    # A row of an older window than those that are kept counts nowhere.
    assert [tuple(one) for one in kept] == [(begins + 2 * 3600, 1), (begins + 3 * 3600, 1)]


class Noon(SystemClock):
    """The clock at noon of the first day of the next month."""

    def now(self) -> int:
        return MONTH_ENDS + 12 * 3600


def test_close_of_a_billing_period_begins_the_budget_of_the_next(database_url: str, tmp_path: Path) -> None:
    period = Limit("period", "usd", 100_000, per=("ip",), window="billing_period")
    noon = Noon().now()

    async def main(one: Running) -> list[int]:
        spent = []
        books = Books(one.database, Noon())
        await one.following.follow()
        spent.append(month_spent(one))
        open_call = one.call(CALL.ip, 8, MONTH_ENDS - 1)
        one.now = noon
        one.call(CALL.ip, 4, noon - 60)()
        await asyncio.to_thread(wait_until, lambda: not one.ledger.pending)
        await one.following.follow()
        spent.append(month_spent(one))
        await books.close_period("2026-11", MONTH_ENDS, "UTC")
        await one.following.follow()
        spent.append(month_spent(one))
        open_call()  # it is recorded after the close, so that the next period has it
        spent.append(month_spent(one))
        await asyncio.to_thread(wait_until, lambda: not one.ledger.pending)
        books.close()
        return spent

    with running(database_url, tmp_path, period) as one:
        one.database.append([row(started_at=NOW, cost_nano_usd=1), row(started_at=MONTH_ENDS, cost_nano_usd=2)], [])

        assert asyncio.run(main(one)) == [3, 7, 6, 14]
        assert stored_usage(one) == {'["127.0.0.1"]': 14}
    with not_writing(database_url, tmp_path, period) as one:
        one.now = noon
        asyncio.run(one.following.follow())

        assert month_spent(one) == 14


SET: dict[str, object] = {"unit": "usd", "amount": 0.0001, "window": "month", "per": ["ip"]}


def test_limit_that_is_set_counts_what_was_spent_before_and_what_is_in_flight(
    database_url: str, tmp_path: Path
) -> None:
    async def main(one: Running) -> list[object]:
        await one.following.follow()
        in_flight = one.call(CALL.ip, 5)
        await one.limits.set("late", SET)
        seen: list[object] = [error(one.admission, 1), one.changes]
        await one.following.follow()
        seen.append(month_spent(one))
        in_flight()
        seen += [month_spent(one), error(one.admission, 100_000 - 30), error(one.admission, 100_000 - 29)]
        await one.limits.grant("late", {"ip": CALL.ip}, Decimal("0.000001"), None, "a reason")
        seen += [error(one.admission, 100_000 - 29), error(one.admission, 100_000 - 30 + 1001)]
        await one.limits.set("late", {**SET, "amount": 0.00001})
        seen += [one.admission.limits[0].is_known, month_spent(one), error(one.admission, 10_971)]
        await one.limits.remove("late")
        seen += [len(one.admission.limits), error(one.admission, 10**9)]
        return seen

    with running(database_url, tmp_path) as one:
        one.database.append([row(started_at=NOW, cost_nano_usd=25)], [])
        expected: list[object] = [LimitsUnavailable, 1, 25, 30, None, BudgetExceeded]
        expected += [None, BudgetExceeded, True, 30, BudgetExceeded, 0, None]

        assert asyncio.run(main(one)) == expected


def test_grant_ends_at_its_time(tmp_path: Path) -> None:
    async def main(one: Running) -> list[object]:
        await one.following.follow()
        end = int(time.time()) + 1000
        await one.limits.grant("month", {"ip": CALL.ip}, Decimal("0.001"), end, "a reason")
        seen: list[object] = [error(one.admission, 1_100_000)]
        one.now = end - 1
        await one.following.follow()
        seen.append(error(one.admission, 1_100_000))
        one.now = end
        await one.following.follow()
        return [*seen, error(one.admission, 1_100_000)]

    with not_writing(f"sqlite:///{tmp_path / 'ledger.db'}", tmp_path, MONTH) as one:
        one.now = int(time.time())

        assert asyncio.run(main(one)) == [None, None, RequestExceedsLimit]


def test_clock_that_jumps_is_logged_and_the_window_before_is_found_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main(one: Running) -> list[int]:
        await one.following.follow()
        one.call(CALL.ip, 5)()
        spent = [month_spent(one)]
        for jump in (40 * 86_400, -40 * 86_400, 59):
            one.now += jump
            await one.following.follow()
            spent.append(month_spent(one, at=one.now))
        return spent

    with running(f"sqlite:///{tmp_path / 'ledger.db'}", tmp_path, MONTH) as one:
        assert asyncio.run(main(one)) == [5, 0, 5, 5]

    told = [record.getMessage() for record in caplog.records if "clock" in record.getMessage()]
    assert told == [
        f"limits: the clock was set by {jump} s, and so were the windows of budgets"
        for jump in ("+3456000", "-3456000")
    ]


def test_budget_that_fell_far_behind_is_stored_again(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limit_usage, "FEW_ROWS", 2)
    with not_writing(database_url, tmp_path, MONTH) as one:
        asyncio.run(one.following.follow())
        one.database.budgets = None  # as another broker writes
        one.database.append([row(started_at=NOW) for _ in range(4)], [])
        behind = stored_usage(one)
        asyncio.run(one.following.follow())

        assert behind == {}
        assert stored_usage(one) == {'["127.0.0.1"]': 4 * 25_970}


def test_limits_that_were_set_bind_at_a_start_without_the_database(tmp_path: Path) -> None:
    end = int(time.time()) + 1000

    def fail() -> None:
        raise StoreUnavailable("no answer")

    async def first(one: Running) -> None:
        follower = one.follower(one.database)
        await follower.follow()
        await one.limits.set("slots", {"unit": "concurrent", "amount": 1})
        await one.limits.set("late", SET)
        await one.limits.grant("late", {"ip": CALL.ip}, Decimal(1), end, "a reason")

    async def second(one: Running) -> list[object]:
        follower = one.follower(Interposed(one.database, fail))
        await follower.follow()
        names = [limit.limit.name for limit in one.admission.limits]
        seen: list[object] = [names, error(one.admission, 1), dict(one.admission.limits[0].grants)]
        one.now = end
        await follower.follow()
        return [*seen, dict(one.admission.limits[0].grants), follower.following.failures]

    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    with not_writing(url, tmp_path, MONTH) as one:
        asyncio.run(first(one))
    with not_writing(url, tmp_path) as one:
        one.now = end - 1
        expected = [["late", "slots"], LimitsUnavailable, {(CALL.ip,): NANO}, {}, 2]

        assert asyncio.run(second(one)) == expected
    assert stat.S_IMODE((tmp_path / "limits.json").stat().st_mode) == 0o600


def test_database_of_a_backup_counts_although_the_copy_is_newer(tmp_path: Path) -> None:
    failures = iter([True])

    def fail_once() -> None:
        if next(failures, False):
            raise StoreUnavailable("no answer")

    async def first(one: Running) -> None:
        await one.following.follow()
        await one.limits.set("old", SET)
        await one.limits.set("new", SET)

    async def second(one: Running) -> list[list[str]]:
        follower = one.follower(Interposed(one.database, fail_once))
        names = []
        for _ in range(3):
            await follower.follow()
            names.append([limit.limit.name for limit in one.admission.limits])
        return names

    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    with not_writing(url, tmp_path) as one:
        asyncio.run(first(one))
        with one.database.writing() as connection:
            connection.execute(delete(LIMIT_DEFINITIONS).where(LIMIT_DEFINITIONS.c.name == "new"))
    with not_writing(url, tmp_path) as one:
        assert asyncio.run(second(one)) == [["new", "old"], ["old"], ["old"]]


@pytest.mark.parametrize("content", [b"", b"{}", b'{"revision":[1,2]}', b"\xff"])
def test_copy_that_cannot_be_read_is_none(tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with open_database(f"sqlite:///{tmp_path / 'ledger.db'}") as database:
        copy = LimitsCopy(LimitBook(database, SystemClock(), [], defined), tmp_path)
        missing = copy.kept()
        (tmp_path / "limits.json").write_bytes(content)
        unreadable = copy.kept()

    assert (missing, unreadable) == (None, None)
    assert "cannot be read" in caplog.text

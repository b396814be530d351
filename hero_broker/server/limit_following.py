"""Lets limits know what the database has for them, and follows what changes there.

It has the limits that were set while brokers ran, grants, labels, and what is spent of budgets.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

from sqlalchemy import Connection

from hero_broker.core.duties import Duty
from hero_broker.core.errors import QueryError, StoreUnavailable
from hero_broker.core.labels import LabelIndex
from hero_broker.core.records import RequestLog
from hero_broker.ledger.ledger import Ledger
from hero_broker.limits.admission import Admission
from hero_broker.limits.counters import LimitCounters, Used, used_by
from hero_broker.limits.definitions import Definitions, granted
from hero_broker.limits.recount import Spent, dimensions, windows_at
from hero_broker.limits.stored_counters import StoredBudgets, StoredCounters
from hero_broker.store import limit_usage
from hero_broker.store.budget_usage import recorded
from hero_broker.store.database import Database
from hero_broker.util.turns import in_turns

log = logging.getLogger(__name__)

EVERY_S = 1.0
CLOCK_JUMP_S = 60  # that is logged
NO_WINDOW = (0, 0)

# What a transaction sees: see `LabelBook.names` and `LimitBook.current`.
ReadLabels = Callable[[Connection], LabelIndex]
ReadDefinitions = Callable[[Connection], Definitions]


def _nothing_kept() -> None:
    """Return no definitions of an earlier run."""


class _Seen(NamedTuple):
    """What may have changed in the database."""

    labels: LabelIndex | None  # None: no limit looks at them
    period: int | None  # the number of the next billing period; None: no limit counts by it
    lacking: Collection[StoredCounters]  # that lack too many rows for the writer to bring them up to date


class _Read(NamedTuple):
    """What is spent of some budgets."""

    seen: _Seen
    spent: Spent
    counted: int  # how many of the rows that wait for the store are in `spent`


class LimitFollowing:
    """Looks at the database before the first call, and then every second.

    A budget is added up if it is new, if it looks at labels and one has changed, if it counts a billing period and
    that was closed, or if another window has begun: if the clock has jumped, that window may have rows already.
    Meanwhile a new budget refuses calls, and others count as before.
    """

    def __init__(
        self,
        admission: Admission,
        database: Database,
        ledger: Ledger,
        read_labels: ReadLabels,
        read_definitions: ReadDefinitions,
        on_limits: Callable[[], None],
        read_kept: Callable[[], Definitions | None] = _nothing_kept,
        every_s: float = EVERY_S,
    ) -> None:
        """Take what limits, the ledger that rows are offered to, and the pause between two looks.

        The limits of `admission` stay, beside those that are set. `on_limits` is called after others have come or gone.
        `read_kept` has the definitions and grants of an earlier run, for a start without the database.
        """
        self._admission = admission
        self._fixed = [one.limit for one in admission.limits]
        self._database = database
        self._ledger = ledger
        self._read_labels = read_labels
        self._read_definitions = read_definitions
        self._on_limits = on_limits
        self._read_kept = read_kept
        self._has_definitions = self._uses_copy = False
        self._every_s = every_s
        self._definitions = Definitions()
        self._grants_end_at: int | None = None  # the first of them; unix seconds
        self._stored: dict[LimitCounters, StoredCounters] = {}
        self._budgets = StoredBudgets(())
        self._period: int | None = None
        self._clock_ahead: int | None = None  # of the monotonic time; seconds
        self._windows: dict[LimitCounters, tuple[int, int]] = {}  # that budgets were added up for
        self._is_changed = asyncio.Event()
        self.following = Duty("limits", "limits, labels, and what is spent of budgets, are read from the database")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look before the block, and every second during it."""
        await self.follow()
        following = asyncio.create_task(self._follow_on(), name="limits")
        try:
            yield
        finally:
            following.cancel()
            with suppress(asyncio.CancelledError):
                await following

    async def _follow_on(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._every_s):
                    await self._is_changed.wait()
            await self.follow()

    async def follow(self) -> None:
        """Look once."""
        self._watch_clock()
        try:
            await self._follow()
        except QueryError as error:
            self.following.failed(error.message)
            kept = None if self._has_definitions else await asyncio.to_thread(self._read_kept)
            self._use(kept or self._definitions, is_kept=kept is not None)  # grants end although the database is silent
        except Exception as error:  # an odd value in the database must not end the following of all others
            if not self.following.is_failing:
                log.error("limits: an internal error", exc_info=error)
            self.following.failed(type(error).__name__)
        else:
            self.following.succeeded()

    def _watch_clock(self) -> None:
        """Log that the clock was set: windows of budgets follow it."""
        ahead = self._admission.now() - self._admission.now_ns() // 1_000_000_000
        jump = 0 if self._clock_ahead is None else ahead - self._clock_ahead
        if abs(jump) > CLOCK_JUMP_S:
            log.warning("limits: the clock was set by %+d s, and so were the windows of budgets", jump)
        self._clock_ahead = ahead

    async def use_definitions(self) -> None:
        """Put the limits and grants in force that the database has. What is spent of new budgets is added up later.

        Raises:
            StoreUnavailable: the database does not answer.
        """
        self._use(await asyncio.to_thread(self._look_at_definitions))
        self._is_changed.set()

    async def _follow(self) -> None:
        admission = self._admission
        self._is_changed.clear()
        self._use(await asyncio.to_thread(self._look_at_definitions))
        self._store_budgets()
        if not (admission.budgets or admission.uses_labels):
            return
        seen = await asyncio.to_thread(self._look)
        some = [one for one in self._stored if not one.is_known or self._has_changed(one, seen)]
        if some:
            while not await self._add_up(some):
                pass  # a window has ended meanwhile
            return
        if seen.labels is not None and seen.labels is not admission.labels:
            admission.use_labels(seen.labels)
        if seen.lacking:
            await asyncio.to_thread(self._store_missing, admission.now(), seen.lacking)

    def _use(self, definitions: Definitions, *, is_kept: bool = False) -> None:
        """Put definitions in force, unless newer ones of the database are; end grants whose time is over."""
        self._has_definitions = True
        # A database that was restored from a backup has older ones than the copy.
        is_newer = definitions.revision > self._definitions.revision
        if is_newer or (self._uses_copy and definitions is not self._definitions):
            self._uses_copy = is_kept
            others = definitions.limits != self._definitions.limits
            self._definitions, self._grants_end_at = definitions, 0
            if others:
                self._admission.use_limits([*self._fixed, *definitions.limits])
                self._on_limits()
        now = self._admission.now()
        if self._grants_end_at is not None and now >= self._grants_end_at:
            grants = self._definitions.in_force(now)
            for one in self._admission.budgets:
                one.grant(granted(one.limit, grants.get(one.limit.name, ())))
            self._grants_end_at = self._definitions.first_end(now)

    def _store_budgets(self) -> None:
        """Have the database count the present budgets."""
        budgets = self._admission.budgets
        if [*self._stored] != budgets:
            self._stored = {one: self._stored.get(one) or StoredCounters(one.limit) for one in budgets}
            self._budgets = StoredBudgets(self._stored.values())
            self._database.budgets = self._budgets if budgets else None

    def _has_changed(self, one: LimitCounters, seen: _Seen) -> bool:
        begins, ends = self._windows.get(one, NO_WINDOW)
        if not begins <= self._admission.now() < ends:
            return True
        if self._stored[one].by_period and seen.period != self._period:
            return True
        return one.limit.uses_label and seen.labels is not self._admission.labels

    async def _add_up(self, some: Sequence[LimitCounters]) -> bool:
        """Add some budgets up; return whether they are what they should be, or the next look must begin again."""
        admission = self._admission
        at = admission.now()
        windows = windows_at(some, at)
        with self._ledger.copying() as rows:
            found = await asyncio.to_thread(self._read, at, some, rows)
            others = (one for one in self._stored if one not in windows)
            if windows_at(some, admission.now()) != windows or any(
                self._has_changed(one, found.seen) for one in others
            ):
                return True  # a window has ended, or more has changed meanwhile: the next look begins again
            counting = admission.recount(windows, found.spent, rows[found.counted :], found.seen.labels)
            async for _ in in_turns(counting):
                pass
        self._windows = {one: window for one, window in (self._windows | dict(windows)).items() if one in self._stored}
        if any(self._stored[one].by_period for one in some):
            self._period = found.seen.period
        # By other labels, rows were counted in a window that has begun since.
        return windows_at(some, admission.now()) == windows

    def _look_at_definitions(self) -> Definitions:
        with self._database.reading() as connection:
            return self._read_definitions(connection)

    def _look(self) -> _Seen:
        with self._database.reading() as connection:
            return self._seen(connection)

    def _seen(self, connection: Connection) -> _Seen:
        labels = self._read_labels(connection) if self._admission.uses_labels else None
        by_period = any(one.by_period for one in self._budgets.budgets)
        period = limit_usage.next_period(connection) if by_period else None
        return _Seen(labels, period, limit_usage.lacking(connection, self._budgets))

    def _read(self, at: int, some: Sequence[LimitCounters], rows: Sequence[RequestLog]) -> _Read:
        """Return what is spent of some budgets by the stored counters, and by those of `rows` that the ledger lacks.

        Others may add to `rows` meanwhile. Blocks; not for the event loop.

        Raises:
            StoreUnavailable: the database does not answer, or another broker adds the same up.
            TooWide: a sum is too large for the database.
        """
        wanted = {self._stored[one]: one for one in some}
        self._store_missing(at, wanted)
        with self._database.reading() as connection:
            seen = self._seen(connection)
            # The transaction has begun: it sees no row that is added to `rows` from here on.
            waiting = list(rows)
            sums, lacking = limit_usage.read(connection, self._budgets, at)
            if any(one in wanted for one in lacking):
                raise StoreUnavailable("what is spent of budgets is not added up yet")
            missing = {row.request_id for row in waiting}
            missing -= recorded(connection, missing)
        spent: Spent = {}
        for (stored, _, subject), (requests, input_tokens, output_tokens, cost) in sums.items():
            one = wanted.get(stored)
            values = None if one is None else stored.in_memory(subject, seen.labels)
            if one is not None and values is not None:
                used = Used(cost, input_tokens, output_tokens, requests).amount(one.limit.unit)
                spent[one, values] = spent.get((one, values), 0) + used
        self._add_waiting(spent, at, some, [row for row in waiting if row.request_id in missing], seen.labels)
        return _Read(seen, spent, len(waiting))

    def _store_missing(self, at: int, wanted: Collection[StoredCounters]) -> None:
        """Add up what the stored counters of some budgets lack."""
        with self._database.reading() as connection:
            _, lacking = limit_usage.read(connection, self._budgets, at)
            some = [one for one in lacking if one in wanted]
            added_up = limit_usage.add_up(connection, self._budgets, some, at) if some else None
        if added_up is not None:
            with self._database.writing() as connection:
                limit_usage.store(connection, added_up)

    def _add_waiting(
        self,
        spent: Spent,
        at: int,
        some: Sequence[LimitCounters],
        rows: Sequence[RequestLog],
        labels: LabelIndex | None,
    ) -> None:
        windows = windows_at(some, at)
        for row in rows:
            call, used = dimensions(row, labels), used_by(row)
            for one, (since, until) in windows.items():
                if since <= row.started_at < until and one.limit.match.covers(call):
                    key = (one, one.limit.subject(call))
                    spent[key] = spent.get(key, 0) + used.amount(one.limit.unit)

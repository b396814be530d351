"""Billing periods, and the verification that rows, roll-ups and periods agree."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from sqlalchemy import Connection

from hero_broker.core.clock import Clock
from hero_broker.core.errors import Conflict, InvalidParams
from hero_broker.core.labels import LabelIndex
from hero_broker.core.local_time import utc_text
from hero_broker.core.records import ClosedPeriod, Difference, Period, PeriodPart, UsageTotals, Verification
from hero_broker.metering.workers import LAST
from hero_broker.reports.budget_verification import budget_differences
from hero_broker.reports.query_pool import QueryPool, close_together
from hero_broker.reports.totals import NO_USAGE, sum_totals
from hero_broker.store import billing_lines, billing_periods, labels, verification
from hero_broker.store.billing_lines import HELD_OVER, INSIDE, LATE, CountedRows
from hero_broker.store.billing_periods import Unbilled
from hero_broker.store.counting import CountingSession
from hero_broker.store.database import Database
from hero_broker.store.schema import ALL_TIME, COUNTS, HOUR, ROLLUPS

THREADS = 1
DEADLINE_S = 60.0  # of one step
BEHIND_S = 60  # after a call's end its row should be folded; a healthy writer needs two seconds
LISTED_DIFFERENCES = 100
COUNT_STEP_ROWS = 200_000
ATTEMPTS = 10

Sides = Mapping[int, CountedRows]  # what is INSIDE, LATE or HELD_OVER


class Books:
    """Reads and closes billing periods, verifies sums and rebuilds roll-ups."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._reader = QueryPool(database, THREADS)
        # A close takes seconds, nearly all of them in the database, which does not hold Python's lock.
        self._closer = QueryPool(database, THREADS, LAST)
        self._clock = clock

    def close(self) -> None:
        """Cancel running queries."""
        close_together(self._reader.close, self._closer.close)

    @property
    def has_one_broker(self) -> bool:
        """Whether no other broker can write this ledger."""
        return self._database.has_one_broker

    async def unbilled(self, until: int | None = None) -> tuple[Period, int]:
        """Return what is in no billing period yet, and the time of the query (unix seconds).

        With `until` (unix seconds) only calls that began before it.

        Raises:
            StoreUnavailable: the database does not answer.
        """
        as_of = self._clock.now()
        if until is None:
            return await self._reader.query(DEADLINE_S, billing_periods.unbilled), as_of
        rows = await self._reader.query(DEADLINE_S, billing_periods.next_period, None)
        return _period(rows, until, await self._sides(rows, until)), as_of

    async def periods(self) -> tuple[list[Period], int]:
        """Return all billing periods, the oldest first, and the time of the query (unix seconds).

        Raises:
            StoreUnavailable: the database does not answer.
        """
        as_of = self._clock.now()
        return await self._reader.query(DEADLINE_S, billing_periods.periods), as_of

    async def mark_billed(self, reference: str, to_seq: int) -> tuple[Period, int]:
        """Close the unbilled range up to `to_seq` as a period; return it and the current time (unix seconds).

        Idempotent: marking the same reference with the same `to_seq` again returns the same period.

        Raises:
            InvalidParams: the ledger has not reached `to_seq`.
            Conflict: the reference belongs to another range, or the range is billed already.
            StoreUnavailable: the database does not answer; the period may be marked or not.
        """
        return await self._reader.run(self._mark, reference, to_seq)

    def _mark(self, reference: str, to_seq: int) -> tuple[Period, int]:
        now = self._clock.now()
        for _ in range(ATTEMPTS):
            with self._database.reading() as connection:
                billing_periods.check_to_seq(connection, to_seq)
                counted = billing_periods.unbilled(connection, to_seq)
            # The rows are counted above, to keep this transaction short: it blocks the ledger's writer.
            with self._database.writing() as connection:
                marked = billing_periods.mark(connection, counted, reference, to_seq, now)
            if marked is not None:
                return marked, now
        raise Conflict("Other periods are being marked; try again", "try_again")

    async def close_period(
        self, reference: str, until: int, zone: str, *, dry_run: bool = False
    ) -> tuple[ClosedPeriod, int]:
        """Close what began before `until` and is in no period yet, as a period; return it and the current time.

        The period has all such rows that the store has now. It keeps its sums by address and model, and the labels of
        now. Idempotent: closing the same reference with the same `until` again returns the same period. With `dry_run`
        nothing is recorded.

        Raises:
            InvalidParams: `until` has not passed yet, or the period costs more than one can store.
            Conflict: the reference belongs to another period, or `until` is not later than that of an earlier one.
            StoreUnavailable: the database does not answer; the period may be closed or not.
        """
        now = self._clock.now()
        if until > now:
            raise InvalidParams("until", f"must have passed; it is {utc_text(now)} now")
        for _ in range(ATTEMPTS):
            existing = await self._reader.query(DEADLINE_S, billing_periods.check_close, reference, until)
            if existing is not None:
                before = await self._reader.query(DEADLINE_S, billing_periods.before_period, existing)
                counted = await self._sides(before, until)
                without = await self._reader.query(DEADLINE_S, billing_lines.unlabelled, existing.number)
                return _closed(existing, counted, without, was_closed=True), now
            marked_at = None if dry_run else now
            closed = await self._closer.count(DEADLINE_S, _close, reference, until, zone, marked_at)
            if closed is not None:
                return closed, now
        raise Conflict("Other periods are being marked; try again", "try_again")

    async def _sides(self, rows: Unbilled, until: int) -> Sides:
        """Count rows in short steps, as a close at `until` would."""
        sides: dict[int, CountedRows] = {}
        for step in _steps(rows.parts, COUNT_STEP_ROWS):
            counted = await self._reader.query(DEADLINE_S, billing_lines.counted_sides, step, until, rows.last_until)
            for side, more in counted.items():
                sides[side] = _joined(sides[side], more) if side in sides else more
        return sides

    async def rebuild(self) -> int:
        """Have the ledger's writer rebuild the roll-ups from all rows; return the start time (unix seconds).

        Reports stay exact during the rebuild.

        Raises:
            StoreUnavailable: the database does not answer.
        """
        await self._reader.run(self._database.start_rebuild)
        return self._clock.now()

    async def verify(self, since: int | None, until: int | None) -> Verification:
        """Sum the rows of the window's hours, in steps, and compare the roll-ups.

        Without a window, periods and budgets are compared, too.

        A block longer than an hour is compared as a whole if the window touches it.
        Rows above the watermark are counted but not compared: they are in no roll-up yet, and reports add them one by
        one. If they ended more than `BEHIND_S` ago, they count as behind; that is no difference: a copy of a ledger has
        no roll-ups until a broker opens it, and a duty tells if a broker cannot make them.

        Raises:
            StoreUnavailable: the database does not answer.
        """
        as_of = self._clock.now()
        differences = _Differences()
        extent = await self._reader.query(DEADLINE_S, verification.extent)
        if extent is not None:
            first = extent[0] if since is None else max(extent[0], since // HOUR * HOUR)
            last = extent[1] if until is None else min(extent[1], -(-until // HOUR) * HOUR)
            if first < last:
                await self._verify_hours(first, last, differences)
                await self._verify_blocks(first, last, differences)
        if since is None and until is None:
            await self._verify_periods(differences)
            async for one in budget_differences(self._reader):
                differences.add(1, [one][: differences.room])
        behind = await self._reader.query(DEADLINE_S, verification.behind, since, until, as_of - BEHIND_S)
        return Verification(differences.rows, differences.count, behind, tuple(differences.listed), as_of)

    async def _verify_hours(self, since: int, until: int, differences: "_Differences") -> None:
        at = since
        while at < until:
            end, rows = await self._reader.query(DEADLINE_S, verification.step, at, until)
            differences.rows += rows
            for table in ROLLUPS:
                differences.add(
                    *await self._reader.query(DEADLINE_S, verification.hours, table, (at, end), differences.room)
                )
            at = end

    async def _verify_blocks(self, since: int, until: int, differences: "_Differences") -> None:
        for table in ROLLUPS:
            for span in table.info["spans"][1:]:
                # Whole blocks, or a block would be compared with only some of its hours.
                at, last = (since, until) if span == ALL_TIME else (since // span * span, -(-until // span) * span)
                while at < last:
                    end = await self._reader.query(DEADLINE_S, verification.blocks_step, table, span, at, last)
                    differences.add(
                        *await self._reader.query(
                            DEADLINE_S, verification.blocks, table, span, (at, end), differences.room
                        )
                    )
                    at = end

    async def _verify_periods(self, differences: "_Differences") -> None:
        for period in await self._reader.query(DEADLINE_S, billing_periods.periods):
            counts = [0] * len(COUNTS)
            expected: defaultdict[tuple[str, str], list[UsageTotals]] = defaultdict(list)
            for step in _steps(period.parts, verification.STEP_ROWS):
                if period.has_lines:
                    groups = await self._reader.query(DEADLINE_S, billing_periods.group_lines, step)
                    for ip, model, totals in groups:
                        expected[ip, model].append(totals)
                    more = _counts_of(sum_totals([totals for _, _, totals in groups]))
                else:
                    more = list(await self._reader.query(DEADLINE_S, billing_periods.group_counts, step))
                counts = [one + other for one, other in zip(counts, more, strict=True)]
            key = {"reference": str(period.reference)}
            differences.compare("billing_periods", key, UsageTotals(*counts), period.totals)
            if period.has_lines:
                lines = await self._reader.query(DEADLINE_S, billing_lines.lines, period.number)
                found = {(line.ip, line.model): line.totals for line in lines}
                for ip, model in sorted(expected.keys() | found.keys()):
                    line_key = {**key, "ip": ip, "model": model}
                    sums = sum_totals(expected.get((ip, model), []))
                    differences.compare("billing_lines", line_key, sums, found.get((ip, model), NO_USAGE))


def _close(
    session: CountingSession, reference: str, until: int, zone: str, marked_at: int | None
) -> ClosedPeriod | None:
    """Count a period, and close it at `marked_at`, if that is not None.

    Returns None if another period was marked since the counting: count again.
    """
    with session.step() as connection:
        rows = billing_periods.next_period(connection, None)
        billing_lines.begin_count(connection)
    for part in _steps(rows.parts, COUNT_STEP_ROWS):
        with session.step() as connection:
            billing_lines.count(connection, part, until, rows.last_until)
    with session.step() as connection:
        sides = billing_lines.sides(connection)
    period = _period(rows, until, sides, reference, zone)
    if marked_at is None:
        with session.step() as connection:
            without = billing_lines.unlabelled_counted(connection, _names(connection))
        return _closed(period, sides, without)
    held_over = sides.get(HELD_OVER)
    # The rows are summed above, to keep this transaction short: it blocks the ledger's writer.
    with session.writing() as connection:
        if billing_periods.check_close(connection, reference, until) is not None:
            return None
        first_held_over = None if held_over is None else held_over.first_seq
        closed = billing_periods.close(connection, period, marked_at, first_held_over)
        if closed is None:
            return None
        billing_lines.write(connection, period.number, _names(connection))
        without = billing_lines.unlabelled(connection, period.number)
    return _closed(closed, sides, without)


def _period(rows: Unbilled, until: int, sides: Sides, reference: str | None = None, zone: str | None = None) -> Period:
    """Return the period that a close at `until` makes of rows."""
    parts = tuple(part._replace(until=until) for part in rows.parts)
    totals = sum_totals([sides[side].totals for side in (INSIDE, LATE) if side in sides])
    return Period(
        rows.number,
        reference,
        min(part.first_seq for part in parts),
        parts[0].last_seq,
        None,
        UsageTotals(*_counts_of(totals)),
        until=until,
        zone=zone,
        late_requests=_totals(sides, LATE).requests,
        held_over_requests=_totals(sides, HELD_OVER).requests,
        parts=parts,
    )


def _closed(period: Period, sides: Sides, without: UsageTotals, *, was_closed: bool = False) -> ClosedPeriod:
    return ClosedPeriod(period, _totals(sides, HELD_OVER), _totals(sides, LATE), without, was_closed)


def _totals(sides: Sides, side: int) -> UsageTotals:
    return sides[side].totals if side in sides else NO_USAGE


def _joined(one: CountedRows, other: CountedRows) -> CountedRows:
    return CountedRows(min(one.first_seq, other.first_seq), sum_totals([one.totals, other.totals]))


def _names(connection: Connection) -> LabelIndex:
    return LabelIndex((label.target, label.label) for label in labels.labels(connection))


def _counts_of(totals: UsageTotals) -> list[int]:
    return [getattr(totals, name) for name in COUNTS]


def _steps(parts: Iterable[PeriodPart], rows: int) -> Iterator[PeriodPart]:
    return (step for part in parts for step in part.steps(rows))


class _Differences:
    """Collects the results of a verification."""

    def __init__(self) -> None:
        self.rows = 0
        self.count = 0
        self.listed: list[Difference] = []

    @property
    def room(self) -> int:
        """How many more differences may be listed."""
        return LISTED_DIFFERENCES - len(self.listed)

    def add(self, count: int, some: list[Difference]) -> None:
        """Add the differences of one comparison."""
        self.count += count
        self.listed.extend(some)

    def compare(self, table: str, key: dict[str, str], expected: UsageTotals, found: UsageTotals) -> None:
        """Compare two sums of billing periods."""
        if expected != found:
            self.add(1, [Difference(table, None, None, key, expected, found)][: self.room])

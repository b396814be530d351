"""Billing periods, and the verification that rows, roll-ups and periods agree."""

from hero_broker.core.clock import Clock
from hero_broker.core.errors import Conflict
from hero_broker.core.records import Difference, Period, UsageTotals, Verification
from hero_broker.reports.query_pool import QueryPool
from hero_broker.store import billing_periods, verification
from hero_broker.store.database import Database
from hero_broker.store.schema import ALL_TIME, COUNTS, HOUR, ROLLUPS

THREADS = 1
DEADLINE_S = 60.0  # of one step
BEHIND_S = 60  # after a call's end its row should be folded; a healthy writer needs two seconds
LISTED_DIFFERENCES = 100
ATTEMPTS = 10


class Books:
    """Reads and closes billing periods, verifies sums and rebuilds roll-ups."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._reader = QueryPool(database, THREADS)
        self._clock = clock

    def close(self) -> None:
        """Cancel running queries."""
        self._reader.close()

    async def unbilled(self) -> tuple[Period, int]:
        """Return the range that is in no billing period yet, and the time of the query (unix seconds).

        Raises:
            StoreUnavailable: the database does not answer.
        """
        as_of = self._clock.now()
        return await self._reader.query(DEADLINE_S, billing_periods.unbilled), as_of

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
        raise Conflict("Other periods are being marked; try again")

    async def rebuild(self) -> int:
        """Have the ledger's writer rebuild the roll-ups from all rows; return the start time (unix seconds).

        Reports stay exact during the rebuild.

        Raises:
            StoreUnavailable: the database does not answer.
        """
        await self._reader.run(self._database.start_rebuild)
        return self._clock.now()

    async def verify(self, since: int | None, until: int | None) -> Verification:
        """Sum the rows of the window's hours, in steps, and compare the roll-ups; without a window, periods too.

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
            for after in range(period.from_seq - 1, period.to_seq, verification.STEP_ROWS):
                to_seq = min(after + verification.STEP_ROWS, period.to_seq)
                more = await self._reader.query(DEADLINE_S, billing_periods.group_counts, after, to_seq)
                counts = [one + other for one, other in zip(counts, more, strict=True)]
            expected = UsageTotals(*counts)
            if expected != period.totals:
                key = {"reference": period.reference or ""}
                difference = Difference("billing_periods", None, None, key, expected, period.totals)
                differences.add(1, [difference][: differences.room])


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

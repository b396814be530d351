"""Compares the stored counters of budgets with the rows that they sum."""

from collections.abc import AsyncIterator, Sequence

from sqlalchemy import Connection

from hero_broker.core.records import Difference, PeriodPart, UsageTotals
from hero_broker.limits.stored_counters import StoredBudgets, StoredCounters
from hero_broker.reports.query_pool import QueryPool
from hero_broker.reports.totals import NO_USAGE
from hero_broker.store import billing_periods, limit_usage, verification
from hero_broker.store.budget_usage import usage_by_group
from hero_broker.store.limit_usage import Kept, Sums
from hero_broker.store.schema import COUNTS

TABLE = "limit_usage"
DEADLINE_S = 60.0  # of one step


async def budget_differences(reader: QueryPool) -> AsyncIterator[Difference]:
    """Yield the stored counters that differ from the sums of their rows.

    Raises:
        StoreUnavailable: the database does not answer.
    """
    together: dict[tuple[PeriodPart, ...], list[tuple[StoredCounters, Kept]]] = {}
    for one, parts in await reader.query(DEADLINE_S, _kept):
        together.setdefault(parts, []).append((StoredCounters.of_shape(one.name, one.shape), one))
    for parts, kept in together.items():
        budgets = StoredBudgets(stored for stored, _ in kept)
        sums = Sums[StoredCounters]()
        for part in parts:
            for step in part.steps(verification.STEP_ROWS):
                await reader.query(DEADLINE_S, _add, step, budgets, sums)
        for stored, one in kept:
            expected = {subject: usage for (of, _, subject), usage in sums.items() if of is stored}
            for subject in sorted(expected.keys() | one.usage.keys()):
                both = _totals(expected.get(subject)), _totals(one.usage.get(subject))
                if both[0] != both[1]:
                    key = {"limit": one.name, "subject": subject}
                    yield Difference(TABLE, None, None if stored.by_period else one.window_start, key, *both)


def _kept(connection: Connection) -> list[tuple[Kept, tuple[PeriodPart, ...]]]:
    """Return the counters by budget and window, each with the rows that it should have."""
    unbilled = billing_periods.next_period(connection, None)
    found: list[tuple[Kept, tuple[PeriodPart, ...]]] = []
    for one in limit_usage.kept(connection):
        stored = StoredCounters.of_shape(one.name, one.shape)
        if not stored.by_period:
            since, until = stored.window_at(one.window_start)
            found.append((one, (PeriodPart(1, one.counted_seq, since, until),)))
        elif one.window_start == unbilled.number:
            parts = (part._replace(last_seq=min(part.last_seq, one.counted_seq)) for part in unbilled.parts)
            found.append((one, tuple(parts)))
    return found


def _add(connection: Connection, part: PeriodPart, budgets: StoredBudgets, sums: Sums[StoredCounters]) -> None:
    for group in usage_by_group(connection, billing_periods.is_in([part]), by_context=True):
        for one, subject in budgets.counters(group[:5]):
            sums.add(one, 0, subject, group[5:])


def _totals(usage: Sequence[int] | None) -> UsageTotals:
    """Return what a counter has as the sums of a report; those that it has not are 0."""
    if usage is None:
        return NO_USAGE
    sums = dict.fromkeys(COUNTS, 0) | dict(zip(limit_usage.SUMMED, usage, strict=True))
    return UsageTotals(**sums)

"""Billing periods: ranges of `seq` that follow each other without a gap, so that each row is in exactly one."""

from sqlalchemy import Connection, Row, insert, select

from hero_broker.core.errors import Conflict, InvalidParams, NotRecorded
from hero_broker.core.money import usd_text
from hero_broker.core.records import Period, UsageTotals
from hero_broker.store import rollups
from hero_broker.store.schema import ALL_TIME, BILLING_PERIODS, COUNTS, REQUEST_LOGS, USAGE_BY_MODEL
from hero_broker.store.sums import COST, LARGEST, bounded, parts_of, rollup_sums, row_sums, summed, whole_of

PeriodSums = tuple[int, ...]  # in the order of COUNTS


def periods(connection: Connection) -> list[Period]:
    """Return all periods, the oldest first."""
    return [_period(row) for row in connection.execute(select(BILLING_PERIODS).order_by(BILLING_PERIODS.c.number))]


def find(connection: Connection, reference: str) -> Period:
    """Return the period of a reference.

    Raises:
        NotRecorded: there is none.
    """
    found = connection.execute(select(BILLING_PERIODS).where(BILLING_PERIODS.c.reference == reference)).one_or_none()
    if found is None:
        raise NotRecorded("No such period")
    return _period(found)


def unbilled(connection: Connection, to_seq: int | None = None) -> Period:
    """Return what is in no period yet, up to and including `to_seq`."""
    number, billed = _last(connection)
    last = rollups.rollup_state(connection).last_seq if to_seq is None else to_seq
    counts = [int(value) for value in _between(connection, billed, last)] if last > billed else [0] * len(COUNTS)
    return Period(number + 1, None, billed + 1, max(last, billed), None, UsageTotals(*counts))


def mark(connection: Connection, counted: Period, reference: str, to_seq: int, marked_at: int) -> Period | None:
    """Record what was `counted` up to `to_seq` as a period, in a transaction that writes; once for a reference.

    None says that another period was marked since the counting, and it is to be counted anew.

    Raises:
        Conflict: the reference is another range's, or all of the range is in a period already.
        InvalidParams: the range costs more than a period can hold.
    """
    same = connection.execute(select(BILLING_PERIODS).where(BILLING_PERIODS.c.reference == reference)).one_or_none()
    if same is not None:
        if same.to_seq != to_seq:
            raise Conflict(f"This reference is the period of seq {same.from_seq} to {same.to_seq}")
        return _period(same)
    _, billed = _last(connection)
    if to_seq <= billed:
        raise Conflict(f"Calls up to and including seq {billed} are billed already")
    if counted.from_seq != billed + 1:
        return None
    if counted.totals.cost_nano_usd > LARGEST:
        raise InvalidParams("to_seq", f"must be smaller: a period's cost is at most {usd_text(LARGEST)} USD")
    counts = {name: getattr(counted.totals, name) for name in COUNTS}
    connection.execute(
        insert(BILLING_PERIODS).values(
            number=counted.number,
            reference=reference,
            from_seq=counted.from_seq,
            to_seq=counted.to_seq,
            marked_at=marked_at,
            **counts,
        )
    )
    return Period(counted.number, reference, counted.from_seq, counted.to_seq, marked_at, counted.totals)


def check_to_seq(connection: Connection, to_seq: int) -> None:
    """Refuse a `to_seq` that the ledger has not reached.

    Raises:
        InvalidParams: it has not.
    """
    last = rollups.rollup_state(connection).last_seq
    if to_seq > last:
        raise InvalidParams("to_seq", f"must be at most {last}, the last of the ledger")


def _period(row: Row[tuple[int | str, ...]]) -> Period:
    totals = UsageTotals(*(getattr(row, name) for name in COUNTS))
    return Period(row.number, row.reference, row.from_seq, row.to_seq, row.marked_at, totals)


def _last(connection: Connection) -> tuple[int, int]:
    """Return the number of the last period and where it ends; 0, 0 where there is none."""
    c = BILLING_PERIODS.c
    found = connection.execute(select(c.number, c.to_seq).order_by(c.number.desc()).limit(1)).one_or_none()
    return (0, 0) if found is None else (found.number, found.to_seq)


def _between(connection: Connection, after_seq: int, to_seq: int) -> PeriodSums:
    """Sum the rows above `after_seq`, up to and including `to_seq`, by adding up as few of them as possible."""
    standing = rollups.rollup_state(connection)
    if to_seq - after_seq <= abs(standing.folded_seq - to_seq):
        return group_counts(connection, after_seq, to_seq)
    # All up to the watermark, plus or minus the rows between it and `to_seq`, minus all that was billed before.
    c = USAGE_BY_MODEL.c
    all_time = select(*bounded(connection.dialect.name, rollup_sums(USAGE_BY_MODEL))).where(
        c.generation == standing.generation, c.span_s == ALL_TIME, c.begins_at == 0
    )
    folded = connection.execute(all_time).one()
    if folded.cost_nano_usd == LARGEST:
        return group_counts(connection, after_seq, to_seq)
    rest = group_counts(connection, *sorted((standing.folded_seq, to_seq)))
    sign = 1 if to_seq > standing.folded_seq else -1
    # Added up here: the sum of several periods may be more than the store's integers hold.
    marked = connection.execute(select(*(BILLING_PERIODS.c[name] for name in COUNTS))).all()
    billed = [sum(column) for column in zip(*marked, strict=True)] or [0] * len(COUNTS)
    return tuple(int(folded[at] or 0) + sign * rest[at] - billed[at] for at in range(len(COUNTS)))


def group_counts(connection: Connection, after_seq: int, to_seq: int) -> PeriodSums:
    """Add up the rows above `after_seq`, up to and including `to_seq`."""
    seq, contributions = REQUEST_LOGS.c.seq, row_sums()
    sums = summed({name: contributions[name] for name in COUNTS if name != COST})
    query = select(*sums, *parts_of(contributions[COST])).where(seq > after_seq, seq <= to_seq)
    *counts, high, low = connection.execute(query).one()
    return (*(int(value or 0) for value in counts), whole_of(high, low))

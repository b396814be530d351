"""Statements on billing periods: gapless ranges of `seq`, so that each row is in exactly one."""

from typing import Any

from sqlalchemy import Connection, Engine, Row, func, insert, select, update

from hero_broker.core.errors import Conflict, InvalidParams, NotRecorded
from hero_broker.core.money import usd_text
from hero_broker.core.records import Period, UsageTotals
from hero_broker.store import rollups
from hero_broker.store.engine import FOLDS
from hero_broker.store.schema import ALL_TIME, BILLING_PERIODS, COUNTS, REQUEST_LOGS, SUMS_SINCE_5, USAGE_BY_MODEL
from hero_broker.store.sums import COST, LARGEST, bounded, parts_of, rollup_sums, row_sums, summed, whole_of

PeriodSums = tuple[int, ...]  # in the order of COUNTS


def periods(connection: Connection) -> list[Period]:
    """Return all periods, the oldest first."""
    rows = connection.execute(select(BILLING_PERIODS).order_by(BILLING_PERIODS.c.number)).all()
    return [_period(connection, row) for row in rows]


def find(connection: Connection, reference: str) -> Period:
    """Return the period with this reference.

    Raises:
        NotRecorded: no period has this reference.
    """
    row = connection.execute(select(BILLING_PERIODS).where(BILLING_PERIODS.c.reference == reference)).one_or_none()
    if row is None:
        raise NotRecorded("No such period")
    return _period(connection, row)


def unbilled(connection: Connection, to_seq: int | None = None) -> Period:
    """Return the rows that are in no period yet, up to and including `to_seq`."""
    number, billed = _last(connection)
    last = rollups.rollup_state(connection).last_seq if to_seq is None else to_seq
    counts = [int(value) for value in _between(connection, billed, last)] if last > billed else [0] * len(COUNTS)
    return Period(number + 1, None, billed + 1, max(last, billed), None, UsageTotals(*counts))


def mark(connection: Connection, counted: Period, reference: str, to_seq: int, marked_at: int) -> Period | None:
    """Record `counted`, the unbilled rows up to `to_seq`, as a period, once for a reference.

    Needs a writing transaction. Returns None if another period was marked since the counting: count again.

    Raises:
        Conflict: the reference belongs to another range, or `to_seq` is billed already.
        InvalidParams: the range costs more than one period can store.
    """
    existing = connection.execute(select(BILLING_PERIODS).where(BILLING_PERIODS.c.reference == reference)).one_or_none()
    if existing is not None:
        if existing.to_seq != to_seq:
            raise Conflict(f"This reference names the period of seq {existing.from_seq} to {existing.to_seq}")
        return _period(connection, existing)
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
            summed_to_seq=to_seq,
            **counts,
        )
    )
    return Period(counted.number, reference, counted.from_seq, counted.to_seq, marked_at, counted.totals)


def check_to_seq(connection: Connection, to_seq: int) -> None:
    """Reject a `to_seq` above the last row.

    Raises:
        InvalidParams: the ledger has not reached `to_seq`.
    """
    last = rollups.rollup_state(connection).last_seq
    if to_seq > last:
        raise InvalidParams("to_seq", f"must be at most {last}, the last seq of the ledger")


def complete(engine: Engine, max_rows: int) -> int:
    """Add the next rows, at most `max_rows`, to the sums that a period lacks; return how many, 0 if none lacks any.

    A broker of the previous release marks periods without these sums.
    """
    c = BILLING_PERIODS.c
    lacking = select(BILLING_PERIODS).where(func.coalesce(c.summed_to_seq, c.from_seq - 1) < c.to_seq)
    with engine.begin() as connection:
        row = connection.execute(lacking.order_by(c.number).limit(1)).one_or_none()
        if row is None:
            return 0
        first = _summed_to(row)
        last = min(row.to_seq, first + max_rows)
        more = _sums_since_5(connection, first, last)
    added = {name: func.coalesce(c[name], 0) + value for name, value in more.items()}
    # If another broker has done the same meanwhile, nothing is changed.
    unchanged = [c.number == row.number, c.summed_to_seq.is_not_distinct_from(row.summed_to_seq)]
    with engine.execution_options(**FOLDS).begin() as connection:
        connection.execute(update(BILLING_PERIODS).where(*unchanged).values(summed_to_seq=last, **added))
    return int(last - first)


def _period(connection: Connection, row: Row[Any]) -> Period:
    """Return the period of a row of the table; sums that it lacks are read from its calls."""
    counts = {name: getattr(row, name) or 0 for name in COUNTS}
    if (first := _summed_to(row)) < row.to_seq:
        for name, more in _sums_since_5(connection, first, row.to_seq).items():
            counts[name] += more
    return Period(row.number, row.reference, row.from_seq, row.to_seq, row.marked_at, UsageTotals(**counts))


def _summed_to(row: Row[Any]) -> int:
    return int(row.from_seq - 1 if row.summed_to_seq is None else row.summed_to_seq)


def _sums_since_5(connection: Connection, after_seq: int, to_seq: int) -> dict[str, int]:
    sums = dict(zip(COUNTS, group_counts(connection, after_seq, to_seq), strict=True))
    return {name: sums[name] for name in SUMS_SINCE_5}


def _last(connection: Connection) -> tuple[int, int]:
    """Return the number and the last `seq` of the last period; (0, 0) if there is none."""
    c = BILLING_PERIODS.c
    row = connection.execute(select(c.number, c.to_seq).order_by(c.number.desc()).limit(1)).one_or_none()
    return (0, 0) if row is None else (row.number, row.to_seq)


def _between(connection: Connection, after_seq: int, to_seq: int) -> PeriodSums:
    """Sum the rows above `after_seq`, up to and including `to_seq`, reading as few of them as possible."""
    state = rollups.rollup_state(connection)
    if to_seq - after_seq <= abs(state.folded_seq - to_seq):
        return group_counts(connection, after_seq, to_seq)
    # All rows up to the watermark, plus or minus the rows between it and `to_seq`, minus all that was billed before.
    c = USAGE_BY_MODEL.c
    all_time = select(*bounded(connection.dialect.name, rollup_sums(USAGE_BY_MODEL))).where(
        c.generation == state.generation, c.span_s == ALL_TIME, c.begins_at == 0
    )
    folded = connection.execute(all_time).one()
    if folded.cost_nano_usd == LARGEST:
        return group_counts(connection, after_seq, to_seq)
    rest = group_counts(connection, *sorted((state.folded_seq, to_seq)))
    sign = 1 if to_seq > state.folded_seq else -1
    # Summed in Python: the sum of several periods may exceed the integers of the store.
    marked = [one.totals for one in periods(connection)]
    billed = [sum(getattr(one, name) for one in marked) for name in COUNTS]
    return tuple(int(folded[at] or 0) + sign * rest[at] - billed[at] for at in range(len(COUNTS)))


def group_counts(connection: Connection, after_seq: int, to_seq: int) -> PeriodSums:
    """Sum the rows above `after_seq`, up to and including `to_seq`."""
    seq, contributions = REQUEST_LOGS.c.seq, row_sums()
    sums = summed({name: contributions[name] for name in COUNTS if name != COST})
    query = select(*sums, *parts_of(contributions[COST])).where(seq > after_seq, seq <= to_seq)
    *counts, high, low = connection.execute(query).one()
    return (*(int(value or 0) for value in counts), whole_of(high, low))

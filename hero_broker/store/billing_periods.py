"""Statements on billing periods. Each row is in one of them at most, whenever it was recorded.

A row is in the first period whose `to_seq` it does not exceed and whose `until`, if it has one, it began before.
`to_seq` never falls, and `until` grows. So the rows of a period are those above the `to_seq` of the period before, and
those that the closed periods since the last marked one held over.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Engine, Row, and_, func, insert, or_, select, update

from hero_broker.core.errors import Conflict, InvalidParams, NotRecorded
from hero_broker.core.local_time import utc_text
from hero_broker.core.money import usd_text
from hero_broker.core.records import Period, PeriodPart, UsageTotals
from hero_broker.store import rollups
from hero_broker.store.engine import FOLDS
from hero_broker.store.schema import (
    ALL_TIME,
    BILLING_PERIODS,
    COUNTS,
    REQUEST_LOGS,
    SUMS,
    SUMS_SINCE_5,
    USAGE_BY_MODEL,
)
from hero_broker.store.sums import COST, LARGEST, bounded, parts_of, rollup_sums, row_sums, summed, whole_of

PeriodSums = tuple[int, ...]  # in the order of COUNTS


class Unbilled(NamedTuple):
    """Which rows are in no period yet."""

    number: int  # of the next period
    parts: tuple[PeriodPart, ...]  # the later rows first
    last_until: int | None  # of the last period that has one
    may_end_at: int  # the least `to_seq` of a next period that may have rows


def periods(connection: Connection) -> list[Period]:
    """Return all periods, the oldest first."""
    rows = connection.execute(select(BILLING_PERIODS).order_by(BILLING_PERIODS.c.number)).all()
    return [_period(connection, row) for row in rows]


def find(connection: Connection, reference: str) -> Period:
    """Return the period with this reference.

    Raises:
        NotRecorded: no period has this reference.
    """
    row = _find(connection, reference)
    if row is None:
        raise NotRecorded("No such period")
    return _period(connection, row)


def unbilled(connection: Connection, to_seq: int | None = None) -> Period:
    """Return the rows that are in no period yet, up to and including `to_seq`."""
    next_one = next_period(connection, to_seq)
    totals = UsageTotals(*_sum(connection, next_one.parts))
    newest = next_one.parts[0]
    from_seq = min(part.first_seq for part in next_one.parts)
    return Period(next_one.number, None, from_seq, newest.last_seq, None, totals, parts=next_one.parts)


def next_period(connection: Connection, to_seq: int | None) -> Unbilled:
    """Return which rows up to and including `to_seq`, or which of all rows, are in no period yet."""
    if to_seq is None:
        to_seq = rollups.rollup_state(connection).last_seq
    c = BILLING_PERIODS.c
    columns = (c.number, c.to_seq, c.until, c.held_over_from_seq)
    last = connection.execute(select(*columns).order_by(c.number.desc()).limit(1)).one_or_none()
    if last is None:
        return Unbilled(1, (PeriodPart(1, max(0, to_seq), None, None),), None, 1)
    parts = [PeriodPart(last.to_seq + 1, max(to_seq, last.to_seq), None, None)]
    if last.held_over_from_seq is not None:
        parts.append(PeriodPart(last.held_over_from_seq, last.to_seq, last.until, None))
    last_until = connection.execute(select(func.max(c.until))).scalar_one()
    return Unbilled(last.number + 1, tuple(parts), last_until, last.to_seq + (last.held_over_from_seq is None))


def before_period(connection: Connection, period: Period) -> Unbilled:
    """Return which rows up to a period's `to_seq` were in no period before it."""
    c = BILLING_PERIODS.c
    last_until = connection.execute(select(func.max(c.until)).where(c.number < period.number)).scalar_one()
    parts = tuple(part._replace(until=None) for part in period.parts)
    return Unbilled(period.number, parts, last_until, period.to_seq)


def reference_of(connection: Connection, seq: int, started_at: int) -> str | None:
    """Return the reference of the period that has a row; None if it is in none yet."""
    c = BILLING_PERIODS.c
    has_row = (c.to_seq >= seq, or_(c.until.is_(None), c.until > started_at))
    return connection.execute(select(c.reference).where(*has_row).order_by(c.number).limit(1)).scalar_one_or_none()


def mark(connection: Connection, counted: Period, reference: str, to_seq: int, marked_at: int) -> Period | None:
    """Record `counted`, the unbilled rows up to `to_seq`, as a period, once for a reference.

    Needs a writing transaction. Returns None if another period was marked since the counting: count again.

    Raises:
        Conflict: the reference belongs to another period, or all rows up to `to_seq` are billed already.
        InvalidParams: the range costs more than one period can store.
    """
    existing = _find(connection, reference)
    if existing is not None:
        if existing.to_seq != to_seq or existing.until is not None:
            raise Conflict(_taken(existing), "reference_taken")
        return _period(connection, existing)
    next_one = next_period(connection, to_seq)
    if to_seq < next_one.may_end_at:
        raise Conflict(f"Calls up to and including seq {next_one.may_end_at - 1} are billed already", "already_billed")
    if (counted.number, counted.parts) != (next_one.number, next_one.parts):
        return None
    return _insert(connection, counted, "to_seq", reference, marked_at, held_over_from_seq=None)


def check_close(connection: Connection, reference: str, until: int) -> Period | None:
    """Return the period with this reference and `until` if it was closed already; None if it can be closed.

    Raises:
        Conflict: the reference belongs to another period, or `until` is not later than that of an earlier period.
    """
    existing = _find(connection, reference)
    if existing is not None:
        if existing.until != until:
            raise Conflict(_taken(existing), "reference_taken")
        return _period(connection, existing)
    c = BILLING_PERIODS.c
    latest = connection.execute(select(c.reference, c.until).order_by(c.until.desc().nulls_last()).limit(1)).first()
    if latest is not None and latest.until is not None and until <= latest.until:
        raise Conflict(
            f"until must be later than {utc_text(latest.until)}, that of the period {latest.reference!r}", "not_later"
        )
    return None


def close(connection: Connection, counted: Period, marked_at: int, held_over_from_seq: int | None) -> Period | None:
    """Record a closed period, without its lines. Needs a writing transaction, and `check_close` in it.

    Returns None if another period was marked since the counting: count again.

    Raises:
        InvalidParams: the period costs more than one can store.
    """
    next_one = next_period(connection, counted.to_seq)
    unbounded = tuple(part._replace(until=None) for part in counted.parts)
    if (counted.number, unbounded) != (next_one.number, next_one.parts) or counted.reference is None:
        return None
    return _insert(connection, counted, "until", counted.reference, marked_at, held_over_from_seq)


def check_to_seq(connection: Connection, to_seq: int) -> None:
    """Reject a `to_seq` above the last row.

    Raises:
        InvalidParams: the ledger has not reached `to_seq`.
    """
    last = rollups.rollup_state(connection).last_seq
    if to_seq > last:
        raise InvalidParams("to_seq", f"must be at most {last}, the last seq of the ledger")


def group_lines(connection: Connection, part: PeriodPart) -> list[tuple[str, str, UsageTotals]]:
    """Sum the rows of a part by address and model."""
    c = REQUEST_LOGS.c
    contributions = row_sums()
    columns = summed({name: contributions[name] for name in SUMS if name != COST})
    query = select(c.ip, c.model, *columns, *parts_of(contributions[COST])).where(is_in([part]))
    groups = []
    for ip, model, *counts, first_seen, last_seen, high, low in connection.execute(query.group_by(c.ip, c.model)):
        values = [*(int(value) for value in counts), whole_of(high, low), first_seen, last_seen]
        groups.append((ip, model, UsageTotals(*values)))
    return groups


def is_in(parts: Sequence[PeriodPart]) -> ColumnElement[bool]:
    """Return the condition for rows of `request_logs` in one of the parts."""
    c = REQUEST_LOGS.c
    alternatives = []
    for part in parts:
        bounds = [c.seq >= part.first_seq, c.seq <= part.last_seq]
        if part.since is not None:
            bounds.append(c.started_at >= part.since)
        if part.until is not None:
            bounds.append(c.started_at < part.until)
        alternatives.append(and_(*bounds))
    return or_(*alternatives)


def complete(engine: Engine, max_rows: int) -> int:
    """Add the next rows, at most `max_rows`, to the sums that a period lacks; return how many, 0 if none lacks any.

    A broker of schema 4 marked periods without these sums; none of them has an `until`.
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


def _find(connection: Connection, reference: str) -> Row[Any] | None:
    return connection.execute(select(BILLING_PERIODS).where(BILLING_PERIODS.c.reference == reference)).one_or_none()


def _taken(existing: Row[Any]) -> str:
    if existing.until is not None:
        return f"This reference names the period of calls that began before {utc_text(existing.until)}"
    return f"This reference names the period of seq {existing.from_seq} to {existing.to_seq}"


def _insert(
    connection: Connection,
    counted: Period,
    bound: str,
    reference: str,
    marked_at: int,
    held_over_from_seq: int | None,
) -> Period:
    """Insert a period; `bound` is the parameter that would have to be smaller if it costs too much."""
    if counted.totals.cost_nano_usd > LARGEST:
        raise InvalidParams(bound, f"must be smaller: a period's cost is at most {usd_text(LARGEST)} USD")
    newest, *earlier = counted.parts
    values = {
        "number": counted.number,
        "reference": reference,
        "from_seq": newest.first_seq,
        "to_seq": counted.to_seq,
        "marked_at": marked_at,
        "summed_to_seq": counted.to_seq,
        "until": counted.until,
        "tz": counted.zone,
        "earlier_from_seq": earlier[0].first_seq if earlier else None,
        "earlier_since": earlier[0].since if earlier else None,
        "late_requests": counted.late_requests or 0,
        "held_over_requests": counted.held_over_requests or 0,
        "held_over_from_seq": held_over_from_seq,
        **{name: getattr(counted.totals, name) for name in COUNTS},
    }
    connection.execute(insert(BILLING_PERIODS).values(values))
    return replace(counted, reference=reference, marked_at=marked_at)


def _period(connection: Connection, row: Row[Any]) -> Period:
    """Return the period of a row of the table; sums that it lacks are read from its calls."""
    counts = {name: getattr(row, name) or 0 for name in COUNTS}
    if (first := _summed_to(row)) < row.to_seq:
        for name, more in _sums_since_5(connection, first, row.to_seq).items():
            counts[name] += more
    parts = [PeriodPart(row.from_seq, row.to_seq, None, row.until)]
    if row.earlier_from_seq is not None:
        parts.append(PeriodPart(row.earlier_from_seq, row.from_seq - 1, row.earlier_since, row.until))
    is_closed = row.until is not None
    return Period(
        row.number,
        row.reference,
        min(part.first_seq for part in parts),
        row.to_seq,
        row.marked_at,
        UsageTotals(**counts),
        until=row.until,
        zone=row.tz,
        late_requests=row.late_requests if is_closed else None,
        held_over_requests=row.held_over_requests if is_closed else None,
        parts=tuple(parts),
    )


def _summed_to(row: Row[Any]) -> int:
    return int(row.from_seq - 1 if row.summed_to_seq is None else row.summed_to_seq)


def _sums_since_5(connection: Connection, after_seq: int, to_seq: int) -> dict[str, int]:
    sums = dict(zip(COUNTS, group_counts(connection, PeriodPart(after_seq + 1, to_seq, None, None)), strict=True))
    return {name: sums[name] for name in SUMS_SINCE_5}


def _sum(connection: Connection, parts: Sequence[PeriodPart]) -> PeriodSums:
    """Sum all unbilled rows up to a `seq`, reading as few of them as possible."""
    newest = parts[0]
    state = rollups.rollup_state(connection)
    if newest.last_seq - newest.first_seq < abs(state.folded_seq - newest.last_seq):
        return _added(group_counts(connection, part) for part in parts)
    # All rows up to the watermark, plus or minus the rows between it and the last one, minus all that is billed.
    c = USAGE_BY_MODEL.c
    all_time = select(*bounded(connection.dialect.name, rollup_sums(USAGE_BY_MODEL))).where(
        c.generation == state.generation, c.span_s == ALL_TIME, c.begins_at == 0
    )
    folded = connection.execute(all_time).one()
    if folded.cost_nano_usd == LARGEST:
        return _added(group_counts(connection, part) for part in parts)
    after_seq, to_seq = sorted((state.folded_seq, newest.last_seq))
    rest = group_counts(connection, PeriodPart(after_seq + 1, to_seq, None, None))
    sign = 1 if newest.last_seq > state.folded_seq else -1
    # Summed in Python: the sum of several periods may exceed the integers of the store.
    marked = [one.totals for one in periods(connection)]
    billed = [sum(getattr(one, name) for one in marked) for name in COUNTS]
    return tuple(int(folded[at] or 0) + sign * rest[at] - billed[at] for at in range(len(COUNTS)))


def _added(sums: Iterable[PeriodSums]) -> PeriodSums:
    return tuple(sum(values) for values in zip(*sums, strict=True))


def group_counts(connection: Connection, part: PeriodPart) -> PeriodSums:
    """Sum the rows of a part."""
    contributions = row_sums()
    sums = summed({name: contributions[name] for name in COUNTS if name != COST})
    query = select(*sums, *parts_of(contributions[COST])).where(is_in([part]))
    *counts, high, low = connection.execute(query).one()
    return (*(int(value or 0) for value in counts), whole_of(high, low))

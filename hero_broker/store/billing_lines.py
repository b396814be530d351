"""The lines of billing periods: sums by address and model.

A close adds them up in a temporary table. As Python's objects they would hold up the calls: a month has too many.
"""

from typing import Any, NamedTuple

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    MetaData,
    Select,
    Subquery,
    Table,
    Text,
    case,
    func,
    insert,
    literal,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateTable

from hero_broker.core.labels import LabelIndex
from hero_broker.core.records import PeriodLine, PeriodPart, UsageTotals
from hero_broker.store import rollups
from hero_broker.store.address_labels import label_of, label_values, with_labels
from hero_broker.store.billing_periods import is_in
from hero_broker.store.prepared import parameter, prepare
from hero_broker.store.schema import BIG, BILLING_LINES, REQUEST_LOGS, SUMS
from hero_broker.store.sums import COST, parts_of, row_sums, summed, whole_of

# What a counted row is for a period that is to be closed.
INSIDE, LATE, HELD_OVER = 0, 1, 2

_WITHOUT_COST = tuple(name for name in SUMS if name != COST)
# A cost has two columns here, as `parts_of` returns them: sums of any size are exact.
_COUNTED_SUMS = (*_WITHOUT_COST, "cost_high", "cost_low")
_HIGH_UNIT = 2**31

_COUNTED = Table(
    "counted_lines",
    MetaData(),
    *(Column(name, Text, primary_key=True) for name in ("ip", "model")),
    Column("side", BIG, primary_key=True, autoincrement=False),
    Column("first_seq", BIG),
    *(Column(name, BIG, nullable=False) for name in _COUNTED_SUMS),
    prefixes=["TEMPORARY"],
    sqlite_with_rowid=False,
    postgresql_on_commit="DROP",
)


class CountedRows(NamedTuple):
    """The sums of some rows, and their first `seq`."""

    first_seq: int
    totals: UsageTotals


def lines(connection: Connection, number: int) -> list[PeriodLine]:
    """Return the lines of a closed period, by address and model."""
    c = BILLING_LINES.c
    query = select(c.ip, c.model, c.label, *(c[name] for name in SUMS)).where(c.number == number)
    rows = connection.execute(query.order_by(c.ip, c.model)).all()
    return [PeriodLine(row[0], row[1], row[2], UsageTotals(*row[3:])) for row in rows]


def unlabelled(connection: Connection, number: int) -> UsageTotals:
    """Return the sums of a closed period's lines without a label."""
    c = BILLING_LINES.c
    columns = [*summed({name: c[name] for name in _WITHOUT_COST}), *parts_of(c[COST])]
    return _totals(connection.execute(select(*columns).where(c.number == number, c.label.is_(None))).one())


def counted_sides(
    connection: Connection, part: PeriodPart, until: int, late_before: int | None
) -> dict[int, CountedRows]:
    """Sum the rows of a part by what they are for a close at `until`; the period before ends at `late_before`."""
    return _by_side(connection, _sums_of_rows(part, until, late_before, []))


def begin_count(connection: Connection) -> None:
    """Make the table in which `count` adds up; it ends with the connection, or with PostgreSQL's transaction."""
    connection.execute(CreateTable(_COUNTED))


def count(connection: Connection, part: PeriodPart, until: int, late_before: int | None) -> None:
    """Add the rows of a part to the lines that are counted."""
    c = REQUEST_LOGS.c
    insert_into = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    names = ["side", "first_seq", *_COUNTED_SUMS, "ip", "model"]
    adding: Any = insert_into(_COUNTED).from_select(names, _sums_of_rows(part, until, late_before, [c.ip, c.model]))
    old, new = _COUNTED.c, adding.excluded
    merged: dict[str, ColumnElement[int]] = {name: old[name] + new[name] for name in _COUNTED_SUMS}
    least, greatest = (func.min, func.max) if connection.dialect.name == "sqlite" else (func.least, func.greatest)
    merged |= {name: least(old[name], new[name]) for name in ("first_seq", "first_seen")}
    merged["last_seen"] = greatest(old.last_seen, new.last_seen)
    connection.execute(adding.on_conflict_do_update(index_elements=list(_COUNTED.primary_key.columns), set_=merged))


def sides(connection: Connection) -> dict[int, CountedRows]:
    """Return the sums of what was counted, by what it is for the period."""
    c = _COUNTED.c
    sums = summed({name: c[name] for name in _COUNTED_SUMS})
    return _by_side(connection, select(c.side, func.min(c.first_seq), *sums).group_by(c.side))


def unlabelled_counted(connection: Connection, names: LabelIndex) -> UsageTotals:
    """Return the sums of the counted lines that would have no label."""
    dialect = connection.dialect.name
    of_period = _counted_lines()
    label = label_of(dialect, of_period.c.ip)
    sums: list[ColumnElement[Any]] = [*summed({name: of_period.c[name] for name in _COUNTED_SUMS})]
    query = select(*sums).where(label.is_(None))
    query = query.select_from(with_labels(dialect, of_period, of_period.c.ip))
    _, folded = rollups.watermark(connection)
    return _totals(prepare(dialect, query).rows(connection, {**label_values(names), "folded": folded})[0])


def write(connection: Connection, number: int, names: LabelIndex) -> None:
    """Write the counted lines as those of a period, with the labels of now. Needs a writing transaction."""
    dialect = connection.dialect.name
    of_period = _counted_lines()
    c = of_period.c
    values = {**{name: c[name] for name in _WITHOUT_COST}, COST: c.cost_high * literal(_HIGH_UNIT, BIG) + c.cost_low}
    columns = [parameter("number", BIG), c.ip, c.model, label_of(dialect, c.ip), *(values[name] for name in SUMS)]
    query = select(*columns).select_from(with_labels(dialect, of_period, c.ip))
    adding = insert(BILLING_LINES).from_select(["number", "ip", "model", "label", *SUMS], query)
    _, folded = rollups.watermark(connection)
    prepare(dialect, adding).run(connection, {**label_values(names), "folded": folded, "number": number})


def _sums_of_rows(part: PeriodPart, until: int, late_before: int | None, keys: list[ColumnElement[str]]) -> Select[Any]:
    """SELECT side, first_seq, sums, keys FROM request_logs GROUP BY side, keys."""
    c = REQUEST_LOGS.c
    side: ColumnElement[int] = case((c.started_at >= until, HELD_OVER), else_=literal(INSIDE))
    if late_before is not None:
        side = case((c.started_at < late_before, LATE), else_=side)
    contributions = row_sums()
    sums = [*summed({name: contributions[name] for name in _WITHOUT_COST}), *parts_of(contributions[COST])]
    columns: list[ColumnElement[Any]] = [side.label("side"), func.min(c.seq), *sums, *keys]
    return select(*columns).where(is_in([part])).group_by("side", *keys)


def _counted_lines() -> Subquery:
    """SELECT ip, model, sums FROM counted_lines WHERE they are the period's GROUP BY ip, model."""
    c = _COUNTED.c
    sums = summed({name: c[name] for name in _COUNTED_SUMS})
    return select(c.ip, c.model, *sums).where(c.side != HELD_OVER).group_by(c.ip, c.model).subquery("of_period")


def _by_side(connection: Connection, query: Select[Any]) -> dict[int, CountedRows]:
    rows = connection.execute(query).all()
    return {side: CountedRows(int(first_seq), _totals(sums)) for side, first_seq, *sums in rows}


def _totals(sums: Any) -> UsageTotals:
    """Return totals from values in the order of `_COUNTED_SUMS`; they are NULL without rows."""
    *values, high, low = sums
    named = dict(zip(_WITHOUT_COST, values, strict=True))
    bounds = {name: named.pop(name) for name in ("first_seen", "last_seen")}
    return UsageTotals(
        **{name: int(value or 0) for name, value in named.items()}, cost_nano_usd=whole_of(high, low), **bounds
    )

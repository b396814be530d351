"""Folds rows into the roll-ups, up to a watermark: the `seq` up to which a generation of them is complete.

Reports read the active generation and add the rows above its watermark, so a fold may come late, or never. A rebuild
folds all rows into a new generation in the same steps, and then activates it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Table,
    Text,
    case,
    delete,
    func,
    insert,
    literal,
    select,
    tuple_,
    union_all,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateTable

from hero_broker.store.engine import FOLDS
from hero_broker.store.prepared import Prepared, is_about_data, is_overflow, parameter, prepare
from hero_broker.store.schema import (
    ADDRESSES,
    ALL_TIME,
    BIG,
    FRESH,
    HOUR,
    REQUEST_LOGS,
    ROLLUP_STATE,
    ROLLUPS,
    SUMS,
    USAGE_BY_MODEL,
)
from hero_broker.store.sums import COST, bounded, bounded_addition, rollup_sums, row_sums, summed

ACTIVE, BUILDING, RETIRED = "active", "building", "retired"
FIRST_GENERATION = 1
NO_KEY = ""  # in `FRESH`
# Rows above the watermark are few, except after a migration or in a copy, until they are folded. Up to so many are read
# in the order of `seq`, whatever the window; of more, those of the window are read by the index on time.
FEW_ROWS = 20_000
Aggregates = Callable[[Mapping[str, ColumnElement[int]]], list[ColumnElement[int]]]
BOUNDED = {"bounds_sums": True}  # execution options of a fold that limits sums to what the store can hold


def begin(connection: Connection) -> None:
    """Insert the first, empty generation if the ledger has none."""
    if connection.execute(select(func.count()).select_from(ROLLUP_STATE)).scalar_one() == 0:
        connection.execute(insert(ROLLUP_STATE).values(generation=FIRST_GENERATION, folded_seq=0, state=ACTIVE))


def begin_again(connection: Connection) -> None:
    """Retire the roll-ups, and begin an empty generation, into which the next folds add all rows."""
    if watermark(connection)[1]:
        newest = connection.execute(select(func.max(ROLLUP_STATE.c.generation))).scalar_one()
        connection.execute(update(ROLLUP_STATE).values(state=RETIRED))
        _begin(connection, newest + 1, ACTIVE)


def _begin(connection: Connection, generation: int, state: str) -> None:
    first = connection.execute(select(func.min(REQUEST_LOGS.c.seq))).scalar_one()
    start_seq = 0 if first is None else first - 1
    connection.execute(insert(ROLLUP_STATE).values(generation=generation, folded_seq=start_seq, state=state))


def watermark(connection: Connection) -> tuple[int, int]:
    """Return the active generation and the `seq` of its last row."""
    state = ROLLUP_STATE.c
    row = connection.execute(select(state.generation, state.folded_seq).where(state.state == ACTIVE)).one()
    return row.generation, row.folded_seq


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the roll-ups are, for monitoring."""

    generation: int
    folded_seq: int  # rows up to and including it are in the active generation
    rebuilt_seq: int | None  # the same of the generation that is being built; None without a rebuild


@dataclass(frozen=True, slots=True)
class RollupState:
    """The extent of the active roll-ups and of all rows."""

    generation: int
    folded_seq: int  # rows up to and including it are in the roll-ups
    last_seq: int
    first_seen: int | None  # of all rows, folded or not; None without rows
    last_seen: int | None

    @property
    def unfolded(self) -> int:
        """The number of rows above the watermark, at most."""
        return max(0, self.last_seq - self.folded_seq)


@lru_cache(maxsize=2)
def _folded(dialect: str) -> Prepared:
    state, sums = ROLLUP_STATE.c, USAGE_BY_MODEL.c
    all_time = [sums.generation == state.generation, sums.span_s == ALL_TIME, sums.begins_at == 0]
    extent = [
        select(bound).where(*all_time).correlate(ROLLUP_STATE).scalar_subquery()
        for bound in (func.min(sums.first_seen), func.max(sums.last_seen))
    ]
    last = func.coalesce(select(func.max(REQUEST_LOGS.c.seq)).scalar_subquery(), 0)
    return prepare(dialect, select(state.generation, state.folded_seq, last, *extent).where(state.state == ACTIVE))


@lru_cache(maxsize=4)
def _recent(dialect: str, *, are_few: bool) -> Prepared:
    c = REQUEST_LOGS.c
    if not are_few:  # the bounds of all rows, which are the ends of the index on time
        return prepare(dialect, select(*(select(end(c.started_at)).scalar_subquery() for end in (func.min, func.max))))
    # `+ 0` keeps the planner from the index on time.
    bounds = select(func.min(c.started_at + 0), func.max(c.started_at + 0))
    return prepare(dialect, bounds.where(c.seq > parameter("folded", BIG)))


def rollup_state(connection: Connection) -> RollupState:
    """Return the extent of the active roll-ups and of all rows."""
    dialect = connection.dialect.name
    generation, folded_seq, last_seq, *bounds = _folded(dialect).rows(connection, {})[0]
    if last_seq > folded_seq:
        recent = _recent(dialect, are_few=last_seq - folded_seq <= FEW_ROWS)
        bounds.extend(recent.rows(connection, {"folded": folded_seq})[0])
    first: list[int] = [value for value in bounds[::2] if value is not None]
    last: list[int] = [value for value in bounds[1::2] if value is not None]
    return RollupState(generation, folded_seq, last_seq, min(first, default=None), max(last, default=None))


def rebuilding(connection: Connection) -> tuple[int, int] | None:
    """Return the generation that is being built and its last folded `seq`; None without a rebuild."""
    state = ROLLUP_STATE.c
    row = connection.execute(select(state.generation, state.folded_seq).where(state.state == BUILDING)).one_or_none()
    return None if row is None else (row.generation, row.folded_seq)


def progress(connection: Connection) -> Progress:
    """Return how far the roll-ups are."""
    generation, folded_seq = watermark(connection)
    building = rebuilding(connection)
    return Progress(generation, folded_seq, None if building is None else building[1])


def start_rebuild(engine: Engine) -> None:
    """Begin a new generation, which the next folds fill and then activate. A rebuild that already runs continues."""
    with engine.execution_options(**FOLDS).begin() as connection:
        _locked(connection, wait=True)
        if rebuilding(connection) is None:
            newest = connection.execute(select(func.max(ROLLUP_STATE.c.generation))).scalar_one()
            _begin(connection, newest + 1, BUILDING)


def fold(engine: Engine, max_rows: int) -> tuple[int, Progress]:
    """Take one step of about `max_rows` rows, in one transaction; return its size and the progress.

    A size of 0 means that the roll-ups are up to date, or that another broker is folding.
    """
    try:
        return _fold(engine.execution_options(**FOLDS), max_rows)
    except DBAPIError as error:
        if not (is_overflow(error) or is_about_data(error)):
            raise
    # Statements that limit their sums take longer to build, and only absurd costs need them.
    return _fold(engine.execution_options(**FOLDS, **BOUNDED), max_rows)


def _fold(engine: Engine, max_rows: int) -> tuple[int, Progress]:
    with engine.begin() as connection:
        done = _step(connection, max_rows) if _locked(connection, wait=False) else 0
        return done, progress(connection)


def _step(connection: Connection, max_rows: int) -> int:
    last = connection.execute(select(func.max(REQUEST_LOGS.c.seq))).scalar_one() or 0
    generation, folded = watermark(connection)
    done = _advance(connection, generation, folded, min(last, folded + max_rows))
    building = rebuilding(connection)
    if building is not None:
        return done + _rebuild(connection, building, folded + done, max_rows)
    return done or _remove_retired(connection, max_rows)


def _locked(connection: Connection, *, wait: bool) -> bool:
    """Take the lock of folding until the transaction ends; return whether we have it. SQLite has one writer anyway."""
    if connection.dialect.name == "sqlite":
        return True
    lock = func.pg_advisory_xact_lock if wait else func.pg_try_advisory_xact_lock
    return connection.execute(select(lock(int.from_bytes(b"HEROFOLD", "big")))).scalar_one() is not False


def _rebuild(connection: Connection, building: tuple[int, int], folded: int, max_rows: int) -> int:
    generation, rebuilt = building
    done = _advance(connection, generation, rebuilt, min(folded, rebuilt + max_rows))
    if rebuilt + done == folded:
        state = ROLLUP_STATE.c
        connection.execute(update(ROLLUP_STATE).where(state.state == ACTIVE).values(state=RETIRED))
        connection.execute(update(ROLLUP_STATE).where(state.generation == generation).values(state=ACTIVE))
    return max(done, 1)


def _advance(connection: Connection, generation: int, folded: int, to_seq: int) -> int:
    """Add the rows above `folded`, up to and including `to_seq`, to a generation; return the number of positions."""
    if to_seq == folded:
        return 0
    connection.execute(CreateTable(FRESH, if_not_exists=True))
    values = {"generation": generation, "folded": folded, "to_seq": to_seq}
    dialect, is_bounded = connection.dialect.name, not BOUNDED.keys().isdisjoint(connection.get_execution_options())
    for statement in _statements(dialect, is_bounded=is_bounded):
        statement.run(connection, values)
    advance = update(ROLLUP_STATE).where(ROLLUP_STATE.c.generation == generation).values(folded_seq=to_seq)
    connection.execute(advance)
    connection.execute(delete(FRESH))
    return to_seq - folded


@lru_cache(maxsize=4)
def _statements(dialect: str, *, is_bounded: bool) -> Sequence[Prepared]:
    """Return what adds rows to a generation, in this order. Core takes longer to build them than SQLite to run them."""
    sums = partial(bounded, dialect) if is_bounded else summed
    adding = (_add(dialect, table, sums, is_bounded=is_bounded) for table in ROLLUPS)
    return [prepare(dialect, one) for one in (_collect(dialect, sums), _note_addresses(dialect), *adding)]


def _collect(dialect: str, sums: Aggregates) -> Any:
    """INSERT INTO fresh SELECT hour, dimensions, sums FROM (new rows) GROUP BY hour, dimensions."""
    c = REQUEST_LOGS.c
    hour = c.started_at - c.started_at % HOUR
    keys = [hour, c.ip, c.model, c.provider, c.kind, func.coalesce(c.api_key_id, literal(NO_KEY, Text))]
    rows = select(*keys, _same(dialect, c.ip_key), *sums(row_sums()))
    rows = rows.where(c.seq > parameter("folded", BIG), c.seq <= parameter("to_seq", BIG)).group_by(*keys)
    return insert(FRESH).from_select([column.name for column in FRESH.c], rows)


def _same(dialect: str, key: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the key of a group of rows, all of one address. PostgreSQL before 18 has no `max` of bytes."""
    return func.max(key) if dialect == "sqlite" else func.decode(func.max(func.encode(key, "hex")), "hex")


def _insert(dialect: str, table: Table) -> Any:
    return (sqlite.insert if dialect == "sqlite" else postgresql.insert)(table)


def _note_addresses(dialect: str) -> Any:
    new = select(FRESH.c.ip, _same(dialect, FRESH.c.ip_key)).group_by(FRESH.c.ip)
    return _insert(dialect, ADDRESSES).from_select(["ip", "ip_key"], new).on_conflict_do_nothing()


def _add(dialect: str, table: Table, sums: Aggregates, *, is_bounded: bool) -> Any:
    """INSERT INTO rollup SELECT … FROM fresh × spans GROUP BY block ON CONFLICT DO UPDATE SET x = x + …."""
    names = table.info["dimensions"]
    keys = [FRESH.c.hour, *(FRESH.c[name] for name in names)]
    added = select(*keys, *sums(rollup_sums(FRESH))).group_by(*keys)
    if (has := table.info["has"]) is not None:
        added = added.where(FRESH.c[has] != NO_KEY)
    hours = added.subquery("hours")
    spans = union_all(*(select(literal(span).label("span_s")) for span in table.info["spans"])).subquery("spans")
    span = spans.c.span_s
    begins_at = case((span == ALL_TIME, 0), else_=hours.c.hour - hours.c.hour % func.nullif(span, ALL_TIME))
    dimensions = [hours.c[name] for name in names]
    blocks = (
        select(
            parameter("generation", BIG), span, begins_at, *dimensions, *sums({name: hours.c[name] for name in SUMS})
        )
        .select_from(hours.join(spans, literal(True)))
        .group_by(span, begins_at, *dimensions)
    )
    adding = _insert(dialect, table).from_select([column.name for column in table.c], blocks)
    return adding.on_conflict_do_update(
        index_elements=list(table.primary_key.columns),
        set_=_merged(dialect, table, adding.excluded, is_bounded=is_bounded),
    )


def _merged(dialect: str, table: Table, new: Any, *, is_bounded: bool) -> dict[str, ColumnElement[int]]:
    merged: dict[str, ColumnElement[int]] = {name: table.c[name] + new[name] for name in SUMS}
    if is_bounded:
        merged[COST] = bounded_addition(table.c[COST], new[COST])
    least, greatest = (func.min, func.max) if dialect == "sqlite" else (func.least, func.greatest)
    merged["first_seen"] = least(table.c.first_seen, new.first_seen)
    merged["last_seen"] = greatest(table.c.last_seen, new.last_seen)
    return merged


def _remove_retired(connection: Connection, max_rows: int) -> int:
    retired = connection.execute(
        select(ROLLUP_STATE.c.generation).where(ROLLUP_STATE.c.state == RETIRED).limit(1)
    ).scalar_one_or_none()
    if retired is None:
        return 0
    for table in ROLLUPS:
        keys = list(table.primary_key.columns)
        step = select(*keys).where(table.c.generation == retired).limit(max_rows)
        removed = connection.execute(delete(table).where(tuple_(*keys).in_(step))).rowcount
        if removed:
            return removed
    connection.execute(delete(ROLLUP_STATE).where(ROLLUP_STATE.c.generation == retired))
    return 1

"""The stored counters of budgets: what each subject used in a window, added up as rows are written.

Each budget has a watermark: the `seq` up to which rows are in its counters. The transaction that adds rows counts them
and moves the watermark. So a row counts once, whichever broker wrote it and however often a batch was tried. A budget
that lacks more than a few rows is added up again, by `add_up` and `store`.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, bindparam, delete, exists, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect

from hero_broker.store import billing_periods
from hero_broker.store.budget_usage import ROWS, usage_by_group
from hero_broker.store.json_lists import listed
from hero_broker.store.rollups import FEW_ROWS
from hero_broker.store.schema import LIMIT_COUNTS, LIMIT_USAGE, REQUEST_LOGS
from hero_broker.store.sums import COST, LARGEST, bounded_addition

Call = tuple[str | None, ...]  # address, context, model, provider, kind
SUMMED = ("requests", "input_tokens", "output_tokens", COST)
_KEY = ("limit_id", "window_start", "subject")


class Budget(Protocol):
    """A budget whose counters are stored; see `limits.stored_counters`."""

    @property
    def name(self) -> str:
        """The name of its limit."""
        ...

    @property
    def shape(self) -> str:
        """What it counts, and by what: a text that differs if the sums would."""
        ...

    @property
    def by_period(self) -> bool:
        """Whether it counts what is in no billing period yet. Its windows are the numbers of the next period."""
        ...

    @property
    def uses_context(self) -> bool:
        """Whether it looks at the context of calls."""
        ...

    def window_at(self, at: int) -> tuple[int, int]:
        """Return the window of a time (unix seconds), half-open."""
        ...


One = TypeVar("One", bound=Budget)
One_co = TypeVar("One_co", bound=Budget, covariant=True)


class Budgets(Protocol[One_co]):
    """The budgets that rows are counted by."""

    @property
    def budgets(self) -> Sequence[One_co]:
        """All of them."""
        ...

    def counters(self, call: Call, /) -> Sequence[tuple[One_co, str]]:
        """Return the budgets that count a call, each with the subject of its counter."""
        ...


class _State(NamedTuple):
    """How far a budget is counted."""

    limit_id: int
    counted_seq: int  # rows up to and including it are in its counters
    kept_from: int  # the begin of the oldest window that is kept
    latest: int  # the begin of the latest window


class Sums(dict[tuple[One, int, str], list[int]]):
    """What some calls used, in the order of `SUMMED`: by budget, begin of a window, and subject."""

    def add(self, budget: One, begins: int, subject: str, usage: Sequence[int]) -> None:
        """Add what some calls used; no cost exceeds `LARGEST`."""
        key = (budget, begins, subject)
        sums = self.get(key)
        if sums is None:
            self[key] = [*usage]
        else:
            requests, input_tokens, output_tokens, cost = usage
            sums[0] += requests
            sums[1] += input_tokens
            sums[2] += output_tokens
            sums[3] = min(LARGEST, sums[3] + cost)


class AddedUp(NamedTuple):
    """What `add_up` found."""

    last: int  # the `seq` of the last row
    states: Mapping[Any, _State]  # of the budgets that had counters
    begins: Mapping[Any, int]  # of the windows that were added up, by budget
    sums: Sums[Any]


def count_new(connection: Connection, budgets: Budgets[One]) -> None:
    """Count the rows above the watermarks, of budgets that lack only a few. Needs a writing transaction.

    A budget whose next window has rows already, because the clock was behind, is left to be added up.
    """
    last, period = _last_seq(connection), _next_period(connection, budgets.budgets)
    states = {
        one: state
        for one, state in _states(connection, budgets.budgets).items()
        if state.counted_seq < last and _is_near(one, state, last, period)
    }
    if not states:
        return
    sums = Sums[One]()
    _add_rows(connection, budgets, states, last, sums)
    latest: dict[One, int] = {}
    for one, begins, _ in sums:
        latest[one] = max(begins, latest.get(one, begins))
    begun = {one: begins for one, begins in latest.items() if begins > states[one].latest}
    unsure = {one for one in begun if _has_later_rows(connection, one, states[one])}
    states = {one: state for one, state in states.items() if one not in unsure}
    _write(connection, states, Sums[One]({key: usage for key, usage in sums.items() if key[0] in states}))
    ids = [state.limit_id for state in states.values()]
    counts = LIMIT_COUNTS.c
    connection.execute(update(LIMIT_COUNTS).where(counts.limit_id.in_(ids)).values(counted_seq=last))
    for one, begins in begun.items():
        if one in states:
            _keep_two_windows(connection, states[one], begins)


def read(connection: Connection, budgets: Budgets[One], now: int) -> tuple[Sums[One], list[One]]:
    """Return what is spent in the present windows, and the budgets that must be added up first."""
    last, period = _last_seq(connection), _next_period(connection, budgets.budgets)
    found = _states(connection, budgets.budgets)
    begins = {one: _begins(one, now, period) for one in budgets.budgets}
    near = {
        one: state
        for one, state in found.items()
        if _is_near(one, state, last, period)
        and begins[one] >= state.kept_from
        and not (begins[one] > state.latest and _has_later_rows(connection, one, state))
    }
    sums, c = Sums[One](), LIMIT_USAGE.c
    for one, state in near.items():
        query = select(c.subject, *(c[name] for name in SUMMED))
        query = query.where(c.limit_id == state.limit_id, c.window_start == begins[one])
        for subject, *usage in connection.execute(query).yield_per(ROWS):
            sums.add(one, begins[one], subject, usage)
    _add_rows(connection, budgets, {one: state for one, state in near.items() if state.counted_seq < last}, last, sums)
    present = Sums[One]({key: usage for key, usage in sums.items() if key[1] == begins[key[0]]})
    return present, [one for one in budgets.budgets if one not in near]


def lacking(connection: Connection, budgets: Budgets[One]) -> list[One]:
    """Return the budgets that `count_new` leaves as they are, because they lack too much."""
    last, period = _last_seq(connection), _next_period(connection, budgets.budgets)
    states = _states(connection, budgets.budgets)
    return [one for one in budgets.budgets if one not in states or not _is_near(one, states[one], last, period)]


def add_up(connection: Connection, budgets: Budgets[One], some: Collection[One], now: int) -> AddedUp:
    """Add up all rows of the present windows of some budgets, for `store`: about four seconds for a million rows."""
    last, period = _last_seq(connection), _next_period(connection, some)
    states = _states(connection, some)
    begins = {one: _begins(one, now, period) for one in some}
    windows: dict[tuple[int, int] | None, set[One]] = {}
    for one in some:
        windows.setdefault(None if one.by_period else one.window_at(now), set()).add(one)
    sums, by_context = Sums[One](), any(one.uses_context for one in some)
    for window, of_window in windows.items():
        for group in usage_by_group(connection, _condition(connection, window, last), by_context=by_context):
            for one, subject in budgets.counters(group[:5]):
                if one in of_window:
                    sums.add(one, begins[one], subject, group[5:])
    return AddedUp(last, states, begins, sums)


def store(connection: Connection, added_up: AddedUp) -> None:
    """Replace the counters of budgets that were added up. Needs a writing transaction.

    Those that somebody else has stored meanwhile are left as they are.
    """
    counts = LIMIT_COUNTS.c
    before, now = added_up.states, _states(connection, list(added_up.begins))
    written: dict[Any, _State] = {}
    for one, begins in added_up.begins.items():
        state = now.get(one)
        if state != before.get(one):
            continue
        if state is None:
            next_id = select(func.coalesce(func.max(counts.limit_id), 0) + 1).scalar_subquery()
            connection.execute(
                insert(LIMIT_COUNTS).values(
                    limit_id=next_id,
                    name=one.name,
                    shape=one.shape,
                    counted_seq=added_up.last,
                    kept_from=begins,
                    latest=begins,
                )
            )
            written[one] = _states(connection, [one])[one]
        else:
            changes = {"counted_seq": added_up.last, "kept_from": begins, "latest": begins}
            connection.execute(update(LIMIT_COUNTS).where(counts.limit_id == state.limit_id).values(changes))
            written[one] = state
        # A new one may have the number of a budget that was lost.
        connection.execute(delete(LIMIT_USAGE).where(LIMIT_USAGE.c.limit_id == written[one].limit_id))
    _write(connection, written, Sums[Any]({key: usage for key, usage in added_up.sums.items() if key[0] in written}))
    _remove_abandoned(connection, added_up.last)


class Kept(NamedTuple):
    """The counters of a budget in one window."""

    name: str  # of the limit
    shape: str
    window_start: int
    counted_seq: int
    usage: Mapping[str, Sequence[int]]  # by subject, in the order of `SUMMED`


def kept(connection: Connection) -> Iterator[Kept]:
    """Yield all counters that are kept, by budget and window."""
    counts, usage = LIMIT_COUNTS.c, LIMIT_USAGE.c
    states = connection.execute(select(counts.limit_id, counts.name, counts.shape, counts.counted_seq)).all()
    for limit_id, name, shape, counted_seq in states:
        query = select(usage.window_start, usage.subject, *(usage[one] for one in SUMMED))
        windows: dict[int, dict[str, tuple[int, ...]]] = {}
        for begins, subject, *sums in connection.execute(query.where(usage.limit_id == limit_id)).yield_per(ROWS):
            windows.setdefault(begins, {})[subject] = tuple(sums)
        for begins, by_subject in windows.items():
            yield Kept(name, shape, begins, counted_seq, by_subject)


def _last_seq(connection: Connection) -> int:
    return int(connection.execute(select(func.coalesce(func.max(REQUEST_LOGS.c.seq), 0))).scalar_one())


def _next_period(connection: Connection, budgets: Iterable[Budget]) -> int:
    """Return the number of the next billing period, if a budget asks for it."""
    return next_period(connection) if any(one.by_period for one in budgets) else 0


def next_period(connection: Connection) -> int:
    """Return the number of the next billing period."""
    return billing_periods.next_period(connection, 0).number


def _states(connection: Connection, budgets: Iterable[One]) -> dict[One, _State]:
    c = LIMIT_COUNTS.c
    rows = connection.execute(select(c.name, c.shape, c.limit_id, c.counted_seq, c.kept_from, c.latest))
    known = {(name, shape): _State(*values) for name, shape, *values in rows}
    return {one: known[key] for one in budgets if (key := (one.name, one.shape)) in known}


def _is_near(one: Budget, state: _State, last: int, period: int) -> bool:
    """Return whether a budget lacks at most a few rows, all of them in windows that its counters have."""
    return last - state.counted_seq <= FEW_ROWS and (not one.by_period or state.latest == period)


def _has_later_rows(connection: Connection, one: Budget, state: _State) -> bool:
    """Return whether rows that a budget was counted with are in windows after its latest, which it has no counters of.

    They are if it was added up while the clock was behind.
    """
    if one.by_period:
        return False
    c = REQUEST_LOGS.c
    later = exists().where(c.started_at >= one.window_at(state.latest)[1], c.seq <= state.counted_seq)
    return bool(connection.execute(select(later)).scalar_one())


def _begins(one: Budget, at: int, period: int) -> int:
    return period if one.by_period else one.window_at(at)[0]


def _condition(connection: Connection, window: tuple[int, int] | None, last: int) -> ColumnElement[bool]:
    """Return which rows up to `last` are in a window, or in no billing period yet."""
    if window is None:
        return billing_periods.is_in(billing_periods.next_period(connection, last).parts)
    c = REQUEST_LOGS.c
    return and_(c.started_at >= window[0], c.started_at < window[1], c.seq <= last)


def _add_rows(
    connection: Connection, budgets: Budgets[One], states: Mapping[One, _State], last: int, sums: Sums[One]
) -> None:
    """Add the rows above the watermarks to sums, for windows that are kept."""
    if not states:
        return
    windows = dict.fromkeys(states, (0, 0))
    for seq, started_at, *call, input_tokens, output_tokens, cost in _rows(
        connection, min(state.counted_seq for state in states.values()), last
    ):
        usage = (1, input_tokens or 0, output_tokens or 0, cost or 0)
        for one, subject in budgets.counters(tuple(call)):
            state = states.get(one)
            if state is None or seq <= state.counted_seq:
                continue
            if one.by_period:
                sums.add(one, state.latest, subject, usage)
                continue
            if not windows[one][0] <= started_at < windows[one][1]:
                windows[one] = one.window_at(started_at)
            if windows[one][0] >= state.kept_from:
                sums.add(one, windows[one][0], subject, usage)


def _rows(connection: Connection, after: int, last: int) -> Iterator[Any]:
    c = REQUEST_LOGS.c
    columns = (c.ip, c.context, c.model, c.provider, c.kind, c.input_tokens, c.output_tokens, c.cost_nano_usd)
    query = select(c.seq, c.started_at, *columns).where(c.seq > after, c.seq <= last)
    yield from connection.execute(query).yield_per(ROWS)


def _write(connection: Connection, states: Mapping[Any, _State], sums: Sums[Any]) -> None:
    """Add sums to the counters."""
    if not sums:
        return
    lines = [(states[one].limit_id, begins, subject, *usage) for (one, begins, subject), usage in sums.items()]
    if connection.dialect.name == "sqlite":
        text, constants = _adding(connection.dialect)
        connection.exec_driver_sql(text, [line + constants for line in lines])
    else:  # one statement for all lines: PostgreSQL would answer each one by itself
        each = listed("postgresql", "lines", {name: LIMIT_USAGE.c[name].type for name in (*_KEY, *SUMMED)})
        names = [each.c[name] for name in (*_KEY, *SUMMED)]
        adding = postgresql.insert(LIMIT_USAGE).from_select([*_KEY, *SUMMED], select(*names))
        connection.execute(_merging(adding), {"lines": msgspec.json.encode(lines).decode()})


@lru_cache(maxsize=1)
def _adding(dialect: Dialect) -> tuple[str, tuple[int, ...]]:
    """Return the statement that adds a line to the counters of SQLite, and what follows the line in its parameters.

    Through Core's dicts it takes three times as long.
    """
    names = (*_KEY, *SUMMED)
    inserting = sqlite.insert(LIMIT_USAGE).values({name: bindparam(name) for name in names})
    compiled: Any = _merging(inserting).compile(dialect=dialect)
    return str(compiled), tuple(compiled.params[name] for name in compiled.positiontup[len(names) :])


def _merging(inserting: Any) -> Any:
    c, new = LIMIT_USAGE.c, inserting.excluded
    more = {name: bounded_addition(c[name], new[name]) if name == COST else c[name] + new[name] for name in SUMMED}
    return inserting.on_conflict_do_update(index_elements=list(LIMIT_USAGE.primary_key.columns), set_=more)


def _remove_abandoned(connection: Connection, last: int) -> None:
    """Remove counters that nobody has brought up to date for long: of limits that are gone, or count otherwise now."""
    counts, usage = LIMIT_COUNTS.c, LIMIT_USAGE.c
    abandoned = select(counts.limit_id).where(counts.counted_seq < last - FEW_ROWS)
    connection.execute(delete(LIMIT_USAGE).where(usage.limit_id.in_(abandoned)))
    connection.execute(delete(LIMIT_COUNTS).where(counts.counted_seq < last - FEW_ROWS))


def _keep_two_windows(connection: Connection, state: _State, begins: int) -> None:
    """Note that a window has begun; remove those before the one that was the latest."""
    counts, usage = LIMIT_COUNTS.c, LIMIT_USAGE.c
    changes = {"kept_from": state.latest, "latest": begins}
    connection.execute(update(LIMIT_COUNTS).where(counts.limit_id == state.limit_id).values(changes))
    older = delete(LIMIT_USAGE).where(usage.limit_id == state.limit_id, usage.window_start < state.latest)
    connection.execute(older)

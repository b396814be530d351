"""Stored counters of budgets: each row counts once, in its window, and what fails never keeps rows from the store."""

import asyncio
from collections.abc import Callable, Iterator
from ipaddress import ip_network

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text, update

from hero_broker.core.clock import SystemClock
from hero_broker.core.records import RequestLog, Verification
from hero_broker.limits.limit import Limit, LimitMatch
from hero_broker.limits.stored_counters import StoredBudgets, StoredCounters
from hero_broker.reports.billing_periods import Books
from hero_broker.store import limit_usage, request_logs
from hero_broker.store.database import Database, open_database
from hero_broker.store.schema import LIMIT_COUNTS, LIMIT_USAGE
from hero_broker.store.sums import LARGEST
from tests.ledger.rows import row

NOW = 1_796_000_000  # 2026-11-30T00:53:20Z
DAY_S = 86_400
LIMITS = (
    Limit("own", "usd", 1, per=("ip",), window="day"),
    Limit("all", "tokens", 1, window="month"),
    Limit("model", "requests", 1, LimitMatch(model="llama"), ("context", "ip"), window="hour"),
    Limit("label", "usd", 1, per=("label", "model"), window="week"),
    Limit("but-one", "usd", 1, LimitMatch(excepted=(ip_network("192.0.2.2/32"),)), ("ip",), window="day"),
    Limit("ever", "usd", 1, per=("prefix",), prefix_v4=31, window="ever"),
    Limit("period", "usd", 1, per=("ip",), window="billing_period"),
)
rows_of_calls = st.builds(
    row,
    ip=st.sampled_from(["192.0.2.1", "192.0.2.2", "unknown"]),
    model=st.sampled_from(["llama", "gpt"]),
    context=st.sampled_from([None, "a", 'a"b']),
    started_at=st.one_of(st.integers(NOW - 3_600, NOW), st.integers(NOW - 40 * DAY_S, NOW)),
    cost_nano_usd=st.one_of(st.none(), st.integers(0, 10**12)),
)
every = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="session")
def shared(store_name: str, new_ledger: Callable[[str], str]) -> Iterator[Database]:
    with open_database(new_ledger(store_name)) as opened:
        yield opened


@pytest.fixture
def database(shared: Database) -> Database:
    empty(shared)
    return shared


def empty(database: Database) -> None:
    database.budgets = None
    with database.writing() as connection:
        for table in ("request_logs", "limit_counts", "limit_usage", "billing_periods", "billing_lines"):
            connection.execute(text(f"DELETE FROM {table}"))


def budgets_of(*limits: Limit) -> StoredBudgets:
    return StoredBudgets(map(StoredCounters, limits))


def count(database: Database, budgets: StoredBudgets, now: int = NOW) -> None:
    """Add up what budgets lack, and let the database count them from now on."""
    database.budgets = budgets
    with database.reading() as connection:
        _, lacking = limit_usage.read(connection, budgets, now)
        added_up = limit_usage.add_up(connection, budgets, lacking, now)
    with database.writing() as connection:
        limit_usage.store(connection, added_up)


def present(database: Database, budgets: StoredBudgets, now: int = NOW) -> dict[tuple[str, str], tuple[int, ...]]:
    with database.reading() as connection:
        sums, lacking = limit_usage.read(connection, budgets, now)
    assert lacking == []
    return {(one.name, subject): tuple(usage) for (one, _, subject), usage in sums.items()}


def verify(database: Database) -> Verification:
    books = Books(database, SystemClock())
    try:
        return asyncio.run(books.verify(None, None))
    finally:
        books.close()


@every
@given(
    before=st.lists(rows_of_calls, max_size=5),
    batches=st.lists(st.lists(rows_of_calls, min_size=1, max_size=5), max_size=4),
    repeated=st.booleans(),
)
def test_counters_are_what_the_rows_add_up_to_however_they_came(
    shared: Database, before: list[RequestLog], batches: list[list[RequestLog]], repeated: bool
) -> None:
    empty(shared)
    if before:
        shared.append(before, [])
    budgets = budgets_of(*LIMITS)
    count(shared, budgets)
    for batch in batches:
        shared.append(batch, [])
        if repeated:
            shared.append(batch, [])
    counted = present(shared, budgets)
    again = budgets_of(*LIMITS)
    with shared.reading() as connection:
        added_up = limit_usage.add_up(connection, again, again.budgets, NOW)

    assert counted == {(one.name, subject): tuple(usage) for (one, _, subject), usage in added_up.sums.items()}
    assert verify(shared).listed == ()


def test_verification_lists_a_counter_that_differs(database: Database) -> None:
    database.append([row(started_at=NOW, cost_nano_usd=5)], [])
    count(database, budgets_of(LIMITS[0]))
    with database.writing() as connection:
        connection.execute(update(LIMIT_USAGE).values(cost_nano_usd=7))
    found = verify(database)

    assert found.differences == 1
    (one,) = found.listed
    assert (one.table, one.begins_at, one.key) == (
        "limit_usage",
        NOW - NOW % DAY_S,
        {"limit": "own", "subject": '["127.0.0.1"]'},
    )
    assert (one.expected.cost_nano_usd, one.found.cost_nano_usd) == (5, 7)


def test_budget_that_lacks_many_rows_is_left_to_be_added_up(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limit_usage, "FEW_ROWS", 2)
    budgets = budgets_of(LIMITS[0])
    count(database, budgets)
    database.budgets = None
    database.append([row(started_at=NOW) for _ in range(3)], [])
    database.budgets = budgets
    database.append([row(started_at=NOW)], [])
    with database.reading() as connection:
        _, lacking = limit_usage.read(connection, budgets, NOW)
    count(database, budgets)

    assert lacking == list(budgets.budgets)
    assert present(database, budgets)["own", '["127.0.0.1"]'][0] == 4


def test_counters_that_nobody_keeps_up_are_removed(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limit_usage, "FEW_ROWS", 2)
    gone = budgets_of(LIMITS[1])
    count(database, gone)
    database.append([row(started_at=NOW)], [])
    database.budgets = None
    database.append([row(started_at=NOW) for _ in range(3)], [])
    count(database, budgets_of(LIMITS[0]))
    with database.reading() as connection:
        left = [one.name for one in connection.execute(LIMIT_COUNTS.select())]
        usage = connection.execute(LIMIT_USAGE.select()).all()

    assert left == ["own"]
    assert len(usage) == 1


def test_counters_of_another_shape_are_others(database: Database) -> None:
    count(database, budgets_of(LIMITS[0]))
    database.append([row(started_at=NOW)], [])
    other = budgets_of(Limit("own", "usd", 1, LimitMatch(model="gpt"), ("ip",), window="day"))
    same = budgets_of(Limit("own", "requests", 9, per=("ip",), window="day", hold="worst"))
    with database.reading() as connection:
        lacking = [limit_usage.read(connection, one, NOW)[1] for one in (other, same)]

    assert lacking == [list(other.budgets), []]


def test_what_two_brokers_add_up_at_once_is_stored_once(database: Database) -> None:
    budgets = budgets_of(LIMITS[0])
    database.append([row(started_at=NOW)], [])
    with database.reading() as connection:
        first = limit_usage.add_up(connection, budgets, budgets.budgets, NOW)
        second = limit_usage.add_up(connection, budgets, budgets.budgets, NOW)
    with database.writing() as connection:
        limit_usage.store(connection, first)
    with database.writing() as connection:
        limit_usage.store(connection, second)

    assert present(database, budgets)["own", '["127.0.0.1"]'][0] == 1


def test_sums_of_absurd_costs_stay_what_the_database_can_hold(database: Database) -> None:
    budgets = budgets_of(LIMITS[0])
    database.append([row(started_at=NOW, cost_nano_usd=LARGEST), row(started_at=NOW, cost_nano_usd=LARGEST)], [])
    count(database, budgets)
    added_up = present(database, budgets)
    database.append([row(started_at=NOW, cost_nano_usd=LARGEST)], [])

    assert added_up["own", '["127.0.0.1"]'][3] == LARGEST
    assert present(database, budgets)["own", '["127.0.0.1"]'] == (3, 120, 9, LARGEST)


def test_counting_that_fails_keeps_no_rows_from_the_store(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    budgets = budgets_of(LIMITS[0])
    count(database, budgets)

    def fail(*_arguments: object) -> None:
        raise ValueError

    monkeypatch.setattr(request_logs, "count_new", fail)
    database.append([row(started_at=NOW)], [])
    monkeypatch.undo()
    database.append([row(started_at=NOW)], [])

    assert [one.getMessage() for one in caplog.records] == ["store: cannot count rows for budgets: ValueError"]
    assert present(database, budgets)["own", '["127.0.0.1"]'][0] == 2


def test_clock_that_jumps_far_ahead_and_back_makes_a_budget_be_added_up_again(database: Database) -> None:
    budgets = budgets_of(LIMITS[0])
    count(database, budgets)
    for at in (NOW, NOW + 10 * DAY_S, NOW + 20 * DAY_S, NOW):
        database.append([row(started_at=at)], [])
    with database.reading() as connection:
        _, lacking = limit_usage.read(connection, budgets, NOW)
    count(database, budgets)

    assert lacking == list(budgets.budgets)
    assert present(database, budgets)["own", '["127.0.0.1"]'][0] == 2
    with database.reading() as connection:
        assert connection.execute(LIMIT_COUNTS.select()).one().latest == NOW - NOW % DAY_S


@pytest.mark.parametrize("is_read_first", [True, False])
def test_budget_that_was_added_up_by_a_late_clock_is_added_up_again(database: Database, *, is_read_first: bool) -> None:
    budgets = budgets_of(LIMITS[0])
    for at in (NOW - 40 * DAY_S, NOW - DAY_S, NOW, NOW):
        database.append([row(started_at=at)], [])
    count(database, budgets, NOW - 40 * DAY_S)  # a start before the clock is set
    if is_read_first:
        count(database, budgets)
    database.append([row(started_at=NOW)], [])
    count(database, budgets)
    database.append([row(started_at=NOW)], [])

    assert present(database, budgets)["own", '["127.0.0.1"]'][0] == 4
    assert verify(database).differences == 0


def test_new_budget_counts_nothing_that_a_lost_one_has_left(database: Database) -> None:
    budgets = budgets_of(LIMITS[0])
    database.append([row(started_at=NOW)], [])
    count(database, budgets)
    with database.writing() as connection:
        connection.execute(LIMIT_COUNTS.delete())
    count(database, budgets)

    assert present(database, budgets)["own", '["127.0.0.1"]'][0] == 1

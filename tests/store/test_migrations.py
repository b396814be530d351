"""A ledger of an earlier version serves at once, with the sums of this one."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

import pytest
from sqlalchemy import Engine, inspect, text
from sqlalchemy.exc import IntegrityError

from hero_broker.core.clock import SystemClock
from hero_broker.core.errors import StoreUnavailable
from hero_broker.core.limits import LimitDefinition
from hero_broker.core.records import RequestLog, StoredResponse, UsageTotals
from hero_broker.reports.billing_periods import Books
from hero_broker.store import (
    billing_periods,
    labels,
    limit_definitions,
    limit_grants,
    responses,
    rollups,
    row_pages,
    usage,
)
from hero_broker.store.database import Database, open_database
from hero_broker.store.engine import FOLDS
from hero_broker.store.schema import COUNTS, METADATA, REQUEST_LOGS, SUMS, SUMS_SINCE_5
from hero_broker.store.usage import UsagePlan
from tests.ledger.rows import row
from tests.reports.test_usage import totals_of
from tests.store.old_ledgers import ROWS, VERSIONS, make_old_ledger
from tests.stores import PostgresServer

GROUPINGS: Sequence[tuple[str, ...]] = [(), ("ip",), ("model",), ("ip", "model"), ("provider", "kind"), ("api_key_id",)]
LABEL = "Ana's desk"


@pytest.fixture(params=VERSIONS)
def old_ledger(request: pytest.FixtureRequest, store_name: str, new_ledger: Callable[[str], str]) -> str:
    url = new_ledger(store_name)
    make_old_ledger(url, request.param)
    return url


@pytest.fixture
def database(old_ledger: str) -> Iterator[Database]:
    with open_database(old_ledger) as opened:
        yield opened


def columns_of(engine: Engine) -> dict[str, dict[str, tuple[str, bool]]]:
    inspector = inspect(engine)
    return {
        table: {column["name"]: (str(column["type"]), column["nullable"]) for column in inspector.get_columns(table)}
        for table in METADATA.tables
    }


def rows_of(database: Database) -> list[RequestLog]:
    """Return all rows in the order of `seq`."""
    selection = row_pages.Selection()
    with database.reading() as connection:
        page, _ = row_pages.rows(connection, selection, row_pages.span(connection, selection), 1000)
    return [one for _, one in reversed(page)]


def check_books(database: Database) -> None:
    """Compare reports, periods and verification with the rows."""
    rows = rows_of(database)
    for group_by in GROUPINGS:
        by_key = defaultdict(list)
        for one in rows:
            by_key[tuple(getattr(one, name) for name in group_by)].append(one)
        with database.reading() as connection:
            groups = usage.groups(connection, UsagePlan(group_by=group_by))
        assert {group.key: group.totals for group in groups} == {key: totals_of(some) for key, some in by_key.items()}
    with closing(Books(database, SystemClock())) as books:
        found = asyncio.run(books.verify(None, None))
        periods, _ = asyncio.run(books.periods())
        unbilled, _ = asyncio.run(books.unbilled())
    assert (found.rows, found.differences, found.listed) == (len(rows), 0, ())
    for period in (*periods, unbilled):
        assert period.totals == counts_of(rows[period.from_seq - 1 : period.to_seq])


def counts_of(rows: Sequence[RequestLog]) -> UsageTotals:
    sums = totals_of(rows)
    return UsageTotals(**{name: getattr(sums, name) for name in COUNTS})


def test_old_ledger_gets_the_columns_of_a_new_one(
    old_ledger: str, store_name: str, new_ledger: Callable[[str], str]
) -> None:
    with open_database(new_ledger(store_name)) as database:
        new = columns_of(database.engine)

    with open_database(old_ledger) as database:
        assert columns_of(database.engine) == new, "add a step to hero_broker/store/migrations.py"
        assert database.append([row()], []) == {}
    assert list(new[REQUEST_LOGS.name]) == list(REQUEST_LOGS.c.keys())


def test_books_of_an_old_ledger_are_right_while_its_sums_are_made_again(database: Database) -> None:
    check_books(database)
    assert len(rows_of(database)) == ROWS
    assert sum(one.cached_input_tokens or 0 for one in rows_of(database)) > 0

    steps = 0
    while database.fold(3):
        check_books(database)
        steps += 1
        if steps == 2:
            database.append([row(cached_input_tokens=7, images=2, web_searches=3)], [])

    check_books(database)
    assert len(rows_of(database)) == ROWS + 1
    with database.reading() as connection:
        assert labels.labels(connection)[0].label == LABEL
        progress = rollups.progress(connection)
        (generations,) = connection.execute(text("SELECT count(*) FROM rollup_state")).one()
        stored = connection.execute(text("SELECT summed_to_seq, to_seq FROM billing_periods")).all()
    assert (progress.folded_seq, progress.rebuilt_seq, generations) == (ROWS + 1, None, 1)
    assert [one for one in stored if one[0] != one[1]] == []


def test_old_ledger_is_rebuilt_and_billed_like_a_new_one(database: Database) -> None:
    database.fold(3)
    database.start_rebuild()
    while database.fold(100):
        pass
    with database.reading() as connection:
        counted = billing_periods.unbilled(connection, 12)
    with database.writing() as connection:
        assert billing_periods.mark(connection, counted, "2026-12", 12, 1_760_000_001) is not None

    check_books(database)


def test_fold_of_a_broker_of_the_version_before_changes_nothing(postgres_server: PostgresServer) -> None:
    url = postgres_server.new_database()
    make_old_ledger(url, "0.3")
    names = ("generation", "span_s", "begins_at", "model", "provider", "kind", *SUMS)
    values = {name: 1 for name in names if name not in SUMS_SINCE_5} | {"model": "m", "provider": "p", "kind": "k"}
    columns, places = ", ".join(values), ", ".join(f":{name}" for name in values)

    with open_database(url) as database:
        with pytest.raises(IntegrityError), database.engine.execution_options(**FOLDS).begin() as connection:
            connection.execute(text(f"INSERT INTO usage_by_model ({columns}) VALUES ({places})"), values)

        check_books(database)


def test_broker_of_the_version_before_marks_no_period(database: Database) -> None:
    values = dict.fromkeys(COUNTS, 0)
    statement = (
        "INSERT INTO billing_periods (number, reference, from_seq, to_seq, marked_at, summed_to_seq,"
        f" {', '.join(values)}) VALUES (3, 'c', 10, 12, 1760000001, 12, {', '.join(f':{name}' for name in values)})"
    )

    with pytest.raises(StoreUnavailable), database.writing() as connection:
        connection.execute(text(statement), values)

    check_books(database)


def test_month_of_an_old_ledger_is_closed(database: Database) -> None:
    rows = rows_of(database)
    until = sorted(one.started_at for one in rows[9:])[4]
    with closing(Books(database, SystemClock())) as books:
        closed, _ = asyncio.run(books.close_period("month", until, "UTC"))
        found = asyncio.run(books.verify(None, None))

    expected = [one for one in rows[9:] if one.started_at < until]
    assert closed.period.totals == counts_of(expected)
    assert closed.period.held_over_requests == len(rows[9:]) - len(expected)
    assert (found.differences, found.listed) == (0, ())


def test_ledger_of_schema_7_gets_the_table_of_stored_responses_and_keeps_its_rows(database_url: str) -> None:
    stored = StoredResponse("resp_1", "ip:192.0.2.1", "openai", None, "m", "request", 43, 2_000_000_000)
    with open_database(database_url) as database:
        database.append([row()], [])
        with database.writing() as connection:
            connection.execute(text("DROP TABLE responses"))
            connection.execute(text("DELETE FROM schema_version WHERE version > 7"))

    with open_database(database_url) as database:
        database.append([], [], [stored])
        with database.reading() as connection:
            found = responses.find(connection, "resp_1", "ip:192.0.2.1", 1_900_000_000)
        assert (found, len(rows_of(database))) == (stored, 1)
        assert "responses_expires_at" in {one["name"] for one in inspect(database.engine).get_indexes("responses")}


def test_ledger_of_schema_8_gets_the_column_of_shares_and_keeps_its_rows(database_url: str) -> None:
    before, after = row(), row(cost_source="mixed", price_id=None, cost_shares="[]")
    with open_database(database_url) as database:
        database.append([before], [])
        with database.writing() as connection:
            connection.execute(text("ALTER TABLE request_logs DROP COLUMN cost_shares"))
            connection.execute(text("DELETE FROM schema_version WHERE version > 8"))

    with open_database(database_url) as database:
        assert database.append([after], []) == {}
        assert rows_of(database) == [before, after]
        check_books(database)


def test_ledger_of_schema_9_gets_the_tables_of_limits_and_keeps_its_rows(database_url: str) -> None:
    before, set_later = row(), LimitDefinition("a", "{}", 1_700_000_000)
    with open_database(database_url) as database:
        database.append([before], [])
        with database.writing() as connection:
            connection.execute(text("DROP TABLE limit_definitions"))
            connection.execute(text("DROP TABLE limit_grants"))
            connection.execute(text("DELETE FROM schema_version WHERE version > 9"))

    with open_database(database_url) as database:
        with database.writing() as connection:
            limit_definitions.put(connection, set_later)
        with database.reading() as connection:
            assert limit_definitions.definitions(connection) == [set_later]
            assert limit_grants.in_force(connection, 0) == []
        assert rows_of(database) == [before]
        check_books(database)

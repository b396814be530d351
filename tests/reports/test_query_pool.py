"""Questions end at their deadline, and when the broker stops."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import psycopg
import pytest
from sqlalchemy import Connection, event, insert, select
from sqlalchemy.pool import QueuePool

from hero_broker.core.errors import StoreUnavailable, TooWide
from hero_broker.reports import query_pool
from hero_broker.reports.query_pool import CLOSE_WITHIN_S, QueryPool
from hero_broker.store.counting import STOPPING, CountingSession
from hero_broker.store.database import Database, open_database
from hero_broker.store.schema import LABELS
from tests.stores import PostgresServer, postgres
from tests.waits import wait_until

ENDLESS = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
    "postgresql": "SELECT pg_sleep(600)",
}


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An open ledger on each store."""
    with open_database(database_url) as opened:
        yield opened


def endless(connection: Connection, begun: threading.Event | None = None) -> None:
    if begun is not None:
        begun.set()
    connection.exec_driver_sql(ENDLESS[connection.dialect.name])


def one(connection: Connection) -> int:
    return int(connection.exec_driver_sql("SELECT 1").scalar_one())


def test_question_ends_at_its_deadline_and_the_next_is_answered(database: Database) -> None:
    reader = QueryPool(database, 1)

    with pytest.raises(TooWide, match=r"longer than 0\.05 s"):
        asyncio.run(reader.query(0.05, endless))

    assert asyncio.run(reader.query(None, one)) == 1
    reader.close()


@pytest.mark.parametrize("deadline_s", [None, 60])
def test_closing_ends_what_is_asked(database: Database, deadline_s: float | None) -> None:
    reader = QueryPool(database, 1)
    begun = threading.Event()

    async def ask() -> None:
        asking = asyncio.create_task(reader.query(deadline_s, endless, begun))
        waiting = asyncio.create_task(reader.query(None, one))
        assert await asyncio.to_thread(begun.wait, 30)
        await asyncio.to_thread(reader.close)
        with pytest.raises(StoreUnavailable, match=STOPPING):
            await asking
        with pytest.raises(asyncio.CancelledError):
            await waiting
        with pytest.raises(StoreUnavailable, match=STOPPING):
            await reader.query(None, one)

    asyncio.run(ask())


@pytest.fixture
def closer(database: Database, monkeypatch: pytest.MonkeyPatch) -> QueryPool:
    """A pool that a query may close itself: it does not wait for the end of that query."""
    monkeypatch.setattr(query_pool, "CLOSE_WITHIN_S", 0.05)
    return QueryPool(database, 1)


def test_query_that_begins_to_run_after_closing_ends_at_once(database: Database, closer: QueryPool) -> None:
    began: list[int] = []
    event.listen(database.engine, "begin", lambda _connection: closer.close())

    with pytest.raises(StoreUnavailable, match=STOPPING):
        asyncio.run(closer.query(60, lambda connection: began.append(one(connection))))

    assert began == []


def test_no_step_begins_after_closing(closer: QueryPool) -> None:
    counted: list[int] = []

    def work(session: CountingSession) -> None:
        with session.step() as connection:
            counted.append(one(connection))
            closer.close()
        with session.step() as connection:
            counted.append(one(connection))

    with pytest.raises(StoreUnavailable, match=STOPPING):
        asyncio.run(closer.count(60, work))

    assert counted == [1]


@pytest.mark.parametrize("is_closed_before", [True, False])
def test_nothing_is_written_after_closing(database: Database, closer: QueryPool, is_closed_before: bool) -> None:
    def work(session: CountingSession) -> None:
        with session.step() as connection:
            one(connection)
        if is_closed_before:
            closer.close()
        with session.writing() as connection:
            connection.execute(insert(LABELS), {"target": "192.0.2.1", "label": "a", "set_at": 1, "revision": 1})
            closer.close()

    with pytest.raises(StoreUnavailable, match=STOPPING):
        asyncio.run(closer.count(60, work))

    with database.reading() as connection:
        assert connection.execute(select(LABELS)).all() == []


def checked_out(database: Database) -> int:
    """Return how many connections are in use."""
    pool = database.engine.pool
    assert isinstance(pool, QueuePool)
    return pool.checkedout()


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """A server of its own, without a pooler, which would remember that it did not answer."""
    with postgres() as server:
        yield server


def test_closing_is_bounded_while_the_server_stands_still(own_server: PostgresServer) -> None:
    begun = threading.Event()

    async def ask(database: Database, reader: QueryPool) -> None:
        asking = asyncio.create_task(reader.query(None, endless, begun))
        assert await asyncio.to_thread(begun.wait, 30)
        with own_server.frozen():
            closing = asyncio.create_task(asyncio.to_thread(reader.close))
            done, _ = await asyncio.wait({closing}, timeout=2 * CLOSE_WITHIN_S)
            assert done
            database.disconnect()
            with pytest.raises(StoreUnavailable):
                await asking

    with open_database(own_server.new_database()) as database:
        asyncio.run(ask(database, QueryPool(database, 1)))


def test_queries_end_with_the_database_if_libpq_has_no_cancel_with_a_limit(
    postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(psycopg.capabilities, "has_cancel_safe", lambda: False)
    begun = threading.Event()

    async def ask() -> None:
        with open_database(postgres_server.new_database()) as database:
            reader = QueryPool(database, 1)
            asking = asyncio.create_task(reader.query(None, endless, begun))
            assert await asyncio.to_thread(begun.wait, 30)
            await asyncio.to_thread(reader.close)
            assert not asking.done()
        with pytest.raises(StoreUnavailable):
            await asyncio.wait_for(asking, 30)

    asyncio.run(ask())


def test_no_query_outlives_its_database_although_the_server_stands_still(own_server: PostgresServer) -> None:
    async def ask() -> None:
        with open_database(own_server.new_database()) as database:
            reader = QueryPool(database, 1)
            await reader.query(None, one)  # leaves a connection, which the next query checks first
            stack = ExitStack()
            stack.enter_context(own_server.frozen())
            asking = asyncio.create_task(reader.query(None, one))
            await asyncio.to_thread(wait_until, lambda: checked_out(database) == 1)
            reader.close()
        with stack, pytest.raises(StoreUnavailable):
            await asyncio.wait_for(asking, 30)

    asyncio.run(ask())

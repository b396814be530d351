"""Questions end at their deadline, and when the broker stops."""

import asyncio
import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import Connection

from hero_broker.core.errors import StoreUnavailable, TooWide
from hero_broker.reports.query_pool import QueryPool
from hero_broker.store.database import Database, open_database

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


def test_closing_ends_what_is_asked(database: Database) -> None:
    reader = QueryPool(database, 1)
    begun = threading.Event()

    async def ask() -> None:
        asking = asyncio.create_task(reader.query(None, endless, begun))
        waiting = asyncio.create_task(reader.query(None, one))
        await asyncio.to_thread(begun.wait)
        await asyncio.to_thread(reader.close)
        with pytest.raises(StoreUnavailable):
            await asking
        with pytest.raises(asyncio.CancelledError):
            await waiting
        with pytest.raises(StoreUnavailable):
            await reader.query(None, one)

    asyncio.run(ask())

"""Looking up a stored response: pending, in the store, expired, and while the store does not answer."""

import asyncio
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from hero_broker.core.clock import SystemClock
from hero_broker.core.errors import LedgerUnavailable
from hero_broker.core.records import StoredResponse
from hero_broker.ledger.recent_responses import RecentResponses
from hero_broker.reports import stored_responses
from hero_broker.reports.stored_responses import ResponseLookUp
from hero_broker.store.database import Database, open_database
from tests.stores import PostgresServer

NOW = SystemClock().now()
OWNER = "ip:192.0.2.1"
RESPONSE = StoredResponse("resp_1", OWNER, "openai", "0a1b2c3d", "m", "request", 43, NOW + 3600)
PENDING = replace(RESPONSE, response_id="resp_2")


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An open ledger on each store."""
    with open_database(database_url) as opened:
        yield opened


def look_up(
    database: Database, pending: RecentResponses, response_id: str, owner: str = OWNER
) -> StoredResponse | None:
    with closing(ResponseLookUp(database, pending, SystemClock())) as found:
        return asyncio.run(found.find(response_id, owner))


def test_response_is_found_in_the_store_and_before_it_is_there(database: Database) -> None:
    pending = RecentResponses()
    pending.add(PENDING)
    database.append([], [], [RESPONSE])

    assert look_up(database, pending, "resp_1") == RESPONSE
    assert look_up(database, pending, "resp_2") == PENDING
    assert look_up(database, pending, "resp_3") is None
    assert look_up(database, pending, "resp_1", "ip:192.0.2.2") is None
    assert look_up(database, pending, "resp_2", "ip:192.0.2.2") is None


def test_response_that_has_expired_is_not_found(database: Database) -> None:
    pending = RecentResponses()
    pending.add(replace(PENDING, expires_at=NOW))
    database.append([], [], [replace(RESPONSE, expires_at=NOW)])

    assert look_up(database, pending, "resp_1") is None
    assert look_up(database, pending, "resp_2") is None


def test_response_that_was_removed_is_not_found_while_the_store_still_has_it(database: Database) -> None:
    pending = RecentResponses()
    database.append([], [], [RESPONSE])

    with closing(ResponseLookUp(database, pending, SystemClock())) as found:
        found.remove("resp_1", OWNER)
        assert asyncio.run(found.find("resp_1", OWNER)) is None


def test_database_that_is_gone_is_no_unknown_response(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    pending = RecentResponses()
    pending.add(PENDING)
    with open_database(f"sqlite:///{path}") as database:
        database.append([], [], [RESPONSE])
        path.rename(tmp_path / "elsewhere.db")

        with pytest.raises(LedgerUnavailable) as raised:
            look_up(database, pending, "resp_1")
        assert look_up(database, pending, "resp_2") == PENDING

    assert (raised.value.status, raised.value.retry_after_s) == (503, 5)


def test_table_that_is_locked_is_not_waited_for_long(
    postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_responses, "DEADLINE_S", 0.2)
    url = postgres_server.new_database()
    with open_database(url) as database:
        database.append([], [], [RESPONSE])
        with psycopg.connect(url) as locking:
            locking.execute("LOCK TABLE responses IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(LedgerUnavailable):
                look_up(database, RecentResponses(), "resp_1")

        assert look_up(database, RecentResponses(), "resp_1") == RESPONSE


def test_wait_for_the_store_is_bounded(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_responses, "WAIT_S", 0)
    database.append([], [], [RESPONSE])

    with pytest.raises(LedgerUnavailable):
        look_up(database, RecentResponses(), "resp_1")

"""Limits that are set while brokers run, and grants: what the tables keep, and how their revisions show a change."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import text

from hero_broker.core.errors import InvalidParams, NotRecorded
from hero_broker.core.limits import Grant, LimitDefinition
from hero_broker.store import limit_definitions, limit_grants
from hero_broker.store.database import Database, open_database

NOW = 1_700_000_000
FIRST = LimitDefinition("b", '{"amount":1,"unit":"concurrent"}', NOW)
OTHER = LimitDefinition("a", '{"amount":2,"unit":"concurrent"}', NOW + 1)
GRANT = Grant(0, "b", {"label": None, "ip": "192.0.2.1"}, "usd", 10**18, NOW, NOW + 60, "Müller's thesis")


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An open ledger on each store."""
    with open_database(database_url) as opened:
        yield opened


def state(database: Database) -> tuple[list[LimitDefinition], int]:
    with database.reading() as connection:
        return limit_definitions.definitions(connection), limit_definitions.revision(connection)


def put(database: Database, definition: LimitDefinition) -> None:
    with database.writing() as connection:
        limit_definitions.put(connection, definition)


def remove(database: Database, name: str) -> LimitDefinition:
    with database.writing() as connection:
        return limit_definitions.remove(connection, name)


def add(database: Database, grant: Grant) -> Grant:
    with database.writing() as connection:
        return limit_grants.add(connection, grant)


def in_force(database: Database, at: int) -> list[Grant]:
    with database.reading() as connection:
        return limit_grants.in_force(connection, at)


def test_definitions_are_listed_by_name_and_replaced(database: Database) -> None:
    later = replace(FIRST, definition="{}", set_at=NOW + 2)
    assert state(database) == ([], 0)

    put(database, FIRST)
    put(database, OTHER)
    assert state(database) == ([OTHER, FIRST], 2)
    put(database, later)

    assert state(database) == ([OTHER, later], 3)
    with database.reading() as connection:
        assert limit_definitions.find(connection, "b") == later


def test_revision_grows_with_each_change_whatever_is_removed(database: Database) -> None:
    put(database, FIRST)
    put(database, OTHER)

    assert remove(database, "b") == FIRST
    assert state(database) == ([OTHER], 3)
    assert remove(database, "a") == OTHER
    assert state(database) == ([], 4)
    put(database, FIRST)
    assert state(database) == ([FIRST], 5)


@pytest.mark.parametrize("name", ["nobody", "b"])
def test_limit_that_is_not_set_is_neither_found_nor_removed(database: Database, name: str) -> None:
    put(database, FIRST)
    remove(database, "b")

    with pytest.raises(NotRecorded):
        remove(database, name)
    with database.reading() as connection, pytest.raises(NotRecorded):
        limit_definitions.find(connection, name)
    assert state(database) == ([], 2)


def test_grants_are_numbered_and_in_force_until_they_end(database: Database, database_url: str) -> None:
    first = add(database, GRANT)
    endless = add(database, replace(GRANT, subject={}, until=None, amount=1))

    assert (first, endless.grant_id) == (replace(GRANT, grant_id=1), 2)
    assert in_force(database, NOW + 59) == [first, endless]
    assert in_force(database, NOW + 60) == [endless]
    with database.reading() as connection:
        assert limit_grants.revision(connection) == 2
        stored = connection.execute(text("SELECT subject FROM limit_grants ORDER BY grant_id")).scalars().all()
    assert stored == ['{"ip":"192.0.2.1","label":null}', "{}"]


def test_grants_of_one_limit_end_early_and_are_kept(database: Database) -> None:
    ended = add(database, replace(GRANT, until=NOW + 5))
    add(database, GRANT)
    add(database, replace(GRANT, until=None))
    other = add(database, replace(GRANT, name="a"))

    with database.writing() as connection:
        limit_grants.end(connection, "b", NOW + 10)

    assert in_force(database, NOW + 10) == [other]
    with database.reading() as connection:
        ends = connection.execute(text("SELECT until FROM limit_grants ORDER BY grant_id")).scalars().all()
    assert ends == [ended.until, NOW + 10, NOW + 10, NOW + 60]
    assert add(database, GRANT).grant_id == 5


def test_grant_that_is_revoked_ends_is_kept_and_changes_the_revision(database: Database) -> None:
    endless = add(database, replace(GRANT, until=None))
    other = add(database, GRANT)

    with database.writing() as connection:
        ended = limit_grants.revoke(connection, 1, NOW + 10)

    assert ended == replace(endless, until=NOW + 10)
    assert in_force(database, NOW + 9) == [ended, other]
    assert in_force(database, NOW + 10) == [other]
    with database.reading() as connection:
        assert limit_grants.revision(connection) == 3
    assert add(database, GRANT).grant_id == 3
    with database.reading() as connection:
        assert limit_grants.revision(connection) == 4


@pytest.mark.parametrize("grant_id", [1, 2])
def test_grant_that_has_ended_or_never_was_is_not_revoked(database: Database, grant_id: int) -> None:
    add(database, GRANT)

    with database.writing() as connection, pytest.raises(NotRecorded):
        limit_grants.revoke(connection, grant_id, NOW + 60)

    with database.reading() as connection:
        assert limit_grants.revision(connection) == 1


def test_only_so_many_grants_are_in_force(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limit_grants, "MAX_GRANTS", 2)
    add(database, replace(GRANT, until=NOW + 5))
    add(database, GRANT)

    with pytest.raises(InvalidParams) as caught:
        add(database, GRANT)

    assert caught.value.reason == "exceeds the limit of 2 grants in force"
    assert add(database, replace(GRANT, granted_at=NOW + 5)).grant_id == 3

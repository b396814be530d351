"""Which caller may refer to which stored response."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from hero_broker.core.records import StoredResponse
from hero_broker.store import responses
from hero_broker.store.database import Database, open_database
from tests.ledger.rows import row
from tests.stores import query

NOW = 1_700_000_000
OWNER, OTHER = "ip:192.0.2.1", "ip:192.0.2.2"
RESPONSE = StoredResponse("resp_1", OWNER, "openai", "0a1b2c3d", "m", "request", 43, NOW + 60)
MANY = 10_000
IDS = "SELECT response_id FROM responses ORDER BY expires_at"


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An open ledger on each store."""
    with open_database(database_url) as opened:
        yield opened


def found(database: Database, response_id: str, owner: str = OWNER, now: int = NOW) -> StoredResponse | None:
    with database.reading() as connection:
        return responses.find(connection, response_id, owner, now)


def test_line_comes_with_its_row_and_is_found_by_its_owner_alone(database: Database, database_url: str) -> None:
    made = row()
    line = replace(RESPONSE, request_id=made.request_id)

    assert database.append([made], [], [line]) == {}

    assert found(database, "resp_1") == line
    assert found(database, "resp_1", OTHER) is None
    assert found(database, "resp_2") is None
    assert query(database_url, "SELECT request_id FROM request_logs") == [(made.request_id,)]


def test_two_owners_may_have_the_same_id(database: Database) -> None:
    other = replace(RESPONSE, owner=OTHER, provider="groq", provider_key=None)

    database.append([], [], [RESPONSE, other])

    assert (found(database, "resp_1"), found(database, "resp_1", OTHER)) == (RESPONSE, other)


def test_later_line_replaces_an_earlier_one(database: Database) -> None:
    later = replace(RESPONSE, provider="groq", provider_key=None, tokens=7, request_id="later", expires_at=NOW + 90)

    database.append([], [], [RESPONSE, later])
    database.append([], [], [later])

    assert found(database, "resp_1") == later


def test_line_that_has_expired_is_not_found(database: Database) -> None:
    database.append([], [], [RESPONSE])

    assert found(database, "resp_1", now=NOW + 59) == RESPONSE
    assert found(database, "resp_1", now=NOW + 60) is None


def test_line_of_a_rejected_row_is_not_there(database: Database) -> None:
    good, bad = row(), row(input_tokens=2**70)
    lines = [
        replace(RESPONSE, request_id=good.request_id),
        replace(RESPONSE, response_id="resp_2", request_id=bad.request_id),
    ]

    rejected = database.append([good, bad], [], lines)

    assert list(rejected) == [bad.request_id]
    assert (found(database, "resp_1"), found(database, "resp_2")) == (lines[0], None)


def test_lines_are_removed_and_those_of_others_stay(database: Database, database_url: str) -> None:
    other = replace(RESPONSE, owner=OTHER)
    database.append([], [], [RESPONSE, other])

    assert database.remove_responses([("resp_1", OWNER), ("resp_9", OWNER)], NOW + 1_000, 0) == 0

    assert query(database_url, "SELECT owner FROM responses") == [(OTHER,)]


def test_expired_lines_are_removed_in_steps_the_oldest_first(database: Database, database_url: str) -> None:
    lines = [replace(RESPONSE, response_id=f"resp_{number}", expires_at=NOW - 3 + number) for number in range(6)]
    database.append([], [], lines)

    steps = [database.remove_responses([], NOW, 3), query(database_url, IDS), database.remove_responses([], NOW, 3)]

    assert steps == [3, [("resp_3",), ("resp_4",), ("resp_5",)], 1]
    assert query(database_url, IDS) == [("resp_4",), ("resp_5",)]


def test_ten_thousand_lines_are_kept_and_found(database: Database, database_url: str) -> None:
    lines = [replace(RESPONSE, response_id=f"resp_{number:05}") for number in range(MANY)]

    database.append([], [], lines)
    pages = []
    last = ("", "")
    while True:
        with database.reading() as connection:
            page = responses.page(connection, last, 3_000)
        if not page:
            break
        pages.append(len(page))
        last = str(page[-1]["response_id"]), str(page[-1]["owner"])

    assert pages == [3_000, 3_000, 3_000, 1_000]
    assert found(database, "resp_00000") == lines[0]
    assert found(database, f"resp_{MANY - 1:05}") == lines[-1]
    assert query(database_url, "SELECT count(*) FROM responses") == [(MANY,)]

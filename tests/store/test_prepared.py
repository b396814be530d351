"""A rejected value is distinguished from all other reasons for which a statement fails."""

import threading
from pathlib import Path

import pytest
from sqlalchemy import text

from hero_broker.store.database import open_database
from hero_broker.store.engine import WRITES, make_engine
from hero_broker.store.prepared import is_about_data
from tests.ledger.rows import row
from tests.stores import PostgresServer

INSERT = "INSERT INTO prices (price_id, rates) VALUES (:a, :b)"


def failure(url: str, statement: str, **values: object) -> Exception:
    engine = make_engine(url)
    try:
        with engine.execution_options(**WRITES).begin() as connection:
            connection.execute(text(statement), values)
    except Exception as error:  # whatever a driver raises is what is looked at
        return error
    finally:
        engine.dispose()
    raise AssertionError("nothing failed")


@pytest.mark.parametrize(
    ("statement", "values", "expected"),
    [
        pytest.param(INSERT, {"a": "x", "b": None}, True, id="null"),
        pytest.param(INSERT, {"a": "x", "b": "\ud800"}, True, id="no Unicode"),
        pytest.param("UPDATE rollup_state SET folded_seq = :a", {"a": 2**63}, True, id="64 bits"),
        pytest.param("SELECT nothing FROM prices", {}, False, id="no such column"),
        pytest.param("SELECT * FROM nothing", {}, False, id="no such table"),
        pytest.param("SELEC", {}, False, id="no SQL"),
    ],
)
def test_value_is_told_from_a_statement_that_is_wrong(
    database_url: str, statement: str, values: dict[str, object], expected: bool
) -> None:
    with open_database(database_url):
        pass

    assert is_about_data(failure(database_url, statement, **values)) is expected


@pytest.mark.parametrize(
    ("statement", "values"),
    [
        pytest.param(INSERT, {"a": "x", "b": "\0"}, id="null character"),
        pytest.param("SELECT 9223372036854775807 + CAST(:a AS bigint)", {"a": 1}, id="overflow"),
        pytest.param("UPDATE rollup_state SET folded_seq = CAST(:a AS text)::bigint", {"a": "x"}, id="text"),
    ],
)
def test_value_that_postgresql_alone_refuses(
    postgres_server: PostgresServer, statement: str, values: dict[str, object]
) -> None:
    url = postgres_server.new_database()
    with open_database(url):
        pass

    assert is_about_data(failure(url, statement, **values))


def test_text_in_a_column_of_integers_is_a_value_that_sqlite_refuses(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    with open_database(url):
        pass

    assert is_about_data(failure(url, "UPDATE rollup_state SET folded_seq = 'x'"))
    assert is_about_data(failure(url, "UPDATE rollup_state SET folded_seq = 9e18 * 2"))


def test_connection_a_lock_and_a_missing_right_are_no_values(
    tmp_path: Path, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hero_broker.store.engine.LOCK_TIMEOUT_MS", 10)
    path = tmp_path / "ledger.db"
    with open_database(f"sqlite:///{path}") as database:
        held, ended = threading.Event(), threading.Event()

        def hold() -> None:
            with database.writing():
                held.set()
                assert ended.wait(20)

        holder = threading.Thread(target=hold)
        holder.start()
        assert held.wait(20)
        locked = failure(f"sqlite:///{path}", "DELETE FROM prices")
        ended.set()
        holder.join()
        database.append([row()], [])
    found = [
        locked,
        failure("postgresql:///x?host=/nowhere", "SELECT 1"),
        failure(f"sqlite:///{tmp_path}/nowhere/ledger.db", "SELECT 1"),
        failure(postgres_server.new_database(), "SET TRANSACTION READ ONLY; CREATE TABLE x (y int)"),
    ]

    assert [is_about_data(error) for error in found] == [False] * 4

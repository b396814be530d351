"""A ledger copied into another store is the same ledger, however often the copy was ended."""

import asyncio
import itertools
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from hero_broker.core.clock import SystemClock
from hero_broker.core.labels import Label
from hero_broker.core.limits import Grant, LimitDefinition
from hero_broker.core.records import PriceRecord, StoredResponse
from hero_broker.reports.billing_periods import Books
from hero_broker.store import labels, ledger_copy, limit_definitions, limit_grants
from hero_broker.store.database import open_database
from hero_broker.store.ledger_copy import LedgersDiffer, LedgerSums, copy_ledger, ledger_sums
from hero_broker.store.request_logs import COLUMNS
from tests.ledger.rows import row
from tests.stores import PostgresServer, query

EVERYTHING = f"SELECT seq, {', '.join(COLUMNS)} FROM request_logs ORDER BY seq"
PRICES = [PriceRecord("p", "{}", "settings", "1")]


def fill(url: str, count: int) -> None:
    """Add rows, prices included."""
    with open_database(url) as database:
        database.append([row(cost_nano_usd=number, context="Käse") for number in range(count)], PRICES)


def copy(source: str, target: str, batches: int | None = None) -> None:
    """Copy, ending after so many batches."""
    with open_database(source) as reading, open_database(target) as writing:
        for _ in itertools.islice(copy_ledger(reading.engine, writing.engine), batches):
            continue


def test_copy_that_was_ended_goes_on_and_new_rows_follow(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_copy, "BATCH_ROWS", 7)
    source = f"sqlite:///{tmp_path}/source.db"
    fill(source, 50)

    copy(source, database_url, batches=3)
    partly = len(query(database_url, EVERYTHING))
    copy(source, database_url)
    fill(source, 5)
    copy(source, database_url)
    fill(database_url, 1)  # the broker's own next row comes after the copied ones

    copied = query(database_url, EVERYTHING)
    assert partly == 21
    assert copied[:-1] == query(source, EVERYTHING)
    assert copied[-1][0] > copied[-2][0]
    assert query(database_url, "SELECT * FROM prices") == [("p", "{}", "settings", "1")]


def test_billing_periods_are_copied_too(tmp_path: Path, database_url: str) -> None:
    source = f"sqlite:///{tmp_path}/source.db"
    fill(source, 10)
    with open_database(source) as database:
        books = Books(database, SystemClock())
        asyncio.run(books.mark_billed("a", 4))
        copy(source, database_url)
        asyncio.run(books.mark_billed("b", 10))
    copy(source, database_url)

    periods = "SELECT * FROM billing_periods ORDER BY number"
    assert query(database_url, periods) == query(source, periods)
    assert len(query(database_url, periods)) == 2


def test_labels_of_the_source_take_the_place_of_the_targets(tmp_path: Path, database_url: str) -> None:
    source = f"sqlite:///{tmp_path}/source.db"
    for url, target in ((source, "192.0.2.1"), (source, "192.0.2.0/24"), (database_url, "192.0.2.9")):
        with open_database(url) as database, database.writing() as connection:
            labels.put(connection, Label(target, "name", 1_700_000_000))
    with open_database(source) as database, database.writing() as connection:
        labels.remove(connection, "192.0.2.1")

    copy(source, database_url)

    with open_database(database_url) as database, database.reading() as connection:
        assert labels.labels(connection) == [Label("192.0.2.0/24", "name", 1_700_000_000)]
        assert labels.revision(connection) == 3


def test_limits_and_grants_of_the_source_take_the_place_of_the_targets(tmp_path: Path, database_url: str) -> None:
    source = f"sqlite:///{tmp_path}/source.db"
    grant = Grant(0, "a", {"ip": "192.0.2.1"}, "usd", 5, 1_700_000_000, None, "r")
    for url, names in ((source, ("a", "b")), (database_url, ("c",))):
        with open_database(url) as database, database.writing() as connection:
            for name in names:
                limit_definitions.put(connection, LimitDefinition(name, "{}", 1_700_000_000))
                limit_grants.add(connection, replace(grant, name=name))
    with open_database(source) as database, database.writing() as connection:
        limit_definitions.remove(connection, "b")

    copy(source, database_url)

    for table in ("limit_definitions ORDER BY name", "limit_grants ORDER BY grant_id"):
        lines = query(database_url, f"SELECT * FROM {table}")
        assert lines == query(source, f"SELECT * FROM {table}")
        assert len(lines) == 2


def test_stored_responses_of_the_source_take_the_place_of_the_targets(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_copy, "BATCH_ROWS", 2)
    source = f"sqlite:///{tmp_path}/source.db"
    lines = [StoredResponse(f"resp_{n}", "ip:192.0.2.1", "openai", None, "m", "r", n, 2_000_000_000) for n in range(5)]
    for url, some in ((source, lines), (database_url, [replace(lines[0], response_id="other")])):
        with open_database(url) as database:
            database.append([], [], some)

    copy(source, database_url)

    everything = "SELECT * FROM responses ORDER BY response_id"
    assert query(database_url, everything) == query(source, everything)
    assert len(query(database_url, everything)) == 5


def test_target_with_billing_periods_of_its_own_is_refused(tmp_path: Path, database_url: str) -> None:
    source = f"sqlite:///{tmp_path}/source.db"
    fill(source, 10)
    copy(source, database_url)
    with open_database(database_url) as database:
        asyncio.run(Books(database, SystemClock()).mark_billed("other", 4))

    with pytest.raises(LedgersDiffer, match="periods"):
        copy(source, database_url)


def test_target_with_rows_of_its_own_is_refused(tmp_path: Path, database_url: str) -> None:
    source = f"sqlite:///{tmp_path}/source.db"
    fill(source, 5)
    fill(database_url, 3)
    with open_database(database_url) as database:
        database.append([row(cost_nano_usd=999)], [])

    with pytest.raises(LedgersDiffer, match="not the beginning of the source"):
        copy(source, database_url)

    assert len(query(database_url, EVERYTHING)) == 4


def test_command_killed_in_the_middle_and_run_again_ends_in_equal_sums(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    source, target = f"sqlite:///{tmp_path}/source.db", postgres_server.new_database()
    fill(source, 30_000)
    command = [sys.executable, "-m", "hero_broker", "copy-ledger", source, target]
    environ = {**os.environ, "HERO_BROKER_STATE_DIR": str(tmp_path)}

    with subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        *_, first = [process.stderr.readline() for _ in range(3)]  # after the names of both ledgers
        process.send_signal(signal.SIGKILL)
    ended = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=True)

    assert "rows copied" in first
    assert "30000 rows, 0.449985 USD: the same in both ledgers" in ended.stdout
    assert query(target, EVERYTHING) == query(source, EVERYTHING)


CHANGES = [
    "ip = '192.0.2.9'",
    "peer_ip = '192.0.2.9'",
    "context = NULL",
    "model = 'another'",
    "ip_key = X'00'",
    "started_at = started_at + 1",
    "request_id = 'another'",
    "output_tokens = NULL",
]


@pytest.mark.parametrize("change", CHANGES)
def test_row_that_differs_in_any_column_is_found_and_its_range_named(
    tmp_path: Path, postgres_server: PostgresServer, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_copy, "BATCH_ROWS", 4)
    source, target = f"sqlite:///{tmp_path}/source.db", postgres_server.new_database()
    fill(source, 10)
    copy(source, target)
    with open_database(source) as database, database.writing() as connection:
        connection.execute(text(f"UPDATE request_logs SET {change} WHERE seq = 6"))
    fill(source, 1)

    with pytest.raises(LedgersDiffer, match="the rows of seq 6 to 8 differ"):
        copy(source, target)

    assert len(query(target, EVERYTHING)) == 10


def test_source_that_was_restored_from_a_backup_and_went_on_is_no_source_of_this_copy(
    tmp_path: Path, database_url: str
) -> None:
    source = f"sqlite:///{tmp_path}/source.db"
    fill(source, 3)
    fill(source, 2)
    copy(source, database_url)
    with open_database(source) as database, database.writing() as connection:
        connection.execute(text("DELETE FROM request_logs WHERE seq > 3"))
        connection.execute(text("UPDATE sqlite_sequence SET seq = 3 WHERE name = 'request_logs'"))
    fill(source, 2)  # as many rows, of the same cost, of other calls

    with pytest.raises(LedgersDiffer, match="the rows of seq 4 to 5 differ"):
        copy(source, database_url)


@pytest.mark.parametrize("ledger", ["source", "target"])
def test_row_that_one_ledger_alone_has_is_found(tmp_path: Path, database_url: str, ledger: str) -> None:
    source = f"sqlite:///{tmp_path}/source.db"
    fill(source, 10)
    copy(source, database_url)
    with open_database(database_url if ledger == "source" else source) as database, database.writing() as connection:
        connection.execute(text("DELETE FROM request_logs WHERE seq IN (5, 10)"))

    with pytest.raises(LedgersDiffer, match="the rows of seq 5 to"):
        copy(source, database_url)


def test_sums_beyond_64_bits_are_copied(tmp_path: Path, database_url: str) -> None:
    source = f"sqlite:///{tmp_path}/source.db"
    with open_database(source) as database:
        database.append([row(cost_nano_usd=2**63 - 1) for _ in range(3)], PRICES)

    copy(source, database_url)

    with open_database(database_url) as database, database.reading() as connection:
        assert ledger_sums(connection) == LedgerSums(3, 3 * (2**63 - 1))


def test_row_that_the_target_does_not_take_is_named(tmp_path: Path, postgres_server: PostgresServer) -> None:
    source = f"sqlite:///{tmp_path}/source.db"
    fill(source, 2)
    with open_database(source) as database:
        database.append([row(context="null\0character")], PRICES)

    with pytest.raises(LedgersDiffer, match="rejects a row of seq 1 to 3"):
        copy(source, postgres_server.new_database())


def test_lines_of_closed_periods_are_copied(tmp_path: Path) -> None:
    source, target = f"sqlite:///{tmp_path}/source.db", f"sqlite:///{tmp_path}/target.db"
    fill(source, 9)
    with open_database(source) as database:
        asyncio.run(Books(database, SystemClock()).close_period("month", 1_790_000_000, "UTC"))

    copy(source, target)

    lines = "SELECT * FROM billing_lines ORDER BY number, ip, model"
    assert query(target, lines) == query(source, lines) != []

"""Rows offered equal rows stored, whatever fails between."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from hero_broker.core.errors import StoreUnavailable
from hero_broker.core.records import PriceRecord, RequestLog
from hero_broker.metering import ledger as ledger_module
from hero_broker.metering.journal import Journal
from hero_broker.metering.ledger import Ledger
from hero_broker.metering.rows import DueRow
from hero_broker.store.database import Database, open_database
from tests.metering.rows import note_of, row
from tests.stores import query
from tests.waits import wait_until


class Unreliable:
    """A store that refuses before, or after, it has taken the rows; `plan` says which, call by call."""

    def __init__(self, database: Database, plan: str) -> None:
        self._database = database
        self._plan = iter(plan)
        self.calls = 0

    def append(self, rows: Sequence[RequestLog], prices: Sequence[PriceRecord]) -> None:
        self.calls += 1
        step = next(self._plan, "take")
        if step == "b":
            raise StoreUnavailable("refused before")
        self._database.append(rows, prices)
        if step == "a":
            raise StoreUnavailable("the outcome of the commit is not known")

    def check(self) -> None:
        self._database.check()

    def fold(self, max_rows: int) -> int:
        return self._database.fold(max_rows)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An open ledger on each store."""
    with open_database(database_url) as opened:
        yield opened


def journal_in(directory: Path) -> Journal:
    return Journal(directory, max_bytes=100_000_000, max_calls=10)


def ids_in(url: str) -> list[str]:
    return [request_id for (request_id,) in query(url, "SELECT request_id FROM request_logs ORDER BY seq")]


def test_rows_reach_the_store_in_order_and_leave_the_journal(
    tmp_path: Path, database: Database, database_url: str
) -> None:
    journal = journal_in(tmp_path / "journal")
    offered = [DueRow(row(), '{"input":"1"}', "https://example.org/prices", "1") for _ in range(1200)]

    with Ledger.running(journal, database) as ledger:
        for due in offered:
            ledger.begin(note_of(due.row, due.rates))
            assert ledger.offer(due)
    journal.close()

    assert ids_in(database_url) == [due.row.request_id for due in offered]
    assert query(database_url, "SELECT * FROM prices") == [("p", '{"input":"1"}', "https://example.org/prices", "1")]
    assert list((tmp_path / "journal").iterdir()) == []


@pytest.mark.parametrize("plan", ["b", "a", "ba", "ab", "bab"])
def test_batch_that_the_store_refused_is_offered_again_and_none_is_doubled(
    tmp_path: Path, database: Database, database_url: str, plan: str
) -> None:
    journal = journal_in(tmp_path / "journal")
    store = Unreliable(database, plan)
    offered = [DueRow(row(), None) for _ in range(5)]

    with Ledger.running(journal, store) as ledger:
        for due in offered:
            ledger.offer(due)
        wait_until(lambda: not ledger.pending)
    journal.close()

    assert store.calls > len(plan)
    assert sorted(ids_in(database_url)) == sorted(due.row.request_id for due in offered)


def test_rows_that_the_store_did_not_take_are_there_after_the_next_start(
    tmp_path: Path, database: Database, database_url: str
) -> None:
    due = DueRow(row(), None)
    journal = journal_in(tmp_path / "journal")
    with Ledger.running(journal, Unreliable(database, "b" * 1000)) as ledger:
        ledger.offer(due)
    journal.close()

    again = journal_in(tmp_path / "journal")
    with Ledger.running(again, database):
        pass
    again.close()

    assert ids_in(database_url) == [due.row.request_id]


def test_writer_folds_what_it_has_written(
    tmp_path: Path, database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "FOLD_ROWS", 3)
    monkeypatch.setattr(ledger_module, "FOLD_EVERY_S", 0.01)
    journal = journal_in(tmp_path / "journal")

    with Ledger.running(journal, database) as ledger:
        for _ in range(10):
            ledger.offer(DueRow(row(), None))
        wait_until(lambda: query(database_url, "SELECT folded_seq FROM rollup_state") == [(10,)])
    journal.close()

    assert query(database_url, "SELECT requests, cost_nano_usd FROM usage_by_ip WHERE span_s = 0") == [(10, 259_700)]


class Unfoldable(Unreliable):
    """A store whose roll-ups cannot be written."""

    def fold(self, max_rows: int) -> int:
        raise StoreUnavailable(f"{max_rows} rows cannot be folded")


def test_rows_are_written_although_the_rollups_cannot_be(
    tmp_path: Path, database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "FOLD_EVERY_S", 0.0)
    journal = journal_in(tmp_path / "journal")
    offered = [DueRow(row(), None) for _ in range(1200)]

    with Ledger.running(journal, Unfoldable(database, "")) as ledger:
        for due in offered:
            ledger.offer(due)
        wait_until(lambda: not ledger.pending)
        is_degraded = ledger.is_degraded
    journal.close()

    assert not is_degraded
    assert ids_in(database_url) == [due.row.request_id for due in offered]


@pytest.mark.parametrize("times", [1, 2])
def test_replayed_row_is_stored_once(database: Database, database_url: str, times: int) -> None:
    due = row()

    for _ in range(times):
        database.append([due], [])

    assert ids_in(database_url) == [due.request_id]

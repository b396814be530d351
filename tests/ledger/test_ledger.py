"""Rows offered equal rows stored, whatever fails between."""

import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from hero_broker.core.errors import StoreUnavailable
from hero_broker.core.records import PriceRecord, RequestLog
from hero_broker.ledger import ledger as ledger_module
from hero_broker.ledger.health import LedgerHealth
from hero_broker.ledger.journal import Journal
from hero_broker.ledger.ledger import Ledger
from hero_broker.ledger.rejected_rows import RejectedRows
from hero_broker.ledger.rows import PendingRow
from hero_broker.metering.billing_row import interrupted_row
from hero_broker.store.database import Database, open_database
from tests.ledger.rows import note_of, row
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
    return Journal(directory, interrupted_row, max_bytes=100_000_000, max_calls=10)


def ids_in(url: str) -> list[str]:
    return [request_id for (request_id,) in query(url, "SELECT request_id FROM request_logs ORDER BY seq")]


def test_rows_reach_the_store_in_order_and_leave_the_journal(
    tmp_path: Path, database: Database, database_url: str
) -> None:
    journal = journal_in(tmp_path / "journal")
    offered = [PendingRow(row(), '{"input":"1"}', "https://example.org/prices", "1") for _ in range(1200)]

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
    offered = [PendingRow(row(), None) for _ in range(5)]

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
    due = PendingRow(row(), None)
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
            ledger.offer(PendingRow(row(), None))
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
    offered = [PendingRow(row(), None) for _ in range(1200)]

    with Ledger.running(journal, Unfoldable(database, "")) as ledger:
        for due in offered:
            ledger.offer(due)
        wait_until(lambda: not ledger.pending)
        wait_until(lambda: ledger.folding.is_failing)
        is_degraded = ledger.is_degraded
    journal.close()

    assert not is_degraded
    assert "cannot be folded" in str(ledger.folding.last_error)
    assert ids_in(database_url) == [due.row.request_id for due in offered]


def test_rows_that_are_written_are_in_the_sums_when_the_writer_has_ended(
    tmp_path: Path, database: Database, database_url: str
) -> None:
    journal = journal_in(tmp_path / "journal")

    with Ledger.running(journal, database) as ledger:
        for _ in range(10):
            ledger.offer(PendingRow(row(), None))
    journal.close()

    assert query(database_url, "SELECT folded_seq FROM rollup_state") == [(10,)]


@pytest.mark.parametrize("times", [1, 2])
def test_replayed_row_is_stored_once(database: Database, database_url: str, times: int) -> None:
    due = row()

    for _ in range(times):
        database.append([due], [])

    assert ids_in(database_url) == [due.request_id]


UNSTORABLE = 2**63  # nano-USD; an integer of a database has 63 bits


def rejected_in(directory: Path) -> list[dict[str, Any]]:
    path = directory / "rejected.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.mark.parametrize("bad", [{0}, {7}, {19}, {3, 4, 11}, set(range(20))], ids=str)
def test_row_that_the_store_rejects_is_kept_and_holds_up_no_other(
    tmp_path: Path, database: Database, database_url: str, bad: set[int], caplog: pytest.LogCaptureFixture
) -> None:
    journal = journal_in(tmp_path / "journal")
    offered = [PendingRow(row(cost_nano_usd=UNSTORABLE if at in bad else at), "{}", "source", "1") for at in range(20)]
    for due in offered:
        journal.begin(note_of(due.row))
        journal.settle(due)
    journal.close()

    again = journal_in(tmp_path / "journal")  # of one run before, so that all are of one batch
    with Ledger.running(again, database) as ledger:
        following = PendingRow(row(), None)
        ledger.offer(following)
    health = LedgerHealth(ledger, again, tmp_path, True, rollups=lambda: None, duties=()).report()
    again.close()

    good = [due.row.request_id for at, due in enumerate(offered) if at not in bad]
    kept = rejected_in(tmp_path / "journal")
    assert ids_in(database_url) == [*good, following.row.request_id]
    assert [one["request_id"] for one in kept] == [offered[at].row.request_id for at in sorted(bad)]
    assert {one["row"]["cost_nano_usd"] for one in kept} == {UNSTORABLE}
    assert {(one["row"]["ip"], one["rates"], one["price_source"]) for one in kept} == {("127.0.0.1", "{}", "source")}
    assert all(one["reason"] in ("OverflowError", "NumericValueOutOfRange") for one in kept)
    assert [name.name for name in (tmp_path / "journal").iterdir()] == ["rejected.jsonl"]
    assert (tmp_path / "journal" / "rejected.jsonl").stat().st_mode & 0o777 == 0o600
    assert (health["status"], health["store"], health["rejected_rows"]) == ("degraded", "ok", len(bad))
    assert len([one for one in caplog.records if one.levelno == logging.ERROR]) == len(bad)


def test_rejected_rows_are_counted_after_a_restart_until_the_file_is_taken_away(
    tmp_path: Path, database: Database
) -> None:
    journal = journal_in(tmp_path)
    with Ledger.running(journal, database) as ledger:
        ledger.offer(PendingRow(row(cost_nano_usd=UNSTORABLE), None))
    journal.close()

    counts = []
    for _ in range(2):
        again = journal_in(tmp_path)
        counts.append(again.rejected.count)
        again.close()
    (tmp_path / "rejected.jsonl").unlink()
    last = journal_in(tmp_path)
    counts.append(last.rejected.count)
    last.close()

    assert counts == [1, 1, 0]


def test_row_that_is_rejected_again_after_a_kill_is_kept_once_and_a_torn_line_is_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "rejected.jsonl"
    due, other = PendingRow(row(), None), PendingRow(row(), None)
    RejectedRows(path).keep(due, "x")
    whole = path.read_bytes()

    for length in range(1, len(whole) + 1):
        path.write_bytes(whole + whole[:length].rstrip(b"\n"))
        rejected = RejectedRows(path)
        rejected.keep(due, "x")
        rejected.keep(other, "x")
        assert RejectedRows(path).count == rejected.count == 2

    lines = path.read_text().splitlines()
    assert [json.loads(lines[at])["request_id"] for at in (0, -1)] == [due.row.request_id, other.row.request_id]


def test_rejected_row_stays_in_the_journal_while_it_cannot_be_kept(tmp_path: Path, database: Database) -> None:
    journal = journal_in(tmp_path)
    (tmp_path / "rejected.jsonl").mkdir()  # so that no file of this name can be written
    due = PendingRow(row(cost_nano_usd=UNSTORABLE), None)
    with Ledger.running(journal, database, close_within_s=0.5) as ledger:
        ledger.offer(due)
    pending, is_degraded = ledger.pending, ledger.is_degraded
    journal.close()
    (tmp_path / "rejected.jsonl").rmdir()

    again = journal_in(tmp_path)
    recovered = again.recovered
    again.close()
    assert (pending, is_degraded) == (1, True)
    assert recovered == [due]

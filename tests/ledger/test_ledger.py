"""Rows offered equal rows stored, whatever fails between."""

import errno
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from hero_broker.core.errors import JournalFull, StoreUnavailable
from hero_broker.core.records import PriceRecord, RequestLog, StoredResponse
from hero_broker.ledger import journal as journal_module
from hero_broker.ledger import ledger as ledger_module
from hero_broker.ledger.health import LedgerHealth
from hero_broker.ledger.journal import Journal
from hero_broker.ledger.ledger import BATCH_ROWS, BUSY_ROWS, Ledger
from hero_broker.ledger.rows import KEEP_RESPONSES_S, CallStarted, PendingRow
from hero_broker.metering.billing_row import interrupted_row
from hero_broker.store.database import Database, open_database
from tests.ledger import dying_writer
from tests.ledger.rows import note_of, row
from tests.stores import query
from tests.waits import wait_until

NOW = int(time.time())


class Unreliable:
    """A store that refuses before, or after, it has taken the rows; `plan` says which, call by call."""

    def __init__(self, database: Database, plan: str) -> None:
        self._database = database
        self._plan = iter(plan)
        self.calls = 0

    def append(
        self, rows: Sequence[RequestLog], prices: Sequence[PriceRecord], stored: Sequence[StoredResponse] = ()
    ) -> Mapping[str, str]:
        self.calls += 1
        step = next(self._plan, "take")
        if step == "b":
            raise StoreUnavailable("refused before")
        rejected = self._database.append(rows, prices, stored)
        if step == "a":
            raise StoreUnavailable("the outcome of the commit is not known")
        return rejected

    def check(self) -> None:
        self._database.check()

    def remove_responses(self, keys: Sequence[tuple[str, str]], expired_at: int, max_expired: int) -> int:
        return self._database.remove_responses(keys, expired_at, max_expired)

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
@pytest.mark.slow
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


class Counting:
    """A store that takes all rows and counts those of each batch."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def append(
        self, rows: Sequence[RequestLog], prices: Sequence[PriceRecord], stored: Sequence[StoredResponse] = ()
    ) -> Mapping[str, str]:
        self.batches.append(len(rows))
        return {}

    def check(self) -> None:
        pass

    def remove_responses(self, keys: Sequence[tuple[str, str]], expired_at: int, max_expired: int) -> int:
        return 0

    def fold(self, max_rows: int) -> int:
        return 0


@pytest.mark.parametrize(
    ("waits", "rows"),
    [
        pytest.param("GATHER_BUSY_S", BUSY_ROWS - 1, id="few rows do not wait for a whole batch"),
        pytest.param("GATHER_BUSY_S", BATCH_ROWS, id="a whole batch ends the longer wait"),
        pytest.param("GATHER_S", BATCH_ROWS, id="a whole batch ends the first wait"),
    ],
)
def test_rows_wait_no_longer_than_they_must(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waits: str, rows: int
) -> None:
    monkeypatch.setattr(ledger_module, waits, 600)
    journal = journal_in(tmp_path)
    store = Counting()

    with Ledger.running(journal, store) as ledger:
        for _ in range(rows):
            ledger.offer(PendingRow(row(), None))
        wait_until(lambda: not ledger.pending)
    journal.close()

    assert sum(store.batches) == rows


def journal_with_rows(directory: Path, rows: int) -> Journal:
    """Return a journal that has the rows of an earlier run, so that they are there when the writer starts."""
    earlier = journal_in(directory)
    for _ in range(rows):
        earlier.settle(PendingRow(row(), None))
    earlier.close()
    return journal_in(directory)


def test_many_rows_wait_for_a_whole_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "GATHER_S", 0)
    monkeypatch.setattr(ledger_module, "GATHER_BUSY_S", 600)
    journal = journal_with_rows(tmp_path, BUSY_ROWS)
    store = Counting()

    with Ledger.running(journal, store) as ledger:
        for _ in range(BATCH_ROWS - BUSY_ROWS):
            ledger.offer(PendingRow(row(), None))
        wait_until(lambda: not ledger.pending)
    journal.close()

    assert store.batches == [BATCH_ROWS]


@pytest.mark.parametrize("waits", [{"GATHER_S": 600}, {"GATHER_S": 0, "GATHER_BUSY_S": 600}])
def test_rows_that_wait_for_others_are_written_when_the_writer_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waits: Mapping[str, float]
) -> None:
    for name, seconds in waits.items():
        monkeypatch.setattr(ledger_module, name, seconds)
    journal = journal_with_rows(tmp_path, BUSY_ROWS)
    store = Counting()

    with Ledger.running(journal, store):
        pass
    journal.close()

    assert store.batches == [BUSY_ROWS]


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


@pytest.mark.parametrize("bad", [{0}, {7}, {19}, {3, 4, 11}, set(range(20))], ids=lambda bad: str(sorted(bad)))
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
    counts.append(again.rejected.count)
    last = journal_in(tmp_path)
    counts.append(last.rejected.count)
    last.close()

    assert counts == [1, 1, 0, 0]


def test_flood_of_rejected_rows_takes_few_transactions_and_one_flush_a_batch(
    tmp_path: Path, database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    offered = [PendingRow(row(cost_nano_usd=UNSTORABLE if at % 2 else at), None) for at in range(1000)]
    journal = journal_in(tmp_path)
    for due in offered:
        journal.settle(due)
    journal.close()
    database.check()
    transactions: list[object] = []
    flushes: list[int] = []
    inserts: list[int] = []
    event.listen(database.engine, "begin", transactions.append)
    event.listen(
        database.engine,
        "before_cursor_execute",
        lambda *arguments: inserts.append(1) if "INTO request_logs" in arguments[2] else None,
    )
    fsync = os.fsync

    def counting_fsync(fd: int) -> None:
        flushes.append(fd)
        fsync(fd)

    monkeypatch.setattr(os, "fsync", counting_fsync)

    again = journal_in(tmp_path)
    with Ledger.running(again, database, close_within_s=60):
        pass
    again.close()

    assert ids_in(database_url) == [due.row.request_id for due in offered[::2]]
    assert [one["request_id"] for one in rejected_in(tmp_path)] == [due.row.request_id for due in offered[1::2]]
    assert len(transactions) < 20
    assert len(flushes) < 10
    assert len(inserts) < 1.1 * len(offered)


def test_price_is_stored_with_the_first_row_that_is_accepted_and_rejected_with_its_row_alone(
    database: Database, database_url: str
) -> None:
    bad_price = row(price_id="bad")
    bad_row = row(price_id="good", cost_nano_usd=UNSTORABLE)
    good = [row(price_id="good") for _ in range(2)]

    rejected = database.append(
        [bad_price, bad_row, *good], [PriceRecord("bad", "\ud800", "", ""), PriceRecord("good", "{}", "", "")]
    )

    assert rejected.keys() == {bad_price.request_id, bad_row.request_id}
    assert rejected[bad_price.request_id] == "UnicodeEncodeError"
    assert ids_in(database_url) == [one.request_id for one in good]
    assert query(database_url, "SELECT price_id FROM prices") == [("good",)]


@pytest.mark.parametrize("step", dying_writer.STEPS)
@pytest.mark.slow
def test_kill_at_any_step_of_a_rejection_loses_no_row_and_doubles_none(
    tmp_path: Path, database: Database, database_url: str, step: str
) -> None:
    offered = [PendingRow(row(cost_nano_usd=UNSTORABLE if at % 2 else at), None) for at in range(60)]
    journal = journal_in(tmp_path)
    for due in offered:
        journal.settle(due)
    journal.close()
    database.check()

    killed = subprocess.run(
        [sys.executable, "-m", "tests.ledger.dying_writer", str(tmp_path), database_url, step], timeout=60, check=False
    )
    again = journal_in(tmp_path)
    with Ledger.running(again, database, close_within_s=60) as ledger:
        wait_until(lambda: not ledger.pending)
        rejected = ledger.rejected
    again.close()

    kept = [line for line in (tmp_path / "rejected.jsonl").read_text().splitlines() if line.endswith("}")]
    assert killed.returncode == dying_writer.EXIT_CODE
    assert sorted(ids_in(database_url)) == sorted(due.row.request_id for due in offered[::2])
    assert [json.loads(line)["request_id"] for line in kept] == [due.row.request_id for due in offered[1::2]]
    assert rejected == 30
    assert [path.name for path in tmp_path.glob("*.journal")] == []


def test_replay_is_logged_with_its_rows_and_the_calls_that_it_settles(
    tmp_path: Path, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    journal = journal_in(tmp_path)
    for _ in range(3):
        journal.settle(PendingRow(row(), None))
    for _ in range(2):
        journal.begin(note_of(row()))
    journal.close()
    before = [one.getMessage() for one in caplog.records]

    again = journal_in(tmp_path)
    with Ledger.running(again, database):
        pass
    again.close()
    journal_in(tmp_path).close()  # an orderly stop leaves nothing to replay

    assert before == []
    assert [(one.levelno, one.getMessage()) for one in caplog.records] == [
        (
            logging.INFO,
            "journal: rows of an earlier run that are written, unless the database has them: 3; "
            "calls without a row that are settled: 2 as interrupted",
        )
    ]


def test_rejected_row_stays_in_the_journal_while_it_cannot_be_kept_and_holds_up_no_other(
    tmp_path: Path, database: Database, database_url: str
) -> None:
    journal = journal_in(tmp_path)
    (tmp_path / "rejected.jsonl").mkdir()  # so that no file of this name can be written
    bad = [PendingRow(row(cost_nano_usd=UNSTORABLE), None) for _ in range(3)]
    good = [PendingRow(row(), None) for _ in range(3)]
    with Ledger.running(journal, database) as ledger:
        for one, other in zip(bad, good, strict=True):
            ledger.offer(one)
            ledger.offer(other)
        wait_until(lambda: ledger.pending == len(bad) and journal.rejected.keeping.is_failing)
        health = LedgerHealth(ledger, journal, tmp_path, True, lambda: None, [journal.rejected.keeping]).report()
    journal.close()
    (tmp_path / "rejected.jsonl").rmdir()

    stored, duties = ids_in(database_url), health["duties"]
    again = journal_in(tmp_path)
    recovered = again.recovered
    with Ledger.running(again, database):
        pass
    again.close()
    assert stored == [due.row.request_id for due in good]
    assert (health["status"], health["store"], health["rejected_rows"]) == ("degraded", "ok", len(bad))
    assert isinstance(duties, list)
    assert [(duty["duty"], duty["status"], duty["last_error"]) for duty in duties] == [
        ("rejected_rows", "failing", "EISDIR: Is a directory")
    ]
    assert [due for due in recovered if due in bad] == bad
    assert [one["request_id"] for one in rejected_in(tmp_path)] == [due.row.request_id for due in bad]
    assert ids_in(database_url) == stored


@pytest.mark.slow
def test_broker_starts_although_the_rejected_rows_cannot_be_read_and_keeps_them_once_they_can(
    tmp_path: Path, database: Database, database_url: str
) -> None:
    bad, good = PendingRow(row(cost_nano_usd=UNSTORABLE), None), PendingRow(row(), None)
    journal = journal_in(tmp_path)
    for due in (bad, good):
        journal.settle(due)
    journal.close()
    (tmp_path / "rejected.jsonl").mkdir()

    again = journal_in(tmp_path)
    is_failing = again.rejected.keeping.is_failing
    with Ledger.running(again, database) as ledger:
        wait_until(lambda: ledger.pending == 1)
        stored = ids_in(database_url)
        (tmp_path / "rejected.jsonl").rmdir()
        wait_until(lambda: not ledger.pending)
        wait_until(lambda: not again.rejected.keeping.is_failing)
    again.close()

    assert is_failing
    assert stored == [good.row.request_id]
    assert [one["request_id"] for one in rejected_in(tmp_path)] == [bad.row.request_id]
    assert list(tmp_path.glob("*.journal")) == []


@pytest.mark.slow
def test_row_that_an_earlier_run_kept_is_not_kept_twice_if_the_file_can_be_read_only_later(
    tmp_path: Path, database: Database
) -> None:
    due = PendingRow(row(cost_nano_usd=UNSTORABLE), None)
    path = tmp_path / "rejected.jsonl"
    journal = journal_in(tmp_path)
    journal.settle(due)
    journal.rejected.keep([(due, "x")])
    journal.close()
    path.rename(tmp_path / "aside")
    path.mkdir()

    again = journal_in(tmp_path)
    with Ledger.running(again, database) as ledger:
        wait_until(lambda: [one.name for one in tmp_path.glob("*.journal")] == ["000000000002.journal"])
        path.rmdir()
        (tmp_path / "aside").rename(path)
        wait_until(lambda: not ledger.pending)
    again.close()

    assert [one["request_id"] for one in rejected_in(tmp_path)] == [due.row.request_id]
    assert list(tmp_path.glob("*.journal")) == []


@pytest.mark.slow
def test_rejected_rows_that_cannot_be_kept_do_not_let_the_journal_grow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "SEGMENT_MIN", 1)  # 160 KiB, for ten calls
    (tmp_path / "rejected.jsonl").mkdir()
    bad = [PendingRow(row(cost_nano_usd=UNSTORABLE), None) for _ in range(3)]
    journal = journal_in(tmp_path)
    with (
        open_database(f"sqlite:///{tmp_path}/state/ledger.db") as database,
        Ledger.running(journal, database, close_within_s=60) as ledger,
    ):
        for due in bad:
            ledger.offer(due)

        def offer(rows: int) -> None:
            for _ in range(rows):
                due = PendingRow(row(), None)
                ledger.begin(note_of(due.row))
                ledger.offer(due)

        def is_short() -> bool:
            offer(10)  # a segment that is more than half full takes no rows of older ones; the next one does
            return len(list(tmp_path.glob("*.journal"))) <= 2

        for _ in range(5):
            offer(500)
            wait_until(lambda: ledger.pending == len(bad))
        wait_until(is_short)
        left = sorted(path.name for path in tmp_path.glob("*.journal"))
    journal.close()

    again = journal_in(tmp_path)
    recovered = again.recovered
    again.close()
    assert left[0] >= "000000000004.journal"
    found = [due.row.request_id for due in recovered if due in bad]
    assert sorted(found) == sorted(due.row.request_id for due in bad)  # they may be carried one by one, in any order


class Unwritable(Journal):
    """A journal on a disk that fails once `is_broken`."""

    is_broken = False

    def begin(self, note: CallStarted) -> None:
        self._check()
        super().begin(note)

    def settle(self, due: PendingRow) -> int:
        self._check()
        return super().settle(due)

    def _check(self) -> None:
        if self.is_broken:
            raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_row_that_the_journal_cannot_take_is_not_billed_as_written_but_reaches_the_store(
    tmp_path: Path, database: Database, database_url: str
) -> None:
    journal = Unwritable(tmp_path / "journal", interrupted_row, max_bytes=100_000_000, max_calls=10)
    due = PendingRow(row(), None, "", "")

    with Ledger.running(journal, database) as ledger:
        ledger.begin(note_of(due.row))
        journal.is_broken = True
        assert not ledger.offer(due)
        with pytest.raises(JournalFull):
            ledger.begin(note_of(row()))
        wait_until(lambda: not ledger.pending)
        journal.is_broken = False
    journal.close()

    assert ids_in(database_url) == [due.row.request_id]


def test_stored_response_is_found_before_and_after_the_store_has_its_row(
    tmp_path: Path, database: Database, database_url: str
) -> None:
    due = PendingRow(row(started_at=NOW), None, response_id="resp_1")
    earlier = journal_in(tmp_path / "journal")
    with Ledger.running(earlier, Unreliable(database, "b" * 1000)) as ledger:
        ledger.offer(due)
        pending = ledger.responses.find("resp_1", "ip:127.0.0.1")
    earlier.close()

    journal = journal_in(tmp_path / "journal")
    recovered = Ledger(journal, database).responses.find("resp_1", "ip:127.0.0.1")
    with Ledger.running(journal, database) as ledger:
        wait_until(lambda: not ledger.pending)
        after = ledger.responses.find("resp_1", "ip:127.0.0.1")
    journal.close()

    assert pending == recovered == due.stored_response()
    assert after is None
    columns = "response_id, owner, provider, model, request_id, tokens, expires_at"
    assert query(database_url, f"SELECT {columns} FROM responses") == [
        ("resp_1", "ip:127.0.0.1", "groq", "llama-3.3-70b", due.row.request_id, 43, NOW + KEEP_RESPONSES_S)
    ]


def test_stored_response_that_is_removed_at_once_is_not_in_the_store(
    tmp_path: Path, database: Database, database_url: str
) -> None:
    journal = journal_in(tmp_path / "journal")
    kept, removed = (PendingRow(row(started_at=NOW), None, response_id=name) for name in ("resp_1", "resp_2"))

    with Ledger.running(journal, database) as ledger:
        for due in (kept, removed):
            ledger.offer(due)
        ledger.responses.remove("resp_2", "ip:127.0.0.1")
        wait_until(lambda: not ledger.pending and not ledger.responses.is_removed("resp_2", "ip:127.0.0.1"))
    journal.close()

    assert query(database_url, "SELECT response_id FROM responses") == [("resp_1",)]


def test_stored_responses_that_have_expired_leave_the_store(
    tmp_path: Path, database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "EXPIRE_ROWS", 2)
    monkeypatch.setattr(ledger_module, "CHECK_EVERY_S", 0.01)
    old = [PendingRow(row(), None, response_id=f"resp_{number}").stored_response() for number in range(5)]
    new = PendingRow(row(started_at=NOW), None, response_id="resp_9").stored_response()
    database.append([], [], [one for one in (*old, new) if one is not None])
    journal = journal_in(tmp_path / "journal")

    with Ledger.running(journal, database):
        wait_until(lambda: len(query(database_url, "SELECT response_id FROM responses")) == 1)
    journal.close()

    assert query(database_url, "SELECT response_id FROM responses") == [("resp_9",)]


class Unforgetting(Unreliable):
    """A store that cannot remove stored responses, as long as `is_failing`."""

    is_failing = True

    def remove_responses(self, keys: Sequence[tuple[str, str]], expired_at: int, max_expired: int) -> int:
        if self.is_failing:
            raise StoreUnavailable("not now")
        return super().remove_responses(keys, expired_at, max_expired)


def test_rows_are_stored_while_stored_responses_cannot_be_removed(
    tmp_path: Path, database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "BACK_OFF_MAX_S", 0.01)
    journal, store = journal_in(tmp_path / "journal"), Unforgetting(database, "")

    with Ledger.running(journal, store) as ledger:
        ledger.offer(PendingRow(row(started_at=NOW), None, response_id="resp_1"))
        ledger.responses.remove("resp_1", "ip:127.0.0.1")
        wait_until(lambda: not ledger.pending and ledger.forgetting.is_failing)
        failing = ledger.is_degraded, ledger.forgetting.last_error, len(ids_in(database_url))
        store.is_failing = False
        wait_until(lambda: not ledger.responses.is_removed("resp_1", "ip:127.0.0.1"))
    journal.close()

    assert failing == (False, "not now", 1)
    assert not ledger.forgetting.is_failing
    assert query(database_url, "SELECT response_id FROM responses") == []


class Standing(Unreliable):
    """A store that stands still until `opened` is set."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, "")
        self.opened = threading.Event()

    def append(
        self, rows: Sequence[RequestLog], prices: Sequence[PriceRecord], stored: Sequence[StoredResponse] = ()
    ) -> Mapping[str, str]:
        self.opened.wait(60)
        return super().append(rows, prices, stored)


@pytest.mark.slow
def test_ten_thousand_stored_responses_are_found_while_the_store_does_not_answer(
    tmp_path: Path, database: Database, database_url: str
) -> None:
    journal, store = journal_in(tmp_path / "journal"), Standing(database)
    names = [f"resp_{number}" for number in range(10_000)]

    with Ledger.running(journal, store) as ledger:
        for name in names:
            ledger.offer(PendingRow(row(started_at=NOW), None, response_id=name))
        missing = [name for name in names if ledger.responses.find(name, "ip:127.0.0.1") is None]
        pending = ledger.pending
        store.opened.set()
        wait_until(lambda: not ledger.pending)
        left = [name for name in names if ledger.responses.find(name, "ip:127.0.0.1") is not None]
    journal.close()

    assert (missing, left, pending) == ([], [], 10_000)
    assert query(database_url, "SELECT count(*) FROM responses") == [(10_000,)]

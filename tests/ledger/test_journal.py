"""The journal remembers what was written, whatever happens to the process."""

import errno
import os
import threading
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from hero_broker.core.calls import Outcome
from hero_broker.core.errors import JournalFull, JournalUnreadable, JournalUnusable
from hero_broker.core.records import PriceRecord, RequestLog
from hero_broker.ledger import journal as journal_module
from hero_broker.ledger.journal import DUE, FRAME, HEADER, MAGIC, RECORD_MAX, VERSION, Journal, fit_record
from hero_broker.ledger.rows import PendingRow
from hero_broker.metering.billing_row import interrupted_row
from tests.ledger.rows import note_of, row


def journal_in(directory: Path, *, max_bytes: int = 1_000_000_000) -> Journal:
    return Journal(directory, interrupted_row, max_bytes=max_bytes, max_calls=10)


def segments(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.journal"))


def test_row_that_was_settled_is_recovered_and_its_note_is_not(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    due = PendingRow(row(), "{}")
    journal.begin(note_of(due.row, "{}"))
    journal.settle(due)
    journal.close()

    assert journal_in(tmp_path).recovered == [due]


def test_call_in_flight_is_recovered_as_its_note_says(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    note = note_of(row(), '{"input_per_million":"0.59"}')
    journal.begin(note)
    journal.close()

    (recovered,) = journal_in(tmp_path).recovered
    assert recovered == interrupted_row(note)
    assert (recovered.row.request_id, recovered.row.outcome) == (note.request_id, Outcome.INTERRUPTED)
    assert (recovered.row.input_tokens, recovered.row.cost_nano_usd) == (40, 23_600)


def test_row_that_the_store_has_is_not_recovered(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    due = PendingRow(row(), None)
    journal.begin(note_of(due.row))
    journal.forget({journal.settle(due): 1})
    journal.close()

    assert segments(tmp_path) == []
    assert journal_in(tmp_path).recovered == []


def test_torn_end_is_cut_off_and_all_before_it_is_kept(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    kept, torn = PendingRow(row(), None), PendingRow(row(), None)
    journal.settle(kept)
    journal.settle(torn)
    journal.close()
    (path,) = segments(tmp_path)
    content = path.read_bytes()
    end = len(content.rstrip(b"\0"))

    for lost in range(1, 60):
        path.write_bytes(content[: end - lost])
        reopened = journal_in(tmp_path)
        assert reopened.recovered == [kept]
        reopened.close()


def test_unknown_version_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "000000000001.journal"
    content = HEADER.pack(MAGIC, 99)
    path.write_bytes(content)

    with pytest.raises(JournalUnreadable, match="version 99"):
        journal_in(tmp_path)

    assert path.read_bytes() == content


@pytest.mark.slow
def test_open_calls_survive_the_rotation_of_segments(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    open_note = note_of(row())
    journal.begin(open_note)
    first = segments(tmp_path)[0]
    while first.exists():
        due = PendingRow(row(), None)
        journal.begin(note_of(due.row))
        journal.forget({journal.settle(due): 1})
    journal.close()

    assert interrupted_row(open_note) in journal_in(tmp_path).recovered


def test_full_journal_refuses_new_calls_and_still_settles_admitted_ones(tmp_path: Path) -> None:
    journal = journal_in(tmp_path, max_bytes=1)
    admitted: list[PendingRow] = []

    def begin_for_ever() -> None:
        while True:
            due = PendingRow(row(model="m" * 200), None)
            journal.begin(note_of(due.row))
            admitted.append(due)

    with pytest.raises(JournalFull):
        begin_for_ever()
    for due in admitted:
        journal.settle(due)
    journal.close()

    assert len(admitted) > 100
    assert len(journal_in(tmp_path).recovered) == len(admitted)


def test_files_are_readable_by_their_owner_alone(tmp_path: Path) -> None:
    directory = tmp_path / "journal"
    journal = journal_in(directory)

    assert directory.stat().st_mode & 0o777 == 0o700
    assert segments(directory)[0].stat().st_mode & 0o777 == 0o600
    journal.close()


def test_killed_process_loses_nothing_that_was_settled(tmp_path: Path) -> None:
    due = PendingRow(row(), None)
    child = os.fork()
    if child == 0:
        journal = journal_in(tmp_path)
        journal.settle(due)
        os.kill(os.getpid(), 9)
    os.waitpid(child, 0)

    assert journal_in(tmp_path).recovered == [due]


def test_flush_that_fails_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = [OSError(errno.EMFILE, "Too many open files"), OSError(errno.EIO, "Input/output error")]
    flushed = threading.Event()

    def fdatasync(_fd: int) -> None:
        if failures:
            raise failures.pop()
        flushed.set()

    journal = journal_in(tmp_path)
    monkeypatch.setattr(os, "fdatasync", fdatasync)
    journal.settle(PendingRow(row(), None))

    assert flushed.wait(10)
    journal.close()
    assert (journal.flushing.failures, journal.flushing.is_failing) == (2, False)
    assert journal.flushing.last_error == "EMFILE: Too many open files"


@pytest.mark.slow
def test_segment_that_cannot_be_removed_is_seen_and_removed_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = journal_in(tmp_path)
    first = segments(tmp_path)[0]
    remove = Path.unlink

    def refuse(_path: Path, missing_ok: bool = False) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    def settle_until(done: Callable[[], bool]) -> None:
        while not done():
            due = PendingRow(row(), None)
            journal.begin(note_of(due.row))
            journal.forget({journal.settle(due): 1})

    monkeypatch.setattr(Path, "unlink", refuse)
    settle_until(lambda: journal.releasing.is_failing)
    why, was_there = journal.releasing.last_error, first.exists()
    monkeypatch.setattr(Path, "unlink", remove)
    settle_until(lambda: not journal.releasing.is_failing)
    journal.close()

    assert (why, was_there) == ("EROFS: Read-only file system", True)
    assert segments(tmp_path) == []


def test_journal_is_closed_though_the_last_flush_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fdatasync(_fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    journal = journal_in(tmp_path)
    monkeypatch.setattr(os, "fdatasync", fdatasync)
    due = PendingRow(row(), None)
    journal.settle(due)
    journal.close()

    assert journal_in(tmp_path).recovered == [due]


@pytest.mark.slow
def test_journal_works_where_the_system_lacks_fdatasync_and_posix_fallocate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "fdatasync")
    monkeypatch.delattr(os, "posix_fallocate")
    synced: list[int] = []
    fsync = os.fsync

    def noted(fd: int) -> None:
        synced.append(fd)
        fsync(fd)

    monkeypatch.setattr(os, "fsync", noted)
    journal = journal_in(tmp_path)
    (first,) = segments(tmp_path)
    allocated = first.stat().st_blocks * 512
    kept = PendingRow(row(), None)
    journal.begin(note_of(kept.row))
    journal.settle(kept)
    synced.clear()
    journal.flush()
    flushed = len(synced)
    while len(segments(tmp_path)) == 1:
        due = PendingRow(row(), None)
        journal.begin(note_of(due.row))
        journal.forget({journal.settle(due): 1})
    journal.close()

    assert allocated >= first.stat().st_size == 8 * 1024 * 1024
    assert flushed
    assert kept in journal_in(tmp_path).recovered


def test_segment_that_finds_no_room_without_posix_fallocate_is_taken_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "posix_fallocate")
    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: pwrite(fd, data[:100], at))  # as on a disk that is full

    with pytest.raises(JournalUnusable, match="No space left"):
        journal_in(tmp_path)

    assert segments(tmp_path) == []


def test_record_that_this_program_does_not_know_stops_the_start_and_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "000000000001.journal"
    payload = msgspec.msgpack.encode(["a", "b"])
    frame = FRAME.pack(len(payload), zlib.crc32(payload, DUE), DUE) + payload
    content = HEADER.pack(MAGIC, VERSION) + frame + bytes(100)
    path.write_bytes(content)

    with pytest.raises(JournalUnreadable, match="record"):
        journal_in(tmp_path)

    assert path.read_bytes() == content


def test_call_whose_price_this_program_does_not_know_stops_the_start_and_is_kept(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    journal.begin(note_of(row(), '{"per_dream":"1"}'))
    journal.close()
    (path,) = segments(tmp_path)
    content = path.read_bytes()

    with pytest.raises(JournalUnreadable, match="price"):
        journal_in(tmp_path)

    assert path.read_bytes() == content


def test_segment_that_follows_one_with_a_row_that_is_needed_stays_when_the_journal_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "SEGMENT_MIN", 1)
    journal = journal_in(tmp_path)
    counts: Counter[int] = Counter()
    while journal.newest < 3:
        due = PendingRow(row(), None)
        journal.begin(note_of(due.row))
        counts[journal.settle(due)] += 1
    counts[1] -= 1

    journal.forget(counts)
    journal.close()

    # Without their rows, the notes of the first segment would become rows of calls that were interrupted.
    assert [int(path.stem) for path in segments(tmp_path)] == [1, 2, 3]


def test_id_of_a_stored_response_is_in_the_record_of_its_row(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    due = PendingRow(row(), None, response_id="resp_" + "a" * 123)
    journal.begin(note_of(due.row))
    journal.settle(due)
    journal.close()

    assert journal_in(tmp_path).recovered == [due]


SHARE_PRICES = (PriceRecord("p", '{"input_per_million":"1"}', "s", "1"), PriceRecord("q", "{}", "s", "1"))


def test_prices_of_shares_are_in_the_record_of_their_row(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    due = PendingRow(row(cost_shares="[]"), None, share_prices=SHARE_PRICES)
    journal.begin(note_of(due.row))
    journal.settle(due)
    journal.close()

    assert journal_in(tmp_path).recovered == [due]


def test_row_is_stored_without_shares_that_make_its_record_too_long() -> None:
    made = row(cost_source="mixed", price_id=None)
    bare = PendingRow(made, None, response_id="resp_1")
    longer_by = 2  # MessagePack's length of a long text
    room = (
        RECORD_MAX
        - FRAME.size
        - longer_by
        - len(msgspec.msgpack.encode(msgspec.structs.replace(bare, share_prices=SHARE_PRICES)))
    )
    fitting, too_long = (
        msgspec.structs.replace(
            bare, row=msgspec.structs.replace(made, cost_shares="s" * length), share_prices=SHARE_PRICES
        )
        for length in (room, room + 1)
    )

    assert len(msgspec.msgpack.encode(fitting)) == RECORD_MAX - FRAME.size
    assert fit_record(fitting) == fitting
    assert fit_record(too_long) == bare


def test_row_without_shares_is_a_byte_longer_for_each_of_the_two_fields() -> None:
    made = row()
    earlier, due = _EarlierRow(made, "{}", "s", "1"), PendingRow(made, "{}", "s", "1")

    encoded = msgspec.msgpack.encode(due)

    assert len(encoded) == len(msgspec.msgpack.encode(earlier)) + len(b"\xc0\x90")  # no response, no prices
    assert msgspec.msgpack.encode(made)[-1:] == b"\xc0"


class _EarlierRow(msgspec.Struct, frozen=True, array_like=True):
    """A pending row as programs without stored responses know it."""

    row: RequestLog
    rates: str | None
    price_source: str = ""
    price_version: str = ""


def test_records_of_rows_are_read_by_the_version_before_and_the_other_way_round() -> None:
    made = row()
    earlier, due = _EarlierRow(made, "{}", "s", "1"), PendingRow(made, "{}", "s", "1", "resp_1")

    assert msgspec.msgpack.decode(msgspec.msgpack.encode(due), type=_EarlierRow) == earlier
    read = msgspec.msgpack.decode(msgspec.msgpack.encode(earlier), type=PendingRow)
    assert read == PendingRow(made, "{}", "s", "1")
    assert read.stored_response() is None

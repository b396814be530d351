"""Each rejected row is in the file once, whatever fails, and neither the file nor its index grows without a bound."""

import json
import os
import resource
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hero_broker.core.records import PriceRecord
from hero_broker.ledger.rejected_rows import RejectedRows
from hero_broker.ledger.rows import PendingRow
from tests.ledger.rows import row

MAX_BYTES = 1_000_000


def ids_in(path: Path) -> list[str]:
    return [json.loads(line)["request_id"] for line in path.read_text().splitlines()]


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Have this process write no file beyond a size."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.slow
def test_row_that_is_rejected_again_after_a_kill_is_kept_once_and_a_torn_line_is_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "rejected.jsonl"
    due, other = PendingRow(row(), None), PendingRow(row(), None)
    recovered = [due.row.request_id, other.row.request_id]
    RejectedRows(path, (), max_bytes=MAX_BYTES).keep([(due, "x"), (other, "x")])
    lines = path.read_bytes().splitlines(keepends=True)

    for length in range(len(lines[1]) + 1):
        path.write_bytes(lines[0] + lines[1][:length])
        rejected = RejectedRows(path, recovered, max_bytes=MAX_BYTES)
        for one in (due, other):
            assert rejected.keep([(one, "x")])
        assert RejectedRows(path, (), max_bytes=MAX_BYTES).count == rejected.count == 2

        text = path.read_text().splitlines()
        assert [json.loads(text[at])["request_id"] for at in (0, -1)] == recovered


def test_rejected_row_has_the_prices_of_its_shares(tmp_path: Path) -> None:
    path = tmp_path / "rejected.jsonl"
    due = PendingRow(row(cost_shares="[]"), None, share_prices=(PriceRecord("p", "{}", "s", "1"),))

    RejectedRows(path, (), max_bytes=MAX_BYTES).keep([(due, "x")])

    line = json.loads(path.read_text())
    assert line["row"]["cost_shares"] == "[]"
    assert line["share_prices"] == [{"price_id": "p", "rates": "{}", "source": "s", "version": "1"}]


@pytest.mark.parametrize("more", [0, 1, 100, 1000])
def test_rows_that_do_not_fit_the_disk_are_kept_later_and_once(tmp_path: Path, more: int) -> None:
    path = tmp_path / "rejected.jsonl"
    first, *rest = [PendingRow(row(), None) for _ in range(3)]
    rejected = RejectedRows(path, (), max_bytes=MAX_BYTES)
    assert rejected.keep([(first, "x")])
    size = path.stat().st_size

    with files_of_at_most(size + more):
        is_kept = rejected.keep([(due, "x") for due in rest])
    seen = (is_kept, path.stat().st_size, rejected.count, rejected.keeping.last_error)
    is_kept_later = rejected.keep([(due, "x") for due in rest])

    assert seen == (False, size, 1, "EFBIG: File too large")
    assert is_kept_later
    assert not rejected.keeping.is_failing
    assert ids_in(path) == [due.row.request_id for due in (first, *rest)]
    assert rejected.count == 3


def test_rows_of_a_write_that_can_neither_be_ended_nor_taken_back_are_found_and_kept_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_arguments: object) -> None:
        raise OSError(5, "Input/output error")

    path = tmp_path / "rejected.jsonl"
    rows = [(PendingRow(row(), None), "x") for _ in range(3)]
    rejected = RejectedRows(path, (), max_bytes=MAX_BYTES)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fails)
        patch.setattr(os, "ftruncate", fails)
        is_kept = rejected.keep(rows)
    is_kept_later = rejected.keep(rows)

    assert (is_kept, is_kept_later, rejected.count) == (False, True, 3)
    assert ids_in(path) == [due.row.request_id for due, _ in rows]


def test_file_does_not_grow_beyond_its_bound_and_goes_on_when_it_was_moved_away(tmp_path: Path) -> None:
    path = tmp_path / "rejected.jsonl"
    rows = [PendingRow(row(), None) for _ in range(4)]
    rejected = RejectedRows(path, (), max_bytes=3_000)

    kept = [rejected.keep([(due, "x")]) for due in rows]
    why, count, size = rejected.keeping.last_error, rejected.count, path.stat().st_size
    before = ids_in(path)
    path.rename(tmp_path / "billed.jsonl")
    again = [rejected.keep([(due, "x")]) for due, is_kept in zip(rows, kept, strict=True) if not is_kept]

    assert kept[0] is True
    assert kept[-1] is False
    assert why == "EFBIG: the file is full: bill its rows by hand, and move it away"
    assert (count, size <= 3_000) == (len(before), True)
    assert again == [True] * len(again)
    assert [*before, *ids_in(path)] == [due.row.request_id for due in rows]
    assert rejected.count == len(again)


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "rejected.jsonl"
    with path.open("w") as file:
        for number in range(50_000):
            file.write(f'{{"request_id":"{number:036d}","row":{{}}}}\n')

    tracemalloc.start()
    try:
        rejected = RejectedRows(path, (), max_bytes=10**9)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert rejected.count == 50_000
    assert peak < 500_000

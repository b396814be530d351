"""`kill -9` at any moment loses no row of an answered call and doubles none."""

from pathlib import Path

from tests.faults.kill_under_load import run


def test_answered_calls_have_exactly_one_row_after_kills_under_load(tmp_path: Path, database_url: str) -> None:
    books = run(tmp_path / "state", database_url, rounds=4)

    assert books.answered > 0
    assert books.interrupted > 0
    assert (books.without_row, books.doubled, books.cost_wrong, books.integrity) == (0, 0, 0, "ok")

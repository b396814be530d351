"""`kill -9` at any moment leaves roll-ups that are the sums of their rows, and each row in one billing period."""

from tests.faults.kill_books import run


def test_books_agree_after_those_who_keep_them_were_killed(database_url: str) -> None:
    found = run(database_url, rounds=2)

    assert found.rows > 0
    assert found.folded > 0
    assert (found.differences, found.lost_periods, found.gaps, found.uncounted) == (0, 0, 0, 0)

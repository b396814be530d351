"""Clients that leave, hang up, crowd: the books stay the provider's. `client_faults` has all of them at full size."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.client_faults import crowds, leaving, sending
from tests.faults.client_faults.scenes import Scene, compare, scene


@pytest.fixture
def at(tmp_path: Path, database_url: str) -> Iterator[Scene]:
    with scene(tmp_path, database=database_url) as running:
        yield running


def test_books_are_the_providers_wherever_clients_leave(at: Scene) -> None:
    for reset in (False, True):
        assert leaving.leave_anywhere(at, 8, reset=reset) == 96

    books = compare(at)
    assert books.are_right
    assert books.seen == books.rows - books.unasked > 0


def test_books_are_the_providers_after_quick_hang_ups_and_the_next_calls_are_served(at: Scene) -> None:
    leaving.hang_up(at, 150)  # asserts that the next calls are answered

    books = compare(at)
    assert books.are_right
    assert books.seen == books.rows - books.unasked


def test_hang_ups_beyond_all_drains_are_billed_for_what_the_provider_saw_alone(at: Scene) -> None:
    leaving.hang_up(at, 400, at_once=200)

    books = compare(at)
    assert books.are_right
    assert books.seen == books.rows - books.unasked


def test_calls_sent_ahead_have_a_row_each(at: Scene) -> None:
    assert sending.ahead(at, 50) == (50, 50)

    books = compare(at)
    assert (books.are_right, books.rows) == (True, 50)


def test_calls_are_served_beside_a_crowd_that_sends_nothing(at: Scene) -> None:
    found = crowds.crowd(at, 200, calls=20, rest_s=0.1)

    assert found.held >= 200 - 1
    assert found.bytes_each < 100_000  # the first few hundred take what is kept for the next
    assert compare(at).are_right

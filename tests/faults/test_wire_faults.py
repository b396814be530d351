"""At whichever event of whichever wire a fault comes, each call has one row, at the cost of the provider's books."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.faults.wire_faults import FAULTS, Books, Call, at_each_event, at_random_bytes

Fault = Callable[[Path, str, Sequence[Call]], Books]


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_books_are_right_after_a_fault_at_each_event(tmp_path: Path, database_url: str, fault: Fault) -> None:
    books = fault(tmp_path, database_url, at_each_event())

    assert books.are_right, books
    assert books.reported


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_books_are_right_after_a_fault_at_any_byte(tmp_path: Path, fault: Fault) -> None:
    calls = at_random_bytes(random.Random(7))  # noqa: S311 - it chooses moments, not secrets

    books = fault(tmp_path, f"sqlite:///{tmp_path}/ledger.db", calls)

    assert books.are_right, books

"""A database that fails costs no call, no row and no nano-dollar, and /health/ready tells the truth."""

from pathlib import Path

import pytest

from tests.faults.database_faults import ON_POSTGRESQL, ON_SQLITE, Scene, on_postgresql, run
from tests.stores import postgres


@pytest.mark.parametrize("name", ON_SQLITE)
def test_books_are_right_after_a_fault_of_sqlite(tmp_path: Path, name: str) -> None:
    url = f"sqlite:///{tmp_path}/ledger/ledger.db"

    fault, awaited = ON_SQLITE[name]
    books = run(name, fault, awaited, tmp_path / "state", Scene(url, url, None, None))

    assert books.are_right, books


@pytest.mark.parametrize("name", ON_POSTGRESQL)
def test_books_are_right_after_a_fault_of_postgresql(tmp_path: Path, postgres_name: str, name: str) -> None:
    fault, awaited = ON_POSTGRESQL[name]
    with postgres(postgres_name) as server, on_postgresql(server, Path("/tmp")) as scene:
        books = run(name, fault, awaited, tmp_path / "state", scene)

    assert books.are_right, books

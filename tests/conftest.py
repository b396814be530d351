"""Fixtures of the whole suite."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stores import PostgresServer, postgres


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One PostgreSQL for all tests; each gets a database of its own."""
    with postgres(durable=False) as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty ledger, on each store in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/state/hero-broker.db"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.new_database()

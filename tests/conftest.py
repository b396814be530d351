"""Fixtures of the whole suite, and how many processes run it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stores import PostgresServer, postgres


def pytest_xdist_auto_num_workers() -> int:
    """Return one more than there are cores: tests of time-outs wait as long as others work."""
    return len(os.sched_getaffinity(0)) + 1


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

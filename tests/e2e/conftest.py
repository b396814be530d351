"""Brokers that tests start find their database in the environment: each store in turn."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.e2e_support import Broker, broker
from tests.stores import PostgresServer


@pytest.fixture
def store(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Name the ledger's database in the environment that brokers inherit."""
    monkeypatch.setenv("HERO_BROKER_DATABASE_URL", database_url)


@pytest.fixture(scope="session")
def shared_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker for tests that leave no trace in its ledger."""
    state = tmp_path_factory.mktemp("shared") / "state"
    with broker(state, HERO_BROKER_DATABASE_URL=f"sqlite:///{state}/hero-broker.db") as running:
        yield running


@dataclass(frozen=True, slots=True)
class Ledger:
    """A broker that many tests share, and its database."""

    running: Broker
    database_url: str


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def shared_ledger(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer
) -> Iterator[Ledger]:
    """A broker on each store, for tests that tell their rows apart by their context."""
    state = tmp_path_factory.mktemp("ledger") / "state"
    url = f"sqlite:///{state}/hero-broker.db" if request.param == "sqlite" else postgres_server.new_database()
    with broker(state, HERO_BROKER_DATABASE_URL=url) as running:
        yield Ledger(running, url)

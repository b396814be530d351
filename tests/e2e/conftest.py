"""Brokers that tests start find their database in the environment: each store in turn."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.e2e_support import Broker, broker


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


@pytest.fixture(scope="session")
def shared_ledger(
    store_name: str, new_ledger: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ledger]:
    """A broker on each store, for tests that tell their rows apart by their context."""
    url = new_ledger(store_name)
    with broker(tmp_path_factory.mktemp("ledger") / "state", HERO_BROKER_DATABASE_URL=url) as running:
        yield Ledger(running, url)

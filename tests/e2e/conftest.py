"""Every test here runs on both stores: the brokers that it starts find their database in the environment."""

import pytest


@pytest.fixture(autouse=True)
def store(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Name the ledger's database in the environment that brokers inherit."""
    monkeypatch.setenv("HERO_BROKER_DATABASE_URL", database_url)

"""Brokers whose limits refuse every call of a client: for good, or for as long as another call is in flight."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.e2e.provider import Provider
from tests.e2e_support import Broker, broker
from tests.ecosystem.agent_provider import agent_provider, settings
from tests.ecosystem.place import Place

LIMIT = "team-month"
SPENT = f"""
[[limits]]
name = "{LIMIT}"
unit = "usd"
amount = 0.000001
window = "month"
hold = "none"
per = ["ip"]
"""
RESERVED = f"""
[[limits]]
name = "{LIMIT}"
unit = "requests"
amount = 1
window = "month"
per = ["ip"]
"""
HELD = """
[[providers]]
name = "held"
base_url = "{url}"
api_keys = ["sk-held"]
wires = ["responses"]
[[models]]
name = "held"
kind = "chat"
provider = "held"
price = {{ input_per_million = 1, output_per_million = 1 }}
"""


@dataclass(frozen=True)
class Refusing:
    """A place whose broker refuses, and how often it did."""

    place: Place

    def refused(self) -> int:
        """Return how many requests the limit has refused."""
        limits = httpx.get(f"{self.place.running.url}/admin/limits", timeout=20).raise_for_status().json()["data"]
        (found,) = (one["refused"] for one in limits if one["name"] == LIMIT)
        return int(found)


def _call(running: Broker, model: str) -> None:
    """Make a call; one that is in flight for long ends with the provider, however it does."""
    httpx.post(f"{running.url}/v1/responses", json={"model": model, "input": "hello"}, timeout=300)


@contextmanager
def spent(folder: Path, installed: Path) -> Iterator[Refusing]:
    """Refuse with 402 `budget_exceeded`: the budget is spent until the month ends."""
    with _serving(folder, installed, SPENT) as refusing:
        _call(refusing.place.running, "gpt-5-codex")
        yield refusing


@contextmanager
def reserved(folder: Path, installed: Path) -> Iterator[Refusing]:
    """Refuse with 429 `budget_reserved` and `retry-after: 2`: another call holds what is left, for the whole block."""
    with Provider() as held, _serving(folder, installed, RESERVED + HELD.format(url=held.url)) as refusing:
        calling = threading.Thread(target=_call, args=(refusing.place.running, "held"))
        calling.start()
        exchange = held.accept()
        try:
            yield refusing
        finally:
            exchange.end()
            calling.join(20)


@contextmanager
def _serving(folder: Path, installed: Path, more: str) -> Iterator[Refusing]:
    home = folder / "home"
    home.mkdir()
    database_url = f"sqlite:///{folder}/state/hero-broker.db"
    with agent_provider() as provider:
        config = folder / "hero-broker.toml"
        config.write_text(settings(provider.url) + more)
        with broker(folder / "state", "--config", str(config), HERO_BROKER_DATABASE_URL=database_url) as running:
            yield Refusing(Place(running, database_url, home, installed))

"""A broker that some addresses have called, and a way to run commands against it."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner, Result

from hero_broker.cli import cli
from hero_broker.client import Client
from tests.e2e_support import Broker, broker, chat
from tests.terminal import on_terminal
from tests.waits import wait_until

TOKEN = "admin-token"


@dataclass(frozen=True, slots=True)
class Place:
    """A running broker, and its ledger."""

    broker: Broker
    database: str

    def run(self, *arguments: str, url: str | None = None, token: str | None = TOKEN) -> Result:
        """Run a command in this process, as it is when its output is piped."""
        environ = {"HERO_BROKER_URL": url or self.broker.url, "ADMIN_TOKEN": token or "", "HERO_SECRET": ""}
        return CliRunner().invoke(cli, arguments, env=environ)

    def out(self, *arguments: str) -> str:
        """Return what a command prints that must succeed."""
        ended = self.run(*arguments)
        assert ended.exit_code == 0, ended.output
        return ended.stdout

    def on_terminal(self, *arguments: str) -> str:
        """Return what a command writes to a terminal of 100 columns, escape sequences included."""
        environ = {"HERO_BROKER_URL": self.broker.url, "ADMIN_TOKEN": TOKEN}
        return on_terminal([sys.executable, "-m", "hero_broker", *arguments], environ)


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """One call from 127.0.0.1, two from 127.0.0.2, three from 127.0.0.3; commands that change something undo it."""
    state = tmp_path_factory.mktemp("cli") / "state"
    with broker(state, ADMIN_TOKEN=TOKEN) as running:
        call_from_three_addresses(running)
        yield Place(running, f"sqlite:///{state}/hero-broker.db")


def call_from_three_addresses(running: Broker) -> None:
    """Make one call from 127.0.0.1, two from 127.0.0.2, three from 127.0.0.3, and wait until the store has the rows."""
    for count, address in enumerate(("127.0.0.1", "127.0.0.2", "127.0.0.3"), start=1):
        with httpx.Client(transport=httpx.HTTPTransport(local_address=address)) as client:
            for _ in range(count):
                client.post(f"{running.url}/v1/chat/completions", json=chat()).raise_for_status()
    with Client(running.url, TOKEN) as client:
        wait_until(lambda: not client.system.health().journal_pending)


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Place]:
    """A broker of the test's own, in dev mode, that nobody has called."""
    with broker(tmp_path / "state") as running:
        yield Place(running, f"sqlite:///{tmp_path}/state/hero-broker.db")

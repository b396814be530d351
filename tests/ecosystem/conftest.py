"""Each test gets a broker and one client's own installation, which `tests/ecosystem/run` prepares."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.data_plane.test_upload import sound
from tests.e2e_support import Broker, broker
from tests.ecosystem.agent_provider import AgentProvider, Work, agent_provider, settings
from tests.ecosystem.place import INSTALLED, Place
from tests.ecosystem.refusing import Refusing, reserved, spent

# Without the clients there is nothing to test; the suite at the root does not know these files.
collect_ignore_glob = [] if INSTALLED in os.environ else ["test_*.py", "more"]


@pytest.fixture(scope="session")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Broker, str]]:
    """A broker for all tests of this process, and its database."""
    state = tmp_path_factory.mktemp("ecosystem") / "state"
    database_url = f"sqlite:///{state}/hero-broker.db"
    with broker(state, HERO_BROKER_DATABASE_URL=database_url) as running:
        yield running, database_url


@pytest.fixture
def place(serving: tuple[Broker, str], tmp_path: Path) -> Place:
    """Where a client runs, with `speech.wav` of two seconds in its directory."""
    (tmp_path / "speech.wav").write_bytes(sound(2))
    return Place(*serving, tmp_path, Path(os.environ[INSTALLED]))


@pytest.fixture(scope="session")
def agents_serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Broker, str, AgentProvider]]:
    """A broker over the provider of agents, its database, and that provider."""
    folder = tmp_path_factory.mktemp("agents")
    database_url = f"sqlite:///{folder}/state/hero-broker.db"
    config = folder / "hero-broker.toml"
    with agent_provider() as provider:
        config.write_text(settings(provider.url))
        with broker(folder / "state", "--config", str(config), HERO_BROKER_DATABASE_URL=database_url) as running:
            yield running, database_url, provider


@pytest.fixture
def work(agents_serving: tuple[Broker, str, AgentProvider]) -> Work:
    """What the provider of agents does in this test, with its books."""
    provider = agents_serving[2]
    provider.work = Work()
    return provider.work


@pytest.fixture
def agents_place(agents_serving: tuple[Broker, str, AgentProvider], tmp_path: Path) -> Place:
    """Where a client of the provider of agents runs."""
    running, database_url, _ = agents_serving
    return Place(running, database_url, tmp_path, Path(os.environ[INSTALLED]))


@pytest.fixture
def spent_budget(tmp_path: Path) -> Iterator[Refusing]:
    """A broker whose budget is spent."""
    with spent(tmp_path, Path(os.environ[INSTALLED])) as refusing:
        yield refusing


@pytest.fixture
def reserved_budget(tmp_path: Path) -> Iterator[Refusing]:
    """A broker whose budget is held by another call."""
    with reserved(tmp_path, Path(os.environ[INSTALLED])) as refusing:
        yield refusing

"""Each test gets a broker and one client's own installation, which `tests/ecosystem/run` prepares."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.data_plane.test_upload import sound
from tests.e2e_support import Broker, broker
from tests.ecosystem.place import INSTALLED, Place

# Without the clients there is nothing to test; the suite at the root does not know these files.
collect_ignore_glob = [] if INSTALLED in os.environ else ["test_*.py"]


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

"""Fixtures of the whole suite, the stores that it runs on, and how many processes run it."""

import functools
import gc
import os
import ssl
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.empty_ledgers import EmptyLedgers, copy_of_empty
from tests.stores import SQLITE, USUAL, PostgresServer, postgres

STORE_FIXTURES = ("store_name", "postgres_name")
TESTS = Path(__file__).parent
# What starts brokers, commands or other programs, or takes seconds for its examples.
SLOW = {
    "e2e",
    "faults",
    "fuzz",
    "cli",
    "client",
    "server",
    "test_docs.py",
    "test_generated.py",
    "test_verification.py",
    "test_overflow.py",
    "test_causes.py",
}

LONGEST = {  # files with tests that take 5 seconds and more
    "test_database_faults.py",
    "test_duties.py",
    "test_books.py",
    "test_provider_connections.py",
    "test_three_brokers.py",
    "test_ledger_copy.py",
    "test_process_faults.py",
    "test_verification.py",
}

# Programs that tests start find compiled modules, whatever the environment says: else each compiles the whole program.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Each client of httpx would read all certificate authorities again, in 16 ms; many tests make one for each request.
ssl.create_default_context = functools.cache(ssl.create_default_context)  # type: ignore[assignment]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the stores be chosen."""
    parser.addoption(
        "--stores", help="Run only the tests that have a store, on these: sqlite, postgresql-MAJOR, pgbouncer; comma"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Run in several processes unless the command line says how many, or leaves pytest-xdist out."""
    is_worker = hasattr(config, "workerinput")  # it would start workers of its own, and so on
    has_xdist = config.pluginmanager.hasplugin("xdist")
    if has_xdist and not is_worker and config.option.numprocesses is None and not config.option.usepdb:
        config.option.numprocesses = "auto"
        config.option.dist = "worksteal"  # tests take from milliseconds to ten seconds


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return two more than there are cores: tests of time-outs wait as long as others work."""
    return len(os.sched_getaffinity(0)) + 2


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Import nothing of a folder or file whose tests are all slow, if the slow ones are left out."""
    return True if config.option.markexpr == "not slow" and is_slow_place(collection_path) else None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that has a store on each store, and each that needs a PostgreSQL on each of those."""
    chosen = metafunc.config.getoption("--stores")
    names = list(USUAL) if chosen is None else chosen.split(",")
    if "store_name" in metafunc.fixturenames:
        metafunc.parametrize("store_name", names, scope="session")
    if "postgres_name" in metafunc.fixturenames:
        metafunc.parametrize("postgres_name", [name for name in names if name != SQLITE], scope="session")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what is slow. If stores were chosen, leave out what has none: it has run with the whole suite."""
    for item in items:
        if is_slow(item):
            item.add_marker("slow")
    if config.getoption("--stores") is None:
        return
    with_store = [item for item in items if not set(STORE_FIXTURES).isdisjoint(getattr(item, "fixturenames", ()))]
    config.hook.pytest_deselected(items=[item for item in items if item not in with_store])
    items[:] = with_store


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Begin with the longest tests: at the end one worker would run them, and the others wait. Tune the collector."""
    session.items.sort(key=lambda item: item.path.name not in LONGEST)
    # What was collected stays to the end; looking through it for garbage again and again takes a sixth of the time.
    gc.freeze()
    gc.set_threshold(20_000, 50, 50)


def is_slow(item: pytest.Item) -> bool:
    """Return whether a test starts a process or a server, or asks for thousands of examples."""
    if is_slow_place(item.path):
        return True
    return any(value not in (None, SQLITE) for name, value in parameters(item) if name in STORE_FIXTURES)


def is_slow_place(path: Path) -> bool:
    """Return whether all tests of a folder or file are slow."""
    return path.name in SLOW or (path.is_relative_to(TESTS) and not SLOW.isdisjoint(path.relative_to(TESTS).parts[:1]))


def parameters(item: pytest.Item) -> list[tuple[str, object]]:
    """Return the parameters of a test and their values."""
    callspec = getattr(item, "callspec", None)
    return [] if callspec is None else list(callspec.params.items())


@pytest.fixture(scope="session")
def server_of() -> Iterator[Callable[[str], PostgresServer]]:
    """Return the PostgreSQL of a name; one runs for all tests, and each test gets a database of its own."""
    running: dict[str, PostgresServer] = {}
    with ExitStack() as stack:

        def found(name: str) -> PostgresServer:
            if name not in running:
                running[name] = stack.enter_context(postgres(name, durable=False))
            return running[name]

        yield found


@pytest.fixture(scope="session")
def new_ledger(
    server_of: Callable[[str], PostgresServer], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], str]:
    """Return the URL of an empty ledger on a store."""

    def made(name: str) -> str:
        if name == SQLITE:
            return f"sqlite:///{tmp_path_factory.mktemp('ledger')}/state/hero-broker.db"
        return server_of(name).new_database()

    return made


@pytest.fixture
def postgres_server(postgres_name: str, server_of: Callable[[str], PostgresServer]) -> PostgresServer:
    """Each PostgreSQL in turn."""
    return server_of(postgres_name)


@pytest.fixture(scope="session")
def empty_ledgers_of(server_of: Callable[[str], PostgresServer]) -> Callable[[str], EmptyLedgers]:
    """Return the empty ledgers on the PostgreSQL of a name."""
    return functools.cache(lambda name: EmptyLedgers(server_of(name)))


@pytest.fixture(scope="session")
def empty_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The path of an empty SQLite ledger, for copies."""
    return tmp_path_factory.mktemp("empty") / "state" / "hero-broker.db"


@pytest.fixture
def database_url(
    store_name: str, tmp_path: Path, empty_file: Path, empty_ledgers_of: Callable[[str], EmptyLedgers]
) -> Iterator[str]:
    """The URL of an empty ledger, on each store in turn."""
    if store_name == SQLITE:
        path = tmp_path / "state" / "hero-broker.db"
        copy_of_empty(empty_file, path)
        yield f"sqlite:///{path}"
    else:
        with empty_ledgers_of(store_name).lent() as url:
            yield url

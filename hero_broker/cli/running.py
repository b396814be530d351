"""`hero-broker serve`, `demo`, `check-config` and `copy-ledger`: a broker, and its ledger as a whole."""

import os
import signal
import socket
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import httpx
import typer
from sqlalchemy import make_url

from hero_broker import app as wiring
from hero_broker import demo as demo_calls
from hero_broker import preview
from hero_broker.cli.asking import CANNOT_START, FAILED, WRONG_USE, ledger_url
from hero_broker.cli.bills import of_addresses, print_bill
from hero_broker.cli.printing import say, warn
from hero_broker.client import ClientError
from hero_broker.core.errors import StoreUnavailable
from hero_broker.core.money import usd_text
from hero_broker.metering.journal import JournalUnreadable
from hero_broker.metering.state_dir import StateDirInUse
from hero_broker.server import ListenError
from hero_broker.server import serve as run_server
from hero_broker.settings import Settings, SettingsError, load
from hero_broker.store.copying import LedgersDiffer, copy_ledger, sums
from hero_broker.store.database import DatabaseUnusable, open_database

ConfigOption = Annotated[Path | None, typer.Option("--config", help="The settings file.")]
ListenOption = Annotated[list[str] | None, typer.Option("--listen", help="HOST:PORT or unix:PATH; repeatable.")]
FakeOption = Annotated[bool, typer.Option("--fake", help="Add a provider that answers without key or network.")]

SERVE_EXAMPLES = """Examples:

hero-broker serve --fake

ADMIN_TOKEN=… hero-broker serve --config hero-broker.toml --listen '[::]:33850'"""
COPY_EXAMPLES = """Example:

hero-broker copy-ledger sqlite:///hero-broker.db postgresql://user:password@host/ledger"""


def _settings(config: Path | None, **flags: Any) -> Settings:
    try:
        return load(config=config, environ=os.environ, **flags)
    except SettingsError as error:
        for fault in error.faults:
            warn(f"{fault.key}: {fault.problem}")
        raise typer.Exit(WRONG_USE) from error


def _serve(settings: Settings, started: Callable[[list[socket.socket]], None]) -> None:
    try:
        run_server(settings, started)
    except (StateDirInUse, DatabaseUnusable, JournalUnreadable, ListenError) as error:
        warn(f"hero-broker cannot start: {error}")
        raise typer.Exit(CANNOT_START) from error


def serve(
    config: ConfigOption = None,
    listen: ListenOption = None,
    database: Annotated[str | None, typer.Option("--database", help="URL of the ledger.")] = None,
    fake: FakeOption = False,
    insecure_dev: Annotated[bool, typer.Option("--insecure-dev", help="Open admin plane beyond loopback.")] = False,
) -> None:
    """Run the broker until Ctrl-C."""
    settings = _settings(config, listen=listen or (), database=database, fake=fake, insecure_dev=insecure_dev)
    _serve(settings, lambda sockets: _banner(settings, sockets))


def _banner(settings: Settings, sockets: list[socket.socket]) -> None:
    served = wiring.routes_of(settings, "" if settings.fake else None, wiring.catalogue_of(settings))
    lines = [
        f"listening on  {', '.join(_address(opened) for opened in sockets)}",
        f"who may call  {', '.join(str(network) for network in settings.server.allowed_clients)}",
        f"providers     {', '.join(provider.name for provider in served.providers) or 'none'}",
        f"models        {preview.models(served)}",
        f"ledger        {make_url(settings.database_url_absolute).render_as_string()}",
    ]
    if not settings.admin_tokens:
        lines.append("admin plane   OPEN (dev mode): set ADMIN_TOKEN to close it")
    for line in lines:
        warn(line)


def _address(opened: socket.socket) -> str:
    name = opened.getsockname()
    if isinstance(name, str):
        return f"unix:{name}"
    return f"http://[{name[0]}]:{name[1]}" if ":" in name[0] else f"http://{name[0]}:{name[1]}"


def demo(
    port: Annotated[int, typer.Option(help="Port on loopback; 0 lets the system choose.")] = 33850,
    once: Annotated[bool, typer.Option("--once", help="End after the bill.")] = False,
) -> None:
    """Show a bill: a broker with a fake provider, calls from several addresses, and what each spent."""
    failures: list[Exception] = []
    with tempfile.TemporaryDirectory(prefix="hero-broker-demo-") as folder:
        config = Path(folder) / "hero-broker.toml"
        config.write_text(demo_calls.SETTINGS)
        listen = [f"127.0.0.1:{port}", f"[::1]:{port}"]
        settings = load(config=config, environ={"HERO_BROKER_STATE_DIR": folder}, listen=listen, fake=True)
        threads: list[threading.Thread] = []

        def started(sockets: list[socket.socket]) -> None:
            threads.append(threading.Thread(target=_demo_calls, args=(sockets, once, failures), name="demo"))
            threads[0].start()

        _serve(settings, started)
        for thread in threads:
            thread.join()
    if failures:
        raise typer.Exit(FAILED)


def _demo_calls(sockets: list[socket.socket], once: bool, failures: list[Exception]) -> None:
    urls = {opened.family: _address(opened) for opened in sockets}
    base = urls[socket.AF_INET]
    try:
        for address in demo_calls.call_all(urls, demo_calls.callers(demo_calls.can_bind)):
            warn(f"called from {address}")
        print_bill(of_addresses(demo_calls.bill(base)), ZoneInfo("UTC"))
        warn(f"\nTry: curl {base}/billing/usage")
    except (httpx.HTTPError, ClientError) as error:
        warn(f"a call failed: {error}")
        failures.append(error)
    if once or failures:
        os.kill(os.getpid(), signal.SIGTERM)
    else:
        warn("Serving until Ctrl-C.")


def check_config(config: ConfigOption = None, fake: FakeOption = False) -> None:
    """Print what would be served, with prices and without secrets."""
    settings = _settings(config, fake=fake)
    catalogue = wiring.catalogue_of(settings)
    served = wiring.routes_of(settings, "" if fake else None, catalogue)
    for line in preview.lines(settings, served, catalogue):
        say(line)
    for warning in preview.warnings(settings, catalogue):
        warn(f"warning: {warning}")


def copy_ledgers(
    source: Annotated[str, typer.Argument(metavar="FROM", help="URL of the ledger to read; it may be in use.")],
    target: Annotated[str, typer.Argument(metavar="TO", help="URL of the ledger to write; it must not be in use.")],
) -> None:
    """Copy a ledger into another store, such as SQLite into PostgreSQL. Run it again to go on, or to catch up."""
    urls = [ledger_url(url) for url in (source, target)]
    if urls[0] == urls[1]:
        warn("FROM and TO are the same ledger")
        raise typer.Exit(WRONG_USE)
    total = None
    try:
        with open_database(urls[0]) as reading, open_database(urls[1]) as writing:
            for total in copy_ledger(reading.engine, writing.engine):
                warn(f"{total.rows} rows copied")
            with writing.reading() as connection:
                total = sums(connection)
    except (DatabaseUnusable, StoreUnavailable, LedgersDiffer) as error:
        warn(f"copy-ledger stopped: {error}")
        raise typer.Exit(CANNOT_START) from error
    cost = usd_text(total.cost_nano_usd)
    say(f"{total.rows} rows, {cost} USD: the same in both ledgers")

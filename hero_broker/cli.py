"""Commands → Settings → one call. Exit codes: 0 fine, 1 failed, 2 bad settings or usage, 3 cannot start."""

import json
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy import make_url

from hero_broker import app as wiring
from hero_broker import demo as demo_calls
from hero_broker import preview
from hero_broker.core.errors import StoreUnavailable
from hero_broker.core.money import usd_text
from hero_broker.metering.journal import JournalUnreadable
from hero_broker.metering.state_dir import StateDirInUse
from hero_broker.server import ListenError
from hero_broker.server import serve as run_server
from hero_broker.settings import Settings, SettingsError, load
from hero_broker.store.copying import LedgersDiffer, copy_ledger, sums
from hero_broker.store.database import DatabaseUnusable, open_database

DEFAULT_URL = "http://127.0.0.1:33850"
PROGRESS_EVERY_S = 0.5
TIMEOUT = httpx.Timeout(10, read=3600)  # a verification reads every row

cli = typer.Typer(
    no_args_is_help=True, add_completion=True, help="An AI gateway that bills every request to its address."
)
out = Console()
err = Console(stderr=True)

ConfigOption = Annotated[Path | None, typer.Option("--config", help="The settings file.")]
ListenOption = Annotated[list[str] | None, typer.Option("--listen", help="HOST:PORT or unix:PATH; repeatable.")]
FakeOption = Annotated[bool, typer.Option("--fake", help="Add a provider that answers without key or network.")]


def _settings(config: Path | None, **flags: Any) -> Settings:
    try:
        return load(config=config, environ=os.environ, **flags)
    except SettingsError as error:
        for fault in error.faults:
            err.print(f"{fault.key}: {fault.problem}", markup=False, highlight=False)
        raise typer.Exit(2) from error


def _serve(settings: Settings, started: Any) -> None:
    try:
        run_server(settings, started)
    except (StateDirInUse, DatabaseUnusable, JournalUnreadable, ListenError) as error:
        err.print(f"hero-broker cannot start: {error}", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(3) from error


@cli.command()
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
        err.print(line, markup=False, highlight=False, soft_wrap=True)


def _address(opened: socket.socket) -> str:
    name = opened.getsockname()
    if isinstance(name, str):
        return f"unix:{name}"
    return f"http://[{name[0]}]:{name[1]}" if ":" in name[0] else f"http://{name[0]}:{name[1]}"


@cli.command()
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
        raise typer.Exit(1)


def _demo_calls(sockets: list[socket.socket], once: bool, failures: list[Exception]) -> None:
    urls = {opened.family: _address(opened) for opened in sockets}
    base = urls[socket.AF_INET]
    try:
        for address in demo_calls.call_all(urls, demo_calls.callers(demo_calls.can_bind)):
            err.print(f"called from {address}", markup=False, highlight=False)
        _print_usage(demo_calls.bill(base))
        err.print(f"\nTry: curl {base}/billing/usage", markup=False, highlight=False)
    except httpx.HTTPError as error:
        err.print(f"a call failed: {error}", markup=False, highlight=False)
        failures.append(error)
    if once or failures:
        os.kill(os.getpid(), signal.SIGTERM)
    else:
        err.print("Serving until Ctrl-C.")


UrlOption = Annotated[str, typer.Option(help="The running broker.")]
TokenOption = Annotated[str | None, typer.Option(envvar="ADMIN_TOKEN", help="The admin token.")]


def _ask(url: str, token: str | None, method: str, params: dict[str, Any]) -> tuple[Any, str]:
    """Return a method's result, money as Decimal, and the same as the text that came."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    question = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    try:
        answer = httpx.post(f"{url}/rpc", json=question, headers=headers, timeout=TIMEOUT)
        told = json.loads(answer.content, parse_float=Decimal)
    except (httpx.HTTPError, ValueError) as error:
        err.print(f"no broker answers at {url}", markup=False, highlight=False)
        raise typer.Exit(1) from error
    if "error" in told:
        err.print(f"{told['error']['message']} {told['error'].get('data', '')}", markup=False, highlight=False)
        raise typer.Exit(1)
    text = answer.text
    return told["result"], text[text.index('"result":') + 9 : -1] if text.endswith("}") else text


@cli.command()
def usage(
    ip: Annotated[str | None, typer.Argument(help="One address: its spend by model.")] = None,
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer as it came.")] = False,
) -> None:
    """Print what each address spent, largest first."""
    method = "billing.usage_for_ip" if ip else "billing.usage_by_ip"
    result, text = _ask(url, token, method, {"ip": ip} if ip else {})
    if as_json:
        sys.stdout.write(f"{text}\n")
    else:
        _print_usage(result)


@cli.command()
def verify(url: UrlOption = DEFAULT_URL, token: TokenOption = None) -> None:
    """Prove that rows, roll-ups and billing periods agree; exit code 1 where they do not."""
    found = _ask(url, token, "billing.verify", {})[0]["data"]
    for one in found["listed"]:
        out.print(
            f"{one['table']} {one['key']} span_s={one['span_s']} begins_at={one['begins_at']}:"
            f" expected {one['expected']}, found {one['found']}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
    out.print(f"{found['rows']} rows, {found['differences']} differences", markup=False, highlight=False)
    if not found["ok"]:
        raise typer.Exit(1)


@cli.command()
def rebuild(url: UrlOption = DEFAULT_URL, token: TokenOption = None) -> None:
    """Have the running broker make its roll-ups anew from all rows, and wait until it has; reports stay exact."""
    before = _ask(url, token, "system.health", {})[0]["rollups"]
    _ask(url, token, "billing.rebuild", {})
    while True:
        now = _ask(url, token, "system.health", {})[0]["rollups"]
        if now is not None and before is not None and now["generation"] > before["generation"]:
            break
        before = before or now
        if now is not None and now["rebuilt_seq"] is not None and err.is_terminal:
            err.print(f"{now['rebuilt_seq']} of {now['folded_seq']} rows", end="\r", markup=False, highlight=False)
        time.sleep(PROGRESS_EVERY_S)
    out.print(f"roll-ups made anew from {now['folded_seq']} rows", markup=False, highlight=False)


def _print_usage(result: dict[str, Any]) -> None:
    data = result["data"]
    first, rows = ("model", data["models"]) if isinstance(data, dict) else ("ip", data)
    totals = data["totals"] if isinstance(data, dict) else result["totals"]
    table = Table(show_footer=True)
    table.add_column(first, footer="total")
    for name, key in (("requests", "requests"), ("input", "input_tokens"), ("output", "output_tokens")):
        table.add_column(name, justify="right", footer=str(totals[key]))
    table.add_column("USD", justify="right", footer=format(Decimal(totals["total_cost_usd"]), "f"))
    for row in rows:
        cost = format(Decimal(row["total_cost_usd"]), "f")
        table.add_row(row[first], *(str(row[key]) for key in ("requests", "input_tokens", "output_tokens")), cost)
    out.print(table)


@cli.command("check-config")
def check_config(config: ConfigOption = None, fake: FakeOption = False) -> None:
    """Print what would be served, with prices and without secrets."""
    settings = _settings(config, fake=fake)
    catalogue = wiring.catalogue_of(settings)
    served = wiring.routes_of(settings, "" if fake else None, catalogue)
    for line in preview.lines(settings, served, catalogue):
        out.print(line, markup=False, highlight=False, soft_wrap=True)
    for warning in preview.warnings(settings, catalogue):
        err.print(f"warning: {warning}", markup=False, highlight=False, soft_wrap=True)


@cli.command("copy-ledger")
def copy(
    source: Annotated[str, typer.Argument(metavar="FROM", help="URL of the ledger to read; it may be in use.")],
    target: Annotated[str, typer.Argument(metavar="TO", help="URL of the ledger to write; it must not be in use.")],
) -> None:
    """Copy a ledger into another store, such as SQLite into PostgreSQL. Run it again to go on, or to catch up."""
    urls = [_settings(None, database=url).database_url_absolute for url in (source, target)]
    if urls[0] == urls[1]:
        err.print("FROM and TO are the same ledger")
        raise typer.Exit(2)
    total = None
    try:
        with open_database(urls[0]) as reading, open_database(urls[1]) as writing:
            for total in copy_ledger(reading.engine, writing.engine):
                err.print(f"{total.rows} rows copied", markup=False, highlight=False)
            with writing.reading() as connection:
                total = sums(connection)
    except (DatabaseUnusable, StoreUnavailable, LedgersDiffer) as error:
        err.print(f"copy-ledger stopped: {error}", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(3) from error
    cost = usd_text(total.cost_nano_usd)
    out.print(f"{total.rows} rows, {cost} USD: the same in both ledgers", markup=False, highlight=False)


def main() -> None:
    """Run the command line."""
    cli()

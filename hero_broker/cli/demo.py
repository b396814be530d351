"""`hero-broker demo`: a broker, calls from several addresses, and the bill."""

import os
import signal
import socket
import tempfile
import threading
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import httpx
import typer

from hero_broker import demo as demo_calls
from hero_broker.cli.bills import of_addresses, print_bill
from hero_broker.cli.exits import FAILED
from hero_broker.cli.printing import warn
from hero_broker.cli.serving import address_of, run
from hero_broker.client import ClientError
from hero_broker.settings import load


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
            threads.append(threading.Thread(target=_calls, args=(sockets, once, failures), name="demo"))
            threads[0].start()

        run(settings, started)
        for thread in threads:
            thread.join()
    if failures:
        raise typer.Exit(FAILED)


def _calls(sockets: list[socket.socket], once: bool, failures: list[Exception]) -> None:
    urls = {opened.family: address_of(opened) for opened in sockets}
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

"""`hero-broker demo`: runs a broker, calls it from several addresses, and prints the bill."""

import os
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import httpx
import typer

from hero_broker.cli import demo_traffic as demo_calls
from hero_broker.cli.exit_codes import CANNOT_START, FAILED
from hero_broker.cli.notices import warn
from hero_broker.cli.report_view import addresses_view, print_bill
from hero_broker.cli.runner import bound_address, run
from hero_broker.client import ClientError
from hero_broker.settings import load


def demo(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on loopback; 0 lets the system choose.")] = 33850,
    once: Annotated[bool, typer.Option("--once", help="End after the bill.")] = False,
) -> None:
    """Show a bill: a broker with a fake provider, calls from several addresses, and what each spent."""
    has_bill = threading.Event()
    with _temporary_folder() as folder:
        config = Path(folder) / "hero-broker.toml"
        config.write_text(demo_calls.SETTINGS)
        callers = demo_calls.callers(demo_calls.can_bind)
        listen = [f"127.0.0.1:{port}", *([f"[::1]:{port}"] if demo_calls.can_bind("::1") else [])]
        if any(caller.stands_for is not None for caller in callers):
            listen.append(f"unix:{folder}/proxy.sock")
        settings = load(config=config, environ={"HERO_BROKER_STATE_DIR": folder}, listen=listen, fake=True)
        threads: list[threading.Thread] = []

        def started(sockets: list[socket.socket]) -> None:
            threads.append(threading.Thread(target=_calls, args=(sockets, callers, once, has_bill), name="demo"))
            threads[0].start()

        run(settings, started, listen_option="--port")
        for thread in threads:
            thread.join()
    if not has_bill.is_set():
        raise typer.Exit(FAILED)


@contextmanager
def _temporary_folder() -> Iterator[str]:
    """Make a folder for the block; end the command with 3 if it cannot be made."""
    try:
        temporary = tempfile.TemporaryDirectory(prefix="hero-broker-demo-")
    except OSError as error:
        warn(f"hero-broker cannot start: cannot make a folder for the demo's ledger: {error.strerror}")
        raise typer.Exit(CANNOT_START) from error
    with temporary as folder:
        yield folder


def _calls(
    sockets: list[socket.socket], callers: Sequence[demo_calls.DemoCaller], once: bool, has_bill: threading.Event
) -> None:
    urls = {opened.family: bound_address(opened) for opened in sockets}
    base = urls[socket.AF_INET]
    try:
        for address in demo_calls.call_all(urls, callers):
            warn(f"called from {address}")
        print_bill(addresses_view(demo_calls.bill(base)), ZoneInfo("UTC"))
        warn(f"\nTry: curl {base}/billing/usage")
        has_bill.set()
    except typer.Exit:
        pass  # the bill cannot be written; a message is printed already
    except (httpx.HTTPError, ClientError) as error:
        warn(f"a call failed: {error}")
    except demo_calls.RowsPending as error:
        warn(str(error))
    finally:  # also if a bug ends this thread: the broker must not keep running as if the bill were printed
        if once or not has_bill.is_set():
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            warn("Serving until Ctrl-C.")

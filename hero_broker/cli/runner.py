"""Runs a broker in this process, from its settings to its end."""

import gc
import resource
import socket
import sys
from collections.abc import Callable, Iterator

import typer
from sqlalchemy import make_url

from hero_broker.cli.exit_codes import CANNOT_START
from hero_broker.cli.notices import warn
from hero_broker.core.errors import CannotStart, ListenError
from hero_broker.server.run import serve as run_server
from hero_broker.settings import Settings
from hero_broker.telemetry import logs

# How long a thread that computes a report may hold the GIL while calls wait; Python's default is 5 ms.
SWITCH_INTERVAL_S = 0.001
LEAST_FILES = 64  # with fewer, the start fails at an arbitrary point, not always with a useful message


def run(
    settings: Settings,
    started: Callable[[list[socket.socket]], None],
    listen_option: str = "--listen, or server.listen in the settings",
) -> None:
    """Run a broker until it is stopped; end the command with 3 if it cannot start."""
    logs.configure(_secrets(settings))
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if files != resource.RLIM_INFINITY and files < LEAST_FILES:
        warn(f"hero-broker cannot start: {files} files may be open, and it needs {LEAST_FILES} at least (ulimit -n)")
        raise typer.Exit(CANNOT_START)
    tune_process()
    try:
        run_server(settings, started)
    except CannotStart as error:
        hint = f"; choose another address with {listen_option}" if isinstance(error, ListenError) else ""
        warn(f"hero-broker cannot start: {error}{hint}")
        raise typer.Exit(CANNOT_START) from error


def tune_process() -> None:
    """Set what belongs to the whole process, which a program that embeds a broker decides itself."""
    gc.freeze()  # imported modules stay; scanning them for garbage again and again takes 5 % of the time
    gc.set_threshold(20_000, 50, 50)
    gc.enable()
    sys.setswitchinterval(SWITCH_INTERVAL_S)


def _secrets(settings: Settings) -> Iterator[str]:
    """Yield the secrets that logs must redact."""
    yield from settings.admin_tokens
    for provider in settings.providers:
        yield from provider.api_keys
    if password := make_url(settings.database_url_absolute).password:
        yield str(password)


def bound_address(opened: socket.socket) -> str:
    """Return the URL of a listener, in the form that `--url` takes."""
    name = opened.getsockname()
    if isinstance(name, str):
        return f"unix:{name}"
    return f"http://[{name[0]}]:{name[1]}" if ":" in name[0] else f"http://{name[0]}:{name[1]}"

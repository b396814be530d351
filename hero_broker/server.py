"""Listeners on TCP and Unix sockets, uvicorn's options, an orderly end on a signal."""

import asyncio
import contextlib
import gc
import logging
import math
import os
import socket
import stat
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path

import uvicorn
import uvloop
from starlette.types import ASGIApp

from hero_broker import app, signals
from hero_broker.connections import Limits, OpenConnections, most_connections, protocol_of, raise_open_files
from hero_broker.core.private import make_directory
from hero_broker.metering.state_dir import owned
from hero_broker.providers.fake import fake_provider
from hero_broker.settings import Settings, TcpListen, UnixListen

BACKLOG = 128
KEEP_ALIVE_S = 5.0
# What the kernel holds of an answer beyond what the client's machine has room for. By its own measure it holds
# megabytes, of which it asks for more when a third is gone: minutes, with a client that reads slowly.
UNSENT_BYTES = 32 * 1024

CONNECTIONS_END_S = 0.5  # for connections to end, once all calls have
# How long a thread that makes a report may keep the interpreter from the calls; Python's own default is 5 ms.
SWITCH_INTERVAL_S = 0.001

log = logging.getLogger(__name__)


class ListenError(Exception):
    """An address cannot be listened on."""


def open_listener(listen: TcpListen | UnixListen) -> socket.socket:
    """Return a listening socket; `[::]` takes IPv4 too, a Unix socket has mode 0660.

    Raises:
        ListenError: the address is in use, or not ours, or the path is no socket.
    """
    try:
        if isinstance(listen, UnixListen):
            return _open_unix(listen.path)
        family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
        opened = socket.socket(family, socket.SOCK_STREAM)
        try:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
            if family is socket.AF_INET6:
                opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if listen.host == "::" else 1)
            opened.bind((listen.host, listen.port))
            opened.listen(BACKLOG)
        except OSError:
            opened.close()
            raise
    except OSError as error:
        raise ListenError(f"cannot listen on {listen}: {error.strerror}") from error
    return opened


def open_listeners(listens: Sequence[TcpListen | UnixListen]) -> list[socket.socket]:
    """Return a listening socket for each; `[::1]` is left out, with a warning, where the machine has no IPv6.

    Raises:
        ListenError: as `open_listener`; then none is left open.
    """
    opened: list[socket.socket] = []
    try:
        for listen in listens:
            if isinstance(listen, TcpListen) and listen.host == "::1" and len(listens) > 1 and not _has_ipv6():
                log.warning("not listening on %s: this machine has no IPv6", listen)
            else:
                opened.append(open_listener(listen))
    except ListenError:
        for one in opened:
            one.close()
        raise
    return opened


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def _open_unix(path: Path) -> socket.socket:
    if path.exists():
        if not stat.S_ISSOCK(path.stat().st_mode):
            raise ListenError(f"cannot listen on unix:{path}: there is something else at this path")
        with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(ConnectionRefusedError):
            probe.connect(str(path))
            raise ListenError(f"cannot listen on unix:{path}: another process listens there")
        path.unlink()
    make_directory(path.parent, 0o750)
    opened = socket.socket(socket.AF_UNIX)
    mask = os.umask(0o117)
    try:
        opened.bind(str(path))
    finally:
        os.umask(mask)
    opened.listen(BACKLOG)
    return opened


class _QuietServer(uvicorn.Server):
    """A uvicorn that leaves signals to the broker."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Server(_QuietServer):
    """One that tells when it serves."""

    def __init__(self, config: uvicorn.Config, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_started()

    def stop(self) -> None:
        """Accept no more connections, and end when those that are there have."""
        self.should_exit = True


def _config(application: ASGIApp, connections: OpenConnections, grace_s: float) -> uvicorn.Config:
    return uvicorn.Config(
        application,
        http=protocol_of(connections),
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
        backlog=BACKLOG,
        lifespan="off",
        timeout_graceful_shutdown=math.ceil(grace_s) + 5,  # a bound alone: the broker itself ends what is left
    )


def _limits(settings: Settings) -> Limits:
    server = settings.server
    return Limits(
        most=most_connections(raise_open_files(), server.max_calls, settings.billing.drain_max_calls),
        header_timeout_s=server.header_timeout_s,
        keep_alive_s=KEEP_ALIVE_S,
        idle_timeout_s=settings.upstream.idle_timeout_s,
    )


def serve(settings: Settings, started: Callable[[list[socket.socket]], None]) -> None:
    """Run the broker until a signal ends it; `started` is told the listening sockets once calls are served.

    Raises:
        StateDirInUse, StateDirUnusable, ListenError, DatabaseUnusable, JournalUnreadable, JournalUnusable: it cannot
            start.
    """
    with owned(settings.state_dir), contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(opened) for opened in open_listeners(settings.server.listen)]
        gc.freeze()  # what is imported stays; looking through it for garbage again and again takes 5 % of the time
        gc.set_threshold(20_000, 50, 50)
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(settings, sockets, started))
        for listen in settings.server.listen:
            if isinstance(listen, UnixListen):
                listen.path.unlink(missing_ok=True)


async def _serve(
    settings: Settings, sockets: list[socket.socket], started: Callable[[list[socket.socket]], None]
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        stop = stack.enter_context(signals.caught())
        fake_url = await stack.enter_async_context(_fake()) if settings.fake else None
        broker = await stack.enter_async_context(app.running(settings, fake_url=fake_url))
        connections = OpenConnections(_limits(settings))
        await stack.enter_async_context(connections.watched())
        config = _config(broker.application, connections, settings.server.grace_s)
        server = _Server(config, lambda: started(sockets))
        stop.when_asked(server.stop)
        serving = asyncio.create_task(server.serve(sockets), name="server")
        grace = asyncio.create_task(stop.grace(settings.server.grace_s), name="grace")
        await asyncio.wait({serving, grace}, return_when=asyncio.FIRST_COMPLETED)
        # Clients that are there have been served, or the grace is over; calls without a client go on for its rest.
        ending = asyncio.create_task(broker.exchange.close(settings.server.grace_s), name="calls without a client")
        await asyncio.wait({ending, grace}, return_when=asyncio.FIRST_COMPLETED)
        await broker.exchange.close(0)
        # Who was cut off has been told so by now. Connections that still do not end are left to the loop's end.
        await asyncio.wait({serving}, timeout=CONNECTIONS_END_S)
        for task in (serving, grace, ending):
            if not task.done():
                task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving


@contextlib.asynccontextmanager
async def _fake() -> AsyncIterator[str]:
    """Serve the fake provider on a loopback socket of its own, and yield its base URL."""
    opened = open_listener(TcpListen("127.0.0.1", 0))
    server = _QuietServer(uvicorn.Config(fake_provider(), log_config=None, access_log=False, lifespan="off"))
    serving = asyncio.create_task(server.serve([opened]), name="fake provider")
    try:
        yield f"http://127.0.0.1:{opened.getsockname()[1]}/v1"
    finally:
        server.should_exit = True
        await serving

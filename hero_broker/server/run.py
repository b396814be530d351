"""Runs a broker under uvicorn, from opening its listeners to an orderly shutdown on a signal."""

import asyncio
import contextlib
import math
import socket
from collections.abc import AsyncIterator, Callable, Iterator

import uvicorn
import uvloop

from hero_broker.ledger.state_dir import own_state_dir
from hero_broker.providers.fake.app import fake_provider
from hero_broker.server import shutdown, wiring
from hero_broker.server.http1.fd_limits import max_connections, raise_nofile_limit
from hero_broker.server.http1.protocol import make_protocol
from hero_broker.server.http1.tracker import ConnectionLimits, ConnectionTracker
from hero_broker.server.listeners import BACKLOG, open_listener, open_listeners
from hero_broker.settings import ServerSettings, Settings, TcpListen, UnixListen

# Longer than clients keep an idle connection (httpx 5 s, aiohttp 15 s), so that none sends a request as we close.
KEEP_ALIVE_S = 75.0
CONNECTIONS_END_S = 0.5  # how long connections may take to close after the last call


class _QuietServer(uvicorn.Server):
    """A uvicorn server that leaves signals to the broker."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Server(_QuietServer):
    """A server that calls `on_started` as soon as it accepts connections."""

    def __init__(self, config: uvicorn.Config, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_started()

    def stop(self) -> None:
        """Accept no more connections, and end when the open ones have closed."""
        self.should_exit = True


def _config(broker: wiring.Broker, connections: ConnectionTracker, settings: ServerSettings) -> uvicorn.Config:
    return uvicorn.Config(
        broker.application,
        http=make_protocol(connections, broker.short_requests if settings.fast_path else None),
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
        backlog=BACKLOG,
        lifespan="off",
        timeout_graceful_shutdown=math.ceil(settings.grace_s) + 5,  # only a bound: the broker itself ends what is left
    )


def _connection_limits(settings: Settings) -> ConnectionLimits:
    server = settings.server
    return ConnectionLimits(
        max_open=max_connections(raise_nofile_limit(), server.max_calls, settings.billing.drain_max_calls),
        header_timeout_s=server.header_timeout_s,
        keep_alive_s=KEEP_ALIVE_S,
        idle_timeout_s=settings.upstream.idle_timeout_s,
    )


def serve(settings: Settings, started: Callable[[list[socket.socket]], None]) -> None:
    """Run the broker until a signal ends it; call `started` with the listening sockets when it accepts calls.

    Raises:
        CannotStart: the state directory, the journal, the database or an address cannot be used.
    """
    with own_state_dir(settings.state_dir), contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(opened) for opened in open_listeners(settings.server.listen)]
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(settings, sockets, started))
        for listen in settings.server.listen:
            if isinstance(listen, UnixListen):
                listen.path.unlink(missing_ok=True)


async def _serve(
    settings: Settings, sockets: list[socket.socket], started: Callable[[list[socket.socket]], None]
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        stop = stack.enter_context(shutdown.handle_signals())
        fake_url = await stack.enter_async_context(_fake()) if settings.fake else None
        broker = await stack.enter_async_context(wiring.running(settings, fake_url=fake_url))
        connections = ConnectionTracker(_connection_limits(settings))
        broker.duties.append(connections.watching)
        await stack.enter_async_context(connections.running())
        config = _config(broker, connections, settings.server)
        server = _Server(config, lambda: started(sockets))
        stop.on_request(server.stop)
        serving = asyncio.create_task(server.serve(sockets), name="server")
        grace = asyncio.create_task(stop.grace(settings.server.grace_s), name="grace")
        await asyncio.wait({serving, grace}, return_when=asyncio.FIRST_COMPLETED)
        # All connected clients have been served, or the grace is over. Calls without a client have the rest of it.
        ending = asyncio.create_task(broker.exchange.close(settings.server.grace_s), name="calls without a client")
        await asyncio.wait({ending, grace}, return_when=asyncio.FIRST_COMPLETED)
        await broker.exchange.close(0)
        # Clients that were cut off have been sent an error by now. Connections still open are closed with the loop.
        await asyncio.wait({serving}, timeout=CONNECTIONS_END_S)
        for task in (serving, grace, ending):
            if not task.done():
                task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving


@contextlib.asynccontextmanager
async def _fake() -> AsyncIterator[str]:
    """Serve the fake provider on its own loopback socket, and yield its base URL."""
    opened = open_listener(TcpListen("127.0.0.1", 0))
    server = _QuietServer(uvicorn.Config(fake_provider(), log_config=None, access_log=False, lifespan="off"))
    serving = asyncio.create_task(server.serve([opened]), name="fake provider")
    try:
        yield f"http://127.0.0.1:{opened.getsockname()[1]}/v1"
    finally:
        server.should_exit = True
        await serving

"""A plain JSON call over real connections, met by each event at each of its waits: one row, the same both ways."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from hero_broker.core.calls import Outcome
from hero_broker.core.records import RequestLog
from hero_broker.data_plane.exchange import Exchange
from hero_broker.ledger.ledger import Ledger
from hero_broker.limits.admission import Slot
from hero_broker.limits.counters import NOTHING
from hero_broker.metering.estimates import Estimates
from hero_broker.pricing.tariff import Tariff
from hero_broker.providers.provider import Provider, Timeouts
from hero_broker.providers.routes import Route
from hero_broker.providers.upstream.client import Upstream, open_upstream
from tests.data_plane.scripted import (
    LIMITS,
    PRICE,
    ScriptedClient,
    ScriptedClock,
    ScriptedLedger,
    WordCounter,
    json_call,
    run,
    skip,
    until,
)

BODY = b'{"choices":[{"message":{"content":"yes"}}],"usage":{"prompt_tokens":40,"completion_tokens":3}}'
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(BODY)
ANSWER = HEAD + BODY
# How much of the answer has come when the event happens.
WAITS = {"for anything": 0, "for the rest of the head": 25, "for the body": len(HEAD), "for its rest": len(HEAD) + 20}


class OneProvider:
    """Answers each request, the first one up to a point; then it waits for the test."""

    def __init__(self, stops_at: int) -> None:
        self.stops_at: int | None = stops_at
        self.has_stopped = False
        self.url = ""
        self._go_on = asyncio.Event()
        self._writer: asyncio.StreamWriter | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listen inside the block."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        try:
            yield
        finally:
            self._go_on.set()
            server.close()

    def finish(self) -> None:
        """Send the rest."""
        self._go_on.set()

    def break_off(self) -> None:
        """Close the connection."""
        assert self._writer is not None
        self._writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                await reader.readexactly(length)
                stops_at, self.stops_at = self.stops_at, None
                if stops_at is not None:
                    self._writer = writer
                    writer.write(ANSWER[:stops_at])
                    await writer.drain()
                    self.has_stopped = True
                    await self._go_on.wait()
                    writer.write(ANSWER[stops_at:])
                else:
                    writer.write(ANSWER)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


class OneCall:
    """A call, and what it meets."""

    def __init__(self, upstream: Upstream, provider: OneProvider) -> None:
        self.order: list[str] = []
        self.client = ScriptedClient(self.order)
        self.ledger = ScriptedLedger(self.order)
        self.estimates = Estimates(WordCounter())
        self.provider = provider
        self.exchange = Exchange(upstream, cast(Ledger, self.ledger), self.estimates, ScriptedClock(), LIMITS)
        found = Provider("p", provider.url, ("sk-operators-own",), stream_usage=True)
        self.route = Route.to("m", None, found, "m", tariff=Tariff.fixed(PRICE, is_override=True))

    def begin(self) -> "asyncio.Task[None]":
        """Start it."""
        call = json_call("chat", b'{"model":"m","messages":[{"role":"user","content":"one two three"}]}')
        return asyncio.ensure_future(self.exchange.start(call, self.route, self.client.channel(), Slot(NOTHING)))


async def client_leaves(call: OneCall) -> None:
    call.client.leave()
    call.provider.finish()


async def provider_breaks_off(call: OneCall) -> None:
    call.provider.break_off()


async def broker_stops(call: OneCall) -> None:
    await call.exchange.close(0)


async def time_is_over(_call: OneCall) -> None:
    skip(10_000)


async def nothing_happens(call: OneCall) -> None:
    call.provider.finish()


Event = Callable[[OneCall], Coroutine[Any, Any, None]]
EVENTS: Mapping[Event, Outcome] = {
    client_leaves: Outcome.CLIENT_DISCONNECTED,
    provider_breaks_off: Outcome.PROVIDER_ERROR,
    broker_stops: Outcome.INTERRUPTED,
    time_is_over: Outcome.PROVIDER_ERROR,
    nothing_happens: Outcome.OK,
}


async def meet(event: Event, wait: str, *, fast: bool) -> tuple[RequestLog, bytes]:
    """Let an event happen at one of a call's waits; return its row, and what the client got."""
    provider = OneProvider(WAITS[wait])
    async with provider.running(), open_upstream(Timeouts(), 1, fast=fast) as upstream:
        call = OneCall(upstream, provider)
        task = call.begin()
        await until(lambda: provider.has_stopped)
        await asyncio.sleep(0)
        await event(call)
        await until(task.done)
        (row,) = call.ledger.rows
        assert call.order.index("note") < call.order.index("row")
        assert "head" not in call.order or call.order.index("row") < call.order.index("head")
        assert not upstream._connector._acquired
        # The next call gets its own answer, on a pool of one connection.
        following = OneCall(upstream, provider)
        await until(following.begin().done)
        assert (following.client.status, following.client.body) == (200, BODY)
        assert [one.outcome for one in following.ledger.rows] == [Outcome.OK]
        for one in (call, following):
            one.estimates.close()
        return row, call.client.body


@pytest.mark.parametrize("wait", WAITS)
@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)
def test_call_has_one_row_whatever_happens_at_whichever_wait(event: Event, wait: str) -> None:
    (fast, got), (plain, got_plain) = (run(meet(event, wait, fast=fast)) for fast in (True, False))

    assert fast.outcome is EVENTS[event]
    assert fast == plain
    assert got == got_plain
    assert (got == BODY) == (fast.outcome is Outcome.OK)

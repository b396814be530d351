"""The one path of every call: note it, send it, relay the answer, settle it.

A pump reads the provider and bills; a relay feeds the client from a bounded queue. The pump is never cancelled by the
client's fate, and offers exactly one row, however the exchange ends. The tail of the answer waits for that row.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec

from hero_broker.core.calls import Call, Outcome
from hero_broker.core.clock import Clock
from hero_broker.core.errors import InternalError, LedgerUnavailable, ModelNotPriced, ProviderError
from hero_broker.data_plane.sse import EventSplitter, EventTooLong, event_data
from hero_broker.metering.ledger import Ledger
from hero_broker.metering.meter import Meter
from hero_broker.pricing.price import Price
from hero_broker.providers.upstream import Provider, Upstream, UpstreamReply

QUEUE_CHUNKS = 64
DONE = b"[DONE]"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Head:
    """The start of an answer."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Limits:
    """What an exchange may take."""

    max_answer_bytes: int
    idle_s: float
    drain: bool
    drain_max_s: float
    drain_max_tokens: int
    drain_max_calls: int


@dataclass(frozen=True, slots=True)
class Rules:
    """What must hold before a call is made, and before its tail leaves."""

    fsync: bool  # the tail waits until its row is on the disk
    refuse_without_database: bool
    refuse_unpriced: bool


class Relay:
    """What waits for the client: a head, chunks, the end. Bounded; never blocks once the client has left."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Head | bytes | None] = asyncio.Queue(QUEUE_CHUNKS)
        self._gone = asyncio.Event()

    @property
    def is_gone(self) -> bool:
        """Whether the client has left."""
        return self._gone.is_set()

    async def left(self) -> None:
        """Return when the client has left."""
        await self._gone.wait()

    def leave(self) -> None:
        """Note that the client has left; whoever waits in `put` goes on."""
        self._gone.set()
        while not self._queue.empty():
            self._queue.get_nowait()

    async def put(self, item: Head | bytes | None, within_s: float) -> None:
        """Add what comes next; None is the end. A client that takes nothing for `within_s` counts as gone."""
        if self.is_gone:
            return
        try:
            async with asyncio.timeout(within_s):
                await self._queue.put(item)
        except TimeoutError:
            self.leave()

    async def items(self) -> AsyncIterator[Head | bytes]:
        """Yield what the client gets, up to the end."""
        while (item := await self._queue.get()) is not None:
            yield item


@dataclass(slots=True)
class _Ending:
    """How a call ended, as far as is known; the worst is assumed until then."""

    outcome: Outcome = Outcome.INTERNAL_ERROR
    status: int | None = None
    code: str | None = "internal_error"


class Exchange:
    """All calls in flight, each with a pump of its own."""

    def __init__(
        self,
        upstream: Upstream,
        ledger: Ledger,
        price: Callable[[str, str], Price | None],
        clock: Clock,
        limits: Limits,
        rules: Rules,
    ) -> None:
        self._upstream = upstream
        self._ledger = ledger
        self._price = price
        self._clock = clock
        self._limits = limits
        self._rules = rules
        self._pumps: set[asyncio.Task[None]] = set()
        self._draining = 0

    def start(self, call: Call, provider: Provider) -> Relay:
        """Note in the journal that the call begins, and start its pump.

        Raises:
            LedgerUnavailable: the call could not be billed; nothing was sent.
            ModelNotPriced: no price is known, and the settings refuse such calls.
        """
        price = self._price(call.provider, call.upstream_model)
        if price is None and self._rules.refuse_unpriced:
            raise ModelNotPriced(f"No price is known for the model {call.model!r}.", param="model")
        if self._ledger.is_degraded and self._rules.refuse_without_database:
            raise LedgerUnavailable("The ledger's database does not answer; try again later.")
        meter = Meter(call, price, self._clock)
        self._ledger.begin(meter.note())
        relay = Relay()
        pump = asyncio.create_task(self._pump(call, provider, meter, relay), name=f"pump {call.request_id}")
        self._pumps.add(pump)
        pump.add_done_callback(self._pumps.discard)
        return relay

    @property
    def in_flight(self) -> int:
        """Calls that have no row yet."""
        return len(self._pumps)

    async def close(self, grace_s: float) -> None:
        """Let what is in flight end within `grace_s`; cut and bill the rest."""
        if self._pumps:
            await asyncio.wait(self._pumps, timeout=max(grace_s, 0.0))
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    async def _pump(self, call: Call, provider: Provider, meter: Meter, relay: Relay) -> None:
        ending = _Ending()
        tail: list[Head | bytes] = []
        try:
            async with (
                self._draining_when_left(relay, meter),
                self._upstream.post(provider, call.path, call.body) as reply,
            ):
                ending.status = reply.status
                if not 200 <= reply.status < 300:
                    ending.outcome, ending.code = Outcome.PROVIDER_ERROR, f"provider_{reply.status}"
                    tail = _refusal(reply, await self._whole(reply), provider)
                elif reply.headers.get("content-type", "").startswith("text/event-stream"):
                    await self._stream(call, reply, meter, relay, tail)
                    ending.outcome, ending.code = Outcome.OK, None
                else:
                    meter.saw_answer()
                    body = await self._whole(reply)
                    meter.saw_body(body)
                    tail = [_head(reply, len(body)), body]
                    ending.outcome, ending.code = Outcome.OK, None
        except _DrainEndedError:
            ending.outcome, ending.code = Outcome.CLIENT_DISCONNECTED, "client_disconnected"
        except ProviderError as error:
            ending.outcome, ending.code = Outcome.PROVIDER_ERROR, error.code
            tail = [_stream_error(error)] if call.stream and meter.answered else _answer(error.status, error)
            ending.status = 200 if call.stream and meter.answered else error.status
        except asyncio.CancelledError:
            ending.outcome, ending.code = Outcome.INTERRUPTED, "interrupted"
            if not (call.stream and meter.answered):
                ending.status = InternalError.status
                tail = _answer(InternalError.status, InternalError("The broker is stopping.", code="interrupted"))
        except Exception:  # a fault of ours; the call is billed all the same
            log.exception("exchange: request %s failed", call.request_id)
            tail = _answer(500, InternalError("The broker failed."))
        finally:
            if relay.is_gone and ending.outcome is Outcome.OK:
                ending.outcome, ending.code = Outcome.CLIENT_DISCONNECTED, "client_disconnected"
            billed = self._ledger.offer(meter.close(ending.outcome, ending.status, ending.code))
        if billed and self._rules.fsync:
            billed = await self._on_disk(call)
        if not billed:
            failure = InternalError("The call could not be billed.")
            tail = [_stream_error(failure)] if call.stream and meter.answered else _answer(500, failure)
        for item in (*tail, None):
            await relay.put(item, self._limits.idle_s)

    async def _stream(
        self, call: Call, reply: UpstreamReply, meter: Meter, relay: Relay, tail: list[Head | bytes]
    ) -> None:
        splitter = EventSplitter()
        meter.saw_answer()
        await relay.put(_head(reply), self._limits.idle_s)
        async for chunk in reply.chunks():
            passing: list[bytes] = []
            try:
                events = splitter.feed(chunk)
            except EventTooLong as error:
                raise ProviderError(
                    "The provider sent an event that is too long.", code="provider_bad_stream"
                ) from error
            for event in events:
                data = event_data(event)
                is_usage_event = meter.saw_event(data)
                if tail or data == DONE:
                    tail.append(event)
                elif not is_usage_event or call.wants_usage:
                    passing.append(event)
            if passing:
                await relay.put(b"".join(passing), self._limits.idle_s)
        if rest := splitter.rest():
            meter.saw_event(event_data(rest))
            tail.append(rest)

    async def _on_disk(self, call: Call) -> bool:
        try:
            await asyncio.to_thread(self._ledger.sync)
        except OSError as error:
            log.error("journal: cannot flush the row of %s: %s", call.request_id, error.strerror)
            return False
        return True

    async def _whole(self, reply: UpstreamReply) -> bytes:
        body = bytearray()
        async for chunk in reply.chunks():
            body += chunk
            if len(body) > self._limits.max_answer_bytes:
                raise ProviderError("The provider's answer is too long.", code="provider_answer_too_long")
        return bytes(body)

    @asynccontextmanager
    async def _draining_when_left(self, relay: Relay, meter: Meter) -> AsyncIterator[None]:
        """Bound the time for which a provider is read on for a client that has left."""
        pump = asyncio.current_task()
        watch = asyncio.create_task(self._end_drain(relay, meter, pump), name="drain")
        try:
            yield
        except asyncio.CancelledError:
            if watch.done() and not watch.cancelled() and pump is not None and pump.uncancel() == 0:
                raise _DrainEndedError from None
            raise
        finally:
            watch.cancel()

    async def _end_drain(self, relay: Relay, meter: Meter, pump: "asyncio.Task[None] | None") -> None:
        await relay.left()
        limits = self._limits
        if limits.drain and self._draining < limits.drain_max_calls:
            self._draining += 1
            try:
                async with asyncio.timeout(limits.drain_max_s):
                    await meter.reached(limits.drain_max_tokens)
            except TimeoutError:
                log.info("exchange: a drain reached drain_max_s")
            finally:
                self._draining -= 1
        if pump is not None:
            pump.cancel()


class _DrainEndedError(Exception):
    """The provider was closed, because its client has left and the drain limits are reached."""


def _head(reply: UpstreamReply, length: int | None = None) -> Head:
    kind = reply.headers.get("content-type", "application/json")
    headers = [(b"content-type", kind.encode("latin-1", "replace"))]
    if length is not None:
        headers.append((b"content-length", str(length).encode()))
    return Head(reply.status, tuple(headers))


def _answer(
    status: int, error: ProviderError | InternalError, *more: tuple[bytes, bytes], may_retry: bool | None = None
) -> list[Head | bytes]:
    retry = b"true" if (error.may_retry if may_retry is None else may_retry) else b"false"
    head = Head(status, ((b"content-type", b"application/json"), (b"x-should-retry", retry), *more))
    return [head, _error_body(error)]


def _error_body(error: ProviderError | InternalError) -> bytes:
    return msgspec.json.encode(
        {"error": {"message": error.message, "type": error.type, "param": None, "code": error.code}}
    )


def _stream_error(error: ProviderError | InternalError) -> bytes:
    return b"data: " + _error_body(error) + b"\n\n"


def _refusal(reply: UpstreamReply, body: bytes, provider: Provider) -> list[Head | bytes]:
    """Return what a client is told of a provider's error: its message, without keys."""
    try:
        message = str(msgspec.json.decode(body)["error"]["message"])[:1000]
    except (msgspec.DecodeError, KeyError, TypeError, IndexError):
        message = f"The provider answered with status {reply.status}."
    for key in provider.api_keys:
        message = message.replace(key, "***")
    passes_on = reply.status in (400, 404, 409, 413, 415, 422, 429, 502, 503, 504)
    error = ProviderError(message, code=f"provider_{reply.status}")
    more: list[tuple[bytes, bytes]] = []
    retry_after = reply.headers.get("retry-after", "")
    if reply.status in (429, 503) and retry_after.isascii() and retry_after.isdigit():
        more.append((b"retry-after", retry_after.encode()))
    return _answer(reply.status if passes_on else 502, error, *more, may_retry=reply.status >= 429)

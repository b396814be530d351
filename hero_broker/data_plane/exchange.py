"""Runs every call: note it in the journal, send it, relay the response, settle it.

The request's task reads the provider, feeds the client and bills. A disconnect of the client does not cancel it, and it
offers exactly one row, however the exchange ends. The tail of the response waits for that row.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import cast

import msgspec

from hero_broker.core.calls import Call, Outcome
from hero_broker.core.clock import Clock
from hero_broker.core.errors import (
    BrokerError,
    InternalError,
    Interrupted,
    JournalFull,
    LedgerUnavailable,
    ModelNotPriced,
    ProviderBadAnswer,
    ProviderCredentials,
    ProviderError,
)
from hero_broker.core.usage import Usage
from hero_broker.data_plane.event_stream import EventStream
from hero_broker.data_plane.relay import ABORT, Item, Relay, ResponseHead
from hero_broker.data_plane.responses import (
    OUR_STATUSES,
    error_event,
    error_response,
    is_about_our_key,
    provider_error_response,
    response_head,
)
from hero_broker.edge.response_channel import ResponseChannel
from hero_broker.kinds.kind import EVENT_STREAM, Framing
from hero_broker.kinds.typical import is_priced
from hero_broker.ledger.ledger import Ledger
from hero_broker.metering.estimates import Estimates
from hero_broker.metering.meter import Meter
from hero_broker.providers.health import HealthTracker
from hero_broker.providers.provider import Provider
from hero_broker.providers.routes import ModelRoute
from hero_broker.providers.upstream.client import Upstream
from hero_broker.providers.upstream.response import UpstreamResponse

AFTER_LAST_S = 1.0  # how long to read on after the last event, for late usage or the end of the response
MAX_ERROR_BYTES = 64 * 1024  # read of a provider's error body
ESTIMATE_TIMEOUT_S = 3.0
INTERRUPT_TIMEOUT_S = 0.5  # for an interrupted call to be estimated, billed and reported to its client

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ExchangeLimits:
    """Bounds on a response's size and pauses, and on draining."""

    max_answer_bytes: int
    idle_s: float
    drain: bool
    drain_max_s: float
    drain_max_tokens: int
    drain_max_calls: int


@dataclass(frozen=True, slots=True)
class AdmissionPolicy:
    """What must hold before a call is sent, and before its tail leaves."""

    fsync: bool  # the tail waits until the row is on the disk
    refuse_without_database: bool
    refuse_unpriced: bool


class _CallOutcome(msgspec.Struct):
    """How a call ended, as far as is known; a fault of the broker until more is known."""

    outcome: Outcome = Outcome.INTERNAL_ERROR
    status: int | None = None
    code: str | None = "internal_error"
    tail: Sequence[Item] = ()  # the part of the response that waits for the row


class Exchange:
    """Runs all calls in flight, each in the task of its request."""

    def __init__(
        self,
        upstream: Upstream,
        ledger: Ledger,
        estimates: Estimates,
        health: HealthTracker,
        clock: Clock,
        limits: ExchangeLimits,
        policy: AdmissionPolicy,
    ) -> None:
        self._upstream = upstream
        self._ledger = ledger
        self._estimates = estimates
        self._health = health
        self._clock = clock
        self._limits = limits
        self._policy = policy
        self._running: set[asyncio.Task[None]] = set()
        self._draining = 0

    def start(
        self, call: Call, route: ModelRoute, client: ResponseChannel, on_disconnect: Callable[[], None]
    ) -> Coroutine[None, None, None]:
        """Note in the journal that the call begins, and return its exchange, to be awaited.

        `on_disconnect` is called once if the client disconnects before its response has ended; the exchange may go on.

        Raises:
            LedgerUnavailable: the call could not be billed; nothing was sent.
            ModelNotPriced: the model has no price for calls of this kind, and the settings refuse unpriced calls.
        """
        if self._policy.refuse_unpriced and not is_priced(route.tariff, call.kind):
            raise ModelNotPriced(f"The model {call.model!r} has no known price.", param="model")
        if self._ledger.is_degraded and self._policy.refuse_without_database:
            raise LedgerUnavailable("The ledger's database does not respond; try again later.")
        meter = Meter(call, route.tariff, self._clock)
        try:
            self._ledger.begin(meter.call_started())
        except JournalFull as error:
            raise LedgerUnavailable("The ledger has no room for another call; try again later.") from error
        return self._run(call, route.provider, meter, client, on_disconnect)

    @property
    def in_flight(self) -> int:
        """Calls that have no row yet."""
        return len(self._running)

    async def close(self, grace_s: float) -> None:
        """Wait up to `grace_s` for the calls in flight; interrupt and bill the rest."""
        if self._running:
            await asyncio.wait(self._running, timeout=max(grace_s, 0.0))
        for _ in range(2):  # the second cancel ends an estimate, or the wait for a client that reads nothing
            for task in self._running:
                task.cancel()
            if self._running:
                await asyncio.wait(self._running, timeout=INTERRUPT_TIMEOUT_S)
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _run(
        self, call: Call, provider: Provider, meter: Meter, client: ResponseChannel, on_disconnect: Callable[[], None]
    ) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._running.add(task)
        ending = _CallOutcome()
        drain = _Drain(self._end_drain, meter, task, on_disconnect)
        relay = Relay(client, self._limits.idle_s, drain.begin)
        reply: UpstreamResponse | None = None
        try:
            if relay.is_gone:  # no provider was called, and none will be
                ending.outcome, ending.code = Outcome.CLIENT_DISCONNECTED, "client_disconnected"
            else:
                reply = await self._upstream.post(
                    provider, call.url, call.headers, call.body, meter, is_stream=call.stream
                )
                ending.status = reply.status
                await self._relay_response(call, provider, reply, meter, relay, ending)
        except ProviderError as error:
            meter.answered |= error.may_charge
            self._note_provider_failure(call, error, relay, ending)
        except asyncio.CancelledError:
            if drain.has_ended():
                ending.outcome, ending.code = Outcome.CLIENT_DISCONNECTED, "client_disconnected"
            else:
                ending.outcome, ending.code = Outcome.INTERRUPTED, "interrupted"
                _respond_failed(Interrupted("The broker is stopping."), relay, ending)
        except Exception:  # a fault of the broker; the call is billed all the same
            log.exception("exchange: a call failed", extra={"request_id": call.request_id})
            _respond_failed(InternalError("The broker failed."), relay, ending)
        finally:
            drain.stop()
            if reply is not None:
                reply.close()
            estimate = await self._estimate(meter) if meter.needs_estimate else None
            if relay.is_gone and ending.outcome is Outcome.OK:
                ending.outcome, ending.code = Outcome.CLIENT_DISCONNECTED, "client_disconnected"
            billed = self._ledger.offer(meter.close(ending.outcome, ending.status, ending.code, estimate))
        try:
            if billed and self._policy.fsync:
                billed = await self._flush_row(call)
            if not billed:
                _respond_failed(InternalError("The call could not be billed."), relay, ending)
            await relay.finish(ending.tail)
        except asyncio.CancelledError:  # the broker stops, and this client reads nothing; its call is billed
            log.info("exchange: stopped while a client was not reading", extra={"request_id": call.request_id})
        finally:
            self._running.discard(task)
            if not isinstance(call.body, bytes):
                await call.body.close()

    async def _relay_response(
        self, call: Call, provider: Provider, reply: UpstreamResponse, meter: Meter, relay: Relay, ending: _CallOutcome
    ) -> None:
        """Relay a response, except its tail; record how it ended."""
        content_type = reply.headers.get("content-type", "").lower()
        if not 200 <= reply.status < 300 or reply.status == 204:
            self._respond_provider_error(provider, reply, await _read_error_body(reply), ending)
            return
        meter.on_response()
        reply.check_coding()
        events: EventStream | None = None
        kind = meter.kind
        framing = kind.framing(content_type, is_stream=call.stream)
        if framing is Framing.EVENTS:
            events = await self._relay_stream(call, provider, reply, meter, relay, ending)
        elif framing is Framing.CHUNKS:
            await self._relay_chunks(reply, relay, ending)
        else:
            pieces: list[bytes] = []
            try:
                body = await reply.read_all(self._limits.max_answer_bytes, pieces)
            except (ProviderError, asyncio.CancelledError):
                meter.on_cut_body(b"".join(pieces))
                raise
            report = meter.on_body(body)
            if not (
                report.is_object or kind.may_be_text(content_type) or await self._estimates.run(kind.is_answer, body)
            ):
                raise ProviderBadAnswer("The provider's response cannot be parsed.")
            if report.is_error:  # whatever the status says
                self._respond_provider_error(provider, reply, body, ending)
                return
            ending.tail = [response_head(reply.status, reply.headers, str(len(body))), body]
        if events is not None and events.is_error:
            self._note_error_response(provider, reply, ending, is_our_key=events.is_our_key)
        else:
            ending.outcome, ending.code = Outcome.OK, None
            self._health.record_success(provider.name, reply.status, reply.key_number)

    async def _relay_stream(
        self, call: Call, provider: Provider, reply: UpstreamResponse, meter: Meter, relay: Relay, ending: _CallOutcome
    ) -> EventStream:
        """Relay an event stream, except its last event; return it."""
        events = EventStream(call, provider.api_keys, meter)
        ending.tail = events.tail
        meter.streamed = True
        is_declared = reply.headers.get("content-type", "").lower().startswith(EVENT_STREAM)
        await relay.send(response_head(reply.status, reply.headers if is_declared else {"content-type": EVENT_STREAM}))
        unsent = b""

        def forward(chunk: bytes) -> bool:
            nonlocal unsent
            unsent = events.feed(chunk)
            if unsent and relay.send_now(unsent):
                unsent = b""
            return not unsent and not events.tail

        try:
            async with asyncio.timeout(None) as deadline:
                while await reply.stream_to(forward):
                    if unsent:
                        await relay.send(unsent)
                    if events.tail:
                        if events.is_enough:
                            break
                        if deadline.when() is None:
                            deadline.reschedule(asyncio.get_running_loop().time() + AFTER_LAST_S)
        except (TimeoutError, ProviderError):
            # Once the last event is here, nothing billed or delivered is missing.
            if not events.tail:
                raise
        events.end()
        return events

    async def _relay_chunks(self, reply: UpstreamResponse, relay: Relay, ending: _CallOutcome) -> None:
        """Relay a body as it arrives, except its last chunk."""
        is_encoded = "content-encoding" in reply.headers  # then its length differs from the length that the client gets
        length = None if is_encoded else reply.headers.get("content-length")
        await relay.send(response_head(reply.status, reply.headers, length))
        latest = b""
        while chunk := await reply.read():
            if latest:
                await relay.send(latest)
            latest = chunk
        ending.tail = [latest]

    def _respond_provider_error(
        self, provider: Provider, reply: UpstreamResponse, body: bytes, ending: _CallOutcome
    ) -> None:
        """Respond with a provider's error, redacted; record whose fault it was."""
        ending.tail = provider_error_response(reply.status, reply.headers, body, provider.api_keys)
        ending.status = next(item.status for item in ending.tail if isinstance(item, ResponseHead))
        self._note_error_response(provider, reply, ending, is_our_key=is_about_our_key(reply.status, body))

    def _note_error_response(
        self, provider: Provider, reply: UpstreamResponse, ending: _CallOutcome, *, is_our_key: bool
    ) -> None:
        """Record that a response is an error, by its status or its body."""
        status = reply.status
        ending.outcome, ending.code = Outcome.PROVIDER_ERROR, f"provider_{status}"
        if is_our_key:
            if status not in OUR_STATUSES:  # then the status does not show that the key is at fault
                ending.code = ProviderCredentials.code
            self._health.key_refused(provider.name, ending.code, reply.key_number)
        elif status < 300:
            self._health.record_failure(provider.name, ending.code)
        else:
            self._health.record_success(provider.name, status, reply.key_number)

    def _note_provider_failure(self, call: Call, error: ProviderError, relay: Relay, ending: _CallOutcome) -> None:
        """Record that the response is missing or incomplete: the provider failed, or the client's upload did."""
        upload_failure = None if isinstance(call.body, bytes) else call.body.failure
        if upload_failure is None:
            ending.outcome, ending.code = Outcome.PROVIDER_ERROR, error.code
            self._health.record_failure(call.provider, error.code, error.detail)
        else:
            ending.outcome, ending.code = Outcome.CLIENT_DISCONNECTED, upload_failure.code or upload_failure.type
        _respond_failed(upload_failure or error, relay, ending)

    async def _estimate(self, meter: Meter) -> Usage | None:
        """Return an estimate; None if it fails, takes too long or is cancelled."""
        try:
            async with asyncio.timeout(ESTIMATE_TIMEOUT_S):
                return await self._estimates.usage(meter)
        except (TimeoutError, asyncio.CancelledError):
            return None
        except Exception:  # nothing may prevent the row
            log.exception("exchange: an estimate failed", extra={"request_id": meter.call.request_id})
            return None

    async def _flush_row(self, call: Call) -> bool:
        try:
            await asyncio.to_thread(self._ledger.sync)
        except OSError as error:
            log.error("journal: cannot flush a row: %s", error.strerror, extra={"request_id": call.request_id})
            return False
        return True

    async def _end_drain(self, meter: Meter, task: "asyncio.Task[None]") -> None:
        limits = self._limits
        if meter.is_sent and limits.drain and self._draining < limits.drain_max_calls:
            self._draining += 1
            try:
                async with asyncio.timeout(limits.drain_max_s):
                    await meter.wait_for_tokens(limits.drain_max_tokens)
            except TimeoutError:
                log.info("exchange: a drain reached drain_max_s", extra={"request_id": meter.call.request_id})
            finally:
                self._draining -= 1
        task.cancel()


class _Drain:
    """Bounds how long a provider is read after the client has disconnected."""

    __slots__ = ("_end", "_meter", "_on_disconnect", "_task", "_watch")

    def __init__(
        self,
        end: Callable[[Meter, "asyncio.Task[None]"], Coroutine[None, None, None]],
        meter: Meter,
        task: "asyncio.Task[None]",
        on_disconnect: Callable[[], None],
    ) -> None:
        """Prepare to call `on_disconnect` when the client disconnects, then `end`, which cancels the call's task."""
        self._end = end
        self._meter = meter
        self._task = task
        self._on_disconnect = on_disconnect
        self._watch: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Start the drain, because the client has disconnected."""
        self._on_disconnect()
        self._meter.may_retry = False
        self._watch = asyncio.create_task(self._end(self._meter, self._task))

    def has_ended(self) -> bool:
        """Return whether only this drain cancelled the task."""
        watch = self._watch
        return watch is not None and watch.done() and not watch.cancelled() and self._task.uncancel() == 0

    def stop(self) -> None:
        """Stop the drain."""
        if self._watch is not None:
            self._watch.cancel()


async def _read_error_body(reply: UpstreamResponse) -> bytes:
    """Return the body of an error, at most `MAX_ERROR_BYTES` and a chunk of it; less if the provider breaks off."""
    body = bytearray()
    with contextlib.suppress(ProviderError):
        while len(body) <= MAX_ERROR_BYTES and (chunk := await reply.read()):
            body += chunk
    return bytes(body)


def _respond_failed(error: BrokerError, relay: Relay, ending: _CallOutcome) -> None:
    """Report a failed call: as an error response, as an error event, or by aborting, as what was sent so far allows."""
    if not relay.has_begun:
        ending.status, ending.tail = error.status, error_response(error)
    elif relay.is_events:
        ending.tail = [error_event(error)]
    else:
        ending.tail = [ABORT]

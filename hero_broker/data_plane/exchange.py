"""The one path of every call: note it, send it, relay the answer, settle it.

The task of the request reads the provider, feeds the client and bills. It is never cancelled by the client's fate,
and offers exactly one row, however the exchange ends. The tail of the answer waits for that row.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import cast

import msgspec

from hero_broker.core.calls import Call, CallKind, Outcome
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
from hero_broker.data_plane.event_stream import FINISHING, EventStream
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
from hero_broker.ledger.ledger import Ledger
from hero_broker.metering.estimates import Estimates
from hero_broker.metering.meter import Meter
from hero_broker.metering.usage_wire import is_answer
from hero_broker.pricing.typical import is_priced
from hero_broker.providers.health import HealthTracker
from hero_broker.providers.routes import ModelRoute
from hero_broker.providers.upstream import Provider, Upstream, UpstreamResponse

EVENTS = "text/event-stream"
UNDECLARED_TYPES = ("", "text/plain", "application/octet-stream")  # what some servers say of a stream
AFTER_LAST_S = 1.0  # how long a provider is read on behind the last event, for a usage that comes late, or its end
MAX_ERROR_BYTES = 64 * 1024  # of a provider's error are read
ESTIMATE_WITHIN_S = 3.0
CUT_OFF_S = 0.5  # for a call that is cut off to be estimated, billed and told to its client

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ExchangeLimits:
    """What an exchange may take."""

    max_answer_bytes: int
    idle_s: float
    drain: bool
    drain_max_s: float
    drain_max_tokens: int
    drain_max_calls: int


@dataclass(frozen=True, slots=True)
class AdmissionPolicy:
    """What must hold before a call is made, and before its tail leaves."""

    fsync: bool  # the tail waits until its row is on the disk
    refuse_without_database: bool
    refuse_unpriced: bool


class _CallOutcome(msgspec.Struct):
    """How a call ended, as far as is known; the worst is assumed until then."""

    outcome: Outcome = Outcome.INTERNAL_ERROR
    status: int | None = None
    code: str | None = "internal_error"
    tail: Sequence[Item] = ()  # what waits for the row


class Exchange:
    """All calls in flight, each made by the task of its request."""

    def __init__(
        self,
        upstream: Upstream,
        ledger: Ledger,
        estimates: Estimates,
        standings: HealthTracker,
        clock: Clock,
        limits: ExchangeLimits,
        rules: AdmissionPolicy,
    ) -> None:
        self._upstream = upstream
        self._ledger = ledger
        self._estimates = estimates
        self._standings = standings
        self._clock = clock
        self._limits = limits
        self._rules = rules
        self._running: set[asyncio.Task[None]] = set()
        self._draining = 0

    def start(
        self, call: Call, route: ModelRoute, client: ResponseChannel, on_disconnect: Callable[[], None]
    ) -> Coroutine[None, None, None]:
        """Note in the journal that the call begins, and return its exchange, to be awaited.

        `on_disconnect` is called once, if the client leaves before its answer is over; the exchange may then go on.

        Raises:
            LedgerUnavailable: the call could not be billed; nothing was sent.
            ModelNotPriced: no price is known for a call of this kind, and the settings refuse such calls.
        """
        if self._rules.refuse_unpriced and not is_priced(route.tariff, call.kind):
            raise ModelNotPriced(f"No price is known for the model {call.model!r}.", param="model")
        if self._ledger.is_degraded and self._rules.refuse_without_database:
            raise LedgerUnavailable("The ledger's database does not answer; try again later.")
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
        """Let what is in flight end within `grace_s`; cut and bill the rest."""
        if self._running:
            await asyncio.wait(self._running, timeout=max(grace_s, 0.0))
        for _ in range(2):  # the second time an estimate is given up, or a client that takes nothing
            for task in self._running:
                task.cancel()
            if self._running:
                await asyncio.wait(self._running, timeout=CUT_OFF_S)
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
            if relay.is_gone:  # nobody was asked, and nobody is to be
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
        except Exception:  # a fault of ours; the call is billed all the same
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
            if billed and self._rules.fsync:
                billed = await self._flush_row(call)
            if not billed:
                _respond_failed(InternalError("The call could not be billed."), relay, ending)
            await relay.finish(ending.tail)
        except asyncio.CancelledError:  # the broker ends, and this client takes nothing; its call is billed
            log.info("exchange: a client is cut off", extra={"request_id": call.request_id})
        finally:
            self._running.discard(task)
            if not isinstance(call.body, bytes):
                await call.body.close()

    async def _relay_response(
        self, call: Call, provider: Provider, reply: UpstreamResponse, meter: Meter, relay: Relay, ending: _CallOutcome
    ) -> None:
        """Pass an answer on, but for its tail; note how it ended."""
        kind = reply.headers.get("content-type", "").lower()
        if not 200 <= reply.status < 300 or reply.status == 204:
            self._refused(provider, reply, await _read_error_body(reply), ending)
            return
        meter.on_response()
        reply.check_coding()
        passage: EventStream | None = None
        if kind.startswith(EVENTS) or (
            call.stream and kind.partition(";")[0] in UNDECLARED_TYPES and call.kind in FINISHING
        ):
            passage = await self._stream(call, provider, reply, meter, relay, ending)
        elif call.kind is CallKind.TTS and not kind.startswith("application/json"):
            await self._binary(reply, relay, ending)
        else:
            body = await reply.read_all(self._limits.max_answer_bytes)
            report = meter.on_body(body)
            may_be_text = call.kind is CallKind.STT and not kind.startswith("application/json")
            if not report.is_object and not may_be_text and not await self._estimates.run(is_answer, call.kind, body):
                raise ProviderBadAnswer("The provider's answer is not readable.")
            if report.is_error:  # whatever the status says
                self._refused(provider, reply, body, ending)
                return
            ending.tail = [response_head(reply.status, reply.headers, str(len(body))), body]
        if passage is not None and passage.is_error:
            self._failed(provider, reply, ending, is_our_key=passage.is_our_key)
        else:
            ending.outcome, ending.code = Outcome.OK, None
            self._standings.record_success(provider.name, reply.status, reply.key_number)

    async def _stream(
        self, call: Call, provider: Provider, reply: UpstreamResponse, meter: Meter, relay: Relay, ending: _CallOutcome
    ) -> EventStream:
        """Pass a stream on, but for its last event; return what is known of it."""
        passage = EventStream(call, provider.api_keys, meter)
        ending.tail = passage.tail
        meter.streamed = True
        told = reply.headers.get("content-type", "").lower().startswith(EVENTS)
        await relay.send(response_head(reply.status, reply.headers if told else {"content-type": EVENTS}))
        held = b""

        def pass_on(piece: bytes) -> bool:
            nonlocal held
            held = passage.feed(piece)
            if held and relay.send_now(held):
                held = b""
            return not held and not passage.tail

        try:
            async with asyncio.timeout(None) as patience:
                while await reply.stream_to(pass_on):
                    if held:
                        await relay.send(held)
                    if passage.tail:
                        if passage.is_enough:
                            break
                        if patience.when() is None:
                            patience.reschedule(asyncio.get_running_loop().time() + AFTER_LAST_S)
        except (TimeoutError, ProviderError):
            if not passage.tail:
                raise  # else what is missing is nobody's
        passage.end()
        return passage

    async def _binary(self, reply: UpstreamResponse, relay: Relay, ending: _CallOutcome) -> None:
        """Pass audio on as it arrives, its last chunk kept back."""
        is_encoded = "content-encoding" in reply.headers  # then its length is not the one that is passed on
        length = None if is_encoded else reply.headers.get("content-length")
        await relay.send(response_head(reply.status, reply.headers, length))
        last = b""
        while piece := await reply.read():
            if last:
                await relay.send(last)
            last = piece
        ending.tail = [last]

    def _refused(self, provider: Provider, reply: UpstreamResponse, body: bytes, ending: _CallOutcome) -> None:
        """Tell the client of a provider's error, in a way that is safe; note whose fault it was."""
        ending.tail = provider_error_response(reply.status, reply.headers, body, provider.api_keys)
        ending.status = next(item.status for item in ending.tail if isinstance(item, ResponseHead))
        self._failed(provider, reply, ending, is_our_key=is_about_our_key(reply.status, body))

    def _failed(self, provider: Provider, reply: UpstreamResponse, ending: _CallOutcome, *, is_our_key: bool) -> None:
        """Note that an answer is an error: its status says so, or its body."""
        status = reply.status
        ending.outcome, ending.code = Outcome.PROVIDER_ERROR, f"provider_{status}"
        if is_our_key:
            if status not in OUR_STATUSES:  # then it does not tell
                ending.code = ProviderCredentials.code
            self._standings.key_refused(provider.name, ending.code, reply.key_number)
        elif status < 300:
            self._standings.record_failure(provider.name, ending.code)
        else:
            self._standings.record_success(provider.name, status, reply.key_number)

    def _note_provider_failure(self, call: Call, error: ProviderError, relay: Relay, ending: _CallOutcome) -> None:
        """Note that no answer came, or not all of it: by the provider's fault, or because the upload broke off."""
        failed = None if isinstance(call.body, bytes) else call.body.failure
        if failed is None:
            ending.outcome, ending.code = Outcome.PROVIDER_ERROR, error.code
            self._standings.record_failure(call.provider, error.code, error.detail)
        else:
            ending.outcome, ending.code = Outcome.CLIENT_DISCONNECTED, failed.code or failed.type
        _respond_failed(failed or error, relay, ending)

    async def _estimate(self, meter: Meter) -> Usage | None:
        """Return an estimate; None where it takes too long or is cut off."""
        try:
            async with asyncio.timeout(ESTIMATE_WITHIN_S):
                return await self._estimates.usage(meter)
        except (TimeoutError, asyncio.CancelledError):
            return None
        except Exception:  # nothing may keep a row from being written
            log.exception("exchange: no estimate", extra={"request_id": meter.call.request_id})
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
    """What bounds the time for which a provider is read on for a client that has left."""

    __slots__ = ("_end", "_meter", "_on_disconnect", "_task", "_watch")

    def __init__(
        self,
        end: Callable[[Meter, "asyncio.Task[None]"], Coroutine[None, None, None]],
        meter: Meter,
        task: "asyncio.Task[None]",
        on_disconnect: Callable[[], None],
    ) -> None:
        """Prepare to let `end` cancel the call's task once the client has left; `on_disconnect` is called first."""
        self._end = end
        self._meter = meter
        self._task = task
        self._on_disconnect = on_disconnect
        self._watch: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Start to count, because the client has left."""
        self._on_disconnect()
        self._watch = asyncio.create_task(self._end(self._meter, self._task))

    def has_ended(self) -> bool:
        """Return whether the task was cancelled by this and by nothing else."""
        watch = self._watch
        return watch is not None and watch.done() and not watch.cancelled() and self._task.uncancel() == 0

    def stop(self) -> None:
        """Count no longer."""
        if self._watch is not None:
            self._watch.cancel()


async def _read_error_body(reply: UpstreamResponse) -> bytes:
    """Return what can be had of an error's body; its status says enough where it is long, or breaks off."""
    body = bytearray()
    with contextlib.suppress(ProviderError):
        while len(body) <= MAX_ERROR_BYTES and (piece := await reply.read()):
            body += piece
    return bytes(body)


def _respond_failed(error: BrokerError, relay: Relay, ending: _CallOutcome) -> None:
    """Tell the client that its answer is none, in the way that what it has seen so far allows."""
    if not relay.has_begun:
        ending.status, ending.tail = error.status, error_response(error)
    elif relay.is_events:
        ending.tail = [error_event(error)]
    else:
        ending.tail = [ABORT]

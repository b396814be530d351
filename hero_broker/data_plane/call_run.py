"""Runs one call: sends it to a target, relays the response, settles it.

The request's task reads the provider, feeds the client and bills. A disconnect of the client does not cancel it, and it
offers exactly one row, however the run ends. The tail of the response waits for that row.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field

from hero_broker.core.calls import Attempt, Outcome, Verdict
from hero_broker.core.errors import (
    BrokerError,
    BudgetExceeded,
    InternalError,
    Interrupted,
    JournalFull,
    ProviderBadAnswer,
    ProviderCredentials,
    ProviderError,
)
from hero_broker.core.records import AttemptResult, Settled
from hero_broker.core.usage import Usage
from hero_broker.data_plane.client_call import ClientCall
from hero_broker.data_plane.cost_headers import cost_headers, with_cost
from hero_broker.data_plane.event_stream import EventStream
from hero_broker.data_plane.growth import growth_of
from hero_broker.data_plane.observers import Observer, notify
from hero_broker.data_plane.relay import ABORT, Item, Relay, ResponseHead
from hero_broker.data_plane.responses import (
    MAX_ERROR_BODY_BYTES,
    OUR_STATUSES,
    error_response,
    is_about_our_key,
    provider_error_as_sent,
    provider_error_response,
    response_head,
)
from hero_broker.edge.errors import error_shape
from hero_broker.edge.response_channel import ResponseChannel
from hero_broker.kinds.kind import EVENT_STREAM, Framing
from hero_broker.ledger.ledger import Ledger
from hero_broker.limits.admission import Slot
from hero_broker.metering.estimates import Estimates
from hero_broker.metering.meter import Meter
from hero_broker.metering.recent_outputs import RecentOutputs
from hero_broker.providers.routes import Route
from hero_broker.providers.upstream.client import Upstream
from hero_broker.providers.upstream.response import UpstreamResponse

AFTER_LAST_S = 1.0  # how long to read on after the last event, for late usage or the end of the response
MAX_ERROR_BYTES = 64 * 1024  # read of a provider's error body
ESTIMATE_TIMEOUT_S = 3.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ExchangeLimits:
    """Bounds on a response's size and pauses, and on draining."""

    max_answer_bytes: int
    max_long_event_bytes: int  # of one event of a stream, if its kind has long ones
    idle_s: float
    drain: bool
    drain_max_s: float
    drain_max_tokens: int
    drain_max_calls: int


@dataclass(frozen=True, slots=True)
class Services:
    """What all runs use."""

    upstream: Upstream
    ledger: Ledger
    estimates: Estimates
    limits: ExchangeLimits
    observers: tuple[Observer, ...]
    fsync: bool  # the tail waits until the row is on the disk
    outputs: RecentOutputs | None = None  # if a limit holds what calls use on average


@dataclass(slots=True)
class InFlight:
    """The runs that have not ended."""

    tasks: "dict[asyncio.Task[None], CallRun]" = field(default_factory=dict)
    draining: int = 0  # calls whose provider is still read although their client has left


class CallRun:
    """One call, from its note in the journal to its row."""

    __slots__ = (
        "_attempts",
        "_call",
        "_calls",
        "_client",
        "_code",
        "_drain",
        "_events",
        "_meter",
        "_outcome",
        "_provider",
        "_relay",
        "_reply",
        "_route",
        "_services",
        "_status",
        "_tail",
        "_task",
        "slot",
    )

    def __init__(
        self,
        services: Services,
        calls: InFlight,
        call: ClientCall,
        route: Route,
        meter: Meter,
        client: ResponseChannel,
        slot: Slot,
    ) -> None:
        """Prepare to run; the meter has the first attempt, which is noted in the journal."""
        self._services = services
        self._calls = calls
        self._call = call
        self._route = route
        self._meter = meter
        self._client = client
        self.slot = slot
        self._provider = route.targets[0].provider  # of the current attempt
        self._attempts: list[AttemptResult] = []  # those that have ended
        self._reply: UpstreamResponse | None = None
        # How the call ends, as far as is known; a fault of the broker until more is known.
        self._outcome = Outcome.INTERNAL_ERROR
        self._status: int | None = None
        self._code: str | None = "internal_error"
        self._drain: _Drain | None = None  # once the client has left
        self._events: EventStream | None = None  # of a response that is one
        self._tail: Sequence[Item] = ()  # the part of the response that waits for the row

    @property
    def _attempt(self) -> Attempt:
        return self._meter.call

    async def run(self) -> None:
        """Run the call to its row, and the response to its end."""
        task: asyncio.Task[None] = asyncio.current_task()  # type: ignore[assignment]  # it is awaited in a task
        self._calls.tasks[task] = self
        self._task = task
        relay = self._relay = Relay(self._client, self._services.limits.idle_s, self._client_left)
        meter, request_id = self._meter, self._attempt.request_id
        try:
            if relay.is_gone:  # no provider was called, and none will be
                self._end(Outcome.CLIENT_DISCONNECTED, "client_disconnected")
            else:
                reply = self._reply = await self._send()
                self._status = reply.status
                meter.provider_key = self._provider.key_fingerprints[reply.key_number]
                await self._relay_response(reply)
        except ProviderError as error:
            meter.answered |= error.may_charge
            self._end_failed(error)
        except BudgetExceeded as error:  # it cuts the stream
            self._end(Outcome.INTERRUPTED, error.code)
            self._respond_failed(error)
        except asyncio.CancelledError:
            if self._drain is not None and self._drain.has_ended():
                self._end(Outcome.CLIENT_DISCONNECTED, "client_disconnected")
            else:
                self._end(Outcome.INTERRUPTED, "interrupted")
                self._respond_failed(Interrupted("The broker is stopping."))
        except Exception:  # a fault of the broker; the call is billed all the same
            log.exception("exchange: a call failed", extra={"request_id": request_id})
            self._respond_failed(InternalError("The broker failed."))
        finally:
            if self._drain is not None:
                self._drain.stop()
            if self._reply is not None:
                self._reply.close()
            estimate = await self._estimate() if meter.needs_estimate else None
            if relay.is_gone and self._outcome is Outcome.OK:
                self._end(Outcome.CLIENT_DISCONNECTED, "client_disconnected")
            due = meter.close(self._outcome, self._status, self._code, estimate)
            billed = self._services.ledger.offer(due)
            held = self.slot.held
            if held is not None:
                self.slot.settle(due.row)
            notify(self._services.observers, Settled(due.row, self._attempts))
        try:
            if billed and self._services.fsync:
                billed = await self._flush_row()
            if not billed:
                self._respond_failed(InternalError("The call could not be billed."))
            elif self._call.context.wants_cost:
                is_events = relay.has_begun and relay.is_events
                self._tail = with_cost(self._tail, cost_headers(due.row, held), is_events=is_events)
            if not relay.finish_at_once(self._tail):
                await relay.finish(self._tail)
        except asyncio.CancelledError:  # the broker stops, and this client reads nothing; its call is billed
            log.info("exchange: stopped while a client was not reading", extra={"request_id": request_id})
        finally:
            del self._calls.tasks[task]
            # These refer to this run. A reference cycle for each call would cost a third more, in garbage collections.
            del self._drain, self._relay, self._task
            if self._call.upload is not None:
                await self._call.upload.close()

    async def _send(self) -> UpstreamResponse:
        """Send the call to its targets in their order, until one can be connected to; return the response."""
        upstream, number = self._services.upstream, 0
        while True:
            attempt = self._attempt
            try:
                return await upstream.post(
                    self._provider,
                    attempt.url,
                    attempt.headers,
                    attempt.body,
                    self._meter,
                    is_stream=attempt.stream,
                )
            except ProviderError as error:
                number += 1
                if not self._may_try_another(number):
                    raise
                self._fall_back(error, number)

    def _may_try_another(self, number: int) -> bool:
        """Return whether nothing was sent, somebody waits, and there is another target; a form has only one."""
        meter = self._meter
        has_target = self._call.upload is None and number < len(self._route.targets)
        return has_target and not meter.is_sent and meter.may_retry

    def _fall_back(self, error: ProviderError, number: int) -> None:
        """Note the next attempt in the journal.

        Raises:
            ProviderError: the journal has no room for the note; this is the error of the last attempt.
        """
        target = self._route.targets[number]
        failed = AttemptResult(self._provider.name, Verdict.FAILED, None, error.code, 0, error.detail)
        attempt = self._call.attempt(self._route, target)
        try:
            self._meter.next_attempt(attempt, target.tariff, error.code, self._services.ledger.begin)
        except JournalFull:
            raise error from None
        self._attempts.append(failed)
        self._provider = target.provider

    async def _relay_response(self, reply: UpstreamResponse) -> None:
        """Relay a response, except its tail; record how it ended."""
        content_type = reply.headers.get("content-type", "").lower()
        if not 200 <= reply.status < 300 or reply.status == 204:
            max_bytes = MAX_ERROR_BODY_BYTES if self._meter.kind.errors_as_sent else MAX_ERROR_BYTES
            self._respond_provider_error(reply, await read_error_body(reply, max_bytes))
            return
        meter = self._meter
        meter.on_response()
        reply.check_coding()
        events: EventStream | None = None
        framing = meter.kind.framing(content_type, is_stream=self._attempt.stream)
        if framing is Framing.EVENTS:
            events = await self._relay_stream(reply)
        elif framing is Framing.CHUNKS:
            await self._relay_chunks(reply)
        else:
            body = reply.take_whole(self._services.limits.max_answer_bytes)
            if body is None:
                body = await self._read_whole(reply)
            report = meter.on_body(body)
            if not (report.is_object or meter.kind.may_be_text(content_type) or await self._is_answer(body)):
                raise ProviderBadAnswer("The provider's response cannot be parsed.")
            if report.is_error:  # whatever the status says
                self._respond_provider_error(reply, body)
                return
            head = response_head(reply.status, reply.headers, str(len(body)), meter.kind.response_headers)
            self._tail = [head, body]
        if events is not None and events.is_error:
            self._end_with_error(reply, is_our_key=events.is_our_key, code=events.error_code)
        else:
            self._outcome, self._code = Outcome.OK, None
            self._attempts.append(
                AttemptResult(self._provider.name, Verdict.ANSWERED, reply.status, None, reply.key_number)
            )

    async def _read_whole(self, reply: UpstreamResponse) -> bytes:
        pieces: list[bytes] = []
        try:
            return await reply.read_all(self._services.limits.max_answer_bytes, pieces)
        except BaseException:  # whatever ends the call, it is billed by what came
            self._meter.on_cut_body(b"".join(pieces))
            raise

    async def _is_answer(self, body: bytes) -> bool:
        return await self._services.estimates.run(self._meter.kind.is_answer, body)

    async def _relay_stream(self, reply: UpstreamResponse) -> EventStream:
        """Relay an event stream, except its last event; return it."""
        relay = self._relay
        max_bytes = self._services.limits.max_long_event_bytes
        events = self._events = EventStream(self._attempt, self._provider.api_keys, self._meter, max_bytes)
        self._tail = events.tail
        self._meter.streamed = True
        is_declared = reply.headers.get("content-type", "").lower().startswith(EVENT_STREAM)
        headers = reply.headers if is_declared else {"content-type": EVENT_STREAM}
        await relay.send(response_head(reply.status, headers, rules=self._meter.kind.response_headers))
        unsent = b""

        def forward(chunk: bytes) -> bool:
            nonlocal unsent
            unsent = events.feed(chunk)
            if unsent and relay.send_now(unsent):
                unsent = b""
            return not (unsent or events.pieces or events.tail)

        take = self._growing(forward, events) if self.slot.held else forward
        try:
            async with asyncio.timeout(None) as deadline:
                while await reply.stream_to(take):
                    if unsent:
                        await relay.send(unsent)
                    if events.pieces:
                        for piece in filter(None, events.take_pieces()):
                            await relay.send(piece)
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

    def _growing(self, forward: Callable[[bytes], bool], events: EventStream) -> Callable[[bytes], bool]:
        """Let what the call holds of budgets grow with its stream; return `forward`, or one whose stream may be cut."""
        growth = growth_of(self.slot.held or [], self._call, self._route, self._services.outputs)
        if growth is None or (grows_at := growth.grows_at) is None:
            return forward
        self._meter.call_at(grows_at, growth.reached)
        if not growth.may_cut:
            return forward

        def forward_unless_cut(chunk: bytes) -> bool:
            if growth.refused is not None and not events.tail:
                raise growth.refused
            goes_on = forward(chunk)
            if growth.refused is not None and goes_on:  # what has come has left, and it was not the last event
                raise growth.refused
            return goes_on

        return forward_unless_cut

    async def _relay_chunks(self, reply: UpstreamResponse) -> None:
        """Relay a body as it arrives, except its last chunk."""
        is_encoded = "content-encoding" in reply.headers  # then its length differs from the length that the client gets
        length = None if is_encoded else reply.headers.get("content-length")
        rules = self._meter.kind.response_headers
        await self._relay.send(response_head(reply.status, reply.headers, length, rules))
        latest = b""
        while chunk := await reply.read():
            if latest:
                await self._relay.send(latest)
            latest = chunk
        self._tail = [latest]

    def _end(self, outcome: Outcome, code: str | None) -> None:
        self._outcome, self._code = outcome, code

    def _record(self, verdict: Verdict, reply: UpstreamResponse) -> None:
        """Record the result of the current attempt, for the observers."""
        name = self._provider.name
        self._attempts.append(AttemptResult(name, verdict, reply.status, self._code, reply.key_number))

    def _respond_provider_error(self, reply: UpstreamResponse, body: bytes) -> None:
        """Respond with a provider's error, redacted; record whose fault it was."""
        status, headers, keys, kind = reply.status, reply.headers, self._provider.api_keys, self._meter.kind
        if kind.errors_as_sent:
            self._tail = provider_error_as_sent(status, headers, body, keys, kind, self._attempt.request_id)
        else:
            self._tail = provider_error_response(status, headers, body, keys)
        self._status = next(item.status for item in self._tail if isinstance(item, ResponseHead))
        self._end_with_error(reply, is_our_key=is_about_our_key(reply.status, body))

    def _end_with_error(self, reply: UpstreamResponse, *, is_our_key: bool, code: str | None = None) -> None:
        """Record that a response is an error, by its status or its body; `code` is that of an error event."""
        status = reply.status
        self._end(Outcome.PROVIDER_ERROR, code or f"provider_{status}")
        if is_our_key:
            if status not in OUR_STATUSES:  # then the status does not show that the key is at fault
                self._code = ProviderCredentials.code
            self._record(Verdict.KEY_REFUSED, reply)
        else:
            self._record(Verdict.FAILED if status < 300 else Verdict.ANSWERED, reply)

    def _end_failed(self, error: ProviderError) -> None:
        """Record that the response is missing or incomplete: the provider failed, or the client's upload did."""
        upload = self._call.upload
        upload_failure = None if upload is None else upload.failure
        if upload_failure is None:
            self._end(Outcome.PROVIDER_ERROR, error.code)
            name = self._provider.name
            self._attempts.append(AttemptResult(name, Verdict.FAILED, None, error.code, 0, error.detail))
        else:
            self._end(Outcome.CLIENT_DISCONNECTED, upload_failure.code or upload_failure.type)
        self._respond_failed(upload_failure or error)

    def _respond_failed(self, error: BrokerError) -> None:
        """Report a failed call: as an error response, as an error event, or by aborting, as what was sent allows."""
        shape, request_id = error_shape(self._meter.kind.wire), self._attempt.request_id
        if not self._relay.has_begun:
            self._status, self._tail = error.status, error_response(error, shape=shape, request_id=request_id)
        elif self._relay.is_events:
            latest = b"" if self._events is None else self._events.latest_data
            self._tail = [shape.event(error, request_id, latest)]
        else:
            self._tail = [ABORT]

    async def _estimate(self) -> Usage | None:
        """Return an estimate; None if it fails, takes too long or is cancelled."""
        try:
            async with asyncio.timeout(ESTIMATE_TIMEOUT_S):
                return await self._services.estimates.usage(self._meter)
        except (TimeoutError, asyncio.CancelledError):
            return None
        except Exception:  # nothing may prevent the row
            log.exception("exchange: an estimate failed", extra={"request_id": self._attempt.request_id})
            return None

    async def _flush_row(self) -> bool:
        try:
            await asyncio.to_thread(self._services.ledger.sync)
        except OSError as error:
            request_id = self._attempt.request_id
            log.error("journal: cannot flush a row: %s", error.strerror, extra={"request_id": request_id})
            return False
        return True

    def _client_left(self) -> None:
        """Go on for a while without the client."""
        self._drain = _Drain(self._end_drain, self._meter, self._task, self.slot.release)
        self._drain.begin()

    async def _end_drain(self, task: "asyncio.Task[None]") -> None:
        limits, calls = self._services.limits, self._calls
        if self._meter.is_sent and limits.drain and calls.draining < limits.drain_max_calls:
            calls.draining += 1
            try:
                async with asyncio.timeout(limits.drain_max_s):
                    await self._meter.wait_for_tokens(limits.drain_max_tokens)
            except TimeoutError:
                request_id = self._attempt.request_id
                log.info("exchange: a drain reached drain_max_s", extra={"request_id": request_id})
            finally:
                calls.draining -= 1
        task.cancel()


class _Drain:
    """Bounds how long a provider is read after the client has disconnected."""

    __slots__ = ("_end", "_meter", "_release_slot", "_task", "_watch")

    def __init__(
        self,
        end: Callable[["asyncio.Task[None]"], Coroutine[None, None, None]],
        meter: Meter,
        task: "asyncio.Task[None]",
        release_slot: Callable[[], None],
    ) -> None:
        """Prepare to call `release_slot` when the client disconnects, then `end`, which cancels the call's task."""
        self._end = end
        self._meter = meter
        self._task = task
        self._release_slot = release_slot
        self._watch: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Start the drain, because the client has disconnected."""
        self._release_slot()
        self._meter.may_retry = False
        self._watch = asyncio.create_task(self._end(self._task))

    def has_ended(self) -> bool:
        """Return whether only this drain cancelled the task."""
        watch = self._watch
        return watch is not None and watch.done() and not watch.cancelled() and self._task.uncancel() == 0

    def stop(self) -> None:
        """Stop the drain."""
        if self._watch is not None:
            self._watch.cancel()


async def read_error_body(reply: UpstreamResponse, max_bytes: int) -> bytes:
    """Return the body of an error, at most `max_bytes` and a chunk of it; less if the provider breaks off."""
    body = bytearray()
    with contextlib.suppress(ProviderError):
        while len(body) <= max_bytes and (chunk := await reply.read()):
            body += chunk
    return bytes(body)

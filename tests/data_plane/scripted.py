"""Plays one call in process: a provider and a client that follow a script, a ledger that can fail, time that jumps.

Nothing here opens a socket. The response is a real `UpstreamResponse` over a `StreamReader` that the script feeds.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import Enum
from typing import Any, TypeVar, cast

import aiohttp
from aiohttp.base_protocol import BaseProtocol
from starlette.types import Message

from hero_broker.core.calls import Caller
from hero_broker.core.errors import BrokerError, JournalFull
from hero_broker.core.records import RequestLog, Settled
from hero_broker.data_plane.call_run import ExchangeLimits
from hero_broker.data_plane.checks import Check
from hero_broker.data_plane.client_call import ClientCall, RequestContext
from hero_broker.data_plane.exchange import Exchange
from hero_broker.edge.response_channel import Headers, ResponseChannel
from hero_broker.kinds.json_body import read_json
from hero_broker.kinds.kind import Request
from hero_broker.kinds.registry import KINDS
from hero_broker.kinds.stt import STT
from hero_broker.ledger.ledger import Ledger
from hero_broker.ledger.rows import CallStarted, PendingRow
from hero_broker.limits.admission import Slot
from hero_broker.limits.counters import NOTHING
from hero_broker.metering.estimates import Estimates
from hero_broker.metering.meter import TariffsByName
from hero_broker.pricing.price import Price
from hero_broker.pricing.tariff import Tariff
from hero_broker.providers.provider import Provider
from hero_broker.providers.routes import Route, Target
from hero_broker.providers.upstream.client import Sending, Upstream
from hero_broker.providers.upstream.connection import Connection
from hero_broker.providers.upstream.response import UpstreamResponse

Result = TypeVar("Result")

WITHIN_S = 20  # of real time, for any condition
KEY = "sk-operators-own"
PRICE = Price(
    input_per_million=Decimal("0.59"),
    output_per_million=Decimal("0.79"),
    characters_per_million=Decimal(15),
    audio_per_minute=Decimal("0.006"),
)
LIMITS = ExchangeLimits(
    max_answer_bytes=1000,
    max_long_event_bytes=100_000,
    idle_s=30,
    drain=True,
    drain_max_s=60,
    drain_max_tokens=1000,
    drain_max_calls=10,
)


class Step(Enum):
    """A point of a script at which the provider waits for the test."""

    PAUSE = 0


PAUSE = Step.PAUSE


@dataclass(frozen=True)
class Unsent:
    """The call is not written to a connection; only a first step can be this."""


@dataclass(frozen=True)
class Head:
    """The head of a response."""

    status: int = 200
    content_type: str = "application/json"
    more: tuple[tuple[str, str], ...] = ()


# An exception before the head is raised by `post`, after the head by the body.
Script = Sequence[Unsent | Head | bytes | Step | Exception]


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop whose time a test can advance."""

    skipped_s = 0.0

    def time(self) -> float:
        """Return the time, with all that was skipped."""
        return super().time() + self.skipped_s


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine on a loop whose time can jump."""
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(main)


def skip(seconds: float) -> None:
    """Let time pass at once: every timer that is due by then fires."""
    cast(JumpingLoop, asyncio.get_running_loop()).skipped_s += seconds


async def until(condition: Callable[[], object]) -> None:
    """Let the others run until a condition holds."""
    ends_at = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < ends_at, "the condition did not come to hold"
        await asyncio.sleep(0)


async def turns(count: int = 20) -> None:
    """Let the others run for some iterations of the loop."""
    for _ in range(count):
        await asyncio.sleep(0)


class ScriptedClock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> int:
        return 1_700_000_000 + int(self.seconds)

    def monotonic(self) -> float:
        return self.seconds


class Line:
    """The part of a provider's connection that a response uses."""

    on_body_change: Callable[[], None] | None = None


class ScriptedProvider:
    """Answers the calls of one exchange, each by the next script."""

    def __init__(self, order: list[str], *scripts: Script) -> None:
        self._order = order
        self._scripts = list(scripts)
        self._go_on = asyncio.Event()
        self._playing: list[asyncio.Task[None]] = []
        self.is_paused = False
        self.urls: list[str] = []
        self.providers: list[Provider] = []
        self.bodies: list[object] = []
        self.headers: list[Sequence[tuple[str, str]]] = []  # that were forwarded
        self.closed: list[bool] = []  # for each response that was closed, whether it was read to its end

    async def paused(self) -> None:
        """Wait until the script is at a pause, and the broker has read all that came before."""
        await until(lambda: self.is_paused)
        await turns()

    def go_on(self) -> None:
        """Go on after a pause, and do not wait at the next ones."""
        self._go_on.set()

    async def post(
        self,
        provider: Provider,
        url: str,
        headers: Sequence[tuple[str, str]],
        body: object,
        sending: Sending,
        *,
        is_stream: bool,
    ) -> UpstreamResponse:
        """Play a script up to its head."""
        self.urls.append(url)
        self.providers.append(provider)
        self.bodies.append(body)
        self.headers.append(headers)
        steps = iter(self._scripts.pop(0))
        sends = True
        for step in steps:
            if isinstance(step, Unsent):
                sends = False
                continue
            sending.is_sent = sending.is_sent or sends
            if isinstance(step, Exception):
                try:
                    raise step
                finally:
                    del step, steps  # else its traceback, which has this frame, would keep the call in a cycle
            if step is PAUSE:
                await self._pause()
            elif isinstance(step, Head):
                return self._respond(step, list(steps))
        raise AssertionError("the script has no head")

    async def send_empty(
        self, provider: Provider, method: str, url: str, headers: Sequence[tuple[str, str]], sending: Sending
    ) -> UpstreamResponse:
        """Play a script up to its head, for a request without a body."""
        return await self.post(provider, url, headers, method, sending, is_stream=False)

    def _respond(self, head: Head, steps: Script) -> UpstreamResponse:
        line = Line()
        protocol = BaseProtocol(asyncio.get_running_loop())
        protocol.connection_made(asyncio.Transport())  # a reader waits only on a connection
        content = aiohttp.StreamReader(protocol, 2**16)
        self._playing.append(asyncio.create_task(self._play(steps, content, line)))
        headers = {"content-type": head.content_type, **dict(head.more)}
        reply = UpstreamResponse(head.status, headers, content, cast(Connection, line), self._close)
        reply.key_number = 1
        return reply

    def _close(self, is_complete: bool) -> None:
        self._order.append("closed")
        self.closed.append(is_complete)
        for task in self._playing:
            task.cancel()

    async def _play(self, steps: Script, content: aiohttp.StreamReader, line: Line) -> None:
        for step in steps:
            if isinstance(step, bytes):
                content.feed_data(step)
            elif isinstance(step, Exception):
                content.set_exception(step)
            else:
                await self._pause()
                continue
            if line.on_body_change is not None:
                line.on_body_change()
            if isinstance(step, Exception):
                return
            await turns(5)
        content.feed_eof()
        if line.on_body_change is not None:
            line.on_body_change()

    async def _pause(self) -> None:
        self.is_paused = True
        await self._go_on.wait()


class ScriptedClient:
    """A client's connection: it can leave, take nothing, take no piece at once, or fail."""

    def __init__(
        self,
        order: list[str],
        *,
        has_left: bool = False,
        is_slow: bool = False,
        blocks_at: int | None = None,
        fails_at: int | None = None,
    ) -> None:
        """`is_slow`: nothing can be sent without waiting. The message `blocks_at` is never taken; `fails_at` fails."""
        self._order = order
        self._has_left = has_left
        self._is_slow = is_slow
        self._blocks_at = blocks_at
        self._fails_at = fails_at
        self.messages = 0  # that it was to take
        self._on_disconnect: Callable[[], None] = lambda: None
        self.status: int | None = None
        self.headers: dict[bytes, bytes] = {}
        self.pieces: list[bytes] = []
        self.is_complete = False
        self.is_aborted = False
        self.whole_body: bytes | None = None

    @property
    def body(self) -> bytes:
        """What it got of the body."""
        return b"".join(self.pieces)

    def leave(self) -> None:
        """Disconnect."""
        self._on_disconnect()

    def forget(self) -> None:
        """Forget what is to be called, and the response, as a connection does for its next request."""
        self._on_disconnect = lambda: None
        self.status, self.is_complete = None, False

    def channel(self) -> ResponseChannel:
        """Return the broker's way to it."""
        return ResponseChannel(self, self.send, "id")

    async def send(self, message: Message) -> None:
        """Take a message."""
        number, self.messages = self.messages, self.messages + 1
        if number == self._blocks_at:
            await asyncio.Event().wait()
        if number == self._fails_at:
            raise ConnectionResetError
        if message["type"] == "http.response.start":
            self._take_head(message["status"], message["headers"])
        else:
            self._take(message["body"], is_last=not message["more_body"])

    def on_disconnect(self, call: Callable[[], None]) -> None:
        """Keep what is to be called."""
        self._on_disconnect = call
        if self._has_left:
            call()

    def take_body(self) -> bytes | None:
        """Return the request's body, if it came with the head."""
        body, self.whole_body = self.whole_body, None
        return body

    def send_response(self, status: int, headers: Headers, body: bytes) -> bool:
        """Take a whole response, unless slow."""
        if not self._is_slow:
            self._take_head(status, headers)
            self._take(body, is_last=True)
        return not self._is_slow

    def send_chunk(self, piece: bytes) -> bool:
        """Take a piece, unless slow."""
        if not self._is_slow:
            self._take(piece, is_last=False)
        return not self._is_slow

    def abort_response(self) -> None:
        """Note that the connection was closed."""
        self._order.append("aborted")
        self.is_aborted = True

    def _take_head(self, status: int, headers: Headers) -> None:
        assert self.status is None
        self._order.append("head")
        self.status, self.headers = status, dict(headers)

    def _take(self, piece: bytes, *, is_last: bool) -> None:
        assert not self.is_complete
        self._order.append("end" if is_last else "piece")
        self.pieces.append(piece)
        self.is_complete = is_last


class ScriptedLedger:
    """A ledger that keeps its rows in a list; it can have no room, fail to write, fail to flush."""

    is_degraded = False

    def __init__(
        self, order: list[str], *, room: int = 10, can_write: bool = True, flush_failure: Exception | None = None
    ) -> None:
        self._order = order
        self._room = room
        self._can_write = can_write
        self._flush_failure = flush_failure
        self.notes: list[CallStarted] = []
        self.rows: list[RequestLog] = []
        self.due: list[PendingRow] = []  # those of `rows`

    def begin(self, note: CallStarted) -> None:
        """Note a call."""
        if len(self.notes) == self._room:
            raise JournalFull
        self._order.append("note")
        self.notes.append(note)

    def offer(self, due: PendingRow) -> bool:
        """Keep a row."""
        self._order.append("row")
        self.rows.append(due.row)
        self.due.append(due)
        return self._can_write

    def sync(self) -> None:
        """Flush."""
        self._order.append("flush")
        if self._flush_failure is not None:
            raise self._flush_failure


class Watching:
    """An observer that keeps what it sees, and then fails."""

    def __init__(self, order: list[str]) -> None:
        self._order = order
        self.seen: list[Settled] = []

    def settled(self, end: Settled) -> None:
        """Keep the call."""
        self._order.append("observed")
        self.seen.append(end)
        raise ZeroDivisionError


class WordCounter:
    """Counts words; it can fail or never end."""

    def __init__(self, failure: Exception | None = None, *, blocks: bool = False) -> None:
        self._failure = failure
        self._blocks = blocks
        self.has_begun = False

    async def count(self, _model: str, texts: tuple[str, ...]) -> int:
        """Count."""
        self.has_begun = True
        if self._blocks:
            await asyncio.Event().wait()
        if self._failure is not None:
            raise self._failure
        return sum(len(text.split()) for text in texts)


class Form:
    """An upload of two seconds of audio; it can fail."""

    content_type = "multipart/form-data; boundary=b"
    length: int | None = None

    def __init__(self, failure: BrokerError | None = None) -> None:
        self.failure = failure
        self.closed = 0

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the form."""
        yield b"form"

    def audio_ms(self, is_over: Callable[[], bool]) -> int:
        """Return the duration."""
        return 2000

    async def close(self) -> None:
        """Count how often it is closed."""
        self.closed += 1


def route(targets: int = 1, *, is_priced: bool = True) -> Route:
    """Return a route of the model "m" with one or two targets."""
    tariff = Tariff.fixed(PRICE, is_override=True) if is_priced else None
    first = Route.to("m", None, Provider("p", "http://p/v1", (KEY,), stream_usage=True), "m", tariff=tariff)
    second = Target(Provider("q", "http://q/v1", (KEY,), stream_usage=True), "m2", tariff)
    return replace(first, targets=(*first.targets, second)) if targets == 2 else first


CONTEXT = RequestContext("id", Caller("192.0.2.1", None), 1_700_000_000)


def json_call(kind: str, body: bytes) -> ClientCall:
    """Return a call whose body is JSON."""
    found = KINDS[kind]
    return ClientCall(CONTEXT, found, next(iter(found.paths)), found.read(read_json(body)))


def form_call(form: Form) -> ClientCall:
    """Return an upload."""
    return ClientCall(CONTEXT, STT, "/v1/audio/transcriptions", Request("m", 32_000), form)


@dataclass
class Play:
    """One call with all that it meets; make it inside `run`."""

    scripts: Sequence[Script]
    call: ClientCall
    limits: ExchangeLimits = LIMITS
    targets: int = 1
    is_priced: bool = True
    fsync: bool = False
    checks: Sequence[Check] = ()
    counter: WordCounter = field(default_factory=WordCounter)
    client_is: dict[str, Any] = field(default_factory=dict)
    ledger_is: dict[str, Any] = field(default_factory=dict)
    way: Route | None = None  # instead of that to one or two targets
    listed: TariffsByName | None = None
    configured: TariffsByName | None = None

    def __post_init__(self) -> None:
        self.order: list[str] = []
        self.clock = ScriptedClock()
        self.provider = ScriptedProvider(self.order, *self.scripts)
        self.client = ScriptedClient(self.order, **self.client_is)
        self.ledger = ScriptedLedger(self.order, **self.ledger_is)
        self.watching = Watching(self.order)
        self.released = 0
        self.estimates = Estimates(self.counter)
        self.exchange = Exchange(
            cast(Upstream, self.provider),
            cast(Ledger, self.ledger),
            self.estimates,
            self.clock,
            self.limits,
            checks=self.checks,
            observers=[self.watching],
            listed=self.listed,
            configured=self.configured,
            fsync=self.fsync,
        )

    def begin(self) -> "asyncio.Task[None]":
        """Start the call in a task of its own."""

        play = self

        class CountedSlot(Slot):
            """A slot that counts how often it is released."""

            def release(self) -> None:
                play.released += 1
                super().release()

        way = self.way or route(self.targets, is_priced=self.is_priced)
        started = self.exchange.start(self.call, way, self.client.channel(), CountedSlot(NOTHING))
        self.task = asyncio.ensure_future(started)
        return self.task

    async def end(self) -> RequestLog:
        """Wait for the end of the call; check what holds for every call, and return its row."""
        await until(self.task.done)
        self.estimates.close()
        assert self.task.exception() is None
        (row,) = self.ledger.rows
        assert [end.row for end in self.watching.seen] == [row]
        assert self.exchange.in_flight == 0
        assert self.order.index("note") < self.order.index("row") < self.order.index("observed")
        is_cut_early = bool({"fails_at", "blocks_at"} & set(self.client_is))  # such a client is cut off as it fails
        for tail in {"end"} & set(self.order) if is_cut_early else {"end", "aborted"} & set(self.order):
            assert self.order.index("row") < self.order.index(tail)
        assert len(self.provider.closed) == self.order.count("closed") <= 1
        if self.client.status is not None:
            assert self.client.is_complete != self.client.is_aborted
            assert self.client.status == row.http_status or self.ledger_is != {}
        return row

    async def whole(self) -> RequestLog:
        """Make the call from beginning to end."""
        self.begin()
        return await self.end()

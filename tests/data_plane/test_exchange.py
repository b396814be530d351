"""Every way in which a call can end, before and after something of it was sent, and what its row then says."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import cast

import aiohttp
import pytest
from aiohttp.base_protocol import BaseProtocol
from starlette.types import Message

from hero_broker.core.calls import Caller, Verdict
from hero_broker.core.clock import SystemClock
from hero_broker.core.errors import (
    BrokerError,
    ClientLeft,
    JournalFull,
    ProviderBadAnswer,
    ProviderRefused,
    ProviderReset,
    ProviderTimeout,
    TooManyCalls,
)
from hero_broker.core.records import RequestLog, Settled
from hero_broker.data_plane.call_run import CallRun, ExchangeLimits
from hero_broker.data_plane.client_call import ClientCall, RequestContext
from hero_broker.data_plane.exchange import Exchange
from hero_broker.data_plane.observers import Observer
from hero_broker.edge.response_channel import Headers, ResponseChannel
from hero_broker.kinds.chat import CHAT
from hero_broker.kinds.json_body import read_json
from hero_broker.kinds.kind import Request
from hero_broker.kinds.stt import STT
from hero_broker.ledger.ledger import Ledger
from hero_broker.ledger.rows import CallStarted, PendingRow
from hero_broker.metering.billing_row import interrupted_row
from hero_broker.metering.estimates import Estimates
from hero_broker.pricing.price import Price
from hero_broker.pricing.tariff import Tariff
from hero_broker.providers.provider import Provider
from hero_broker.providers.routes import Route, Target
from hero_broker.providers.upstream.client import Sending, Upstream
from hero_broker.providers.upstream.response import UpstreamResponse

WITHIN_S = 20
TARIFF = Tariff.fixed(
    Price(input_per_million=Decimal("0.59"), output_per_million=Decimal("0.79"), audio_per_minute=Decimal("0.006")),
    is_override=True,
)
LIMITS = ExchangeLimits(
    max_answer_bytes=1000, idle_s=10, drain=True, drain_max_s=0.05, drain_max_tokens=1000, drain_max_calls=10
)
ROUTE = Route.to("m", None, Provider("p", "http://p/v1", (), stream_usage=True), "m", tariff=TARIFF)


class Form:
    """An upload, of which what has come lasts for two seconds."""

    content_type = "multipart/form-data"
    length: int | None = None

    def __init__(self, failure: BrokerError | None) -> None:
        self.failure = failure

    async def chunks(self) -> AsyncIterator[bytes]:
        yield b""

    def audio_ms(self, is_over: Callable[[], bool]) -> int:
        return 2000

    async def close(self) -> None:
        return


class Connection:
    """A client's connection that ends when a test says so."""

    def __init__(self, *, has_left: bool) -> None:
        self._has_left = has_left
        self.leave: Callable[[], None] = lambda: None

    def on_disconnect(self, call: Callable[[], None]) -> None:
        self.leave = call
        if self._has_left:
            call()

    def take_body(self) -> bytes | None:
        return None

    def send_response(self, _status: int, _headers: Headers, _body: bytes) -> bool:
        return True

    def send_chunk(self, _piece: bytes) -> bool:
        return True

    def abort_response(self) -> None:
        return


class Books:
    """A ledger that keeps its rows in a list."""

    is_degraded = False

    def __init__(self, room: int = 10) -> None:
        self.notes: list[CallStarted] = []
        self.rows: list[RequestLog] = []
        self._room = room

    def begin(self, note: CallStarted) -> None:
        if len(self.notes) == self._room:
            raise JournalFull
        self.notes.append(note)

    def offer(self, due: PendingRow) -> bool:
        self.rows.append(due.row)
        return True


class Counter:
    """Counts words."""

    async def count(self, _model: str, texts: tuple[str, ...]) -> int:
        return sum(len(text.split()) for text in texts)


class ScriptedUpstream:
    """Sends a call or does not, then fails or waits for ever."""

    def __init__(self, failure: Exception | None, *, sends: bool) -> None:
        self._failure = failure
        self._sends = sends
        self.has_come = asyncio.Event()

    async def post(
        self,
        _provider: Provider,
        _url: str,
        _passed: Sequence[tuple[str, str]],
        _body: object,
        sending: Sending,
        *,
        is_stream: bool,
    ) -> UpstreamResponse:
        sending.is_sent = self._sends
        self.has_come.set()
        if self._failure is None:
            await asyncio.Event().wait()
        raise self._failure or AssertionError(is_stream)


@dataclass(frozen=True)
class End:
    """How a call ends, and what its row says if something of it was sent."""

    outcome: str
    usage: str  # once something was sent; before that "none"
    leaves: bool = False  # the client
    has_left: bool = False  # before the call begins
    stops: bool = False  # the broker
    limits: ExchangeLimits = LIMITS
    failure: Exception | None = None
    form_failure: BrokerError | None = None


ENDS = {
    "client leaves, drained": End("client_disconnected", "estimated", leaves=True),
    "client leaves, not drained": End(
        "client_disconnected", "estimated", leaves=True, limits=replace(LIMITS, drain=False)
    ),
    "client leaves, beyond drain_max_calls": End(
        "client_disconnected", "estimated", leaves=True, limits=replace(LIMITS, drain_max_calls=0)
    ),
    "broker stops": End("interrupted", "estimated", stops=True),
    "provider closes": End("provider_error", "none", failure=ProviderReset("")),
    "provider is silent": End("provider_error", "estimated", failure=ProviderTimeout("")),
    "provider is not readable": End("provider_error", "estimated", failure=ProviderBadAnswer("")),
    "fault of ours": End("internal_error", "estimated", failure=ZeroDivisionError()),
    "form breaks off": End("client_disconnected", "estimated", failure=ProviderReset(""), form_failure=ClientLeft("")),
}


async def settled(end: End, call: ClientCall, *, sends: bool) -> tuple[RequestLog, ScriptedUpstream]:
    """Make a call that ends so; return its row."""
    failure = end.failure
    if isinstance(failure, ProviderTimeout | ProviderBadAnswer):
        failure = type(failure)("", may_charge=sends)
    upstream, books, clock = ScriptedUpstream(failure, sends=sends), Books(), SystemClock()
    exchange = Exchange(cast(Upstream, upstream), cast(Ledger, books), Estimates(Counter()), clock, end.limits)
    connection = Connection(has_left=end.has_left)

    async def send(_message: Message) -> None:
        return

    making = asyncio.ensure_future(exchange.start(call, ROUTE, ResponseChannel(connection, send, "id"), lambda: None))
    if not end.has_left:
        await upstream.has_come.wait()
    if end.leaves:
        connection.leave()
    if end.stops:
        await exchange.close(0)
    await asyncio.wait_for(making, WITHIN_S)
    assert len(books.notes) == 1
    (row,) = books.rows
    return row, upstream


def call_of(end: End, kind: str) -> ClientCall:
    context = RequestContext("id", Caller("192.0.2.1", None), 1_700_000_000)
    if kind == "stt":
        return ClientCall(context, STT, "/v1/audio/transcriptions", Request("m", 32_000), Form(end.form_failure))
    request = CHAT.read(read_json(b'{"model":"m","messages":[{"role":"user","content":"one two three"}]}'))
    return ClientCall(context, CHAT, "/v1/chat/completions", request)


@pytest.mark.parametrize("sends", [False, True], ids=["nothing was sent", "it was sent"])
@pytest.mark.parametrize("kind", ["chat", "stt"])
@pytest.mark.parametrize("name", ENDS)
def test_call_of_which_nothing_was_sent_costs_nothing_however_it_ends(name: str, kind: str, sends: bool) -> None:
    end = ENDS[name]
    if end.form_failure is not None and kind == "chat":
        end = replace(end, form_failure=None, outcome="provider_error", usage="none")

    row, _ = asyncio.run(settled(end, call_of(end, kind), sends=sends))

    assert (row.outcome, row.usage_source) == (end.outcome, end.usage if sends else "none")
    assert row.cost_nano_usd is not None
    assert (row.cost_nano_usd > 0) == (row.usage_source == "estimated")
    units = (row.input_tokens, row.output_tokens, row.audio_ms)
    assert (units == (None, None, None)) == (row.usage_source == "none")


@pytest.mark.parametrize("kind", ["chat", "stt"])
def test_provider_is_not_asked_for_a_client_that_has_left_before_its_call_begins(kind: str) -> None:
    end = End("client_disconnected", "none", has_left=True)

    row, upstream = asyncio.run(settled(end, call_of(end, kind), sends=True))

    assert not upstream.has_come.is_set()
    assert (row.outcome, row.usage_source, row.cost_nano_usd) == ("client_disconnected", "none", 0)


SECOND = Target(Provider("q", "http://q/v1", (), stream_usage=True), "m2", TARIFF)
TWO = replace(ROUTE, targets=(*ROUTE.targets, SECOND))


class TwoProviders(ScriptedUpstream):
    """A provider that cannot be connected to, and one that answers or fails too."""

    def __init__(self, answer: Exception | bytes, *, sends: bool = False) -> None:
        super().__init__(None, sends=sends)
        self._answer = answer
        self.urls: list[str] = []
        self.bodies: list[object] = []

    async def post(
        self,
        _provider: Provider,
        url: str,
        _passed: Sequence[tuple[str, str]],
        body: object,
        sending: Sending,
        *,
        is_stream: bool,
    ) -> UpstreamResponse:
        self.urls.append(url)
        self.bodies.append(body)
        if len(self.urls) == 1:
            sending.is_sent = self._sends
            raise ProviderRefused("", detail="Connection refused")
        sending.is_sent = True
        if isinstance(self._answer, Exception):
            raise self._answer
        content = aiohttp.StreamReader(BaseProtocol(asyncio.get_running_loop()), 2**16)
        content.feed_data(self._answer)
        content.feed_eof()
        return UpstreamResponse(200, {"content-type": "application/json"}, content, None, lambda _is_complete: None)


class Watching:
    """An observer that keeps what it sees, and then fails."""

    def __init__(self) -> None:
        self.seen: list[Settled] = []

    def settled(self, end: Settled) -> None:
        self.seen.append(end)
        raise ZeroDivisionError


def run_two(upstream: TwoProviders, books: Books, call: ClientCall, *observers: Observer) -> RequestLog:
    async def run() -> None:
        exchange = Exchange(
            cast(Upstream, upstream),
            cast(Ledger, books),
            Estimates(Counter()),
            SystemClock(),
            LIMITS,
            observers=observers,
        )

        async def send(_message: Message) -> None:
            return

        channel = ResponseChannel(Connection(has_left=False), send, "id")
        await asyncio.wait_for(exchange.start(call, TWO, channel, lambda: None), WITHIN_S)

    asyncio.run(run())
    (row,) = books.rows
    return row


ANSWER = b'{"choices":[{"message":{"content":"yes"}}],"usage":{"prompt_tokens":40,"completion_tokens":3}}'


def runs_in_memory() -> int:
    return sum(isinstance(one, CallRun) for one in gc.get_objects())


@pytest.mark.slow
def test_call_that_is_over_is_not_left_to_the_garbage_collector() -> None:
    async def run() -> int:
        books = Books()
        upstream = TwoProviders(ANSWER)
        exchange = Exchange(cast(Upstream, upstream), cast(Ledger, books), Estimates(Counter()), SystemClock(), LIMITS)

        async def send(_message: Message) -> None:
            return

        async def call() -> None:
            connection = Connection(has_left=False)
            channel = ResponseChannel(connection, send, "id")
            await exchange.start(call_of(ENDS["provider closes"], "chat"), TWO, channel, lambda: None)
            connection.leave = lambda: None  # as a connection forgets whom to notify

        await call()
        upstream.urls.clear()
        gc.collect()
        before = runs_in_memory()  # the failures of other tests keep theirs
        gc.disable()
        try:
            await call()
            return runs_in_memory() - before
        finally:
            gc.enable()

    assert asyncio.run(run()) == 0


def test_second_target_is_tried_if_the_first_cannot_be_connected_to() -> None:
    upstream, books, watching = TwoProviders(ANSWER), Books(), Watching()
    row = run_two(upstream, books, call_of(ENDS["provider closes"], "chat"), watching)

    assert upstream.urls == ["http://p/v1/chat/completions", "http://q/v1/chat/completions"]
    assert [b'"m2"' in cast(bytes, body) for body in upstream.bodies] == [False, True]
    assert (row.outcome, row.attempts, row.provider, row.upstream_model) == ("ok", 2, "q", "m2")
    assert (row.model, row.cost_nano_usd) == ("m", 25_970)
    assert [(note.provider, note.attempts) for note in books.notes] == [("p", 1), ("q", 2)]
    assert [(one.provider, one.verdict, one.code) for one in watching.seen[0].attempts] == [
        ("p", Verdict.FAILED, "provider_refused"),
        ("q", Verdict.ANSWERED, None),
    ]
    assert interrupted_row(books.notes[-1]).row.attempts == 2


def test_second_target_is_not_tried_once_something_was_sent_or_for_a_form() -> None:
    for sends, kind in ((True, "chat"), (False, "stt")):
        upstream, books = TwoProviders(ANSWER, sends=sends), Books()
        row = run_two(upstream, books, call_of(ENDS["provider closes"], kind))

        assert len(upstream.urls) == 1
        assert (row.outcome, row.error_code, row.attempts) == ("provider_error", "provider_refused", 1)


def test_call_whose_targets_all_fail_has_one_row_of_the_last() -> None:
    upstream, books = TwoProviders(ProviderTimeout("", may_charge=True)), Books()
    row = run_two(upstream, books, call_of(ENDS["provider closes"], "chat"))

    assert (row.outcome, row.error_code, row.attempts, row.provider) == ("provider_error", "provider_timeout", 2, "q")
    assert row.usage_source == "estimated"


def test_journal_without_room_for_another_attempt_ends_the_call_with_the_first_ones_error() -> None:
    upstream, books = TwoProviders(ANSWER), Books(room=1)
    row = run_two(upstream, books, call_of(ENDS["provider closes"], "chat"))

    assert (len(upstream.urls), row.outcome, row.error_code) == (1, "provider_error", "provider_refused")
    assert (row.provider, row.attempts) == ("p", 1)


def test_check_refuses_before_anything_is_noted() -> None:
    def refuse(_call: ClientCall, _route: Route) -> None:
        raise TooManyCalls("later", retry_after_s=7)

    books = Books()
    exchange = Exchange(
        cast(Upstream, None), cast(Ledger, books), Estimates(Counter()), SystemClock(), LIMITS, checks=[refuse]
    )

    with pytest.raises(TooManyCalls) as refused:
        _ = exchange.start(call_of(ENDS["provider closes"], "chat"), ROUTE, cast(ResponseChannel, None), lambda: None)
    assert (refused.value.status, refused.value.retry_after_s, books.notes) == (429, 7, [])

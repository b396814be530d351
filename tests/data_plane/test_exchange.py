"""Every way in which a call can end, before and after something of it was sent, and what its row then says."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import cast

import pytest
from starlette.types import Message

from hero_broker.core.calls import Call, Caller
from hero_broker.core.clock import SystemClock
from hero_broker.core.errors import BrokerError, ClientLeft, ProviderBadAnswer, ProviderReset, ProviderTimeout
from hero_broker.core.records import RequestLog
from hero_broker.data_plane.exchange import AdmissionPolicy, Exchange, ExchangeLimits
from hero_broker.edge.response_channel import Headers, ResponseChannel
from hero_broker.ledger.ledger import Ledger
from hero_broker.ledger.rows import CallStarted, PendingRow
from hero_broker.metering.estimates import Estimates
from hero_broker.pricing.price import Price
from hero_broker.pricing.tariff import Tariff
from hero_broker.providers.health import HealthTracker
from hero_broker.providers.provider import Provider
from hero_broker.providers.routes import ModelRoute
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
RULES = AdmissionPolicy(fsync=False, refuse_without_database=False, refuse_unpriced=False)


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

    def __init__(self) -> None:
        self.notes: list[CallStarted] = []
        self.rows: list[RequestLog] = []

    def begin(self, note: CallStarted) -> None:
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


async def settled(end: End, call: Call, *, sends: bool) -> tuple[RequestLog, ScriptedUpstream]:
    """Make a call that ends so; return its row."""
    failure = end.failure
    if isinstance(failure, ProviderTimeout | ProviderBadAnswer):
        failure = type(failure)("", may_charge=sends)
    upstream, books, clock = ScriptedUpstream(failure, sends=sends), Books(), SystemClock()
    exchange = Exchange(
        cast(Upstream, upstream),
        cast(Ledger, books),
        Estimates(Counter()),
        HealthTracker(clock),
        clock,
        end.limits,
        RULES,
    )
    connection = Connection(has_left=end.has_left)

    async def send(_message: Message) -> None:
        return

    provider = Provider("p", "http://p/v1", (), stream_usage=True)
    route = ModelRoute(call.model, call.kind, provider, call.upstream_model, tariff=TARIFF)
    making = asyncio.ensure_future(
        exchange.start(call, route, ResponseChannel(connection, send, call.request_id), lambda: None)
    )
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


def call_of(end: End, kind: str) -> Call:
    body = b'{"messages":[{"role":"user","content":"one two three"}]}'
    return Call(
        request_id="id",
        kind=kind,
        model="m",
        provider="p",
        upstream_model="m",
        url="http://p/v1",
        body=Form(end.form_failure) if kind == "stt" else body,
        caller=Caller("192.0.2.1", None),
        started_at=1_700_000_000,
        input_bytes=32_000,
    )


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

"""The deadline of a connection, by what it waits for."""

import asyncio
import gc
import json
import math
import re
import sys
import weakref
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from hero_broker.core.errors import NotFound
from hero_broker.server.http1.protocol import (
    DROP_S,
    LINGER_S,
    MAX_PIPELINED,
    MAX_SHORT_BODY_BYTES,
    ClientConnection,
    make_protocol,
)
from hero_broker.server.http1.tracker import ConnectionLimits, ConnectionTracker
from tests.raw_clients import request
from tests.smuggling import H2C, IN_CHUNKS, SHAPES, WEBSOCKET

LIMITS = ConnectionLimits(max_open=10, header_timeout_s=1_000, keep_alive_s=100, idle_timeout_s=10_000)
GET = request("/", method="GET")
UNREAD_BYTES = MAX_SHORT_BODY_BYTES + 1  # of a body that is not awaited in the connection
UNREAD = request("/", b"", headers={"content-length": str(UNREAD_BYTES)})


class Transport(asyncio.Transport):
    """A client that has taken all but `unsent_bytes` bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.unsent_bytes = 0
        self.became: list[str] = []
        self.written = b""

    def write(self, data: Any) -> None:
        self.written += data

    def write_eof(self) -> None:
        pass

    def is_closing(self) -> bool:
        return bool(self.became)

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return self.unsent_bytes

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self if name == "socket" else default

    def setsockopt(self, *_option: object) -> None:
        self.became.append("lingering is off")

    def getpeername(self) -> None: ...

    def getsockname(self) -> None: ...

    @property
    def family(self) -> int:
        return 0

    def close(self) -> None:
        self.became.append("closed")

    def abort(self) -> None:
        self.became.append("aborted")


async def refuse(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer without reading the body."""
    await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


async def wait(_scope: Scope, receive: Receive, _send: Send) -> None:
    """Answer nothing until the client has left."""
    while (await receive())["type"] != "http.disconnect":
        continue


class Everything(frozenset[bytes]):
    """Has every target."""

    def __contains__(self, _target: object) -> bool:
        return True


class Short:
    """Lets every request wait for its short body."""

    targets = Everything()

    def may_wait(self, _client: object, _target: bytes, _headers: object) -> bool:
        return True


short_requests: Short | None = None


@pytest.fixture(autouse=True, params=[None, Short()], ids=["plain", "short"])
def _short_requests(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each test both ways: short bodies awaited by the application, or in the connection."""
    monkeypatch.setattr(sys.modules[__name__], "short_requests", request.param)


def connection(application: Any, transport: Transport) -> ClientConnection:
    config = uvicorn.Config(application, proxy_headers=False, access_log=False, log_level="critical")
    made = make_protocol(ConnectionTracker(LIMITS), short_requests)(
        config=config, server_state=ServerState(), app_state={}
    )
    made.connection_made(transport)
    return made


async def left_after(data: list[bytes], application: Any = refuse, unsent_bytes: int = 0) -> float:
    """Return the seconds that a connection has after it has received these, one after another."""
    transport = Transport()
    found = connection(application, transport)
    transport.unsent_bytes = unsent_bytes
    for piece in data:
        found.data_received(piece)
        await asyncio.sleep(0)
    left = found.deadline - asyncio.get_running_loop().time()
    found.connection_lost(None)
    await asyncio.sleep(0)
    return left if left == math.inf else round(left)


@pytest.mark.parametrize(
    ("data", "seconds"),
    [
        pytest.param([], 1_000, id="nothing"),
        pytest.param([b"GET"], 1_000, id="half a head"),
        pytest.param([GET], 100, id="a request"),
        pytest.param([GET, b"G"], 1_000, id="a request, and the first byte of another"),
        pytest.param([GET + b"G"], 1_000, id="the same at once"),
        pytest.param([GET, b"\r\n"], 1_000, id="a request, and a line without anything"),
        pytest.param([UNREAD, b"a"], LINGER_S, id="an unread body's begin"),
        pytest.param([UNREAD, b"a" * UNREAD_BYTES], 100, id="an unread body"),
    ],
)
def test_client_has_so_long(data: list[bytes], seconds: float) -> None:
    assert asyncio.run(left_after(data)) == seconds


def test_request_that_is_being_answered_has_no_deadline_of_the_connections() -> None:
    assert asyncio.run(left_after([GET], wait)) == math.inf


def test_client_that_has_not_taken_its_answer_is_not_yet_asked_for_the_next_request() -> None:
    assert asyncio.run(left_after([GET], unsent_bytes=5)) == 10_000


def test_client_that_takes_something_has_as_long_again_and_is_reset_when_it_does_not() -> None:
    async def run() -> tuple[list[str], list[str]]:
        transport = Transport()
        found = connection(refuse, transport)
        transport.unsent_bytes = 5
        found.data_received(GET)
        await asyncio.sleep(0)
        transport.unsent_bytes = 4
        found.on_deadline(found.deadline)
        then = list(transport.became)
        found.on_deadline(found.deadline)
        return then, transport.became

    assert asyncio.run(run()) == ([], ["lingering is off", "aborted"])


def test_body_that_nobody_reads_cannot_go_on() -> None:
    async def run() -> float:
        found = connection(refuse, Transport())
        found.data_received(UNREAD)
        await asyncio.sleep(0)
        now = found.loop.time()
        found._body_deadline = now + 1  # as it is after a while
        found.data_received(b"a")
        return found.deadline - now

    assert asyncio.run(run()) == 1 < LINGER_S < DROP_S


@pytest.mark.parametrize(
    ("data", "application"),
    [
        pytest.param([], refuse, id="no request"),
        pytest.param([GET], refuse, id="a request"),
        pytest.param([GET + GET + b"G"], refuse, id="pipelined requests, and a begin"),
        pytest.param([GET + GET], wait, id="a request that is being answered, and one behind it"),
        pytest.param([request("/", method="GET", headers={"connection": "close"})], refuse, id="the last request"),
        pytest.param([GET.replace(b"HTTP/1.1", b"HTTP/1.0")], wait, id="HTTP/1.0"),
        pytest.param([b"no request\r\n\r\n"], refuse, id="a refused one"),
    ],
)
def test_lost_connection_is_freed_without_the_garbage_collector(data: list[bytes], application: Any) -> None:
    async def run() -> bool:
        opened = connection(application, Transport())
        freed = weakref.ref(opened)
        for piece in data:
            opened.data_received(piece)
            await settled(3)
        opened.connection_lost(None)
        del opened
        await settled(3)
        return freed() is None

    gc.disable()
    try:
        assert asyncio.run(run())
    finally:
        gc.enable()


def received(data: list[bytes]) -> list[tuple[str, str, str, bytes, list[str]]]:
    """Return the requests that an application gets from these pieces: how, for what, with which body and headers."""
    found: list[tuple[str, str, str, bytes, list[str]]] = []

    async def read(scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            assert message["type"] == "http.request"
            body, more = body + message["body"], message["more_body"]
        names = [name.decode() for name, _ in scope["headers"]]
        found.append((scope["method"], scope["path"], scope["http_version"], body, names))
        await refuse(scope, receive, send)

    async def run() -> None:
        opened = connection(read, Transport())
        for piece in data:
            opened.data_received(piece)
            await settled()
        await settled(MAX_PIPELINED)
        opened.connection_lost(None)

    asyncio.run(run())
    return found


async def settled(requests: int = 1) -> None:
    """Let the application go as far as it can."""
    for _ in range(10 * requests):
        await asyncio.sleep(0)


SECOND = b"GET /second HTTP/1.1\r\nhost: a\r\n\r\n"
OFFERS = {
    "length": (H2C + b"content-length: %d\r\n" % len(SECOND), SECOND),
    "chunks": (H2C + IN_CHUNKS, b"%x\r\n%s\r\n0\r\n\r\n" % (len(SECOND), SECOND)),
    "chunks and an offer in a trailer": (H2C + IN_CHUNKS, b"%x\r\n%s\r\n0\r\n%s\r\n" % (len(SECOND), SECOND, H2C)),
}


@pytest.mark.parametrize(("headers", "body"), OFFERS.values(), ids=OFFERS)
def test_offer_of_another_protocol_is_not_read_however_the_request_comes(headers: bytes, body: bytes) -> None:
    first = b"POST /first HTTP/1.1\r\nhost: a\r\n" + headers + b"\r\n" + body
    sent = first + first + GET
    names = ["host", "connection", "http2-settings", OFFERS["length"][0] == headers and "content-length"]
    names[-1] = names[-1] or "transfer-encoding"
    expected = [("POST", "/first", "1.1", SECOND, names)] * 2 + [("GET", "/", "1.1", b"")]

    for at in range(0, len(sent), 3):
        found = received([sent[:at], sent[at:]] if at else [bytes([one]) for one in sent])

        assert [*found[:2], found[2][:4]] == expected, at


@pytest.mark.parametrize(
    ("line", "headers"),
    [
        pytest.param(b"GET /first HTTP/1.1", H2C, id="no body"),
        pytest.param(b"GET /first HTTP/1.1", H2C + b"content-length: 0\r\n", id="empty body"),
        pytest.param(b"GET /first HTTP/1.1", b"connection: upgrade\r\n", id="no Upgrade"),
        pytest.param(b"GET /first HTTP/1.1", b"upgrade: websocket\r\n", id="Upgrade that Connection does not name"),
        pytest.param(b"GET /first HTTP/1.1", b"connection: upgrade\r\nupgrade: a\r\nUPGRADE: b/1\r\n", id="two lines"),
        pytest.param(b"GET /first HTTP/1.1", b"connection: upgrade\r\nupgrade: \r\n", id="empty"),
        pytest.param(b"GET /first HTTP/1.1", H2C.replace(b"Upgrade,", b"close, Upgrade,"), id="last request"),
    ],
)
def test_request_after_an_offer_begins_where_it_would_without(line: bytes, headers: bytes) -> None:
    sent = line + b"\r\nhost: a\r\n" + headers + b"\r\n"

    for at in range(0, len(sent), 5):
        found = received([sent[:at], sent[at:] + SECOND] if at else [bytes([one]) for one in sent + SECOND])

        assert [one[:4] for one in found] == [
            ("GET", "/first", "1.1", b""),
            *([] if b"close" in headers else [("GET", "/second", "1.1", b"")]),
        ], at


def test_http_1_0_has_no_upgrade() -> None:
    sent = b"POST /first HTTP/1.0\r\n" + WEBSOCKET + b"content-length: 2\r\n\r\n{}"

    assert [one[:4] for one in received([sent])] == [("POST", "/first", "1.0", b"{}")]


def test_offers_count_among_the_requests_that_may_wait() -> None:
    sent = b"GET /first HTTP/1.1\r\nhost: a\r\n" + H2C + b"\r\n"

    assert len(received([sent * 300])) == MAX_PIPELINED + 1


# Second requests, each broken in its head in one known way, and the code of the error.
BROKEN = {
    "WebSocket": (b"GET / HTTP/1.1\r\nhost: a\r\n" + WEBSOCKET + b"\r\n", "upgrade_refused"),
    "too many headers": (b"GET / HTTP/1.1\r\nhost: a\r\n" + b"a: b\r\n" * 200 + b"\r\n", "head_too_large"),
    "long head": (b"GET / HTTP/1.1\r\nhost: a\r\na: " + b"b" * 70_000 + b"\r\n\r\n", "head_too_large"),
    "long target": (b"GET /" + b"b" * 70_000 + b" HTTP/1.1\r\nhost: a\r\n\r\n", "head_too_large"),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", "unreadable_request"),
    "two hosts": (b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", "unreadable_request"),
    "absolute target": (b"GET http://a/ HTTP/1.1\r\nhost: a\r\n\r\n", "unreadable_request"),
    "CONNECT": (b"CONNECT a:80 HTTP/1.1\r\nhost: a\r\n\r\n", "unreadable_request"),
    "gzip": (b"GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n", "unreadable_request"),
    "HTTP/1.2": (b"GET / HTTP/1.2\r\nhost: a\r\n\r\n", "unreadable_request"),
    "TLS": (SHAPES["TLS"], "unreadable_request"),
}
OFFER = b"GET /first HTTP/1.1\r\nhost: a\r\n" + H2C + b"\r\n"
PLAIN = b"GET /first HTTP/1.1\r\nhost: a\r\n\r\n"


async def fail(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer while another error is being handled."""
    try:
        raise NotFound("Not this one.")
    except NotFound:
        await refuse({}, _receive, send)


def written_after(pieces: list[bytes], application: Any = refuse) -> bytes:
    """Return all that a connection writes after it has received these pieces, one after another."""
    transport = Transport()

    async def run() -> None:
        opened = connection(application, transport)
        for piece in pieces:
            opened.data_received(piece)
            await settled()
        await settled(3)
        opened.connection_lost(None)
        await settled()

    asyncio.run(run())
    return re.sub(rb"x-request-id: [^\r]*", b"", transport.written)


@pytest.mark.parametrize("application", [refuse, fail], ids=["answered", "answered with an error"])
@pytest.mark.parametrize("cut", [lambda *parts: [b"".join(parts)], lambda *parts: parts], ids=["one packet", "two"])
@pytest.mark.parametrize(("second", "code"), BROKEN.values(), ids=BROKEN)
def test_error_in_a_head_behind_an_offer_keeps_its_cause(second: bytes, code: str, cut: Any, application: Any) -> None:
    for first in (PLAIN, OFFER, OFFER * 3, PLAIN * 2):
        written = written_after(cut(first, second), application)
        error = json.loads(written.rpartition(b"\r\n\r\n")[2])["error"]

        assert error["code"] == code
        assert "callback" not in error["message"]


@pytest.mark.parametrize("cut", [lambda *parts: [b"".join(parts)], lambda *parts: parts], ids=["one packet", "two"])
@pytest.mark.parametrize("second", SHAPES.values(), ids=SHAPES)
def test_what_is_broken_behind_an_offer_is_answered_as_behind_a_plain_request(second: bytes, cut: Any) -> None:
    written = written_after(cut(OFFER, second))

    assert written == written_after(cut(PLAIN, second))
    assert b"callback" not in written

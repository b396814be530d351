"""Requests with a short body begin when all of it has come, whether in one packet or in several."""

import asyncio
import math
from typing import cast

import pytest
import uvicorn
from starlette.types import Message, Receive, Scope, Send
from uvicorn.server import ServerState

from hero_broker.server.http1.protocol import (
    MAX_SHORT_BODY_BYTES,
    SHORT_BODY_S,
    ClientConnection,
    make_protocol,
)
from hero_broker.server.http1.tracker import ConnectionTracker
from tests.raw_clients import request
from tests.server.http1.test_protocol import LIMITS, Transport

TARGET = "/v1/chat/completions"
BODY = b'{"model":"m"}'
WHOLE = request(TARGET, BODY)
HEAD = WHOLE.removesuffix(BODY)
CHUNKED = b"transfer-encoding: chunked"


class Application:
    """Answers with what `take_body` gave it, or what it received."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []
        self.bodies: list[bytes] = []
        self.came_whole: list[bool] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        self.scopes.append(scope)
        connection: ClientConnection = scope["state"]["connection"]
        body = connection.take_body()
        self.came_whole.append(body is not None)
        if body is None:
            body = await self._read(receive)
        self.bodies.append(body)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})

    async def _read(self, receive: Receive) -> bytes:
        body = b""
        while True:
            message: Message = await receive()
            assert message["type"] == "http.request"
            body += bytes(message["body"])
            if not message["more_body"]:
                return body


class Rules:
    """Lets the requests of one target wait, unless it is told not to."""

    targets = frozenset({TARGET.encode()})

    def __init__(self) -> None:
        self.may = True
        self.asked = 0

    def may_wait(self, _client: object, target: bytes, headers: object) -> bool:
        """Return whether they may."""
        self.asked += 1
        assert target in self.targets
        assert (b"content-length", b"%d" % len(BODY)) in cast("list[tuple[bytes, bytes]]", headers)
        return self.may


class Client:
    """One connection to an application, without a socket."""

    def __init__(self, *, short: bool = True) -> None:
        self.application = Application()
        self.transport = Transport()
        config = uvicorn.Config(self.application, proxy_headers=False, access_log=False, log_level="critical")
        self.server, self.rules = ServerState(), Rules()
        self.connection = make_protocol(ConnectionTracker(LIMITS), self.rules if short else None)(
            config=config, server_state=self.server, app_state={}
        )
        self.connection.connection_made(self.transport)

    async def send(self, *pieces: bytes) -> None:
        """Send pieces, and let the application run after each."""
        for piece in pieces:
            self.connection.data_received(piece)
            for _ in range(5):
                await asyncio.sleep(0)

    async def left(self) -> None:
        """Leave, and let the application notice."""
        self.connection.connection_lost(None)
        await asyncio.gather(*self.server.tasks)


def cut(data: bytes, *sizes: int) -> list[bytes]:
    """Return pieces of these sizes, and the rest."""
    pieces = []
    for size in sizes:
        pieces.append(data[:size])
        data = data[size:]
    return [*pieces, data]


@pytest.mark.parametrize(
    "pieces",
    [
        [WHOLE],
        [HEAD, BODY],
        [HEAD, BODY[:3], BODY[3:]],
        cut(WHOLE, 5, 20),
        cut(WHOLE, len(HEAD) + 2),
        cut(WHOLE, *[1] * 60),
    ],
    ids=["one packet", "head and body", "body in two", "head in three", "head with a part", "single bytes"],
)
def test_short_request_begins_with_its_whole_body(pieces: list[bytes]) -> None:
    async def run() -> None:
        client = Client()
        await client.send(*pieces)
        assert client.application.bodies == [BODY]
        assert client.application.came_whole == [True]
        assert client.transport.written.endswith(BODY)
        assert client.connection.deadline < math.inf  # it waits for the next request
        await client.send(*pieces)
        assert client.application.bodies == [BODY, BODY]
        await client.left()

    asyncio.run(run())


def test_scope_is_that_of_any_other_request() -> None:
    async def run() -> None:
        scopes = []
        for short in (True, False):
            client = Client(short=short)
            await client.send(WHOLE)
            (scope,) = client.application.scopes
            assert scope["state"].pop("connection") is client.connection
            scopes.append(scope)
            await client.left()
        assert scopes[0] == scopes[1]

    asyncio.run(run())


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(request(TARGET + "?a=b", BODY), id="query"),
        pytest.param(request("/v1/chat%2Fcompletions", BODY), id="escape"),
        pytest.param(request(TARGET, BODY, method="PUT"), id="method"),
        pytest.param(request(TARGET, BODY, headers={"expect": "100-continue"}), id="expect"),
        pytest.param(request(TARGET, BODY, headers={"connection": "close"}), id="close"),
        pytest.param(WHOLE.replace(b"HTTP/1.1", b"HTTP/1.0"), id="HTTP/1.0"),
        pytest.param(request(TARGET, b""), id="no body"),
        pytest.param(request(TARGET, bytes(MAX_SHORT_BODY_BYTES + 1)), id="too long"),
        pytest.param(HEAD.replace(b"content-length: 13", CHUNKED) + b"d\r\n%s\r\n0\r\n\r\n" % BODY, id="chunks"),
    ],
)
def test_any_other_request_begins_at_its_head(data: bytes) -> None:
    async def run() -> None:
        client = Client()
        head, _, body = data.partition(b"\r\n\r\n")
        await client.send(head + b"\r\n\r\n")
        assert len(client.application.scopes) == 1
        await client.send(body)
        assert len(client.application.bodies) == 1
        await client.left()

    asyncio.run(run())


def test_body_that_pauses_is_awaited_by_the_application() -> None:
    async def run() -> None:
        client = Client()
        await client.send(HEAD, BODY[:3])
        assert client.application.scopes == []
        now = asyncio.get_running_loop().time()
        assert client.connection.deadline <= now + SHORT_BODY_S
        client.connection.on_deadline(now + SHORT_BODY_S)
        await client.send(BODY[3:5])
        assert client.application.came_whole == [False]
        assert client.connection.deadline == math.inf
        await client.send(BODY[5:])
        assert client.application.bodies == [BODY]
        assert client.transport.became == []
        await client.left()

    asyncio.run(run())


def test_request_is_judged_once() -> None:
    async def run() -> None:
        client = Client()
        await client.send(HEAD, *[BODY[at : at + 1] for at in range(len(BODY))])
        assert client.application.came_whole == [True]
        assert client.rules.asked == 1
        await client.left()

    asyncio.run(run())


def test_request_that_would_be_refused_does_not_wait() -> None:
    async def run() -> None:
        client = Client()
        client.rules.may = False
        await client.send(HEAD)
        assert client.application.came_whole == [False]
        await client.send(BODY)
        assert client.application.bodies == [BODY]
        await client.left()

    asyncio.run(run())


def test_request_whose_client_leaves_never_begins() -> None:
    async def run() -> None:
        client = Client()
        await client.send(HEAD, BODY[:3])
        await client.left()
        assert client.application.scopes == []

    asyncio.run(run())


def test_shutdown_answers_a_request_whose_head_has_come() -> None:
    async def run() -> None:
        client = Client()
        await client.send(HEAD, BODY[:3])
        client.connection.shutdown()
        await client.send(BODY[3:])
        assert client.application.bodies == [BODY]
        assert b"connection: close" in client.transport.written
        await client.left()

    asyncio.run(run())


def test_pipelined_requests_are_answered_in_order() -> None:
    async def run() -> None:
        client = Client()
        bodies = [b'{"n":%d}' % number for number in range(4)]
        await client.send(b"".join(request(TARGET, body) for body in bodies))
        assert client.application.bodies == bodies
        assert client.application.came_whole[0]
        answers = [client.transport.written.index(body) for body in bodies]
        assert answers == sorted(answers)
        await client.left()

    asyncio.run(run())


def test_application_that_receives_the_body_gets_it_once_and_then_waits() -> None:
    async def run() -> None:
        received: list[Message] = []

        async def application(_scope: Scope, receive: Receive, _send: Send) -> None:
            while not received or received[-1]["type"] == "http.request":
                received.append(await receive())

        client = Client()
        client.connection.app = application
        await client.send(WHOLE)
        assert received == [{"type": "http.request", "body": BODY, "more_body": False}]
        await client.left()
        assert received[1:] == [{"type": "http.disconnect"}]

    asyncio.run(run())

"""The deadline of a connection, by what it waits for."""

import asyncio
import math
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from hero_broker.connections.open_connections import Limits, OpenConnections
from hero_broker.connections.protocol import DROP_S, LINGER_S, ClientConnection, protocol_of
from tests.raw_clients import request

LIMITS = Limits(most=10, header_timeout_s=1_000, keep_alive_s=100, idle_timeout_s=10_000)
GET = request("/", method="GET")


class Transport(asyncio.Transport):
    """A client that has taken all but `unsent` bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.unsent = 0
        self.became: list[str] = []

    def write(self, data: Any) -> None:
        pass

    def write_eof(self) -> None:
        pass

    def is_closing(self) -> bool:
        return bool(self.became)

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return self.unsent

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


def connection(application: Any, transport: Transport) -> ClientConnection:
    config = uvicorn.Config(application, proxy_headers=False, access_log=False, log_level="critical")
    made = protocol_of(OpenConnections(LIMITS))(config=config, server_state=ServerState(), app_state={})
    made.connection_made(transport)
    return made


async def left_after(data: list[bytes], application: Any = refuse, unsent: int = 0) -> float:
    """Return the seconds that a connection has after it has received these, one after another."""
    transport = Transport()
    found = connection(application, transport)
    transport.unsent = unsent
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
        pytest.param([request("/", b"", headers={"content-length": "9"}), b"a"], LINGER_S, id="an unread body's begin"),
        pytest.param([request("/", b"", headers={"content-length": "9"}), b"a" * 9], 100, id="an unread body"),
    ],
)
def test_client_has_so_long(data: list[bytes], seconds: float) -> None:
    assert asyncio.run(left_after(data)) == seconds


def test_request_that_is_being_answered_has_no_deadline_of_the_connections() -> None:
    assert asyncio.run(left_after([GET], wait)) == math.inf


def test_client_that_has_not_taken_its_answer_is_not_yet_asked_for_the_next_request() -> None:
    assert asyncio.run(left_after([GET], unsent=5)) == 10_000


def test_client_that_takes_something_has_as_long_again_and_is_reset_when_it_does_not() -> None:
    async def run() -> tuple[list[str], list[str]]:
        transport = Transport()
        found = connection(refuse, transport)
        transport.unsent = 5
        found.data_received(GET)
        await asyncio.sleep(0)
        transport.unsent = 4
        found.overdue(found.deadline)
        then = list(transport.became)
        found.overdue(found.deadline)
        return then, transport.became

    assert asyncio.run(run()) == ([], ["lingering is off", "aborted"])


def test_body_that_nobody_reads_cannot_go_on() -> None:
    async def run() -> float:
        found = connection(refuse, Transport())
        found.data_received(request("/", b"", headers={"content-length": "9"}))
        await asyncio.sleep(0)
        now = found.loop.time()
        found._whole_by = now + 1  # as it is after a while
        found.data_received(b"a")
        return found.deadline - now

    assert asyncio.run(run()) == 1 < LINGER_S < DROP_S

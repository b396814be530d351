"""The parser of common responses reads what aiohttp's parser reads, and leaves to it what is rare."""

import asyncio
import gc
import math
import weakref
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, cast

import aiohttp
import pytest
from aiohttp.http_exceptions import HttpProcessingError
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hero_broker.providers.upstream.connection import MAX_INTERIM_RESPONSES, Connection, Deadline
from hero_broker.providers.upstream.fast_connection import MAX_BUFFERED_BYTES, FastConnection

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
WHOLE = HEAD + b"content-length: 2\r\n\r\n{}"
TIMED_OUT = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n"
FAILURES = (aiohttp.ClientError, HttpProcessingError)


class FakeTransport(asyncio.Transport):
    """A transport that remembers what was done to it."""

    def __init__(self) -> None:
        super().__init__()
        self.is_paused = False
        self.is_closed = False

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_closed = True

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default


def made(kind: type[Connection]) -> tuple[Connection, FakeTransport]:
    """Return a connection that waits for a response."""
    connection, transport = kind(asyncio.get_running_loop()), FakeTransport()
    connection.connection_made(transport)
    connection.idle_since = math.inf  # no socket that could be asked
    connection.begin_exchange()
    return connection, transport


class NoLease:
    """Nothing to release."""

    def release(self) -> None: ...
    def close(self) -> None: ...


def at_once(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Return what a coroutine returns without waiting."""
    try:
        coroutine.send(None)
    except StopIteration as ended:
        return ended.value
    coroutine.close()
    raise AssertionError("it waits")


@dataclass
class Heard:
    """What a connection's user learns of a response."""

    status: int | None = None
    content_type: str | None = None
    body: bytes = b""
    failure: str = ""  # of the head, or of the body
    is_reusable: bool = False


async def hear(kind: type[Connection], pieces: list[bytes], *, is_lost: bool) -> Heard:
    """Let a connection get a response in pieces, and read it."""
    connection, _ = made(kind)
    heard = Heard()
    reading = asyncio.ensure_future(connection.read_response())
    await asyncio.sleep(0)
    for piece in pieces:
        connection.data_received(piece)
        await asyncio.sleep(0)
    if is_lost:
        connection.connection_lost(None)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    if not reading.done():
        reading.cancel()
        heard.failure = "waits"
        return heard
    try:
        heard.status, headers, content = reading.result()
    except FAILURES as error:
        heard.failure = "head" if isinstance(error, HttpProcessingError) else "lost"
        return heard
    heard.content_type = headers.get("content-type")
    try:
        while piece := content.read_nowait():
            heard.body += piece
        if not content.at_eof():
            heard.failure = "incomplete"
    except aiohttp.ClientError:
        heard.failure = "incomplete"
    heard.is_reusable = not heard.failure and not connection.should_close and connection.is_connected()
    return heard


def chunks(*pieces: bytes, trailer: bytes = b"") -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(one), one) for one in pieces) + b"0\r\n" + trailer + b"\r\n"


CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
RESPONSES = (
    WHOLE,
    CHUNKED + chunks(b"a", b"bc" * 50),
    CHUNKED + chunks(b"a", trailer=b"content-type: text/plain\r\n"),
    CHUNKED + b"1;name=value\r\na\r\n0\r\n\r\n",
    CHUNKED + b"1 \r\na\r\n0\r\n\r\n",
    CHUNKED + b"zz\r\n",
    HEAD + b"content-length: 2\r\nconnection: close\r\n\r\n{}",
    HEAD + b"content-length: 2\r\ncontent-length: 3\r\n\r\n{}",
    HEAD + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}",
    HEAD + b"transfer-encoding: gzip, chunked\r\n\r\n" + chunks(b"a"),
    HEAD + b"content-type: text/plain\r\ncontent-length: 0\r\n\r\n",
    HEAD + b"connection: close\r\n\r\n{}",  # the body ends with the connection
    HEAD + b"\r\n{}",
    b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\n{}",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n" + WHOLE,
    b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" * 3 + CHUNKED + chunks(b"a"),
    b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
    b"HTTP/1.1 200 OK\ncontent-length: 2\n\n{}",  # bare LF
    b"HTTP/1.1 200 OK\r\ncontent-type: text/\xe4\r\nx-y: \x01\r\ncontent-length: 2\r\n\r\n{}",
    b"HTTP/1.1 200\r\ncontent-length: 2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n{}",
    b"HTTP/9.9 200 OK\r\ncontent-length: 2\r\n\r\n{}",
    b"\r\n" + WHOLE,
    b"ICY 200 OK\r\n\r\n",
    b"nonsense",
    WHOLE + b"x",
    WHOLE + WHOLE,
    CHUNKED + chunks(b"a", trailer=b"content-length: 9\r\n"),
    HEAD + b"x-nul: a\0b\r\ncontent-length: 2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\ncontent-type: text/plain \t\r\ncontent-length: 2\r\n\r\n{}",
    HEAD + b"transfer-encoding: chunked\r\ntransfer-encoding: gzip\r\n\r\n" + chunks(b"a"),
    HEAD + b"x-long: %s\r\ncontent-length: 2\r\n\r\n{}" % (b"a" * 8200),
    b"HTTP/1.1 200 %s\r\ncontent-length: 2\r\n\r\n{}" % (b"a" * 8200),
    HEAD + b"x: y\r\n" * 200 + b"content-length: 2\r\n\r\n{}",
)


@settings(max_examples=600, deadline=None)
@example(response=WHOLE, cuts=[], end=None, is_lost=False)
@given(
    response=st.sampled_from(RESPONSES),
    cuts=st.lists(st.integers(1, 200), max_size=6),
    end=st.none() | st.integers(0, 200),
    is_lost=st.booleans(),
)
def test_both_parsers_hear_the_same(response: bytes, cuts: list[int], end: int | None, is_lost: bool) -> None:
    response = response[:end]
    ends = [*sorted({cut for cut in cuts if cut < len(response)}), len(response)]
    pieces = [response[begin:end] for begin, end in zip([0, *ends], ends, strict=False) if begin < end]

    async def compare() -> None:
        fast = await hear(FastConnection, pieces, is_lost=is_lost)
        plain = await hear(Connection, pieces, is_lost=is_lost)
        if fast.failure == "waits" and plain.failure == "head":  # aiohttp judges each line of a head when it comes
            assert b"\r\n\r\n" not in response
            return
        if fast.failure == plain.failure == "incomplete":  # aiohttp drops what came before the failure
            assert fast.body.startswith(plain.body)
            plain.body = fast.body
        assert fast == plain

    asyncio.run(compare())


def test_common_response_is_there_as_soon_as_it_has_come() -> None:
    async def run() -> None:
        connection, _ = made(FastConnection)
        connection.data_received(WHOLE)
        status, headers, content = at_once(connection.read_response())
        assert (status, dict(headers)) == (200, {"content-type": "application/json", "content-length": "2"})
        assert content.read_nowait() == b"{}"
        assert content.at_eof()
        assert connection.is_connected()
        assert not connection.should_close

    asyncio.run(run())


def test_parser_serves_many_responses() -> None:
    async def run() -> None:
        connection, _ = made(FastConnection)
        for number in range(3):
            connection.data_received(CHUNKED + chunks(b"%d" % number))
            _, _, content = at_once(connection.read_response())
            assert content.read_nowait() == b"%d" % number
            connection.begin_exchange()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("surplus", "comes_at_once"),
    [(WHOLE, True), (TIMED_OUT, True), (WHOLE, False), (TIMED_OUT, False), (b"x", False)],
)
def test_connection_with_an_answer_to_nothing_is_not_used_again(surplus: bytes, comes_at_once: bool) -> None:
    async def run() -> None:
        connection, transport = made(FastConnection)
        if comes_at_once:
            connection.data_received(WHOLE + surplus)
        else:
            connection.data_received(WHOLE)
            assert connection.is_connected()
            connection.data_received(surplus)
            assert transport.is_closed
        _, _, content = at_once(connection.read_response())
        assert content.read_nowait() == b"{}"
        assert connection.should_close
        assert not connection.is_connected()

    asyncio.run(run())


def test_head_that_never_ends_is_refused() -> None:
    async def run() -> None:
        connection, _ = made(FastConnection)
        line = b"x-filler: %s\r\n" % (b"a" * 1000)
        connection.data_received(HEAD)
        for _ in range(130):  # aiohttp, which gets it, takes 128 lines
            connection.data_received(line)
        with pytest.raises(HttpProcessingError):
            at_once(connection.read_response())

    asyncio.run(run())


def test_interim_responses_are_bounded() -> None:
    async def run() -> None:
        connection, _ = made(FastConnection)
        connection.data_received(b"HTTP/1.1 102 Processing\r\n\r\n" * (MAX_INTERIM_RESPONSES + 1))
        with pytest.raises(HttpProcessingError, match="too many interim responses"):
            at_once(connection.read_response())

    asyncio.run(run())


def test_body_that_nobody_reads_stops_the_reading() -> None:
    async def run() -> None:
        connection, transport = made(FastConnection)
        connection.data_received(CHUNKED)
        _, _, content = at_once(connection.read_response())
        piece = bytes(1000)
        while not transport.is_paused:
            connection.data_received(b"%x\r\n%s\r\n" % (len(piece), piece))
            assert connection.body_bytes <= MAX_BUFFERED_BYTES + len(piece)
        assert connection.is_held_up
        assert len(content.read_nowait()) == connection.body_bytes > MAX_BUFFERED_BYTES
        assert not transport.is_paused
        assert not connection.is_held_up

    asyncio.run(run())


def test_connection_that_aiohttp_served_parses_again() -> None:
    async def run() -> None:
        connection, _ = made(FastConnection)
        connection.set_response_params(read_until_eof=True, auto_decompress=False)  # as for an upload
        connection.data_received(WHOLE)
        message, content = await connection.read()
        assert (message.code, await content.read()) == (200, b"{}")
        assert connection.is_connected()
        connection.begin_exchange()
        connection.data_received(WHOLE)
        assert at_once(connection.read_response())[0] == 200

    asyncio.run(run())


def test_response_that_came_before_its_request_is_read() -> None:
    async def run() -> None:
        connection = FastConnection(asyncio.get_running_loop())
        connection.connection_made(FakeTransport())
        connection.data_received(WHOLE)
        connection.begin_exchange()
        status, _, content = at_once(connection.read_response())
        assert (status, content.read_nowait()) == (200, b"{}")

    asyncio.run(run())


def test_lost_connection_is_freed_at_once() -> None:
    async def run() -> None:
        connection, _ = made(FastConnection)
        connection.data_received(CHUNKED)
        freed = weakref.ref(connection)
        connection.connection_lost(None)
        gc.disable()
        try:
            del connection
            assert freed() is None
        finally:
            gc.enable()

    asyncio.run(run())


def test_silence_counts_from_the_request_on_a_pooled_connection() -> None:
    async def run() -> None:
        connection, _ = made(FastConnection)
        connection.data_received(WHOLE)
        connection.begin_exchange()
        deadlines: set[Deadline] = set()
        deadline = Deadline(NoLease(), connection, 0.0, 100.0, 1.0, 1.0, deadlines)
        deadline.check(1.0)
        with pytest.raises(aiohttp.SocketTimeoutError):
            at_once(connection.read_response())

    asyncio.run(run())


def test_what_came_before_a_failure_is_read_before_it() -> None:
    async def run() -> None:
        connection, _ = made(FastConnection)
        connection.data_received(CHUNKED)
        connection.data_received(b"3\r\nabc\r\nzz\r\n")
        _, _, content = at_once(connection.read_response())
        assert cast("bytes", await content.readany()) == b"abc"
        with pytest.raises(aiohttp.ClientPayloadError):
            await content.readany()

    asyncio.run(run())

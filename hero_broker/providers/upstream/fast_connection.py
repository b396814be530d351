"""A connection to a provider that parses common responses itself, at a fraction of what aiohttp's parser costs.

aiohttp makes a parser, a stream reader and a message for each response, and calls three methods for each chunk. Here
one parser lives as long as the connection, and a chunk is one element of a list. Whatever is rare goes aiohttp's way,
from its first byte: interim responses, bodies that end with the connection, and heads that do not parse.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import aiohttp
import httptools

from hero_broker.providers.upstream.connection import Connection
from hero_broker.providers.upstream.decoding import INLINE_BYTES, Content

# Of a head that is parsed here. aiohttp refuses lines of more than 8,190 bytes, and more than 128 of them.
MAX_HEAD_BYTES = 8 * 1024 - 2
MAX_HEADER_LINES = 100
MAX_BUFFERED_BYTES = 2 * INLINE_BYTES  # of a body that nobody reads; reading from the connection pauses beyond it
_WITHOUT_BODY = (204, 304)


class FastConnection(Connection):
    """A connection that parses common responses itself."""

    _response: "ParsedResponse | None" = None  # of the current exchange, or the last; None if aiohttp parses it
    _parser_of_ours: "httptools.HttpResponseParser | None" = None
    _is_rare = False  # the response goes aiohttp's way
    _is_paused = False

    def begin_exchange(self) -> None:
        """Prepare for the response to a request that is about to be written."""
        if self._tail:  # the response has begun already
            super().begin_exchange()
            return
        self.has_served = True
        self.first_bytes = b""  # until the head is complete, all that has arrived
        if self._parser_of_ours is None:
            self._parser_of_ours = _make_parser(self)
        self._is_rare = False
        self._response = ParsedResponse(self)

    async def read_response(self) -> tuple[int, Mapping[str, str], Content]:
        """Wait for the head of the response; see `Connection.read_response`."""
        response = self._response
        if response is not None:
            while not response.status and self._response is response:
                response.check()
                await response.wait()
            if response.status:
                return response.status, response.headers, response
        return await super().read_response()

    def set_response_params(self, **params: Any) -> None:
        """Prepare for a response that aiohttp parses; its session calls this."""
        self._response = self._parser_of_ours = None
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        response = self._response
        if response is None or self._parser_of_ours is None:
            super().data_received(data)
            return
        if response.is_complete:  # it answers no request, and the next call must not get it
            self._abandon()
            return
        had_head = response.status
        if not had_head:
            self.first_bytes += data
        try:
            self._parser_of_ours.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            if not had_head:
                self._is_rare = True
            elif response.is_complete:
                self._should_close = True
            else:
                self._abandon()
                response.fail(aiohttp.ClientPayloadError("The body's framing is broken."))
        if not had_head:
            if self._is_rare or (not response.status and len(self.first_bytes) > MAX_HEAD_BYTES):
                self._hand_over(response)
                return
            if not response.status:
                return
            self.first_bytes = b""
        if response.buffered > MAX_BUFFERED_BYTES and not response.is_complete:
            self._pause()
        response.wake()
        if self.on_body_change is None:
            return
        if len(data) <= INLINE_BYTES:
            self.on_body_change()
        else:  # see `Connection.data_received`
            self._loop.call_soon(self.on_body_change)

    def connection_lost(self, exc: BaseException | None) -> None:
        response = self._response
        if response is not None and not response.is_complete:
            if response.status:
                response.fail(aiohttp.ClientPayloadError("The body is not complete."))
            else:  # aiohttp names the failure
                self._hand_over(response)
        super().connection_lost(exc)
        self._response = self._parser_of_ours = None  # each refers to this connection

    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        response = self._response
        if response is None:
            super().set_exception(exc, *cause)
            return
        exc.__dict__["first_bytes"] = self.first_bytes
        self._should_close = True
        response.fail(exc)
        if self.on_body_change is not None:
            self.on_body_change()

    @property
    def should_close(self) -> bool:
        response = self._response
        return super().should_close or (response is not None and not response.is_complete)

    @property
    def body_bytes(self) -> int:
        response = self._response
        return super().body_bytes if response is None else response.body_bytes

    @property
    def is_held_up(self) -> bool:
        return self._is_paused or super().is_held_up

    def on_body_read(self) -> None:
        """Go on reading from the connection, because the body's reader has taken what had arrived."""
        if self._is_paused:
            self._is_paused = False
            if self.transport is not None:
                self.transport.resume_reading()

    def _pause(self) -> None:
        if not self._is_paused and self.transport is not None:
            self._is_paused = True
            self.transport.pause_reading()

    def _abandon(self) -> None:
        self._should_close = True
        if self.transport is not None:
            self.transport.abort()

    def _hand_over(self, response: "ParsedResponse") -> None:
        """Let aiohttp parse the response, from its first byte, or name the failure of one that never came."""
        received, response.status = self.first_bytes, 0
        super().begin_exchange()
        if received:
            super().data_received(received)
        response.wake()

    # What the parser calls

    def on_message_begin(self) -> None:
        if self._response is None or self._response.status:  # a second response
            raise ValueError

    def on_header(self, name: bytes, value: bytes) -> None:
        response = self._response
        if response is not None and not response.status:  # else it is a trailer
            key = name.lower().decode("latin-1")
            if key not in response.headers:
                response.headers[key] = value.decode("utf-8", "surrogateescape").rstrip(" \t")
            elif key == "transfer-encoding":
                self._is_rare = True
            response.header_lines += 1

    def on_headers_complete(self) -> None:
        response, parser = self._response, self._parser_of_ours
        if response is None or parser is None:
            return
        status, headers = parser.get_status_code(), response.headers
        coding = headers.get("transfer-encoding")
        has_end = "content-length" in headers if coding is None else coding.lower() == "chunked"
        end = self.first_bytes.find(b"\r\n\r\n")
        is_odd = response.header_lines > MAX_HEADER_LINES or not 0 < end <= MAX_HEAD_BYTES
        if (
            is_odd
            or self.first_bytes.find(b"\0", 0, end) != -1
            or status < 200
            or not (has_end or status in _WITHOUT_BODY)
        ):
            self._is_rare = True
        elif not self._is_rare:
            response.status = status

    def on_body(self, body: bytes) -> None:
        response = self._response
        if response is not None:
            response.add(body)

    def on_message_complete(self) -> None:
        response, parser = self._response, self._parser_of_ours
        if response is None or parser is None or not response.status:
            return
        response.is_complete = True
        if not parser.should_keep_alive():
            self._should_close = True


class ParsedResponse:
    """A response as it arrives: its head, and the pieces of its body that nobody has read; a `Content`."""

    __slots__ = (
        "_connection",
        "_error",
        "_pieces",
        "_waiter",
        "body_bytes",
        "buffered",
        "header_lines",
        "headers",
        "is_complete",
        "status",
    )

    def __init__(self, connection: FastConnection) -> None:
        self._connection = connection
        self._pieces: list[bytes] = []
        self._error: BaseException | None = None
        self._waiter: asyncio.Future[None] | None = None
        self.status = 0  # until the head is complete
        self.header_lines = 0
        self.headers: dict[str, str] = {}  # by lower-case name; the first of several counts
        self.buffered = 0  # bytes of the body that nobody has read
        self.body_bytes = 0  # of the body that have arrived
        self.is_complete = False

    def add(self, piece: bytes) -> None:
        """Add a piece of the body."""
        self._pieces.append(piece)
        self.buffered += len(piece)
        self.body_bytes += len(piece)

    def fail(self, error: BaseException) -> None:
        """Note that no more will come; the reader gets the first such error, behind what has arrived."""
        if self._error is None and not self.is_complete:
            self._error = error
        self.wake()

    def wake(self) -> None:
        """Wake the task that waits for the head or the body."""
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def check(self) -> None:
        """Raise the error if no more will come."""
        if self._error is not None:
            raise self._error

    async def wait(self) -> None:
        """Wait until more has arrived, or none will."""
        if self._error is None:
            self._waiter = self._connection._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    def read_nowait(self) -> bytes:
        """Return what has arrived of the body."""
        pieces = self._pieces
        if not pieces:
            self.check()
            return b""
        if len(pieces) == 1:
            piece = pieces.pop()
        else:
            piece = b"".join(pieces)
            pieces.clear()
        self.buffered = 0
        self._connection.on_body_read()
        return piece

    async def readany(self) -> bytes:
        """Wait for the next piece of the body and return it; empty at the end."""
        while not self._pieces and not self.is_complete:
            self.check()
            await self.wait()
        return self.read_nowait()

    def at_eof(self) -> bool:
        """Return whether all of the body has been read."""
        return self.is_complete and not self._pieces


def _make_parser(connection: FastConnection) -> httptools.HttpResponseParser:
    parser = httptools.HttpResponseParser(connection)
    # As lenient as aiohttp's parser, so that no body is read differently.
    parser.set_dangerous_leniencies(
        lenient_headers=True, lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
    )
    return parser

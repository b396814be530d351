"""uvicorn's HTTP/1.1 with the bounds and the strictness that it lacks.

Every connection has one deadline at most: for its head, for its next request, or for taking what it was sent. What is
refused here never becomes a request; it is answered in OpenAI's shape, after the requests that came before it.
"""

import asyncio
import socket
import struct
from collections.abc import Callable
from http import HTTPStatus

import httptools
from uvicorn._types import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, ASGISendEvent, Scope
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from hero_broker.core.errors import BrokerError, HeadTooLarge
from hero_broker.core.ids import new_request_id
from hero_broker.edge.errors import encode_error
from hero_broker.edge.response_channel import Headers
from hero_broker.server.http1.request_head import (
    MAX_HEAD_BYTES,
    MAX_HEADERS,
    WATCHED,
    RequestHead,
    check_upgrade,
    unreadable_request,
    without_upgrade,
)
from hero_broker.server.http1.tracker import NEVER, ConnectionTracker

MAX_WAITING = 100  # requests that were sent ahead of the answers before them
MAX_HELD_BYTES = 64 * 1024  # of what was sent further ahead
MAX_DROPPED_BYTES = 64 * 1024 * 1024  # of a body that nobody reads
DROP_S = 5.0  # how long one may go on
LINGER_S = 2.0  # how long a client may take to read a last answer, or pause within such a body


class ClientConnection(HttpToolsProtocol):
    """One client's connection; `make_protocol` makes the classes that are used."""

    connections_open: ConnectionTracker
    deadline = NEVER

    _fed = 0  # bytes since the parser last had something whole: a head, a piece of a body, a message
    _in_message = False
    _has_head = False  # of the message
    _is_offer = False  # the message ends with its head, which is read again without what it offers
    _is_resting = False  # a request was answered, and nothing has come since
    _is_over = False  # nothing more is read
    _held = b""  # what came while requests waited
    _dropped = 0
    _whole_by = NEVER  # the end of a body that nobody reads
    _unsent = 0  # when it was last looked at
    _head: RequestHead
    _active: RequestResponseCycle | None = None  # the request that is being answered, or was answered last
    _on_disconnect: Callable[[], None] | None = None  # whom to tell that the client has left
    _last_words: bytes | None = None  # what is to be said after the answers that are due

    @property
    def is_closing(self) -> bool:
        """Whether it only waits for its client to take what was sent."""
        return self.transport.is_closing()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Begin to wait for a head."""
        super().connection_made(transport)
        self.flow = _Flow(transport, self)
        self.deadline = self.loop.time() + self.connections_open.limits.header_timeout_s
        self.connections_open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the request that is being answered that its client has left; those that wait behind it never begin."""
        self.connections_open.remove(self)
        self.pipeline.clear()
        if self._active is not None:
            _disconnect(self._active)
        super().connection_lost(exc)
        if self._on_disconnect is not None:
            self._on_disconnect()

    def on_disconnect(self, call: Callable[[], None]) -> None:
        """Let `call` be called once, if the client leaves before the request that is being answered is."""
        if self._is_answering():
            self._on_disconnect = call
        else:
            call()

    def take_body(self) -> bytes | None:
        """Return the body of the request that is being answered, once; None where it has yet to come."""
        cycle = self._active
        if cycle is None or cycle.more_body or cycle.disconnected:
            return None
        body, cycle.body = bytes(cycle.body), bytearray()
        self.flow.resume_reading()
        return body

    def send_response(self, status: int, headers: Headers, body: bytes) -> bool:
        """Send the whole answer to the request that is being answered, in one piece; False where that has to wait.

        What uvicorn does for the two messages of ASGI, once their names, values and lengths were looked at.
        """
        cycle = self._active
        if cycle is None or cycle.disconnected or cycle.response_started or self.flow.write_paused:
            return False
        lines = [STATUS_LINE[status]]
        for name, value in (*self.server_state.default_headers, *headers):
            lines += (name, b": ", value, b"\r\n")
        lines.append(b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n")
        lines.append(body)
        cycle.response_started = cycle.response_complete = True
        self.transport.write(b"".join(lines))
        cycle.message_event.set()
        if not cycle.keep_alive:
            cycle.transport.close()
        self.on_response_complete()
        return True

    def send_chunk(self, piece: bytes) -> bool:
        """Send a chunk of the answer that has begun; False where that has to wait, or chunks are not what it takes."""
        cycle = self._active
        if cycle is None or cycle.disconnected or not cycle.chunked_encoding or self.flow.write_paused:
            return False
        if not cycle.response_started or cycle.response_complete:
            return False
        self.transport.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        return True

    def abort_response(self) -> None:
        """Close it, although its answer is not whole."""
        if self._ends_with_connection():
            self._reset()
        else:
            self.transport.close()

    def abort(self) -> None:
        """Close it at once, whatever its client has not taken."""
        self.transport.abort()

    def on_deadline(self, now: float) -> None:
        """Close it; but wait on while its client takes what it was sent, however slowly."""
        unsent = self.transport.get_write_buffer_size()
        if unsent and unsent != self._unsent:
            self._unsent = unsent
            self.deadline = now + self.connections_open.limits.idle_timeout_s
        elif unsent or self.transport.is_closing():
            self._reset()
        else:
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        """Parse what came, within bounds."""
        if self._is_over:
            self._drop(len(data))
        elif self.pipeline:  # read on, within bounds, so that it is seen when the client leaves
            self._held += data
            if len(self._held) > MAX_HELD_BYTES:
                self.flow.pause_reading()
        else:
            self._parse(data)

    def _parse(self, data: bytes) -> None:
        self._fed += len(data)
        try:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as offer:
                self._parse_without_upgrade(data, offer)
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._refuse(cause if isinstance(cause, BrokerError) else unreadable_request(f"{error}."))
            return
        if self._fed > MAX_HEAD_BYTES:  # of a head, of trailers, or of what stands beside a chunk's length
            self._refuse(HeadTooLarge(f"A request's head has at most {MAX_HEAD_BYTES} bytes."))
        elif self._is_resting and (self._fed or self._in_message):
            self._is_resting = False
            self.deadline = self.loop.time() + self.connections_open.limits.header_timeout_s

    def _parse_without_upgrade(self, data: bytes, offer: httptools.HttpParserUpgrade) -> None:
        """Parse a head again, and what follows it, as if it offered no other protocol (RFC 9110, section 7.8).

        The parser takes what follows such a head for the other protocol, and stops there. Another parser goes on,
        because the first drops everything after `Connection: close`.
        """
        rest = memoryview(data)
        while True:
            rest = rest[offer.args[0] :]
            self._is_offer = False
            head = without_upgrade(self.parser.get_method(), self.url, self.parser.get_http_version(), self.headers)
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's
            self.parser.feed_data(head)
            try:
                self.parser.feed_data(rest)
            except httptools.HttpParserUpgrade as another:
                offer = another
            else:
                return

    def on_message_begin(self) -> None:
        """Begin a head."""
        super().on_message_begin()
        self._in_message, self._has_head = True, False
        self._head = RequestHead()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; drop a trailer, which must not pass for one."""
        if self._has_head:
            return
        name = name.lower()
        if len(self.headers) >= MAX_HEADERS:
            raise HeadTooLarge(f"A request has at most {MAX_HEADERS} headers.")
        if name in WATCHED:
            self._head.saw(name, value)
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Let a request begin, or wait for those before it."""
        # What is fed at once and whole is short enough; else it is counted.
        if not 0 < self._fed <= MAX_HEAD_BYTES and self._head_bytes() > MAX_HEAD_BYTES:
            raise HeadTooLarge(f"A request's head has at most {MAX_HEAD_BYTES} bytes.")
        version = self.parser.get_http_version()
        self._head.check(self.url, version)
        if self.parser.should_upgrade():
            check_upgrade(self.parser.get_method(), version, self.headers)
            self._is_offer = True
            return
        if len(self.pipeline) >= MAX_WAITING:
            raise unreadable_request(f"At most {MAX_WAITING} requests may wait for the answers to those before them.")
        self.expect_100_continue = self._head.expects_continue
        super().on_headers_complete()
        self.scope["state"]["connection"] = self
        if not self.cycle.keep_alive:
            self.cycle.transport = _FinalResponse(self)
        self._has_head = True
        self._fed = self._dropped = 0
        self._is_resting = False
        self.connections_open.mark_busy(self)
        self.deadline = NEVER
        if self.flow.write_paused:
            self._expect_taking()
        if self.pipeline:
            self.flow.resume_reading()

    def on_body(self, body: bytes) -> None:
        """Hand a piece of a body on, or drop it if its request was answered without it."""
        self._fed = 0
        if self.cycle.response_complete:
            self._drop(len(body))
            self.deadline = min(self._whole_by, self.loop.time() + LINGER_S)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request's body."""
        if self._is_offer:
            return
        self._fed = 0
        self._in_message = False
        super().on_message_complete()
        if self.cycle.response_complete:
            self._rest()

    def on_response_complete(self) -> None:
        """Begin the next request, or wait for one."""
        self.server_state.total_requests += 1
        self._on_disconnect = None
        if self.transport.is_closing():
            return
        if self.pipeline:
            cycle, application = self.pipeline.pop()
            self._start_asgi_task(cycle, application)
            if not self.pipeline:
                held, self._held = self._held, b""
                self._parse(held)
        elif self._last_words is not None:
            self.transport.write(self._last_words)
            self._linger()
        elif self._in_message and self._has_head and self.expect_100_continue:
            self._linger()  # whether the body will be sent is not known, and so where the next request begins
        elif not self._is_over:
            self._rest()

    def pause_writing(self) -> None:
        """Expect that the client goes on taking what it is sent."""
        super().pause_writing()
        self._expect_taking()

    def resume_writing(self) -> None:
        """Expect nothing more of the client, while it is being answered."""
        super().resume_writing()
        if self._is_answering():
            self.deadline = NEVER

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._active = cycle
        if not cycle.keep_alive and cycle.scope["http_version"] == "1.0":
            app = _without_chunks(app, cycle)
        super()._start_asgi_task(cycle, app)

    def _is_answering(self) -> bool:
        return self._active is not None and not (self._active.response_complete or self._active.disconnected)

    def _ends_with_connection(self) -> bool:
        """Return whether an answer is being sent that is whole when the connection ends (HTTP/1.0)."""
        cycle = self._active
        if cycle is None or not cycle.response_started or cycle.response_complete:
            return False
        return cycle.scope["http_version"] == "1.0"

    def _expect_taking(self) -> None:
        self._unsent = self.transport.get_write_buffer_size()
        self.deadline = min(self.deadline, self.loop.time() + self.connections_open.limits.idle_timeout_s)

    def _rest(self) -> None:
        """Wait for the next request, or for the end of a body that nobody reads."""
        limits, now = self.connections_open.limits, self.loop.time()
        self.flow.resume_reading()
        self._is_resting = not self._in_message
        if not self._is_resting and self._has_head:
            self._whole_by = now + DROP_S
            self.deadline = now + LINGER_S
        elif not self._is_resting:
            self.deadline = now + limits.header_timeout_s
        elif unsent := self.transport.get_write_buffer_size():
            self._unsent = unsent
            self.deadline = now + limits.idle_timeout_s
        else:
            self.deadline = now + limits.keep_alive_s
        self.connections_open.mark_idle(self)

    def _reset(self) -> None:
        """Close it such that the kernel, too, forgets what its client has not taken."""
        opened = self.transport.get_extra_info("socket")
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def _drop(self, size: int) -> None:
        self._dropped += size
        if self._dropped > MAX_DROPPED_BYTES:
            self.transport.abort()

    def _refuse(self, error: BrokerError) -> None:
        """Answer what is no request, in its turn, and read no further: where a next one would begin is not known."""
        self._is_over = True
        answer = _encode_response(error)
        if self._in_message and self._has_head:  # a body is not readable to its end
            if self.pipeline and self.pipeline[0][0] is self.cycle:
                self.pipeline.popleft()
            else:
                has_answer = self.cycle.response_started
                _disconnect(self.cycle)
                if has_answer:
                    self.transport.close()
                    return
        if self._is_answering():
            self._last_words = answer
        else:
            self.transport.write(answer)
            self._linger()

    def _linger(self) -> None:
        """Let the client read the last answer: to close now, with something unread, would take it back."""
        self._is_over = True
        self.deadline = self.loop.time() + LINGER_S
        self.connections_open.mark_idle(self)
        self.flow.resume_reading()
        if not self.transport.is_closing():
            self.transport.write_eof()

    def _end(self) -> None:
        """Close after a last answer."""
        if self._ends_with_connection():
            self._reset()
        elif self._in_message:
            self._linger()
        else:
            self.transport.close()

    def _head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)


class _Flow(FlowControl):
    """Reads nothing while much is held; the rest is held by the client's own machine."""

    def __init__(self, transport: asyncio.Transport, connection: ClientConnection) -> None:
        super().__init__(transport)
        self._connection = connection

    def resume_reading(self) -> None:
        if len(self._connection._held) <= MAX_HELD_BYTES:
            super().resume_reading()


class _FinalResponse(asyncio.Transport):
    """What the last request of a connection is answered through: closing it waits for what is still being sent."""

    def __init__(self, connection: ClientConnection) -> None:
        super().__init__()
        self._connection = connection

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._connection.transport.write(data)

    def is_closing(self) -> bool:
        return self._connection.transport.is_closing()

    def close(self) -> None:
        self._connection._end()


def make_protocol(connections: ConnectionTracker) -> type[ClientConnection]:
    """Return the protocol whose connections are among these."""
    return type("Connection", (ClientConnection,), {"connections_open": connections})


def _without_chunks(app: ASGI3Application, cycle: RequestResponseCycle) -> ASGI3Application:
    """Return an application whose answers without a length end with the connection: HTTP/1.0 knows no chunks."""

    has_length = False

    async def send(message: ASGISendEvent) -> None:
        nonlocal has_length
        if message["type"] == "http.response.start":
            has_length = any(name.lower() == b"content-length" for name, _ in message.get("headers", ()))
            if not has_length:
                cycle.chunked_encoding = False
        elif message["type"] == "http.response.body" and not has_length:
            cycle.expected_content_length = len(message.get("body", b""))  # as if it were the last piece
        await cycle.send(message)

    async def answer(scope: Scope, receive: ASGIReceiveCallable, _send: ASGISendCallable) -> None:
        await app(scope, receive, send)

    return answer


def _disconnect(cycle: RequestResponseCycle) -> None:
    if not cycle.response_complete:
        cycle.disconnected = True
    cycle.message_event.set()


def _encode_response(error: BrokerError) -> bytes:
    status, headers, body = encode_error(error)
    lines = [b"HTTP/1.1 %d %s" % (status, HTTPStatus(status).phrase.encode())]
    more = ((b"x-request-id", new_request_id().encode()), (b"connection", b"close"))
    lines += [name + b": " + value for name, value in (*headers, *more)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body

"""Adds to uvicorn's HTTP/1.1 the limits and the strict parsing that it lacks.

Every connection has at most one deadline: for its head, for its next request, or for reading its response. What is
refused here never becomes a request; the error response has OpenAI's shape and follows those of earlier requests.
"""

import asyncio
import socket
import struct
from collections.abc import Callable, Container, Sequence
from http import HTTPStatus
from typing import Any, Final, Protocol, cast

import httptools
from uvicorn._types import (
    ASGI3Application,
    ASGIReceiveCallable,
    ASGIReceiveEvent,
    ASGISendCallable,
    ASGISendEvent,
    Scope,
)
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from hero_broker.core.errors import BrokerError, HeadTooLarge
from hero_broker.core.ids import new_request_id
from hero_broker.edge.errors import encode_error
from hero_broker.edge.response_channel import Headers
from hero_broker.server.http1.request_head import (
    CHECKED_HEADERS,
    MAX_HEAD_BYTES,
    MAX_HEADERS,
    RequestHead,
    check_upgrade,
    unreadable_request,
    without_upgrade,
)
from hero_broker.server.http1.tracker import NEVER, ConnectionTracker

MAX_PIPELINED = 100  # pipelined requests behind the one being answered
MAX_UNPARSED_BYTES = 64 * 1024  # received behind a pipelined request, and not parsed yet
MAX_DROPPED_BYTES = 64 * 1024 * 1024  # of a body that is discarded
DROP_S = 5.0  # how long a body that is discarded may take
LINGER_S = 2.0  # how long a client may take to read a final response, or pause in a body that is discarded
MAX_SHORT_BODY_BYTES = 64 * 1024  # of a body for which a request waits in the connection
SHORT_BODY_S = 1.0  # how long it waits there, and until the next check of deadlines; then it begins without its body
_ASGI: Final = {"version": "3.0", "spec_version": "2.3"}


class ClientConnection(HttpToolsProtocol):
    """One client's connection; `make_protocol` makes the subclasses that are used."""

    tracker: ConnectionTracker
    short_requests: "ShortRequestRules | None"  # None: without shortcuts
    deadline = NEVER

    _unfinished_bytes = 0  # bytes since the parser last completed a head, a piece of a body or a message
    _in_message = False
    _has_head = False  # the head of the message is complete
    _offers_upgrade = False  # the head offers an upgrade; the message ends there, and is parsed again without the offer
    _is_idle = False  # a request was answered, and nothing has been received since
    _has_stopped_reading = False  # nothing more is parsed
    _unparsed = b""  # received while pipelined requests waited
    _dropped_bytes = 0
    _body_deadline = NEVER  # deadline for the end of a body that is discarded
    _unsent_bytes = 0  # bytes in the write buffer at the last check
    _head: RequestHead
    _error: BrokerError | None = None  # raised in one of the parser's callbacks
    _active: RequestResponseCycle | None = None  # the request being answered, or the last one answered
    _on_disconnect: Callable[[], None] | None = None  # called if the client leaves
    _short_body: list[bytes] | None = None  # what has come of the body of a request that has not begun
    _error_response: bytes | None = None  # an error response, sent after the responses that are due

    @property
    def is_closing(self) -> bool:
        """Whether it only waits for its client to take what was sent."""
        return self.transport.is_closing()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Register the connection and wait for a head; abort a connection whose client has no address."""
        super().connection_made(transport)
        self.flow = _Flow(transport, self)
        self.deadline = self.loop.time() + self.tracker.limits.header_timeout_s
        self.tracker.add(self)
        if self.client is None and transport.get_extra_info("socket").family in (socket.AF_INET, socket.AF_INET6):
            # The client has reset the connection already, so nobody knows its address. It would pass for a caller on a
            # Unix socket: allowed, beyond its limits, and billed as "unknown".
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Disconnect the request being answered; pipelined requests behind it never begin."""
        self.tracker.remove(self)
        self.pipeline.clear()
        self._short_body = None
        if self._active is not None:
            _disconnect(self._active)
        super().connection_lost(exc)
        if self._on_disconnect is not None:
            self._on_disconnect()
        # A connection refers to its requests and its flow control, and they to it. Without these it is freed at once,
        # not some thousand connections later by the garbage collector.
        self._active = self._on_disconnect = None
        self.scope = self.cycle = self.flow = None  # type: ignore[assignment]  # as uvicorn sets them at first

    def on_disconnect(self, call: Callable[[], None]) -> None:
        """Call `call` once if the client leaves before the current request is answered; now, if none is."""
        if self._is_answering():
            self._on_disconnect = call
        else:
            call()

    def take_body(self) -> bytes | None:
        """Return the current request's body, and an empty one after that; None if it is not complete."""
        cycle = self._active
        if self.short_requests is None or cycle is None or cycle.more_body or cycle.disconnected:
            return None
        body, cycle.body = bytes(cycle.body), bytearray()
        self.flow.resume_reading()
        return body

    def send_response(self, status: int, headers: Headers, body: bytes) -> bool:
        """Send the whole response to the current request; return False, and send nothing, if it would have to wait.

        Does what uvicorn does for the two ASGI messages, without its checks of names, values and lengths.
        """
        cycle = self._active
        if self.short_requests is None or cycle is None:
            return False
        if cycle.disconnected or cycle.response_started or self.flow.write_paused:
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
        """Send a chunk of the current response; return False if it would have to wait, or is not chunked."""
        cycle = self._active
        if self.short_requests is None or cycle is None:
            return False
        if cycle.disconnected or not cycle.chunked_encoding or self.flow.write_paused:
            return False
        if not cycle.response_started or cycle.response_complete:
            return False
        self.transport.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        return True

    def abort_response(self) -> None:
        """Close the connection in the middle of a response, such that the client sees it is incomplete."""
        if self._ends_with_connection():
            self._reset()
        else:
            self.transport.close()

    def abort(self) -> None:
        """Close the connection at once; unsent bytes are lost."""
        self.transport.abort()

    def shutdown(self) -> None:
        """Begin an orderly shutdown: a request whose head has come is answered."""
        self._begin_without_body()
        super().shutdown()

    def on_deadline(self, now: float) -> None:
        """Close the connection, unless its client still reads its response, or sends its body, however slowly."""
        if self._short_body is not None:
            self._begin_without_body()
            return
        unsent_bytes = self.transport.get_write_buffer_size()
        if unsent_bytes and unsent_bytes != self._unsent_bytes:
            self._unsent_bytes = unsent_bytes
            self.deadline = now + self.tracker.limits.idle_timeout_s
        elif unsent_bytes or self.transport.is_closing():
            self._reset()
        else:
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        """Parse received data, within the limits."""
        if self._has_stopped_reading:
            self._drop(len(data))
        elif self.pipeline:  # keep reading, within the limit, to notice when the client leaves
            self._unparsed += data
            if len(self._unparsed) > MAX_UNPARSED_BYTES:
                self.flow.pause_reading()
        else:
            self._parse(data)

    def _parse(self, data: bytes) -> None:
        self._unfinished_bytes += len(data)
        try:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as offer:
                self._parse_without_upgrade(data, offer)
        except httptools.HttpParserError as error:
            # Not `error.__context__`: Python replaces it if another exception is being handled.
            self._refuse(self._error or unreadable_request(f"{error}."))
            return
        if self._short_body is not None:
            self._await_short_body()
        elif self._unfinished_bytes > MAX_HEAD_BYTES:  # of a head, of trailers, or of chunk extensions
            self._refuse(HeadTooLarge(f"A request's head may have at most {MAX_HEAD_BYTES} bytes."))
        elif self._is_idle and (self._unfinished_bytes or self._in_message):
            self._is_idle = False
            self.deadline = self.loop.time() + self.tracker.limits.header_timeout_s

    def _parse_without_upgrade(self, data: bytes, offer: httptools.HttpParserUpgrade) -> None:
        """Parse a head again without its offer to upgrade, then what follows it (RFC 9110, section 7.8).

        The parser stops after such a head, because it takes the rest for the other protocol. A new parser goes on: the
        old one drops everything after `Connection: close`.
        """
        rest = memoryview(data)
        while True:
            rest = rest[offer.args[0] :]
            self._offers_upgrade = False
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
        """Prepare for a new head; the scope is made when the request begins."""
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._in_message, self._has_head = True, False
        self._head = RequestHead()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; drop a trailer, so that it cannot pass for a header."""
        if self._has_head:
            return
        name = name.lower()
        if len(self.headers) >= MAX_HEADERS:
            self._error = HeadTooLarge(f"A request may have at most {MAX_HEADERS} headers.")
            raise self._error
        if name in CHECKED_HEADERS:
            self._head.add_header(name, value)
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Begin a request, or queue it behind earlier ones."""
        try:
            # A head that came in one short piece is within the limit; any other is counted.
            if not 0 < self._unfinished_bytes <= MAX_HEAD_BYTES and self._head_bytes() > MAX_HEAD_BYTES:
                raise HeadTooLarge(f"A request's head may have at most {MAX_HEAD_BYTES} bytes.")
            version = self.parser.get_http_version()
            self._head.check(self.url, version)
            if self.parser.should_upgrade():
                check_upgrade(self.parser.get_method(), version, self.headers)
                self._offers_upgrade = True
                return
            if len(self.pipeline) >= MAX_PIPELINED:
                raise unreadable_request(f"At most {MAX_PIPELINED} pipelined requests may wait for a response.")
        except BrokerError as error:
            self._error = error
            raise
        self._has_head = True
        self._unfinished_bytes = self._dropped_bytes = 0
        self._is_idle = False
        self.tracker.mark_busy(self)
        self.deadline = NEVER
        if self._is_short_request():
            self._short_body = []
        else:
            self._begin_request()

    def _is_short_request(self) -> bool:
        """Return whether the request may wait in the connection until its short body has come."""
        rules = self.short_requests
        if rules is None or self.url not in rules.targets or not 0 < self._head.content_length <= MAX_SHORT_BODY_BYTES:
            return False
        if self._head.expects_continue or self.parser.get_method() != b"POST" or not self.parser.should_keep_alive():
            return False
        is_first = self.cycle is None or self.cycle.response_complete
        return is_first and not self.root_path and self.parser.get_http_version() == "1.1"

    def _begin_request(self) -> None:
        """Begin a request of which the head has come, or queue it behind earlier ones."""
        url, headers = self.url, self.headers
        super().on_message_begin()
        self.url = url
        self.headers[:] = headers
        self.expect_100_continue = self._head.expects_continue
        super().on_headers_complete()
        self.scope["state"]["connection"] = self
        if not self.cycle.keep_alive:
            self.cycle.transport = _FinalResponse(self)
        if self.flow.write_paused:
            self._set_write_deadline()
        if self.pipeline:
            self.flow.resume_reading()

    def _await_short_body(self) -> None:
        """Wait for the rest of a short body, but not for that of a request that would be refused."""
        rules = self.short_requests
        if self.deadline != NEVER:  # it waits already
            return
        if rules is not None and rules.may_wait(self.client, self.url, self.headers):
            self.deadline = self.loop.time() + SHORT_BODY_S
        else:
            self._begin_without_body()

    def _begin_without_body(self) -> None:
        """Begin a request that waits for its body; the rest of the body comes to the application as it arrives."""
        pieces, self._short_body = self._short_body, None
        if pieces is None:
            return
        self.deadline = NEVER
        self._begin_request()
        for piece in pieces:
            super().on_body(piece)

    def _begin_whole_request(self, body: bytes) -> None:
        """Begin a request that has come whole, without uvicorn's work for one that may come in pieces."""
        path = self.url.decode("ascii")
        scope: Any = {
            "type": "http",
            "asgi": _ASGI,
            "http_version": "1.1",
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "root_path": "",
            "headers": self.headers,
            "state": {**self.app_state, "connection": self},
            "method": "POST",
            "path": path,
            "raw_path": self.url,
            "query_string": b"",
        }
        self.deadline = NEVER
        if self.flow.write_paused:
            self._set_write_deadline()
        self.cycle = _WholeRequest(scope, self, body)
        self._start_asgi_task(self.cycle, self.app)

    def on_body(self, body: bytes) -> None:
        """Pass on a piece of a body, or drop it if its request is already answered."""
        self._unfinished_bytes = 0
        if self._short_body is not None:
            self._short_body.append(body)
        elif self.cycle.response_complete:
            self._drop(len(body))
            self.deadline = min(self._body_deadline, self.loop.time() + LINGER_S)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Mark a request's body as complete."""
        if self._offers_upgrade:
            return
        self._unfinished_bytes = 0
        self._in_message = False
        if self._short_body is not None:
            body, self._short_body = b"".join(self._short_body), None
            self._begin_whole_request(body)
            return
        super().on_message_complete()
        if self.cycle.response_complete:
            self._wait_for_client()

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
                held, self._unparsed = self._unparsed, b""
                self._parse(held)
        elif self._error_response is not None:
            self.transport.write(self._error_response)
            self._linger()
        elif self._in_message and self._has_head and self.expect_100_continue:
            self._linger()  # the client may or may not send the body, so the start of a next request is unknown
        elif not self._has_stopped_reading:
            self._wait_for_client()

    def pause_writing(self) -> None:
        """Set a deadline for the client to read more of its response."""
        super().pause_writing()
        self._set_write_deadline()

    def resume_writing(self) -> None:
        """Clear the deadline while a request is being answered."""
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
        """Return whether the end of the connection marks the end of the current response (HTTP/1.0)."""
        cycle = self._active
        if cycle is None or not cycle.response_started or cycle.response_complete:
            return False
        return cycle.scope["http_version"] == "1.0"

    def _set_write_deadline(self) -> None:
        self._unsent_bytes = self.transport.get_write_buffer_size()
        self.deadline = min(self.deadline, self.loop.time() + self.tracker.limits.idle_timeout_s)

    def _wait_for_client(self) -> None:
        """Wait for the next request, or for the end of a body that is discarded."""
        limits, now = self.tracker.limits, self.loop.time()
        self.flow.resume_reading()
        self._is_idle = not self._in_message
        if not self._is_idle and self._has_head:
            self._body_deadline = now + DROP_S
            self.deadline = now + LINGER_S
        elif not self._is_idle:
            self.deadline = now + limits.header_timeout_s
        elif unsent_bytes := self.transport.get_write_buffer_size():
            self._unsent_bytes = unsent_bytes
            self.deadline = now + limits.idle_timeout_s
        else:
            self.deadline = now + limits.keep_alive_s
        self.tracker.mark_idle(self)

    def _reset(self) -> None:
        """Close the connection with a TCP reset, which also discards the kernel's send buffer."""
        opened = self.transport.get_extra_info("socket")
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def _drop(self, size: int) -> None:
        self._dropped_bytes += size
        if self._dropped_bytes > MAX_DROPPED_BYTES:
            self.transport.abort()

    def _refuse(self, error: BrokerError) -> None:
        """Send an error response in its turn, and stop parsing: the start of a next request is unknown."""
        self._has_stopped_reading = True
        self._begin_without_body()
        response = _encode_response(error)
        if self._in_message and self._has_head:  # the fault is in the body
            if self.pipeline and self.pipeline[0][0] is self.cycle:
                self.pipeline.popleft()
            else:
                has_response = self.cycle.response_started
                _disconnect(self.cycle)
                if has_response:
                    self.transport.close()
                    return
        if self._is_answering():
            self._error_response = response
        else:
            self.transport.write(response)
            self._linger()

    def _linger(self) -> None:
        """Let the client read the final response; closing with unread data would reset the connection."""
        self._has_stopped_reading = True
        self.deadline = self.loop.time() + LINGER_S
        self.tracker.mark_idle(self)
        self.flow.resume_reading()
        if not self.transport.is_closing():
            self.transport.write_eof()

    def _end(self) -> None:
        """Close after a final response."""
        if self._ends_with_connection():
            self._reset()
        elif self._in_message:
            self._linger()
        else:
            self.transport.close()

    def _head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)


class _Flow(FlowControl):
    """Flow control that reads nothing more while too much waits to be parsed."""

    def __init__(self, transport: asyncio.Transport, connection: ClientConnection) -> None:
        super().__init__(transport)
        self._connection = connection

    def resume_reading(self) -> None:
        if len(self._connection._unparsed) <= MAX_UNPARSED_BYTES:
            super().resume_reading()


class _FinalResponse(asyncio.Transport):
    """The transport for a connection's last response: closing it may wait for the client to finish sending."""

    def __init__(self, connection: ClientConnection) -> None:
        super().__init__()
        self._connection = connection

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._connection.transport.write(data)

    def is_closing(self) -> bool:
        return self._connection.transport.is_closing()

    def close(self) -> None:
        self._connection._end()


class _NoEvent:
    """In place of an event that nobody awaits."""

    def set(self) -> None:
        return


class _WholeRequest(RequestResponseCycle):
    """A request that has come whole, and its response; its fields have their defaults where they differ from none."""

    access_log = False
    disconnected = False
    keep_alive = True
    waiting_for_100_continue = False
    more_body = False
    response_started = False
    response_complete = False
    chunked_encoding: bool | None = None
    expected_content_length = 0
    message_event = cast(asyncio.Event, _NoEvent())
    _has_event = False

    def __init__(self, scope: Scope, connection: ClientConnection, body: bytes) -> None:
        self.scope = scope  # type: ignore[assignment]  # of HTTP
        self.transport = connection.transport
        self.flow = connection.flow
        self.logger = connection.logger
        self.default_headers = connection.server_state.default_headers
        self.on_response = connection.on_response_complete
        self.body = bytearray(body)

    async def receive(self) -> ASGIReceiveEvent:
        """Return the body, once, then wait until the client leaves."""
        if not self._has_event:
            self._has_event = True
            self.message_event = asyncio.Event()
            self.message_event.set()
        return await super().receive()


class ShortRequestRules(Protocol):
    """Decides which requests begin only when all of their short body has come; see `edge.short_requests`."""

    @property
    def targets(self) -> Container[bytes]:
        """The targets of such requests, byte for byte."""
        ...

    def may_wait(self, client: tuple[str, int] | None, target: bytes, headers: Sequence[tuple[bytes, bytes]]) -> bool:
        """Return whether a request whose body did not come with its head may wait for it."""
        ...


def make_protocol(
    connections: ConnectionTracker, short_requests: ShortRequestRules | None = None
) -> type[ClientConnection]:
    """Return a protocol class whose connections register with `connections`.

    Without `short_requests` the connection takes no shortcuts: each request begins at the end of its head, and its body
    and its response are ASGI messages.
    """
    return type("Connection", (ClientConnection,), {"tracker": connections, "short_requests": short_requests})


def _without_chunks(app: ASGI3Application, cycle: RequestResponseCycle) -> ASGI3Application:
    """Return an application whose responses without a length end with the connection: HTTP/1.0 has no chunks."""

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

    async def respond(scope: Scope, receive: ASGIReceiveCallable, _send: ASGISendCallable) -> None:
        await app(scope, receive, send)

    return respond


def _disconnect(cycle: RequestResponseCycle) -> None:
    if not cycle.response_complete:
        cycle.disconnected = True
    cycle.message_event.set()


def _encode_response(error: BrokerError) -> bytes:
    status, headers, body = encode_error(error)
    lines = [b"HTTP/1.1 %d %s" % (status, HTTPStatus(status).phrase.encode())]
    own_headers = ((b"x-request-id", new_request_id().encode()), (b"connection", b"close"))
    lines += [name + b": " + value for name, value in (*headers, *own_headers)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body

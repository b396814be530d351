"""A connection to a provider, and the deadline of the request on it."""

import asyncio
import select
from collections.abc import Callable, Mapping
from typing import Any, Protocol, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError

from hero_broker.providers.upstream.decoding import INLINE_BYTES, Content
from hero_broker.providers.upstream.failures import has_final_status

MAX_INTERIM_RESPONSES = 1_000  # 1xx before a response; more would block the event loop
SWITCHING_PROTOCOLS = 101  # the only status below 200 that is a final response
MAX_FIRST_BYTES = 4 * 1024  # kept of a response, so that its status is known even if its head is incomplete
CHECK_IDLE_S = 0.02  # a pooled connection that was idle for longer is checked before it is reused


class Connection(ResponseHandler):
    """A connection that wakes the body's reader on disconnects and parse errors; aiohttp alone would leave it waiting.

    It sets no timers: `Deadline` checks whether data has arrived. It knows whether it can be reused. aiohttp parses the
    responses; on a `fast_connection.FastConnection`, a parser of less overhead parses the common ones.
    """

    on_body_change: Callable[[], None] | None = None  # called when data, the end or a failure of the body arrives
    has_served = False  # a request was sent on it
    idle_since = 0.0  # by the event loop's clock
    first_bytes = b""  # of the response that is being read, with its status and any interim responses before it
    _is_status_known = False  # `first_bytes` are complete
    _poll: "select.poll | None" = None

    def is_connected(self) -> bool:
        """Return whether it can be used; aiohttp calls this before it reuses a pooled connection.

        A disconnect or an unexpected response may have arrived that the event loop has not seen yet. Polling the
        socket takes a microsecond, and is skipped if the connection was idle for less than `CHECK_IDLE_S`.
        """
        if not super().is_connected() or self._should_close or self._buffer or self._tail:
            return False
        return self._loop.time() - self.idle_since < CHECK_IDLE_S or not self._has_unread()

    def _has_unread(self) -> bool:
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(cast(asyncio.Transport, self.transport).get_extra_info("socket"), select.POLLIN)
        return bool(self._poll.poll(0))

    def begin_exchange(self) -> None:
        """Prepare for the response to a request that is about to be written."""
        self.set_response_params(read_until_eof=True, auto_decompress=False)

    async def read_response(self) -> tuple[int, Mapping[str, str], Content]:
        """Wait for the head of the response; return its status, its headers by lower-case name, and its body.

        Raises:
            HttpProcessingError: the head is malformed, or more than `MAX_INTERIM_RESPONSES` came before it.
            aiohttp.ClientError: the connection was lost.
            aiohttp.SocketTimeoutError: the deadline has passed.
        """
        message, content = await self.read()
        interim = 0
        while 100 <= message.code < 200 and message.code != SWITCHING_PROTOCOLS:
            if (interim := interim + 1) > MAX_INTERIM_RESPONSES:
                raise HttpProcessingError(message="too many interim responses")
            message, content = await self.read()
        return message.code, message.headers, content

    def set_response_params(self, **params: Any) -> None:
        """Prepare for a response; aiohttp's session calls this itself."""
        self.has_served = True
        self.first_bytes = b""
        self._is_status_known = False
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        if not self._is_status_known:
            self.first_bytes += data[:MAX_FIRST_BYTES]
            self._is_status_known = len(self.first_bytes) > MAX_FIRST_BYTES or has_final_status(self.first_bytes)
        super().data_received(data)
        if self.on_body_change is None:
            return
        if len(data) <= INLINE_BYTES:
            self.on_body_change()
        else:  # reading a flood at once would let the loop take in megabytes before it serves other connections
            self._loop.call_soon(self.on_body_change)

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        if self.on_body_change is not None:
            self.on_body_change()

    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        exc.__dict__["first_bytes"] = self.first_bytes  # so that they are known even if a session raises it
        super().set_exception(exc, *cause)
        body = self._payload
        if body is None or body.is_eof():
            return
        if isinstance(exc, HttpProcessingError):
            body.set_exception(aiohttp.ClientPayloadError("The body's framing is broken."))
        elif isinstance(exc, aiohttp.SocketTimeoutError):
            body.set_exception(exc)
        if self.on_body_change is not None:
            self.on_body_change()

    @property
    def body_bytes(self) -> int:
        """How many bytes of a body have arrived; 0 before there is a body."""
        return 0 if self._payload is None else self._payload.total_bytes

    @property
    def is_held_up(self) -> bool:
        """Whether silence is not the provider's fault: we are still sending the request, or have paused reading."""
        if self._reading_paused:
            return True
        return self.transport is not None and self.transport.get_write_buffer_size() > 0


class Deadline:
    """The deadline of an open request: its total time, and how long its provider may be silent.

    A response that is not streamed may be silent after its head for as long as before it: some providers send the head
    at once.
    """

    __slots__ = (
        "_all",
        "_body_bytes",
        "_connection",
        "_ends_at",
        "_has_headers",
        "_idle_s",
        "_quiet_since",
        "_silent_s",
        "protocol",
    )

    def __init__(
        self,
        connection: "ConnectionHandle",
        protocol: Connection,
        now: float,
        ends_at: float,
        silent_s: float,
        idle_s: float,
        all_open: "set[Deadline]",
    ) -> None:
        self._connection = connection
        self.protocol = protocol
        self._ends_at = ends_at
        self._quiet_since = now
        self._body_bytes = protocol.body_bytes  # of the connection's previous response
        self._silent_s = silent_s
        self._idle_s = idle_s
        self._has_headers = False
        self._all = all_open
        all_open.add(self)

    def got_headers(self, *, is_stream: bool) -> None:
        """Note that the head of the response has arrived."""
        self._has_headers = True
        if is_stream:
            self._silent_s = self._idle_s
        self._body_bytes = -1  # so that the next check sees a change

    def check(self, now: float) -> None:
        """Fail the request if its time is over."""
        protocol = self.protocol
        body_bytes = protocol.body_bytes
        if body_bytes != self._body_bytes or protocol.is_held_up:
            self._body_bytes = body_bytes
            self._quiet_since = now
            if body_bytes and self._has_headers:
                self._silent_s = self._idle_s
        if now >= min(self._ends_at, self._quiet_since + self._silent_s):
            protocol.set_exception(aiohttp.SocketTimeoutError("The provider did not answer in time."))

    def forget(self) -> None:
        """Stop checking it."""
        self._all.discard(self)

    def end(self, is_complete: bool) -> None:
        """Return the connection to the pool, or close it if the response was not read to its end."""
        self._all.discard(self)
        if is_complete:
            self.protocol.idle_since = self.protocol._loop.time()
            self._connection.release()
        else:
            self._connection.close()


class ConnectionHandle(Protocol):
    """What releases or closes the connection of a request."""

    def release(self) -> object: ...
    def close(self) -> None: ...
